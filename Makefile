# Everything a fresh machine needs: Python 3.11 or newer, pip and make.
#   make train            train the default recipe on MNIST; ARGS="..." is passed on to `tenk train`
#   make test             the fast tests        make check   format, lint, types, tests: what must pass
#   make format           mend the format       make bench   how fast the trainer is here
#   make load             the server under load, every answer checked; ARGS="--seconds 10 --clients 50"
#   make audit            known vulnerabilities of all that tenk installs; asks PyPI
#   make fuzz             damaged files, hostile pictures and requests, for ten minutes; MINUTES=30 for longer

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
MINUTES ?= 10

.PHONY: train test lint check format bench fuzz load audit clean
.DELETE_ON_ERROR:

train: $(VENV)/installed
	$(BIN)/tenk train $(ARGS)

test: $(VENV)/installed-dev
	$(BIN)/pytest --numprocesses auto --dist loadfile $(ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/installed
	$(BIN)/tenk bench $(ARGS)

load: $(VENV)/installed-dev
	$(BIN)/python tools/load_server.py $(ARGS)

# strict: a package that PyPI's service cannot be asked about, as on a mirror that lacks it, is an error and no pass
audit: $(VENV)/installed-dev
	$(BIN)/pip install --quiet pip-audit
	$(BIN)/pip freeze --exclude-editable | sed 's/\(==[^+]*\)+.*/\1/' > $(VENV)/audited.txt
	$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement $(VENV)/audited.txt \
	    || { echo "error: audit not passed: see above. it needs PyPI's vulnerability service; a mirror may lack it" >&2; exit 1; }

fuzz: $(VENV)/installed-dev
	FUZZ_MINUTES=$(MINUTES) $(BIN)/pytest tests/test_fuzz.py -m slow -rP $(ARGS)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/installed: pyproject.toml
	@echo "making $(VENV) and installing tenk, with torch: once, some minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --progress-bar on --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install --quiet --editable ".[dev]"
	touch $@

# Everything a fresh machine needs: Python 3.11 or newer, pip and make.
#   make train            train the default recipe on MNIST; ARGS="..." is passed on to `under10k train`
#   make test             the fast tests        make check   format, lint, types, tests: what must pass
#   make format           fix the format       make bench   how fast the trainer is here
#   make load             the server under load, every answer checked; ARGS="--seconds 10 --clients 50"
#   make test-cpus        the numeric tests with each kind of vector instructions, on one thread and on two
#   make gpu              the tests that need a CUDA device, where there is one
#   make docs             the documentation as a site, in build/site
#   make audit            licences, bounds and known vulnerabilities of all that is installed; asks PyPI
#   make fuzz             damaged files, hostile pictures and requests, for ten minutes; MINUTES=30 for longer

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt
ARGS ?=
MINUTES ?= 10

.PHONY: train test test-cpus gpu lint check format bench docs fuzz load audit clean
.DELETE_ON_ERROR:

train: $(VENV)/installed
	$(BIN)/under10k train $(ARGS)

test: $(VENV)/installed-dev
	$(BIN)/pytest --numprocesses auto --dist worksteal --max-worker-restart 0 $(ARGS)

test-cpus: $(VENV)/installed-dev
	$(BIN)/python tools/run_on_cpus.py $(ARGS)

gpu: $(VENV)/installed-dev
	$(BIN)/pytest -m gpu $(ARGS)

lint: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/windows src

check: lint test

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/installed
	$(BIN)/under10k bench $(ARGS)

load: $(VENV)/installed-dev
	$(BIN)/python tools/load_server.py $(ARGS)

docs: $(VENV)/installed-dev
	$(INSTALL) mkdocs-material 'mkdocstrings[python]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

audit: $(VENV)/installed-dev
	$(INSTALL) pip-audit
	$(BIN)/python tools/audit.py

fuzz: $(VENV)/installed-dev
	FUZZ_MINUTES=$(MINUTES) $(BIN)/pytest tests/test_fuzz.py -m slow -rP $(ARGS)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/installed: pyproject.toml constraints.txt
	@echo "making $(VENV) and installing under10k, with torch: once, some minutes"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --progress-bar on --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(INSTALL) --editable ".[dev]"
	touch $@

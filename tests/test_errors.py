"""What a person is told where a library is missing: its package and bound, never a name that is a stranger's."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

import under10k
from conftest import REPOSITORY
from under10k.cli.output import describe_error
from under10k.errors import DataError, ModelError, Under10kError, UsageError, missing_library
from under10k.machine import pick_device

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = {
    name: wanted for name, wanted in PROJECT["optional-dependencies"].items() if name != "dev"
}

TEXTS = [
    path
    for pattern in ("*.md", "Makefile", "docs/*.md", "src/**/*.*", "tests/**/*.py", "tools/*.py")
    for path in sorted(REPOSITORY.glob(pattern))
    if path.suffix in ("", ".md", ".py", ".js", ".html", ".css") and path.name != Path(__file__).name
]


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_missing_library_is_told_with_all_that_its_extra_needs(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = ["torch>=2", *(f"{wanted}; extra == '{extra}'" for wanted in EXTRAS[extra]), "x; extra == 'other'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: metadata)
    wanted = " ".join(f"'{requirement}'" for requirement in EXTRAS[extra])
    assert str(missing_library("this", extra)) == f"not installed: this. install it with: pip install {wanted}"


def test_where_under10k_is_not_installed_itself_the_library_alone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", absent)
    assert str(missing_library("ray", "study")) == "not installed: ray. install it with: pip install ray"


def test_nobody_is_told_to_install_under10k_by_its_name() -> None:
    """On the package index that name is a stranger's."""
    assert len(TEXTS) > 100
    telling = re.compile(r"""pip install [^\n`]*(?<![\w./-])under10k(?![\w/])|['"`]under10k\[""")
    assert not [path.name for path in TEXTS if telling.search(path.read_text(encoding="utf-8"))]


def test_what_the_pages_tell_to_install_are_extras_as_they_are() -> None:
    told = {
        line
        for path in TEXTS
        if path.suffix == ".md"
        for line in re.findall(r"pip install ('[^\n`]*')", path.read_text(encoding="utf-8"))
    }
    assert told
    assert told <= {" ".join(f"'{requirement}'" for requirement in wanted) for wanted in EXTRAS.values()}


def test_all_kinds_of_errors_are_public_and_of_one_family() -> None:
    kinds = [name for name in under10k.__all__ if name.endswith("Error")]
    assert len(kinds) == 7
    assert all(issubclass(getattr(under10k, name), Under10kError) for name in kinds)
    defined = {kind.__name__ for kind in Under10kError.__subclasses__()} | {"Under10kError"}
    assert {name for name in defined if not name.startswith("_")} <= set(kinds)


def test_an_error_speaks_python_to_python_and_the_shells_words_to_the_shell() -> None:
    with pytest.raises(UsageError) as caught:
        pick_device("cuda:99")
    assert str(caught.value).endswith("give device='cpu'")
    assert describe_error(caught.value)[1].endswith("give --device cpu")
    gone = DataError("the data of run is gone: digits. give data=FOLDER")
    assert describe_error(gone)[1] == "the data of run is gone: digits. give --data FOLDER"
    strange = ModelError("no file to trust: run names __main__:Net. name the network: model='FILE.py:NAME'")
    assert describe_error(strange)[1].endswith("name the network: --model FILE.py:NAME")

"""What the documentation shows is what under10k does."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import under10k
import under10k.cli
from under10k.cli import VERBS
from under10k.data.datasets import Dataset
from under10k.evaluation.corruptions import CORRUPTIONS
from under10k.models.registry import list_models
from under10k.recipes import Optimizer

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
SNIPPETS = [
    pytest.param(code, id=f"{page.name}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.parametrize(
    ("page", "name"),
    [("docs/networks.md", name) for name in list_models()],
)
def test_the_layer_tables_are_those_that_summary_prints(page: str, name: str) -> None:
    assert under10k.summarise(under10k.create_model(name), name).to_markdown() in (ROOT / page).read_text()


def test_the_table_of_corruptions_is_the_registry() -> None:
    lines = (ROOT / "docs" / "robustness.md").read_text().splitlines()
    rows = [
        f"| `{c.name}` | {c.about} | {c.unit} | {', '.join(f'{strength:g}' for strength in c.strengths)} |"
        for c in CORRUPTIONS.values()
    ]
    assert [line for line in lines if line.startswith("| `")] == rows


def test_the_memory_of_the_c_code_is_what_its_example_prints(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "c.md").read_text()
    code = next(code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "ram_bytes" in code)
    monkeypatch.setattr("under10k.data.load_digits", lambda _: dataset)
    code = code.replace("range(14)", "range(5)").replace("range(20)", "range(2)")  # of what is timed
    exec(compile(code, "example", "exec"), {})  # noqa: S102
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == 2 * len(list_models())
    assert printed in page


def test_the_api_reference_has_every_public_name() -> None:
    named = re.findall(r"^::: under10k\.(\w+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    assert named == under10k.__all__


@pytest.mark.parametrize("name", [name for name in under10k.__all__ if isinstance(getattr(under10k, name), type)])
def test_the_api_reference_says_what_each_field_and_method_is(name: str) -> None:
    """The reference is made of what stands below a field, and of a method's docstring."""
    [found] = ast.parse(inspect.getsource(getattr(under10k, name))).body
    assert isinstance(found, ast.ClassDef)
    assert ast.get_docstring(found)
    for one, following in zip(found.body, [*found.body[1:], None], strict=True):
        if isinstance(one, ast.AnnAssign) and not ast.unparse(one.target).startswith("_"):
            described = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            assert described, f"{name}.{ast.unparse(one.target)}"
        if isinstance(one, ast.FunctionDef) and not one.name.startswith("_"):
            assert ast.get_docstring(one), f"{name}.{one.name}"


def test_there_are_examples_to_run() -> None:
    assert len(SNIPPETS) >= 2


@pytest.mark.parametrize("code", SNIPPETS)
def test_each_python_example_runs(code: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On few digits and one epoch, in place of MNIST and as many epochs and rounds as the page has."""
    from dataclasses import replace

    import under10k.data.datasets
    import under10k.recipes

    def few(name: Any) -> Dataset:
        assert name == "mnist"
        return dataset

    real = under10k.recipes.default()
    short = replace(real, model="early", epochs=1, batch_size=64, optimizer=Optimizer("sgd", lr=0.1))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(under10k.data, "load_digits", few)
    monkeypatch.setattr("under10k.data.own.load_digits", few)
    monkeypatch.setattr(under10k.recipes, "default", lambda: short)
    code = code.replace("range(14)", "range(5)").replace("range(20)", "range(2)")  # of what is timed
    exec(compile(code, "example", "exec"), {})  # noqa: S102


def test_each_under10k_command_names_a_verb_and_options_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    commands = [
        command
        for page in PAGES
        for command in re.findall(r"(?:^    |`)under10k ([a-z][^`\n#]*)", page.read_text(), re.MULTILINE)
    ]
    assert len(commands) > 10

    @cache
    def options_of(verb: str) -> set[str]:
        under10k.cli.main([verb, "--help"])
        return set(re.findall(r"(?<=[ ,])-[\w.-]+", capsys.readouterr().out))

    for command in commands:
        verb, *rest = shlex.split(command)
        assert verb in VERBS, command
        for option in (part for part in rest if part.startswith("--") and part != "--FIELD"):
            assert option.partition("=")[0] in options_of(verb), command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_picture_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert all((page.parent / target).is_file() for target in targets)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_is_left_with_a_gap_to_fill(page: Path) -> None:
    assert "@@" not in page.read_text(encoding="utf-8")


def test_every_fault_has_its_row_and_every_test_named_there_exists() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)] == list(range(1, 68))
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", page):
        assert f"def {name}(" in tests


def test_the_commands_of_the_lesson_run(
    dataset: Dataset, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On few digits, and one epoch."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(255 - np.kron(dataset.test.images[0].numpy(), np.ones((5, 5), dtype=np.uint8))).save("photo.jpg")
    few = ["--data", str(data_folder)]
    more = {"export": few, "train": [*few, "--epochs", "1"], "explain": []}
    page = (ROOT / "docs" / "lesson.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    under10k (.*)$", page, re.MULTILINE)
    for command in commands:
        verb, *rest = shlex.split(command)
        under10k.cli.main([verb, *rest, *more[verb]])
    assert [Path(name).is_file() for name in ("digits.html", "slide.png")] == [True, True]
    assert len(commands) == 3

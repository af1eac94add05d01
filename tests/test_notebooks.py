"""The notebooks run from top to bottom, show no one else's digits, and hold no errors."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FEW = {"epochs": 1, "train_images": 300, "seeds": 2}

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_notebooks", ROOT / "tools" / "run_notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load_tool()


def read(path: Path) -> Any:
    return tool.read_notebook(path)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_three_notebooks() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == ["1-", "2-", "3-"]


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs_on_few_digits(path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    done = tool.run_notebook(path, {**FEW, "data": str(data_folder)})
    assert all(cell.execution_count for cell in code_cells(done))
    assert [cell.source for cell in done.cells] == [cell.source for cell in read(path).cells]


@each_notebook
def test_a_notebook_holds_the_outputs_of_a_whole_run(path: Path) -> None:
    cells = code_cells(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert path.stat().st_size < 2**20


@each_notebook
def test_what_shows_digits_is_not_stored_from_a_run_on_mnist(path: Path) -> None:
    """Whatever shows single images of the data set has the tag by which the tool takes it from synthetic digits."""
    shows = ("show(train", "plot_misread(", "plot_insight(", "image[", "plot_class_sheet(", "plot_explanation(")
    for cell in code_cells(read(path)):
        if any(call in cell.source for call in shows) and "load_digits(data)" in path.read_text(encoding="utf-8"):
            assert "digits" in cell.metadata.get("tags", ()), cell.source


@each_notebook
def test_a_notebook_links_to_files_that_exist(path: Path) -> None:
    text = "".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert all((path.parent / target).is_file() for target in targets)


def test_a_progress_bar_in_a_notebook_is_one_line_that_is_written_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    from ipykernel.iostream import OutStream

    from under10k.terminal import Bar, Part, open_console

    written: list[str] = []

    class Output(OutStream):
        def __init__(self) -> None:
            pass

        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

        def flush(self) -> None:
            pass

        def isatty(self) -> bool:
            return False

    Output.__module__ = OutStream.__module__
    monkeypatch.setattr(sys, "stdout", Output())
    bar = Bar(open_console())
    bar.draw(0.5, Part("half"))
    bar.clear()
    open_console().print("done")
    line = written[0].strip("\r")
    assert line.startswith("half  [")
    assert "\x1b" not in "".join(written)
    assert written[1] == f"\r{' ' * len(line)}\r"
    assert "done" in "".join(written[2:])

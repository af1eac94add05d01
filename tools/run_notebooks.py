"""Run the notebooks and store what they print: python tools/run_notebooks.py [NOTEBOOK...]

They are run on MNIST, which must be at hand, and once more on synthetic digits: cells with the tag `digits`, which show
some, keep the outputs of the second run, since no picture of MNIST's is stored.
"""

from __future__ import annotations

import base64
import io
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"

COLOURS = 64
"""Of a stored picture."""


SYNTHETIC = {"data": "synthetic", "train_images": 4000}
"""The parameters of a run on synthetic digits; a notebook uses those that it has."""


def read_notebook(path: Path) -> Any:
    """Read a notebook, its cells with attributes for their fields."""
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def run_notebook(path: Path, parameters: Mapping[str, Any]) -> Any:
    """Run a notebook in an empty folder, some of its parameters changed, and return it with its outputs."""
    notebook = read_notebook(path)
    written = {cell.id: cell.source for cell in notebook.cells}
    for cell in tagged(notebook, "parameters"):
        known = [name for name in parameters if f"{name} = " in cell.source]
        cell.source += "".join(f"\n{name} = {parameters[name]!r}" for name in known)
    with tempfile.TemporaryDirectory() as folder:
        place = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=1800, kernel_name="python3", resources=place, coalesce_streams=True).execute()
    for cell in notebook.cells:
        cell.source = written[cell.id]
    return notebook


def tagged(notebook: Any, tag: str) -> list[Any]:
    """Return the cells with a tag."""
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", ())]


def store_outputs(path: Path) -> None:
    """Run a notebook on MNIST, take what shows digits from a run on synthetic ones, and write it back."""
    stored = run_notebook(path, {"data": "mnist"})
    if tagged(stored, "digits"):
        outputs = {cell.id: cell.outputs for cell in tagged(run_notebook(path, SYNTHETIC), "digits")}
        for cell in tagged(stored, "digits"):
            cell.outputs = outputs[cell.id]
    for cell in stored.cells:
        cell.metadata.pop("execution", None)  # times, which change with every run
        for output in cell.get("outputs", ()):
            if "text" in output:
                output.text = "".join(map(_as_seen, output.text.splitlines(keepends=True)))
            if "image/png" in output.get("data", ()):
                output.data["image/png"] = _shrink(output.data["image/png"])
    nbformat.write(stored, path)  # type: ignore[no-untyped-call]


def _shrink(picture: str) -> str:
    """Keep the commonest colours of a PNG in base64: a fraction of the bytes, and plots look the same."""
    written = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(picture))) as given:
        given.convert("RGB").quantize(COLOURS).save(written, "PNG", optimize=True)
    return base64.b64encode(written.getvalue()).decode("ascii")


def _as_seen(line: str) -> str:
    """Leave out what a progress bar wrote and took back."""
    return line[:-1].rpartition("\r")[2] + line[-1:]


if __name__ == "__main__":
    for notebook in map(Path, sys.argv[1:]) if sys.argv[1:] else sorted(FOLDER.glob("*.ipynb")):
        store_outputs(notebook)
        print(notebook)

"""`tenk export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tenk.cli import names
from tenk.cli.output import refuse_same, show, show_json
from tenk.cli.parsing import DataName, Flag, Weights, shown

if TYPE_CHECKING:
    from tenk.export.proof import Exported


def export(
    weights: Weights,
    /,
    *,
    to: Literal["onnx", "c", "html"],
    out: Annotated[Path | None, shown("OUT", "-o", complete=names.files)] = None,
    int8: Flag = False,
    data: DataName = None,
    json: Flag = False,
) -> None:
    """Write a trained network as ONNX, C or a page, and check it.

    It has to answer there as PyTorch does.

    Args:
        weights: A run folder, a weights file, or the name of bundled weights.
        to: onnx: one file for ONNX Runtime and others; c: a folder of C99 without dependencies; html: a page to use.
        out: File or folder to write; by default model.onnx, model-c or model.html in the run folder, or the like beside
            the weights file; with -int8 where that is given.
        int8: Write 8-bit integers instead of float; not for html.
        data: A known name or a folder, to check with; by default what the run was trained on.
        json: Print what was found as JSON.
    """
    from tenk.datasets import load_digits
    from tenk.runs import Run, load_weights, recorded_data

    model, facts = load_weights(weights)
    digits = load_digits(data or recorded_data(weights))
    kind: Literal["float", "int8"] = "int8" if int8 else "float"
    suffix = "-int8" if int8 else ""
    base = weights / "model" if weights.is_dir() else weights.with_suffix("")
    match to:
        case "onnx":
            from tenk.export.onnx import export_onnx as write

            ending = ".onnx"
        case "c":
            from tenk.export.c import export_c as write

            ending = "-c"
        case "html":
            from tenk.export.html import export_html as write

            ending = ".html"
    target = out or Path(f"{base}{suffix}{ending}")
    refuse_same(target, Run(weights).model_file if weights.is_dir() else weights)
    found = write(model, facts, target, kind, digits)
    show_json(found.to_dict()) if json else _show_export(found, digits.note)


def _show_export(found: Exported, note: str) -> None:
    from tenk.terminal import build_table, literal
    from tenk.text import printable

    facts = [
        (name.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value))
        for name, value in found.notes.items()
    ]
    if found.agreement is None:
        facts.append(("checked", "no: there is no C compiler here. where there is one, run: make test"))
    else:
        checked = found.agreement
        facts += [
            ("checked on", f"{checked.images:,} test images of {checked.data}"),
            ("largest difference of a logit", f"{checked.largest_difference:.2g}"),
            ("read differently from PyTorch", f"{checked.differing:,}"),
            ("accuracy", f"{checked.accuracy:.2%} (PyTorch: {checked.torch_accuracy:.2%})"),
        ]
    sizes = [(f"{name}, bytes", f"{size:,}") for name, size in found.sizes.items()]
    show(build_table(f"written: {printable(str(found.path))}", (), [*sizes, *facts]))
    show(literal(note))

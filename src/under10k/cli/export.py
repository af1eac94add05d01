"""`under10k export`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from under10k.cli import names
from under10k.cli.output import refuse_same, show, show_json
from under10k.cli.parsing import DataName, Flag, NetworkName, Weights, shown
from under10k.errors import UsageError

if TYPE_CHECKING:
    from under10k.export import Exported


def export(
    weights: Weights,
    /,
    *,
    to: Literal["onnx", "c", "html"],
    out: Annotated[Path | None, shown("OUT", "-o", complete=names.files)] = None,
    int8: Flag = False,
    name: Annotated[str | None, shown("NAME")] = None,
    frame: Flag = False,
    model: NetworkName = None,
    views: Literal[1, 5] | None = None,
    data: DataName = None,
    json: Flag = False,
) -> None:
    """Write a trained network as ONNX, C or a web page, and check it.

    Before anything is written, its answers are compared with PyTorch's on all test images.

    Args:
        weights: A run folder, a weights file, or the name of bundled weights.
        to: onnx: one file for ONNX Runtime and others; c: a folder of C99 without dependencies; html: a web page.
        out: File or folder to write; by default model.onnx, model-c or model.html in the run folder, or beside the
            weights file and named after it; --int8 adds -int8 to the name.
        int8: Write 8-bit integers instead of float; not for html.
        name: For c: the network's name in C; by default under10k_ and the name of the run or weights.
        frame: For c: add a function that finds and frames the digit in a camera's grey picture.
        model: Your own network, such as my_net.py:Net, where the file that the run names is gone or has changed.
        views: Views of an image over which logits are averaged; by default as many as its recipe had.
        data: A known name, folder or file to check with; by default the data that the run was trained on.
        json: Print the result as JSON.
    """
    from under10k.data import load_digits
    from under10k.runs import Run, load_weights, recorded_data

    network, facts = load_weights(weights, model=model, views=views)
    kind: Literal["float", "int8"] = "int8" if int8 else "float"
    suffix = "-int8" if int8 else ""
    base = weights / "model" if weights.is_dir() else weights.with_suffix("")
    target = out or Path(f"{base}{suffix}{'-c' if to == 'c' else f'.{to}'}")
    if name and to != "c":
        raise UsageError(f"a name in C for {to}: {name}. leave out --name")
    if frame and to != "c":
        raise UsageError(f"framing in C for {to}: --frame. leave it out")
    refuse_same(target, Run(weights).model_file if weights.is_dir() else weights)
    match to:  # what can be refused is refused before the data is read and the network tried
        case "onnx":
            from under10k.export import export_onnx as write
            from under10k.export import require_onnx

            require_onnx(target)
        case "c":
            from under10k.export import export_c, name_in_c, require_c

            name = name or name_in_c(weights.resolve().name if weights.is_dir() else weights.stem)
            require_c(target, name)
            write = functools.partial(export_c, name=name, frame=frame)
        case "html":
            from under10k.export import export_html as write
            from under10k.export import require_html

            require_html(target, kind)
    digits = load_digits(data or recorded_data(weights))
    found = write(network, facts, target, kind, digits)
    show_json(found.to_dict()) if json else _show_export(found, digits.note)


def _show_export(found: Exported, note: str) -> None:
    from under10k.terminal import build_table, literal
    from under10k.text import printable

    facts = [
        (name.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value))
        for name, value in found.notes.items()
    ]
    if found.agreement is None:
        facts.append(("checked", "no: there is no C compiler here. run make test where there is one"))
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

"""`under10k predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from under10k.cli import names
from under10k.cli.output import complain, refuse_same, show_json
from under10k.cli.parsing import Flag, shown
from under10k.errors import Under10kError, UsageError
from under10k.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from under10k.pictures import Prediction


STANDARD_INPUT = Path("/dev/stdin")
"""What `-` stands for."""


MOST_BYTES = 2**28
"""Bytes that are read from a pipe, which does not say how many it will bring: 256 MiB."""


def predict(
    *pictures: Annotated[Path, shown("PICTURE", complete=names.files, required=True)],
    model: Annotated[str, shown("WEIGHTS", complete=names.weights)] = "robust",
    multi: Flag = False,
    invert: Flag = False,
    explain: Annotated[Path | None, shown("OUT", complete=names.files)] = None,
    json: Flag = False,
) -> None:
    """Read the digits in pictures: drawn, scanned or photographed.

    Takes PNG, JPEG, BMP, GIF and WebP; - reads the picture from standard input.

    Args:
        pictures: Picture files, one digit in each.
        model: Bundled weights, a run folder or a weights file.
        multi: Find every digit in a picture, and read them row by row, from left to right.
        invert: Take light for ink where dark was taken, and the other way round.
        explain: Picture to draw: the input, what was found in it, and how likely each digit is.
        json: Print as JSON.
    """
    if explain and len(pictures) > 1:
        raise UsageError(f"--explain and several pictures: {len(pictures)}. give one picture to draw")
    if explain:
        from under10k.files import require_file

        require_file(explain)
        refuse_same(explain, pictures[0])

    from under10k.pictures import predict as read
    from under10k.pictures import predict_all
    from under10k.runs import load_model

    network = load_model(model)
    answers: list[dict[str, Any]] = []
    for path in pictures:
        name = "-" if path == STANDARD_INPUT else str(path)
        try:
            source = _read_pipe(path, name)
            found = predict_all(source, network, invert=invert) if multi else [read(source, network, invert=invert)]
        except Under10kError as error:
            answers.append({"picture": name, "error": complain(str(error))})
            continue
        if explain:
            from under10k.plots import save_explanation

            save_explanation(found, explain)
        answers += [_describe(name, found)] if multi else [{"picture": name, **found[0].to_dict()}]
        if not json:
            _show(name, found, multi)
    if json:
        show_json(answers)
    if any("error" in answer for answer in answers):
        sys.stdout.flush()
        sys.exit(1)


def write_out_dashes(words: Sequence[str]) -> list[str]:
    """Write the file that `-` stands for in its place: a parser takes what begins with a dash for an option."""
    return [str(STANDARD_INPUT) if word == "-" else word for word in words]


def _read_pipe(path: Path, name: str) -> Path | bytes:
    """Return what a pipe brings; any other path as it is."""
    try:
        if path != STANDARD_INPUT and not path.is_fifo():
            return path
    except OSError:  # a name too long, or a folder that may not be looked into: for the reader of pictures to tell
        return path
    try:
        with path.open("rb") as pipe:
            content = pipe.read(MOST_BYTES + 1)
    except OSError as error:
        raise Under10kError(f"cannot read the picture: {name} ({error.strerror}). give a file") from None
    if len(content) > MOST_BYTES:
        raise Under10kError(f"picture too large: {name} has more than {MOST_BYTES:,} bytes. give a smaller one")
    if not content:
        raise Under10kError(
            f"empty picture: {name} has no bytes. write, for instance: cat digit.png | under10k predict -"
        )
    return content


def _describe(name: str, found: Sequence[Prediction]) -> dict[str, Any]:
    """Return all that was read in one picture, for JSON: the rows as texts, and every digit with its row and box."""
    from under10k.pictures import split_rows

    rows = split_rows(found)
    return {
        "picture": name,
        "rows": [_text(row) for row in rows],
        "digits": [{"row": number, **one.to_dict()} for number, row in enumerate(rows) for one in row],
        "warning": found[0].warning if found[0].digit is None else None,
    }


def _text(row: Sequence[Prediction]) -> str:
    return "".join(str(one.digit) for one in row)


def _show(name: str, found: Sequence[Prediction], multi: bool) -> None:
    """Print what was read: of several digits their rows first, as they would be written, then each by itself."""
    from under10k.pictures import OTHER_INK, split_rows

    if multi:
        for row in split_rows(found):
            print(f"{printable(name)}: {_text(row)}")
    for one in found:
        head = "  " if multi and one.digit is not None else f"{printable(name)}: "
        print(f"{head}{_digit(one)}")
        if one.warning:
            remedy = " --multi reads each" if OTHER_INK in one.warning else ""
            print(f"{'  ' if multi else ''}  warning: {printable(one.warning)}{remedy}")


def _digit(found: Prediction) -> str:
    if found.digit is None or found.runner_up is None:
        return "-"
    runner_up = f"{found.runner_up}: {found.probabilities[found.runner_up]:.1%}"
    return f"{found.digit}  {found.probability:.1%}  ({runner_up})"

"""`under10k predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from under10k.cli import names
from under10k.cli.output import complain, refuse_same, show_json
from under10k.cli.parsing import Count, Flag, NetworkName, shown
from under10k.errors import ModelError, Under10kError, UsageError
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
    jobs: Count = None,
    network: NetworkName = None,
    json: Flag = False,
) -> None:
    """Read the digits in pictures: drawn, scanned or photographed.

    Takes PNG, JPEG, BMP, GIF, WebP, HEIC, AVIF and TIFF; - reads the picture from standard input.

    Args:
        pictures: Picture files, one digit in each, or folders of such files.
        model: Bundled weights, a run folder or a weights file.
        multi: Find every digit in a picture, and read them row by row, from left to right.
        invert: Take light for ink where dark was taken, and the other way round.
        explain: Picture to draw: the input, what was found in it, and how likely each digit is.
        jobs: Pictures that are decoded at a time; by default as many as there are cores.
        network: Your own network, such as my_net.py:Net, where the file that the run names is gone or has changed.
        json: Print as JSON.
    """
    if explain and len(pictures) > 1:
        raise UsageError(f"--explain and several pictures: {len(pictures)}. give one picture to draw")
    if explain:
        from under10k.files import require_file

        require_file(explain)
        refuse_same(explain, pictures[0])

    from under10k.pictures import describe_rows, read_pictures
    from under10k.runs import load_model

    try:
        loaded = load_model(model, model=network)
    except ModelError as error:  # other verbs have --model for that
        raise ModelError(str(error).replace("model=", "network=")) from None
    answers: list[dict[str, Any]] = []
    paths = [path for given in pictures for path in _expand(given)]
    if explain and len(paths) > 1:
        raise UsageError(f"--explain and several pictures: {len(paths)}. give one picture to draw")
    sources = [_read_pipe(path, _name(path)) for path in paths]
    for path, found in zip(paths, read_pictures(sources, loaded, multi=multi, invert=invert, jobs=jobs), strict=True):
        name = _name(path)
        if isinstance(found, Under10kError):
            answers.append({"picture": name, "error": complain(str(found))})
            continue
        if explain:
            from under10k.plots import plot_explanation, save_figure

            save_figure(plot_explanation(found), explain)
        answers += [{"picture": name, **(describe_rows(found) if multi else found[0].to_dict())}]
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


def _name(path: Path) -> str:
    return "-" if path == STANDARD_INPUT else str(path)


def _expand(path: Path) -> Sequence[Path]:
    """Return the pictures in a folder; any other path, and a folder without any, as it is."""
    from under10k.pictures import split

    try:
        return split(path) or [path]
    except Under10kError:  # for the reader of pictures to tell
        return [path]


def _read_pipe(path: Path, name: str) -> Path | bytes | Under10kError:
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
        return Under10kError(f"cannot read the picture: {name} ({error.strerror}). give a file")
    if len(content) > MOST_BYTES:
        return Under10kError(f"picture too large: {name} has more than {MOST_BYTES:,} bytes. give a smaller one")
    if not content:
        return Under10kError(
            f"empty picture: {name} has no bytes. write, for instance: cat digit.png | under10k predict -"
        )
    return content


def _show(name: str, found: Sequence[Prediction], multi: bool) -> None:
    """Print what was read: of several digits their rows first, as they would be written, then each by itself."""
    from under10k.pictures import OTHER_INK, row_text, split_rows

    if multi:
        for row in split_rows(found):
            print(f"{printable(name)}: {row_text(row)}")
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

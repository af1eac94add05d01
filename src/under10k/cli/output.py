"""What the verbs print with: tables, JSON, and one line where something failed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from under10k.errors import StoppedError, Under10kError, UsageError, explain_os_error
from under10k.text import printable, shorten

if TYPE_CHECKING:
    from rich.table import Table


def prepare_output() -> None:
    """Make printing safe where an output is closed, or cannot show every letter."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (it stays open)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def show(what: str | Table) -> None:
    """Print a table, or a text that may have rich's markup."""
    if what:
        from under10k.terminal import open_console

        open_console().print(what, soft_wrap=isinstance(what, str))


def show_json(value: Any) -> None:
    """Print a value as JSON; NaN and infinities, which JSON has not, are refused."""
    print(json.dumps(value, indent=2, allow_nan=False))


def show_facts(facts: dict[str, Any], as_json: bool) -> None:
    """Print named facts, for people those alone that are there."""
    if as_json:
        show_json(facts)
        return
    from under10k.terminal import build_table

    show(build_table("", (), [(name, str(value)) for name, value in facts.items() if value not in (None, "")]))


def show_rows(title: str, columns: tuple[str, ...], rows: Sequence[Sequence[object]], as_json: bool) -> None:
    """Print rows as a table, or as a list of objects."""
    if as_json:
        show_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    from under10k.terminal import build_table

    show(build_table(title, columns, rows))


def complain(message: str, kind: str = "error") -> str:
    """Print a message on standard error, where that takes anything, and return it as printed."""
    line = shorten(printable(message))
    with contextlib.suppress(OSError):
        print(f"{kind}: {line}", file=sys.stderr)
    return line


def describe_error(error: BaseException) -> tuple[str, str, int]:
    """Return what kind of end an error is, one line for a person, and the exit code."""
    if isinstance(error, StoppedError):
        return "stopped", str(error).removeprefix("stopped: "), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "stopped", "interrupted.", 130
    return ("error", *_explain(error))


def _explain(error: BaseException) -> tuple[str, int]:
    if isinstance(error, Under10kError):
        return _in_shells_words(str(error)), error.exit_code
    if isinstance(error, OSError):
        return explain_os_error(error), 1
    if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
        return "out of memory. close other programs, or allow more: ulimit -v unlimited", 1
    if type(error).__name__ == "OutOfMemoryError":
        return "out of device memory. lower --batch-size, or give --device cpu", 1
    return f"{type(error).__name__}: {error}. this is a bug in under10k: --debug shows where", 1


def _in_shells_words(message: str) -> str:
    """Write the remedy of an error, which names an argument as Python has it, as an option."""
    return _ARGUMENT.sub(lambda found: f"--{found[1]} {found[2]}", message)


_ARGUMENT = re.compile(r"\b(device|engine|data|model|network|threads)='?([\w.:-]+)'?(?=$|, or )")


_NO_MEMORY = ("can't allocate memory", "Cannot allocate memory", "failed to map segment", "can't start new thread")
"""What torch, the loader of libraries and threads say where there is none; none of them has an error of its own."""


def choose_picture(out: Path | None, default: Path) -> Path:
    """Return the picture to write: the one that is named, or else the default, which must not be there yet."""
    if out is None and default.exists():
        raise UsageError(f"already there: {default}. name the picture to write with: -o PICTURE")
    return out or default


def refuse_same(out: Path, source: Path) -> None:
    """Keep from writing over what is read."""
    if out.exists() and source.exists() and out.samefile(source):
        raise UsageError(f"would overwrite its own input: {out}. give another name to write to")

"""The help: as wide as the terminal, and true, since it is made of what the verbs declare."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from under10k.cli.parsing import Verb, list_arguments, metavar, options, takes_many, usage
from under10k.version import __version__

if TYPE_CHECKING:
    from cyclopts.argument import Argument


NARROWEST, WIDEST = 20, 100
"""Columns that the help is made for, at least and at most: nobody reads lines of 200 letters with ease."""


EXIT_CODES = {
    0: "done",
    1: "run-time",
    2: "usage",
    3: "data",
    4: "checkpoint or model",
    5: "diverged",
    6: "folder busy",
    130: "interrupted",
    143: "terminated",
}


_TIED = "\xa0"
"""A space at which no line is broken."""


def describe_all(verbs: Mapping[str, Verb]) -> str:
    """Return the help of the whole: every verb in a line."""
    return "\n".join(
        [
            *_wrap(f"under10k {__version__}: read digits with networks of under 10,000 parameters"),
            "",
            *_wrap("usage: under10k VERB [OPTION...]     start with: under10k train"),
            "",
            *_table([(name, _first_line(verb)) for name, verb in verbs.items()]),
            "",
            *_wrap("under10k VERB --help: the options of a verb; --debug: the traceback of an error"),
            *_wrap("under10k completion --help: how to make the Tab key complete all this"),
            *_wrap("exit codes: " + ", ".join(f"{code}{_TIED}{name}" for code, name in EXIT_CODES.items()), hanging=12),
        ]
    )


def describe_verb(function: Verb, verb: str) -> str:
    """Return the help of a verb: how it is written, what it does, and each of its arguments."""
    arguments = list_arguments(function, verb)
    placed = [argument for argument in arguments if argument.index is not None]
    fields = [argument for argument in arguments if argument.keys]
    others = [argument for argument in arguments if argument.index is None and not argument.keys]
    parts: list[Iterable[str]] = [_wrap(f"usage: {usage(arguments, verb)}", hanging=7), _prose(function)]
    if placed:
        parts.append(_table([(_place(argument), _about(argument)) for argument in placed]))
    rows = [(_option(argument), _about(argument)) for argument in others]
    parts.append(["options:", *_table([*rows, ("-h, --help", "Show this.")])])
    if fields:
        heading = "fields of the recipe (`under10k recipes RECIPE` shows their values):"
        parts.append([*_wrap(heading), *_table([(_option(field), _about(field)) for field in fields])])
    return "\n\n".join("\n".join(part) for part in parts)


def _prose(function: Verb) -> Iterator[str]:
    """Yield what stands in a verb's docstring before its arguments; indented lines, which are examples, stay."""
    text = inspect.cleandoc(function.__doc__ or "").partition("\nArgs:\n")[0].strip()
    for paragraph in text.split("\n\n"):
        if paragraph != text.split("\n\n")[0]:
            yield ""
        yield from [paragraph] if paragraph.startswith("    ") else _wrap(" ".join(paragraph.split()))


def _place(argument: Argument) -> str:
    name = metavar(argument) + ("..." if takes_many(argument) else "")
    return name if argument.required else f"[{name}]"


def _option(argument: Argument) -> str:
    return f"{', '.join(options(argument))} {metavar(argument)}".rstrip()


def _about(argument: Argument) -> str:
    """Return what an argument is for, and its default where there is one to speak of."""
    default = argument.field_info.default
    text = argument.parameter.help or ""
    if default in (None, False, (), inspect.Parameter.empty):
        return text
    return f"{text} (default: {'on' if default is True else default})"


def _first_line(function: Verb) -> str:
    return (function.__doc__ or "").partition("\n")[0].rstrip(".")


def _columns() -> int:
    return min(max(NARROWEST, shutil.get_terminal_size().columns), WIDEST)


def _wrap(text: str, *, hanging: int = 0) -> list[str]:
    lines = textwrap.wrap(text, _columns(), subsequent_indent=" " * hanging, break_on_hyphens=False) or [""]
    return [line.replace(_TIED, " ") for line in lines]


def _table(rows: list[tuple[str, str]]) -> Iterator[str]:
    """Yield lines of names and what they are, side by side where there is room, else one below the other."""
    widest = max(len(name) for name, _ in rows)
    indent = min(widest + 4, 28) if _columns() >= 60 else 6
    for name, about in rows:
        lines = textwrap.wrap(about, _columns() - indent, break_on_hyphens=False)
        if len(name) + 4 <= indent and lines:
            yield f"  {name:<{indent - 4}}  {lines.pop(0)}"
        else:
            yield from textwrap.wrap(
                name, _columns(), initial_indent="  ", subsequent_indent=" " * 6, break_on_hyphens=False
            )
        yield from (" " * indent + line for line in lines)

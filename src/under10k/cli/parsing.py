"""From words to a call: how arguments are declared, parsed and, where they are wrong, explained in one line."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, ArgumentCollection, Parameter
from cyclopts.argument import Argument
from cyclopts.exceptions import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from under10k.cli import names
from under10k.errors import Under10kError, UsageError, unknown_name

if TYPE_CHECKING:
    from under10k.data import Dataset

Verb = Callable[..., None]
"""A function that does what a verb says; its parameters are the verb's arguments, its docstring their help."""


def shown(
    metavar: str, *aliases: str, complete: names.Completer = names.nothing, required: bool | None = None
) -> Parameter:
    """Declare an argument: what its value is called in the help, and what may be written in its place."""
    return Parameter(metavar=metavar, alias=aliases, completer=complete, required=required)


Flag = Annotated[bool, Parameter(negative="")]
"""An option that is given or not; a plain bool can be denied, too: `--no-...`."""


Quiet = Annotated[bool, Parameter(negative="", alias="-q")]


Weights = Annotated[Path, shown("WEIGHTS", complete=names.weights)]


NetworkName = Annotated[str | None, shown("FILE.py:NAME", complete=names.files)]


Folder = Annotated[Path | None, shown("FOLDER", complete=names.files)]


DataName = Annotated[str | None, shown("DATA", complete=names.data)]


Device = Annotated[str, shown("DEVICE", complete=names.devices)]


Count = Annotated[int | None, shown("COUNT")]


def field_of(about: str, metavar: str, complete: names.Completer, split: Callable[..., list[str]]) -> Parameter:
    """Declare a field of a recipe: an option that may be given several times, and comma lists of values."""
    return Parameter(help=about, metavar=metavar, completer=complete, converter=split, negative_iterable=())


def group_of(fields: Any) -> Any:
    """Declare that the members of a dictionary type are options each, named after their dotted places."""
    return Annotated[fields, Parameter(name="*")]


def parse(function: Verb, verb: str, words: Sequence[str]) -> Callable[[], None]:
    """Return the call that a verb's words come to.

    Raises:
        UsageError: a word that the verb does not know, or one that is missing.
    """
    try:
        command, bound, _ = _app(function, verb).parse_args(words, print_error=False, exit_on_error=False)
    except CycloptsError as error:
        if isinstance(error.__cause__, Under10kError):
            raise error.__cause__ from None
        raise UsageError(f"{_explain(error, function, verb)} see: under10k {verb} --help") from None
    return functools.partial(command, *bound.args, **bound.kwargs)


def list_arguments(function: Verb, verb: str) -> list[Argument]:
    """Return what a verb takes, in the order it is declared in, without the names of groups of fields."""
    found: ArgumentCollection = _app(function, verb).assemble_argument_collection(parse_docstring=True)
    return [argument for argument in found if argument.show and not argument.children]


def options(argument: Argument) -> list[str]:
    """Return the names of an option, the short ones first; none of an argument that has its place."""
    return sorted((name for name in argument.names if name.startswith("-")), key=lambda name: name.startswith("--"))


def is_flag(argument: Argument) -> bool:
    """Tell whether an argument is an option without a value."""
    return bool(argument.token_count()[0] == 0)


def metavar(argument: Argument) -> str:
    """Return what the value of an argument is called; nothing for a flag."""
    if is_flag(argument):
        return ""
    return argument.parameter.metavar or "|".join(argument.get_choices(force=True) or ()) or argument.names[0].upper()


def takes_many(argument: Argument) -> bool:
    """Tell whether an argument that has its place takes all words that follow."""
    return bool(argument.index is not None and argument.is_var_positional())


def usage(arguments: Iterable[Argument], verb: str) -> str:
    """Return how a verb is written: what it must have, then that there is more."""
    words = [f"under10k {verb}"]
    rest = False
    for argument in arguments:
        name = metavar(argument) + ("..." if takes_many(argument) else "")
        if argument.index is not None:
            words.append(name if argument.required else f"[{name}]")
        elif argument.required:
            words.append(f"{options(argument)[-1]} {name}")
        else:
            rest = True
    return " ".join([*words, *(["[OPTION...]"] if rest else [])])


def _app(function: Verb, verb: str) -> App:
    app = App(
        name=f"under10k {verb}",
        help_flags=(),
        version_flags=(),
        help_format="plaintext",
        default_parameter=Parameter(json_dict=False, json_list=False),
    )
    app.default(function)
    return app


def _explain(error: CycloptsError, function: Verb, verb: str) -> str:
    """Say in words for people what is wrong with a verb's words."""
    argument = error.argument
    if isinstance(error, UnknownOptionError):
        known = [name for each in error.argument_collection for name in each.names if name.startswith("-")]
        return _unknown_option((error.token.keyword or error.token.value).partition("=")[0], [*known, "--help"])
    if isinstance(error, UnusedCliTokensError):
        return f"unexpected argument: {(error.unused_tokens or [''])[0]!r:.200}. leave it out, or name its option."
    if isinstance(error, RepeatArgumentError):
        return f"given twice: {error.token.keyword}. give it once."
    if isinstance(error, MissingArgumentError) and argument:
        if error.keyword or any(token.keyword for token in argument.tokens):
            option = error.keyword or argument.names[0]
            return f"missing value: {option}. write {option}={metavar(argument)}."
        name = metavar(argument)
        name = f"{options(argument)[-1]} {name}" if argument.index is None else name
        return f"missing: {name}. write: {usage(list_arguments(function, verb), verb)}."
    if isinstance(error, CoercionError) and argument and error.token:
        name = error.token.keyword or argument.field_info.name
        if argument.children:
            return f"a group of options: {name}. write one of them, such as {argument.children[0].names[0]}."
        if is_flag(argument):
            return f"unexpected value: {name}={error.token.value:.200}. leave it out."
        choices = argument.get_choices(force=True)
        if choices:
            return f"{unknown_name(name, error.token.value, choices)}."
        kind = {int: "a whole number", float: "a number"}.get(argument.resolved_hint, "a value for it")
        return f"not {kind}: {name} {error.token.value!r:.200}. correct it."
    message = " ".join(str(error).split()).rstrip(".")
    return f"{message[:1].lower()}{message[1:]}."


def _unknown_option(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"unknown option: {name}." + (f" did you mean {near[0]}?" if near else " check its name.")


def load_strictly(data: str | None) -> Dataset:
    """Read the data of `--data`, of which every file must be readable.

    Raises:
        UsageError: none was named.
        DataError: one is not.
    """
    if data is None:
        raise UsageError("--strict without --data: it is about your own files. name them with --data")
    from under10k.data import load_digits

    return load_digits(data, strict=True)

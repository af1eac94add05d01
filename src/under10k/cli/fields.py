"""The fields of a recipe as options of `train` and `study`: made of the recipe itself, so that none is forgotten."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, TypedDict, Union, get_args, get_origin, get_type_hints

from under10k.cli import names
from under10k.cli.parsing import field_of, group_of
from under10k.errors import UsageError
from under10k.recipes import Recipe
from under10k.typed import ABOVE_ZERO, Between

_COMMAS = re.compile(r",(?![^(]*\))")
"""Commas outside of brackets, such as those of my_net.py:Net(8, 16)."""

_BOOLEANS = re.compile(r"(true|false)(,(true|false))*", re.IGNORECASE)


def fields_as_options(*, without: Sequence[str] = ()) -> Any:
    """Return the annotation of a parameter that takes any field of a recipe, as `{"optimizer": {"lr": ["0.1"]}}`."""
    return group_of(_options(Recipe, without=without))


def read_fields(given: Mapping[str, Any] | None) -> dict[str, list[Any]]:
    """Return the fields that were given by their dotted names, each with all of its values.

    `none`, `true` and `false` are what they say; what is no value of its field is left for the recipe to refuse.
    """
    kinds = dict(_kinds(Recipe))
    return {name: [_read(text, kinds[name]) for text in texts] for name, texts in _flatten(given or {})}


def read_one_of_each(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the fields that were given, each with its one value.

    Raises:
        UsageError: there are several for one.
    """
    for name, texts in _flatten(given or {}):
        if len(texts) != 1:
            several = ",".join(texts)
            each = f"; to train with each: under10k study RECIPE {_option(name)} {several}"
            raise UsageError(
                f"several values for {name}: {several}. give one{'' if name in ('name', 'seed') else each}"
            )
    return {name: values[0] for name, values in read_fields(given).items()}


def spell_out_flags(words: Sequence[str]) -> list[str]:
    """Write `--residual true,false` as the two options that it is: a flag alone takes no value."""
    flags = {_option(name) for name, kind in _kinds(Recipe) if kind is bool}
    written: list[str] = []
    for word in words:
        option, equals, values = word.partition("=")
        if written and written[-1] in flags and _BOOLEANS.fullmatch(word):
            option, values = written.pop(), word
        elif not (equals and option in flags):
            written.append(word)
            continue
        written += [f"{option}={value}" for value in values.split(",")]
    return written


def _options(kind: type, without: Sequence[str] = ()) -> Any:
    """Build the dictionary type of a dataclass: a list of texts for each field, as many as were given."""
    about = describe_fields(kind)
    members: dict[str, Any] = {}
    whole = get_type_hints(kind, include_extras=True)
    for name, hint in _hints(kind):
        if is_dataclass(hint):
            members[name] = _options(hint)  # type: ignore[arg-type]
        elif name not in without:
            text = about[name].rstrip(".") + _range(whole[name]) + "."
            many = list[bool] if hint is bool else list[str]
            members[name] = Annotated[many, field_of(text, _metavar(name, hint), _complete(name, hint), _split)]
    return TypedDict(kind.__name__, members, total=False)  # type: ignore[operator]


def describe_fields(kind: type) -> dict[str, str]:
    """Return what stands below each field of a dataclass, in one line."""
    body = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(body, ast.ClassDef)
    return {
        field.target.id: " ".join(str(text.value.value).split())
        for field, text in itertools.pairwise(body.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }


def _range(hint: Any) -> str:
    """Return the range of a field as the end of a sentence about it; nothing for one without."""
    if get_origin(hint) in (Union, types.UnionType):
        return _range(get_args(hint)[0])
    for bound in getattr(hint, "__metadata__", ()):
        if isinstance(bound, Between):
            if bound.high >= 1e9:
                return "; more than 0" if bound.low == ABOVE_ZERO else f"; {bound.low:,} or more"
            return f"; {bound.low:,} to {int(bound.high) if bound.high == int(bound.high) else bound.high:,}"
    return ""


def _hints(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a dataclass with their types, without ranges."""
    hints = get_type_hints(kind)
    yield from ((field.name, hints[field.name]) for field in fields(kind))


def _kinds(kind: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted names of all fields, those of the groups within too."""
    for name, hint in _hints(kind):
        if is_dataclass(hint):
            yield from _kinds(hint, f"{prefix}{name}.")  # type: ignore[arg-type]
        else:
            yield prefix + name, hint


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _metavar(name: str, hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "|".join(map(str, get_args(hint)))
    unit = name.rpartition("_")[2].upper()
    own = {
        "model": "NETWORK",
        "start": "WEIGHTS",
        "teacher": "WEIGHTS",
        "name": "NAME",
        "seed": "SEED",
        "batch_size": "IMAGES",
    }
    return unit if unit in ("DEGREES", "PIXELS", "EPOCHS") else own.get(name, "NUMBER")


def _complete(name: str, hint: Any) -> names.Completer:
    if get_origin(hint) is Literal:
        return lambda _: tuple(map(str, get_args(hint)))
    return {"model": names.networks, "start": names.weights, "teacher": names.teachers}.get(name, names.nothing)


def _split(_: Any, tokens: Sequence[Any]) -> list[str]:
    """Take the comma lists of all the options of one field apart."""
    texts = [
        str(token.implicit_value).lower() if isinstance(token.implicit_value, bool) else token.value for token in tokens
    ]
    return [part for text in texts for part in _COMMAS.split(text)]


def _flatten(given: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    for name, value in given.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _read(text: str, hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        return None if text.lower() == "none" else _read(text, get_args(hint)[0])
    if hint is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if get_origin(hint) is Literal:
        return {str(one): one for one in get_args(hint)}.get(text, text)
    try:
        return hint(text) if hint in (int, float) else text
    except ValueError:
        return text

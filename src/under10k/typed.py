"""Typed values read from JSON."""

from __future__ import annotations

import inspect
import math
import types
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from under10k.errors import UsageError, unknown_name

T = TypeVar("T", bound="Typed")


@dataclass(frozen=True)
class Between:
    """Range of a number, as in `Annotated[float, Between(0, 0.99)]`; both bounds belong to it."""

    low: float
    high: float

    def __str__(self) -> str:
        least = "more than 0" if self.low == ABOVE_ZERO else f"at least {self.low:,}"
        return f"{least} and at most {self.high:,}"


ABOVE_ZERO = math.ulp(0.0)
"""The smallest positive number: the lower bound of what must be more than 0."""


class Typed:
    """Base class of dataclasses: a value of a wrong type or out of range is a `UsageError`.

    Fields may be bool, int, float (finite; an int is converted), str, `Literal`, `X | None`, list, dict, tuple (a list
    is converted), and other such dataclasses (a dict is converted).
    """

    prefix: ClassVar[str] = ""
    """Prefix of a field's name in errors and on the command line."""

    def __post_init__(self) -> None:
        kinds = get_type_hints(type(self), include_extras=True)
        for field in fields(self):  # type: ignore[arg-type]
            value = _convert(kinds[field.name], getattr(self, field.name), f"{self.prefix}{field.name}")
            object.__setattr__(self, field.name, value)


def build(kind: type[T], value: Any, where: str, *, ignore_unknown: bool = False) -> T:
    """Build a dataclass from parsed JSON; `where` names it in errors.

    Raises:
        UsageError: a field is missing, unknown (unless these are ignored), of a wrong type or out of range.
    """
    if not isinstance(value, dict):
        raise UsageError(f"{where}: {value!r:.80} is not a group of fields. correct it")
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for name in value:
        if name not in known and not ignore_unknown:
            raise unknown_name(f"field of {where}", name, known)
    for name, field in known.items():
        if name not in value and field.default is MISSING and field.default_factory is MISSING:
            raise UsageError(f"{where} has no {name}. add it")
    return kind(**{name: item for name, item in value.items() if name in known})


def _convert(kind: Any, value: Any, where: str) -> Any:
    bounds: list[Any] = []
    if get_origin(kind) is Annotated:
        kind, *bounds = get_args(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else _convert(inner[0], value, where)
    if origin is Literal:
        if (type(value), value) not in [(type(one), one) for one in inner]:  # 1 is not True
            raise unknown_name(where, str(value), inner)
        return value
    if origin is tuple and isinstance(value, list | tuple) and len(value) == len(inner):
        return tuple(_convert(one, item, where) for one, item in zip(inner, value, strict=True))
    if origin is list and isinstance(value, list):
        return [_convert(inner[0], item, where) for item in value]
    if origin is dict and isinstance(value, dict):
        return {_convert(inner[0], key, where): _convert(inner[1], item, where) for key, item in value.items()}
    if inspect.isclass(kind) and issubclass(kind, Typed) and isinstance(value, dict):
        return build(kind, value, where)
    if kind is float and type(value) is int and abs(value) < 2**53:
        value = float(value)
    if type(value) is not kind or (kind is float and not bounds and not math.isfinite(value)):
        raise UsageError(f"{where}: {value!r:.80} is not {_KINDS.get(origin or kind, 'a group of fields')}. correct it")
    for bound in bounds:
        if isinstance(bound, Between) and not bound.low <= value <= bound.high:
            raise UsageError(f"{where} out of range: {value}. give {bound}")
    return value


_KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    list: "a list",
    dict: "a group of fields",
    tuple: "a list of the right length",
}

"""What is read from JSON has the types that a dataclass is annotated with, or is refused."""

from __future__ import annotations

import math
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


class Checked:
    """A dataclass, read from JSON, that refuses values of another type than its fields are annotated with."""

    def __post_init__(self) -> None:
        for name, annotation in get_type_hints(type(self)).items():
            if not _fits(getattr(self, name), annotation):
                raise TypeError(f"{name}: {getattr(self, name)!r:.80} is not of type {annotation}")


def _fits(value: Any, annotation: Any) -> bool:
    """Tell whether a value is of a type; a number must be finite, and one that may be a fraction may be whole."""
    kind, inner = get_origin(annotation), get_args(annotation)
    if kind in (Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if kind is Literal:
        return value in inner
    if kind is dict:
        return isinstance(value, dict) and all(_fits(key, inner[0]) and _fits(value[key], inner[1]) for key in value)
    if kind is list:
        return isinstance(value, list) and all(_fits(one, inner[0]) for one in value)
    if kind is tuple:
        return isinstance(value, tuple) and len(value) == len(inner) and all(map(_fits, value, inner))
    if annotation is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is annotation

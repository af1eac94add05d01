"""What float and int8 do not have in common when a network is written in C."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from under10k.export.c.layout import Maps, find_distance
from under10k.export.int8 import IntegerStage
from under10k.export.plain import AveragePool
from under10k.export.stages import Stage

ABREAST = 5
"""Most neighbours that float computes at once: each weight is loaded once for all, and their sums still fit in
registers."""


LANES = 16
"""Float fills up each convolution with filters of zeros to a multiple of this, so that compilers use vectors
throughout."""


Table = tuple[str, str, NDArray[np.generic]]
"""Type, name and values of a constant array."""


S = TypeVar("S", bound=Stage)


@dataclass(frozen=True)
class Arithmetic(ABC, Generic[S]):
    """The numbers that a network computes with in C."""

    name: str
    """The network's."""

    value: ClassVar[str]
    """Type of a stage's input."""
    total: ClassVar[str]
    """Type of a sum."""
    lowest: ClassVar[str]
    """The least sum there is."""
    cast: ClassVar[str]
    """What turns an input into a factor of a sum."""
    apart: ClassVar[str]
    """What stands before the names of a stage's input and output."""
    widest: ClassVar[str]
    """What stands before a function that is compiled for each width of vector registers."""

    def label(self, stage: S) -> str:
        """Return what all names of a stage end in."""
        return f"{self.name}_{stage.number}"

    @abstractmethod
    def result(self, stage: S) -> str:
        """Return the type of a stage's output."""

    @abstractmethod
    def border(self, stage: S) -> str:
        """Return what stands around a stage's padded input."""

    @abstractmethod
    def tables(self, stage: S) -> list[Table]:
        """Return the constants of a stage."""

    @abstractmethod
    def finish(self, stage: S) -> str:
        """Return the statements that make a result of `value`, the sum of channel `o`; empty if it is the result.

        `in` are the channels to add, if there are any.
        """

    @abstractmethod
    def distance(self, stage: S, before: Maps, after: Maps) -> int:
        """Return how far below a stage's input its output must begin."""

    @abstractmethod
    def abreast(self, stage: S) -> tuple[int, int]:
        """Return how many rows and columns of neighbours are computed at once."""

    @abstractmethod
    def lanes(self, stage: S) -> int:
        """Return how many sums a convolution computes at each position."""


class Float(Arithmetic[Stage]):
    """float throughout. A stage's output lies apart from its input: to overlap would cost time."""

    value = total = "float"
    lowest = "-3.4e38f"
    cast = ""
    apart = "UNDER10K_RESTRICT "
    widest = "UNDER10K_WIDEST "

    def result(self, stage: Stage) -> str:
        return "float"

    def border(self, stage: Stage) -> str:
        return "0"

    def tables(self, stage: Stage) -> list[Table]:
        label, tables = self.label(stage), []
        if stage.convolution:
            lanes = self.lanes(stage)
            tables += [
                ("float", f"weights_{label}", _fill(_by_position(stage, stage.convolution.weights), lanes)),
                ("float", f"bias_{label}", _fill(stage.convolution.bias, lanes)),
            ]
        if stage.affine:
            tables += [
                ("float", f"scale_{label}", stage.affine.scale),
                ("float", f"offset_{label}", stage.affine.offset),
            ]
        return [(kind, name, values.astype(np.float32)) for kind, name, values in tables]

    def finish(self, stage: Stage) -> str:
        label, lines = self.label(stage), []
        if isinstance(stage.pool, AveragePool):
            lines.append(f"value *= {literal(1 / stage.pool.side**2)};")
        if stage.affine:
            lines.append(f"value = value * scale_{label}[o] + offset_{label}[o];")
            lines += ["value = value > 0 ? value : 0;"] if stage.affine.relu else []
        if stage.skip:
            lines.append(f"value += {_skipped(stage)};")
        return "\n".join([*lines, "return value;"] if lines else [])

    def distance(self, stage: Stage, before: Maps, after: Maps) -> int:
        return after.size

    def abreast(self, stage: Stage) -> tuple[int, int]:
        """As many as divide the maps, or a pool's windows, evenly."""
        if not stage.convolution:
            return 1, 1
        height, width = (stage.pool.side,) * 2 if stage.pool else stage.output[1:]
        rows = [1] if self.finish(stage) and not stage.pool else range(1, ABREAST + 1)
        blocks = [(y, x) for y in rows for x in range(1, ABREAST + 1) if height % y == 0 and width % x == 0]
        return max((block for block in blocks if prod(block) <= ABREAST), key=prod)

    def lanes(self, stage: Stage) -> int:
        outputs = stage.output[0]
        return outputs if is_depthwise(stage) else outputs + -outputs % LANES


class Int8(Arithmetic[IntegerStage]):
    """8-bit integers, 32-bit sums. A stage's output overwrites what is no longer needed of its input."""

    value = "uint8_t"
    total = "int32_t"
    lowest = "-2147483647 - 1"
    cast = "(int32_t)"
    apart = ""
    widest = ""

    def result(self, stage: IntegerStage) -> str:
        return "int32_t" if stage.is_last else "uint8_t"

    def border(self, stage: IntegerStage) -> str:
        return str(stage.border)

    def tables(self, stage: IntegerStage) -> list[Table]:
        if stage.convolution is None:
            return []
        label = self.label(stage)
        tables: list[Table] = [
            ("int8_t", f"weights_{label}", _by_position(stage, stage.weights)),
            ("int32_t", f"bias_{label}", stage.bias),
            ("int32_t", f"multiplier_{label}", stage.multiplier),
        ]
        return [*tables, *([] if _is_alike(stage.addend) else [("int64_t", f"addend_{label}", stage.addend)])]

    def finish(self, stage: IntegerStage) -> str:
        if stage.convolution is None:
            count = stage.pool.side**2 if isinstance(stage.pool, AveragePool) else 1
            return f"return (uint8_t)((value + {count // 2}) / {count});"
        label, shift = self.label(stage), stage.shift
        added = f"{stage.addend[0]}LL" if _is_alike(stage.addend) else f"addend_{label}[o]"
        if stage.skip:
            added += f" + (int64_t){stage.skip_multiplier} * ({_skipped(stage)})"
        total = f"const int64_t total = (int64_t)value * multiplier_{label}[o] + {added};\n"
        if stage.is_last:
            return total + f"return (int32_t)(total < 0 ? -(-total >> {shift}) : total >> {shift});"
        return total + f"return (uint8_t)(total <= 0 ? 0 : total >> {shift} > 255 ? 255 : total >> {shift});"

    def distance(self, stage: IntegerStage, before: Maps, after: Maps) -> int:
        return find_distance(before, after, stage.pool.side if stage.pool else 1)

    def abreast(self, stage: IntegerStage) -> tuple[int, int]:
        """One: what overlaps goes position by position, and the code is to be small."""
        return 1, 1

    def lanes(self, stage: IntegerStage) -> int:
        return stage.output[0]


def literal(value: float | np.generic) -> str:
    """Write a number as C does."""
    if isinstance(value, np.int64):
        return f"{value}LL"
    return str(value) if isinstance(value, np.integer) else f"{np.float32(value)}f"


def _is_alike(values: NDArray[np.int64]) -> bool:
    return bool((values == values[0]).all())


def _skipped(stage: Stage) -> str:
    inputs, outputs = stage.input[0], stage.output[0]
    return "in[o]" if inputs == outputs else f"o < {inputs} ? in[o] : 0"


def is_depthwise(stage: Stage) -> bool:
    """Tell whether each output map of a stage's convolution depends on the input map of its number alone."""
    return stage.convolution is not None and stage.convolution.is_depthwise


def _by_position(stage: Stage, weights: NDArray[Any]) -> NDArray[Any]:
    """(outputs, inputs, height, width) -> (height, width * inputs, outputs): the order in which they are used.

    Of a depthwise convolution, whose other weights are zeros, (height, width, outputs).
    """
    outputs, inputs, height, width = weights.shape
    if is_depthwise(stage):
        return weights.diagonal()
    return weights.transpose(2, 3, 1, 0).reshape(height, width * inputs, outputs)


def _fill(values: NDArray[np.float64], lanes: int) -> NDArray[np.float64]:
    """Pad the last axis with zeros to this many lanes."""
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, lanes - values.shape[-1])])

"""Plain layers grouped into stages: what C computes in one go, from one buffer into another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from under10k.errors import UsageError
from under10k.export.plain import (
    INPUT,
    Affine,
    AveragePool,
    Convolution,
    Layer,
    MaxPool,
    Shape,
    Skip,
    Views,
    shape_after,
)
from under10k.models import SHIFTS


@dataclass(frozen=True, eq=False)
class Stage:
    """A convolution, a pool, or a convolution followed by a pool, an affine layer or both, in this order.

    A pool is computed along with the convolution before it, so that the large maps between them are never stored.
    """

    number: int
    """Its place in the network, from 1 on."""
    layers: tuple[Layer, ...]
    """What the stage computes, for `run_layers`."""
    input: Shape
    output: Shape
    convolution: Convolution | None
    pool: MaxPool | AveragePool | None
    affine: Affine | None
    skip: bool
    """Whether the stage's input is added to what it computes."""

    @property
    def padding(self) -> int:
        """Rows and columns of zeros that the stage needs around its input."""
        return self.convolution.padding if self.convolution else 0


@dataclass(frozen=True, eq=False)
class Network:
    """Stages, one after the other, and how a pixel becomes the first one's input."""

    scale: float
    offset: float
    """A pixel p in 0..255 enters as scale * p + offset."""
    stages: tuple[Stage, ...]
    views: int
    """Over how many views of a picture the logits are averaged."""


def group(layers: Sequence[Layer]) -> Network:
    """Group plain layers into stages.

    Raises:
        UsageError: they come in an order that fits no stage.
    """
    rest, views = list(layers), 1
    if rest and isinstance(rest[0], Views):
        rest, views = list(rest[0].layers), len(SHIFTS)
    scale, offset = 1.0, 0.0
    normalisation = _take(rest, Affine)
    if normalisation:
        scale, offset = float(normalisation.scale[0]), float(normalisation.offset[0])
    stages: list[Stage] = []
    while rest:
        stages.append(_take_stage(rest, len(stages) + 1, stages[-1].output if stages else INPUT))
    end = stages[-1].output if stages else INPUT
    if not stages or stages[-1].convolution is None or stages[-1].affine:  # C ends in a convolution
        nothing = Affine(np.ones(end[0]), np.zeros(end[0]))
        stages.append(_take_stage([nothing], len(stages) + 1, end))
    return Network(scale / 255, offset, tuple(stages), views)


def _take_stage(rest: list[Layer], number: int, shape: Shape) -> Stage:
    """Take the layers of one stage from the front of `rest`."""
    if isinstance(rest[0], Affine):
        rest[0] = _as_convolution(rest[0])
    first = rest[0]
    source = list(first.layers) if isinstance(first, Skip) else rest
    convolution = _take(source, Convolution)
    pool = _take(source, MaxPool) or _take(source, AveragePool)
    affine = _take(source, Affine) if convolution else None
    layers: tuple[Layer, ...] = tuple(part for part in (convolution, pool, affine) if part)
    if isinstance(first, Skip):
        layers = (rest.pop(0),)
    if isinstance(first, Skip) and (convolution is None or pool or source):
        raise UsageError(
            f"cannot export to C: a sum with an earlier layer goes past {len(first.layers)} layers. "
            "add the input of a single convolution, or take ONNX"
        )
    return Stage(number, layers, shape, shape_after(layers, shape), convolution, pool, affine, isinstance(first, Skip))


def _as_convolution(affine: Affine) -> Convolution:
    """Write an affine layer that belongs to no stage as a convolution of 1x1, which C knows."""
    return Convolution(np.diag(affine.scale)[:, :, None, None], affine.offset, relu=affine.relu)


_Kind = TypeVar("_Kind")


def _take(rest: list[Layer], kind: type[_Kind]) -> _Kind | None:
    """Take the first layer if it is of that kind."""
    return rest.pop(0) if rest and isinstance(rest[0], kind) else None  # type: ignore[return-value]

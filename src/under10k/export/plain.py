"""A network as a few plain layers with batch norm folded in: every export is written from these."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from under10k.data import SIDE
from under10k.models import shift

Array = NDArray[np.float64]


Shape = tuple[int, int, int]
"""Of one image's maps: (channels, height, width)."""


INPUT: Shape = (1, SIDE, SIDE)


@dataclass(frozen=True, eq=False)
class Convolution:
    """Slides filters over the maps, adds a bias, and with `relu` cuts off what is below 0.

    A fully connected layer is one whose filters are as large as the maps.
    """

    weights: Array
    """(outputs, inputs, height, width)."""
    bias: Array
    """(outputs)."""
    padding: int = 0
    """Rows and columns of zeros around the maps."""
    relu: bool = False

    @property
    def is_depthwise(self) -> bool:
        """Whether each output map depends on the input map of its number alone: all other weights are 0."""
        outputs, inputs = self.weights.shape[:2]
        return outputs == inputs > 1 and not self.weights[~np.eye(outputs, dtype=bool)].any()

    @property
    def filters(self) -> Array:
        """(outputs, 1, height, width) if it is depthwise, else all weights."""
        if not self.is_depthwise:
            return self.weights
        own = np.arange(len(self.weights))
        return self.weights[own, own, None]


@dataclass(frozen=True, eq=False)
class Affine:
    """Scales and shifts each map by its own numbers, and with `relu` cuts off what is below 0."""

    scale: Array
    """(channels)."""
    offset: Array
    """(channels)."""
    relu: bool = False


@dataclass(frozen=True)
class MaxPool:
    """Keeps the largest value of each square of `side` by `side`; the squares do not overlap."""

    side: int


@dataclass(frozen=True)
class AveragePool:
    """Keeps the mean of each square of `side` by `side`; the squares do not overlap."""

    side: int


@dataclass(frozen=True)
class Skip:
    """Adds the input of `layers` to their output: cropped at the borders, filled up with maps of zeros."""

    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Views:
    """Averages what `layers`, a whole network, make of maps and of four shifted copies, into which zeros come."""

    layers: tuple[Layer, ...]


Layer = Convolution | Affine | MaxPool | AveragePool | Skip | Views


def shape_after(layers: Iterable[Layer], shape: Shape = INPUT) -> Shape:
    """Return the shape of the maps that layers make of maps of `shape`."""
    for layer in layers:
        channels, height, width = shape
        match layer:
            case Convolution():
                outputs, _, *window = layer.weights.shape
                height, width = (side + 2 * layer.padding for side in (height, width))
                shape = (outputs, height - window[0] + 1, width - window[1] + 1)
            case MaxPool() | AveragePool():
                shape = (channels, height // layer.side, width // layer.side)
            case Skip() | Views():
                shape = shape_after(layer.layers, shape)
    return shape


def run_plain(layers: Sequence[Layer], pixels: Tensor) -> Tensor:
    """Run layers one after the other: float (N, 28, 28) in [0, 1] -> logits float (N, 10)."""
    return run_layers(layers, pixels.unsqueeze(1)).flatten(1)


def run_layers(layers: Iterable[Layer], maps: Tensor) -> Tensor:
    """Run layers one after the other on maps: float (N, C, H, W) -> float (N, C', H', W')."""
    for layer in layers:
        match layer:
            case Convolution():
                weights, bias = (torch.from_numpy(array).to(maps) for array in (layer.weights, layer.bias))
                maps = F.conv2d(maps, weights, bias, padding=layer.padding)
            case Affine():
                scale, offset = (torch.from_numpy(array).to(maps) for array in (layer.scale, layer.offset))
                maps = maps * scale.view(-1, 1, 1) + offset.view(-1, 1, 1)
            case MaxPool():
                maps = F.max_pool2d(maps, layer.side)
            case AveragePool():
                maps = F.avg_pool2d(maps, layer.side)
            case Skip():
                maps = _add_cropped(run_layers(layer.layers, maps), maps)
            case Views():
                maps = torch.stack([run_layers(layer.layers, view) for view in shift(maps, 0)]).mean(dim=0)
        if isinstance(layer, Convolution | Affine) and layer.relu:
            maps = maps.relu()
    return maps


def _add_cropped(out: Tensor, x: Tensor) -> Tensor:
    border, missing = (x.shape[-1] - out.shape[-1]) // 2, out.shape[1] - x.shape[1]
    return out + F.pad(x, (-border, -border, -border, -border, 0, missing))


def append_layer(layers: list[Layer], layer: Layer) -> None:
    """Append a layer, merged with the last ones if fewer numbers or operations then compute the same."""
    match layers[-1] if layers else None, layer:
        case Convolution(relu=False) as convolution, Affine() as affine:
            weights = convolution.weights * affine.scale[:, None, None, None]
            bias = convolution.bias * affine.scale + affine.offset
            layers[-1] = replace(convolution, weights=weights, bias=bias, relu=affine.relu)
        case Affine(relu=False) as affine, Convolution(padding=0) as convolution:  # a border of zeros is not shifted
            layers.pop()
            bias = convolution.bias + np.einsum("oihw,i->o", convolution.weights, affine.offset)
            append_layer(
                layers, replace(convolution, weights=convolution.weights * affine.scale[:, None, None], bias=bias)
            )
        case Affine(relu=False) as affine, AveragePool():
            layers[-1:] = [layer, affine]
        case MaxPool() as pool, Affine(relu=False) as affine if not _is_flip(affine):
            # a positive scale may come before a maximum; a negative one leaves its sign after the pool
            sign = np.where(affine.scale < 0, -1, 1).astype(affine.scale.dtype)
            layers.pop()
            append_layer(layers, Affine(np.abs(affine.scale), sign * affine.offset))
            layers.append(pool)
            if (sign < 0).any():
                layers.append(Affine(sign, np.zeros_like(sign)))
        case _:
            layers.append(layer)


def append_relu(layers: list[Layer], channels: int) -> None:
    """Append a ReLU: as part of the last layer, where that can have one."""
    match layers[-1] if layers else None:
        case MaxPool() as pool:  # the largest, cut off, is the largest of those cut off
            layers.pop()
            append_relu(layers, channels)
            layers.append(pool)
        case Convolution() | Affine() as layer:
            layers[-1] = replace(layer, relu=True)
        case _:
            layers.append(Affine(np.ones(channels), np.zeros(channels), relu=True))


def _is_flip(affine: Affine) -> bool:
    """Tell whether an affine layer does no more than turn signs."""
    return bool((abs(affine.scale) == 1).all() and (affine.offset == 0).all())

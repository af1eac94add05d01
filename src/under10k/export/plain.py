"""A network as a few plain layers with batch norm folded in: every export is written from these."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from under10k.data import MEAN, SIDE, STD
from under10k.errors import ModelError, UsageError
from under10k.models import GlobalAveragePool, Residual

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


Layer = Convolution | Affine | MaxPool | AveragePool | Skip


def flatten(model: nn.Module) -> list[Layer]:
    """Return the layers that compute what a model does in evaluation mode, from pixels in [0, 1].

    The normalisation is inside. Batch norm is folded into the convolution before or after it; an `Affine` is left only
    where that would compute something else.

    Raises:
        ModelError: a weight is not finite.
        UsageError: the model has a part that no plain layer can express.
    """
    normalisation = Affine(_array([1 / STD]), _array([-MEAN / STD]))
    return _translate([model], [normalisation], INPUT)


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
            case Skip():
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
        if isinstance(layer, Convolution | Affine) and layer.relu:
            maps = maps.relu()
    return maps


def _add_cropped(out: Tensor, x: Tensor) -> Tensor:
    border, missing = (x.shape[-1] - out.shape[-1]) // 2, out.shape[1] - x.shape[1]
    return out + F.pad(x, (-border, -border, -border, -border, 0, missing))


def _translate(modules: Iterable[nn.Module], layers: list[Layer], shape: Shape) -> list[Layer]:
    """Append the plain layers of modules to `layers`, whose input has `shape`."""
    for module in modules:
        channels, side, _ = shape_after(layers, shape)
        match module:
            case nn.Sequential() if type(module).forward is nn.Sequential.forward:
                _translate(module, layers, shape)
            case Residual():
                layers.append(Skip(tuple(_translate([module.inner], [], (channels, side, side)))))
            case nn.ReLU():
                _append_relu(layers)
            case nn.Flatten() | nn.Dropout():
                pass
            case _:
                _append(layers, _layer(module, (channels, side, side)))
    return layers


def _layer(module: nn.Module, shape: Shape) -> Layer:
    match module:
        case nn.Conv2d(stride=(1, 1), groups=1, dilation=(1, 1)) if _is_plain(module):
            bias = torch.zeros(module.out_channels) if module.bias is None else module.bias
            return Convolution(_numbers(module.weight), _numbers(bias), _side(module.padding))
        case nn.Linear() if module.in_features == math.prod(shape):
            bias = torch.zeros(module.out_features) if module.bias is None else module.bias
            return Convolution(_numbers(module.weight.view(-1, *shape)), _numbers(bias))
        case nn.BatchNorm2d(running_mean=Tensor() as mean, running_var=Tensor() as variance) if module.affine:
            scale = module.weight.double() / (variance.double() + module.eps).sqrt()
            return Affine(_numbers(scale), _numbers(module.bias.double() - mean.double() * scale))
        case nn.MaxPool2d(dilation=1) if _is_plain(module):
            return MaxPool(_side(module.kernel_size))
        case nn.AvgPool2d() if _is_plain(module):
            return AveragePool(_side(module.kernel_size))
        case GlobalAveragePool():
            return AveragePool(shape[-1])
    raise UsageError(
        f"cannot export: no plain layer stands for {_describe(module)}. write one in under10k/export/plain.py"
    )


def _is_plain(module: nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d) -> bool:
    """Tell whether a window is a square, on borders of zeros, and that of a pool is moved by its own side."""
    kernel, stride, padding = ({*one} if isinstance(one, tuple) else {one} for one in _window(module))
    if isinstance(module, nn.Conv2d):
        return len(kernel) == len(padding) == 1 and module.padding != "same" and module.padding_mode == "zeros"
    return len(kernel) == 1 and stride == kernel and padding == {0} and not module.ceil_mode


def _window(module: nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d) -> tuple[Any, Any, Any]:
    return module.kernel_size, module.stride, module.padding


def _side(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)


def _describe(module: nn.Module) -> str:
    return type(module).__name__ if list(module.children()) else str(module)


def _append(layers: list[Layer], layer: Layer) -> None:
    """Append a layer, merged with the last ones if fewer numbers or operations then compute the same."""
    match layers[-1] if layers else None, layer:
        case Convolution(relu=False) as convolution, Affine() as affine:
            weights = convolution.weights * affine.scale[:, None, None, None]
            bias = convolution.bias * affine.scale + affine.offset
            layers[-1] = replace(convolution, weights=weights, bias=bias, relu=affine.relu)
        case Affine(relu=False) as affine, Convolution(padding=0) as convolution:  # a border of zeros is not shifted
            layers.pop()
            bias = convolution.bias + np.einsum("oihw,i->o", convolution.weights, affine.offset)
            _append(layers, replace(convolution, weights=convolution.weights * affine.scale[:, None, None], bias=bias))
        case Affine(relu=False) as affine, AveragePool():
            layers[-1:] = [layer, affine]
        case MaxPool() as pool, Affine(relu=False) as affine if not _is_flip(affine):
            # a positive scale may come before a maximum; a negative one leaves its sign after the pool
            sign = np.where(affine.scale < 0, -1, 1).astype(affine.scale.dtype)
            layers.pop()
            _append(layers, Affine(np.abs(affine.scale), sign * affine.offset))
            layers.append(pool)
            if (sign < 0).any():
                layers.append(Affine(sign, np.zeros_like(sign)))
        case _:
            layers.append(layer)


def _append_relu(layers: list[Layer]) -> None:
    match layers.pop():
        case MaxPool() as pool:  # the largest, cut off, is the largest of those cut off
            _append_relu(layers)
            layers.append(pool)
        case Convolution() | Affine() as layer:
            layers.append(replace(layer, relu=True))
        case layer:
            raise UsageError(f"cannot export: a ReLU behind {layer}. write a plain layer in under10k/export/plain.py")


def _is_flip(affine: Affine) -> bool:
    """Tell whether an affine layer does no more than turn signs."""
    return bool((abs(affine.scale) == 1).all() and (affine.offset == 0).all())


def _array(values: Sequence[float]) -> Array:
    return np.array(values, np.float64)


def _numbers(tensor: Tensor) -> Array:
    numbers: Array = tensor.detach().cpu().double().numpy()
    if not np.isfinite(numbers).all():
        raise ModelError("cannot export: the weights hold NaN or infinity. train again")
    return numbers

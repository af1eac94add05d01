"""From a network to plain layers: its calls are followed, whatever modules or functions they were made by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from under10k.data import MEAN, STD
from under10k.errors import ModelError, UsageError
from under10k.export.plain import (
    INPUT,
    Affine,
    Array,
    AveragePool,
    Convolution,
    Layer,
    MaxPool,
    Shape,
    Skip,
    Views,
    append_layer,
    append_relu,
    shape_after,
)
from under10k.models import DROPOUTS, Call, count_views, trace, with_views


def flatten(model: nn.Module) -> list[Layer]:
    """Return the layers that compute what a model does in evaluation mode, from pixels in [0, 1].

    The normalisation is inside. Batch norm is folded into the convolution before or after it; an `Affine` is left only
    where that would compute something else. A `log_softmax` at the end is left out: it changes no probability. Five
    views are one `Views` around all the rest.

    Raises:
        ModelError: a weight is not finite.
        UsageError: the model computes something that no plain layer can express.
    """
    steps = _steps_of(model)
    if _ends_in_log_softmax(steps):
        steps.pop()
    layers: list[Layer] = [Affine(np.array([1 / STD]), np.array([-MEAN / STD]))]
    _translate(steps, layers, INPUT)
    return [Views(tuple(layers))] if count_views(model) > 1 else layers


def without_log_softmax(model: nn.Module) -> nn.Module:
    """Return a network that gives the logits of `flatten`'s layers: the model itself, or without a last log_softmax."""
    return _WithoutLogSoftmax(model) if _ends_in_log_softmax(_steps_of(model)) else model


def _ends_in_log_softmax(steps: list[_Step]) -> bool:
    return bool(steps) and isinstance(steps[-1], Call) and steps[-1].name == "log_softmax"


class _WithoutLogSoftmax(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        with _Skipping():
            logits: Tensor = self.model(x)
        return logits


class _Skipping(TorchFunctionMode):
    def __torch_function__(
        self,
        function: Callable[..., Any],
        _types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if getattr(function, "__name__", "") == "log_softmax":
            return args[0] if args else (kwargs or {})["input"]
        return function(*args, **(kwargs or {}))


@dataclass(frozen=True, eq=False)
class _Sum:
    """Steps whose result is added to what they begin with, cropped or filled up."""

    call: Call
    steps: list[_Step]


_Step = Call | _Sum


_IDENTITIES = frozenset(
    (
        *("flatten", "view", "reshape", "squeeze", "unsqueeze", "contiguous", "clone", "detach", "to", "float"),
        *DROPOUTS,
    )
)
"""What changes no value, in evaluation; whether it keeps the maps is checked by their shape."""


def _steps_of(model: nn.Module) -> list[_Step]:
    """Return the way from one view of a network's input to its output, without what changes no value.

    Raises:
        UsageError: it is no single way, apart from sums with an earlier result.
    """
    traced = trace(with_views(model, 1))
    parents, last = traced.follow()
    if last is None:
        raise UsageError(f"cannot export: the output of {type(model).__name__} cannot be followed. {_ANY}")
    return _Ways(traced.calls, parents).between(-1, last)


_ANY = "ONNX takes any network"


def _refuse(call: Call) -> UsageError:
    return UsageError(f"cannot export: C and the page do not know {call.where}. {_ANY}")


@dataclass(frozen=True)
class _Ways:
    """Calls, and for each the numbers of those whose results it takes; -1 is the image."""

    calls: list[Call]
    parents: list[list[int]]

    def between(self, start: int, end: int) -> list[_Step]:
        """Return the steps after `start` up to `end`.

        Raises:
            UsageError: a call takes several results and is no sum, or the way does not begin at `start`.
        """
        steps: list[_Step] = []
        while end != start:
            call, before = self.calls[end], self.parents[end]
            if end < start:
                raise _refuse(call)
            if call.name == "add" and len(before) == 2:
                root, inner = self._split(call, *before)
                steps.append(_Sum(call, self.between(root, inner)))
                end = root
                continue
            if len(before) != 1:
                raise _refuse(call)
            if not self._is_identity(end):
                steps.append(call)
            end = before[0]
        return steps[::-1]

    def _split(self, call: Call, first: int, second: int) -> tuple[int, int]:
        """Return where the two summands of a sum part, and the end of the longer way between."""
        for skip, inner in ((first, second), (second, first)):
            root = skip
            while root >= 0 and (self._is_identity(root) or _is_crop(self.calls[root])):
                root = self.parents[root][0]
            if root in self._before(inner) and call.arguments.get("alpha", 1) == 1:
                return root, inner
        raise _refuse(call)

    def _before(self, number: int) -> set[int]:
        found, ways = {-1}, [number]
        while ways:
            one = ways.pop()
            if one not in found:
                found.add(one)
                ways += self.parents[one]
        return found

    def _is_identity(self, number: int) -> bool:
        call = self.calls[number]
        if call.name not in _IDENTITIES or len(self.parents[number]) != 1 or call.arguments.get("training"):
            return False
        before, after = call.inputs[0].shape, call.output.shape
        return after.numel() == before.numel() and before[0] == after[0] and (len(after) != 4 or _same(before, after))


def _same(before: torch.Size, after: torch.Size) -> bool:
    """Tell whether maps keep their shape, or are but numbers."""
    return before == after or (after[2:] == (1, 1) and before[1] == after[1])


def _is_crop(call: Call) -> bool:
    """Tell whether a call does what a `Skip` does to its input: cut off its borders alike, fill up with maps of 0."""
    if call.name != "pad" or call.arguments.get("mode", "constant") != "constant" or call.arguments.get("value"):
        return False
    given = [*call.arguments["pad"], 0, 0][:6]
    return len(set(given[:4])) == 1 and given[0] <= 0 and given[4] == 0 and given[5] >= 0


def _translate(steps: list[_Step], layers: list[Layer], shape: Shape) -> None:
    """Append the plain layers of steps to `layers`, whose input has `shape`."""
    for step in steps:
        channels, side, width = shape_after(layers, shape)
        if isinstance(step, _Sum):
            inner: list[Layer] = []
            _translate(step.steps, inner, (channels, side, width))
            layers.append(Skip(tuple(inner)))
            call = step.call
        else:
            call = step
            if call.name == "relu":
                append_relu(layers, channels)
            else:
                append_layer(layers, _layer(call, (channels, side, width)))
        found, wanted = shape_after(layers, shape), tuple(call.output.shape[1:])
        if math.prod(found) != math.prod(wanted) or (len(wanted) == 3 and found != wanted):
            raise _refuse(call)


def _layer(call: Call, shape: Shape) -> Layer:
    """Return the plain layer that computes what a call does to maps of `shape`."""
    given, maps = call.arguments, call.inputs[0].dim() == 4
    match call.name:
        case "conv2d" if maps and _pair(given.get("stride", 1)) == (1, 1):
            return _convolution(call, given)
        case "linear" if call.inputs[0].dim() == 2 and given["weight"].shape[1] == math.prod(shape):
            return Convolution(_numbers(given["weight"].view(-1, *shape)), _bias(given))
        case "batch_norm" if (maps or shape[1:] == (1, 1)) and not given.get("training"):
            if not isinstance(given.get("running_mean"), Tensor):
                raise _refuse(call)
            mean, variance = given["running_mean"].double(), given["running_var"].double()
            scale = (variance + given.get("eps", 1e-5)).rsqrt()
            scale = scale if given.get("weight") is None else scale * given["weight"].double()
            offset = 0 if given.get("bias") is None else given["bias"].double()
            return Affine(_numbers(scale), _numbers(offset - mean * scale))
        case "max_pool2d" | "avg_pool2d" if maps and _is_plain_pool(given, shape):
            side = _pair(given["kernel_size"])[0]
            return MaxPool(side) if call.name == "max_pool2d" else AveragePool(side)
        case "adaptive_avg_pool2d" | "adaptive_max_pool2d" | "mean" | "amax" if maps and _is_of_whole_maps(call, shape):
            return MaxPool(shape[-1]) if "max" in call.name else AveragePool(shape[-1])
    raise _refuse(call)


def _convolution(call: Call, given: Mapping[str, Any]) -> Convolution:
    """Return a convolution; one of groups, or with gaps between its weights, is one with zeros in their place."""
    weight: Tensor = given["weight"]
    outputs, inputs, height, width = weight.shape
    gap, groups = _pair(given.get("dilation", 1)), given.get("groups", 1)
    spread = weight.new_zeros(outputs, inputs, (height - 1) * gap[0] + 1, (width - 1) * gap[1] + 1)
    spread[:, :, :: gap[0], :: gap[1]] = weight
    parts = spread.chunk(groups)
    dense = torch.cat(
        [F.pad(part, (0, 0, 0, 0, n * inputs, (groups - 1 - n) * inputs)) for n, part in enumerate(parts)]
    )
    side = dense.shape[-1]
    padding = given.get("padding", 0)
    named = {"same": ((side - 1) // 2,) * 2, "valid": (0, 0)}
    around = named[padding] if isinstance(padding, str) else _pair(padding)
    if dense.shape[-2] != side or around[0] != around[1]:
        raise _refuse(call)
    return Convolution(_numbers(dense), _bias(given), around[0])


def _bias(given: Mapping[str, Any]) -> Array:
    bias, weight = given.get("bias"), given["weight"]
    return _numbers(torch.zeros(len(weight)) if bias is None else bias)


def _is_plain_pool(given: Mapping[str, Any], shape: Shape) -> bool:
    """Tell whether the window of a pool is a square that is moved by its own side, without padding."""
    kernel = _pair(given["kernel_size"])
    stride = _pair(given.get("stride") or kernel)
    moves = stride == kernel or kernel == shape[1:]
    plain = _pair(given.get("padding", 0)) == (0, 0) and _pair(given.get("dilation", 1)) == (1, 1)
    return kernel[0] == kernel[1] and moves and plain and given.get("divisor_override") is None


def _is_of_whole_maps(call: Call, shape: Shape) -> bool:
    dims = call.arguments.get("dim", (2, 3))
    whole = isinstance(dims, list | tuple) and sorted(one % 4 for one in dims) == [2, 3]
    return whole and shape[1] == shape[2] and call.output.numel() == call.output.shape[0] * shape[0]


def _pair(value: Any) -> tuple[int, int]:
    """Return height and width of what is given as a number, or as a list of one or two."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    return int(values[0]), int(values[-1])


def _numbers(tensor: Tensor) -> Array:
    numbers: Array = tensor.detach().cpu().double().numpy()
    if not np.isfinite(numbers).all():
        raise ModelError("cannot export: the weights hold NaN or infinity. train again")
    return numbers

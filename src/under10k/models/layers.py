"""The rows of a network's table, from the calls of one forward pass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from under10k.data import SIDE
from under10k.models.tracing import Call, Trace


@dataclass
class Layer:
    """One row: a layer with weights or a pool, and the batch norm that belongs to it."""

    name: str
    kernel: str
    """Width and height of the window, `+n` where the borders are padded by n."""
    input: tuple[int, ...]
    """Shape of one image's maps: (channels, height, width), or (features,)."""
    output: tuple[int, ...]
    weights: int
    """Parameters of the layer itself, including its bias if it has one."""
    batch_norm: int
    """Parameters of the batch norm, or another norm, after it: scale and offset."""
    macs: int
    """Multiply-accumulates for one image; pools and batch norm are not counted."""
    receptive_field: int
    """Side, in input pixels, of the square that one output value depends on; 0 where it cannot be told."""
    by_hand: tuple[int, ...] = ()
    """The factors of the weights, such as (3, 3, 8, 16): the last one counts the outputs, and so the biases."""

    @property
    def parameters(self) -> int:
        """All that the row has."""
        return self.weights + self.batch_norm

    @property
    def counted_by_hand(self) -> int:
        """The count of a course's table: with a bias for each output, without batch norm."""
        return math.prod(self.by_hand) + self.by_hand[-1] if self.by_hand else 0


UNUSED = "unused: "
"""What the row of a layer that is never called begins with."""


NORMS = frozenset(("batch_norm", "group_norm", "layer_norm", "instance_norm", "rms_norm", "local_response_norm"))
"""Functions of torch that normalise, and belong to the layer before."""


_WINDOWED = {"conv2d": "convolution", "max_pool2d": "max pool", "avg_pool2d": "average pool"}


_OF_WHOLE_MAPS = {
    "mean": "global average pool",
    "adaptive_avg_pool2d": "global average pool",
    "amax": "global max pool",
    "adaptive_max_pool2d": "global max pool",
}


_CUTTING = frozenset(("pad", "getitem", "narrow", "index_select"))
"""Functions that add or remove borders."""


@dataclass(frozen=True)
class _Place:
    """Where a tensor's values lie on the image."""

    field: int = 1
    """Side of the square of pixels that a value depends on; 0 is not known."""
    stride: int = 1
    """Pixels from one value to the next."""
    side: int = SIDE
    """Values along a map's side, also where the maps are flattened."""


def list_layers(model: nn.Module, traced: Trace) -> list[Layer]:
    """Return a row for each layer with weights and each pool, in the order of the calls; unused parameters at the end.

    The receptive field follows the longest way through the network. A layer that is called twice has its parameters
    counted once.
    """
    builder = _Builder(model, traced)
    for call in traced.calls:
        builder.add(call)
    builder.add_the_rest()
    return builder.layers


class _Builder:
    """Collects rows, call by call."""

    def __init__(self, model: nn.Module, traced: Trace) -> None:
        self.layers: list[Layer] = []
        self._model, self._traced = model, traced
        self._left = dict.fromkeys(model.parameters())  # an ordered set
        self._pending = 0  # parameters of what was computed from weights alone: part of the layer that takes it
        self._places: dict[Tensor, _Place] = {traced.images: _Place()}

    def add(self, call: Call) -> None:
        """Follow a call, and add its row if it has one."""
        self._pending += self._count(call)
        sources = [tensor for tensor in call.inputs if tensor in self._places]
        if not sources:
            return
        x = max(sources, key=lambda tensor: self._places[tensor].field)
        window = _window(call, x, self._places[x])
        self._places[call.output] = place = _move(call, x, self._places[x], window)
        parameters, named = self._pending, _name(call, window)
        if call.name in NORMS and self.layers:
            self.layers[-1].batch_norm += parameters
        elif named or parameters:
            weights, norm = (0, parameters) if call.name in NORMS else (parameters, 0)
            shapes = tuple(x.shape[1:]), tuple(call.output.shape[1:])
            name, kernel = named or _own_name(call), window.text if window else ""
            row = Layer(name, kernel, *shapes, weights, norm, _macs(call), min(place.field, SIDE), _factors(call))
            self.layers.append(row)
        else:
            return
        self._pending = 0

    def add_the_rest(self) -> None:
        """Add a row for each module that has parameters which no call has used."""
        for name, part in self._model.named_modules():
            count = sum(one.numel() for one in part.parameters(recurse=False) if one in self._left)
            for one in part.parameters(recurse=False):
                self._left.pop(one, None)
            if count:
                never = name and part not in self._traced.entered and not list(part.children())
                what = f"{UNUSED}{name}" if never else f"parameters of {name or type(part).__name__}"
                self.layers.append(Layer(what, "", (), (), count, 0, 0, 0))
        if self._pending:
            self.layers.append(Layer("parameters beside the layers", "", (), (), self._pending, 0, 0, 0))

    def _count(self, call: Call) -> int:
        """Return how many parameters a call uses that no other has used."""
        new = [tensor for tensor in dict.fromkeys(call.inputs) if isinstance(tensor, nn.Parameter)]
        new = [parameter for parameter in new if parameter in self._left]
        for parameter in new:
            del self._left[parameter]
        return sum(parameter.numel() for parameter in new)


@dataclass(frozen=True)
class _Window:
    """What slides over the maps."""

    kernel: int
    """Its side, in values."""
    stride: int
    padding: int = 0

    @property
    def text(self) -> str:
        """As people write it; a window of 0 is not known."""
        size = f"{self.kernel}x{self.kernel}" if self.kernel else ""
        return size + (f" +{self.padding}" if self.padding else "")


def _window(call: Call, x: Tensor, place: _Place) -> _Window | None:
    """Return the window of a convolution, a pool, or of a fully connected layer over whole maps."""
    given = call.arguments
    if call.name == "conv2d":
        kernel = (given["weight"].shape[-1] - 1) * side_of(given.get("dilation", 1)) + 1
        padding = given.get("padding", 0)
        own = {"same": (kernel - 1) // 2, "valid": 0}.get(padding) if isinstance(padding, str) else side_of(padding)
        return _Window(kernel, side_of(given.get("stride", 1)), own or 0)
    if call.name in ("max_pool2d", "avg_pool2d"):
        kernel = (side_of(given["kernel_size"]) - 1) * side_of(given.get("dilation", 1)) + 1
        stride = given.get("stride") or given["kernel_size"]
        return _Window(kernel, side_of(stride), side_of(given.get("padding", 0)))
    if is_of_whole_maps(call, x):
        return _Window(x.shape[-1], x.shape[-1])
    if call.name in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
        times, rest = divmod(x.shape[-1], call.output.shape[-1])
        return _Window(0 if rest else times, times)
    return None


def is_of_whole_maps(call: Call, x: Tensor) -> bool:
    """Tell whether a call pools each map (H, W) of a batch (B, C, H, W) to one number."""
    dims = call.arguments.get("dim", ())
    whole = tuple(call.output.shape) in ((*x.shape[:2],), (*x.shape[:2], 1, 1))
    reduces = call.name.startswith("adaptive") or (isinstance(dims, list | tuple) and len(dims) == 2)
    return call.name in _OF_WHOLE_MAPS and x.dim() == 4 and whole and reduces


def _move(call: Call, x: Tensor, place: _Place, window: _Window | None) -> _Place:
    """Return where the values of a call's output lie."""
    out = call.output
    side = out.shape[-1] if out.dim() == 4 else place.side
    if window:
        field = place.field + (window.kernel - 1) * place.stride if window.kernel and place.field else 0
        return _Place(field, place.stride * window.stride, side if out.dim() == 4 else 1)
    if call.name == "linear":
        features = call.arguments["weight"].shape[-1]
        spread = place.side if features % place.side**2 == 0 and x.dim() == 2 else 1
        return _Place(place.field and place.field + (spread - 1) * place.stride, place.stride, 1)
    kept = x.dim() != 4 or out.dim() != 4 or out.shape[-1] == x.shape[-1] or call.name in _CUTTING
    return _Place(place.field if kept else 0, place.stride, side)


def _name(call: Call, window: _Window | None) -> str:
    """Return what a row is called; nothing for a call that has none of its own."""
    if call.name == "linear":
        return "fully connected"
    if window is None:
        return "norm" if call.name in NORMS else ""
    if call.name in _WINDOWED:
        return _WINDOWED[call.name]
    whole = window.kernel and window.kernel == call.inputs[0].shape[-1]
    return _OF_WHOLE_MAPS[call.name] if whole else _OF_WHOLE_MAPS[call.name].removeprefix("global ")


def _own_name(call: Call) -> str:
    return type(call.module).__name__ if call.part else call.name


def _macs(call: Call) -> int:
    if call.name not in ("conv2d", "linear"):
        return 0
    weight: Tensor = call.arguments["weight"]
    return weight.numel() * (call.output[0, 0].numel() if call.output.dim() == 4 else 1)


def _factors(call: Call) -> tuple[int, ...]:
    """Return what somebody multiplies who counts a layer's weights by hand."""
    if call.name not in ("conv2d", "linear"):
        return ()
    outputs, *others = call.arguments["weight"].shape
    return (*others[1:], others[0], outputs)


def side_of(value: Any) -> int:
    """Return the side of a window that is given as a number, a pair, or one number in a list."""
    return int(value[0] if isinstance(value, list | tuple) else value)

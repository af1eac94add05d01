"""A network as a table: shapes, parameters, arithmetic and receptive field of each layer."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from under10k.data import SIDE
from under10k.errors import wrong_type
from under10k.models.blocks import GlobalAveragePool
from under10k.models.inspection import evaluating
from under10k.models.registry import create_model, list_models
from under10k.terminal import format_cell


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
    """Side, in input pixels, of the square that one output value depends on; 0 where the layers do not tell."""


@dataclass(frozen=True)
class Summary:
    """A network's layers and their totals."""

    model: str
    layers: list[Layer]

    @property
    def parameters(self) -> int:
        """Everything the network learns."""
        return sum(layer.weights + layer.batch_norm for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return sum(layer.macs for layer in self.layers)

    def costliest(self, count: int = 3) -> list[Layer]:
        """Return the layers with the most parameters, the largest first."""
        return sorted(self.layers, key=lambda layer: -layer.weights - layer.batch_norm)[:count]

    def rows(self) -> list[tuple[str | int | None, ...]]:
        """Return the table's cells, one row a layer and one for the totals; None where there is nothing to count."""
        rows = [_cells(layer) for layer in self.layers]
        weights, norms = (sum(getattr(layer, kind) for layer in self.layers) for kind in ("weights", "batch_norm"))
        return [*rows, _cells(Layer(f"total {self.parameters:,}", "", (), (), weights, norms, self.macs, 0))]

    def to_json(self) -> str:
        """Return layers and totals as JSON text."""
        layers = [asdict(layer) for layer in self.layers]
        return json.dumps(
            {"model": self.model, "parameters": self.parameters, "macs": self.macs, "layers": layers}, indent=2
        )

    def to_markdown(self) -> str:
        """Return the table as Markdown."""
        lines = ["| " + " | ".join(COLUMNS) + " |", "|---|---|---|---|---:|---:|---:|---:|"]
        return "\n".join([*lines, *("| " + " | ".join(map(format_cell, row)) + " |" for row in self.rows())])


COLUMNS = ("layer", "kernel", "input", "output", "weights", "norm", "MACs", "field")
"""Heads of the table: `norm` counts batch norm's parameters, `field` is the receptive field in pixels."""


def summarise(model: nn.Module | str, name: str = "") -> Summary:
    """Run one blank image through a model, on its own device, and record what each layer does.

    `model` is a network, or the name of one. The receptive field follows the longest way through it; a residual
    connection does not change it. It is not known after a pool that is no layer of its own, such as `F.max_pool2d`. A
    layer that is called twice has its parameters counted once; one that is never called has a row at the end.

    Raises:
        UsageError: the name is unknown, or it is neither.
    """
    if isinstance(model, str):
        return summarise(create_model(model), name or model)
    if not isinstance(model, nn.Module):
        raise wrong_type("network", model, f"a torch.nn.Module, or a name: {', '.join(list_models())}")
    tracer = _Tracer()
    hooks = [part.register_forward_hook(tracer.note) for part in model.modules() if not list(part.children())]
    like = next(model.parameters(), torch.empty(0))
    try:
        with torch.inference_mode(), evaluating(model):
            model(torch.zeros(1, 1, SIDE, SIDE, device=like.device, dtype=like.dtype))
    finally:
        for hook in hooks:
            hook.remove()
    tracer.note_the_rest(model)
    return Summary(name, tracer.layers)


class _Tracer:
    """Collects a row from each layer as an image passes through it."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self._field, self._stride = 1, 1  # a field of 0 is not known
        self._counted: set[Tensor] = set()

    def note(self, part: nn.Module, inputs: Sequence[Any], output: Any) -> None:
        """Record one layer: a forward hook."""
        if not isinstance(output, Tensor) or not inputs or not isinstance(inputs[0], Tensor):
            return
        if isinstance(part, _NORMS) and self.layers:
            self.layers[-1].batch_norm += self._count(part)
            return
        described = self._describe(part, inputs[0], output)
        if described is None:
            return
        name, kernel, stride, padding = described
        if self.layers and inputs[0].dim() == 4 and self.layers[-1].output != tuple(inputs[0].shape[1:]):
            self._field = 0  # something that is no layer, such as F.max_pool2d, came between
        if self._field:
            self._field = self._field + (kernel - 1) * self._stride if kernel else 0
        self._stride *= stride
        size = "" if isinstance(part, nn.Linear) or not kernel else f"{kernel}x{kernel}"
        size += f" +{padding}" if padding else ""
        macs = 0
        if isinstance(part, nn.Conv2d | nn.Linear):
            macs = part.weight.numel() * (output[0, 0].numel() if output.dim() == 4 else 1)
        shapes = tuple(inputs[0].shape[1:]), tuple(output.shape[1:])
        parameters = self._count(part)
        counts = (0, parameters) if isinstance(part, _NORMS) else (parameters, 0)
        self.layers.append(Layer(name, size, *shapes, *counts, macs, min(self._field, SIDE)))

    def note_the_rest(self, model: nn.Module) -> None:
        """Record the parameters that no layer has used: those of layers that are never called, by their names."""
        for name, part in model.named_modules():
            if count := self._count(part, recurse=False):
                leaf = not list(part.children())
                what = f"never called: {name}" if leaf and name else f"parameters of {name or type(part).__name__}"
                self.layers.append(Layer(what, "", (), (), count, 0, 0, 0))

    def _count(self, part: nn.Module, *, recurse: bool = True) -> int:
        """Return how many parameters a part adds to those counted so far."""
        new = [parameter for parameter in part.parameters(recurse) if parameter not in self._counted]
        self._counted.update(new)
        return sum(parameter.numel() for parameter in new)

    def _describe(self, part: nn.Module, x: Tensor, output: Tensor) -> tuple[str, int, int, int] | None:
        """Return name, window, stride and padding; None for what changes no shape and learns nothing.

        A window of 0 is not known.
        """
        for kind, name in _WINDOWED.items():
            if isinstance(part, kind):
                kernel = (_side(part.kernel_size) - 1) * _side(getattr(part, "dilation", 1)) + 1
                return (
                    name,
                    kernel,
                    _side(part.stride),
                    0 if part.padding == "valid" else _padding(part.padding, kernel),
                )
        if isinstance(part, GlobalAveragePool) or (isinstance(part, nn.AdaptiveAvgPool2d) and output.shape[-1] == 1):
            return "global average pool", x.shape[-1], x.shape[-1], 0
        if isinstance(part, nn.Linear):
            before = self.layers[-1].output if self.layers else (1, SIDE, SIDE)
            if part.in_features != math.prod(before):
                return "fully connected", 0, 1, 0
            return "fully connected", before[-1] if len(before) == 3 else 1, 1, 0
        if isinstance(part, _NORMS):
            return "norm", 1, 1, 0
        if list(part.parameters()):
            return type(part).__name__, 1 if x.shape == output.shape else 0, 1, 0
        return None


_WINDOWED: dict[type[Any], str] = {nn.Conv2d: "convolution", nn.MaxPool2d: "max pool", nn.AvgPool2d: "average pool"}


_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


def _cells(layer: Layer) -> tuple[str | int | None, ...]:
    shapes = ("x".join(map(str, shape)) for shape in (layer.input, layer.output))
    numbers = (layer.weights, layer.batch_norm, layer.macs, layer.receptive_field)
    return (layer.name, layer.kernel, *shapes, *(number or None for number in numbers))


def _padding(value: Any, kernel: int) -> int:
    return (kernel - 1) // 2 if value == "same" else _side(value)


def _side(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)

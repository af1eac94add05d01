"""A network as a table: shapes, parameters, arithmetic and receptive field of each layer."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from torch import nn

from under10k.errors import wrong_type
from under10k.models.layers import Layer, list_layers
from under10k.models.registry import create_model, list_models
from under10k.models.remarks import Traits, find_traits
from under10k.models.tracing import trace
from under10k.models.views import count_views, with_views
from under10k.terminal import format_cell
from under10k.text import to_html


@dataclass(frozen=True, repr=False)
class Summary:
    """A network's layers and their totals."""

    model: str
    layers: list[Layer]
    traits: Traits
    """Which of the usual parts it has, and what is odd."""

    def __repr__(self) -> str:
        name = f"{self.model}: " if self.model else ""
        return f"Summary({name}{len(self.layers)} layers, {self.parameters:,} parameters, {self.macs:,} MACs)"

    def _repr_html_(self) -> str:
        """Return the table, for notebooks."""
        return to_html(repr(self), COLUMNS, [map(format_cell, row) for row in self.rows()])

    @property
    def parameters(self) -> int:
        """Everything the network learns."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return sum(layer.macs for layer in self.layers)

    @property
    def counted_by_hand(self) -> int:
        """The count of a course's table: kernel by inputs by outputs and a bias for each output, no batch norm."""
        return sum(layer.counted_by_hand for layer in self.layers)

    @property
    def remarks(self) -> list[str]:
        """A sentence on each thing that people look for in a small network."""
        return self.traits.remarks

    def costliest(self, count: int = 3) -> list[Layer]:
        """Return the layers with the most parameters, the largest first."""
        return sorted(self.layers, key=lambda layer: -layer.parameters)[:count]

    def rows_by_hand(self) -> list[tuple[str | int | None, ...]]:
        """Return the rows of the count by hand beside the true one: layer, sum, its result, the true number."""
        rows = [
            (layer.name, _write_sum(layer), layer.counted_by_hand or None, layer.parameters or None)
            for layer in self.layers
            if layer.parameters
        ]
        return [*rows, ("total", "", self.counted_by_hand, self.parameters)]

    def rows(self) -> list[tuple[str | int | None, ...]]:
        """Return the table's cells, one row a layer and one for the totals; None where there is nothing to count."""
        rows = [_cells(layer) for layer in self.layers]
        weights, norms = (sum(getattr(layer, kind) for layer in self.layers) for kind in ("weights", "batch_norm"))
        return [*rows, _cells(Layer(f"total {self.parameters:,}", "", (), (), weights, norms, self.macs, 0))]

    def to_json(self) -> str:
        """Return layers, totals and remarks as JSON text."""
        totals = {"parameters": self.parameters, "counted_by_hand": self.counted_by_hand, "macs": self.macs}
        layers = [{**asdict(layer), "counted_by_hand": layer.counted_by_hand} for layer in self.layers]
        return json.dumps({"model": self.model, **totals, "layers": layers, "remarks": self.remarks}, indent=2)

    def to_markdown(self) -> str:
        """Return the table as Markdown."""
        lines = ["| " + " | ".join(COLUMNS) + " |", "|---|---|---|---|---:|---:|---:|---:|"]
        return "\n".join([*lines, *("| " + " | ".join(map(format_cell, row)) + " |" for row in self.rows())])


BY_HAND_COLUMNS = ("layer", "by hand, with biases and without norm", "by hand", "true")
"""Heads of the count by hand beside the true one."""


COLUMNS = ("layer", "kernel", "input", "output", "weights", "norm", "MACs", "field")
"""Heads of the table: `norm` counts batch norm's parameters, `field` is the receptive field in pixels."""


def summarise(model: nn.Module | str, name: str = "") -> Summary:
    """Run two blank images through a model, on its own device, and record what each layer does.

    `model` is a network, or the name of one. Functions such as `F.max_pool2d` count as layers. The receptive field
    follows the longest way through the network; a residual connection does not change it. A layer that is called twice
    has its parameters counted once; one that is never called has a row at the end. Of a network with five views,
    multiply-accumulates are those of all five; the rest is that of one.

    Raises:
        UsageError: the name is unknown, or it is neither.
    """
    if isinstance(model, str):
        return summarise(create_model(model), name or model)
    if not isinstance(model, nn.Module):
        raise wrong_type("network", model, f"a torch.nn.Module, or a name: {', '.join(list_models())}")
    views, model = count_views(model), with_views(model, 1)
    traced = trace(model)
    layers = list_layers(model, traced)
    traits = find_traits(traced, layers)
    if views > 1:
        shape = tuple(traced.images.shape[1:])
        first = Layer(f"{views} views", "", shape, (views, *shape), 0, 0, 0, 0)
        layers = [first, *(replace(layer, macs=views * layer.macs) for layer in layers)]
    return Summary(name, layers, traits)


def _cells(layer: Layer) -> tuple[str | int | None, ...]:
    shapes = ("x".join(map(str, shape)) for shape in (layer.input, layer.output))
    numbers = (layer.weights, layer.batch_norm, layer.macs, layer.receptive_field)
    return (layer.name, layer.kernel, *shapes, *(number or None for number in numbers))


def _write_sum(layer: Layer) -> str:
    """Write 3 x 3 x 8 x 16 + 16, as people do."""
    return f"{' x '.join(map(str, layer.by_hand))} + {layer.by_hand[-1]}" if layer.by_hand else ""

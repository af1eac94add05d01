"""What a network makes of one digit, on one page: what counts, the filters, the maps layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor, nn

from under10k.data import CLASSES, SIDE
from under10k.insight import activations, filters, predict_probabilities, saliency, to_pixels
from under10k.plots.figure import COLOURS, Drawing, as_it_is
from under10k.runs import as_network

_WIDTH, _HEIGHT = 13.33, 7.5
"""A slide's size, in inches."""


_LEFT = 4.4
"""Inches that the picture and what counts in it take; the layers have the rest."""


_MOST_MAPS = 32
"""Maps of a layer that are drawn."""


def plot_insight(model: nn.Module | str | Path, image: Any, digit: int | None = None) -> Drawing:
    """Draw what a network makes of one image: what counts in it, the first filters, the maps layer by layer.

    `digit` is the one asked about, by default the one read. Blue is positive, red negative; each row of maps has its
    own scale. `model` and `image` are as with `under10k.activations`.

    Raises:
        Under10kError: the picture cannot be read, or holds no digit.
        ModelError: the weights cannot be loaded.
    """
    network = as_network(model)
    pixels = to_pixels(image)
    figure = Drawing(figsize=(_WIDTH, _HEIGHT))
    probabilities = predict_probabilities(network, pixels[None])[0]
    found = saliency(network, pixels, digit)
    _draw_image(_part(figure, 0.3, 0.65, 1.9), pixels, "the digit")
    _draw_bars(_part(figure, 2.65, 0.65, 1.7, 1.9), probabilities, found.digit)
    lost = f"what is lost of {found.digit} without it"
    _draw_signed(_part(figure, 0.3, 3.1, 1.9), found.occlusion, pixels, lost)
    _draw_signed(_part(figure, 2.45, 3.1, 1.9), found.gradient, pixels, f"what makes it more of a {found.digit}")
    figure.text(0.3 / _WIDTH, 0.3, _legend(found.digit, found.probability), va="top", fontsize=10, linespacing=1.5)
    _draw_layers(figure, network, pixels)
    name = as_it_is(str(model)) if not isinstance(model, nn.Module) else type(model).__name__
    figure.text(0.5, 0.985, f"{name} reads {int(probabilities.argmax())}", ha="center", va="top", fontsize=14)
    return figure


def _legend(digit: int, probability: float) -> str:
    return (
        f"{digit} has a probability of {probability:.1%}.\n"
        "Above, left: how much of it is lost\nwhen a black 5x5 square lies there.\n"
        "Right: how fast the answer rises as\na pixel gets whiter.\n"
        "Blue is positive, red negative."
    )


def _part(figure: Drawing, left: float, top: float, width: float, height: float | None = None) -> Axes:
    """Return axes at a place on the page, in inches from the upper left corner."""
    height = height or width
    return figure.add_axes((left / _WIDTH, 1 - (top + height) / _HEIGHT, width / _WIDTH, height / _HEIGHT))


def _draw_image(axes: Axes, pixels: Tensor, title: str) -> None:
    axes.imshow(pixels.numpy(), cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=(), yticks=())
    axes.set_title(title, fontsize=10)


def _draw_bars(axes: Axes, probabilities: Tensor, digit: int) -> None:
    colours = [COLOURS[0] if number == digit else "lightgray" for number in range(CLASSES)]
    axes.barh(range(CLASSES), (100 * probabilities).tolist(), color=colours)
    axes.set(yticks=range(CLASSES), ylim=(CLASSES - 0.5, -0.5), xlim=(0, 100))
    axes.tick_params(labelsize=8)
    axes.set_title("probabilities (%)", fontsize=10)


def _draw_signed(axes: Axes, values: Tensor, pixels: Tensor, title: str) -> None:
    """Draw values (28, 28) in blue and red, with the outline of the digit over them."""
    most = max(float(values.abs().max()), 1e-6)
    axes.imshow(values.numpy(), cmap="RdBu", vmin=-most, vmax=most)
    if int(pixels.max()) > 128:
        axes.contour(pixels.numpy(), levels=[128], colors="black", linewidths=0.9)
    axes.set(xticks=(), yticks=(), xlim=(-0.5, SIDE - 0.5), ylim=(SIDE - 0.5, -0.5))
    axes.set_title(title, fontsize=10)


def _draw_layers(figure: Drawing, network: nn.Module, pixels: Tensor) -> None:
    """Draw the first convolution's filters, then the maps that each layer hands on, a row each."""
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, _WIDTH), ylim=(_HEIGHT, 0))
    axes.set_axis_off()
    rows = [(f"filters of {name}", weights[:, 0]) for name, weights in list(filters(network).items())[:1]]
    rows += [(name, values) for name, values in _stages(activations(network, pixels))]
    height = (_HEIGHT - 0.5) / len(rows)
    for number, (name, maps) in enumerate(rows):
        _draw_row(axes, name, maps, 0.45 + number * height, height, last=number == len(rows) - 1)


def _stages(layers: dict[str, Tensor]) -> list[tuple[str, Tensor]]:
    """Return the maps that each convolution or fully connected layer hands on, after norm and ReLU, before a pool."""
    found: dict[str, Tensor] = {}
    stage, open_ = "", False
    for name, values in layers.items():
        if name.startswith(("convolution", "fully connected")):
            stage, open_ = name, True
        elif "pool" in name:
            open_ = False
        if open_:
            found[stage] = values
    return list(found.items())


def _draw_row(axes: Axes, name: str, maps: Tensor, top: float, height: float, *, last: bool) -> None:
    maps = maps if maps.dim() == 3 else maps.reshape(-1, 1, 1)
    shown, size = maps[:_MOST_MAPS], "x".join(map(str, maps.shape[-2:]))
    room = _WIDTH - _LEFT - 0.7
    pitch = min(height - 0.32, room / len(shown))
    what = "" if name.startswith("filters") else f": {len(maps)} maps of {size}"
    more = f", the first {len(shown)} drawn" if len(shown) < len(maps) else ""
    axes.text(_LEFT + 0.45, top + 0.02, f"{name}{what}{more}", va="top", fontsize=9)
    most = max(float(np.abs(shown.numpy()).max()), 1e-6)
    for number, values in enumerate(shown.numpy()):
        left, bottom, side = _LEFT + 0.45 + number * pitch, top + 0.22 + pitch, 0.92 * pitch
        place = (left, left + side, bottom, bottom - side)
        axes.imshow(values, cmap="RdBu", vmin=-most, vmax=most, extent=place, aspect="auto")
        axes.plot(*_square(place), color="#bbbbbb", linewidth=0.5)
        if last and len(maps) == CLASSES:
            axes.text(left + side / 2, bottom + 0.02, str(number), ha="center", va="top", fontsize=8)


def _square(place: Sequence[float]) -> tuple[list[float], list[float]]:
    left, right, bottom, top = place
    return [left, right, right, left, left], [bottom, bottom, top, top, bottom]

"""Draw the picture of docs/words.md: python tools/draw_words.py docs/words.png."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import under10k
from under10k.data import draw_digits
from under10k.plots.figure import COLOURS, save_figure


def draw(path: Path) -> None:
    """Draw a digit, its map under one window, the map pooled, a receptive field's growth, and batch norm."""
    digits = draw_digits(200, seed=2)
    digit = digits.images[(digits.labels == 5).nonzero()[0, 0]].float() / 255
    window = torch.tensor([[-1.0, 0, 1], [-1, 0, 1], [-1, 0, 1]])
    strokes = torch.nn.functional.conv2d(digit[None, None], window[None, None])
    pooled = torch.nn.functional.max_pool2d(strokes, 2)
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    axes = figure.subplots(2, 3)
    _show(axes[0, 0], digit, "a digit, 28x28, and a 3x3 window", "grey")
    _outline(axes[0, 0], (9, 11), 3, COLOURS[1])
    _show(axes[0, 1], strokes[0, 0], "convolution: its map, 26x26", "RdBu")
    _outline(axes[0, 1], (9, 11), 1, COLOURS[1])
    _show(axes[0, 2], pooled[0, 0], "max pool 2: 13x13", "RdBu")
    _show(axes[1, 0], digit / 2, "receptive field: layer by layer of gap", "grey")
    layers = under10k.summarise(under10k.create_model("gap"), "gap").layers
    fields = sorted({layer.receptive_field for layer in layers if layer.name == "convolution"})
    for side, colour in zip(fields, COLOURS, strict=True):
        _outline(axes[1, 0], (14 - side / 2, 14 - side / 2), side, colour, f"{side}x{side}")
    axes[1, 0].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    axes[1, 0].set(xlim=(-1.5, 28.5), ylim=(28.5, -1.5))
    first, convolution = map(under10k.load_model("gap").get_submodule, ("0", "1.0"))
    with torch.inference_mode():
        maps = convolution(first(under10k.normalise(digits.images)))
        after = torch.nn.functional.batch_norm(maps, None, None, training=True)
    for place, values, title in (
        (axes[1, 1], maps, "sixteen maps before batch norm"),
        (axes[1, 2], after, "after batch norm"),
    ):
        deviation, mean = torch.std_mean(values, dim=(0, 2, 3))
        place.errorbar(range(1, len(mean) + 1), mean, deviation, fmt="o", capsize=4, color=COLOURS[0])
        place.axhline(0, color="grey", linewidth=0.8)
        place.set(title=title, xlabel="map", ylabel="mean and deviation", ylim=(-14, 8), xticks=(1, 4, 8, 12, 16))
    save_figure(figure, path)


def _show(place: Axes, values: torch.Tensor, title: str, colours: str) -> None:
    most = float(values.abs().max())
    low = -most if colours != "grey" else 0
    place.imshow(values, cmap=colours, vmin=low, vmax=most if colours != "grey" else 1)
    place.set(title=title, xticks=[], yticks=[])


def _outline(place: Axes, corner: tuple[float, float], side: float, colour: str, name: str = "") -> None:
    left, top = corner
    place.add_patch(
        Rectangle((left - 0.5, top - 0.5), side, side, fill=False, edgecolor=colour, linewidth=2, label=name)
    )


if __name__ == "__main__":
    draw(Path(sys.argv[1]))

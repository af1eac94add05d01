"""Digits in rows, mistakes, corruptions, and how a picture was read."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter
from numpy.typing import NDArray
from torch import Tensor

from under10k.data import CLASSES, SIDE, Digits, as_unit, to_levels
from under10k.errors import UsageError
from under10k.evaluation import (
    CORRUPTIONS,
    CorruptionScore,
    Interval,
    Metrics,
    corrupt,
    mean_corruption_accuracy,
)
from under10k.pictures import Prediction
from under10k.plots.figure import COLOURS, Drawing, as_it_is

MOST_MISREAD_SHOWN = 100

MOST_SHOWN = 200

_CELL, _GAP = 0.95, 0.08
"""A digit's place in a row of a sheet, and the room between two of them, in inches."""


def plot_confusion(metrics: Metrics) -> Drawing:
    """Draw the confusion matrix: true digits down, read digits across, mistakes shaded, with counts."""
    confusion = metrics.confusion
    mistakes = confusion.clone().fill_diagonal_(0)
    figure = Drawing(figsize=(6.4, 6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(mistakes.numpy(), cmap="OrRd", vmin=0, vmax=max(1, int(mistakes.max())))
    darkest = max(1, int(mistakes.max()))
    for true in range(CLASSES):
        for read in range(CLASSES):
            count = int(confusion[true, read])
            if count:
                colour = "white" if true != read and count > 0.6 * darkest else "black"
                weight = "bold" if true == read else "normal"
                axes.text(read, true, str(count), ha="center", va="center", color=colour, weight=weight, fontsize=9)
    axes.set(xlabel="read", ylabel="true", xticks=range(CLASSES), yticks=range(CLASSES))
    axes.set_title(f"{metrics.errors:,} of {len(metrics.labels):,} misread")
    return figure


def plot_misread(metrics: Metrics, digits: Digits) -> Drawing:
    """Draw the misread digits, the surest mistakes first, each with its index, true label and what was read."""
    shown = metrics.misread[:MOST_MISREAD_SHOWN]
    titles = [
        f"#{index}\n{int(metrics.labels[index])} read as {int(metrics.predictions[index])}" for index in shown.tolist()
    ]
    more = f" (the {len(shown)} surest)" if len(metrics.misread) > len(shown) else ""
    heading = f"{len(metrics.misread)} of {len(metrics.labels):,} misread{more}"
    return plot_sheet(digits.images[shown], titles, heading)


def plot_class_sheet(digits: Digits, heading: str, each: int = 16) -> Drawing:
    """Draw the first digits of each class, one row per class, under their labels."""
    most = min(each, max(8, int(torch.bincount(digits.labels, minlength=CLASSES).max())))  # room for the heading
    rows = torch.zeros(CLASSES, most, *digits.images.shape[1:], dtype=torch.uint8)
    titles = [""] * (CLASSES * most)
    for digit in range(CLASSES):
        found = digits.images[digits.labels == digit][:most].cpu()
        rows[digit, : len(found)] = found
        titles[digit * most : digit * most + len(found)] = [str(digit)] * len(found)
    return plot_sheet(rows.flatten(0, 1), titles, heading, columns=most)


def show(images: Digits | Tensor | NDArray[Any], labels: Sequence[object] | Tensor | None = None) -> Drawing:
    """Draw digits on a sheet, ten a row, each under its label.

    `images` is a tensor or array, (28, 28), (N, 28, 28) or (N, 1, 28, 28): uint8 from 0 to 255, or float from 0 to 1,
    white on black; `Digits` bring their labels along. A sheet holds at most 200 digits.

    Raises:
        UsageError: they are not digit images, too many, or as many labels as images are not given.
    """
    if isinstance(images, Digits):
        labels = images.labels if labels is None else labels
        images = images.images
    if tuple(getattr(images, "shape", ())) == (SIDE, SIDE):
        images = images[None]
    pixels = as_unit(images)
    if len(pixels) > MOST_SHOWN:
        raise UsageError(f"too many digits for a sheet: {len(pixels):,}. show some of them: images[:{MOST_SHOWN}]")
    titles = [str(label) for label in (labels.tolist() if isinstance(labels, Tensor) else labels or ())]
    if titles and len(titles) != len(pixels):
        raise UsageError(f"images and labels differ in number: {len(pixels)}, {len(titles)}. give one label an image")
    return plot_sheet(to_levels(pixels), titles, columns=max(1, min(10, len(pixels))))


def plot_sheet(images: Tensor, titles: Sequence[str], heading: str = "", columns: int = 10) -> Drawing:
    """Draw digit images, uint8 (N, 28, 28), in rows, each under its title; an empty title takes no room."""
    rows = max(1, -(-len(images) // columns))
    height = 1.25 if any(titles) else 0.9
    head = 0.26 if heading else 0.0
    figure, axes = _page(columns * _CELL, head + rows * height + 0.04, heading)
    for index, image in enumerate(images):
        left, bottom = index % columns * _CELL + _GAP / 2, head + (index // columns + 1) * height
        _put(axes, image, left, bottom, _CELL - _GAP)
        if any(titles):
            middle, above = left + (_CELL - _GAP) / 2, bottom - (_CELL - _GAP) - 0.06
            axes.text(middle, above, titles[index], ha="center", va="bottom", fontsize=7)
    return figure


def _page(width: float, height: float, heading: str) -> tuple[Drawing, Axes]:
    """Return a figure under a heading and its only axes, in inches from the upper left corner.

    Axes for each of a hundred images, and a layout of them, would take seconds.
    """
    figure = Drawing(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    axes.text(width / 2, 0.06, as_it_is(heading), ha="center", va="top", fontsize=11)
    return figure, axes


def _put(axes: Axes, image: Tensor, left: float, bottom: float, side: float) -> None:
    """Draw a grey image, uint8, into a square of a page."""
    place = (left, left + side, bottom, bottom - side)
    axes.imshow(image.cpu().numpy(), cmap="gray", vmin=0, vmax=255, extent=place, aspect="auto")


def plot_corruptions(clean: Interval, scores: Sequence[CorruptionScore]) -> Drawing:
    """Draw accuracy over strength, one small plot per corruption; strength 0 is the `clean` accuracy."""
    columns = 4
    rows = -(-len(scores) // columns)
    figure = Drawing(figsize=(11, 2.35 * rows + 0.6), layout="constrained")
    plots = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes in plots.flat[len(scores) :]:
        axes.set_axis_off()
    for axes, score in zip(plots.flat, scores, strict=False):
        _draw_score(axes, clean, score)
    for axes in plots[:, 0]:
        axes.set_ylabel("accuracy (%)")
    figure.suptitle(
        f"{clean.value:.2%} on clean images, {mean_corruption_accuracy(scores):.2%} on corrupted ones (mean of all)"
    )
    return figure


def plot_corruption_examples(image: Tensor, seed: int = 0) -> Drawing:
    """Draw one digit, uint8 (28, 28), under each corruption at each of its strengths."""
    across = 2
    rows = -(-len(CORRUPTIONS) // across)
    figure, axes = _page(11, 1.09 * rows + 0.3, "one digit under each corruption, each image below its strength")
    for number, corruption in enumerate(CORRUPTIONS.values()):
        start, bottom = number % across * 5.5, 0.21 + (number // across + 1) * 1.09
        axes.text(start + 0.12, bottom - 0.45, corruption.name, va="bottom", weight="bold", fontsize=10)
        axes.text(start + 0.12, bottom - 0.35, corruption.unit, va="top", fontsize=8)
        for place, strength in enumerate(corruption.strengths):
            generator = torch.Generator(image.device).manual_seed(seed)
            worse = corrupt(image.unsqueeze(0), corruption.name, strength, generator).squeeze(0)
            left = start + 1.18 + place * 0.87
            _put(axes, worse, left, bottom, 0.79)
            axes.text(left + 0.395, bottom - 0.82, f"{strength:g}", ha="center", va="bottom", fontsize=8)
    return figure


def plot_explanation(found: Sequence[Prediction]) -> Drawing:
    """Draw how a picture was read, one row per digit: picture, ink found, 28x28 frame, probabilities."""
    picture = found[0].picture
    figure = Drawing(figsize=(11, 2.9 * len(found) + 0.2), layout="constrained")
    rows = figure.subplots(len(found), 4, squeeze=False, width_ratios=(1.2, 1, 1, 1.3))
    for number, (row, one) in enumerate(zip(rows, found, strict=True)):
        for axes, title in zip(row, ("the picture", "what was found", "the 28x28 frame", "probabilities"), strict=True):
            if number == 0:
                axes.set_title(title, fontsize=10)
        _draw_picture(row[0], one)
        if one.ink is not None:
            row[1].imshow(one.ink, cmap="gray_r", vmin=0, vmax=1)
        row[2].imshow(one.frame, cmap="gray", vmin=0, vmax=255)
        for axes in row[:3]:
            axes.set(xticks=(), yticks=())
        _draw_probabilities(row[3], one)
    figure.suptitle(f"picture in grey, {picture.grey.shape[1]} x {picture.grey.shape[0]} pixels", fontsize=9)
    return figure


def _draw_picture(axes: Axes, found: Prediction) -> None:
    axes.imshow(found.picture.grey, cmap="gray", vmin=0, vmax=1)
    if found.box:
        left, top, right, bottom = (edge / found.picture.scale for edge in found.box)
        corners = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
        axes.plot([x - 0.5 for x, _ in corners], [y - 0.5 for _, y in corners], color=COLOURS[1], linewidth=1.5)


def _draw_probabilities(axes: Axes, found: Prediction) -> None:
    colours = [COLOURS[0] if digit == found.digit else "lightgray" for digit in range(CLASSES)]
    axes.barh(range(CLASSES), [100 * probability for probability in found.probabilities], color=colours)
    axes.set(yticks=range(CLASSES), ylim=(CLASSES - 0.5, -0.5), xlim=(0, 100), xlabel="%")
    axes.tick_params(labelsize=8)
    if found.warning:
        axes.text(98, CLASSES - 0.8, textwrap.fill(found.warning, 34), ha="right", fontsize=8, color=COLOURS[1])


def _draw_score(axes: Axes, clean: Interval, score: CorruptionScore) -> None:
    strengths = (0.0, *score.corruption.strengths)
    accuracies = (clean, *score.accuracies)
    axes.fill_between(
        strengths,
        [100 * accuracy.low for accuracy in accuracies],
        [100 * accuracy.high for accuracy in accuracies],
        color=COLOURS[0],
        alpha=0.25,
        linewidth=0,
    )
    axes.plot(strengths, [100 * accuracy.value for accuracy in accuracies], color=COLOURS[0], marker="o", markersize=4)
    axes.axhline(100 * clean.value, color="gray", linestyle=":", linewidth=1)
    axes.set(xticks=strengths, ylim=(0, 103))
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.set_title(score.corruption.name, fontsize=10, weight="bold")
    axes.set_xlabel(score.corruption.unit, fontsize=9)
    axes.grid(visible=True, alpha=0.3)

"""Run folders and metrics as pictures; the only file that imports matplotlib."""

from __future__ import annotations

import io
import logging
import statistics
import textwrap
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if not logging.getLogger("matplotlib").level:  # a home folder that it cannot write is none of our users' concern
    logging.getLogger("matplotlib").setLevel(logging.ERROR)

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FormatStrFormatter, LogLocator, MaxNLocator, NullLocator
from torch import Tensor

from under10k.data import CLASSES, Digits
from under10k.errors import UsageError
from under10k.evaluation import (
    CORRUPTIONS,
    CorruptionScore,
    Interval,
    Metrics,
    corrupt,
    mean_corruption_accuracy,
    mean_interval,
)
from under10k.files import write_atomically
from under10k.pictures import Prediction
from under10k.runs import Run
from under10k.text import printable

_COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#8d5fd3", "#c77f0a", "#4a4e69")


_MARKERS = "osD^vPX*<>"


_ACCURACY_TICKS = (50, 80, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95)


MOST_MISREAD_SHOWN = 100


_ONE_AT_A_TIME = threading.Lock()
"""Neither matplotlib's fonts nor the filters of warnings are made for threads."""


_FORMATS = ("png", "svg", "pdf")


_SMOOTHED_PARTS = 60
"""A smoothed curve shows means over such a part of the longest run."""


_LEAST_ERROR, _LEAST_LOSS = 0.01, 1e-6
"""What an error of 0 (in percent) and a loss of 0 are drawn as: the axes are logarithmic."""


_MOST = 1e38
"""What a larger loss or learning rate, which no training has, is drawn as: matplotlib computes with its multiples."""


def save_curves(folders: Sequence[Path], path: Path) -> None:
    """Draw loss and accuracy of both sets over the epochs, of one run or of several laid over each other."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    for number, folder in enumerate(folders):
        _draw_run(loss, accuracy, Run(folder), number, alone=len(folders) == 1)
    _finish_axes(loss, "loss (cross-entropy, nats)")
    _log_scale(loss)
    _finish_axes(accuracy, "accuracy (%)")
    _spread_towards_100(accuracy)
    if len(folders) == 1:
        figure.suptitle(_title(Run(folders[0])))
    _save(figure, path)


def save_batches(folders: Sequence[Path], path: Path) -> None:
    """Draw the loss of every batch, faint, and smoothed, above the learning rate; of one run or of several."""
    figure = Figure(figsize=(11, 6.2), layout="constrained")
    loss, rate = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    runs = [Run(folder).batches() for folder in folders]
    window = max(1, *(len(batches) // _SMOOTHED_PARTS for batches in runs))
    for number, (folder, batches) in enumerate(zip(folders, runs, strict=True)):
        name = "" if len(folders) == 1 else f"{_as_it_is(folder.name)}: "
        colour, steps = _COLOURS[number % len(_COLOURS)], np.arange(1, len(batches) + 1)
        losses = np.clip([batch.loss for batch in batches], _LEAST_LOSS, _MOST)
        loss.plot(steps, losses, color=colour, alpha=0.25, linewidth=0.7, label=f"{name}each batch")
        loss.plot(
            steps, _running_mean(losses, window), color=colour, linewidth=1.8, label=f"{name}mean of {window} batches"
        )
        rate.plot(steps, np.clip([batch.learning_rate for batch in batches], 0, _MOST), color=colour)
    _finish_axes(loss, "loss (cross-entropy, nats)")
    _log_scale(loss)
    loss.set_xlabel("")
    rate.set(xlabel="step", ylabel="learning rate", ylim=(0, None))
    rate.grid(visible=True, alpha=0.3)
    if len(folders) == 1:
        figure.suptitle(_title(Run(folders[0])))
    _save(figure, path)


def save_confusion(metrics: Metrics, path: Path) -> None:
    """Draw the confusion matrix: true digits down, read digits across, mistakes shaded, counts written in."""
    confusion = metrics.confusion
    mistakes = confusion.clone().fill_diagonal_(0)
    figure = Figure(figsize=(6.4, 6), layout="constrained")
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
    _save(figure, path)


def save_misread(metrics: Metrics, digits: Digits, path: Path) -> None:
    """Draw the misread digits, the surest mistakes first, each with its index, true label and what was read."""
    shown = metrics.misread[:MOST_MISREAD_SHOWN]
    titles = [
        f"#{index}\n{int(metrics.labels[index])} read as {int(metrics.predictions[index])}" for index in shown.tolist()
    ]
    more = f" (the {len(shown)} surest)" if len(metrics.misread) > len(shown) else ""
    save_sheet(digits.images[shown], titles, path, f"{len(metrics.misread)} of {len(metrics.labels):,} misread{more}")


def save_class_sheet(digits: Digits, path: Path, heading: str, each: int = 16) -> None:
    """Draw the first digits of each class, a row a class."""
    rows = torch.zeros(CLASSES, each, *digits.images.shape[1:], dtype=torch.uint8)
    for digit in range(CLASSES):
        found = digits.images[digits.labels == digit][:each].cpu()
        rows[digit, : len(found)] = found
    save_sheet(rows.flatten(0, 1), [], path, heading, columns=each)


def save_sheet(images: Tensor, titles: Sequence[str], path: Path, heading: str, columns: int = 10) -> None:
    """Draw digit images, uint8 (N, 28, 28), in rows, each under its title; an empty title takes no room."""
    rows = max(1, -(-len(images) // columns))
    height = 1.25 if any(titles) else 0.9
    figure = Figure(figsize=(columns * 0.95, rows * height + 0.5), layout="constrained")
    for index, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if index < len(images):
            axes.imshow(images[index].cpu().numpy(), cmap="gray", vmin=0, vmax=255)
            axes.set_title(titles[index] if titles else "", fontsize=7)
    figure.suptitle(_as_it_is(heading), fontsize=11)
    _save(figure, path)


def save_corruptions(clean: Interval, scores: Sequence[CorruptionScore], path: Path) -> None:
    """Draw accuracy over strength, a small plot a corruption, from the `clean` accuracy at strength 0 on."""
    columns = 4
    rows = -(-len(scores) // columns)
    figure = Figure(figsize=(11, 2.35 * rows + 0.6), layout="constrained")
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
    _save(figure, path)


def save_corruption_examples(image: Tensor, path: Path, seed: int = 0) -> None:
    """Draw one digit, uint8 (28, 28), under each corruption at each of its strengths."""
    across, strengths = 2, 5
    rows = -(-len(CORRUPTIONS) // across)
    figure = Figure(figsize=(11, 1.05 * rows + 0.5), layout="constrained")
    cells = figure.subplots(
        rows, across * (1 + strengths), squeeze=False, width_ratios=across * [1.35, *strengths * [1.0]]
    )
    for axes in cells.flat:
        axes.set_axis_off()
    for corruption, (name, *shown) in zip(
        CORRUPTIONS.values(), cells.reshape(rows * across, 1 + strengths), strict=False
    ):
        name.text(0.08, 0.6, corruption.name, va="center", weight="bold", fontsize=10)
        name.text(0.08, 0.4, corruption.unit, va="center", fontsize=8)
        for axes, strength in zip(shown, corruption.strengths, strict=True):
            generator = torch.Generator(image.device).manual_seed(seed)
            worse = corrupt(image.unsqueeze(0), corruption.name, strength, generator).squeeze(0)
            axes.imshow(worse.cpu().numpy(), cmap="gray", vmin=0, vmax=255)
            axes.set_title(f"{strength:g}", fontsize=8, pad=2)
    figure.suptitle("one digit under each corruption, each image below its strength", fontsize=11)
    _save(figure, path)


def save_explanation(found: Sequence[Prediction], path: Path) -> None:
    """Draw how a picture was read, a row a digit: the picture, what was found, the 28x28 frame, the probabilities."""
    picture = found[0].picture
    figure = Figure(figsize=(11, 2.9 * len(found) + 0.2), layout="constrained")
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
    _save(figure, path)


def _draw_picture(axes: Axes, found: Prediction) -> None:
    axes.imshow(found.picture.grey, cmap="gray", vmin=0, vmax=1)
    if found.box:
        left, top, right, bottom = (edge / found.picture.scale for edge in found.box)
        corners = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
        axes.plot([x - 0.5 for x, _ in corners], [y - 0.5 for _, y in corners], color=_COLOURS[1], linewidth=1.5)


def _draw_probabilities(axes: Axes, found: Prediction) -> None:
    colours = [_COLOURS[0] if digit == found.digit else "lightgray" for digit in range(CLASSES)]
    axes.barh(range(CLASSES), [100 * probability for probability in found.probabilities], color=colours)
    axes.set(yticks=range(CLASSES), ylim=(CLASSES - 0.5, -0.5), xlim=(0, 100), xlabel="%")
    axes.tick_params(labelsize=8)
    if found.warning:
        axes.text(98, CLASSES - 0.8, textwrap.fill(found.warning, 34), ha="right", fontsize=8, color=_COLOURS[1])


def _draw_score(axes: Axes, clean: Interval, score: CorruptionScore) -> None:
    strengths = (0.0, *score.corruption.strengths)
    accuracies = (clean, *score.accuracies)
    axes.fill_between(
        strengths,
        [100 * accuracy.low for accuracy in accuracies],
        [100 * accuracy.high for accuracy in accuracies],
        color=_COLOURS[0],
        alpha=0.25,
        linewidth=0,
    )
    axes.plot(strengths, [100 * accuracy.value for accuracy in accuracies], color=_COLOURS[0], marker="o", markersize=4)
    axes.axhline(100 * clean.value, color="gray", linestyle=":", linewidth=1)
    axes.set(xticks=strengths, ylim=(0, 103))
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.set_title(score.corruption.name, fontsize=10, weight="bold")
    axes.set_xlabel(score.corruption.unit, fontsize=9)
    axes.grid(visible=True, alpha=0.3)


Points = Mapping[str, Sequence[tuple[float, float]]]
"""Seconds and score, a fraction, of each run, by the label of what was trained."""


def save_strip(panels: Mapping[str, Points], path: Path) -> None:
    """Draw the score of every run as a point, a strip a label, with mean and 95 % interval; a panel a kind of score."""
    heights = [len(points) + 1 for points in panels.values()]
    figure = Figure(figsize=(9, 0.6 * sum(heights) + 0.6 * len(panels)), layout="constrained")
    rows = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
    for axes, (quantity, points) in zip(rows.flat, panels.items(), strict=True):
        for row, runs in enumerate(points.values()):
            scores = [100 * score for _, score in runs]
            axes.plot(
                scores, [row + shift for shift in _stack(scores)], "o", color=_COLOURS[0], alpha=0.6, markersize=5
            )
            mean = mean_interval(scores)
            error = [[mean.value - mean.low], [mean.high - mean.value]] if mean.bounds else None
            axes.errorbar(mean.value, row, xerr=error, color="black", marker="D", markersize=6, capsize=6, zorder=3)
        labels = [f"{_wrap(label)}\nn = {len(runs)}" for label, runs in points.items()]
        axes.set(xlabel=quantity, yticks=range(len(points)), yticklabels=labels, ylim=(len(points) - 0.4, -0.6))
        axes.xaxis.set_major_formatter(FormatStrFormatter("%.6g"))
        axes.grid(visible=True, axis="x", alpha=0.3)
    figure.suptitle("each point a run; black: mean with its 95 % interval", fontsize=10)
    _save(figure, path)


def save_tradeoff(panels: Mapping[str, Points], path: Path) -> None:
    """Draw accuracy against seconds a run, both on one scale for all; a panel a kind of score."""
    figure = Figure(figsize=(9, 3.4 * len(panels)), layout="constrained")
    rows = figure.subplots(len(panels), 1, squeeze=False, sharex=True, sharey=True)
    for axes, (quantity, points) in zip(rows.flat, panels.items(), strict=True):
        for number, (label, runs) in enumerate(points.items()):
            _draw_point(axes, f"{_wrap(label)} (n = {len(runs)})", runs, number)
        axes.set_ylabel(quantity)
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    last = rows.flat[-1]
    last.set_xlabel("seconds a run")
    last.yaxis.set_major_formatter(FormatStrFormatter("%.6g"))
    seconds = [second for points in panels.values() for runs in points.values() for second, _ in runs]
    if max(seconds) > 10 * min(seconds):
        last.set_xscale("log")
        last.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    figure.suptitle("means: accuracy with its 95 % interval, seconds from the least to the most", fontsize=10)
    _save(figure, path)


def _draw_point(axes: Axes, name: str, runs: Sequence[tuple[float, float]], number: int) -> None:
    seconds = [second for second, _ in runs]
    x = statistics.fmean(seconds)
    y = mean_interval([100 * score for _, score in runs])
    colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
    if len(runs) > 1:
        axes.plot([min(seconds), max(seconds)], [y.value, y.value], color=colour, marker="|")
    if y.bounds:
        axes.plot([x, x], y.bounds, color=colour, marker="_")
    axes.plot(x, y.value, color=colour, marker=marker, markersize=8, linestyle="none", label=name)


def _stack(values: Sequence[float]) -> list[float]:
    """Return how far each point is moved off its line, so that equal ones lie side by side: 0, 0.1, -0.1, 0.2 ..."""
    places = [sum(value == earlier for earlier in values[:number]) for number, value in enumerate(values)]
    return [0.1 * ((place + 1) // 2) * (1 if place % 2 else -1) for place in places]


def _wrap(label: str) -> str:
    return "\n".join(textwrap.wrap(label, 28, break_on_hyphens=False)) or label


def _title(run: Run) -> str:
    recipe = run.recipe()
    return f"{recipe.name}: {recipe.model}, {recipe.protocol} protocol, seed {recipe.seed}"


def _log_scale(loss: Axes) -> None:
    loss.set_yscale("log")
    loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    loss.yaxis.set_minor_locator(NullLocator())


def _running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Return the mean of up to `window` values around each; towards the ends there are fewer, but at least half."""
    sums = np.concatenate(([0.0], np.cumsum(values)))
    places = np.arange(len(values))
    low = np.maximum(0, places - window // 2)
    high = np.minimum(len(values), places + (window + 1) // 2)
    return np.asarray((sums[high] - sums[low]) / (high - low))


def _draw_run(loss: Axes, accuracy: Axes, run: Run, number: int, *, alone: bool) -> None:
    history = run.history()
    label = "" if alone else f"{_as_it_is(run.folder.name)}: "
    train_colour = _COLOURS[0] if alone else _COLOURS[number % len(_COLOURS)]
    scored_colour = _COLOURS[1] if alone else train_colour
    epochs = [epoch.epoch for epoch in history]
    train: dict[str, Any] = {"color": train_colour, "linestyle": "--", "marker": "o", "markersize": 3}
    loss.plot(epochs, [_drawn_loss(epoch.train_loss) for epoch in history], label=f"{label}training", **train)
    accuracy.plot(epochs, [_percent(epoch.train_accuracy) for epoch in history], label=f"{label}training", **train)
    scored = [epoch for epoch in history if epoch.scored_set]
    style: dict[str, Any]
    if scored:
        epochs = [epoch.epoch for epoch in scored]
        style = {"color": scored_colour, "marker": "o", "markersize": 3, "label": f"{label}{scored[0].scored_set}"}
        loss.plot(epochs, [_drawn_loss(epoch.loss or 0.0) for epoch in scored], **style)
        accuracy.plot(epochs, [_percent(epoch.accuracy or 0.0) for epoch in scored], **style)
    result = run.result()
    if result:
        style = {"color": scored_colour, "marker": "*", "markersize": 13, "linestyle": "none"}
        loss.plot(result.kept_epoch, _drawn_loss(result.test_loss), **style)
        accuracy.plot(
            result.kept_epoch,
            _percent(result.test_accuracy),
            label=f"{label}test, weights of epoch {result.kept_epoch}: {result.test_accuracy:.2%}",
            **style,
        )


def _as_it_is(name: str) -> str:
    """Keep a name from being read as mathematics, from spoiling the picture, or from being left out of a legend."""
    shown = printable(name).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def _finish_axes(axes: Axes, quantity: str) -> None:
    axes.set(xlabel="epoch", ylabel=quantity)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8)


def _spread_towards_100(axes: Axes) -> None:
    """Scale an accuracy axis by the logarithm of the error, so that 99.0 and 99.5 lie as far apart as 98 and 99."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.get_lines()])
    if not len(values):
        return
    low, high = float(values.min()), float(values.max())
    axes.set_yscale("function", functions=(_to_digits, _from_digits))
    axes.yaxis.set_major_locator(FixedLocator(_ACCURACY_TICKS))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.set_ylim(max(0.0, 100 - (100 - low) * 1.3), 100 - (100 - high) / 1.5)


def _drawn_loss(loss: float) -> float:
    return min(max(loss, _LEAST_LOSS), _MOST)


def _percent(share: float) -> float:
    return min(100 * share, 100 - _LEAST_ERROR)


def _to_digits(percent: np.ndarray) -> np.ndarray:
    return np.asarray(-np.log10(np.maximum(100 - np.asarray(percent), 1e-3)))


def _from_digits(value: np.ndarray) -> np.ndarray:
    return np.asarray(100 - 10.0 ** -np.asarray(value))


def _save(figure: Figure, path: Path) -> None:
    kind = path.suffix.lower().removeprefix(".")
    if kind not in _FORMATS:
        raise UsageError(f"not a kind of picture: {path}. end its name in .{', .'.join(_FORMATS)}")
    buffer = io.BytesIO()
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # of names in other scripts: boxes will do
        figure.savefig(buffer, format=kind, dpi=120)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())

"""Runs over their epochs and batches, and the scores of studies."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FormatStrFormatter, LogLocator, MaxNLocator, NullLocator

from under10k.errors import UsageError
from under10k.evaluation import mean_interval
from under10k.plots.figure import COLOURS, MARKERS, Drawing, as_it_is
from under10k.runs import Result, Run

_ACCURACY_TICKS = (50, 80, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95)


_SMOOTHED_PARTS = 60
"""A smoothed curve averages over the longest run's batches divided by this."""


_LEAST_ERROR, _LEAST_LOSS = 0.01, 1e-6
"""What an error of 0 (in percent) and a loss of 0 are drawn as, on logarithmic axes."""


_MOST = 1e38
"""What a larger loss or learning rate, which no training has, is drawn as: matplotlib computes with its multiples."""


Points = Mapping[str, Sequence[tuple[float, float]]]
"""Seconds and score (a fraction) of each run, by the label of what was trained."""


Runs = Result | str | Path | Sequence[Result | str | Path]
"""A run, by its result or its folder, or several."""


def plot_curves(runs: Runs) -> Drawing:
    """Draw loss and accuracy of both sets over the epochs, of one run or of several on the same axes.

    `runs` is a result or a run folder, or a list of them. The figure has two axes, of the loss and of the accuracy:
    `figure.axes[0].set_title("mine")` changes it, and `figure.savefig("curves.pdf")` saves it.

    Raises:
        ModelError: a folder holds no run, or a damaged one.
    """
    folders = _folders(runs)
    figure = Drawing(figsize=(11, 4.6), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    for number, folder in enumerate(folders):
        _draw_run(loss, accuracy, Run(folder), number, alone=len(folders) == 1)
    _finish_axes(loss, "loss (cross-entropy, nats)")
    _log_scale(loss)
    _finish_axes(accuracy, "accuracy (%)")
    spread_towards_100(accuracy)
    if len(folders) == 1:
        figure.suptitle(_title(Run(folders[0])))
    return figure


def plot_batches(runs: Runs) -> Drawing:
    """Draw the loss of every batch (faint) and its running mean above the learning rate, of one run or several."""
    folders = _folders(runs)
    figure = Drawing(figsize=(11, 6.2), layout="constrained")
    loss, rate = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    recorded = [Run(folder).batches() for folder in folders]
    window = max(1, *(len(batches) // _SMOOTHED_PARTS for batches in recorded))
    for number, (folder, batches) in enumerate(zip(folders, recorded, strict=True)):
        name = "" if len(folders) == 1 else f"{as_it_is(folder.name)}: "
        colour, steps = COLOURS[number % len(COLOURS)], np.arange(1, len(batches) + 1)
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
    return figure


def plot_strip(panels: Mapping[str, Points]) -> Drawing:
    """Draw every run's score as a point, one strip per label, with mean and 95 % interval, one panel per score."""
    heights = [len(points) + 1 for points in panels.values()]
    figure = Drawing(figsize=(9, 0.6 * sum(heights) + 0.6 * len(panels)), layout="constrained")
    rows = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
    for axes, (quantity, points) in zip(rows.flat, panels.items(), strict=True):
        for row, runs in enumerate(points.values()):
            scores = [100 * score for _, score in runs]
            axes.plot(scores, [row + shift for shift in _stack(scores)], "o", color=COLOURS[0], alpha=0.6, markersize=5)
            mean = mean_interval(scores)
            error = [[mean.value - mean.low], [mean.high - mean.value]] if mean.bounds else None
            axes.errorbar(mean.value, row, xerr=error, color="black", marker="D", markersize=6, capsize=6, zorder=3)
        labels = [f"{_wrap(label)}\nn = {len(runs)}" for label, runs in points.items()]
        axes.set(xlabel=quantity, yticks=range(len(points)), yticklabels=labels, ylim=(len(points) - 0.4, -0.6))
        axes.xaxis.set_major_formatter(FormatStrFormatter("%.6g"))
        axes.grid(visible=True, axis="x", alpha=0.3)
    figure.suptitle("each point a run; black: mean with its 95 % interval", fontsize=10)
    return figure


def plot_tradeoff(panels: Mapping[str, Points]) -> Drawing:
    """Draw accuracy against seconds per run, on shared scales; one panel per kind of score."""
    figure = Drawing(figsize=(9, 3.4 * len(panels)), layout="constrained")
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
    return figure


def _folders(runs: Runs) -> list[Path]:
    given = [runs] if isinstance(runs, Result | str | Path) else list(runs)
    if not given:
        raise UsageError("nothing to draw: no run was given. give a result, a run folder, or a list of them")
    return [Path(run.run_dir if isinstance(run, Result) else run) for run in given]


def _draw_run(loss: Axes, accuracy: Axes, run: Run, number: int, *, alone: bool) -> None:
    history = run.history()
    label = "" if alone else f"{as_it_is(run.folder.name)}: "
    train_colour = COLOURS[0] if alone else COLOURS[number % len(COLOURS)]
    scored_colour = COLOURS[1] if alone else train_colour
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


def _draw_point(axes: Axes, name: str, runs: Sequence[tuple[float, float]], number: int) -> None:
    seconds = [second for second, _ in runs]
    x = statistics.fmean(seconds)
    y = mean_interval([100 * score for _, score in runs])
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    if len(runs) > 1:
        axes.plot([min(seconds), max(seconds)], [y.value, y.value], color=colour, marker="|")
    if y.bounds:
        axes.plot([x, x], y.bounds, color=colour, marker="_")
    axes.plot(x, y.value, color=colour, marker=marker, markersize=8, linestyle="none", label=name)


def _stack(values: Sequence[float]) -> list[float]:
    """Return how far to move each point off its line, so that equal ones lie side by side: 0, 0.1, -0.1, 0.2 ..."""
    places = [sum(value == earlier for earlier in values[:number]) for number, value in enumerate(values)]
    return [0.1 * ((place + 1) // 2) * (1 if place % 2 else -1) for place in places]


def _wrap(label: str) -> str:
    return "\n".join(textwrap.wrap(label, 28, break_on_hyphens=False)) or label


def _title(run: Run) -> str:
    recipe = run.recipe()
    return f"{recipe.name}: {recipe.network}, {recipe.protocol} protocol, seed {recipe.seed}"


def _log_scale(loss: Axes) -> None:
    loss.set_yscale("log")
    loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    loss.yaxis.set_minor_locator(NullLocator())


def _running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Return the mean of up to `window` values around each; near the ends of fewer, but at least half."""
    sums = np.concatenate(([0.0], np.cumsum(values)))
    places = np.arange(len(values))
    low = np.maximum(0, places - window // 2)
    high = np.minimum(len(values), places + (window + 1) // 2)
    return np.asarray((sums[high] - sums[low]) / (high - low))


def _finish_axes(axes: Axes, quantity: str) -> None:
    axes.set(xlabel="epoch", ylabel=quantity)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8)


def spread_towards_100(axes: Axes) -> None:
    """Scale an accuracy axis by the logarithm of the error, so that 99.0 and 99.5 are as far apart as 98 and 99."""
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

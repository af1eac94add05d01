"""Accuracy against size: our networks by their means, beside what others claim of theirs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator, StrMethodFormatter

from under10k.evaluation import mean_interval
from under10k.plots.curves import spread_towards_100
from under10k.plots.figure import COLOURS, MARKERS, Drawing, as_it_is

Networks = Mapping[str, tuple[int, int | None, Sequence[float]]]
"""Parameters, multiply-accumulates of an image (None where unknown) and scores (fractions) of the runs, by label."""


class Claim(NamedTuple):
    """A public figure for MNIST."""

    parameters: int
    accuracy: float
    """In percent."""
    how: str
    source: str


CLAIMS = (
    Claim(9594, 99.64, "one run", "a course repository"),
    Claim(8900, 99.5, "best epoch of 15", "The-School-of-AI/era-s7-ram"),
    Claim(7918, 99.52, "best epoch of 11", "snehanshu-raj/ERA"),
    Claim(4862, 99.07, "50 epochs, a validation split", "ruslangrimov/mnist-minimal-model"),
    Claim(697, 99.03, "best of about 700 copies", "JoshWarn/Parameter-Efficient-MNIST"),
    Claim(575, 98.0, "highest on test, after pruning", "hexhowells/NeuralGolfing"),
)
"""What others report of networks under 10,000 parameters, read in November 2026: none is a mean over seeds."""


_LETTERS = 60
"""Longest line of a legend: two columns of them fit below a panel."""

_TICKS = (90, 95, 97, 98, 98.5, 99, 99.2, 99.3, 99.4, 99.5, 99.6, 99.7, 99.8)


def plot_frontier(networks: Networks) -> Drawing:
    """Draw accuracy against parameters, and against multiply-accumulates where they are known, on logarithmic axes.

    Ours are means with 95 % intervals; claims of others, hollow, are drawn beside them by parameters.
    """
    counted = {label: (macs, scores) for label, (_, macs, scores) in networks.items() if macs is not None}
    figure = Drawing(figsize=(9, 5.2 if not counted else 9.6), layout="constrained")
    rows: list[Axes] = list(figure.subplots(2 if counted else 1, 1, squeeze=False).flat)
    for number, claim in enumerate(CLAIMS):
        style: dict[str, Any] = {"color": "#666666", "marker": MARKERS[number], "linestyle": "none", "zorder": 2}
        label = f"{claim.accuracy:g} % at {claim.parameters:,}: {claim.source}, {claim.how}"
        rows[0].plot(claim.parameters, claim.accuracy, markerfacecolor="none", label=label, **style)
    _draw(rows[0], {label: (parameters, scores) for label, (parameters, _, scores) in networks.items()})
    rows[0].set(xlabel="parameters", ylabel="accuracy (%)")
    if counted:
        _draw(rows[1], counted)
        rows[1].set(xlabel="multiply-accumulates for one image", ylabel="accuracy (%)")
    for axes in rows:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        spread_towards_100(axes)
        axes.yaxis.set_major_locator(FixedLocator(_TICKS))
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
    figure.suptitle("filled: means over seeds with 95 % intervals; hollow: single public figures", fontsize=10)
    return figure


def _draw(axes: Axes, points: Mapping[str, tuple[int, Sequence[float]]]) -> None:
    for number, (label, (size, scores)) in enumerate(points.items()):
        mean, colour = mean_interval([100 * score for score in scores]), COLOURS[number % len(COLOURS)]
        if mean.bounds:
            axes.plot([size, size], mean.bounds, color=colour, marker="_", zorder=3)
        name = textwrap.fill(f"{as_it_is(label)}: {mean.value:.2f} %, {size:,} (n = {len(scores)})", _LETTERS)
        axes.plot(size, mean.value, color=colour, marker=MARKERS[number % len(MARKERS)], linestyle="none", label=name)

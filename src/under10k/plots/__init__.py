"""Runs, studies, scores and digits as figures of matplotlib's; the only room that imports it."""

import logging

if not logging.getLogger("matplotlib").level:  # that it cannot write to a home folder concerns none of our users
    logging.getLogger("matplotlib").setLevel(logging.ERROR)

from under10k.plots.curves import Points, Runs, plot_batches, plot_curves, plot_strip, plot_tradeoff
from under10k.plots.figure import Drawing, save_figure
from under10k.plots.frontier import Networks, plot_frontier
from under10k.plots.insight import plot_insight
from under10k.plots.sheets import (
    plot_class_sheet,
    plot_confusion,
    plot_corruption_examples,
    plot_corruptions,
    plot_explanation,
    plot_misread,
    plot_sheet,
    show,
)

__all__ = [
    "Drawing",
    "Networks",
    "Points",
    "Runs",
    "plot_batches",
    "plot_class_sheet",
    "plot_confusion",
    "plot_corruption_examples",
    "plot_corruptions",
    "plot_curves",
    "plot_explanation",
    "plot_frontier",
    "plot_insight",
    "plot_misread",
    "plot_sheet",
    "plot_strip",
    "plot_tradeoff",
    "save_figure",
    "show",
]

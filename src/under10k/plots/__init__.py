"""Runs, studies, scores and digits as pictures; the only room that imports matplotlib."""

import logging

if not logging.getLogger("matplotlib").level:  # that it cannot write to a home folder concerns none of our users
    logging.getLogger("matplotlib").setLevel(logging.ERROR)

from under10k.plots.curves import Points, save_batches, save_curves, save_strip, save_tradeoff
from under10k.plots.frontier import Networks, save_frontier
from under10k.plots.sheets import (
    save_class_sheet,
    save_confusion,
    save_corruption_examples,
    save_corruptions,
    save_explanation,
    save_misread,
    save_sheet,
)

__all__ = [
    "Networks",
    "Points",
    "save_batches",
    "save_class_sheet",
    "save_confusion",
    "save_corruption_examples",
    "save_corruptions",
    "save_curves",
    "save_explanation",
    "save_frontier",
    "save_misread",
    "save_sheet",
    "save_strip",
    "save_tradeoff",
]

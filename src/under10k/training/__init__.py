"""Training: from a recipe and data to weights and a result, resumable at every step."""

from under10k.training.report import PROTOCOL_NOTES, ConsoleReport, Report, TensorBoardReport, WarningReport
from under10k.training.signals import StopSignals
from under10k.training.stack import require_stackable
from under10k.training.start import train, train_stacked
from under10k.training.steps import batch_size_of, count_steps, trained_count
from under10k.training.trainer import Trainer
from under10k.training.watch import WatchReport

__all__ = [
    "ConsoleReport",
    "PROTOCOL_NOTES",
    "Report",
    "StopSignals",
    "TensorBoardReport",
    "Trainer",
    "WarningReport",
    "WatchReport",
    "batch_size_of",
    "count_steps",
    "require_stackable",
    "train",
    "train_stacked",
    "trained_count",
]

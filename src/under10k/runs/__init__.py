"""A training on disk: the run folder, its records, and the one door to weights."""

from under10k.runs.folder import Run, check_unused, create_run_folder, resume_command
from under10k.runs.records import Batch, Epoch, History, Position, ScoredSet
from under10k.runs.result import Result
from under10k.runs.start import load_teacher, pin_start, pin_teacher, restore_start
from under10k.runs.weights import WEIGHTS, as_network, load_model, load_weights, recorded_data, save_model

__all__ = [
    "Batch",
    "Epoch",
    "History",
    "Position",
    "Result",
    "Run",
    "ScoredSet",
    "WEIGHTS",
    "as_network",
    "check_unused",
    "create_run_folder",
    "load_model",
    "load_teacher",
    "load_weights",
    "pin_start",
    "pin_teacher",
    "recorded_data",
    "restore_start",
    "resume_command",
    "save_model",
]

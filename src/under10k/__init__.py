"""Handwritten digits, read by neural networks of under ten thousand parameters.

import under10k
result = under10k.train(under10k.recipes.default())
model = under10k.load_model(result.run_dir)
metrics = under10k.evaluate(model, under10k.load_digits("mnist").test)
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from under10k.data import use_framer
from under10k.version import __version__ as __version__

if TYPE_CHECKING:
    from under10k import plots, recipes
    from under10k.assessment import Evaluation, evaluate, evaluate_corruptions, evaluate_run
    from under10k.data import Dataset, Digits, load_digits, normalise
    from under10k.errors import BusyError, DataError, DivergedError, ModelError, StoppedError, Under10kError, UsageError
    from under10k.evaluation import Metrics, corruptions
    from under10k.insight import Saliency, activations, filters, saliency
    from under10k.models import create_model, list_models, summarise
    from under10k.pictures import Prediction, predict, predict_all
    from under10k.plots import plot_curves, show
    from under10k.recipes import Recipe
    from under10k.runs import Result, load_model, save_model
    from under10k.study import Study, run_study
    from under10k.training import train
    from under10k.weights import list_weights

__all__ = [
    "BusyError",
    "DataError",
    "Dataset",
    "Digits",
    "DivergedError",
    "Evaluation",
    "Metrics",
    "ModelError",
    "Prediction",
    "Recipe",
    "Result",
    "Saliency",
    "StoppedError",
    "Study",
    "Under10kError",
    "UsageError",
    "activations",
    "corruptions",
    "create_model",
    "evaluate",
    "evaluate_corruptions",
    "evaluate_run",
    "filters",
    "list_models",
    "list_weights",
    "load_digits",
    "load_model",
    "normalise",
    "plot_curves",
    "plots",
    "predict",
    "predict_all",
    "recipes",
    "run_study",
    "saliency",
    "save_model",
    "show",
    "summarise",
    "train",
]

_HOMES = {
    "BusyError": "errors",
    "DataError": "errors",
    "Dataset": "data",
    "Digits": "data",
    "DivergedError": "errors",
    "Evaluation": "assessment",
    "Metrics": "evaluation",
    "ModelError": "errors",
    "Prediction": "pictures",
    "Recipe": "recipes",
    "Result": "runs",
    "Saliency": "insight",
    "StoppedError": "errors",
    "Study": "study",
    "Under10kError": "errors",
    "UsageError": "errors",
    "activations": "insight",
    "corruptions": "evaluation",
    "create_model": "models",
    "evaluate": "assessment",
    "evaluate_corruptions": "assessment",
    "evaluate_run": "assessment",
    "filters": "insight",
    "list_models": "models",
    "list_weights": "weights",
    "load_digits": "data",
    "load_model": "runs",
    "normalise": "data",
    "plot_curves": "plots",
    "predict": "pictures",
    "predict_all": "pictures",
    "run_study": "study",
    "saliency": "insight",
    "save_model": "runs",
    "show": "plots",
    "summarise": "models",
    "train": "training",
}
"""The room of each public name."""


# torch's threads wait for each other in a loop, and sleep after so many turns: with libgomp's own 300,000, where any
# other program takes a core, a training takes some fifteen times as long instead of four. Read as torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "100000")


use_framer(lambda: importlib.import_module("under10k.pictures").frame_picture)  # `data` comes before `pictures`


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `under10k --help` need not wait for torch."""
    if name in ("plots", "recipes"):
        return importlib.import_module(f"under10k.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'under10k' has no attribute {name!r}")
    return getattr(importlib.import_module(f"under10k.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

"""Handwritten digits, read by neural networks of under ten thousand parameters.

import tenk
result = tenk.train(tenk.recipes.default())
model = tenk.load_model(result.run_dir)
metrics = tenk.evaluate(model, tenk.load_digits("mnist").test)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenk import recipes
    from tenk.assessment import Evaluation, evaluate_run
    from tenk.datasets import Dataset, load_digits
    from tenk.digits import Digits
    from tenk.errors import TenkError
    from tenk.evaluation import Metrics, evaluate, evaluate_corruptions
    from tenk.models import create_model, list_models
    from tenk.prediction import Prediction, predict, predict_all
    from tenk.recipes import Recipe
    from tenk.runs import Result, load_model
    from tenk.study import Study, run_study
    from tenk.summary import summarise
    from tenk.training import train
    from tenk.weights import list_weights

__version__ = "0.3.0"

__all__ = [
    "Dataset",
    "Digits",
    "Evaluation",
    "Metrics",
    "Prediction",
    "Recipe",
    "Result",
    "Study",
    "TenkError",
    "create_model",
    "evaluate",
    "evaluate_corruptions",
    "evaluate_run",
    "list_models",
    "list_weights",
    "load_digits",
    "load_model",
    "predict",
    "predict_all",
    "recipes",
    "run_study",
    "summarise",
    "train",
]

_HOMES = {
    "Dataset": "datasets",
    "Digits": "digits",
    "Evaluation": "assessment",
    "Metrics": "evaluation",
    "Prediction": "prediction",
    "Recipe": "recipes",
    "Result": "runs",
    "Study": "study",
    "TenkError": "errors",
    "create_model": "models",
    "evaluate": "evaluation",
    "evaluate_corruptions": "evaluation",
    "evaluate_run": "assessment",
    "list_models": "models",
    "list_weights": "weights",
    "load_digits": "datasets",
    "load_model": "runs",
    "predict": "prediction",
    "predict_all": "prediction",
    "run_study": "study",
    "summarise": "summary",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `tenk --help` need not wait for torch."""
    if name == "recipes":
        return importlib.import_module("tenk.recipes")
    if name not in _HOMES:
        raise AttributeError(f"module 'tenk' has no attribute {name!r}")
    return getattr(importlib.import_module(f"tenk.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

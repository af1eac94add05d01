"""The networks, each in a file that reads like its diagram."""

from under10k.models.blocks import GlobalAveragePool, Residual
from under10k.models.chance import DrawingFrom
from under10k.models.registry import MODELS, count_parameters, create_model, evaluating, list_models, require_model
from under10k.models.summary import COLUMNS, Summary, summarise

__all__ = [
    "COLUMNS",
    "DrawingFrom",
    "GlobalAveragePool",
    "MODELS",
    "Residual",
    "Summary",
    "count_parameters",
    "create_model",
    "evaluating",
    "list_models",
    "require_model",
    "summarise",
]

"""The networks, each in a file that reads like its diagram."""

from under10k.models.blocks import GlobalAveragePool, Residual
from under10k.models.chance import DrawingFrom
from under10k.models.inspection import evaluating
from under10k.models.own import is_loaded, is_own, lives_here, name_source, require_recorded, with_network
from under10k.models.registry import (
    EVERY_MODEL,
    MODELS,
    PARAMETER_LIMIT,
    count_parameters,
    create_model,
    list_models,
    list_variants,
    network_of,
    require_network,
)
from under10k.models.remarks import Traits
from under10k.models.source import where_it_failed
from under10k.models.summary import BY_HAND_COLUMNS, COLUMNS, Summary, summarise
from under10k.models.tracing import DROPOUTS, Call, Trace, trace
from under10k.models.views import SHIFTS, Views, count_views, shift, with_views

__all__ = [
    "BY_HAND_COLUMNS",
    "COLUMNS",
    "Call",
    "DROPOUTS",
    "DrawingFrom",
    "EVERY_MODEL",
    "GlobalAveragePool",
    "MODELS",
    "PARAMETER_LIMIT",
    "Residual",
    "SHIFTS",
    "Summary",
    "Trace",
    "Traits",
    "Views",
    "count_parameters",
    "count_views",
    "create_model",
    "evaluating",
    "is_loaded",
    "is_own",
    "list_models",
    "list_variants",
    "lives_here",
    "name_source",
    "network_of",
    "require_network",
    "require_recorded",
    "shift",
    "summarise",
    "trace",
    "where_it_failed",
    "with_network",
    "with_views",
]

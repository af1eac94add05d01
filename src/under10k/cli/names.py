"""What may be written where: recipes, networks, data, weights, runs; what a shell offers when Tab is pressed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from under10k.recipes import list_recipes

Completer = Callable[[Any], Iterable[str]]
"""Returns the words that may stand in a place; none leaves it to the shell to offer files."""


def nothing(_: Any) -> Iterable[str]:
    """Offer nothing: a number, or a name of the user's own."""
    return ()


files = nothing
"""A file or a folder: a shell offers those itself where it is offered nothing else."""


def recipes(_: Any) -> Iterable[str]:
    """Offer the named recipes."""
    return list_recipes()


def networks(_: Any) -> Iterable[str]:
    """Offer the architectures."""
    from under10k.models import list_models

    return list_models()


def data(_: Any) -> Iterable[str]:
    """Offer the known data sets."""
    from under10k.data import DATASETS

    return ("auto", *DATASETS)


def devices(_: Any) -> Iterable[str]:
    """Offer the kinds of devices."""
    return ("auto", "cpu", "cuda", "mps")


def runs(_: Any) -> Iterable[str]:
    """Offer the run folders below this one, those of studies too."""
    return _folders("runs/*/recipe.json", "studies/*/runs/*/recipe.json")


def runs_and_studies(_: Any) -> Iterable[str]:
    """Offer the run folders and the study folders below this one."""
    return [*runs(_), *studies(_)]


def studies(_: Any) -> Iterable[str]:
    """Offer the study folders below this one."""
    return _folders("studies/*/plan.json")


def weights(_: Any) -> Iterable[str]:
    """Offer the bundled weights and the runs."""
    from under10k.weights import list_weights

    return [*list_weights(), *runs(_)]


def teachers(_: Any) -> Iterable[str]:
    """Offer the bundled teachers first, then all other weights."""
    from under10k.weights import TEACHERS

    return [*TEACHERS, *weights(_)]


def networks_and_weights(_: Any) -> Iterable[str]:
    """Offer the architectures, the bundled weights and the runs."""
    return sorted({*networks(_), *weights(_)})


def _folders(*patterns: str) -> list[str]:
    return sorted(str(path.parent) for pattern in patterns for path in Path().glob(pattern))

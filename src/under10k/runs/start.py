"""The weights that a training begins from, where it does not begin at random."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from torch import nn

from under10k.errors import ModelError
from under10k.models import is_own, network_of
from under10k.recipes import Recipe
from under10k.runs.weights import build_on_cpu, locate_weights, read_weights
from under10k.weights import Facts, hash_file, list_weights, load_plain_tensors, restore


def pin_start(recipe: Recipe) -> Recipe:
    """Return a recipe whose starting weights, where it has some, are named by their whole path and SHA-256, and fit.

    Raises:
        ModelError: they are missing, damaged, of another network, or not those that the recipe records.
        UsageError: bundled weights and a file here go by the same name.
    """
    if recipe.start is None:
        return recipe
    digest = recipe.start_sha256 or hash_file(locate_weights(recipe.start))
    start = recipe.start if recipe.start in list_weights() else str(Path(recipe.start).resolve())
    pinned = replace(recipe, start=start, start_sha256=digest)
    restore_start(pinned, build_on_cpu(lambda: network_of(recipe)))
    return pinned


def restore_start(recipe: Recipe, network: nn.Module) -> None:
    """Copy the starting weights of a recipe into its network; without any, leave it as it is.

    Raises:
        ModelError: they are missing, damaged, of another network, or not those that the recipe records.
        UsageError: bundled weights and a file here go by the same name.
    """
    if recipe.start is None:
        return
    path = locate_weights(recipe.start)
    if recipe.start_sha256 not in (None, hash_file(path)):
        raise ModelError(f"other weights: {path} has changed since they were recorded. put them back, or train anew")
    tensors = load_plain_tensors(path)
    if tensors is None:
        tensors, facts, _ = read_weights(path)
        _require_same_network(recipe, facts)
    restore(network, tensors, str(path))


def _require_same_network(recipe: Recipe, facts: Facts) -> None:
    """Refuse weights that were written for another network; of two of the user's own, their tensors decide."""
    if recipe.has_own_network and is_own(facts.model):
        return
    wanted, found = (
        recipe.model_options(),
        {**asdict(facts.options), "dropout": recipe.dropout, "views": recipe.views},
    )  # neither has weights
    if (facts.model, found) != (recipe.model, wanted):
        raise ModelError(
            f"weights of another network: {recipe.start} holds {_describe(facts.model, found)}, "
            f"recipe {recipe.name} trains {_describe(recipe.network, wanted)}. give others, or another model"
        )


def _describe(model: str, options: dict[str, object]) -> str:
    """Return a network with what sets its variant apart, such as `gap, residual, head linear`."""
    residual = ", residual" if options["residual"] else ""
    return f"{model}{residual}" + (", head linear" if options["head"] == "linear" else "")

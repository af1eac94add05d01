"""The trained weights that a training takes: those that it begins from, and its teacher's."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from torch import nn

from under10k.errors import ModelError, UsageError
from under10k.models import is_own, network_of
from under10k.recipes import Recipe
from under10k.runs.weights import build_on_cpu, load_weights, locate_weights, read_weights
from under10k.weights import Facts, hash_file, is_bundled, load_plain_tensors, restore


def pin_start(recipe: Recipe) -> Recipe:
    """Return a recipe whose starting weights, where it has some, are named by their whole path and SHA-256, and fit.

    Raises:
        ModelError: they are missing, damaged, of another network, or not those that the recipe records.
        UsageError: bundled weights and a file here go by the same name.
    """
    if recipe.start is None:
        return recipe
    start, digest = _pin(recipe.start, recipe.start_sha256)
    pinned = replace(recipe, start=start, start_sha256=digest)
    restore_start(pinned, build_on_cpu(lambda: network_of(recipe)))
    return pinned


def pin_teacher(recipe: Recipe) -> Recipe:
    """Return a recipe whose teacher's weights, where it has one, are named by their whole path and SHA-256.

    Raises:
        ModelError: they are missing, damaged, or not those that the recipe records.
        UsageError: bundled weights and a file here go by the same name; or the teacher may have seen the images that
            the recipe holds out.
    """
    if recipe.teacher is None:
        return recipe
    teacher, digest = _pin(recipe.teacher, recipe.teacher_sha256)
    pinned = replace(recipe, teacher=teacher, teacher_sha256=digest)
    load_teacher(pinned)
    return pinned


def load_teacher(recipe: Recipe) -> nn.Module | None:
    """Return the network that a recipe learns from, in evaluation mode; None where it has no teacher.

    Raises:
        ModelError: its weights are missing, damaged, or not those that the recipe records.
        UsageError: bundled weights and a file here go by the same name; or it may have seen the images that the
            recipe holds out.
    """
    if recipe.teacher is None:
        return None
    _require_unchanged(locate_weights(recipe.teacher), recipe.teacher_sha256)
    model, facts = load_weights(recipe.teacher)
    if recipe.protocol == "held-out" and facts.protocol != "held-out":
        raise UsageError(
            f"a teacher that may have seen the held-out images: {recipe.teacher}. "
            "give one trained under held-out itself (under10k train teacher --protocol held-out), or none"
        )
    return model.requires_grad_(False)


def restore_start(recipe: Recipe, network: nn.Module) -> None:
    """Copy the starting weights of a recipe into its network; without any, leave it as it is.

    Raises:
        ModelError: they are missing, damaged, of another network, or not those that the recipe records.
        UsageError: bundled weights and a file here go by the same name.
    """
    if recipe.start is None:
        return
    path = _require_unchanged(locate_weights(recipe.start), recipe.start_sha256)
    tensors = load_plain_tensors(path)
    if tensors is None:
        tensors, facts, _ = read_weights(path)
        _require_same_network(recipe, facts)
    restore(network, tensors, str(path))


def _pin(weights: str, digest: str | None) -> tuple[str, str]:
    """Return weights by their whole path, unless they are bundled, and the SHA-256 of their file, if none is known."""
    name = weights if is_bundled(weights) else str(Path(weights).resolve())
    return name, digest or hash_file(locate_weights(weights))


def _require_unchanged(path: Path, digest: str | None) -> Path:
    if digest not in (None, hash_file(path)):
        raise ModelError(f"other weights: {path} has changed since they were recorded. put them back, or train anew")
    return path


def _require_same_network(recipe: Recipe, facts: Facts) -> None:
    """Refuse weights that were written for another network; of two of the user's own, their tensors decide."""
    if recipe.has_own_network and is_own(facts.model):
        return
    wanted = recipe.model_options()
    found = asdict(facts.options) | {name: wanted[name] for name in ("dropout", "views")}  # which have no weights
    if (facts.model, found) != (recipe.model, wanted):
        raise ModelError(
            f"weights of another network: {recipe.start} holds {_describe(facts.model, found)}, "
            f"recipe {recipe.name} trains {_describe(recipe.network, wanted)}. give others, or another model"
        )


def _describe(model: str, options: dict[str, object]) -> str:
    """Return a network with what sets its variant apart, such as `gap, residual, head linear`."""
    residual = ", residual" if options["residual"] else ""
    return f"{model}{residual}" + (", head linear" if options["head"] == "linear" else "")

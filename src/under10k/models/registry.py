"""The networks by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_args

import torch
from torch import nn

from under10k.errors import UsageError, unknown_name
from under10k.models.best import best_5k, best_10k
from under10k.models.early import early
from under10k.models.gap import gap
from under10k.models.own import create_own, create_recorded, is_own, pin
from under10k.models.separable import best_1k, best_2k5, robust
from under10k.models.teacher import teacher
from under10k.models.transition import transition
from under10k.models.views import with_views
from under10k.recipes import Head, Recipe, ViewCount
from under10k.weights import find_weights, load_tensors, restore

MODELS: dict[str, Callable[..., nn.Module]] = {
    "best-10k": best_10k,
    "best-1k": best_1k,
    "best-2k5": best_2k5,
    "best-5k": best_5k,
    "early": early,
    "gap": gap,
    "robust": robust,
    "transition": transition,
}


PARAMETER_LIMIT = 10_000
"""The project is named for this: each network, in each variant, has fewer parameters."""


EVERY_MODEL = {**MODELS, "teacher": teacher}
"""Those, and a larger one from which they learn; no list names it."""


def list_models() -> list[str]:
    """Return the names that `create_model` takes, sorted."""
    return sorted(MODELS)


def list_variants(name: str) -> list[tuple[bool, Head]]:
    """Return the variants that a network has: whether residual, and its head; the plain one first."""
    known = inspect.signature(EVERY_MODEL[name]).parameters
    residuals = (False, True) if "residual" in known else (False,)
    heads: tuple[Head, ...] = get_args(Head) if "head" in known else ("pool",)
    return [(residual, head) for residual in residuals for head in heads]


def require_network(recipe: Recipe) -> Recipe:
    """Return a recipe whose network is there; one of the user's own is pinned to its file as it is now.

    Raises:
        UsageError: there is no such network, or it cannot be used.
        ModelError: the file of the user's own is not the one that the recipe names, or is gone.
    """
    if recipe.has_own_network:
        return pin(recipe)
    require_model(recipe.model)
    _options_of(recipe.model, recipe.model_options())
    return recipe


def require_model(name: str) -> None:
    """Check that under10k has a network of this name.

    Raises:
        UsageError: it has none.
    """
    if not isinstance(name, str) or name not in EVERY_MODEL:
        raise unknown_name("model", name, MODELS)


def create_model(name: str, *, pretrained: bool = False, **options: Any) -> nn.Module:
    """Build a network by name, with fresh weights drawn from torch's global generator, or the bundled ones.

    Options are the architecture's own, such as `dropout` (a rate in 0..1), `residual` (bool) and `head` ("pool" or
    "linear"). All networks here take `views`: with 5, logits are means over an image as it is and shifted by a pixel in
    four directions, except in training. The model takes normalised float32 (B, 1, 28, 28) and returns logits float32
    (B, 10).
    A network of your own is named by its file or module, and built from it: `my_net.py:Net`, `my_net.py:Net(width=8)`.

    Raises:
        UsageError: the name, or an option of it, is not known; or there are no bundled weights of such a network; or
            your own fails, or turns two images into anything but logits (2, 10) or (2, 10, 1, 1).
    """
    if is_own(name):
        if pretrained:
            raise UsageError(f"no pretrained weights of {name}. leave out pretrained, or load a run: load_model(RUN)")
        return create_own(name, options)
    require_model(name)
    options = _options_of(name, options)
    views = options.pop("views", None)
    dropout = options.get("dropout", 0.0)
    if type(dropout) not in (float, int) or not 0 <= dropout < 1:
        raise UsageError(f"dropout out of range: {dropout}. give a rate from 0 up to, not including, 1")
    if options.get("head", "pool") not in get_args(Head):
        raise unknown_name("head", options["head"], get_args(Head))
    if views is not None and (type(views) is not int or views not in get_args(ViewCount)):
        raise unknown_name("number of views", views, get_args(ViewCount))
    with torch.inference_mode(False):  # the caller's would keep the weights from ever being trained
        model = EVERY_MODEL[name](**options).float()  # whatever torch's default type is
    if pretrained:
        recorded = _load_pretrained(model, name, options).get("views")
        views = recorded if views is None else views
    return with_views(model, views or 1)


def _options_of(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a network takes; refuse others, unless they ask for the plain variant that it is."""
    known = [*inspect.signature(EVERY_MODEL[name]).parameters, "views"]
    plain = {"residual": False, "head": "pool"}
    for option, value in options.items():
        if option not in known and (option not in plain or value != plain[option]):
            raise unknown_name(f"option of model {name}", option, known)
    return {option: value for option, value in options.items() if option in known}


def _load_pretrained(model: nn.Module, name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Load the bundled weights into a network, and return the options that they were trained with."""
    tensors, facts = load_tensors(find_weights(name), "weights")
    for option in ("residual", "head"):
        if option in options and options[option] != facts["options"][option]:
            raise UsageError(f"no pretrained {name} with {option} {options[option]}. leave out {option}, or train one")
    restore(model, tensors, f"pretrained {name}")
    recorded: Mapping[str, Any] = facts["options"]
    return recorded


def network_of(recipe: Recipe) -> nn.Module:
    """Build the network of a recipe, with fresh weights."""
    if recipe.has_own_network:
        return create_recorded(recipe)
    return create_model(recipe.model, **recipe.model_options())


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers the model learns."""
    return sum(parameter.numel() for parameter in model.parameters())

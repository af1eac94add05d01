"""The networks by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from under10k.errors import UsageError, unknown_name
from under10k.models.early import early
from under10k.models.gap import gap
from under10k.models.transition import transition
from under10k.recipes import Recipe
from under10k.weights import find_weights, load_tensors, restore

MODELS: dict[str, Callable[..., nn.Module]] = {"early": early, "gap": gap, "transition": transition}


PARAMETER_LIMIT = 10_000
"""What the project is named for: each network, in each variant, has fewer parameters than this."""


def list_models() -> list[str]:
    """Return the names that `create_model` takes, sorted."""
    return sorted(MODELS)


def create_model(name: str, *, pretrained: bool = False, **options: Any) -> nn.Module:
    """Build a network by name, with fresh weights drawn from torch's global generator, or with those that come along.

    Options are the architecture's own; all networks here take `dropout` (a rate in 0..1), `residual` (bool) and
    `head` ("pool" or "linear"). The model takes normalised float32 (B, 1, 28, 28) and returns logits float32 (B, 10).

    Raises:
        UsageError: the name, or an option of it, is not known; or no weights of such a network come along.
    """
    if not isinstance(name, str) or name not in MODELS:
        raise unknown_name("model", name, MODELS)
    known = inspect.signature(MODELS[name]).parameters
    for option in options:
        if option not in known:
            raise unknown_name(f"option of model {name}", option, known)
    dropout = options.get("dropout", 0.0)
    if type(dropout) not in (float, int) or not 0 <= dropout < 1:
        raise UsageError(f"dropout out of range: {dropout}. give a rate from 0 up to, not including, 1")
    if options.get("head", "pool") not in ("pool", "linear"):
        raise unknown_name("head", options["head"], ("pool", "linear"))
    with torch.inference_mode(False):  # the caller's would keep the weights from ever being trained
        model = MODELS[name](**options).float()  # whatever torch's default type is
    if pretrained:
        _load_pretrained(model, name, options)
    return model


def _load_pretrained(model: nn.Module, name: str, options: Mapping[str, Any]) -> None:
    tensors, facts = load_tensors(find_weights(name), "weights")
    for option in ("residual", "head"):
        if option in options and options[option] != facts["options"][option]:
            raise UsageError(f"no pretrained {name} with {option} {options[option]}. leave out {option}, or train one")
    restore(model, tensors, f"pretrained {name}")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode for a while, then each of its parts back into its own mode."""
    before = [(part, part.training) for part in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for part, training in before:
            part.training = training


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers the model learns."""
    return sum(parameter.numel() for parameter in model.parameters())


def model_options(recipe: Recipe) -> dict[str, Any]:
    """Return what `create_model` is given for a recipe: the one place where a model's options leave the recipe."""
    return {"dropout": recipe.dropout, "residual": recipe.residual, "head": recipe.head}

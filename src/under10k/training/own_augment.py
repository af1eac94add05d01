"""A function of the caller's that deforms training images, before the recipe's own amounts do."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from under10k.data import SIDE
from under10k.errors import ModelError, Under10kError, UsageError, wrong_type
from under10k.models import DrawingFrom, name_source, where_it_failed
from under10k.recipes import Recipe

OwnAugment = Callable[[Tensor, Generator], Tensor]
"""Takes images, uint8 (B, 28, 28), and a generator, both on one device; returns as many images of the same type."""

_handed: dict[tuple[str, str | None], OwnAugment] = {}
"""Those of this process, by name and SHA-256 of their source."""


def hand_over_augment(function: OwnAugment) -> tuple[str, str | None]:
    """Try a function out on four images of noise, and return its name and the SHA-256 of its source.

    Raises:
        UsageError: it has no name, fails, returns anything but as many images, or does not depend on images and
            generator alone.
    """
    if not callable(function):
        raise wrong_type("augment", function, "a function of images and a generator")
    name, digest = name_source(function, "function")
    images = torch.randint(256, (4, SIDE, SIDE), dtype=torch.uint8, generator=Generator().manual_seed(0))
    given = images.clone()
    first, second = (deform(function, given, Generator().manual_seed(1)) for _ in range(2))
    if not torch.equal(given, images):
        raise UsageError(f"augment changes the images that it is given: {name}. clone them first")
    if not torch.equal(first, second):
        raise UsageError(f"augment gives two answers for one seed: {name}. draw from the generator that it is given")
    _handed[name, digest] = function
    return name, digest


def find_augment(recipe: Recipe) -> OwnAugment | None:
    """Return the function of a recipe; None where it has none.

    Raises:
        ModelError: it was not handed over in this process: no code is run because a run names it.
    """
    if recipe.own_augment is None:
        return None
    found = _handed.get((recipe.own_augment, recipe.own_augment_sha256))
    if found is None:
        raise ModelError(
            f"no function: {recipe.name} deforms its images with {recipe.own_augment}. "
            "hand it over in Python: train(..., augment=FUNCTION)"
        )
    return found


def deform(function: OwnAugment, images: Tensor, generator: Generator) -> Tensor:
    """Call a function on images, and check what it returns; torch's functions draw from the generator, told or not.

    Raises:
        UsageError: it fails, or returns anything but as many images.
    """
    try:
        with torch.no_grad(), DrawingFrom(generator):
            found = function(images, generator)
    except Under10kError:
        raise
    except Exception as error:
        raise UsageError(f"augment fails: {where_it_failed(error)}. correct it") from None
    if not isinstance(found, Tensor) or found.dtype != torch.uint8 or found.shape != images.shape:
        what = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise UsageError(f"not images: augment returns {what}. return uint8 {tuple(images.shape)}")
    return found

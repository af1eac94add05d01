"""What a network makes of one image: its maps layer by layer, its filters, and the pixels that count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from under10k.data import CLASSES, SIDE, as_unit, to_input, to_levels, to_unit
from under10k.errors import UsageError
from under10k.evaluation import like, predict_logits
from under10k.models import DROPOUTS, Call, evaluating, trace, with_views
from under10k.pictures import Prediction, frame_picture
from under10k.runs import as_network

OCCLUDER_PIXELS = 5
"""Side of the square that is wiped out to see what is lost: about two strokes wide."""


_KINDS = {
    "conv2d": "convolution",
    "linear": "fully connected",
    "max_pool2d": "max pool",
    "avg_pool2d": "average pool",
    "mean": "average pool",
    "adaptive_avg_pool2d": "average pool",
    "amax": "max pool",
    "adaptive_max_pool2d": "max pool",
}
"""What people call torch's functions; the others go by their own names."""


_SILENT = frozenset(
    (
        *DROPOUTS,  # in evaluation
        *("flatten", "view", "reshape", "squeeze", "unsqueeze", "permute", "transpose", "getitem"),
        *("contiguous", "to", "clone", "detach", "float"),
    )
)
"""Functions that compute nothing new."""


@dataclass(frozen=True, eq=False)
class Saliency:
    """Which pixels speak for a digit, by two measures."""

    digit: int
    """The digit that is asked about."""
    probability: float
    """Its probability, a fraction."""
    gradient: Tensor
    """float32 (28, 28): how fast the digit's logit rises as a pixel gets whiter, 1 being from black to white."""
    occlusion: Tensor
    """float32 (28, 28): how much of the digit's probability is lost when a black square lies around a pixel."""


def activations(model: nn.Module | str | Path, image: Any) -> dict[str, Tensor]:
    """Run one image through a network, and return what each layer computed, in their order.

    The keys count the layers of each kind: `convolution 1`, `batch norm 1`, `relu 1`, `max pool 1`, `convolution 2`.
    The values are float32 (C, H, W), C maps of H by W, or (C) where there is one number a map; the last are the logits.
    Of a network with five views they are those of the image as it is.

    `model` is a network, or anything `load_model` takes. `image` is a tensor or array (28, 28), uint8 from 0 to 255 or
    float from 0 to 1, white on black; a `Prediction`, whose frame is taken; or a picture of any kind that `predict`
    takes.

    Raises:
        Under10kError: the picture cannot be read, or holds no digit.
        ModelError: the weights cannot be loaded.
    """
    network, pixels = as_network(model), to_pixels(image)
    return {name: call.values[0].float().cpu() for name, call in _named_calls(network, pixels)}


def filters(model: nn.Module | str | Path) -> dict[str, Tensor]:
    """Return the weights of each convolution of a network, float32 (maps out, maps in, height, width).

    The keys are those of `activations`: `convolution 1` and so on. `model` is a network, or anything `load_model`
    takes.

    Raises:
        ModelError: the weights cannot be loaded.
    """
    calls = _named_calls(as_network(model), torch.zeros(SIDE, SIDE, dtype=torch.uint8))
    found = ((name, call.arguments["weight"]) for name, call in calls if call.name == "conv2d")
    return {name: weight.detach().float().cpu().clone() for name, weight in found}


def saliency(model: nn.Module | str | Path, image: Any, digit: int | None = None) -> Saliency:
    """Return which pixels of an image speak for a digit, by default the one that the network reads.

    The gradient tells what one pixel would change; the occlusion what a whole stroke does (Zeiler and Fergus, 2014,
    arXiv 1311.2901): a black square of 5x5 pixels is laid around each pixel in turn. `model` and `image` are as with
    `activations`.

    Raises:
        UsageError: the digit is none of 0 to 9.
        Under10kError: the picture cannot be read, or holds no digit.
        ModelError: the weights cannot be loaded.
    """
    if digit is not None and (type(digit) is not int or not 0 <= digit < CLASSES):
        raise UsageError(f"no such digit: {digit!r}. give one from 0 to {CLASSES - 1}")
    network, pixels = as_network(model), to_pixels(image)
    probabilities = predict_probabilities(network, pixels[None])[0]
    asked = int(probabilities.argmax()) if digit is None else digit
    probability = float(probabilities[asked])
    covered = predict_probabilities(network, _cover_each(pixels))[:, asked]
    occlusion = probability - covered.reshape(SIDE, SIDE)
    return Saliency(asked, probability, _gradient(network, pixels, asked), occlusion)


def _gradient(model: nn.Module, pixels: Tensor, digit: int) -> Tensor:
    """Return by how much a digit's logit rises with each pixel, uint8 (28, 28) -> float32 (28, 28)."""
    kind = like(model)
    unit = to_unit(pixels[None]).to(kind).requires_grad_()
    with torch.enable_grad(), evaluating(model):
        logit = model(to_input(unit))[0, digit]
    (gradient,) = torch.autograd.grad(logit, unit)
    return gradient[0].float().cpu()


def _cover_each(pixels: Tensor) -> Tensor:
    """Return the image with a black square around each of its pixels: uint8 (28, 28) -> (784, 28, 28)."""
    place = torch.arange(SIDE)
    near = (place[:, None] - place).abs() <= OCCLUDER_PIXELS // 2  # (where, pixel)
    hidden = near[:, None, :, None] & near[None, :, None, :]  # (row, column, y, x)
    return pixels * ~hidden.reshape(-1, SIDE, SIDE)


def predict_probabilities(model: nn.Module, images: Tensor) -> Tensor:
    """Return the probability of each digit: uint8 (N, 28, 28) -> float32 (N, 10)."""
    return predict_logits(model, images.to(like(model).device)).clone().softmax(dim=1)


def to_pixels(image: Any) -> Tensor:
    """Return an image of any kind as uint8 (28, 28), white on black."""
    if isinstance(image, Prediction):
        image = image.frame
    shape = tuple(getattr(image, "shape", ()))
    if shape[-2:] != (SIDE, SIDE) or any(side != 1 for side in shape[:-2]):
        image = frame_picture(image, "the picture")
    return to_levels(as_unit(image.reshape(1, SIDE, SIDE)))[0].cpu()


def _named_calls(model: nn.Module, pixels: Tensor) -> Iterator[tuple[str, Call]]:
    """Yield the calls that compute something from the image, each under its kind and number."""
    kind = like(model)
    traced = trace(with_views(model, 1), to_input(to_unit(pixels[None])).to(kind))
    reached, count = {traced.images}, Counter[str]()
    for call in traced.calls:
        if reached.isdisjoint(call.inputs):
            continue
        reached.add(call.output)
        if call.name not in _SILENT and call.values.is_floating_point() and call.values.dim() >= 2:
            name = _KINDS.get(call.name, call.name.replace("_", " "))
            count[name] += 1
            yield f"{name} {count[name]}", call

"""The digit in a picture, how sure it is, and a warning where it should not be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from under10k.data import CLASSES, SIDE, frame
from under10k.errors import ModelError
from under10k.evaluation import predict_logits
from under10k.pictures.parts import Found, find_digit, find_digits
from under10k.pictures.picture import Picture, open_picture
from under10k.pictures.pixels import Grey
from under10k.pictures.strokes import adjust_strokes
from under10k.runs import load_model

DEFAULT_MODEL = "robust"
"""The weights used unless others are named: trained on digits as people write and photograph them."""


SURE_PROBABILITY = 0.8
"""Least probability of a digit that counts as sure."""


LIKELY_PROBABILITY = 0.35
"""Probability below which there may be no digit at all."""


FILLED_LEVEL = 128
"""Least grey level, of 255, of a pixel of the frame that counts as ink when its radius is measured."""


FILLED_RADIUS = 5.5
"""Radius of ink, in pixels of the frame, above which it is a filled shape, not strokes; so is 1 in 2,000 of MNIST's."""


FILLED = "perhaps no digit: a filled shape rather than strokes"


BLANK = "no digit found: nothing in the picture looks like ink"


OTHER_INK = "other ink was left out: are there several digits?"


@dataclass(frozen=True, eq=False)
class Prediction:
    """What was read in a picture, and how far to trust it."""

    digit: int | None
    """0 to 9; None if no ink was found."""
    probabilities: tuple[float, ...]
    """Of each digit, 0 to 9; all equal if no ink was found."""
    confident: bool
    """Whether the digit can be trusted, as far as the network can tell."""
    warning: str | None
    """Why not, or what of the picture was left out, in words."""
    frame: NDArray[np.uint8]
    """What the network saw: uint8 (28, 28), white on black."""
    box: tuple[int, int, int, int] | None
    """Left, top, right and bottom of the digit, in pixels of the picture; None if no ink was found."""
    picture: Picture = field(repr=False)
    """The picture in grey."""
    ink: Grey | None = field(default=None, repr=False)
    """The digit as cut out of `picture`, float32 (h, w), 1 is ink; None if none was found."""

    @property
    def probability(self) -> float:
        """The probability of the digit read."""
        return max(self.probabilities)

    @property
    def runner_up(self) -> int | None:
        """The second most likely digit; None if no ink was found."""
        return None if self.digit is None else int(np.argsort(self.probabilities, kind="stable")[-2])

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the pictures as plain values, for JSON."""
        return {
            "digit": self.digit,
            "probability": self.probability if self.digit is not None else None,
            "runner_up": self.runner_up,
            "confident": self.confident,
            "warning": self.warning,
            "probabilities": list(self.probabilities),
            "box": list(self.box) if self.box else None,
        }


def predict(image: Any, model: nn.Module | str | Path | None = None, *, invert: bool = False) -> Prediction:
    """Read the digit in a picture: a path, a file's bytes, a PIL image, an array or a tensor, of any size and mode.

    All ink that belongs together is one digit, on light or dark paper. `model` is a network, or anything `load_model`
    takes. Whether ink is light or dark is found out; `invert` reverses it.

    Raises:
        Under10kError: the picture is missing, damaged, none, or has a side of more than 10,000 pixels.
        ModelError: the weights cannot be loaded, or compute what is not finite.
    """
    network = _network(model)
    picture = open_picture(image)
    found = find_digit(picture.grey, invert=invert)
    return _read(picture, [found] if found else [], network, multi=False)[0]


def predict_all(image: Any, model: nn.Module | str | Path | None = None, *, invert: bool = False) -> list[Prediction]:
    """Read every digit in a picture, in reading order; without ink, return one prediction without a digit.

    Digits that touch each other count as one. Otherwise as `predict`.
    """
    network = _network(model)
    picture = open_picture(image)
    return _read(picture, find_digits(picture.grey, invert=invert), network, multi=True)


def split_rows(found: Sequence[Prediction]) -> list[list[Prediction]]:
    """Split the digits of one picture, as `predict_all` returns them, into rows; without a digit there is no row."""
    rows: list[list[Prediction]] = []
    for one in found:
        if one.box is None:
            continue
        before = rows[-1][-1].box if rows else None
        if before and one.box[0] >= before[0] and one.box[1] < before[3]:  # further right, and not below
            rows[-1].append(one)
        else:
            rows.append([one])
    return rows


def to_frame(found: Found) -> Tensor:
    """Bring a digit into MNIST's frame: float32 (28, 28) in [0, 1]."""
    return frame(torch.from_numpy(adjust_strokes(found.ink)).unsqueeze(0)).squeeze(0)


def _network(model: nn.Module | str | Path | None) -> nn.Module:
    return model if isinstance(model, nn.Module) else load_model(DEFAULT_MODEL if model is None else model)


def _read(picture: Picture, digits: list[Found], network: nn.Module, *, multi: bool) -> list[Prediction]:
    if not digits:
        blank = np.zeros((SIDE, SIDE), dtype=np.uint8)
        warning = "; ".join((BLANK, *picture.notes))
        return [Prediction(None, (1 / CLASSES,) * CLASSES, False, warning, blank, None, picture)]
    frames = torch.stack([to_frame(found) for found in digits]).mul_(255).round_().to(torch.uint8)
    logits = predict_logits(network, frames.to(next(network.parameters()).device))
    if not torch.isfinite(logits).all():
        raise ModelError("not finite: the network's answer is NaN or infinite. its weights are too large: train again")
    readings = zip(digits, frames.numpy(), logits.double().softmax(dim=1).tolist(), strict=True)
    return [_judge(picture, found, image, probabilities, multi) for found, image, probabilities in readings]


def _judge(
    picture: Picture, found: Found, image: NDArray[np.uint8], probabilities: list[float], multi: bool
) -> Prediction:
    second, first = np.argsort(probabilities, kind="stable")[-2:].tolist()
    best, next_best = probabilities[first], probabilities[second]
    confident = best >= SURE_PROBABILITY
    warnings = list(picture.notes)
    if ndimage.distance_transform_edt(np.pad(image, 1) >= FILLED_LEVEL).max() > FILLED_RADIUS:
        confident = False
        warnings.insert(0, FILLED)
    elif best < LIKELY_PROBABILITY:
        warnings.insert(0, f"perhaps no digit: nothing is likelier than {best:.0%}")
    elif not confident:
        warnings.insert(0, f"unsure: {first} ({best:.0%}) or {second} ({next_best:.0%})")
    if not found.alone and not multi:
        warnings.append(OTHER_INK)
        confident = False
    top, left, bottom, right = (round(edge * picture.scale) for edge in found.box)
    box = (left, top, right, bottom)
    return Prediction(
        first, tuple(probabilities), confident, "; ".join(warnings) or None, image, box, picture, found.ink
    )

"""The digit in a picture, how sure it is, and a warning where it should not be trusted."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

from under10k.data import CLASSES, SIDE, frame, to_levels
from under10k.errors import ModelError, Under10kError, UsageError
from under10k.evaluation import like, predict_logits
from under10k.machine import keep_freed_memory
from under10k.pictures.html import describe_in_html
from under10k.pictures.parts import Found, find_digit, find_digits, reading_order
from under10k.pictures.picture import Picture, open_picture
from under10k.pictures.pixels import Grey
from under10k.pictures.sources import box_of, frames_of, split
from under10k.pictures.strokes import adjust_strokes
from under10k.pictures.touching import split_touching
from under10k.runs import load_model

DEFAULT_MODEL = "robust"
"""The weights used unless others are named: trained on digits as people write and photograph them."""


SURE_PROBABILITY = 0.8
"""Least probability of a digit that counts as sure."""


SURE_AMONG_OTHERS = 0.95
"""The same where a picture holds several digits: what is read is right only if all are."""


LIKELY_PROBABILITY = 0.35
"""Probability below which there may be no digit at all."""


FILLED_LEVEL = 128
"""Least grey level, of 255, of a pixel of the frame that counts as ink when its radius is measured."""


FILLED_RADIUS = 5.5
"""Radius of ink, in pixels of the frame, above which it is a filled shape, not strokes; so is 1 in 2,000 of MNIST's."""


FILLED = "perhaps no digit: a filled shape rather than strokes"


CHUNK = 100
"""Pictures that are held at a time, decoded, and read in one call of the network."""


MOST_JOBS = 64
"""Most pictures that are decoded at a time: each may take 300 MiB."""


BLANK = "no digit found: nothing in the picture looks like ink"


CUT = "it touched another digit, and may be cut off in the wrong place"


OTHER_INK = "other ink was left out: are there several digits?"


@dataclass(frozen=True, eq=False, repr=False)
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
    picture: Picture
    """The picture in grey."""
    ink: Grey | None = None
    """The digit as cut out of `picture`, float32 (h, w), 1 is ink; None if none was found."""

    def __repr__(self) -> str:
        if self.digit is None:
            return f"Prediction({self.warning})"
        unsure = "" if self.warning is None else f", {self.warning}"
        return f"Prediction({self.digit}, {self.probability:.1%}{unsure})"

    def _repr_html_(self) -> str:
        """Return the picture, the frame and the probabilities, for notebooks."""
        box = self.box and tuple(edge / self.picture.scale for edge in self.box)
        return describe_in_html(repr(self), self.picture.grey, box, self.frame, self.probabilities)

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


@overload
def predict(
    image: list[Any] | tuple[Any, ...],
    model: nn.Module | str | Path | None = None,
    *,
    invert: bool = False,
    jobs: int | None = None,
    device: str | None = None,
) -> list[Prediction]: ...
@overload
def predict(
    image: Any,
    model: nn.Module | str | Path | None = None,
    *,
    invert: bool = False,
    jobs: int | None = None,
    device: str | None = None,
) -> Any: ...
def predict(
    image: Any,
    model: nn.Module | str | Path | None = None,
    *,
    invert: bool = False,
    jobs: int | None = None,
    device: str | None = None,
) -> Prediction | list[Prediction]:
    """Read the digit in a picture: a path, a file's bytes, an open file, a PIL image, an array or a tensor.

    All ink that belongs together is one digit, on light or dark paper; an array of 28x28 pixels that is in MNIST's
    frame already is read as it is. `model` is a network, or anything `load_model` takes, loaded onto `device`, by
    default the CPU. Whether ink is light or dark is found out; `invert` reverses it.

    Of a list of pictures, a folder, or a batch in one array, (N, 28, 28), (N, C, H, W) or (N, H, W, C), it returns a
    list of predictions in the same order: `jobs` pictures are decoded at a time, by default as many as torch has
    threads, and the network is called once for a hundred.

    Raises:
        Under10kError: a picture is missing, damaged, none, or has a side of more than 10,000 pixels.
        UsageError: the device is unknown, or the number of jobs out of range.
        ModelError: the weights cannot be loaded, or compute what is not finite.
    """
    sources = split(image)
    found = read_pictures([image] if sources is None else sources, model, invert=invert, jobs=jobs, device=device)
    read = [_or_raise(one)[0] for one in found]
    return read[0] if sources is None else read


def predict_all(
    image: Any,
    model: nn.Module | str | Path | None = None,
    *,
    invert: bool = False,
    jobs: int | None = None,
    device: str | None = None,
) -> Any:
    """Read every digit in a picture, in reading order; without ink, return one prediction without a digit.

    It returns a list of predictions; of several pictures, given as to `predict`, a list of such lists. Digits that
    touch are parted where the network is sure of the pieces. Otherwise as `predict`.
    """
    sources = split(image)
    given = [image] if sources is None else sources
    read = [_or_raise(one) for one in read_pictures(given, model, multi=True, invert=invert, jobs=jobs, device=device)]
    return read[0] if sources is None else read


def read_pictures(
    sources: Sequence[Any],
    model: nn.Module | str | Path | None = None,
    *,
    multi: bool = False,
    invert: bool = False,
    jobs: int | None = None,
    device: str | None = None,
) -> Iterator[list[Prediction] | Under10kError]:
    """Read pictures in turn: what each holds, or what is wrong with it, so that one does not stop the others.

    Where an error stands in the place of a picture, it is handed on.
    """
    network = _network(model, device)
    workers = torch.get_num_threads() if jobs is None else jobs
    if type(workers) is not int or not 1 <= workers <= MOST_JOBS:
        raise UsageError(f"jobs out of range: {workers!r}. give a whole number from 1 to {MOST_JOBS}")
    if len(sources) > 1:
        keep_freed_memory()
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, len(sources), CHUNK):
            yield from _read_chunk(sources, first, network, pool, multi, invert)


def _read_chunk(
    sources: Sequence[Any], first: int, network: nn.Module, pool: ThreadPoolExecutor, multi: bool, invert: bool
) -> list[list[Prediction] | Under10kError]:
    chunk = sources[first : first + CHUNK]
    frames = [None] * len(chunk) if multi or invert else frames_of(chunk)
    names = (f"picture {first + index}" if len(sources) > 1 else "the picture" for index in range(len(chunk)))

    def look(source: Any, frame: tuple[NDArray[np.uint8], Grey] | None, name: str) -> _Looked | Under10kError:
        if isinstance(source, Under10kError):
            return source
        try:
            return _as_framed(*frame) if frame else _look(source, name, multi, invert)
        except Under10kError as error:
            return error

    with warnings.catch_warnings():  # their filters belong to all threads, and each picture sets its own for a while
        warnings.simplefilter("ignore")
        looked = list((pool.map if frames.count(None) > 1 else map)(look, chunk, frames, names))
    if multi:
        looked = [one if isinstance(one, Under10kError) else _part(one, network) for one in looked]
    rows = iter(_probabilities(network, [frame for one in looked if isinstance(one, _Looked) for frame in one.frames]))
    return [one if isinstance(one, Under10kError) else _judge_all(one, rows, multi) for one in looked]


def _or_raise(found: list[Prediction] | Under10kError) -> list[Prediction]:
    if isinstance(found, Under10kError):
        raise found
    return found


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


def describe_rows(found: Sequence[Prediction]) -> dict[str, Any]:
    """Return the digits of one picture as JSON has them: the rows as texts, and every digit with its row and box."""
    rows = split_rows(found)
    return {
        "rows": [row_text(row) for row in rows],
        "digits": [{"row": number, **one.to_dict()} for number, row in enumerate(rows) for one in row],
        "warning": found[0].warning if found[0].digit is None else None,
    }


def row_text(row: Sequence[Prediction]) -> str:
    """Return the digits of a row as they are written."""
    return "".join(str(one.digit) for one in row)


def to_frame(found: Found) -> NDArray[np.uint8]:
    """Bring a digit into MNIST's frame: uint8 (28, 28), white on black."""
    framed = frame(torch.from_numpy(adjust_strokes(found.ink)).unsqueeze(0)).squeeze(0)
    return to_levels(framed).numpy()


def _network(model: nn.Module | str | Path | None, device: str | None) -> nn.Module:
    if not isinstance(model, nn.Module):
        return load_model(DEFAULT_MODEL if model is None else model, device=device or "cpu")
    if device is not None:
        raise UsageError(
            f"a device for a network that lies on one: {device}. move the network with model.to({device!r})"
        )
    return model


@dataclass(frozen=True, eq=False)
class _Looked:
    """A picture, the digits found in it, and each in MNIST's frame."""

    picture: Picture
    digits: list[Found]
    frames: list[NDArray[np.uint8]]


def _look(source: Any, name: str, multi: bool, invert: bool) -> _Looked:
    picture = open_picture(source, name)
    if multi:
        digits = find_digits(picture.grey, invert=invert)
    else:
        found = find_digit(picture.grey, invert=invert)
        digits = [found] if found else []
    return _Looked(picture, digits, [to_frame(one) for one in digits])


def _part(looked: _Looked, network: nn.Module) -> _Looked:
    """Part the digits that touch each other."""
    digits = looked.digits
    parted = split_touching(
        digits, _probabilities(network, looked.frames), lambda some: _probabilities(network, list(map(to_frame, some)))
    )
    if all(len(pieces) == 1 for pieces in parted):
        return looked
    frames = {id(found): frame for found, frame in zip(digits, looked.frames, strict=True)}
    pieces = [piece for several in parted for piece in several]
    ordered = [pieces[place] for place in reading_order([piece.box for piece in pieces])]
    return _Looked(
        looked.picture, ordered, [frames[id(one)] if id(one) in frames else to_frame(one) for one in ordered]
    )


def _as_framed(frame: NDArray[np.uint8], grey: Grey) -> _Looked:
    """Take a picture for the digit that it is, frame and all."""
    left, top, right, bottom = box_of(frame)
    ink = frame[top:bottom, left:right] / 255
    found = Found(
        np.asarray(ink, dtype=np.float32), (top, left, bottom, right), light=bool(grey[0, 0] < 0.5), alone=True
    )
    return _Looked(Picture(grey, 1.0), [found], [frame])


def _probabilities(network: nn.Module, frames: list[NDArray[np.uint8]]) -> list[list[float]]:
    if not frames:
        return []
    device = like(network).device
    logits = predict_logits(network, torch.from_numpy(np.stack(frames)).to(device))
    if not torch.isfinite(logits).all():
        raise ModelError("not finite: the network's answer is NaN or infinite. its weights are too large: train again")
    rows: list[list[float]] = logits.double().softmax(dim=1).tolist()
    return rows


def _judge_all(looked: _Looked, rows: Iterator[list[float]], multi: bool) -> list[Prediction]:
    """Return what the digits of a picture were read as; `rows` are the probabilities of these and all that follow."""
    if not looked.digits:
        blank = np.zeros((SIDE, SIDE), dtype=np.uint8)
        warning = "; ".join((BLANK, *looked.picture.notes))
        return [Prediction(None, (1 / CLASSES,) * CLASSES, False, warning, blank, None, looked.picture)]
    sure = SURE_AMONG_OTHERS if len(looked.digits) > 1 else SURE_PROBABILITY
    return [
        _judge(looked.picture, found, frame, next(rows), sure, multi)
        for found, frame in zip(looked.digits, looked.frames, strict=True)
    ]


def _is_filled(image: NDArray[np.uint8]) -> bool:
    """Tell whether there is a shape in a frame that no pen leaves."""
    ink = square = image >= FILLED_LEVEL
    for step in 1, 2, 3:  # a square of 7 pixels, which such a shape holds and few digits do, is faster looked for
        square = square[step:] & square[:-step]
        square = square[:, step:] & square[:, :-step]
    return bool(square.any() and ndimage.distance_transform_edt(np.pad(ink, 1)).max() > FILLED_RADIUS)


def _judge(
    picture: Picture, found: Found, image: NDArray[np.uint8], probabilities: list[float], sure: float, multi: bool
) -> Prediction:
    second, first = sorted(range(CLASSES), key=probabilities.__getitem__)[-2:]
    best, next_best = probabilities[first], probabilities[second]
    confident = best >= sure
    notes = list(picture.notes)
    if _is_filled(image):
        confident = False
        notes.insert(0, FILLED)
    elif best < LIKELY_PROBABILITY:
        notes.insert(0, f"perhaps no digit: nothing is likelier than {best:.0%}")
    elif not confident:
        notes.insert(0, f"unsure: {first} ({best:.0%}) or {second} ({next_best:.0%})")
    if found.cut:
        notes.append(CUT)
        confident = False
    if not found.alone and not multi:
        notes.append(OTHER_INK)
        confident = False
    top, left, bottom, right = (round(edge * picture.scale) for edge in found.box)
    box = (left, top, right, bottom)
    return Prediction(first, tuple(probabilities), confident, "; ".join(notes) or None, image, box, picture, found.ink)

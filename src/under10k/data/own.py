"""Digits of a user's own: arrays, tensors and torch data sets taken for what they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from under10k.data.datasets import Dataset, load_digits
from under10k.data.digits import Digits, as_unit, to_levels
from under10k.errors import DataError, UsageError, wrong_type

DataSource = str | Path | Dataset | tuple[Any, Any]
"""What digits are trained on and tested with: a name, a folder, a `Dataset`, or a pair (train, test) of sources."""


DigitSource = Digits | tuple[Any, Any] | Any
"""Digits, a pair (images, labels) of arrays or tensors, or a torch data set of (image, label)."""


def as_dataset(data: DataSource) -> Dataset:
    """Return the data set that is meant: by a name, a folder, or a pair (train, test), each as `as_digits` takes it.

    Raises:
        UsageError: the name is unknown, or it is none of these.
        DataError: the data is missing or damaged, or a label is none.
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, str | Path):
        return load_digits(data)
    if _is_pair(data) and not _is_array(data[0]):
        train, test = data
        return Dataset("own", as_digits(train), as_digits(test))
    if isinstance(data, Digits) or _is_pair(data) or _is_map(data):
        raise UsageError("no test images: there is one set of digits. give a pair, (train, test)")
    raise wrong_type("data", data, "a known name, a folder, a Dataset, or a pair (train, test)")


def as_test_digits(data: DataSource | DigitSource) -> Digits:
    """Return the digits to score: those given, or the test images of a data set or of a name.

    Raises:
        UsageError: the name is unknown, or it is none of these.
        DataError: the data is missing or damaged, or a label is none.
    """
    if isinstance(data, str | Path | Dataset):
        return as_dataset(data).test
    return as_digits(data)


def as_digits(source: DigitSource) -> Digits:
    """Return digits: `Digits` as they are, a pair (images, labels) of arrays or tensors, or a torch data set.

    Images are (N, 28, 28) or (N, 1, 28, 28), white on black, uint8 from 0 to 255 or float from 0 to 1, which is rounded
    to 256 levels; labels are whole numbers from 0 to 9. An item of a data set is (image, label).

    Raises:
        UsageError: it is none of these, or the images have another size or range.
        DataError: images and labels differ in number, or a label is none.
    """
    if isinstance(source, Digits):
        return source
    if isinstance(source, Dataset):
        raise wrong_type("digits", source, "one half of it: .train or .test")
    if _is_pair(source) and _is_array(source[0]):
        return _join(*source)
    if not _is_map(source):
        raise wrong_type("digits", source, "Digits, a pair (images, labels), or a torch data set")
    items = [source[index] for index in range(len(source))]
    if not all(_is_pair(item) for item in items):
        raise UsageError("not digits: an item of the data set is no pair. give items of (image, label)")
    images = [_to_tensor(image) for image, _ in items]
    if not images:
        raise DataError("no images: the set is empty. give at least one image")
    if len({(image.shape, image.dtype) for image in images}) > 1:
        raise UsageError(f"not digits: the images of the data set differ in size or type. {_FRAME}")
    return _join(torch.stack(images), torch.tensor([int(label) for _, label in items]))


def _join(images: Any, labels: Any) -> Digits:
    try:
        levels = to_levels(as_unit(images))
    except UsageError as error:
        raise UsageError(f"{error}. {_FRAME}" if "shape" in str(error) else str(error)) from None
    names = torch.as_tensor(labels)
    if names.is_floating_point() or names.is_complex() or names.dtype == torch.bool:
        raise UsageError(f"not labels: {str(names.dtype).removeprefix('torch.')}. give whole numbers from 0 to 9")
    return Digits(levels, names.to(torch.int64))


_FRAME = "pictures of another size are brought to 28x28 by predict(picture).frame"


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2


def _is_array(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray)


def _is_map(value: Any) -> bool:
    return hasattr(value, "__len__") and hasattr(value, "__getitem__") and not isinstance(value, str | bytes | dict)


def _to_tensor(image: Any) -> Tensor:
    return image if isinstance(image, Tensor) else torch.from_numpy(np.array(image))  # an array, or PIL's image

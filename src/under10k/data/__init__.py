"""Digits to train on and to test with: their sources, their frame, and how they are deformed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from under10k.lazy import lazy_door

if TYPE_CHECKING:
    from under10k.data.augmentation import affine_grid, augment, resample
    from under10k.data.catalogue import DATASETS
    from under10k.data.datasets import Dataset, find_dataset, load_digits
    from under10k.data.digits import CLASSES, MEAN, SIDE, STD, Digits, as_unit, normalise, to_input, to_levels, to_unit
    from under10k.data.framer import use_framer
    from under10k.data.framing import BOX, SLACK, THRESHOLD, frame
    from under10k.data.identity import DataIdentity
    from under10k.data.mixing import mix, mixed_count
    from under10k.data.own import DataSource, DigitSource, as_dataset, as_digits, as_test_digits
    from under10k.data.rehearsal import Rehearsal, find_rehearsal, rehearse
    from under10k.data.synthetic import draw_digits

__all__ = [
    "BOX",
    "CLASSES",
    "DATASETS",
    "DataIdentity",
    "DataSource",
    "Dataset",
    "DigitSource",
    "Digits",
    "MEAN",
    "Rehearsal",
    "SIDE",
    "SLACK",
    "STD",
    "THRESHOLD",
    "affine_grid",
    "as_dataset",
    "as_digits",
    "as_test_digits",
    "as_unit",
    "augment",
    "draw_digits",
    "find_dataset",
    "find_rehearsal",
    "frame",
    "load_digits",
    "mix",
    "mixed_count",
    "normalise",
    "rehearse",
    "resample",
    "to_input",
    "to_levels",
    "to_unit",
    "use_framer",
]

__getattr__, __dir__ = lazy_door(
    __name__,
    {
        "BOX": "framing",
        "CLASSES": "digits",
        "DATASETS": "catalogue",
        "DataIdentity": "identity",
        "DataSource": "own",
        "Dataset": "datasets",
        "DigitSource": "own",
        "Digits": "digits",
        "MEAN": "digits",
        "Rehearsal": "rehearsal",
        "SIDE": "digits",
        "SLACK": "framing",
        "STD": "digits",
        "THRESHOLD": "framing",
        "affine_grid": "augmentation",
        "as_dataset": "own",
        "as_digits": "own",
        "as_test_digits": "own",
        "as_unit": "digits",
        "augment": "augmentation",
        "draw_digits": "synthetic",
        "find_dataset": "datasets",
        "find_rehearsal": "rehearsal",
        "frame": "framing",
        "load_digits": "datasets",
        "mix": "mixing",
        "mixed_count": "mixing",
        "normalise": "digits",
        "rehearse": "rehearsal",
        "resample": "augmentation",
        "to_input": "digits",
        "to_levels": "digits",
        "to_unit": "digits",
        "use_framer": "framer",
    },
)

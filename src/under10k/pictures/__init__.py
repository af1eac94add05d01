"""From a picture of any kind to the digits in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from under10k.lazy import lazy_door

if TYPE_CHECKING:
    from under10k.pictures.picture import WORKING_SIDE, Picture, open_picture
    from under10k.pictures.prediction import OTHER_INK, Prediction, predict, predict_all, read_pictures, split_rows
    from under10k.pictures.sources import split

__all__ = [
    "OTHER_INK",
    "Picture",
    "Prediction",
    "WORKING_SIDE",
    "open_picture",
    "predict",
    "predict_all",
    "read_pictures",
    "split",
    "split_rows",
]

__getattr__, __dir__ = lazy_door(
    __name__,
    {
        "OTHER_INK": "prediction",
        "Picture": "picture",
        "Prediction": "prediction",
        "WORKING_SIDE": "picture",
        "open_picture": "picture",
        "predict": "prediction",
        "predict_all": "prediction",
        "read_pictures": "prediction",
        "split": "sources",
        "split_rows": "prediction",
    },
)

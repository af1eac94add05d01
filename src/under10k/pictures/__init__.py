"""The digits in a picture of any kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from under10k.lazy import lazy_door

if TYPE_CHECKING:
    from under10k.pictures.constants import reading_constants
    from under10k.pictures.frames import frame_picture
    from under10k.pictures.grey import WORKING_SIDE
    from under10k.pictures.picture import Picture, open_picture
    from under10k.pictures.prediction import (
        OTHER_INK,
        Prediction,
        describe_rows,
        predict,
        predict_all,
        read_pictures,
        row_text,
        split_rows,
    )
    from under10k.pictures.sources import split

__all__ = [
    "OTHER_INK",
    "Picture",
    "Prediction",
    "WORKING_SIDE",
    "describe_rows",
    "frame_picture",
    "open_picture",
    "predict",
    "predict_all",
    "read_pictures",
    "reading_constants",
    "row_text",
    "split",
    "split_rows",
]

__getattr__, __dir__ = lazy_door(
    __name__,
    {
        "OTHER_INK": "prediction",
        "Picture": "picture",
        "Prediction": "prediction",
        "WORKING_SIDE": "grey",
        "describe_rows": "prediction",
        "frame_picture": "frames",
        "open_picture": "picture",
        "predict": "prediction",
        "predict_all": "prediction",
        "read_pictures": "prediction",
        "reading_constants": "constants",
        "row_text": "prediction",
        "split": "sources",
        "split_rows": "prediction",
    },
)

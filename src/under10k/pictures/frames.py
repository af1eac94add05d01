"""A picture of one digit, brought into MNIST's frame without being read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from under10k.data import SIDE
from under10k.errors import Under10kError
from under10k.pictures.parts import find_digit
from under10k.pictures.picture import open_picture
from under10k.pictures.prediction import BLANK, to_frame
from under10k.pictures.sources import frames_of


def frame_picture(source: Any, name: str = "the picture") -> NDArray[np.uint8]:
    """Return the frame that `predict` shows the network: uint8 (28, 28), white on black.

    A picture of 28x28 pixels in MNIST's frame is returned as it is.

    Raises:
        Under10kError: it cannot be opened, or nothing in it looks like ink.
    """
    grey = open_picture(source, name).grey
    framed = frames_of([grey])[0] if grey.shape == (SIDE, SIDE) else None
    if framed:
        return framed[0]
    found = find_digit(grey)
    if found is None:
        raise Under10kError(BLANK)
    return to_frame(found)

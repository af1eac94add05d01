"""A prediction in a notebook: the picture with the digit's box, the frame, and the probabilities as bars."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

_SIDE = 140
"""Of the picture and of the frame, in pixels of the screen."""


def describe_in_html(
    caption: str,
    grey: NDArray[Any],
    box: tuple[float, ...] | None,
    frame: NDArray[np.uint8],
    probabilities: Sequence[float],
) -> str:
    """Return a table of three cells; `grey` is (h, w) in [0, 1], `box` the digit's edges in its pixels."""
    picture = Image.fromarray(np.asarray(np.clip(grey, 0, 1) * 255, dtype=np.uint8)).convert("RGB")
    shrink = _SIDE / max(picture.size)
    picture = picture.resize([max(1, round(side * shrink)) for side in picture.size])
    if box:
        ImageDraw.Draw(picture).rectangle([edge * shrink for edge in box], outline="#d1495b", width=2)
    framed = Image.fromarray(frame).resize((_SIDE, _SIDE), Image.Resampling.NEAREST)
    bars = "".join(_bar(digit, share) for digit, share in enumerate(probabilities))
    cells = (_image(picture, "the picture"), _image(framed, "the frame"), f"<table>{bars}</table>")
    row = "".join(f"<td>{cell}</td>" for cell in cells)
    return f"<table><caption>{html.escape(caption)}</caption><tr>{row}</tr></table>"


def _image(image: Image.Image, what: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f'<img alt="{what}" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def _bar(digit: int, share: float) -> str:
    length = f'<div style="background:#1b6ca8;height:8px;width:{100 * share:.0f}px"></div>'
    cells = (str(digit), length, f"{share:.1%}")
    return "<tr>" + "".join(f'<td style="padding:0 4px;line-height:1">{cell}</td>' for cell in cells) + "</tr>"

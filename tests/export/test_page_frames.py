"""The page sees the frame that Python sees, pixel by pixel, in drawings and in pictures of all kinds."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from picture_report import SINGLES
from random_networks import random_network
from under10k.data.synthetic import WAYS, draw_digits
from under10k.pictures.parts import find_digit
from under10k.pictures.picture import open_picture
from under10k.pictures.pixels import Grey
from under10k.pictures.prediction import predict, to_frame

if TYPE_CHECKING:
    from playwright.sync_api import Page

TOLERANCE = 1
"""Largest difference of a pixel, of 255 levels: where rounding falls on either side of a half."""

MODEL = random_network("early")

READ_PICTURE = """async (content) => {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    const image = await decode(new File([bytes], "picture.png"));
    const found = makeFrame(toGrey(contextOf(image).getImageData(0, 0, image.width, image.height)));
    if (!found) return null;
    const probabilities = softmax(runNetwork(layers, found.levels).at(-1).values);
    return { levels: [...found.levels], ...judge(probabilities, found) };
}"""

READ_DRAWING = """([way, width]) => {
    const { levels } = makeFrame(greyOf(way.map((points) => ({ kind: "stroke", points, width }))));
    const { data } = raster.getImageData(0, 0, RASTER, RASTER);
    return [[...levels], btoa(String.fromCharCode(...data))];
}"""


@pytest.fixture(scope="module")
def page(page_on: Callable[..., Page], page_file: Path) -> Page:
    page = page_on()
    page.goto(page_file.as_uri())
    return page


def to_png(picture: Any) -> bytes:
    file = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.asarray(picture))
    (image if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA") else image.convert("RGB")).save(file, "PNG")
    return file.getvalue()


def is_frame_of(levels: list[int], grey: Grey) -> bool:
    """Tell whether a frame of the page's is Python's, of the same picture.

    Where a pixel lies on a threshold, rounding decides on which side: Python's frame may also be that of the picture
    made brighter or darker by a millionth.
    """
    return any(is_close(levels, np.clip(grey * np.float32(1 + change), 0, 1)) for change in (0, -1e-6, 1e-6))


def is_close(levels: list[int], grey: Grey) -> bool:
    found = find_digit(grey)
    assert found
    frame = to_frame(found).ravel().astype(float)
    return bool(np.abs(np.array(levels) - frame).max() <= TOLERANCE)


@pytest.mark.browser
@pytest.mark.parametrize("name", sorted(SINGLES))
def test_a_picture_becomes_the_same_frame_and_answer(name: str, page: Page) -> None:
    rng = np.random.default_rng(len(name))
    content = to_png(SINGLES[name](draw_digits(1, seed=len(name)).images[0].numpy(), rng))
    found = page.evaluate(READ_PICTURE, base64.b64encode(content).decode())
    expected = predict(content, MODEL)
    if expected.digit is None:
        assert found is None
        return
    assert is_frame_of(found["levels"], expected.picture.grey)
    assert (found["digit"], found["confident"]) == (expected.digit, expected.confident)
    assert found["words"].endswith(" sure") if expected.confident else found["words"] == expected.warning


@pytest.mark.browser
@pytest.mark.parametrize("digit", range(10))
def test_a_drawing_becomes_the_same_frame(digit: int, page: Page) -> None:
    for number, (_, way) in enumerate(WAYS[digit]):
        strokes = [[(0.2 + x / 170, 0.15 + y / 150) for x, y in stroke] for stroke in way]
        levels, pixels = page.evaluate(READ_DRAWING, [strokes, 0.03 + 0.02 * number % 0.12])
        drawn = np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(100, 100, 4)[..., :3]
        assert is_frame_of(levels, open_picture(drawn).grey)

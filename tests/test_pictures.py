"""Pictures of every mode, size and fault become the same grey values, or are refused in one line."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tenk.errors import UsageError
from tenk.pictures import FORMATS, LARGEST_SIDE, READ_SIDE, PictureError, read_picture
from tenk.synthetic import draw_digits

DIGIT = 255 - draw_digits(1, seed=3).images[0].repeat_interleave(2, 0).repeat_interleave(2, 1).numpy()
"""Black on white, uint8 (56, 56)."""

GREY = DIGIT.astype(np.float32) / 255

DARK = 128
"""Below it a pixel of the two-tone digit is ink."""


def saved(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def plain() -> Image.Image:
    return Image.fromarray(DIGIT)


def transparent(colour: tuple[int, int, int] = (0, 0, 0)) -> Image.Image:
    """The ink in one colour, the paper clear."""
    image = Image.new("RGBA", plain().size, (*colour, 0))
    image.putalpha(ImageOps.invert(plain()))
    return image


def palette_with_clear_paper() -> Image.Image:
    image = Image.new("P", plain().size, 0)
    image.putpalette([255, 0, 255, 0, 0, 0])
    image.paste(1, mask=Image.fromarray(((DIGIT < DARK) * 255).astype(np.uint8)))
    image.info["transparency"] = 0
    return image


def grey_and_alpha() -> Image.Image:
    return Image.merge("LA", (Image.new("L", plain().size, 0), ImageOps.invert(plain())))


MODES: dict[str, tuple[Callable[[], Image.Image], float]] = {
    "grey": (plain, 0.003),
    "RGB": (lambda: plain().convert("RGB"), 0.003),
    "RGBA, opaque": (lambda: plain().convert("RGBA"), 0.003),
    "RGBA, clear paper": (transparent, 0.005),
    "grey and alpha": (grey_and_alpha, 0.005),
    "palette": (lambda: plain().convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE), 0.15),
    "CMYK": (lambda: plain().convert("RGB").convert("CMYK"), 0.01),
    "YCbCr": (lambda: plain().convert("RGB").convert("YCbCr"), 0.01),
    "HSV": (lambda: plain().convert("RGB").convert("HSV"), 0.01),
    "16 bits": (lambda: Image.fromarray(DIGIT.astype(np.uint16) * 257), 1e-4),
    "32 bits": (lambda: Image.fromarray(DIGIT.astype(np.int32) * 257), 1e-4),
    "real numbers": (lambda: Image.fromarray(GREY), 1e-6),
    "real numbers to 255": (lambda: Image.fromarray(GREY * 255), 1e-6),
}


@pytest.mark.parametrize("mode", MODES)
def test_a_digit_is_the_same_in_every_mode(mode: str) -> None:
    make, tolerance = MODES[mode]
    np.testing.assert_allclose(read_picture(make()).grey, GREY, atol=tolerance)


@pytest.mark.parametrize("make", [lambda: plain().convert("1", dither=Image.Dither.NONE), palette_with_clear_paper])
def test_two_tones_stay_two_tones(make: Callable[[], Image.Image]) -> None:
    np.testing.assert_array_equal(read_picture(make()).grey < 0.5, DIGIT < DARK)
    np.testing.assert_array_equal(read_picture(saved(make())).grey < 0.5, DIGIT < DARK)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_read_from_a_path_and_from_its_content(format: str, tmp_path: Path) -> None:
    content = saved(plain(), format)
    path = tmp_path / "a digit"  # the name says nothing of the format
    path.write_bytes(content)
    tolerance = 0.12 if format in ("JPEG", "WEBP") else 1e-6
    np.testing.assert_allclose(read_picture(path).grey, GREY, atol=tolerance)
    np.testing.assert_array_equal(read_picture(str(path)).grey, read_picture(content).grey)


@pytest.mark.parametrize(
    "array",
    [
        DIGIT,
        DIGIT.astype(np.uint16) * 257,
        DIGIT.astype(np.int64),
        GREY,
        GREY.astype(np.float16),
        GREY * 255,
        DIGIT[None],
        DIGIT[..., None],
        np.stack([DIGIT] * 3, axis=2),
        np.stack([DIGIT] * 3 + [np.full_like(DIGIT, 255)], axis=2),
        np.stack([np.zeros_like(DIGIT), 255 - DIGIT], axis=2),
        torch.from_numpy(GREY).requires_grad_(),
        np.asfortranarray(DIGIT),
    ],
    ids=lambda array: f"{array.dtype} {tuple(array.shape)}".replace("torch.", "tensor "),
)
def test_arrays_of_every_kind_are_read(array: Any) -> None:
    np.testing.assert_allclose(read_picture(array).grey, GREY, atol=2e-3)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(28),
        np.zeros((0, 28)),
        np.zeros((28, 28, 5)),
        np.zeros((2, 2, 28, 28)),
        np.full((28, 28), np.nan),
        np.full((28, 28), np.inf),
        np.full((28, 28), -1),
        np.full((28, 28), "1"),
        np.full((28, 28), None),
    ],
    ids=lambda array: f"{array.dtype} {tuple(array.shape)}".replace("torch.", "tensor "),
)
def test_an_array_that_is_no_picture_is_refused(array: Any) -> None:
    with pytest.raises(UsageError, match="not an image: an array of"):
        read_picture(array)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_turned_as_the_camera_was_held(orientation: int, format: str) -> None:
    held = Image.fromarray(np.pad(DIGIT, ((0, 30), (0, 10)), constant_values=255))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(held, format, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    np.testing.assert_allclose(read_picture(content).grey, np.asarray(upright.convert("L")) / 255, atol=0.01)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_read_and_said_so(format: str) -> None:
    others = [Image.new("L", plain().size, 255), Image.new("L", plain().size, 0)]
    animation = saved(plain(), format, save_all=True, append_images=others, duration=50)
    picture = read_picture(animation)
    assert picture.notes == ("an animation, of which the first frame was read",)
    np.testing.assert_allclose(picture.grey, GREY, atol=0.12)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 30, 30), (250, 240, 120)])
def test_transparent_paper_is_the_opposite_of_its_ink(colour: tuple[int, int, int]) -> None:
    grey = read_picture(transparent(colour)).grey
    assert np.corrcoef(abs(grey - grey[0, 0]).ravel(), 1 - GREY.ravel())[0, 1] > 0.999
    assert abs(grey - grey[0, 0]).max() > 0.35


def test_clear_corners_of_a_photograph_become_its_paper() -> None:
    image = plain().convert("RGBA")
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (0, 0, 8, 8))
    image.putalpha(alpha)
    np.testing.assert_allclose(read_picture(image).grey, GREY, atol=0.005)


def test_a_wholly_clear_picture_is_blank() -> None:
    assert (read_picture(Image.new("RGBA", (20, 20))).grey == 1).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16", "I", "F", "1", "P"])
@pytest.mark.parametrize("size", [(4000, 3000), (10_000, 40), (1, 10_000), (2001, 1999)])
def test_large_pictures_are_shrunk_by_the_means_of_their_pixels(mode: str, size: tuple[int, int]) -> None:
    grey = read_picture(Image.new(mode, size, 1 if mode in ("1", "P") else 0)).grey
    assert READ_SIDE <= max(grey.shape) < 2 * READ_SIDE
    assert max(grey.shape) / min(grey.shape) == pytest.approx(min(max(size) / min(size), max(grey.shape)), rel=0.3)
    assert grey.min() == grey.max()


def test_shrinking_keeps_what_is_seen() -> None:
    large = plain().resize((5600, 5600), Image.Resampling.NEAREST)
    small = np.asarray(Image.fromarray(read_picture(large).grey).resize((56, 56), Image.Resampling.BOX))
    np.testing.assert_allclose(small, GREY, atol=0.06)


def test_a_large_jpeg_is_decoded_at_a_smaller_size() -> None:
    content = saved(plain().resize((4000, 4000)), "JPEG")
    assert read_picture(content).grey.shape in {(1000, 1000), (1333, 1333), (2000, 2000)}


# --- what is refused -----------------------------------------------------------------------------------------------


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that promises more pixels than it has."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + sealed(header) + sealed(b"IDAT" + zlib.compress(b"\0" * 100))


def sealed(chunk: bytes) -> bytes:
    """A chunk of a PNG, with its length and checksum."""
    return struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))


@pytest.mark.parametrize("size", [(20_000, 20_000), (LARGEST_SIDE + 1, 1), (1, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_picture_too_large_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(PictureError, match=r"image too large: the picture. give at most 10,000 pixels a side"):
        read_picture(png_of_size(*size))


@pytest.mark.parametrize(
    "content", [b"", b"no picture\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n"]
)
def test_what_is_no_picture_is_called_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(PictureError, match=r"not an image: .*give a PNG, JPEG, BMP, GIF or WEBP"):
        read_picture(tmp_path / "x.png")


@pytest.mark.parametrize("format", ["TIFF", "PPM", "ICO", "TGA", "PDF", "EPS"])
def test_formats_that_are_not_asked_for_are_refused(format: str) -> None:
    with pytest.raises(PictureError, match="not an image"):
        read_picture(saved(plain().convert("RGB"), format))


def test_a_path_without_a_picture_says_why(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="is a folder"):
        read_picture(tmp_path)
    with pytest.raises(PictureError, match="is not there"):
        read_picture(tmp_path / "nothing.png")
    with pytest.raises(PictureError, match="is not a file"):
        read_picture("/dev/zero")
    with pytest.raises(PictureError):
        read_picture("a\0b")


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=25, deadline=None)
@given(share=st.floats(0, 0.999))
def test_a_file_cut_anywhere_is_refused_or_whole(format: str, share: float) -> None:
    content = saved(plain(), format)
    try:
        grey = read_picture(content[: int(share * len(content))]).grey
    except PictureError:
        return
    np.testing.assert_array_equal(grey, read_picture(content).grey)


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=25, deadline=None)
@given(place=st.integers(0), value=st.integers(0, 255))
def test_a_changed_byte_gives_a_picture_or_the_one_error(format: str, place: int, value: int) -> None:
    content = bytearray(saved(plain(), format))
    content[place % len(content)] = value
    try:
        grey = read_picture(bytes(content)).grey
    except PictureError:
        return
    assert np.isfinite(grey).all()


def test_a_bomb_of_text_in_a_png_is_refused() -> None:
    text = b"zTXta\0\0" + zlib.compress(b"\0" * 100_000_000)
    content = saved(plain())
    bomb = content[:33] + sealed(text) + content[33:]
    with pytest.raises(PictureError):
        read_picture(bomb)

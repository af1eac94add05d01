"""Pictures come in whatever they are: every mode, size and way of being damaged."""

from __future__ import annotations

import functools
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from tenk.errors import TenkError
from tenk.pictures import FORMATS, WORKING_SIDE, open_picture

PIXELS = np.full((60, 50), 255, dtype=np.uint8)
PIXELS[10:40, 20:26] = 0
PIXELS[10:14, 20:40] = 0

GREY = PIXELS / np.float32(255)


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def drawn_on_glass(value: int) -> Image.Image:
    """The same drawing in one colour on transparent paper."""
    pixels = np.full((*PIXELS.shape, 4), value, dtype=np.uint8)
    pixels[..., 3] = 255 - PIXELS
    return Image.fromarray(pixels)


def png_of_size(width: int, height: int) -> bytes:
    """The beginning of a PNG file that says it is so large."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    body = zlib.compress(b"\0" * 1000)
    data = b"IDAT" + body
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk)),
            struct.pack(">I", len(body)) + data + struct.pack(">I", zlib.crc32(data)),
        )
    )


# --- modes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "LA", "I", "F", "YCbCr", "HSV"])
def test_a_picture_of_any_mode_is_the_same_picture(mode: str) -> None:
    np.testing.assert_allclose(open_picture(Image.fromarray(PIXELS).convert(mode)).grey, GREY, atol=0.01)


@pytest.mark.parametrize("depth", [65535, 4095, 255])
def test_sixteen_bits_are_scaled_by_the_range_they_have(depth: int) -> None:
    deep = Image.fromarray((GREY * depth).astype(np.uint16))
    np.testing.assert_allclose(open_picture(deep).grey, GREY, atol=1e-6)
    np.testing.assert_allclose(open_picture(encode(deep)).grey, GREY, atol=1e-6)


@pytest.mark.parametrize(
    "array",
    [
        PIXELS,
        GREY,
        GREY.astype(np.float64),
        GREY * 255,
        GREY * 8 - 4,
        PIXELS > 0,
        PIXELS.astype(np.int64),
        np.stack([PIXELS] * 3, axis=2),
        np.stack([GREY] * 3, axis=2),
        PIXELS[..., None],
        torch.from_numpy(PIXELS),
        torch.from_numpy(GREY)[None].requires_grad_(),
        np.asfortranarray(PIXELS),
    ],
    ids=lambda array: f"{array.dtype}{tuple(array.shape)}",
)
def test_an_array_of_any_kind_is_the_same_picture(array: Any) -> None:
    np.testing.assert_allclose(open_picture(array).grey, GREY, atol=1e-6)


@pytest.mark.parametrize("value", [0, 255])
def test_transparent_paper_is_the_opposite_of_what_is_drawn(value: int) -> None:
    expected = GREY if value == 0 else 1 - GREY
    for picture in (drawn_on_glass(value), drawn_on_glass(value).convert("LA")):
        np.testing.assert_allclose(open_picture(picture).grey, expected, atol=0.01)
    np.testing.assert_allclose(open_picture(encode(drawn_on_glass(value))).grey, expected, atol=0.01)


def test_a_palette_with_a_transparent_colour_is_understood() -> None:
    palette = Image.fromarray((PIXELS == 255).astype(np.uint8), mode=None).convert("P")
    palette.putpalette([0, 0, 0, 0, 0, 0])  # ink and paper alike but for transparency
    np.testing.assert_allclose(open_picture(encode(palette, transparency=1)).grey, GREY, atol=0.01)


def test_transparent_corners_of_paper_become_paper() -> None:
    pixels = np.dstack([PIXELS] * 3 + [np.full_like(PIXELS, 255)])
    pixels[:5, :5] = 0
    np.testing.assert_allclose(open_picture(pixels).grey, GREY, atol=0.01)


def test_yellow_ink_is_seen() -> None:
    yellow = np.dstack([np.full_like(PIXELS, 255), np.maximum(PIXELS, 220), PIXELS])
    assert np.ptp(open_picture(yellow).grey) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_camera_was_held(orientation: int) -> None:
    turned = {
        1: Image.Transpose.ROTATE_180,  # twice, below
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    image = Image.fromarray(PIXELS).transpose(turned)
    if orientation == 1:
        image = image.transpose(turned)
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_allclose(open_picture(encode(image, "PNG", exif=exif)).grey, GREY)
    np.testing.assert_allclose(open_picture(encode(image, "JPEG", quality=95, exif=exif)).grey, GREY, atol=0.1)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_of_a_moving_picture_the_first_frame_is_read_and_it_is_said(kind: str) -> None:
    other = Image.fromarray(255 - PIXELS)
    content = encode(Image.fromarray(PIXELS), kind, save_all=True, append_images=[other], lossless=True)
    picture = open_picture(content)
    np.testing.assert_allclose(picture.grey, GREY, atol=0.01)
    assert "first frame" in picture.notes[0]
    assert open_picture(encode(Image.fromarray(PIXELS), kind)).notes == ()


# --- sizes ---------------------------------------------------------------------------------------------------------


@given(height=st.integers(1, 1500), width=st.integers(1, 1500))
@settings(deadline=None, max_examples=15)
def test_a_picture_of_any_size_keeps_its_shape(height: int, width: int) -> None:
    pixels = np.zeros((height, width), dtype=np.uint8)
    pixels[: height // 2] = 200
    picture = open_picture(pixels)
    assert max(picture.grey.shape) <= WORKING_SIDE
    assert picture.grey.mean() == pytest.approx(pixels.mean() / 255, abs=0.01)
    assert picture.scale == pytest.approx(max(height, width) / max(picture.grey.shape))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_large_picture_is_the_same_picture_small(kind: str) -> None:
    large = Image.fromarray(PIXELS).resize((2500, 3000), Image.Resampling.NEAREST)
    small = np.asarray(Image.fromarray(PIXELS).resize((533, 640), Image.Resampling.BOX)) / 255
    picture = open_picture(encode(large, kind))
    assert picture.grey.shape == (640, 533)
    assert np.abs(picture.grey - small).mean() < 0.01
    assert picture.scale == pytest.approx(3000 / 640)


@pytest.mark.parametrize("size", [(20_000, 20_000), (10_001, 1), (1, 2**31 - 1), (9_000, 19_000)])
def test_what_is_too_large_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(TenkError, match="too large"):
        open_picture(png_of_size(*size))


def test_a_bomb_of_text_within_a_png_is_refused() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("note", "0" * (80 * 2**20), zip=True)
    with pytest.raises(TenkError, match="damaged picture"):
        open_picture(encode(Image.fromarray(PIXELS), pnginfo=info))


def peak_megabytes(code: str) -> int:
    """Memory that a fresh process takes at most while it runs this.

    `ru_maxrss` would not do: it outlives `exec`, and begins at what the process that started this one holds.
    """
    tail = "\nfrom pathlib import Path\nprint(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, timeout=250, check=True)
    return int(done.stdout.split()[-1]) // 1024


@functools.cache
def idle_megabytes() -> int:
    return peak_megabytes("import tenk.pictures")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak")
@pytest.mark.parametrize(("mode", "bytes_a_pixel"), [("L", 1), ("RGB", 4)])
def test_the_memory_that_a_large_picture_takes_is_its_pixels_and_little_more(
    mode: str, bytes_a_pixel: int, tmp_path: Path
) -> None:
    path = tmp_path / "large.png"
    side = 4000
    Image.new(mode, (side, side), "white").save(path, compress_level=1)
    peak = peak_megabytes(f"from tenk.pictures import open_picture; open_picture({str(path)!r})")
    assert peak - idle_megabytes() < side * side * bytes_a_pixel / 2**20 + 110


# --- what is no picture --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\0" * 500]
)
def test_what_is_no_picture_is_called_that(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "it.png").write_bytes(content)
    with pytest.raises(TenkError, match=r"^not a picture: .*it\.png\. give a PNG"):
        open_picture(tmp_path / "it.png")


@pytest.mark.parametrize("kind", ["TIFF", "PPM", "PCX", "TGA", "ICO", "EPS", "PDF"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(TenkError, match="not a picture"):
        open_picture(encode(Image.fromarray(PIXELS).convert("RGB"), kind))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(TenkError, match=r"no such picture: .*none\.png"):
        open_picture(tmp_path / "none.png")
    with pytest.raises(TenkError, match="is a folder"):
        open_picture(tmp_path)
    with pytest.raises(TenkError, match="no such picture"):
        open_picture("a\0b")
    with pytest.raises(TenkError, match="no ordinary file"):
        open_picture("/dev/zero")


@pytest.mark.parametrize(
    "array",
    [np.zeros(5), np.zeros((4, 4, 5)), np.zeros((0, 7)), np.array([["a"]]), np.zeros((3, 3), complex)],
)
def test_what_is_no_array_of_pixels_is_refused(array: Any) -> None:
    with pytest.raises(TenkError):
        open_picture(array)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(value: float) -> None:
    values = GREY.copy()
    values[3, 3] = value
    for picture in (values, Image.fromarray(values)):
        with pytest.raises(TenkError, match="NaN or infinite"):
            open_picture(picture)


@pytest.mark.parametrize("kind", FORMATS)
@given(share=st.floats(0, 0.98))
@settings(deadline=None, max_examples=25)
def test_a_truncated_file_is_an_error(kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    content = encode(Image.fromarray(noise), kind)
    with pytest.raises(TenkError, match=r"^(damaged|not a) picture: the picture"):
        open_picture(content[: int(share * len(content))])


@pytest.mark.parametrize("kind", FORMATS)
@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_a_damaged_file_is_an_error_or_a_picture_and_never_a_crash(kind: str, data: st.DataObject) -> None:
    content = bytearray(encode(Image.fromarray(PIXELS), kind))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        grey = open_picture(bytes(content)).grey
    except TenkError:
        return
    assert np.isfinite(grey).all()
    assert grey.min() >= 0
    assert grey.max() <= 1


def test_the_range_of_the_largest_numbers_does_not_overflow() -> None:
    values = np.where(PIXELS > 0, 1.7e308, -1.7e308)
    np.testing.assert_array_equal(open_picture(values).grey, GREY)


def test_white_stays_white_where_rounding_would_make_it_more() -> None:
    assert open_picture(np.full((1852, 44, 3), 255, dtype=np.uint8)).grey.max() == 1

"""Pictures come in whatever they are: every mode, size and way of being damaged."""

from __future__ import annotations

import functools
import io
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from under10k.errors import Under10kError
from under10k.pictures.grey import WORKING_SIDE, shrink
from under10k.pictures.picture import FORMATS, open_picture

PIXELS = np.full((60, 50), 255, dtype=np.uint8)
PIXELS[10:40, 20:26] = 0
PIXELS[10:14, 20:40] = 0

GREY = PIXELS / np.float32(255)


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    if kind == "HEIF":
        pillow_heif.from_pillow(image).save(buffer)
    else:
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
    return png_of_chunks((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)))


def png_of_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


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
        (PIXELS > 0).astype(np.uint8),
        (PIXELS > 0).astype(np.int64),
        (PIXELS > 0).astype(np.float16),
        np.dstack([PIXELS > 0] * 3).astype(np.uint8),
        torch.from_numpy(PIXELS > 0).byte(),
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


def deep_png(values: Any, colour_type: int) -> bytes:
    """A PNG of 16 bits a channel, which Pillow cannot write: grey with opacity (4), colours (2), or both (6)."""
    height, width = values.shape[:2]
    rows = np.asarray(values, ">u2").reshape(height, -1).view(np.uint8)
    filtered = np.pad(rows, ((0, 0), (1, 0)))
    bytes_a_pixel = rows.shape[1] // width
    filtered[:, 0] = 1  # each byte as its difference from that of the pixel to its left
    filtered[:, 1 + bytes_a_pixel :] -= rows[:, :-bytes_a_pixel]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return png_of_chunks((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes())), (b"IEND", b""))


@pytest.mark.parametrize("depth", [65535, 1023, 255])
@pytest.mark.parametrize(("colour_type", "channels", "opaque"), [(2, 3, False), (4, 1, True), (6, 3, True)])
def test_sixteen_bits_a_colour_are_scaled_by_the_range_they_have(
    depth: int, colour_type: int, channels: int, opaque: bool
) -> None:
    values = np.dstack([np.round(GREY * depth)] * channels + [np.full(GREY.shape, 65535)] * opaque)
    np.testing.assert_allclose(open_picture(deep_png(values, colour_type)).grey, GREY, atol=1e-6)


def test_sixteen_bits_a_colour_keep_the_picture_where_it_is_large_or_transparent() -> None:
    large = np.kron(GREY * 1023, np.ones((43, 43)))
    small = np.asarray(Image.fromarray(PIXELS).resize((533, 640), Image.Resampling.BOX)) / 255
    assert np.abs(open_picture(deep_png(np.dstack([large] * 3), 2)).grey - small).mean() < 0.01
    ink = np.full((*GREY.shape, 4), 700.0)
    ink[0, 0, :3] = 0
    ink[..., 3] = 65535 * (1 - GREY)
    np.testing.assert_allclose(open_picture(deep_png(ink, 6)).grey, 1 - GREY, atol=0.01)


def test_the_negative_of_a_picture_is_exactly_its_opposite() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(open_picture(255 - levels).grey, 1 - open_picture(levels).grey)


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


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
@pytest.mark.parametrize(("blank", "number"), [(1, 2), (3, 4), (12, 10)])
def test_of_a_moving_picture_that_begins_blank_the_first_frame_with_ink_is_read(
    kind: str, blank: int, number: int
) -> None:
    paper = [Image.new("L", (50, 60), 255 - each % 2) for each in range(blank)]  # frames that are alike become one
    content = encode(paper[0], kind, save_all=True, append_images=[*paper[1:], Image.fromarray(PIXELS)], lossless=True)
    picture = open_picture(content)
    assert f"frame {number}, the first with anything on it" in picture.notes[0]
    np.testing.assert_allclose(picture.grey, GREY if blank < 10 else 1, atol=0.01)


def test_a_telephones_picture_with_its_variants_in_one_file_is_no_moving_one() -> None:
    image = Image.fromarray(PIXELS).convert("RGB")
    picture = open_picture(encode(image, "MPO", save_all=True, append_images=[image.resize((20, 25))], quality=95))
    assert picture.notes == ()
    np.testing.assert_allclose(picture.grey, GREY, atol=0.1)


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


@pytest.mark.parametrize(
    ("size", "decoded"),
    [
        ((4032, 3024), (1008, 756)),
        ((3000, 4000), (750, 1000)),
        ((3264, 2448), (816, 612)),
        ((8000, 500), (1000, 63)),
        ((2592, 1944), (1296, 972)),
        ((1599, 1200), (1599, 1200)),
        ((640, 480), (640, 480)),
    ],
)
def test_a_large_jpeg_is_decoded_at_the_smallest_fraction_of_its_size_that_keeps_it_sharp(
    size: tuple[int, int], decoded: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []

    def shrink_and_note(image: Image.Image, *given: Any) -> Any:
        sizes.append(image.size)
        return shrink(image, *given)

    monkeypatch.setattr("under10k.pictures.picture.shrink", shrink_and_note)
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).save(file, "JPEG")
    picture = open_picture(file)
    assert sizes == [decoded]
    assert picture.scale == max(size) / max(picture.grey.shape)


@pytest.mark.parametrize("size", [(20_000, 20_000), (10_001, 1), (1, 2**31 - 1), (9_000, 19_000), (8_000, 6_251)])
def test_what_is_too_large_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(Under10kError, match="too large"):
        open_picture(png_of_size(*size))


def test_whoever_reads_a_picture_may_bound_its_area_further() -> None:
    assert open_picture(PIXELS, most_pixels=3000).grey.shape == (60, 50)
    for picture in (PIXELS, PIXELS / 255, encode(Image.fromarray(PIXELS)), Image.fromarray(PIXELS)):
        with pytest.raises(Under10kError, match=r"too large: .* is 50 x 60 pixels\. .* 2,999 in all"):
            open_picture(picture, most_pixels=2999)


def test_what_costs_more_for_each_pixel_may_have_fewer() -> None:
    with pytest.raises(Under10kError, match="12,000,000 in all"):
        open_picture(encode(Image.new("L", (4000, 3001)), "WEBP", lossless=True, method=0, quality=0))
    deep = struct.pack(">IIBBBBB", 6000, 4001, 16, 2, 0, 0, 0)
    with pytest.raises(Under10kError, match="24,000,000 in all"):
        open_picture(png_of_chunks((b"IHDR", deep), (b"IDAT", b"")))
    runs = struct.pack("<2sIHHI", b"BM", 1100, 0, 0, 1078) + struct.pack(
        "<IiiHHIIiiII", 40, 5000, 5000, 1, 8, 1, *[0] * 5
    )
    with pytest.raises(Under10kError, match="4,000,000 in all"):
        open_picture(runs + bytes(1024 + 22))
    with pytest.raises(Under10kError, match=r"has 4,001,100 bytes, in runs"):
        open_picture(runs + bytes(4_001_046))
    stored = io.BytesIO()
    Image.effect_noise((8, 8), 90).convert("RGB").save(stored, "JPEG", progressive=True, subsampling=0)
    larger = re.sub(rb"(\xff\xc2..\x08)....", rb"\1" + struct.pack(">HH", 7000, 7000), stored.getvalue(), flags=re.S)
    with pytest.raises(Under10kError, match="progressive"):
        open_picture(larger)


# --- work ----------------------------------------------------------------------------------------------------------


def scanned(image: Image.Image, times: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    content = encode(image, "JPEG", progressive=True, quality=5)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + times * last + content[-2:]


def test_a_jpeg_that_goes_over_its_pixels_again_and_again_is_refused() -> None:
    assert open_picture(scanned(Image.fromarray(PIXELS), 20)).grey.shape == (60, 50)
    with pytest.raises(Under10kError, match="more scans than it needs"):
        open_picture(scanned(Image.fromarray(PIXELS), 100))
    with pytest.raises(Under10kError, match="more scans than it needs"):
        open_picture(scanned(Image.new("L", (1500, 1500)), 40), most_pixels=2_250_000)


def test_scans_are_not_hidden_in_a_jpegs_other_parts_nor_counted_there() -> None:
    content = encode(Image.fromarray(PIXELS), "JPEG", progressive=True, comment=b"\xff\xda\0\2" * 5000)
    np.testing.assert_allclose(open_picture(content + b"\xff\xda\0\2" * 5000).grey, GREY, atol=0.3)


def gif(*parts: bytes) -> bytes:
    content = encode(Image.fromarray(PIXELS), "GIF")
    start = 13 + (3 << (content[10] & 7) + 1)
    return content[:start] + b"".join(parts) + content[start:]


HEADER = (b"IHDR", struct.pack(">IIBBBBB", 50, 60, 8, 0, 0, 0, 0))


@pytest.mark.parametrize(
    "content",
    [
        png_of_chunks(HEADER, *[(b"IDAT", b"")] * 100_001),
        png_of_chunks(HEADER, *[(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**20)))] * 257),
        png_of_chunks(HEADER, (b"prIv", bytes(2**24 + 1))),
        gif(*[b"!\xfe" + b"\1x" * 100_000 + b"\0"] * 6),
        gif(*[b"!\xfe" + (b"\xff" + bytes(255)) * 5000 + b"\0"]),
        gif(b"\1" * 2_000_000),
        b"\xff\xd8\xff\xe1\0\2" + b"\0" * 2**25 + encode(Image.fromarray(PIXELS), "JPEG")[2:],
        b"\xff\xd8" + b"\xff\xe1\0\4ab" * 2000 + encode(Image.fromarray(PIXELS), "JPEG")[2:],
    ],
    ids=["pixels", "profiles", "private", "blocks", "comment", "junk", "JPEG junk", "JPEG parts"],
)
def test_a_file_that_consists_of_countless_parts_is_refused(content: bytes) -> None:
    with pytest.raises(Under10kError, match="too much work"):
        open_picture(content)


def test_a_file_of_more_bytes_than_its_pixels_could_need_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.webp"
    with path.open("wb") as file:
        file.write(encode(Image.fromarray(PIXELS), "WEBP"))
        file.truncate(50_000_001)
    with pytest.raises(Under10kError, match=r"too large: .* has 50,000,001 bytes\. .* a WEBP file may have 50,000,000"):
        open_picture(path)


# --- memory --------------------------------------------------------------------------------------------------------


def test_a_bomb_of_text_within_a_png_is_refused() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("note", "0" * (80 * 2**20), zip=True)
    with pytest.raises(Under10kError, match="damaged picture"):
        open_picture(encode(Image.fromarray(PIXELS), pnginfo=info))


def peak_megabytes(code: str) -> int:
    """Memory that a fresh process takes at most while it runs this.

    `ru_maxrss` would not do: it outlives `exec`, and begins at what the process that started this one holds.
    """
    tail = "\nfrom pathlib import Path\nprint(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, timeout=250, check=True)
    return int(done.stdout.split()[-1]) // 1024


def test_a_picture_is_opened_without_torch_and_scipy() -> None:
    code = "import sys; from under10k.pictures import open_picture; print({'torch', 'scipy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=250, check=True)
    assert done.stdout.strip() == "set()"


@functools.cache
def idle_megabytes() -> int:
    return peak_megabytes("import under10k.pictures.picture")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak")
@pytest.mark.parametrize(("mode", "bytes_a_pixel"), [("L", 1), ("RGB", 4)])
def test_the_memory_that_a_large_picture_takes_is_its_pixels_and_little_more(
    mode: str, bytes_a_pixel: int, tmp_path: Path
) -> None:
    path = tmp_path / "large.png"
    side = 4000
    Image.new(mode, (side, side), "white").save(path, compress_level=1)
    peak = peak_megabytes(f"from under10k.pictures.picture import open_picture; open_picture({str(path)!r})")
    assert peak - idle_megabytes() < side * side * bytes_a_pixel / 2**20 + 110


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak")
def test_the_largest_webp_takes_less_than_300_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "large.webp"
    Image.new("RGB", (4000, 3000), "white").save(path, lossless=True, method=0, quality=0)
    assert path.stat().st_size < 1000
    assert peak_megabytes(f"from under10k.pictures.picture import open_picture; open_picture({str(path)!r})") < 300


LARGEST: dict[str, tuple[str, tuple[int, int], dict[str, Any]]] = {
    "png": ("RGBA", (10_000, 5_000), {"compress_level": 1}),
    "bmp": ("RGB", (10_000, 5_000), {}),
    "gif": ("L", (10_000, 5_000), {}),
    "jpg": ("RGB", (10_000, 5_000), {}),
    "jpeg": ("RGB", (10_000, 3_333), {"progressive": True, "subsampling": 0}),
}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak")
@pytest.mark.parametrize("ending", LARGEST)
def test_the_largest_picture_of_each_format_takes_less_than_300_megabytes(ending: str, tmp_path: Path) -> None:
    mode, size, options = LARGEST[ending]
    path = tmp_path / f"large.{ending}"
    Image.new(mode, size, "white").save(path, **options)
    assert peak_megabytes(f"from under10k.pictures.picture import open_picture; open_picture({str(path)!r})") < 300


# --- what is no picture --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\0" * 500]
)
def test_what_is_no_picture_is_called_that(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "it.png").write_bytes(content)
    with pytest.raises(Under10kError, match=r"^not a picture: .*it\.png\. give a PNG"):
        open_picture(tmp_path / "it.png")


@pytest.mark.parametrize("kind", ["PPM", "PCX", "TGA", "ICO", "EPS", "PDF"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(Under10kError, match="not a picture"):
        open_picture(encode(Image.fromarray(PIXELS).convert("RGB"), kind))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(Under10kError, match=r"no such picture: .*none\.png"):
        open_picture(tmp_path / "none.png")
    with pytest.raises(Under10kError, match="is a folder"):
        open_picture(tmp_path)
    with pytest.raises(Under10kError, match="no such picture"):
        open_picture("a\0b")
    with pytest.raises(Under10kError, match="no ordinary file"):
        open_picture("/dev/zero")


@pytest.mark.parametrize(
    "array",
    [np.zeros(5), np.zeros((4, 4, 5)), np.zeros((0, 7)), np.array([["a"]]), np.zeros((3, 3), complex)],
)
def test_what_is_no_array_of_pixels_is_refused(array: Any) -> None:
    with pytest.raises(Under10kError):
        open_picture(array)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(value: float) -> None:
    values = GREY.copy()
    values[3, 3] = value
    for picture in (values, Image.fromarray(values)):
        with pytest.raises(Under10kError, match="NaN or infinite"):
            open_picture(picture)


@pytest.mark.parametrize("kind", FORMATS)
@given(share=st.floats(0, 0.98))
@example(share=0.001)
@settings(deadline=None, max_examples=25)
def test_a_truncated_file_is_an_error(kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    content = encode(Image.fromarray(noise), kind)
    with pytest.raises(Under10kError, match=r"^(damaged|not a) picture: the picture"):
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
    except Under10kError:
        return
    assert np.isfinite(grey).all()
    assert grey.min() >= 0
    assert grey.max() <= 1


def test_the_range_of_the_largest_numbers_does_not_overflow() -> None:
    values = np.where(PIXELS > 0, 1.7e308, -1.7e308)
    np.testing.assert_array_equal(open_picture(values).grey, GREY)


def test_white_stays_white_where_rounding_would_make_it_more() -> None:
    assert open_picture(np.full((1852, 44, 3), 255, dtype=np.uint8)).grey.max() == 1

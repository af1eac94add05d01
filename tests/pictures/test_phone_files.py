"""Files as phones and scanners write them: HEIC, AVIF, TIFF; and what a PDF is answered with."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from under10k.errors import Under10kError
from under10k.pictures import frame_picture, picture, predict
from under10k.pictures.picture import open_picture

PIXELS = np.full((64, 48), 255, dtype=np.uint8)
PIXELS[10:50, 20:26] = 0
PIXELS[10:14, 20:40] = 0


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    if kind == "HEIF":
        return encode_heif(image, **options)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def encode_heif(*images: Image.Image, exif: bytes | None = None) -> bytes:
    file = pillow_heif.HeifFile()  # type: ignore[no-untyped-call]
    for image in images:
        file.add_from_pillow(image)
    buffer = io.BytesIO()
    file.save(buffer, quality=-1, **({"exif": exif} if exif else {}))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_file_of_a_phone_or_scanner_shows_what_a_png_shows(kind: str, mode: str) -> None:
    options = {"quality": 100} if kind == "AVIF" else {}
    grey = open_picture(encode(Image.fromarray(PIXELS).convert(mode), kind, **options)).grey
    np.testing.assert_allclose(grey, PIXELS / 255, atol=0.06)


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "TIFF"])
def test_a_picture_taken_with_the_phone_on_its_side_is_upright(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.fromarray(np.ascontiguousarray(np.rot90(PIXELS))).convert("RGB")
    grey = open_picture(encode(lying, kind, exif=exif.tobytes() if kind == "HEIF" else exif)).grey
    np.testing.assert_allclose(grey, PIXELS / 255, atol=0.3)


def test_of_several_pages_the_first_is_read_and_it_is_said() -> None:
    other = Image.new("L", (48, 64), 255)
    read = open_picture(encode(Image.fromarray(PIXELS), "TIFF", save_all=True, append_images=[other]))
    np.testing.assert_array_equal(read.grey, (PIXELS / np.float32(255)).astype(np.float32))
    assert read.notes == ("several pages: only the first was read",)


def test_of_several_pictures_in_a_heic_the_main_one_is_read() -> None:
    content = encode_heif(Image.fromarray(PIXELS), Image.new("L", (48, 64), 255))
    assert open_picture(content).grey.min() < 0.1


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "group4"])
def test_a_tiff_of_any_usual_compression_is_read(compression: str) -> None:
    image = Image.fromarray(PIXELS).convert("1" if compression == "group4" else "L")
    grey = open_picture(encode(image, "TIFF", compression=compression)).grey
    np.testing.assert_allclose(grey, PIXELS / 255)


def test_a_tiff_of_16_bits_is_read() -> None:
    content = encode(Image.fromarray(PIXELS.astype(np.uint16) * 257), "TIFF")
    np.testing.assert_allclose(open_picture(content).grey, PIXELS / 255, atol=1e-3)


def test_a_folder_of_them_is_read_like_any_other(tmp_path: Path) -> None:
    for name, kind in ("a.heic", "HEIF"), ("b.avif", "AVIF"), ("c.TIF", "TIFF"):
        (tmp_path / name).write_bytes(encode(Image.fromarray(PIXELS).convert("RGB"), kind))
    assert len(predict(tmp_path)) == 3
    assert frame_picture(tmp_path / "a.heic").shape == (28, 28)


def test_no_process_is_made_to_open_heic_elsewhere() -> None:
    open_picture(encode_heif(Image.fromarray(PIXELS)))
    assert "HEIF" not in Image.OPEN


def test_a_pdf_is_refused_with_what_to_do() -> None:
    with pytest.raises(Under10kError, match=r"^not a picture: the picture is a PDF\. save its page as a PNG"):
        open_picture(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_too_many_pixels_are_refused_before_they_are_decoded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encode(Image.fromarray(PIXELS), kind)
    monkeypatch.setattr(picture, "MAXIMUM_HEIF_PIXELS", PIXELS.size - 1)
    with pytest.raises(Under10kError, match=r"^picture too large: the picture is 48 x 64 pixels"):
        open_picture(content)


def tiff(*tags: tuple[int, int, int, int], order: str = "<") -> bytes:
    """The first page of a TIFF that says so: (tag, type, count, value)."""
    entries = b"".join(struct.pack(f"{order}HHII", *tag) for tag in tags)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    return head + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


SIZE = [(256, 4, 1, 10_000), (257, 4, 1, 5_000), (258, 4, 1, 8), (259, 4, 1, 8)]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ([(tag, 4, 1, 0) for tag in range(300)], "picture too much work: "),
        ([(700, 1, 2**31, 8)], "picture too much work: "),
        ([*SIZE[:3], (259, 4, 1, 7)], "unknown compression: the picture is a TIFF of number 7. save it as a PNG"),
        (
            [*SIZE, (277, 4, 1, 3), (278, 4, 1, 5_000)],
            "picture too large: the picture unpacks 150,000,000 bytes at once",
        ),
        (
            [*SIZE, (322, 4, 1, 60_000), (323, 4, 1, 60_000)],
            "picture too large: the picture unpacks 3,600,000,000 bytes",
        ),
    ],
    ids=["tags", "bytes", "jpeg", "strip", "tile"],
)
def test_a_tiff_that_would_take_too_much_is_refused_before_it_is_decoded(
    tags: list[tuple[int, int, int, int]], told: str, order: str
) -> None:
    with pytest.raises(Under10kError) as caught:
        open_picture(tiff(*tags, order=order))
    assert str(caught.value).startswith(told)

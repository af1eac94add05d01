"""IDX files, sound and damaged, and the digits read from them."""

from __future__ import annotations

import gzip
import os
import struct
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch.utils.data import DataLoader

from under10k.data.datasets import Dataset
from under10k.data.digits import MAXIMUM_BYTES, Digits, normalise, read_digits, read_idx, write_idx
from under10k.errors import DataError, UsageError

MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all the examples that hypothesis tries."""
    return tmp_path_factory.mktemp("idx")


def idx(values: np.ndarray, code: int = 0x08) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, code, values.ndim, *values.shape) + values.tobytes()


def error_of(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_idx(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def peak_memory(action: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


SMALL = idx(np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28))


# --- reading and writing -----------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(
    arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=9)),
    st.sampled_from(["a", "a.gz"]),
)
def test_what_is_written_is_read_back(scratch: Path, values: np.ndarray, name: str) -> None:
    write_idx(scratch / name, values)
    back = read_idx(scratch / name)
    assert back.dtype == np.uint8
    assert back.shape == values.shape
    assert (back == values).all()


def test_a_name_without_gz_may_hold_a_gzip_and_the_other_way_round(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(SMALL))
    (tmp_path / "b.gz").write_bytes(SMALL)
    assert (read_idx(tmp_path / "a") == read_idx(tmp_path / "b.gz")).all()


def test_integers_are_read_in_the_byte_order_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(idx(np.array([[7, -2], [70_000, 0]], dtype=">i4"), code=0x0C))
    assert read_idx(tmp_path / "a").tolist() == [[7, -2], [70_000, 0]]


def test_only_bytes_are_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot write float64"):
        write_idx(tmp_path / "a", np.zeros(3))
    assert not list(tmp_path.iterdir())


def test_the_verifier_sees_the_whole_decompressed_file(tmp_path: Path) -> None:
    seen: dict[Path, bytes] = {}
    (tmp_path / "a.gz").write_bytes(gzip.compress(SMALL))
    read_idx(tmp_path / "a.gz", seen.__setitem__)
    assert seen == {tmp_path / "a.gz": SMALL}


# --- damage ------------------------------------------------------------------------------------------------------


def test_a_gzip_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(idx(np.zeros((2, 28, 28), np.uint8)), mtime=0)
    for length in range(len(whole)):
        error_of(tmp_path / "a.gz", whole[:length])


def test_a_plain_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = idx(np.zeros((1, 9, 9), np.uint8))
    for length in range(len(whole)):
        error_of(tmp_path / "a", whole[:length])


@settings(max_examples=200)
@given(st.data())
def test_a_changed_byte_of_a_gzip_is_refused_or_without_effect(scratch: Path, data: st.DataObject) -> None:
    whole = bytearray(gzip.compress(SMALL, mtime=0))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path = scratch / "changed.gz"
    path.write_bytes(whole)
    with suppress(DataError):
        assert idx(read_idx(path)) == SMALL  # the header's time stamp and the like


@settings(max_examples=200)
@given(st.sampled_from([b"", b"\0\0\x08", b"\0\0\x0c", b"\x1f\x8b\x08", b"\x1f\x8b\x08\0\0\0\0\0\0\0"]), st.binary())
def test_any_bytes_are_an_array_or_a_data_error(scratch: Path, start: bytes, rest: bytes) -> None:
    path = scratch / "any"
    path.write_bytes(start + rest)
    with suppress(DataError):
        assert read_idx(path).dtype in (np.uint8, np.int32)


def test_a_bad_crc_is_refused(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(SMALL))
    whole[-8] ^= 1
    assert "CRC" in error_of(tmp_path / "a.gz", bytes(whole))


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_more_than_the_header_promises_is_refused(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    assert "too long" in error_of(tmp_path / "a", compress(SMALL + b"x"))


def test_garbage_after_a_gzip_is_refused(tmp_path: Path) -> None:
    assert "unreadable" in error_of(tmp_path / "a.gz", gzip.compress(SMALL) + b"garbage")


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "empty file"), (gzip.compress(b"", mtime=0), "starts with nothing")],
    ids=["no bytes", "a gzip of none"],
)
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    assert told in error_of(tmp_path / "a.gz", content)


def test_a_gzip_of_countless_empty_ones_is_not_gone_through(tmp_path: Path) -> None:
    empty = gzip.compress(b"")
    for content in (empty * 5000 + gzip.compress(SMALL), gzip.compress(SMALL[:-1]) + empty * 5000):
        assert "more than 1,000 gzip files in one" in error_of(tmp_path / "a.gz", content)


def test_several_gzips_in_one_and_zeros_behind_them_are_read_as_one_file(tmp_path: Path) -> None:
    parts = b"".join(gzip.compress(SMALL[start : start + 100]) for start in range(0, len(SMALL), 100))
    (tmp_path / "a.gz").write_bytes(parts + bytes(100_000))
    assert idx(read_idx(tmp_path / "a.gz")) == SMALL


@pytest.mark.skipif(sys.platform == "win32", reason="devices of POSIX")
@pytest.mark.parametrize("name", ["/dev/zero", "/proc/kmsg", "pipe"])
def test_what_is_no_ordinary_file_is_refused_and_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / name
    if not path.exists():
        pytest.skip(f"there is no {name} here")
    with pytest.raises(DataError, match=r"not a file|empty file"):
        read_idx(path)


def test_a_file_that_is_no_gzip_is_refused(tmp_path: Path) -> None:
    assert "not an IDX file" in error_of(tmp_path / "a.gz", b"<!doctype html><title>Not here</title>")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: 1}, "not an IDX file"),
        ({2: 0x0D}, "not an IDX file"),  # floats
        ({3: 0}, "not an IDX file"),
        ({3: 4}, "not an IDX file"),
        ({7: 4}, "too short"),
        ({7: 2}, "too long"),
    ],
)
def test_a_wrong_header_is_refused(tmp_path: Path, change: dict[int, int], message: str) -> None:
    content = bytearray(SMALL)
    for where, value in change.items():
        content[where] = value
    assert message in error_of(tmp_path / "a", bytes(content))


def test_a_missing_file_and_a_folder_are_data_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_idx(tmp_path / "missing")
    with pytest.raises(DataError, match="unreadable file"):
        read_idx(tmp_path)


def test_two_billion_images_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    for compress in bytes, gzip.compress:
        content = compress(struct.pack(">HBB3I", 0, 0x08, 3, 2**31, 28, 28))
        assert peak_memory(lambda content=content: error_of(tmp_path / "a", content)) < MEBIBYTE  # type: ignore[misc]
        assert f"at most {MAXIMUM_BYTES:,}" in error_of(tmp_path / "a", content)


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    bomb = packer.compress(SMALL) + b"".join(packer.compress(bytes(MEBIBYTE)) for _ in range(100)) + packer.flush()
    assert peak_memory(lambda: error_of(tmp_path / "a.gz", bomb)) < MEBIBYTE
    assert "too long" in error_of(tmp_path / "a.gz", bomb)


# --- pairs of files ----------------------------------------------------------------------------------------------


def pair(folder: Path, images: np.ndarray, labels: np.ndarray) -> Digits:
    write_idx(folder / "images", images)
    write_idx(folder / "labels", labels)
    return read_digits(folder / "images", folder / "labels")


def blank(count: int) -> np.ndarray:
    return np.zeros((count, 28, 28), np.uint8)


def test_digits_keep_their_pixels_and_labels(small_folder: Path) -> None:
    images, labels = small_folder / "train-images-idx3-ubyte.gz", small_folder / "train-labels-idx1-ubyte.gz"
    digits = read_digits(images, labels)
    assert len(digits) == 60
    assert (digits.images.numpy() == read_idx(images)).all()
    assert (digits.labels.numpy() == read_idx(labels)).all()
    assert len(digits[10:30]) == 20


def test_both_counts_are_told_where_they_differ(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="5 images, 4 labels"):
        pair(tmp_path, blank(5), np.zeros(4, np.uint8))


@pytest.mark.parametrize("label", [10, 255])
def test_a_label_that_is_no_digit_is_told_with_its_place(tmp_path: Path, label: int) -> None:
    labels = np.zeros(5, np.uint8)
    labels[3] = label
    with pytest.raises(DataError, match=f"{label} at index 3"):
        pair(tmp_path, blank(5), labels)


def test_images_of_another_size_and_empty_sets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not digit images"):
        pair(tmp_path, np.zeros((5, 32, 32), np.uint8), np.zeros(5, np.uint8))
    with pytest.raises(DataError, match="no images"):
        pair(tmp_path, blank(0), np.zeros(0, np.uint8))


def test_swapped_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="wrong dimensions"):
        pair(tmp_path, np.zeros(5, np.uint8), blank(5))


def test_the_class_is_the_first_of_the_eight_columns_of_qmnist(tmp_path: Path) -> None:
    table = np.arange(40).reshape(5, 8) % 10
    (tmp_path / "labels").write_bytes(idx(table.astype(">i4"), code=0x0C))
    write_idx(tmp_path / "images", blank(5))
    assert read_digits(tmp_path / "images", tmp_path / "labels").labels.tolist() == [0, 8, 6, 4, 2]


def test_the_hash_tells_pixels_and_labels_apart() -> None:
    images, labels = torch.zeros(2, 28, 28, dtype=torch.uint8), torch.tensor([3, 4])
    one_pixel = images.clone()
    one_pixel[1, 27, 27] = 1
    hashes = {Digits(images, labels).sha256(), Digits(one_pixel, labels).sha256(), Digits(images, labels + 1).sha256()}
    assert len(hashes) == 3
    assert Digits(images.clone(), labels.clone()).sha256() in hashes


def test_images_are_normalised_to_one_channel() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).repeat(392).view(1, 28, 28)
    values = normalise(images)
    assert values.shape == (1, 1, 28, 28)
    assert [values.min().item(), values.max().item()] == pytest.approx([-0.1307 / 0.3081, 0.8693 / 0.3081])


@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 1, 28, 28)])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("numpy", [False, True])
def test_pixels_of_every_type_are_normalised_alike(shape: tuple[int, ...], kind: torch.dtype, numpy: bool) -> None:
    images = torch.zeros(shape, dtype=torch.uint8)
    images[0, ..., 0, 0] = 255
    given = images if kind == torch.uint8 else (images / 255).to(kind)
    values = normalise(given.numpy() if numpy else given)
    assert (values.dtype, values.shape) == (torch.float32, (3, 1, 28, 28))
    assert [values.min().item(), values.max().item()] == pytest.approx([-0.1307 / 0.3081, 0.8693 / 0.3081])


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (torch.full((2, 28, 28), -0.42), "not pixels: a value of -0.42. give pixels from 0 to 1 that are not normal"),
        (torch.full((2, 28, 28), 255.0), "not pixels: a float of 255. divide by 255, or give uint8"),
        (torch.full((2, 28, 28), torch.nan), "not pixels: a value of nan. give pixels from 0 to 1"),
        (torch.zeros(2, 28, 28, dtype=torch.int64), "not pixels: images of int64. give uint8"),
        (np.zeros((2, 28, 28), dtype=bool), "not pixels: images of bool. give uint8"),
        (torch.zeros(2, 32, 32), "not digit images: shape (2, 32, 32). give (N, 28, 28) or (N, 1, 28, 28)"),
        (torch.zeros(28, 28), "not digit images: shape (28, 28). give (N, 28, 28)"),
        ([[0.0]], "wrong type of images: list. give a tensor or array (N, 28, 28)"),
    ],
)
def test_what_is_no_pixels_is_not_normalised(images: Any, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        normalise(images)
    assert str(caught.value).startswith(told)


def test_no_images_are_normalised_to_none() -> None:
    assert normalise(torch.zeros(0, 28, 28)).shape == (0, 1, 28, 28)


def test_digits_are_a_data_set_that_a_data_loader_takes(dataset: Dataset) -> None:
    image, label = dataset.train[0]
    assert (image.shape, image.dtype, type(label)) == ((1, 28, 28), torch.float32, int)
    assert torch.equal(image, normalise(dataset.train.images[:1])[0])
    assert torch.equal(dataset.train[-1][0], dataset.train[len(dataset.train) - 1][0])
    images, labels = next(iter(DataLoader(dataset.train, batch_size=64)))  # type: ignore[arg-type]
    assert torch.equal(images, normalise(dataset.train.images[:64]))
    assert torch.equal(labels, dataset.train.labels[:64])
    assert len(list(dataset.test[:5])) == 5  # type: ignore[call-overload]
    assert isinstance(dataset.train[:3], Digits)
    with pytest.raises(IndexError, match=r"^no such digit: 384. there are 384"):
        dataset.train[384]


def test_digits_print_as_one_line(dataset: Dataset) -> None:
    assert repr(dataset.train) == "Digits(384 images, device='cpu')"

"""Digit images with their labels, and the IDX files they come in."""

from __future__ import annotations

import gzip
import math
import operator
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from under10k.errors import DataError, UsageError, wrong_type
from under10k.files import open_ordinary, sha256, write_atomically

SIDE = 28


CLASSES = 10


MEAN, STD = 0.1307, 0.3081
"""Mean and deviation of the pixels of MNIST's 60,000 training images, scaled to [0, 1]."""


MAXIMUM_BYTES = 256 * 2**20
"""Largest IDX file that is read; EMNIST's 240,000 training images are the largest known, at 188 MB."""


MAXIMUM_MEMBERS = 1000
"""Most members of a gzip file that are read; an empty one has only 20 bytes, and still takes work."""


_CHUNK = 2**16


_UINT8, _INT32 = 0x08, 0x0C


_DTYPES: dict[int, np.dtype] = {_UINT8: np.dtype(np.uint8), _INT32: np.dtype(">i4")}


@dataclass(frozen=True, repr=False)
class Digits:
    """A set of digit images, white on black, and what they show.

    `images` is uint8 (N, 28, 28), `labels` is int64 (N) with values 0 to 9; both lie on the same device. It is a data
    set that torch's `DataLoader` takes: an item is `(image, label)`, normalised float32 (1, 28, 28) and an int.
    """

    images: Tensor
    """uint8 (N, 28, 28)."""
    labels: Tensor
    """int64 (N), 0 to 9."""

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.shape[1:] != (SIDE, SIDE):
            raise DataError(
                f"not digit images: {self.images.dtype} {tuple(self.images.shape)}. "
                f"expected torch.uint8 (N, {SIDE}, {SIDE})"
            )
        if self.labels.dtype != torch.int64 or self.labels.dim() != 1:
            raise DataError(
                f"not labels: {self.labels.dtype} {tuple(self.labels.shape)}. expected torch.int64 of one dimension"
            )
        if len(self.images) != len(self.labels):
            raise DataError(
                f"images and labels differ in number: {len(self.images):,} images, {len(self.labels):,} labels. "
                "check that both files belong to the same set"
            )
        if len(self.images) == 0:
            raise DataError("no images: the set is empty. give at least one image")
        wrong = ((self.labels < 0) | (self.labels >= CLASSES)).nonzero()
        if len(wrong):
            index = int(wrong[0])
            raise DataError(f"label out of range: {int(self.labels[index])} at index {index}. labels are 0 to 9")

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, which: slice | Tensor) -> Digits: ...
    @overload
    def __getitem__(self, which: int) -> tuple[Tensor, int]: ...
    def __getitem__(self, which: int | slice | Tensor) -> Digits | tuple[Tensor, int]:
        """Return some of the digits; or one as a `DataLoader` wants it: normalised float32 (1, 28, 28), and its label.

        Raises:
            IndexError: there is no such digit.
        """
        if isinstance(which, slice | Tensor):
            return Digits(self.images[which], self.labels[which])
        place = operator.index(which)
        if not -len(self) <= place < len(self):  # a loop over a data set ends here
            raise IndexError(f"no such digit: {place}. there are {len(self):,}")
        return to_input(to_unit(self.images[place, None]))[0], int(self.labels[place])

    def __repr__(self) -> str:
        return f"Digits({len(self):,} images, device={str(self.images.device)!r})"

    def to(self, device: torch.device | str) -> Digits:
        """Return the same digits on another device."""
        return Digits(self.images.to(device), self.labels.to(device))

    def sha256(self) -> str:
        """Return the SHA-256 of the images' and labels' bytes: its identity in the records of a run."""
        return sha256(self.images.cpu().numpy().data, self.labels.to(torch.uint8).cpu().numpy().data)


def normalise(images: Tensor | NDArray[Any]) -> Tensor:
    """Turn digit images into what a network takes: float32 (N, 1, 28, 28), of mean 0 and deviation 1 over MNIST.

    From pixels between 0 and 1, 0.1307 is subtracted, and what is left is divided by 0.3081: mean and deviation of
    MNIST's training pixels. `images` is a tensor or array (N, 28, 28) or (N, 1, 28, 28), white on black: uint8 from 0
    to 255, or float from 0 to 1.

    Raises:
        UsageError: another shape or type, or a float below 0 or above 1: normalised already, or on a scale to 255.
    """
    return to_input(as_unit(images))


def to_input(pixels: Tensor) -> Tensor:
    """Normalise pixels without a check: float (B, 28, 28) in [0, 1] -> float (B, 1, 28, 28)."""
    return pixels.sub(MEAN).div_(STD).unsqueeze(1)


def as_unit(images: Tensor | NDArray[Any]) -> Tensor:
    """Check digit images of any type, and return them as float32 (N, 28, 28) in [0, 1].

    Raises:
        UsageError: they are none; it says what to give.
    """
    if not isinstance(images, Tensor | np.ndarray):
        raise wrong_type("images", images, f"a tensor or array (N, {SIDE}, {SIDE})")
    kind = str(images.dtype).removeprefix("torch.")
    if not (kind == "uint8" or "float" in kind):
        raise UsageError(f"not pixels: images of {kind}. give uint8 from 0 to 255, or float from 0 to 1")
    pixels = images if isinstance(images, Tensor) else torch.from_numpy(np.ascontiguousarray(images))
    shape = tuple(pixels.shape)
    if shape[1:] not in ((SIDE, SIDE), (1, SIDE, SIDE)):
        raise UsageError(
            f"not digit images: shape {shape}. give (N, {SIDE}, {SIDE}) or (N, 1, {SIDE}, {SIDE}); "
            "predict reads pictures of any size"
        )
    pixels = pixels.reshape(-1, SIDE, SIDE)
    if pixels.dtype == torch.uint8:
        return to_unit(pixels)
    if pixels.numel():
        low, high = (float(edge) for edge in pixels.aminmax())
        if low < 0 or not math.isfinite(low + high):
            raise UsageError(f"not pixels: a value of {low:g}. give pixels from 0 to 1 that are not normalised yet")
        if high > 1:
            raise UsageError(f"not pixels: a float of {high:g}. divide by 255, or give uint8")
    return pixels.to(torch.float32)


def to_unit(images: Tensor) -> Tensor:
    """Scale uint8 pixels in 0..255 to float32 in [0, 1]."""
    return images.to(torch.float32).div_(255)


def to_levels(unit: Tensor) -> Tensor:
    """Round floats in [0, 1] to uint8 pixels in 0..255: the reverse of `to_unit`."""
    return unit.mul(255).round_().to(torch.uint8)


def read_digits(images: Path, labels: Path, verify: Callable[[Path, bytes], None] | None = None) -> Digits:
    """Read a pair of IDX files, plain or gzip, into digits.

    `verify` is called with each path and its decompressed bytes before they are used, and raises if they are not
    the expected ones.

    Raises:
        DataError: a file is missing, damaged, of another kind, or the two do not belong together.
    """
    pixels = read_idx(images, verify)
    names = read_idx(labels, verify)
    if names.ndim == 2 and names.shape[1]:  # QMNIST: the class is the first of eight columns
        names = names[:, 0]
    if pixels.ndim != 3 or names.ndim != 1:
        raise DataError(
            f"wrong dimensions: {images} is {pixels.shape}, {labels} is {names.shape}. "
            "expected images (N, 28, 28) and labels (N)"
        )
    try:
        return Digits(torch.from_numpy(pixels), torch.from_numpy(names.astype(np.int64)))
    except DataError as error:
        raise DataError(f"{error} (read from {images}, {labels})") from None


def read_idx(path: Path, verify: Callable[[Path, bytes], None] | None = None) -> np.ndarray:
    """Read one IDX file, plain or gzip, of unsigned bytes or 32-bit integers.

    The format is a magic number, the dimensions, then the values, all big-endian (Y. LeCun's MNIST page). No more is
    decompressed than the header promises, so that a gzip bomb stays small.

    Raises:
        DataError: the file is missing, truncated, damaged, too long, or no IDX file.
    """
    try:
        with open_ordinary(path, MAXIMUM_BYTES, DataError) as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            file = Unzipped(raw) if zipped else raw
            header, dtype, shape = _read_header(path, file)
            size = int(np.prod(shape, dtype=object)) * dtype.itemsize
            if size > MAXIMUM_BYTES:
                raise DataError(f"file too large: {path} promises {size:,} bytes. at most {MAXIMUM_BYTES:,} are read")
            body = file.read(size)
            if len(body) < size:
                raise DataError(f"file too short: {path} promises {size:,} bytes, holds {len(body):,}. fetch it again")
            if file.read(1):
                raise DataError(f"file too long: {path} continues after the {size:,} bytes it promises. fetch it again")
    except FileNotFoundError:
        raise DataError(f"no such file: {path}. give a folder of four IDX files, or a known name") from None
    except PermissionError as error:
        raise DataError(
            f"unreadable file: {path} ({error.strerror}). make it readable, or give another folder"
        ) from None
    except zlib.error:
        raise DataError(f"unreadable file: {path} (a gzip whose data does not fit its CRC). fetch it again") from None
    except (EOFError, OSError) as error:
        raise DataError(f"unreadable file: {path} ({error}). fetch it again") from error
    if verify:
        verify(path, header + body)
    values = np.frombuffer(bytearray(body), dtype=dtype).reshape(shape)
    return values if dtype == np.uint8 else values.astype(np.int32)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Unzipped:
    """The content of a gzip file, decompressed as far as it is read; Python's own reader takes any number of members.

    Raises `EOFError` where the file is cut off, `zlib.error` where it is damaged.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw, self._packed, self._members = raw, b"", 0
        self._member = self._begin()

    def _begin(self) -> zlib._Decompress:
        self._members += 1
        if self._members > MAXIMUM_MEMBERS:
            raise OSError(f"more than {MAXIMUM_MEMBERS:,} gzip files in one")
        return zlib.decompressobj(wbits=31)

    def read(self, size: int, /) -> bytes:
        """Return so many bytes, or those that are left."""
        content = bytearray()
        while len(content) < size:
            if self._member.eof and not self._next():
                break
            self._packed = self._packed or self._raw.read(_CHUNK)
            part = self._member.decompress(self._packed, size - len(content))
            if not (self._packed or part or self._member.eof):
                raise EOFError("cut off before its end")
            content += part
            self._packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        return bytes(content)

    def _next(self) -> bool:
        """Go to the next member, past zeros that pad a block; False where there is none."""
        self._packed = self._packed.lstrip(b"\0")
        while not self._packed:
            if not (more := self._raw.read(_CHUNK)):
                return False
            self._packed = more.lstrip(b"\0")
        self._member = self._begin()
        return True


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write an array of unsigned bytes as an IDX file; a name that ends in `.gz` is compressed."""
    if values.dtype != np.uint8:
        raise DataError(f"cannot write {values.dtype} as IDX: {path}. give unsigned bytes")
    header = struct.pack(f">HBB{values.ndim}I", 0, _UINT8, values.ndim, *values.shape)
    content = header + values.tobytes()
    write_atomically(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _read_header(path: Path, file: _Readable) -> tuple[bytes, np.dtype, tuple[int, ...]]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or not 1 <= magic[3] <= 3:
        raise DataError(f"not an IDX file: {path} starts with {magic.hex() or 'nothing'}. expected 000008 or 00000c")
    sizes = file.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise DataError(f"file too short: {path} ends within its header. fetch it again")
    return magic + sizes, _DTYPES[magic[2]], struct.unpack(f">{magic[3]}I", sizes)

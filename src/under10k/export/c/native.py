"""Exported C, compiled and called from Python: to check it, and to time it."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from under10k.data import CLASSES, SIDE
from under10k.errors import Under10kError
from under10k.files import naming

FLAGS = ("-std=c99", "-O3")


def find_compiler() -> str | None:
    """Return the path of a C compiler: `$CC`, cc or gcc; None if there is none."""
    names = (os.environ.get("CC"), "cc", "gcc")
    return next((path for name in names if name and (path := shutil.which(name))), None)


class NativeModel:
    """An exported network, compiled and loaded into this process."""

    def __init__(self, files: Mapping[str, str], name: str, logit: str, flags: Sequence[str] = FLAGS) -> None:
        """Compile NAME.c, and load `NAME_predict` from it; its logits are of the C type `logit`.

        Raises:
            Under10kError: there is no compiler, it fails, or what it makes cannot be loaded.
        """
        self._dtype = np.dtype(np.float32 if logit == "float" else np.int32)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # Windows keeps what is loaded
            for file, text in files.items():
                with naming(Path(folder, file)):
                    Path(folder, file).write_text(text, encoding="utf-8")
            library = Path(folder, f"{name}.so")
            compile_c([Path(folder, f"{name}.c")], library, [*flags, "-shared", "-fPIC"])
            try:
                self._predict = getattr(ctypes.CDLL(str(library)), f"{name}_predict")
            except OSError as error:
                hint = "let CC compile for this machine, and TMPDIR be where programs may run"
                raise Under10kError(f"cannot load what the C compiler made: {error}. {hint}") from None

    def run(self, images: Tensor) -> NDArray[np.generic]:
        """Run images one by one: uint8 (N, 28, 28) -> logits float32 or int32 (N, 10)."""
        pixels = images.contiguous().numpy()
        assert pixels.dtype == np.uint8
        assert pixels.shape[1:] == (SIDE, SIDE)
        logits = np.empty((len(pixels), CLASSES), self._dtype)
        for image, row in zip(pixels, logits, strict=True):
            digit = self._predict(ctypes.c_void_p(image.ctypes.data), ctypes.c_void_p(row.ctypes.data))
            assert digit == row.argmax(), "the answer is the largest logit"
        return logits


def compile_c(sources: Sequence[Path], target: Path, flags: Sequence[str] = FLAGS) -> None:
    """Compile and link C files.

    Raises:
        Under10kError: there is no compiler, or it fails; the message quotes its first error.
    """
    compiler = find_compiler()
    if compiler is None:
        raise Under10kError("no C compiler: neither cc nor gcc is found. install one, or name yours in CC")
    command = [compiler, *flags, "-o", str(target), *map(str, sources), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")  # noqa: S603
    if done.returncode:
        lines = done.stderr.splitlines()
        told = next((line for line in lines if "error" in line), lines[0] if lines else "it says nothing")
        raise Under10kError(
            f"the C compiler fails: {compiler}, exit code {done.returncode}: {told}. try another: CC=gcc"
        )

"""What a run folder holds of its epochs and batches, read and distrusted."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from under10k.errors import ModelError, UsageError
from under10k.files import is_temporary, read_inside
from under10k.runs.records import Batch, Epoch, History
from under10k.typed import build

BATCHES_HEAD = ",".join(Batch._fields) + "\n"


class RunReader:
    """A run folder, for reading what a training has recorded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model_file = folder / "model.safetensors"
        self.curves_file = folder / "curves.png"
        self._recipe_file = folder / "recipe.json"
        self._environment_file = folder / "environment.json"
        self._metrics_file = folder / "metrics.jsonl"
        self._batches_file = folder / "batches.csv"
        self._result_file = folder / "result.json"
        self._checkpoints = folder / "checkpoint"

    @staticmethod
    def is_run(folder: Path) -> bool:
        """Tell whether a training has begun in the folder."""
        return (folder / "recipe.json").is_file()

    def is_unbegun(self) -> bool:
        """Tell whether the folder is empty but for a lock and what a training leaves that ends within `begin`."""
        names = {entry.name for entry in self.folder.iterdir()}
        names -= {name for name in names if name.startswith(".lock") or is_temporary(name)}
        if self._checkpoints.name not in names:  # which is made first: an environment.json alone is somebody else's
            return not names
        return names <= {self._environment_file.name, self._checkpoints.name} and not any(self._checkpoints.glob("*"))

    def history(self) -> list[Epoch]:
        """Return the epochs so far, up to a line that a killed process left half-written.

        Raises:
            ModelError: a complete line is not an epoch.
        """
        epochs = []
        for number, line in enumerate(self._read(self._metrics_file).splitlines(), start=1):
            try:
                written = json.loads(line)
            except (ValueError, RecursionError):
                break
            try:
                epochs.append(build(Epoch, written, "epoch", ignore_unknown=True))
            except UsageError as error:
                raise ModelError(
                    f"cannot read the metrics: {self._metrics_file}, line {number} ({error}). "
                    "use the under10k that wrote it, or train again"
                ) from None
        return epochs

    def batches(self) -> list[Batch]:
        """Return the steps so far, up to the last checkpoint.

        Raises:
            ModelError: the run was trained by a version that recorded none, or a line is not a batch.
        """
        if self.is_run(self.folder) and not self._batches_file.exists():
            raise ModelError(f"no batches: {self.folder} was trained by a version that recorded none. train it again")
        head, *lines = self._read(self._batches_file).splitlines(keepends=True) or [""]
        if lines and not lines[-1].endswith("\n"):
            del lines[-1]  # a killed process left it half-written
        if head != BATCHES_HEAD:
            raise ModelError(f"damaged file: {self._batches_file} does not begin with {BATCHES_HEAD.strip()}")
        return [self._parse_batch(line, number) for number, line in enumerate(lines, start=2)]

    def arrays(self) -> History:
        """Return epochs and batches so far, each column as an array.

        Raises:
            ModelError: the folder holds no run, or a record is damaged.
        """
        epochs = [astuple(epoch) for epoch in self.history()]
        return History(
            _columns([field.name for field in fields(Epoch)], epochs), _columns(Batch._fields, self.batches())
        )

    def _parse_batch(self, line: str, number: int) -> Batch:
        try:
            epoch, step, *values = line.split(",")
            loss, accuracy, rate = map(float, values)
            if not math.isfinite(loss + accuracy + rate):
                raise ValueError("not finite")
            return Batch(int(epoch), int(step), loss, accuracy, rate)
        except ValueError:
            raise ModelError(
                f"damaged file: {self._batches_file}, line {number} is not a batch. "
                "restore it from a copy, or train again"
            ) from None

    def _read(self, path: Path) -> str:
        try:
            return read_inside(path)
        except FileNotFoundError:
            raise no_run(self.folder, path.name) from None
        except NotADirectoryError:
            raise ModelError(f"not a run folder: {self.folder} is a file. give a run's folder") from None
        except OSError as error:
            raise ModelError(
                f"cannot read: {path} ({error.strerror}). give a run's folder, and see that it is readable"
            ) from None
        except UnicodeDecodeError:
            raise ModelError(f"damaged file: {path} is not text. train again") from None


def no_run(folder: Path, missing: str) -> ModelError:
    if not folder.exists():
        return ModelError(f"no such run folder: {folder}. check its name")
    if (folder / "plan.json").exists():
        return ModelError(f"a study, not a run: {folder}. give one of its runs, in {folder / 'runs'}")
    if folder.is_dir() and any(folder.iterdir()) and RunReader(folder).is_unbegun():
        return ModelError(
            f"no run yet: a training in {folder} ended before its first step. "
            f"begin it again: under10k train --out {shlex.quote(str(folder))}"
        )
    return ModelError(f"not a run folder: {folder} has no {missing}. give a run's folder")


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, NDArray[Any]]:
    """Turn rows into an array a column; numbers that are missing become NaN."""
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    return {name: _array(list(column)) for name, column in zip(names, columns, strict=True)}


def _array(values: list[Any]) -> NDArray[Any]:
    numbers = [value for value in values if value is not None]
    missing = np.nan if (numbers and isinstance(numbers[0], float)) or not numbers else None
    return np.array([missing if value is None else value for value in values])

"""A training on disk: its folder, its checkpoints, and the one door to weights."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from under10k.data import DataIdentity
from under10k.errors import ModelError, Under10kError, UsageError
from under10k.files import (
    naming,
    open_inside,
    refuse_links,
    sweep_temporaries,
    write_atomically,
    write_json,
)
from under10k.recipes import Recipe
from under10k.runs.reading import BATCHES_HEAD, RunReader
from under10k.runs.records import Batch, Epoch
from under10k.runs.result import Result
from under10k.typed import build
from under10k.weights import Facts, load_tensors, save_tensors, save_weights

KEPT_CHECKPOINTS = 2


_LONGEST_LINE = 200
"""Bytes that a line of `batches.csv` may have: far more than five numbers take."""


class Run(RunReader):
    """A run folder. `training` writes it; everything else only reads it."""

    def __init__(self, folder: Path, require_lock: Callable[[], None] = lambda: None) -> None:
        """`require_lock` is called before anything is saved that another process might be saving too, and may raise."""
        super().__init__(folder)
        self._require_lock = require_lock

    def refuse_links(self) -> None:
        """Refuse a folder with a link in it: writing to what it leads to could destroy anything.

        Raises:
            ModelError: there is one.
        """
        refuse_links(self.folder)

    def begin(self, recipe: Recipe, data: DataIdentity, environment: Mapping[str, Any]) -> None:
        """Record what is about to be trained; the recipe last, since it marks the folder as a run."""
        sweep_temporaries(self.folder)
        self._checkpoints.mkdir(exist_ok=True)
        write_json(self._environment_file, {**environment, "data": asdict(data)})
        write_atomically(self._recipe_file, recipe.to_json() + "\n", follow=False)

    def recipe(self) -> Recipe:
        """Return the run's recipe.

        Raises:
            ModelError: the folder holds no run, or its recipe is damaged.
        """
        try:
            return Recipe.from_json(self._read(self._recipe_file))
        except UsageError as error:
            raise ModelError(
                f"cannot read the recipe: {self._recipe_file} ({error}). "
                "use the under10k that wrote it, restore it from a copy, or train again"
            ) from None

    def environment(self) -> dict[str, Any]:
        """Return the versions, the machine and the data that the run was begun with."""
        return self._read_object(self._environment_file)

    def result(self) -> Result | None:
        """Return the run's result; None until it is finished."""
        if not self._result_file.exists():
            return None
        value = self._read_object(self._result_file)
        try:
            return build(Result, value, "result", ignore_unknown=True)
        except UsageError:
            raise ModelError(
                f"damaged result: {self._result_file}. remove it, then: {resume_command(self.folder)}"
            ) from None

    def data(self) -> DataIdentity:
        """Return which data the run was begun on.

        Raises:
            ModelError: its record is missing or damaged.
        """
        try:
            return build(DataIdentity, self.environment().get("data"), "data", ignore_unknown=True)
        except UsageError as error:
            raise ModelError(f"damaged file: {self._environment_file} names no data ({error}). train again") from None

    def write_history(self, epochs: list[Epoch]) -> None:
        """Replace all of `metrics.jsonl`."""
        write_atomically(self._metrics_file, "".join(map(_metrics_line, epochs)), follow=False)

    def append_epoch(self, epoch: Epoch) -> None:
        """Add one line to `metrics.jsonl`, flushed, so that it can be followed while the run goes on."""
        with naming(self._metrics_file), open_inside(self._metrics_file, "ab") as file:
            file.write(_metrics_line(epoch).encode())

    def write_batches(self, kept: int, batches: Sequence[Batch]) -> None:
        """Cut `batches.csv` down to the first `kept` batches, then add some.

        Raises:
            ModelError: there are fewer.
        """
        if kept:
            self._cut_batches(kept)
        else:
            write_atomically(self._batches_file, BATCHES_HEAD, follow=False)
        self.append_batches(batches)

    def _cut_batches(self, kept: int) -> None:
        damaged = ModelError(
            f"damaged file: {self._batches_file} does not hold the {kept:,} batches so far. "
            "restore it from a copy, or train anew"
        )
        if not self._batches_file.is_file():
            raise damaged
        with naming(self._batches_file), open_inside(self._batches_file, "r+b") as file:
            lines = (file.readline(_LONGEST_LINE) for _ in range(kept))
            if file.readline(_LONGEST_LINE) != BATCHES_HEAD.encode() or not all(line.endswith(b"\n") for line in lines):
                raise damaged
            file.truncate(file.tell())

    def append_batches(self, batches: Sequence[Batch]) -> None:
        """Add lines to `batches.csv`, forced to disk: the next checkpoint relies on them."""
        with naming(self._batches_file), open_inside(self._batches_file, "ab") as file:
            file.writelines(
                f"{b.epoch},{b.step},{b.loss:.9g},{b.accuracy:.9g},{b.learning_rate:.9g}\n".encode() for b in batches
            )
            file.flush()
            os.fsync(file.fileno())

    def write_result(self, result: Result) -> None:
        """Write `result.json`, which marks the run as finished."""
        write_json(self._result_file, result.to_dict())

    def save_checkpoint(self, epoch: int, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Save the state of a training, then drop all but the last two; the best weights so far are part of each.

        Raises:
            BusyError: the folder's lock is lost.
        """
        self._require_lock()
        path = self._checkpoints / f"epoch-{epoch:06}-step-{step:08}.safetensors"
        save_tensors(path, "checkpoint", tensors, facts, follow=False)
        for old in self._checkpoint_files()[KEPT_CHECKPOINTS:]:
            old.unlink()

    def load_checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the newest checkpoint that is whole, or None where none was written yet.

        Raises:
            ModelError: there are checkpoints, but none can be used; the error is the newest one's.
        """
        sweep_temporaries(self.folder)
        sweep_temporaries(self._checkpoints)
        fault: ModelError | None = None
        for path in self._checkpoint_files():
            try:
                return load_tensors(path, "checkpoint")
            except ModelError as error:
                fault = fault or error
        if fault:
            raise fault
        return None

    def save_model(self, model: nn.Module, facts: Facts) -> None:
        """Write the run's weights.

        Raises:
            BusyError: the folder's lock is lost.
        """
        self._require_lock()
        save_weights(self.model_file, model, asdict(facts), follow=False)

    def _checkpoint_files(self) -> list[Path]:
        """Newest first."""
        return sorted(self._checkpoints.glob("epoch-*.safetensors"), reverse=True)

    def _read_object(self, path: Path) -> dict[str, Any]:
        try:
            value = json.loads(self._read(path))
        except (ValueError, RecursionError) as error:
            raise ModelError(f"damaged file: {path} ({error}). train again") from None
        if not isinstance(value, dict):
            raise ModelError(f"damaged file: {path} holds no JSON object. train again")
        return value


def _metrics_line(epoch: Epoch) -> str:
    return json.dumps(asdict(epoch), allow_nan=False) + "\n"


def create_run_folder(recipe: Recipe, folder: Path | None) -> Path:
    """Make the folder of a new run: the one asked for, or the first free `runs/<recipe>-s<seed>`.

    Raises:
        Under10kError: it cannot be made or written.
    """
    try:
        if folder is None:
            return _next_free(Path("runs"), f"{recipe.name}-s{recipe.seed}")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Under10kError(
            f"cannot make a run folder: {folder or 'runs'} ({error.strerror}). choose another folder"
        ) from None
    if not os.access(folder, os.W_OK):
        raise Under10kError(f"cannot write to the run folder: {folder}. choose another folder")
    return folder


def check_unused(folder: Path) -> None:
    """Refuse a folder that exists and holds anything but a lock, or what a training left that never began.

    Raises:
        UsageError: it does; if that is a run, it says how to resume it.
    """
    if folder.is_dir() and not Run(folder).is_unbegun():
        remedy = f"continue it with: {resume_command(folder)}; or" if Run.is_run(folder) else "please"
        raise UsageError(f"run folder not empty: {folder}. {remedy} choose another folder")


def resume_command(folder: Path) -> str:
    """Return the command that resumes a run, ready to paste into a shell."""
    return f"under10k train --resume {shlex.quote(str(folder))}"


def _next_free(parent: Path, name: str) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1

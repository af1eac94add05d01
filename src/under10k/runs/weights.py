"""The one door to trained networks: bundled weights, run folders, weights files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from under10k.data import DATASETS
from under10k.errors import DataError, ModelError, UsageError
from under10k.models import DrawingFrom, create_model
from under10k.runs.folder import Run, no_run, resume_command
from under10k.typed import build
from under10k.weights import Facts, find_weights, list_weights, load_tensors, restore


def load_model(weights: str | Path) -> nn.Module:
    """Load a trained network, on the CPU and in evaluation mode.

    `weights` is a run folder, a weights file, or the name of weights that come along (`under10k.list_weights()`).

    Raises:
        ModelError: there is none, it is damaged, or its tensors do not fit its architecture.
        UsageError: the name of ours is that of a file or folder here, too.
    """
    return load_weights(weights)[0]


def load_weights(weights: str | Path) -> tuple[nn.Module, Facts]:
    """Load a network as `load_model` does, with the facts that were saved beside it."""
    path = _locate(weights)
    tensors, written = load_tensors(path, "weights")
    try:
        facts = build(Facts, written, "description", ignore_unknown=True)
        # fresh weights are drawn, then replaced: the caller's chance is kept
        with torch.inference_mode(False), torch.device("cpu"), DrawingFrom(torch.Generator()):
            model = create_model(facts.model, **asdict(facts.options))
    except UsageError as error:
        raise ModelError(f"cannot rebuild the model: {path} ({error}). use the under10k that wrote it") from None
    restore(model, tensors, str(path))
    return model.eval(), facts


def _locate(weights: str | Path) -> Path:
    """Return the file that the weights are in, wherever they come from."""
    path, ours = Path(weights), list_weights()
    if str(weights) in ours:
        if path.exists():
            raise UsageError(
                f"two meanings: {weights} comes along with under10k and is here, too. for that write ./{path}"
            )
        return find_weights(str(weights))
    try:
        if not path.exists():
            raise ModelError(
                f"no such weights: {path}. give a run folder, a weights file, or one of: {', '.join(ours)}"
            )
        if not path.is_dir():
            return path
        if not Run.is_run(path):
            raise no_run(path, "recipe.json")
        if Run(path).model_file.is_symlink():
            raise ModelError(f"a link in a run folder: {Run(path).model_file}. put what it leads to in its place")
        if not Run(path).model_file.exists():
            raise ModelError(f"run not finished: {path} has no weights yet. finish it with: {resume_command(path)}")
    except OSError as error:  # a name too long, or a folder that may not be looked into
        raise ModelError(f"cannot read: {path} ({error.strerror}). give a run folder or a weights file") from None
    return Run(path).model_file


def recorded_data(run: Path | None) -> str:
    """Return the data that a run was trained on; `auto` where there is no run.

    Raises:
        DataError: it was a folder, which is gone.
        ModelError: the run's record is damaged.
    """
    if run is None or not Run.is_run(run):
        return "auto"
    name = Run(run).data().name
    if name not in DATASETS and not Path(name).is_dir():
        raise DataError(f"the data of {run} is gone: {name}. give --data FOLDER")
    return name

"""Trainings of a second, and ways to break them off."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from under10k.recipes import Recipe, default
from under10k.runs.records import Batch, Position
from under10k.training.report import Report
from under10k.weights.sealed import load_tensors

THREADS = int(os.environ.get("TEST_THREADS", "1"))
"""How many PyTorch computes with: one, whatever the machine's cores; `make test-cpus` asks for two."""


def small(**changes: Any) -> Recipe:
    """Our own recipe, shortened, for the network that trains fastest: 2 epochs of 6 steps on the few digits."""
    return replace(default(), **{"model": "early", "epochs": 2, "batch_size": 64, "name": "small", **changes})


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def batches(run: Path) -> bytes:
    return (run / "batches.csv").read_bytes()


def same_tensors(run: Path, other: Path) -> bool:
    """Compare weights alone, of runs whose files also name different data."""
    ours, theirs = (load_tensors(folder / "model.safetensors", "weights")[0] for folder in (run, other))
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


class StopAt(Report):
    """Does something when a given step has ended."""

    def __init__(self, epoch: int, step: int, action: Callable[[], None]) -> None:
        self.where, self.action = (epoch, step), action

    def step(self, position: Position, batch: Batch) -> None:
        if (position.epoch, position.step) == self.where:
            self.action()


class KilledError(BaseException):
    """Stands for a process that is gone: nothing in the code catches it."""


def kill() -> None:
    raise KilledError

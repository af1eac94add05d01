"""Processes that are killed on purpose: as soon as they start, or in the middle of a training."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from under10k.training.report import Report

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class CountDown(Report):
    """Kills this process at a moment that counts: a step's end, or just before a call that changes the disk."""

    def __init__(self, moments: int) -> None:
        self.left = moments
        for name in ("open", "fsync", "replace", "unlink"):
            setattr(os, name, self._before(getattr(os, name)))

    def step(self, *_: object) -> None:
        self._tick()

    def _before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self._tick()
            return call(*arguments, **named)

        return counted

    def _tick(self) -> None:
        self.left -= 1
        if self.left < 0:
            die()


def train_until_killed(recipe: str, data: str, run: str, moments: int) -> None:
    """Begin a training in this process, or resume it, and be killed after so many moments."""
    import torch

    from short_runs import THREADS
    from under10k.recipes import Recipe
    from under10k.training.start import train

    torch.set_num_threads(THREADS)
    train(Recipe.from_json(recipe), data, run, Path(run).exists(), reports=[CountDown(moments)])


def study_until_killed(recipes: Sequence[str], data: str, folder: str, of_workers: bool, moments: int) -> None:
    """Begin a study in a session of its own, or go on with it; it or each of its workers is killed after moments."""
    os.setsid()
    import under10k.study.engines
    from under10k.recipes import Recipe
    from under10k.study.study import run_study

    if of_workers:
        under10k.study.engines._serve = partial(_serve_until_killed, moments)
    else:
        CountDown(moments)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)
    run_study([Recipe.from_json(recipe) for recipe in recipes], 2, data, folder, workers=2)


def _serve_until_killed(moments: int, pipe: Connection, threads: int) -> None:
    from under10k.study.engines import _serve

    CountDown(moments)
    _serve(pipe, threads)

"""Processes that do something to the same place at the same moment."""

from __future__ import annotations

import io
import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import BrokenBarrierError
from typing import Any
from unittest.mock import patch

from rich.console import Console

from under10k.errors import Under10kError
from under10k.recipes import Recipe

Outcome = tuple[int, str]
"""An exit code, and the error's line."""


def at_once(*calls: Callable[[], Any]) -> list[Outcome]:
    """Make each call in a process of its own, all from the same moment on; they must end, well or with an error."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["under10k.training.start"])
    outcomes = context.SimpleQueue()
    barriers = context.Barrier(len(calls)), context.Barrier(len(calls))
    processes = [context.Process(target=_call, args=(call, *barriers, outcomes)) for call in calls]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(calls)
    return sorted(outcomes.get() for _ in calls)


def _call(call: Callable[[], Any], start: Barrier, steps: Barrier, outcomes: SimpleQueue[Outcome]) -> None:
    import torch

    global _steps
    _steps = steps
    torch.set_num_threads(1)
    start.wait(60)
    try:
        call()
    except Under10kError as error:
        outcomes.put((error.exit_code, str(error)))
    else:
        outcomes.put((0, ""))


_steps: Barrier | None = None


def step_by_step(replace: Callable[[Path, Path], Path], folder: Path) -> Callable[[Path, Path], Path]:
    """Have processes put their files into a folder in step, one file each, unless something keeps them apart."""

    def in_step(source: Path, target: Path) -> Path:
        if _steps and Path(target).parent == folder:
            with suppress(BrokenBarrierError):
                _steps.wait(0.5)
        return replace(source, target)

    return in_step


def study(recipe: Recipe, data: Path, folder: Path) -> None:
    """Train a recipe under two seeds."""
    from under10k.study.report import StudyReport
    from under10k.study.study import run_study

    run_study([recipe], 2, data, folder, engine="serial", report=StudyReport(Console(file=io.StringIO())))


def export(to: str, weights: Path, out: Path, data: Path) -> None:
    """Export a network; C without the compiler's check, which takes its time."""
    from under10k.data.datasets import load_digits
    from under10k.export.c.folder import export_c
    from under10k.export.html import export_html
    from under10k.export.onnx import export_onnx
    from under10k.runs.weights import load_weights

    write = {"c": export_c, "html": export_html, "onnx": export_onnx}[to]
    in_step = patch.object(Path, "replace", step_by_step(Path.replace, out))
    with in_step, patch("under10k.export.c.folder.find_compiler", lambda: None):
        write(*load_weights(weights), out, "float", load_digits(data))


def plot(run: Path, out: Path) -> None:
    """Draw the curves of a run."""
    from under10k.plots import plot_curves, save_figure

    save_figure(plot_curves(run), out)

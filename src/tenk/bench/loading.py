"""`tenk bench load`: how long it takes until there is something to work with: the data, the weights, the program."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import safetensors.torch
import torch

from tenk.bench.plain import Pictures
from tenk.bench.timing import Findings, Spread, Timing, Track, Way, quietly, time_in_turn
from tenk.datasets import Dataset, load_digits
from tenk.digits import Digits
from tenk.errors import DataError
from tenk.models import create_model
from tenk.runs import describe_environment, load_model, save_weights

SAMPLE = 2000
"""Pictures that the plain way turns into tensors in a round; the time for all follows from theirs."""

MODEL = "gap"
"""The network whose weights are loaded."""


@dataclass(frozen=True)
class LoadRow:
    """One thing, loaded one way."""

    what: str
    """`data`, `weights` or `start`."""
    way: str
    seconds: Spread
    times_as_fast: Spread
    """Beside the first way to load the same thing, the plain one: time there divided by that here."""


def bench_loading(data: str = "auto", *, rounds: int = 5, track: Track = quietly) -> Findings:
    """Time how long data set, weights and program take to load, each beside the plain way.

    The files lie in the system's memory: what is timed is the reading and checking, not the disk.

    Raises:
        UsageError: the data set is unknown.
        DataError: the data cannot be read, or is drawn and not read at all.
    """
    dataset = load_digits(data)
    if dataset.name == "synthetic":
        raise DataError("nothing to load: synthetic digits are drawn, not read. give --data mnist, or a folder")
    with tempfile.TemporaryDirectory() as folder:
        timings = time_in_turn(_list_ways(dataset, Path(folder)), rounds, "loads", track)
    rows = build_rows(timings)
    columns = ("what", "way", "ms", "least", "most", "times as fast")
    cells = [
        (row.what, row.way, *(1000 * value for value in row.seconds.values()), row.times_as_fast.median) for row in rows
    ]
    return Findings(
        "load",
        describe_environment(torch.device("cpu")),
        {"name": dataset.name, "images": len(dataset.train) + len(dataset.test), "note": dataset.note},
        rounds,
        rows,
        [("\nloading", columns, cells)],
        [
            "times as fast: as the plain way of the same",
            "data, plain: a picture at a time through PIL, tensor and normalisation; files",
            f"not read, the time for all inferred from {SAMPLE:,} pictures",
        ],
    )


def build_rows(timings: Mapping[tuple[str, str], Timing]) -> list[LoadRow]:
    """Set each (what, way) beside the first of the same what."""
    plain: dict[str, Timing] = {}
    for (what, _), timing in timings.items():
        plain.setdefault(what, timing)
    return [
        LoadRow(what, way, timing.seconds(), timing.times_as_fast(plain[what]))
        for (what, way), timing in timings.items()
    ]


def _list_ways(dataset: Dataset, folder: Path) -> dict[tuple[str, str], Way]:
    """Return each way to load each thing, the plain one first."""
    path = folder / "model.safetensors"
    save_weights(path, create_model(MODEL), {"model": MODEL, "options": {}})
    count = len(dataset.train) + len(dataset.test)
    return {
        ("data", "plain"): partial(_time_pictures, dataset.train[:SAMPLE], count),
        ("data", "read and verified"): _timed(lambda: load_digits(dataset.name)),
        ("weights", "plain: safetensors"): _timed(lambda: _load_plainly(path)),
        ("weights", "read and verified"): _timed(lambda: load_model(path)),
        ("start", "plain: import torch"): _timed(lambda: _run_python("-c", "import torch")),
        ("start", "import tenk.training"): _timed(lambda: _run_python("-c", "import tenk.training")),
        ("start", "tenk train --help"): _timed(lambda: _run_python("-m", "tenk", "train", "--help")),
    }


def _timed(work: Callable[[], object]) -> Way:
    def run() -> list[float]:
        started = time.perf_counter()
        work()
        return [time.perf_counter() - started]

    return run


def _time_pictures(few: Digits, count: int) -> list[float]:
    """Turn a few pictures into tensors; return the seconds that so many would take."""
    pictures = Pictures(few)
    started = time.perf_counter()
    for index in range(len(pictures)):
        pictures[index]
    return [(time.perf_counter() - started) * count / len(pictures)]


def _load_plainly(path: Path) -> None:
    model = create_model(MODEL)
    model.load_state_dict(safetensors.torch.load_file(path))
    model.eval()


def _run_python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)  # noqa: S603 (our own commands)

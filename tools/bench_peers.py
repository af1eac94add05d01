"""Train the network `gap` with what people would use instead, beside under10k.

    python tools/bench_peers.py [ROUNDS]
    python tools/bench_peers.py --to-accuracy RUNS.jsonl

Run it with the Python of an environment that has the peers (pip install . lightning keras jax flax optax tinygrad
scikit-learn; tinygrad compiles with clang); one that is missing is left out, and said so. Each peer is a process of its
own on one core, and all take turns. Each trains the same network in batches of 128 with the same SGD, without dropout
or augmentation, the way its documentation shows for MNIST; scikit-learn, which has no convolutions, trains its own.
Counted is the processor's time, which other programs change less than the clock's.

The first command trains on noise, and counts an epoch of steps after one that warms up, and all that a process does
besides: imports, compilers. The second trains on MNIST until held-out accuracy reaches 99.0 %, and under10k's recipes
99.4 %; it counts all that a process does but scoring. It appends each finished run to the file, and does not repeat
those that are in it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from peers import BATCH, PEERS, RACERS

STEPS, ROUNDS = 60, 3
TARGETS, SEEDS, TRAINED = (0.99, 0.994), 3, 50_000
MODULES = {"pytorch": "torch", "scikit-learn": "sklearn"}
PACKAGES = ("torch", "lightning", "keras", "jax", "flax", "optax", "tinygrad", "scikit-learn")


class Reached(NamedTuple):
    """When a run first had an accuracy."""

    seconds: float
    epochs: int


def compare_rates(rounds: int) -> None:
    """Print a table: what an epoch of each takes, and how it compares with PyTorch's example in the same round."""
    names = list_installed(PEERS)
    taken: dict[str, list[list[float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            taken[name].append(start("--rate", name))
    print("| trained by | images/s | times as fast | least | most | start, seconds |\n|---|---:|---:|---:|---:|---:|")
    for name, rows in taken.items():
        ratios = sorted(theirs[0] / ours[0] for theirs, ours in zip(taken["pytorch"], rows, strict=True))
        rate, before = (statistics.median(column) for column in zip(*rows, strict=True))
        spread = f"{statistics.median(ratios):.2f} | {ratios[0]:.2f} | {ratios[-1]:.2f}"
        print(f"| {name} | {BATCH * STEPS / rate:,.0f} | {spread} | {before:.1f} |")
    print_versions(PEERS)


def compare_runs(file: Path) -> None:
    """Train each peer with each seed, one process a core, and print a table of all runs that the file then has."""
    from under10k.data import load_digits

    done = {(run["peer"], run["seed"]) for run in read_runs(file)}
    wanted = [(name, seed) for seed in range(SEEDS) for name in list_installed(RACERS) if (name, seed) not in done]
    cores = sorted(os.sched_getaffinity(0))
    each = iter(cores)
    with (
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(len(cores), initializer=lambda: os.sched_setaffinity(0, {next(each)})) as pool,
    ):
        digits = load_digits("mnist").train
        np.savez(f"{folder}/digits.npz", images=digits.images.numpy(), labels=digits.labels.numpy())

        def train(name: str, seed: int) -> None:
            run = start("--run", name, str(seed), f"{folder}/digits.npz")
            with file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(run) + "\n")

        list(pool.map(train, *zip(*wanted, strict=True)))
    print(tabulate(read_runs(file)))
    print_versions(RACERS)


def read_runs(file: Path) -> list[dict[str, Any]]:
    """Return the finished runs of a file, none where there is no file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def tabulate(runs: list[dict[str, Any]]) -> str:
    """Return a table: images a second, mean seconds to each target that runs go to, and epochs of each run.

    Images a second are those of the median epoch after a run's first, in which compilers are at work.
    """
    first, last = TARGETS
    columns = ("trained by", "images/s", *_columns(first), "times as fast", *_columns(last))
    lines = [f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
    peers = sorted({run["peer"] for run in runs}, key=list(RACERS).index)
    found = {peer: [run for run in runs if run["peer"] == peer] for peer in peers}
    for peer in peers:
        epochs = [end - begin for run in found[peer] for begin, end in itertools.pairwise(run["seconds"])]
        seeds = {run["seed"] for run in found[peer]}
        beside = [run for run in found.get("pytorch", []) if run["seed"] in seeds]
        mean, plain = mean_seconds(first, found[peer]), mean_seconds(first, beside)
        ratio = f"{plain / mean:.2f}" if mean and plain else "-"
        beyond = _cells(last, found[peer]) if goal_of(peer) == last else ("", "")
        rate = f"{TRAINED / statistics.median(epochs):,.0f}"
        lines.append(f"| {' | '.join((peer, rate, *_cells(first, found[peer]), ratio, *beyond))} |")
    return "\n".join(lines)


def _columns(target: float) -> tuple[str, str]:
    return f"seconds to {100 * target:.1f} %", "epochs"


def _cells(target: float, runs: list[dict[str, Any]]) -> tuple[str, str]:
    """Return the mean seconds of the runs to a target, and the epochs of each."""
    mean = mean_seconds(target, runs)
    reached = [reach(target, run) for run in runs]
    return f"{mean:.0f}" if mean else "-", ", ".join(str(each.epochs) if each else "-" for each in reached)


def goal_of(peer: str) -> float:
    """Return the accuracy at which a run ends."""
    return TARGETS[0] if peer in PEERS else TARGETS[1]


def reach(target: float, run: dict[str, Any]) -> Reached | None:
    """Return when a run first had an accuracy of `target`, if it did."""
    for epoch, (seconds, accuracy) in enumerate(zip(run["seconds"], run["accuracies"], strict=True), 1):
        if accuracy >= target:
            return Reached(seconds, epoch)
    return None


def mean_seconds(target: float, runs: list[dict[str, Any]]) -> float | None:
    """Return the mean of the runs to a target, or nothing unless all reached it: a mean of the others would flatter."""
    seconds = [reached.seconds for run in runs if (reached := reach(target, run))]
    return statistics.fmean(seconds) if seconds and len(seconds) == len(runs) else None


def list_installed(names: Iterable[str]) -> list[str]:
    """Return those whose packages this environment has, and the compiler they need."""
    modules = {name: MODULES.get(name, name.partition(",")[0]) for name in names}
    lacking = {"tinygrad"} if not shutil.which(os.environ.get("CC", "clang")) else set()
    return [name for name, module in modules.items() if importlib.util.find_spec(module) and name not in lacking]


def print_versions(names: Iterable[str]) -> None:
    """Print which packages were compared, and who is left out."""
    found = [name for name in PACKAGES if importlib.util.find_spec(MODULES.get(name, name))]
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in found))
    missing = sorted(set(names) - set(list_installed(names)))
    print("not installed: " + (", ".join(missing) or "none"))


def start(*arguments: str) -> Any:
    """Run this script in a process of its own, and return what its last line says."""
    command = [sys.executable, __file__, *arguments]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=alone)  # noqa: S603 (ourselves)
    if done.returncode:
        sys.exit(f"{arguments[1]}: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def rate_one(name: str) -> list[float]:
    """Return the processor's seconds of an epoch, and of what the process has done besides before it."""
    chance = np.random.default_rng(0)
    images = chance.integers(0, 256, (BATCH * STEPS, 28, 28), dtype=np.uint8)
    training = PEERS[name](images, chance.integers(0, 10, BATCH * STEPS), 0)
    training.epoch()
    began = processor_seconds()
    training.epoch()
    taken = processor_seconds() - began
    return [taken, began - taken]


def run_one(name: str, seed: int, file: str) -> dict[str, Any]:
    """Train until the goal is reached, or the epochs are over; the last images are held out, and scored."""
    with np.load(file) as digits:
        images, labels = digits["images"], digits["labels"]
    training = RACERS[name](images[:TRAINED], labels[:TRAINED], seed)
    scoring = 0.0
    seconds: list[float] = []
    accuracies: list[float] = []
    while len(seconds) < training.epochs and max(accuracies, default=0.0) < goal_of(name):
        training.epoch()
        began = processor_seconds()
        seconds.append(round(began - scoring, 2))
        read = np.concatenate([training.read(part) for part in np.split(images[TRAINED:], 10)])
        accuracies.append(float((read == labels[TRAINED:]).mean()))
        scoring += processor_seconds() - began
    return {"peer": name, "seed": seed, "seconds": seconds, "accuracies": accuracies}


def processor_seconds() -> float:
    """Return the processor's time since this process began, of compilers that it started, too."""
    parts = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(part.ru_utime + part.ru_stime for part in parts)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--to-accuracy", file]:
            compare_runs(Path(file))
        case [("--rate" | "--run") as what, name, *rest]:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
            print(json.dumps(rate_one(name) if what == "--rate" else run_one(name, int(rest[0]), rest[1])))
        case rounds:
            compare_rates(int(rounds[0]) if rounds else ROUNDS)

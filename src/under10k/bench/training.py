"""`under10k bench train`: each recipe beside the documented ones in the plain loop, by the epoch and by the run."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from under10k.bench.plain import train_plainly
from under10k.bench.timing import Findings, Spread, Timing, Track, Way, quietly, time_in_turn
from under10k.data import Dataset, Digits, load_digits, mixed_count
from under10k.errors import DataError, Under10kError
from under10k.machine import describe_environment, keep_freed_memory, pick_device
from under10k.models import Summary, network_of, summarise
from under10k.recipes import Recipe, get_recipe
from under10k.runs import Result, Run
from under10k.training import Trainer, batch_size_of, count_steps, trained_count

PLAIN_RECIPES = ("documented-transition", "documented-gap")
"""The recipes that the plain loop trains; the first is what everything is a ratio to."""


DEFAULT_RECIPES = (*PLAIN_RECIPES, "default", "fast")


STEPS = 32
"""Steps that are timed in a round."""


WHOLE_RUN_SECONDS = 60.0
"""How long all runs from process start to weights on disk may take together, by what their steps let expect."""


MATRIX_SIDE = 1024
"""Rows and columns of the matrices whose product is timed: large enough to keep all cores busy."""


@dataclass(frozen=True)
class TrainingRow:
    """Steps of one recipe, taken one way, and what they let expect of a whole run."""

    recipe: str
    way: str
    """`plain` or `under10k`."""
    epoch_seconds: Spread
    """For as many images as the data set trains on."""
    epoch_times_as_fast: Spread
    """The plain loop's epoch of `documented-transition` divided by this one."""
    images_per_second: float
    matrix_share: float
    """Arithmetic of the network's layers a second, as a fraction of the machine's rate at matrix products."""
    epochs: int
    """The most that the recipe trains."""
    stops_early: bool
    """Whether the recipe may end before that, so that its whole run takes `run_seconds` at most."""
    run_seconds: Spread
    """All steps of the recipe, without reading, scoring and saving."""
    run_times_as_fast: Spread
    """The plain loop's whole run of `documented-transition` divided by this one."""


@dataclass(frozen=True)
class ProcessRow:
    """One recipe, trained whole in a process of its own."""

    recipe: str
    way: str
    """`process`."""
    epochs: int
    run_seconds: Spread
    """From the start of the process to weights on disk: imports, reading and scoring included."""
    run_times_as_fast: Spread
    """The plain loop's whole run of `documented-transition`, its steps alone, divided by this one."""
    test_accuracy: float
    """That of the weights, a fraction."""
    protocol: str
    """How that accuracy came about."""


@dataclass(frozen=True)
class Plan:
    """What there is to be done in a recipe, on given data."""

    recipe: Recipe
    images: int
    """Images trained on in the whole run, each as often as it comes up."""
    operations: int
    """Additions and multiplications of the layers for one image in training."""


def bench_training(
    names: Sequence[str] = (),
    data: str = "auto",
    device: str = "auto",
    *,
    rounds: int = 5,
    track: Track = quietly,
) -> Findings:
    """Time steps of both documented recipes in the plain loop, then of each named recipe in ours, then whole runs.

    Steps are timed in turn, `rounds` times; reading the data, scoring and saving are left out on both sides. The
    recipes that promise to take less than a minute, all together, are then trained once, each in a process of its own.
    What our trainer asks of the allocator (`under10k.machine`) holds for the process, and so for the plain loop too.

    Raises:
        UsageError: a recipe or the device is unknown.
        DataError: the data cannot be read, or is too little for a step.
        Under10kError: a whole run failed.
    """
    recipes = {name: get_recipe(name) for name in dict.fromkeys(names or DEFAULT_RECIPES)}
    chosen = pick_device(device)
    dataset = load_digits(data)
    keep_freed_memory()
    plain = {name: get_recipe(name) for name in PLAIN_RECIPES}
    plans = {name: _plan(recipe, dataset) for name, recipe in {**plain, **recipes}.items()}
    ways: dict[tuple[str, str], Way] = {
        **{(name, "plain"): _plainly(recipe, dataset.train, chosen) for name, recipe in plain.items()},
        **{(name, "under10k"): _ours(recipe, dataset.train, chosen) for name, recipe in recipes.items()},
    }
    rate = matrix_rate(chosen)
    timings = time_in_turn(ways, rounds, "steps", track)
    rows = build_rows(timings, plans, len(dataset.train), rate)
    short = choose_whole_runs(rows)
    processes = [
        _process_row(*time_process(name, dataset.name, device), rows[0])
        for name in track(short, description="whole runs")
    ]
    return Findings(
        "train",
        {**describe_environment(chosen), "matrix_gflops": rate / 1e9},
        {"name": dataset.name, "images": len(dataset.train), "note": dataset.note},
        rounds,
        [*rows, *processes],
        _tables(rows, processes, len(dataset.train)),
        _notes(rows, processes, rate),
    )


def build_rows(
    timings: Mapping[tuple[str, str], Timing], plans: Mapping[str, Plan], epoch_images: int, rate: float
) -> list[TrainingRow]:
    """Work out each (recipe, way) from its seconds an image; the first is what the others are a ratio to.

    `rate` is the machine's, in floating-point operations a second.
    """
    (reference, _), plain = next(iter(timings.items()))
    rows = []
    for (name, way), timing in timings.items():
        plan, an_image = plans[name], timing.seconds().median
        rows.append(
            TrainingRow(
                recipe=name,
                way=way,
                epoch_seconds=timing.seconds(epoch_images),
                epoch_times_as_fast=timing.times_as_fast(plain),
                images_per_second=1 / an_image,
                matrix_share=plan.operations / an_image / rate,
                epochs=plan.recipe.epochs,
                stops_early=(plan.recipe.target_accuracy, plan.recipe.patience_epochs) != (None, None),
                run_seconds=timing.seconds(plan.images),
                run_times_as_fast=timing.times_as_fast(plain, plan.images, plans[reference].images),
            )
        )
    return rows


def choose_whole_runs(rows: Sequence[TrainingRow]) -> list[str]:
    """Return the recipes that can be run whole within the time for that, the shortest first."""
    left, chosen = WHOLE_RUN_SECONDS, []
    for row in sorted((row for row in rows if row.way == "under10k"), key=lambda row: row.run_seconds.median):
        left -= row.run_seconds.median
        if left > 0:
            chosen.append(row.recipe)
    return chosen


def time_process(recipe: str, data: str, device: str = "auto") -> tuple[float, Result]:
    """Train a recipe in a process of its own: seconds from its start to weights on disk, and its result.

    Raises:
        Under10kError: the process failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "run")
        options = ["--data", data, "--device", device, "--out", str(folder)]
        started = time.time()
        done = subprocess.run(  # noqa: S603 (our own command)
            [sys.executable, "-m", "under10k", "train", recipe, *options], capture_output=True, text=True, check=False
        )
        result = None if done.returncode else Run(folder).result()
        if result is None:
            reason = done.stderr.strip().rpartition("\n")[2] or f"it ended with exit code {done.returncode}"
            raise Under10kError(f"cannot time a whole run: under10k train {recipe}: {reason.removeprefix('error: ')}")
        # the result is written when the weights are safely on disk; the pictures come after both
        return (folder / "result.json").stat().st_mtime - started, result


def matrix_rate(device: torch.device, repeats: int = 20) -> float:
    """Measure the machine's best rate at float32 matrix products, in floating-point operations a second."""
    matrix = torch.rand(MATRIX_SIDE, MATRIX_SIDE, device=device)
    product = torch.empty_like(matrix)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        torch.mm(matrix, matrix, out=product)
        product[0, 0].item()  # waits for a GPU
        seconds.append(time.perf_counter() - started)
    return 2 * MATRIX_SIDE**3 / min(seconds)


def training_operations(summary: Summary) -> int:
    """Count a network's additions and multiplications for one image in training.

    Each layer does its forward arithmetic three times over, for its output and the gradients of its input and of its
    weights; the first layer needs no gradient of its input.
    """
    first = next(layer.macs for layer in summary.layers if layer.macs)
    return 2 * (3 * summary.macs - first)


def _plan(recipe: Recipe, data: Dataset) -> Plan:
    if len(data.train) < recipe.batch_size:
        raise DataError(
            f"too few images to time a step of {recipe.name}: {len(data.train)}. give at least {recipe.batch_size}"
        )
    images = mixed_count(recipe.mix, trained_count(recipe, len(data.train)))
    summary = summarise(network_of(recipe))
    return Plan(recipe, count_steps(recipe, images) * batch_size_of(recipe, images, 0), training_operations(summary))


def _plainly(recipe: Recipe, digits: Digits, device: torch.device) -> Way:
    few = _whole_batches(recipe, digits)
    return lambda: [train_plainly(recipe, few, device) / len(few)]


def _ours(recipe: Recipe, digits: Digits, device: torch.device) -> Way:
    """Return a way that trains one epoch of few images through the real trainer: its training time for one image."""
    few = _whole_batches(recipe, digits)
    one_epoch = replace(recipe, epochs=1, protocol="fixed", target_accuracy=None, patience_epochs=None)
    data = Dataset("bench", few, few[:1])

    def run() -> list[float]:
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(one_epoch, data, device, Run(Path(folder)))
            with closing(trainer.shards):
                trainer.begin(resume=False)
                trainer.fit()
            return [trainer.state.at.seconds["train"] / len(few)]

    return run


def _whole_batches(recipe: Recipe, digits: Digits) -> Digits:
    return digits[: recipe.batch_size * min(STEPS, len(digits) // recipe.batch_size)]


def _process_row(seconds: float, result: Result, plain: TrainingRow) -> ProcessRow:
    return ProcessRow(
        recipe=result.recipe,
        way="process",
        epochs=result.epochs,
        run_seconds=Spread.of([seconds]),
        run_times_as_fast=Spread.of(theirs / seconds for theirs in plain.run_seconds.values()),
        test_accuracy=result.test_accuracy,
        protocol=result.protocol,
    )


def _tables(
    rows: Sequence[TrainingRow], processes: Sequence[ProcessRow], epoch_images: int
) -> list[tuple[str, Sequence[str], list[list[object]]]]:
    ratio = ("times as fast", "least", "most")
    both: list[TrainingRow | ProcessRow] = [*rows, *processes]
    epochs: list[list[object]] = [
        [
            f"{row.recipe}, {row.way}",
            row.epoch_seconds.median,
            round(row.images_per_second),
            100 * row.matrix_share,
            *row.epoch_times_as_fast.values(),
        ]
        for row in rows
    ]
    runs: list[list[object]] = [
        [f"{row.recipe}, {row.way}", row.epochs, row.run_seconds.median, *row.run_times_as_fast.values()]
        for row in both
    ]
    return [
        (f"\nan epoch of {epoch_images:,} images", ("training", "seconds", "images/s", "matrix %", *ratio), epochs),
        ("\na whole run", ("training", "epochs", "seconds", *ratio), runs),
    ]


def _notes(rows: Sequence[TrainingRow], processes: Sequence[ProcessRow], rate: float) -> list[str]:
    early = sorted({row.recipe for row in rows if row.stops_early})
    whole = {row.recipe for row in processes}
    left = [row.recipe for row in rows if row.way == "under10k" and row.recipe not in whole]
    return [
        f"matrix %: of {rate / 1e9:,.0f} GFLOP/s, this machine's rate at matrix products",
        f"times as fast: as {rows[0].recipe}, plain; least and most of the rounds",
        "a whole run: inferred from its number of steps; no reading and no scoring",
        *(f"{name}: at most; it stops where it reaches its target" for name in early),
        *(
            f"{row.recipe}, process: run once, start to weights on disk; "
            f"{row.test_accuracy:.2%}, {row.protocol} protocol"
            for row in processes
        ),
        *([f"not run whole, which would take more than a minute in all: {', '.join(left)}"] if left else []),
    ]

"""`tenk bench infer`: how many images each network reads a second, and how long it takes for one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from tenk.bench.plain import predict_plainly
from tenk.bench.timing import Findings, Spread, Timing, Track, Way, quietly, time_in_turn
from tenk.datasets import load_digits
from tenk.device import pick_device
from tenk.digits import Digits
from tenk.evaluation import predict_logits
from tenk.models import create_model, list_models
from tenk.runs import describe_environment

IMAGES = 10_000
"""Images read in batches, in one go."""

CALLS = 100
"""Single images read in a round."""


@dataclass(frozen=True)
class Reading:
    """A way of reading digits: as many images in a call, a number of calls in a row."""

    predict: Callable[[Digits], Tensor]
    """Digits on the CPU -> logits float32 (N, 10) on the CPU."""
    images: int
    """Images a call."""
    calls: int
    """Calls in a round."""
    threads: int
    """CPU threads that torch may use."""


@dataclass(frozen=True)
class InferenceRow:
    """One network, reading digits in one way."""

    model: str
    way: str
    threads: int
    images_a_call: int
    images_per_second: Spread
    times_as_fast: Spread
    """Beside the plain way of the same network: time for an image there divided by that here."""
    milliseconds_a_call: float
    """The median."""
    milliseconds_a_call_95: float | None
    """What 95 % of all calls stay within; None for a batch, of which there are too few."""


def bench_inference(
    names: Sequence[str] = (),
    data: str = "auto",
    device: str = "auto",
    *,
    rounds: int = 5,
    track: Track = quietly,
) -> Findings:
    """Time how fast networks read the test images, in batches and one by one, beside the plain way.

    Weights are fresh ones: what they are takes no part in the time.

    Raises:
        UsageError: a network or the device is unknown.
        DataError: the data cannot be read.
    """
    models = {name: create_model(name).eval() for name in dict.fromkeys(names or list_models())}
    chosen = pick_device(device)
    dataset = load_digits(data)
    digits = dataset.test[:IMAGES]
    readings = {
        (name, way): reading
        for name, model in models.items()
        for way, reading in list_readings(model.to(chosen), len(digits)).items()
    }
    ways: dict[tuple[str, str], Way] = {key: partial(_time, reading, digits) for key, reading in readings.items()}
    rows = build_rows(time_in_turn(ways, rounds, "images", track), readings)
    columns = ("network", "way", "images/s", "times as fast", "least", "most", "ms", "95 % ms")
    return Findings(
        "infer",
        describe_environment(chosen),
        {"name": dataset.name, "images": len(digits), "note": dataset.note},
        rounds,
        rows,
        [("\nreading digits", columns, [_cells(row) for row in rows])],
        [
            "plain: a picture at a time through PIL, tensor, normalisation and network",
            "times as fast: as plain on the same network, with least and most of the rounds",
            "batches: of 500 images, as tenk evaluate reads them",
            "ms: for one image, the median and what 95 % of all stay within",
        ],
    )


def list_readings(model: nn.Module, batch: int) -> dict[str, Reading]:
    """Return the ways to read digits with a network, the plain one first; all give the same logits."""
    threads = torch.get_num_threads()
    device = next(model.parameters()).device

    def predict(digits: Digits) -> Tensor:
        return predict_logits(model, digits.images.to(device))

    readings = {
        "plain": Reading(partial(predict_plainly, model), 1, CALLS, threads),
        "batches": Reading(predict, batch, 1, threads),
        "one image": Reading(predict, 1, CALLS, threads),
    }
    return readings if threads == 1 else {**readings, "one, 1 thread": Reading(predict, 1, CALLS, 1)}


def build_rows(
    timings: Mapping[tuple[str, str], Timing], readings: Mapping[tuple[str, str], Reading]
) -> list[InferenceRow]:
    """Work out each (network, way) from its seconds a call."""
    rows = []
    for (name, way), timing in timings.items():
        reading = readings[name, way]
        rows.append(
            InferenceRow(
                model=name,
                way=way,
                threads=reading.threads,
                images_a_call=reading.images,
                images_per_second=Spread.of(reading.images / seconds for seconds in timing.means),
                times_as_fast=timing.times_as_fast(timings[name, "plain"], 1 / reading.images),
                milliseconds_a_call=1000 * timing.percentile(50),
                milliseconds_a_call_95=1000 * timing.percentile(95) if reading.images == 1 else None,
            )
        )
    return rows


def _time(reading: Reading, digits: Digits) -> list[float]:
    """Make the calls of one round, each on the next images, and return the seconds of each."""
    seconds = []
    with _threads(reading.threads):
        reading.predict(digits[:1])  # starts the threads, which the other ways may have stopped
        for call in range(reading.calls):
            first = call * reading.images % len(digits)
            few = digits[first : first + reading.images]
            started = time.perf_counter()
            reading.predict(few)
            seconds.append(time.perf_counter() - started)
    return seconds


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cells(row: InferenceRow) -> list[object]:
    rate = round(row.images_per_second.median)
    one = row.images_a_call == 1
    times = (row.milliseconds_a_call, row.milliseconds_a_call_95) if one else (None, None)
    return [row.model, row.way, rate, *row.times_as_fast.values(), *times]

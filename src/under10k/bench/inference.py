"""`under10k bench infer`: how many images each network reads a second, and how long it takes for one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor, nn

from under10k.bench.plain import predict_plainly
from under10k.bench.timing import Findings, Spread, Timing, Track, Way, quietly, time_in_turn
from under10k.data import Digits, load_digits
from under10k.errors import UsageError, missing_library
from under10k.evaluation import predict_logits
from under10k.export import OnnxModel, build_c, convert_to_onnx, find_compiler, find_missing
from under10k.machine import describe_environment, pick_device
from under10k.models import create_model, list_models
from under10k.weights import Facts

IMAGES = 10_000
"""Images read in batches, in one go."""


CALLS = 100
"""Single images read in a round."""


Predict = Callable[[Digits], Tensor]
"""Digits on the CPU -> logits float32 (N, 10) on the CPU."""


Export = Callable[[nn.Module], Predict]
"""Takes a network out of PyTorch, and runs it there."""


@dataclass(frozen=True)
class Reading:
    """A way of reading digits: as many images in a call, a number of calls in a row."""

    predict: Predict
    images: int
    """Images a call."""
    calls: int
    """Calls in a round."""
    threads: int
    """CPU threads that may be used."""
    beside: str = "plain"
    """The way whose time it is compared with."""


@dataclass(frozen=True)
class InferenceRow:
    """One network, reading digits in one way."""

    model: str
    way: str
    threads: int
    images_a_call: int
    images_per_second: Spread
    beside: str
    """The way of the same network that it is compared with."""
    times_as_fast: Spread
    """Time for an image there divided by that here."""
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
    exports, absent = _list_exports() if chosen.type == "cpu" else ({}, [])
    readings = {
        (name, way): reading
        for name, model in models.items()
        for way, reading in list_readings(model.to(chosen), len(digits), exports).items()
    }
    ways: dict[tuple[str, str], Way] = {key: partial(_time, reading, digits) for key, reading in readings.items()}
    rows = build_rows(time_in_turn(ways, rounds, "images", track), readings)
    columns = ("network", "way", "images/s", "times as fast", "least", "most", "ms", "95 % ms")
    tables = [
        (title, columns, [_cells(row) for row in rows if (row.beside == "plain") == is_plain])
        for title, is_plain in (("\nreading digits", True), ("\non one thread, beside PyTorch", False))
    ]
    return Findings(
        "infer",
        describe_environment(chosen),
        {"name": dataset.name, "images": len(digits), "note": dataset.note},
        rounds,
        rows,
        [table for table in tables if table[2]],
        [
            "plain: a picture at a time through PIL, tensor, normalisation and network",
            "times as fast: as plain, or PyTorch on one thread, on the same network, with least and most of the rounds",
            "batches: of 500 images, as under10k evaluate reads them; C reads one after the other",
            "ms: for one image, the median and what 95 % of all stay within",
            *absent,
        ],
    )


def list_readings(
    model: nn.Module, batch: int, exports: Mapping[str, Export] = MappingProxyType({})
) -> dict[str, Reading]:
    """Return the ways to read digits with a network, the plain one first; all give the same logits.

    Where there are exports, each is a way on one thread, beside PyTorch on one.
    """
    threads = torch.get_num_threads()
    device = next(model.parameters()).device

    def predict(digits: Digits) -> Tensor:
        return predict_logits(model, digits.images.to(device))

    readings = {
        "plain": Reading(partial(predict_plainly, model), 1, CALLS, threads),
        "batches": Reading(predict, batch, 1, threads),
        "one image": Reading(predict, 1, CALLS, threads),
    }
    runs: dict[str, Predict] = {"torch": predict} if exports else {}
    for name, export in exports.items():
        with contextlib.suppress(UsageError):  # of a network that it cannot express
            runs[name] = export(model)
    for name, run in runs.items():
        readings[f"{name} batches"] = Reading(run, batch, 1, 1, beside="torch batches")
        readings[f"{name} one"] = Reading(run, 1, CALLS, 1, beside="torch one")
    return readings


def _list_exports() -> tuple[dict[str, Export], list[str]]:
    """Return what can be run here beside PyTorch, and a note on each that cannot."""
    exports: dict[str, Export] = {}
    absent = []
    if missing := find_missing():
        absent.append(f"no ONNX Runtime: {missing_library(missing, 'export')}")
    else:
        exports["ONNX"] = _export_onnx
    if find_compiler() is None:
        absent.append("no C: neither cc nor gcc is found. install one, or name yours in CC")
    else:
        exports["C"] = _export_c
    return exports, absent


def _export_onnx(model: nn.Module) -> Predict:
    exported = OnnxModel(convert_to_onnx(model, {})[0], threads=1)
    return lambda digits: exported.run(digits.images)


def _export_c(model: nn.Module) -> Predict:
    exported = build_c(model, Facts("bench"), "float").compile()
    return lambda digits: torch.from_numpy(exported.run(digits.images))


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
                beside=reading.beside,
                times_as_fast=timing.times_as_fast(
                    timings[name, reading.beside], 1 / reading.images, 1 / readings[name, reading.beside].images
                ),
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

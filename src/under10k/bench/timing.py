"""Timing several ways of the same work in turn, and what a benchmark hands back."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)


T = TypeVar("T")


Way = Callable[[], Sequence[float]]
"""Does its work once or several times, and returns the seconds that each took."""


class Track(Protocol):
    """Hands on each piece of work in turn, and may show how far it has come: rich's `Progress.track`."""

    def __call__(self, work: Sequence[T], /, *, description: str) -> Iterable[T]:
        """Yield each piece of work; `description` says in a word what it is."""


def quietly(work: Sequence[T], /, *, description: str) -> Iterable[T]:
    """Show nothing: a `Track`."""
    return work


@dataclass(frozen=True)
class Spread:
    """A quantity as it came out over the rounds."""

    median: float
    least: float
    most: float

    @staticmethod
    def of(values: Iterable[float]) -> Spread:
        """Return the spread of at least one value."""
        given = sorted(values)
        return Spread(statistics.median(given), given[0], given[-1])

    def values(self) -> tuple[float, float, float]:
        """Return median, least and most."""
        return self.median, self.least, self.most


@dataclass(frozen=True)
class Timing:
    """What one way took: seconds for the same unit of work, several samples in each round."""

    rounds: Sequence[Sequence[float]]

    @property
    def means(self) -> list[float]:
        """The mean of each round's samples."""
        return [statistics.fmean(samples) for samples in self.rounds]

    def seconds(self, units: float = 1) -> Spread:
        """Return the seconds for so many units of work, over the rounds."""
        return Spread.of(units * mean for mean in self.means)

    def percentile(self, percent: int) -> float:
        """Return the time that so many per cent, 1 to 99, of all samples stay within."""
        samples = [sample for one_round in self.rounds for sample in one_round]
        return statistics.quantiles(samples, n=100, method="inclusive")[percent - 1] if samples[1:] else samples[0]

    def times_as_fast(self, plain: Timing, units: float = 1, plain_units: float = 1) -> Spread:
        """Return how many times as fast as the plain way of the same rounds: its seconds divided by these."""
        pairs = zip(plain.means, self.means, strict=True)
        return Spread.of(plain_units * theirs / (units * ours) for theirs, ours in pairs)


@dataclass(frozen=True)
class Findings:
    """What a benchmark found, for people and for programs."""

    bench: str
    """`train` or `infer`."""
    machine: Mapping[str, Any]
    data: Mapping[str, Any]
    rounds: int
    rows: Sequence[Any]
    """Dataclasses, for JSON."""
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[object]]]]
    """For people: title, columns, cells."""
    notes: Sequence[str] = ()
    """For people: what stands below the tables, a line each."""

    def heading(self) -> list[str]:
        """Return where and on what it was found, a line each."""
        machine, data = self.machine, self.data
        return [
            f"{machine['device_name']}, threads: {machine['threads']}, torch {machine['torch']}",
            f"data {data['name']}, {data['images']:,} images; medians over the rounds: {self.rounds}",
            *([data["note"]] if data["note"] else []),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the tables as plain values, for JSON."""
        return {
            "bench": self.bench,
            "machine": dict(self.machine),
            "data": dict(self.data),
            "rounds": self.rounds,
            "rows": [asdict(row) for row in self.rows],
        }


def time_in_turn(ways: Mapping[K, Way], rounds: int, description: str, track: Track = quietly) -> dict[K, Timing]:
    """Time each way once a round, one after the other, so that what slows the machine down slows all of them.

    A first round warms up and is not counted.
    """
    taken: dict[K, list[Sequence[float]]] = {key: [] for key in ways}
    for number, key in track([(number, key) for number in range(rounds + 1) for key in ways], description=description):
        samples = ways[key]()
        if number > 0:
            taken[key].append(samples)
    return {key: Timing(samples) for key, samples in taken.items()}

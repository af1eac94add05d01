"""What `tenk evaluate` finds out about trained weights, and keeps: figures and pictures in one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenk.corruptions import CORRUPTIONS
from tenk.datasets import Dataset, load_digits
from tenk.device import pick_device
from tenk.evaluation import CorruptionScore, Metrics, evaluate, evaluate_corruptions, mean_corruption_accuracy
from tenk.files import write_json
from tenk.runs import load_weights, recorded_data

Track = Callable[[Sequence[str]], Iterable[str]]
"""Hands on each piece of work in turn, and may show how far it has come."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What trained weights are worth on the test images of a data set."""

    data: Dataset
    metrics: Metrics
    corruptions: Sequence[CorruptionScore]
    """Scores on corrupted images; none where they were not asked for."""
    protocol: str | None
    """The protocol that the weights were trained under; None where they were trained on other data than this."""
    folder: Path
    """Where figures and pictures belong by default."""

    @property
    def without_disputed(self) -> Metrics | None:
        """The metrics without MNIST's disputed labels; None on other data."""
        return self.metrics.without_disputed(self.data.test)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        disputed = self.without_disputed
        return {
            "data": self.data.name,
            "note": self.data.note,
            "protocol": self.protocol,
            **self.metrics.to_dict(),
            "without_disputed": disputed and disputed.to_dict(),
            "mean_corruption_accuracy": mean_corruption_accuracy(self.corruptions) if self.corruptions else None,
            "corruptions": [score.to_dict() for score in self.corruptions] or None,
        }

    def save(self, folder: str | Path | None = None) -> Path:
        """Write `metrics.json` and the pictures into a folder, by default `self.folder`, and return it.

        Raises:
            OSError: the folder cannot be made or written to.
        """
        from tenk.plots import save_confusion, save_corruption_examples, save_corruptions, save_misread

        place = self.folder if folder is None else Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        write_json(place / "metrics.json", self.to_dict())
        save_confusion(self.metrics, place / "confusion.png")
        save_misread(self.metrics, self.data.test, place / "misread.png")
        if self.corruptions:
            save_corruptions(self.metrics.interval, self.corruptions, place / "corruptions.png")
            save_corruption_examples(self.data.test.images[0], place / "corruptions-examples.png")
        return place


def evaluate_run(
    weights: str | Path,
    data: str | Path | Dataset | None = None,
    out: str | Path | None = None,
    *,
    corruptions: bool = False,
    device: str = "auto",
    track: Track = lambda names: names,
) -> Evaluation:
    """Score trained weights on test images: those of `data`, by default those of the data they were trained with.

    `weights` is a run folder, a weights file, or the name of bundled weights. `out` is the folder that figures and
    pictures are written into; without it nothing is written until `Evaluation.save`. `corruptions` has the weights
    scored on corrupted images too, each kind handed through `track`.

    Raises:
        UsageError: the device or the data set is unknown.
        DataError: the data is missing or damaged.
        ModelError: the weights are missing or damaged.
        OSError: `out` cannot be written to.
    """
    place = Path(weights)
    model, facts = load_weights(weights)
    digits = data if isinstance(data, Dataset) else load_digits(data or recorded_data(place))
    metrics = evaluate(model.to(pick_device(device)), digits.test)
    scores = evaluate_corruptions(model, digits.test, track(tuple(CORRUPTIONS))) if corruptions else []
    found = Evaluation(
        digits,
        metrics,
        scores,
        facts.get("protocol") if facts.get("data_sha256") == digits.sha256() else None,
        place / "evaluation" if place.is_dir() else Path(f"{place.stem}-evaluation"),
    )
    if out is not None:
        found.save(out)
    return found

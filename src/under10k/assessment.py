"""What `under10k evaluate` measures and saves: figures and pictures in one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from under10k.data import Dataset, DataSource, DigitSource, as_dataset, as_test_digits
from under10k.errors import UsageError
from under10k.evaluation import (
    CORRUPTIONS,
    CorruptionScore,
    Metrics,
    mean_corruption_accuracy,
)
from under10k.evaluation import evaluate as _evaluate
from under10k.evaluation import evaluate_corruptions as _evaluate_corruptions
from under10k.files import as_path, require_folder, write_json, writing_together
from under10k.machine import pick_device
from under10k.recipes import ViewCount
from under10k.runs import as_network, load_weights, recorded_data


def evaluate(model: nn.Module | str | Path, digits: DataSource | DigitSource) -> Metrics:
    """Score a network on labelled digits, which lie on its device or are moved there.

    `model` is a network, or what `load_model` takes. `digits` are `Digits`, a pair (images, labels) of arrays or
    tensors, or a torch data set of (image, label); of a `Dataset`, or of one by its name or folder, the test images.

    Raises:
        UsageError: the data set is unknown, or the digits are none.
        DataError: the data is missing or damaged.
        ModelError: the weights are missing or damaged.
    """
    return _evaluate(as_network(model), as_test_digits(digits))


def evaluate_corruptions(
    model: nn.Module | str | Path,
    digits: DataSource | DigitSource,
    names: str | Iterable[str] = tuple(CORRUPTIONS),
    seed: int = 0,
) -> list[CorruptionScore]:
    """Score a network on labelled digits under each corruption at each of its strengths.

    Chance starts from `seed` each time: a digit is pushed the same way at each strength, only further, and a score does
    not depend on which others are asked for. All else is as with `evaluate`.

    Raises:
        UsageError: no corruption has one of the names.
    """
    asked = [names] if isinstance(names, str) else names
    return _evaluate_corruptions(as_network(model), as_test_digits(digits), asked, seed)


PICTURES = ("confusion.png", "misread.png", "corruptions.png", "corruptions-examples.png")
"""Every picture that an evaluation may draw."""


Track = Callable[[Sequence[str]], Iterable[str]]
"""Yields each piece of work in turn, and may show progress."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How trained weights score on the test images of a data set."""

    data: Dataset
    """What was tested on."""
    metrics: Metrics
    """Scores on its test images."""
    corruptions: Sequence[CorruptionScore]
    """Scores on corrupted images; empty unless asked for."""
    views: int
    """Over how many views of an image the logits are averaged."""
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
            "views": self.views,
            "protocol": self.protocol,
            **self.metrics.to_dict(),
            "without_disputed": disputed and disputed.to_dict(),
            "mean_corruption_accuracy": mean_corruption_accuracy(self.corruptions) if self.corruptions else None,
            "corruptions": [score.to_dict() for score in self.corruptions] or None,
        }

    def save(self, folder: str | Path | None = None) -> Path:
        """Write `metrics.json` and the pictures into a folder, by default `self.folder`, and return it.

        They are written together: those of one evaluation never lie beside those of another.

        Raises:
            OSError: the folder cannot be made or written to.
            UsageError: the default folder is a link, which may come from a stranger.
        """
        from under10k import plots

        if folder is None:
            _refuse_link(self.folder)
        place = self.folder if folder is None else Path(folder)
        with writing_together(place, stale=PICTURES) as scratch:
            write_json(scratch / "metrics.json", self.to_dict())
            plots.save_figure(plots.plot_confusion(self.metrics), scratch / "confusion.png")
            plots.save_figure(plots.plot_misread(self.metrics, self.data.test), scratch / "misread.png")
            if self.corruptions:
                scores = plots.plot_corruptions(self.metrics.interval, self.corruptions)
                plots.save_figure(scores, scratch / "corruptions.png")
                examples = plots.plot_corruption_examples(self.data.test.images[0])
                plots.save_figure(examples, scratch / "corruptions-examples.png")
        return place


def default_folder(weights: Path) -> Path:
    """Return where the evaluation of weights belongs: in their run folder, or beside the file's name."""
    return weights / "evaluation" if weights.is_dir() else Path(f"{weights.stem}-evaluation")


def require_evaluation_folder(weights: Path, out: Path | None) -> None:
    """Refuse a folder that an evaluation could not be saved in, before the work; it is the default one without `out`.

    Raises:
        UsageError: something else is where a file belongs, or the default folder is a link.
        OSError: it cannot be made or written to.
    """
    if out is None:
        _refuse_link(default_folder(weights))
    require_folder(out or default_folder(weights), "metrics.json", *PICTURES)


def _refuse_link(folder: Path) -> None:
    if folder.is_symlink():
        raise UsageError(f"a link in the place of a folder: {folder}. name what it leads to")


def evaluate_run(
    weights: str | Path,
    data: DataSource | None = None,
    out: str | Path | None = None,
    *,
    model: str | None = None,
    views: ViewCount | None = None,
    corruptions: bool = False,
    device: str = "auto",
    track: Track = lambda names: names,
) -> Evaluation:
    """Score trained weights on test images: those of `data`, by default those of the data they were trained with.

    `weights` is a run folder, a weights file, or the name of bundled weights; `model` and `views` are as with
    `load_model`. `out` is the folder that figures and pictures are written into; without it nothing is written until
    `Evaluation.save`. `corruptions` scores them on corrupted images too, each kind passed through `track`.

    Raises:
        UsageError: the device or the data set is unknown.
        DataError: the data is missing or damaged.
        ModelError: the weights are missing or damaged.
        OSError: `out` cannot be written to.
    """
    place = as_path(weights, "a run folder, a weights file or the name of bundled weights")
    if out is not None:
        require_evaluation_folder(place, Path(out))
    network, facts = load_weights(weights, model=model, views=views)
    digits = as_dataset(recorded_data(place) if data is None else data)
    metrics = _evaluate(network.to(pick_device(device)), digits.test)
    scores = _evaluate_corruptions(network, digits.test, track(tuple(CORRUPTIONS))) if corruptions else []
    found = Evaluation(
        digits,
        metrics,
        scores,
        facts.options.views,
        facts.protocol if facts.data_sha256 == digits.sha256() else None,
        default_folder(place),
    )
    if out is not None:
        found.save(out)
    return found

"""From logits to what is reported: loss, accuracy, confusion, calibration; and accuracy on corrupted images."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from under10k.data import CLASSES, Digits, to_input, to_unit
from under10k.evaluation.corruptions import CORRUPTIONS, Corruption, corrupt, get_corruption
from under10k.evaluation.statistics import Interval, wilson_interval
from under10k.models import evaluating
from under10k.text import to_html

DISPUTED = (947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729)
"""Indices of MNIST's test images whose label most people asked call wrong (Northcutt et al., arXiv 2103.14749)."""


MNIST_TEST_SHA256 = "c3f9adf9c66efb572b1f9326c3a511b45910c7173b97be66ceceeeeaef6b802b"
"""`Digits.sha256` of MNIST's 10,000 test images: the indices above are of these alone."""


CALIBRATION_BINS = 15


@dataclass(frozen=True, eq=False, repr=False)
class Metrics:
    """Measures of a model's logits on labelled images, all derived from the two tensors, on the CPU."""

    logits: Tensor
    """float32 (N, 10)."""
    labels: Tensor
    """int64 (N)."""

    def __repr__(self) -> str:
        interval = self.interval
        return (
            f"Metrics(accuracy {self.accuracy:.2%}, 95 % interval {interval.low:.2%} to {interval.high:.2%}, "
            f"{self.errors:,} of {len(self.labels):,} misread, loss {self.loss:.4f})"
        )

    def _repr_html_(self) -> str:
        """Return a table by digit, for notebooks."""
        names = ("digit", "count", "errors", "recall", "precision", "most_often_read_as")
        rows = [[row[name] for name in names] for row in self.per_digit()]
        return to_html(repr(self), [name.replace("_", " ") for name in names], rows)

    @cached_property
    def predictions(self) -> Tensor:
        """int64 (N): the digit read."""
        return self.logits.argmax(dim=1)

    @cached_property
    def loss(self) -> float:
        """Mean cross-entropy, in nats."""
        return float(F.cross_entropy(self.logits.double(), self.labels))

    @cached_property
    def correct(self) -> int:
        """How many images are read correctly."""
        return int((self.predictions == self.labels).sum())

    @property
    def errors(self) -> int:
        """How many are misread."""
        return len(self.labels) - self.correct

    @property
    def accuracy(self) -> float:
        """Fraction of images read correctly."""
        return self.correct / len(self.labels)

    @property
    def interval(self) -> Interval:
        """The accuracy with its 95 % Wilson interval: where another sample of as many images could be."""
        return wilson_interval(self.correct, len(self.labels))

    @cached_property
    def misread(self) -> Tensor:
        """int64 (M): indices of the misread images, the most confident first."""
        wrong = (self.predictions != self.labels).nonzero().squeeze(1)
        sure = self.logits[wrong].softmax(dim=1).amax(dim=1)
        return wrong[sure.argsort(descending=True, stable=True)]

    @cached_property
    def confusion(self) -> Tensor:
        """int64 (10, 10): rows are true digits, columns what was read."""
        pairs = self.labels * CLASSES + self.predictions
        return torch.bincount(pairs, minlength=CLASSES * CLASSES).view(CLASSES, CLASSES)

    @cached_property
    def calibration_error(self) -> float:
        """Expected calibration error over 15 equal bins of confidence (Guo et al., 2017, arXiv 1706.04599)."""
        confidence = self.logits.double().softmax(dim=1).amax(dim=1)
        bins = (confidence * CALIBRATION_BINS).long().clamp_(max=CALIBRATION_BINS - 1)
        gap = torch.zeros(CALIBRATION_BINS, dtype=torch.float64, device="cpu")
        gap.index_add_(0, bins, confidence - (self.predictions == self.labels).double())
        return float(gap.abs().sum() / len(self.labels))

    def without_disputed(self, digits: Digits) -> Metrics | None:
        """Return the metrics with MNIST's disputed labels set aside; None where `digits` is not MNIST's test set."""
        if digits.sha256() != MNIST_TEST_SHA256:
            return None
        keep = torch.ones(len(self.labels), dtype=torch.bool)
        keep[list(DISPUTED)] = False
        return Metrics(self.logits[keep], self.labels[keep])

    def per_digit(self) -> list[dict[str, Any]]:
        """Return a row for each digit: count, recall, precision (None where nothing was counted), commonest mistake."""
        return [self._digit(digit) for digit in range(CLASSES)]

    def _digit(self, digit: int) -> dict[str, Any]:
        right = int(self.confusion[digit, digit])
        count, read = int(self.confusion[digit].sum()), int(self.confusion[:, digit].sum())
        others = self.confusion[digit].clone()
        others[digit] = 0
        return {
            "digit": digit,
            "count": count,
            "errors": count - right,
            "recall": right / count if count else None,
            "precision": right / read if read else None,
            "most_often_read_as": int(others.argmax()) if others.any() else None,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "accuracy": self.accuracy,
            "interval_95": [self.interval.low, self.interval.high],
            "errors": self.errors,
            "images": len(self.labels),
            "loss": self.loss,
            "calibration_error": self.calibration_error,
            "per_digit": self.per_digit(),
            "confusion": self.confusion.tolist(),
            "misread": self.misread.tolist(),
        }


@dataclass(frozen=True)
class CorruptionScore:
    """A network's accuracy on images under one corruption."""

    corruption: Corruption
    accuracies: tuple[Interval, ...]
    """Accuracy at each of the corruption's strengths, with its 95 % Wilson interval."""

    @property
    def mean_accuracy(self) -> float:
        """Mean over the strengths, a fraction."""
        return statistics.fmean(accuracy.value for accuracy in self.accuracies)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "corruption": self.corruption.name,
            "unit": self.corruption.unit,
            "mean_accuracy": self.mean_accuracy,
            "strengths": [
                {"strength": strength, "accuracy": accuracy.value, "interval_95": [accuracy.low, accuracy.high]}
                for strength, accuracy in zip(self.corruption.strengths, self.accuracies, strict=True)
            ],
        }


def like(model: nn.Module) -> Tensor:
    """Return a tensor on a model's device and in its precision."""
    return next(model.parameters(), torch.empty(0))


@torch.inference_mode()
def predict_logits(model: nn.Module, images: Tensor, batch_size: int = 500) -> Tensor:
    """Run a model over images: uint8 (N, 28, 28) on the model's device -> logits float32 (N, 10) on the CPU.

    The model may be in half or double precision. It is put into evaluation mode for the while and back into its own
    after it; no random number is drawn, and an autocast of the caller's does not count.
    """
    kind = like(model).dtype
    with evaluating(model), torch.autocast(images.device.type, enabled=False):
        logits = torch.cat([model(to_input(to_unit(part)).to(kind)) for part in torch.split(images, batch_size)])
    return logits.float().cpu()


def evaluate(model: nn.Module, digits: Digits) -> Metrics:
    """Score a model on labelled digits, which are moved to the model's device if need be."""
    device = like(model).device
    logits = predict_logits(model, digits.images.to(device)).clone()  # a copy that autograd may touch again
    return Metrics(logits, digits.labels.cpu())


def evaluate_corruptions(
    model: nn.Module, digits: Digits, names: Iterable[str] = tuple(CORRUPTIONS), seed: int = 0
) -> list[CorruptionScore]:
    """Score a model on labelled digits under each corruption at each of its strengths.

    Random numbers start from `seed` each time: a digit is pushed the same way at each strength, only further, and a
    score does not depend on which others are asked for.

    Raises:
        UsageError: no corruption has one of the names.
    """
    device = like(model).device
    digits = digits.to(device)

    def score(name: str, strength: float) -> Interval:
        images = corrupt(digits.images, name, strength, torch.Generator(device).manual_seed(seed))
        return evaluate(model, replace(digits, images=images)).interval

    return [
        CorruptionScore(corruption, tuple(score(corruption.name, strength) for strength in corruption.strengths))
        for corruption in map(get_corruption, names)
    ]


def mean_corruption_accuracy(scores: Sequence[CorruptionScore]) -> float:
    """Return the mean accuracy over all corruptions and strengths, a fraction: each corruption counts equally."""
    return statistics.fmean(score.mean_accuracy for score in scores)

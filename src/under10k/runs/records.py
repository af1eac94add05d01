"""What a run records on the way: epochs, batches, the position of a training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from numpy.typing import NDArray

from under10k.typed import Typed

ScoredSet = Literal["test", "validation"]
"""The images that are scored after each epoch, if any are."""


@dataclass(frozen=True)
class Epoch(Typed):
    """One line of `metrics.jsonl`."""

    epoch: int
    """Counted from 1."""
    train_loss: float
    """Mean over the epoch's batches as they were trained on: deformed, with dropout, with the weights at each step."""
    train_accuracy: float
    """A fraction, counted on the same batches."""
    scored_set: ScoredSet | None
    """`test` under the protocol `watched`, `validation` under `held-out`, None under `fixed`."""
    loss: float | None
    """Loss on the scored set."""
    accuracy: float | None
    """Accuracy on the scored set, a fraction."""
    learning_rate: float
    """Of the epoch's last step."""
    seconds: float
    """Of training, without the scoring."""


class Batch(NamedTuple):
    """One line of `batches.csv`: a step of a training."""

    epoch: int
    """Counted from 1."""
    step: int
    """Within the epoch, counted from 1."""
    loss: float
    """Mean over the batch as it was trained on, before the update."""
    accuracy: float
    """A fraction, of the same images."""
    learning_rate: float


@dataclass(frozen=True, eq=False)
class History:
    """What a run recorded on the way, a column an array."""

    epochs: dict[str, NDArray[Any]]
    """By the names of `Epoch`'s fields; NaN where nothing was scored."""
    batches: dict[str, NDArray[Any]]
    """By the names of `Batch`'s: `epoch`, `step`, `loss`, `accuracy`, `learning_rate`."""

    def __repr__(self) -> str:
        return f"History({len(self.epochs['epoch']):,} epochs, {len(self.batches['step']):,} batches)"


@dataclass
class Position(Typed):
    """Where a training stands; all of it is in each checkpoint."""

    epoch: int = 0
    """Epochs finished."""
    step: int = 0
    """Steps finished in the epoch under way."""
    total_steps: int = 0
    """Steps finished in all epochs."""
    loss_sum: float = 0.0
    """Sum of the losses of the steps so far in the epoch."""
    correct: int = 0
    """Training images classified correctly so far in the epoch."""
    seen: int = 0
    """Training images trained on so far in the epoch."""
    epoch_seconds: float = 0.0
    """Time spent on the epoch under way."""
    best_accuracy: float = -1.0
    """Best accuracy on the scored set so far; -1 before the first."""
    best_epoch: int = 0
    """The epoch that had it; 0 before the first."""
    seconds: dict[str, float] = field(
        default_factory=lambda: {"load": 0.0, "train": 0.0, "evaluate": 0.0, "total": 0.0}
    )
    history: list[Epoch] = field(default_factory=list)

"""What a run records: epochs, batches, the position of a training, the result."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from under10k.data import DataIdentity
from under10k.recipes import Protocol
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


@dataclass(frozen=True, kw_only=True)
class Result(Typed):
    """The result of a finished run: `result.json`."""

    recipe: str
    model: str
    parameters: int
    protocol: Protocol
    seed: int
    epochs: int
    """Epochs trained."""
    kept_epoch: int
    """The epoch whose weights were kept."""
    target_accuracy: float | None = None
    """The recipe's target, a fraction; None if it has none."""
    target_epoch: int | None = None
    """The first epoch whose scored accuracy reached the target; None if none did."""
    validation_accuracy: float | None = None
    """Of the kept weights, under `held-out`."""
    last_accuracy: float | None = None
    """On the scored set after the last epoch, whichever was kept; None under `fixed`, which scores no epoch."""
    test_accuracy: float
    """Of the kept weights, a fraction."""
    test_interval_95: tuple[float, float]
    """Wilson interval over the test images."""
    test_errors: int
    test_images: int
    test_loss: float
    calibration_error: float
    seconds: dict[str, float]
    """`load`, `train`, `evaluate`, `total`."""
    data: DataIdentity
    device: str
    run_dir: str

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values, for JSON."""
        return asdict(self)


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

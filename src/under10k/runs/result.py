"""What a finished run came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from under10k.data import DataIdentity
from under10k.recipes import Protocol
from under10k.runs.reading import RunReader
from under10k.runs.records import History
from under10k.text import to_html
from under10k.typed import Typed


@dataclass(frozen=True, kw_only=True, repr=False)
class Result(Typed):
    """The result of a finished run: `result.json`."""

    recipe: str
    """The recipe's name."""
    model: str
    """The network's name, or `file.py:callable` for one of your own."""
    parameters: int
    """How many the network has."""
    protocol: Protocol
    """How epochs were chosen: `fixed`, `held-out` or `watched`."""
    seed: int
    """Decides the initial weights and the order of images."""
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
    """Test images that were misread."""
    test_images: int
    """Test images in all."""
    test_loss: float
    """Mean cross-entropy over the test images, in nats."""
    calibration_error: float
    """Mean difference between probability and accuracy on the test images, a fraction."""
    seconds: dict[str, float]
    """`load`, `train`, `evaluate`, `total`."""
    data: DataIdentity
    """What the run was trained and tested on."""
    device: str
    """Where it was trained: `cpu`, `cuda` or `mps`."""
    run_dir: str
    """The run folder."""

    def __repr__(self) -> str:
        low, high = self.test_interval_95
        return (
            f"Result({self.recipe} s{self.seed}: test accuracy {self.test_accuracy:.2%}, 95 % interval {low:.2%} to "
            f"{high:.2%}, {self.epochs} epochs in {self.seconds.get('train', 0):.0f} s, protocol {self.protocol}, "
            f"{self.run_dir})"
        )

    def _repr_html_(self) -> str:
        """Return all facts as a table, for notebooks."""
        return to_html(repr(self), ("", ""), self.to_dict().items())

    @property
    def history(self) -> History:
        """What was recorded on the way, read from the run folder: epochs and batches as arrays.

        Raises:
            ModelError: the folder is gone or damaged.
        """
        return RunReader(Path(self.run_dir)).arrays()

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values, for JSON."""
        return asdict(self)

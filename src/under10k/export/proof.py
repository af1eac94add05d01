"""Proof that an export answers as PyTorch does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from under10k.errors import Under10kError

Kind = Literal["float", "int8"]
"""The numbers that an exported network computes with."""


CALIBRATION = 2000
"""Training images that set the ranges of activations for `int8`."""


TOLERANCE = 1e-3
"""Largest difference of a logit between PyTorch and a float export; rounding alone makes about 1e-5."""


@dataclass(frozen=True)
class Agreement:
    """How an exported network's answers compare with PyTorch's on the same test images."""

    data: str
    """Name of the data set."""
    images: int
    largest_difference: float
    """Of a logit."""
    differing: int
    """Images that the two read differently."""
    accuracy: float
    """Of the export, a fraction."""
    torch_accuracy: float
    """Of PyTorch, a fraction."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote, and how it was checked."""

    path: Path
    sizes: dict[str, int]
    """Bytes of each file."""
    notes: dict[str, Any]
    """Facts of the format's own."""
    agreement: Agreement | None
    """None if it could not be run here."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {**asdict(self), "path": str(self.path)}


@contextmanager
def undisturbed() -> Iterator[None]:
    """Compute as ever, whatever the caller has set torch to: another precision, another device."""
    with torch.device("cpu"), torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
        yield


def compare(logits: Tensor, expected: Tensor, labels: Tensor, data: str) -> Agreement:
    """Compare an export's logits with PyTorch's: both float (N, 10), labels int64 (N)."""
    found, wanted = logits.argmax(dim=1), expected.argmax(dim=1)
    return Agreement(
        data=data,
        images=len(labels),
        largest_difference=float((logits - expected).abs().max()),
        differing=int((found != wanted).sum()),
        accuracy=float((found == labels).double().mean()),
        torch_accuracy=float((wanted == labels).double().mean()),
    )


def require_agreement(agreement: Agreement) -> None:
    """Refuse a float export that does not compute what PyTorch does.

    Raises:
        Under10kError: a logit differs by more than `TOLERANCE`.
    """
    if not agreement.largest_difference <= TOLERANCE:
        raise Under10kError(
            f"the export is wrong: a logit differs by {agreement.largest_difference:.3g} from PyTorch's, "
            f"{TOLERANCE} is allowed. nothing was written: please report it"
        )

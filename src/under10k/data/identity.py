"""What identifies a data set: the one record of it in every file that names one."""

from __future__ import annotations

from dataclasses import dataclass

from under10k.typed import Typed


@dataclass(frozen=True)
class DataIdentity(Typed):
    """Which data set it was: its name for people, its SHA-256 for certain."""

    name: str
    """The known name, or the folder."""
    sha256: str
    """`Dataset.sha256` of all four arrays."""
    note: str = ""
    """`Dataset.note`."""
    train: int = 0
    """Number of training images; 0 in older records, which do not say."""
    test: int = 0
    """Number of test images; likewise."""
    beside: str = ""
    """What was trained on beside it, so that it is not forgotten, such as `20,000 of mnist`."""

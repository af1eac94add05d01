"""Digits gathered from a user's files, with a test part cut off where they have none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from under10k.data.digits import CLASSES, Digits
from under10k.errors import DataError

TEST_SHARE = 0.2
"""Share of each digit's images that become the test images where there is no test part."""


MAXIMUM_IMAGES = 340_000
"""Most images of one part, as many as the largest IDX file holds."""


_MOST_NAMED = 3
"""Most skipped files that a note names."""


@dataclass(frozen=True)
class Gathered:
    """What was read of a user's files."""

    train: Digits
    test: Digits | None = None
    """None where the files have no test part."""
    skipped: tuple[str, ...] = ()
    """Each file that was left out, with the reason."""
    note: str = ""
    """A sentence for people about how the files were read."""


def cut_test(digits: Digits, name: str) -> tuple[Digits, Digits, str]:
    """Cut a test part off: of each digit a fifth, at least one, drawn with a fixed seed; returns it with a note.

    Raises:
        DataError: no digit has two images, so that none can be spared.
    """
    generator = torch.Generator().manual_seed(0)
    is_test = torch.zeros(len(digits), dtype=torch.bool)
    for digit in range(CLASSES):
        places = (digits.labels == digit).nonzero().flatten()
        if len(places) > 1:
            shuffled = places[torch.randperm(len(places), generator=generator)]
            is_test[shuffled[: max(1, round(TEST_SHARE * len(places)))]] = True
    if not is_test.any():
        raise DataError(f"too few images: {name} has no digit twice, so none to test with. give two or more of each")
    test = digits[is_test]
    note = (
        f"No test part: {len(test):,} of the {len(digits):,} images, a fifth of each digit, were drawn as one (seed 0)."
    )
    return digits[~is_test], test, note


def skipped_note(skipped: Sequence[str]) -> str:
    """Return a sentence that names the first files that were left out; nothing where there are none."""
    if not skipped:
        return ""
    more = f"; and {len(skipped) - _MOST_NAMED:,} more" if len(skipped) > _MOST_NAMED else ""
    files = "1 file was" if len(skipped) == 1 else f"{len(skipped):,} files were"
    return f"{files} skipped: {'; '.join(skipped[:_MOST_NAMED])}{more}."

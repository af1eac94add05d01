"""Networks of depthwise-separable blocks: for pictures, and our most accurate of 2,500 and 1,000 parameters."""

from __future__ import annotations

from torch import nn

from under10k.models.blocks import GlobalAveragePool, block, separable


def robust(*, dropout: float = 0.02) -> nn.Sequential:
    """Build `robust`: normalised float32 (B, 1, 28, 28) -> logits float32 (B, 10), with 9,484 parameters."""
    return _of_separable_blocks(16, 46, dropout)


def best_2k5(*, dropout: float = 0.02) -> nn.Sequential:
    """Build `best-2k5`: normalised float32 (B, 1, 28, 28) -> logits float32 (B, 10), with 2,470 parameters."""
    return _of_separable_blocks(9, 20, dropout)


def best_1k(*, dropout: float = 0.02) -> nn.Sequential:
    """Build `best-1k`: normalised float32 (B, 1, 28, 28) -> logits float32 (B, 10), with 940 parameters."""
    return _of_separable_blocks(6, 10, dropout)


def _of_separable_blocks(first: int, width: int, dropout: float) -> nn.Sequential:
    """Build a network of `first` maps, then four separable blocks of `width` maps each."""
    return nn.Sequential(
        block(1, first, 3, dropout=dropout, norm_first=True),  # (B, first, 26, 26)
        nn.MaxPool2d(2),  # (B, first, 13, 13)
        separable(first, width, 3, dropout=dropout),  # (B, width, 11, 11)
        separable(width, width, 3, dropout=dropout),  # (B, width, 9, 9)
        separable(width, width, 3, dropout=dropout),  # (B, width, 7, 7)
        separable(width, width, 3, dropout=dropout),  # (B, width, 5, 5)
        GlobalAveragePool(),  # (B, width)
        nn.Linear(width, 10),  # (B, 10)
    )

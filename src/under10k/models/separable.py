"""The network that reads people's pictures, and what it and two of the most accurate small ones are built of."""

from __future__ import annotations

from torch import nn

from under10k.models.blocks import GlobalAveragePool, block, separable_block


def separable(*, dropout: float = 0.02) -> nn.Sequential:
    """Build `separable`: normalised float32 (B, 1, 28, 28) -> logits float32 (B, 10), with 9,484 parameters."""
    return of_separable_blocks(16, 46, dropout)


def of_separable_blocks(first: int, width: int, dropout: float) -> nn.Sequential:
    """Build a network of `first` maps, then four separable blocks of `width` maps each."""
    return nn.Sequential(
        block(1, first, 3, dropout=dropout, norm_first=True),  # (B, first, 26, 26)
        nn.MaxPool2d(2),  # (B, first, 13, 13)
        separable_block(first, width, 3, dropout=dropout),  # (B, width, 11, 11)
        separable_block(width, width, 3, dropout=dropout),  # (B, width, 9, 9)
        separable_block(width, width, 3, dropout=dropout),  # (B, width, 7, 7)
        separable_block(width, width, 3, dropout=dropout),  # (B, width, 5, 5)
        GlobalAveragePool(),  # (B, width)
        nn.Linear(width, 10),  # (B, 10)
    )

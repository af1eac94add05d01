"""The network that smaller ones learn from, itself larger than the project's limit."""

from __future__ import annotations

from functools import partial

from torch import nn

from under10k.models.blocks import GlobalAveragePool, bare, block


def teacher(*, dropout: float = 0.02) -> nn.Sequential:
    """Build `teacher`: normalised float32 (B, 1, 28, 28) -> logits float32 (B, 10), with 120,544 parameters."""
    conv = partial(block, dropout=dropout, norm_first=True)
    return nn.Sequential(
        conv(1, 32, 5, pool=True),  # (B, 32, 12, 12)
        conv(32, 64, 3),  # (B, 64, 10, 10)
        conv(64, 64, 3),  # (B, 64, 8, 8)
        nn.MaxPool2d(2),  # (B, 64, 4, 4)
        conv(64, 96, 3, padding=1),  # (B, 96, 4, 4)
        bare(96, 10, 3),  # (B, 10, 2, 2)
        GlobalAveragePool(),  # (B, 10)
    )

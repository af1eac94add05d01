"""Our most accurate networks of 10,000 and 5,000 parameters: how they were found, docs/frontier.md."""

from __future__ import annotations

from functools import partial

from torch import nn

from under10k.models.blocks import GlobalAveragePool, bare, block


def best_10k(*, dropout: float = 0.02) -> nn.Sequential:
    """Build `best-10k`: normalised float32 (B, 1, 28, 28) -> logits float32 (B, 10), with 9,360 parameters."""
    conv = partial(block, dropout=dropout, norm_first=True)
    return nn.Sequential(
        conv(1, 12, 3),  # (B, 12, 26, 26)
        conv(12, 14, 3),  # (B, 14, 24, 24)
        nn.MaxPool2d(2),  # (B, 14, 12, 12)
        conv(14, 16, 3, padding=1),  # (B, 16, 12, 12)
        conv(16, 16, 3, padding=1),  # (B, 16, 12, 12)
        nn.MaxPool2d(2),  # (B, 16, 6, 6)
        conv(16, 14, 3, padding=1),  # (B, 14, 6, 6)
        bare(14, 10, 3),  # (B, 10, 4, 4)
        GlobalAveragePool(),  # (B, 10)
    )


def best_5k(*, dropout: float = 0.02) -> nn.Sequential:
    """Build `best-5k`: normalised float32 (B, 1, 28, 28) -> logits float32 (B, 10), with 4,964 parameters."""
    conv = partial(block, dropout=dropout, norm_first=True)
    return nn.Sequential(
        conv(1, 12, 5, pool=True),  # (B, 12, 12, 12)
        conv(12, 12, 3),  # (B, 12, 10, 10)
        conv(12, 12, 3),  # (B, 12, 8, 8)
        nn.MaxPool2d(2),  # (B, 12, 4, 4)
        conv(12, 10, 3, padding=1),  # (B, 10, 4, 4)
        bare(10, 10, 3),  # (B, 10, 2, 2)
        GlobalAveragePool(),  # (B, 10)
    )

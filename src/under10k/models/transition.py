"""The first documented network: unpadded, with a 1x1 transition in the middle; 9,962 parameters."""

from __future__ import annotations

from functools import partial

from torch import nn

from under10k.models.blocks import bare, block, residual_if
from under10k.recipes import Head


def transition(*, dropout: float = 0.02, residual: bool = False, head: Head = "pool") -> nn.Sequential:
    """Build `transition`: normalised float32 (B, 1, 28, 28) -> logits float32 (B, 10).

    Each convolution is followed by ReLU, batch norm, dropout, in this order; the one after the average pool by batch
    norm, ReLU, dropout, as in its document's table. `residual` and `head="linear"` (9,952 parameters) answer the
    document's own list of what it lacks.
    """
    conv = partial(block, dropout=dropout, norm_first=False)
    return nn.Sequential(
        conv(1, 14, 3),  # (B, 14, 26, 26)
        residual_if(residual, conv(14, 30, 3)),  # (B, 30, 24, 24)
        bare(30, 10, 1),  # (B, 10, 24, 24)
        nn.MaxPool2d(2),  # (B, 10, 12, 12)
        residual_if(residual, conv(10, 14, 3)),  # (B, 14, 10, 10)
        residual_if(residual, conv(14, 15, 3)),  # (B, 15, 8, 8)
        residual_if(residual, conv(15, 15, 3)),  # (B, 15, 6, 6)
        *(_pool_head(dropout) if head == "pool" else _linear_head()),  # (B, 10)
    )


def _pool_head(dropout: float) -> list[nn.Module]:
    return [
        nn.AvgPool2d(6),  # (B, 15, 1, 1)
        block(15, 15, 1, dropout=dropout, norm_first=True),  # (B, 15, 1, 1)
        bare(15, 10, 1),  # (B, 10, 1, 1)
        nn.Flatten(),  # (B, 10)
    ]


def _linear_head() -> list[nn.Module]:
    # Seven maps of 2x2 are the most that keep the network under 10,000 parameters.
    return [
        bare(15, 7, 1),  # (B, 7, 6, 6)
        nn.AvgPool2d(3),  # (B, 7, 2, 2)
        nn.Flatten(),  # (B, 28)
        nn.Linear(28, 10),  # (B, 10)
    ]

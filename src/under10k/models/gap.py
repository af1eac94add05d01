"""The second documented network: padded, ending in a global average pool; 9,720 parameters."""

from __future__ import annotations

from functools import partial

from torch import nn

from under10k.models.blocks import GlobalAveragePool, bare, block, residual_if
from under10k.recipes import Head


def gap(*, dropout: float = 0.02, residual: bool = False, head: Head = "pool") -> nn.Sequential:
    """Build `gap`: normalised float32 (B, 1, 28, 28) -> logits float32 (B, 10).

    Each convolution but the last is followed by batch norm, ReLU, dropout, in this order. `residual` and
    `head="linear"` (9,886 parameters) are our own variants.
    """
    conv = partial(block, dropout=dropout, norm_first=True)
    return nn.Sequential(
        conv(1, 8, 3, padding=1),  # (B, 8, 28, 28)
        residual_if(residual, conv(8, 16, 3, padding=1)),  # (B, 16, 28, 28)
        nn.MaxPool2d(2),  # (B, 16, 14, 14)
        residual_if(residual, conv(16, 16, 3, padding=1)),  # (B, 16, 14, 14)
        residual_if(residual, conv(16, 16, 3, padding=1)),  # (B, 16, 14, 14)
        nn.MaxPool2d(2),  # (B, 16, 7, 7)
        residual_if(residual, conv(16, 16, 3)),  # (B, 16, 5, 5)
        *(_pool_head() if head == "pool" else _linear_head()),  # (B, 10)
    )


def _pool_head() -> list[nn.Module]:
    return [
        bare(16, 10, 3),  # (B, 10, 3, 3)
        GlobalAveragePool(),  # (B, 10)
    ]


def _linear_head() -> list[nn.Module]:
    # Six maps of 5x5 are the most that keep the network under 10,000 parameters.
    return [
        bare(16, 6, 1),  # (B, 6, 5, 5)
        nn.Flatten(),  # (B, 150)
        nn.Linear(150, 10),  # (B, 10)
    ]

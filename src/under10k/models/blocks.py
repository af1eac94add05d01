"""The pieces that the networks are built from."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def block(
    inputs: int, outputs: int, kernel: int, *, padding: int = 0, pool: bool = False, dropout: float, norm_first: bool
) -> nn.Module:
    """Build a convolution without bias, then batch norm and ReLU in the order asked for, then dropout.

    The bias is left out since batch norm subtracts it again. Dropout at a rate of 0 is left out too: its random numbers
    cost more than the convolution. `pool` puts a max pool of 2 right after the convolution, so that everything else
    works on a quarter of the values.
    """
    norm, relu = nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False),
        *([nn.MaxPool2d(2)] if pool else []),
        *((norm, relu) if norm_first else (relu, norm)),
    ]
    return nn.Sequential(*layers, *([nn.Dropout(dropout)] if dropout else []))


def separable(inputs: int, outputs: int, kernel: int, *, dropout: float) -> nn.Module:
    """Build a depthwise convolution, which filters each map by itself, and one of 1x1 that mixes them; norm and ReLU.

    With nothing between them, the two compute what one convolution would that has several times the parameters.
    """
    depthwise = nn.Conv2d(inputs, inputs, kernel, groups=inputs, bias=False)
    mixing = nn.Conv2d(inputs, outputs, 1, bias=False)
    layers = [depthwise, mixing, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, *([nn.Dropout(dropout)] if dropout else []))


def bare(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    """Build a convolution with nothing after it: a change of width, or the last layer, whose maps are logits."""
    return nn.Conv2d(inputs, outputs, kernel, bias=False)


class Residual(nn.Module):
    """Adds a block's input to its output; costs no parameter.

    Where an unpadded convolution cuts off the borders, the input loses the same; where the block has more channels, the
    input is padded with zeros (option A of He et al., 2016, arXiv 1512.03385).
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x)
        border = (x.shape[-1] - out.shape[-1]) // 2
        missing = out.shape[1] - x.shape[1]
        return out + F.pad(x, (-border, -border, -border, -border, 0, missing))


class GlobalAveragePool(nn.Module):
    """Averages each map to one number: (B, C, H, W) -> (B, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))  # AdaptiveAvgPool2d computes the same, but its gradient on CUDA is not deterministic


def residual_if(wanted: bool, inner: nn.Module) -> nn.Module:
    """Wrap a block in a residual connection where one is wanted."""
    return Residual(inner) if wanted else inner

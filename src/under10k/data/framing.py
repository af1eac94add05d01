"""Framing: any picture of a digit scaled and centred as MNIST's were."""

from __future__ import annotations

import torch
from torch import Tensor

from under10k.data.digits import SIDE

BOX = 20
"""Side of the square that a digit is scaled to fit, in pixels."""


THRESHOLD = 0.02
"""Faintest brightness that counts as ink when the digit's box is measured."""


SLACK = 1e-3
"""Pixels of rounding error that do not move a digit: a symmetric one would jump by a pixel."""


def frame(ink: Tensor) -> Tensor:
    """Scale and centre each picture as MNIST's digits are: float (N, H, W) in [0, 1] -> float (N, 28, 28).

    The ink's box is scaled, keeping its shape, until its larger side is 20 pixels, then moved by whole pixels until
    the centre of mass comes to the centre of the 28x28 picture (Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST
    database of handwritten digits", http://yann.lecun.com/exdb/mnist). No ink is moved out of the picture; a blank
    picture stays blank.
    """
    visible = ink > THRESHOLD
    top, bottom = _extent(visible.any(dim=2))
    left, right = _extent(visible.any(dim=1))
    scale = BOX / torch.maximum(bottom - top, right - left)
    rows = _resampling(ink.sum(dim=2), top, bottom, scale)  # (N, 28, H)
    columns = _resampling(ink.sum(dim=1), left, right, scale)  # (N, 28, W)
    return (rows @ ink @ columns.mT).clamp_(0, 1)


def _extent(visible: Tensor) -> tuple[Tensor, Tensor]:
    """Return the edges of what is visible along one axis, bool (N, L) -> float (N) twice; (0, L) where nothing is."""
    length = visible.shape[1]
    first = visible.byte().argmax(dim=1)
    last = visible.flip(1).byte().argmax(dim=1)
    return first.float(), (length - last).float()


def _resampling(mass: Tensor, low: Tensor, high: Tensor, scale: Tensor) -> Tensor:
    """Return the weights (N, 28, L) that turn L source pixels of one axis into 28: each the mean over its own area.

    `mass` (N, L) is the ink summed over the other axis; `low` and `high` (N) are the edges of its box.
    """
    edges = torch.arange(mass.shape[1] + 1, device=mass.device, dtype=mass.dtype)
    inside = _overlap(edges, low[:, None], high[:, None])
    held = (mass * inside).sum(dim=1)
    centre = (mass * inside * (edges[:-1] + 0.5)).sum(dim=1) / held.clamp_min(torch.finfo(mass.dtype).tiny)
    # MNIST's centres of mass, counted from the picture's edge, lie in [14, 15): the first whole pixel from 14 on.
    start = torch.ceil(SIDE / 2 - (centre - low) * scale - SLACK)
    start = torch.minimum(start.clamp_min(0), torch.floor(SIDE - (high - low) * scale + SLACK))
    frame_edges = torch.arange(SIDE + 1, device=mass.device, dtype=mass.dtype) - start[:, None]
    source = (low[:, None] + frame_edges / scale[:, None]).clamp(low[:, None], high[:, None])  # (N, 29)
    return _overlap(edges, source[:, :-1, None], source[:, 1:, None]) * scale[:, None, None]


def _overlap(edges: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return the length of each pixel, between neighbouring `edges` (L + 1), that lies within [low, high]: (..., L)."""
    return (torch.minimum(edges[1:], high) - torch.maximum(edges[:-1], low)).clamp_min(0)

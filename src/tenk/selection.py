"""Which images an epoch trains on: fewer of the easy ones."""

from __future__ import annotations

import torch
from torch import Tensor


def skip_easy(order: Tensor, losses: Tensor, share: float) -> Tensor:
    """Return `order` without a share of its images: those that come first in it among the easiest, twice as many.

    `order` is int64 (N), a permutation; `losses` is float32 (N), the loss when an image was last trained on, the
    largest number for one that never was; `share` is a fraction, 0 to 0.5. Half of the easiest images are skipped,
    by the chance in `order`, and all others stay: they come up more often than in the data, and no loss is scaled
    up to make good for the skipped. InfoBatch (Qin et al., 2024, arXiv 2303.04947) draws among the easy images too,
    but scales.
    """
    count = int(len(order) * share)
    easy = torch.zeros(len(order), dtype=torch.bool, device=order.device)
    easy[losses.argsort(stable=True)[: 2 * count]] = True
    easy = easy[order]
    return order[~(easy & (easy.cumsum(0) <= count))]

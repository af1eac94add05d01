"""What a step takes: its learning rate, its random numbers, its images."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def one_cycle(step: int, steps: int, *, peak: float, warmup: float) -> float:
    """Return the learning rate of one step, counted from 0, of `steps`: up in a straight line, down along a cosine.

    `warmup` is the share of the steps that the rise takes, `peak` the largest rate. This is the one cycle of Smith
    (2018, arXiv 1803.09820), reduced to one rise and one fall.
    """
    rise = warmup * steps
    if step < rise:
        return peak * (step + 1) / (rise + 1)
    return peak * (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2


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


_PURPOSES = ("weights", "order", "step")


def mix_seed(purpose: str, seed: int, epoch: int = 0, step: int = 0) -> int:
    """Mix numbers into one seed, so that neighbouring runs, epochs, steps and purposes have nothing in common."""
    parts = (_PURPOSES.index(purpose), seed >> 32, seed & 0xFFFFFFFF, epoch, step)  # 32 bits each: no two alike
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def shuffle(count: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(mix_seed("order", seed, epoch)))

"""What a step takes: its learning rate, its random numbers, its images; and how many steps there are."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from under10k.recipes import Recipe

_TIMES_FORGOTTEN = 5
"""How many times over, at least, an average forgets what it began with, in the steps of a run."""


# --- how many ----------------------------------------------------------------------------------------------------


def trained_count(recipe: Recipe, images: int) -> int:
    """Return how many of a data set's training images are trained on: all, or all but those held out.

    Held out is the last sixth: 10,000 of MNIST's 60,000.
    """
    return images - max(1, images // 6) if recipe.protocol == "held-out" else images


def images_of(recipe: Recipe, images: int, epoch: int) -> int:
    """Return how many of so many images to train on an epoch, counted from 0, takes its batches from."""
    return images - int(images * recipe.skip_easy) if epoch > 0 else images


def batch_size_of(recipe: Recipe, images: int, epoch: int) -> int:
    """Return how many images each step of an epoch has: fewer than the recipe's only where there are no more."""
    return min(recipe.batch_size, images_of(recipe, images, epoch))


def steps_of(recipe: Recipe, images: int, epoch: int) -> int:
    """Return how many steps an epoch has; images left over wait for the next shuffle."""
    return images_of(recipe, images, epoch) // batch_size_of(recipe, images, epoch)


def count_steps(recipe: Recipe, images: int) -> int:
    """Return the steps of all epochs, on so many images."""
    return sum(steps_of(recipe, images, epoch) for epoch in range(recipe.epochs))


def averaging_decay(recipe: Recipe, images: int) -> float:
    """Return the decay of the running average of the weights, 0 for none, in a training on so many images.

    It is the recipe's, or less where a run is so short that the average would still hold untrained weights at its end:
    of those, a share of e^-5 may be left. A run that begins from trained weights may keep of them what it likes.
    """
    if recipe.start is not None:
        return recipe.averaging
    return min(recipe.averaging, max(0.0, 1 - _TIMES_FORGOTTEN / count_steps(recipe, images)))


# --- the learning rate -------------------------------------------------------------------------------------------


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the learning rate of one step, counted from 0, of `steps`."""
    schedule, peak = recipe.schedule, recipe.optimizer.lr
    return one_cycle(step, steps, peak=peak, warmup=schedule.warmup) if schedule.name == "one-cycle" else peak


def one_cycle(step: int, steps: int, *, peak: float, warmup: float) -> float:
    """Return the learning rate of one step, counted from 0, of `steps`: up in a straight line, down along a cosine.

    `warmup` is the share of the steps that the rise takes, `peak` the largest rate. This is the one cycle of Smith
    (2018, arXiv 1803.09820), reduced to one rise and one fall.
    """
    rise = warmup * steps
    if step < rise:
        return peak * (step + 1) / (rise + 1)
    return peak * (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2


# --- images and chance -------------------------------------------------------------------------------------------


def skip_easy(order: Tensor, losses: Tensor, share: float) -> Tensor:
    """Drop `share` of the images: of the `2 * share` with the smallest loss, those that come first in `order`.

    `order` is int64 (N), a random permutation; `losses` is float32 (N), the loss when an image was last trained on, the
    largest number for one that never was; `share` is a fraction, 0 to 0.5. All other images stay, so they come up more
    often than in the data; no loss is scaled up to make up for the skipped. InfoBatch (Qin et al., 2024,
    arXiv 2303.04947) draws among the easy images too, but scales.
    """
    count = int(len(order) * share)
    easy = torch.zeros(len(order), dtype=torch.bool, device=order.device)
    easy[losses.argsort(stable=True)[: 2 * count]] = True
    easy = easy[order]
    return order[~(easy & (easy.cumsum(0) <= count))]


_PURPOSES = ("weights", "order", "step", "mix")


def mix_seed(purpose: str, seed: int, epoch: int = 0, step: int = 0) -> int:
    """Mix numbers into one seed, so that neighbouring runs, epochs, steps and purposes have nothing in common."""
    parts = (_PURPOSES.index(purpose), seed >> 32, seed & 0xFFFFFFFF, epoch, step)  # 32 bits each: no two alike
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def shuffle(count: int, seed: int, epoch: int) -> Tensor:
    """Return the images of an epoch in random order: int64 (count)."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(mix_seed("order", seed, epoch)))

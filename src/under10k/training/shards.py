"""Forward and backward of a step: the batch is cut into shards, each on one thread, which meet once a step."""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from under10k.data import Digits, augment, to_input, to_unit
from under10k.evaluation import Metrics, evaluate
from under10k.models import DrawingFrom
from under10k.recipes import Recipe
from under10k.training.layout import rearrange
from under10k.training.own_augment import deform, find_augment
from under10k.training.recording import Recording
from under10k.training.steps import mix_seed

SWITCH_SECONDS = 0.0005
"""Longest wait of a thread for Python's lock while another holds it: between two operations, in which torch frees it,
Python needs some microseconds, and of its own 5 ms a step of 15 would lose a tenth."""

TAUGHT_SHARE, TEMPERATURE = 0.5, 2.0
"""Share of the loss that comes from a teacher, if there is one; what both networks' logits are divided by there."""

T = TypeVar("T")


class Shards:
    """A network's replicas, one a shard, and the threads that compute them.

    What is computed depends on the recipe's number of shards, never on the number of threads: on a thread torch
    computes alone, and all sums over shards are taken in their order. A recipe of one shard is computed by the caller's
    thread, with as many threads inside each operation as torch has.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: nn.Module,
        device: torch.device,
        teacher: nn.Module | None = None,
        *,
        records: bool = True,
    ) -> None:
        """Replicate `model`, which is the first shard's itself, and start the threads; all learn from one teacher.

        On CUDA each shard's work is recorded once and then replayed, unless network, teacher or augmentation are the
        user's own, or `records` is false. It is recorded for the images of the first batch, and later batches must be
        of the same ones.
        """
        self.records = records and device.type == "cuda" and may_be_recorded(recipe, teacher)
        """Whether the gradients stay in the same memory from step to step, as recordings leave them."""
        models = [model, *(_replicate(model) for _ in range(recipe.shards - 1))]
        self._recipe = recipe
        teacher = None if teacher is None else rearrange(teacher.to(device))
        self._shards = [_Shard(recipe, replica, teacher, device, records=self.records) for replica in models]
        self._parameters = list(zip(*(replica.parameters() for replica in models), strict=True))
        self._buffers = [list(replica.buffers()) for replica in models]
        on_cpu = device.type == "cpu"  # a GPU computes one shard after the other, for the caller's thread
        self._pool = (
            _start_threads(min(recipe.shards, torch.get_num_threads())) if recipe.shards > 1 and on_cpu else None
        )

    def close(self) -> None:
        """End the threads."""
        if self._pool:
            self._pool.shutdown()

    def differentiate(self, images: Digits, batch: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Leave the gradient of a batch's mean loss in the model; return each image's loss (B) and how many are right.

        `batch` is int64 (B), indices of `images`. A shard has two images at least, as batch norm needs.
        """
        parts = batch.tensor_split(max(1, min(len(self._shards), len(batch) // 2)))
        self._spread_buffers(len(parts))

        def run(number: int) -> tuple[Tensor, Tensor]:
            chance = mix_seed("step", self._recipe.seed, epoch, step * len(self._shards) + number)
            return self._shards[number].run(images, parts[number], chance, len(parts[number]) / len(batch))

        losses, right = zip(*self._map(run, range(len(parts))), strict=True)
        self._add_gradients(len(parts))
        self._average_statistics(len(parts))
        return torch.cat(losses), torch.stack(right).sum()

    def evaluate(self, model: nn.Module, digits: Digits) -> Metrics:
        """Score a model on digits, cut into as many parts as a batch."""
        model.eval()  # once, before threads share it
        parts = torch.arange(len(digits)).tensor_split(min(len(self._shards), len(digits)))
        found = self._map(lambda part: evaluate(model, digits[int(part[0]) : int(part[-1]) + 1]), parts)
        return Metrics(torch.cat([each.logits for each in found]), torch.cat([each.labels for each in found]))

    def _map(self, work: Callable[..., T], parts: Iterable[object]) -> list[T]:
        """Do the work on each part, in any order; return the results in theirs, or raise the first error."""
        return list(self._pool.map(work, parts) if self._pool else map(work, parts))

    def _spread_buffers(self, count: int) -> None:
        for buffers in self._buffers[1:count] if self._buffers[0] else ():
            torch._foreach_copy_(buffers, self._buffers[0])

    @torch.no_grad()
    def _average_statistics(self, count: int) -> None:
        means, *others = [[buffer for buffer in one if buffer.is_floating_point()] for one in self._buffers[:count]]
        for number, statistics in enumerate(others if means else (), start=2):
            torch._foreach_lerp_(means, statistics, 1 / number)  # a running mean: a constant stays exactly what it is

    def _add_gradients(self, count: int) -> None:
        for same in self._parameters:
            first, *others = [weight.grad for weight in same[:count] if weight.grad is not None] or [None]
            for other in others:
                first.add_(other)
            same[0].grad = first


class _Shard:
    """One shard's replica and its random numbers."""

    def __init__(
        self, recipe: Recipe, model: nn.Module, teacher: nn.Module | None, device: torch.device, *, records: bool
    ) -> None:
        self._recipe, self._model, self._teacher = recipe, model, teacher
        self._may_draw = recipe.dropout or recipe.has_own_network
        self._half = recipe.precision == "bfloat16"
        self._generator = torch.Generator(device)  # the augmentation's
        self._drops = torch.Generator(device)  # dropout's
        self._deform = find_augment(recipe)
        self._records = records
        self._recordings: dict[tuple[int, float], Recording] = {}
        """By the size of the part and its share of the batch."""

    def run(self, images: Digits, part: Tensor, chance: int, share: float) -> tuple[Tensor, Tensor]:
        """Go forward and backward; `share` is the part's share of the batch, a fraction."""
        generators = self._generator, self._drops
        for generator in generators:
            generator.manual_seed(chance)
        if not self._records:
            return self._differentiate(self._model, images, part, share)
        size = len(part), share
        if size not in self._recordings:
            spare = copy.deepcopy(self._model)
            self._recordings[size] = Recording(
                lambda part: self._differentiate(self._model, images, part, share),
                part,
                rehearse=lambda part: self._differentiate(spare, images, part, share),
                generators=generators,
            )
            return self.run(images, part, chance, share)
        losses, right = self._recordings[size].replay(part)
        return losses, right

    def _differentiate(self, model: nn.Module, images: Digits, part: Tensor, share: float) -> tuple[Tensor, Tensor]:
        chosen = images.images[part]
        if self._deform:
            chosen = deform(self._deform, chosen, self._generator)
        pixels = augment(to_unit(chosen), self._generator, self._recipe.augment)
        labels = images.labels[part]
        with (
            DrawingFrom(self._drops) if self._may_draw else nullcontext(),
            # without its cache of weights, which all threads share
            torch.autocast("cpu", torch.bfloat16, cache_enabled=False) if self._half else nullcontext(),
        ):
            seen = to_input(pixels)
            logits = model(seen).float()
            with torch.no_grad():
                taught = None if self._teacher is None else self._teacher(seen).float()
        losses = image_losses(logits, labels, self._recipe.label_smoothing, taught)
        model.zero_grad()
        (losses.mean() * share).backward()  # type: ignore[no-untyped-call]
        return losses.detach(), (logits.detach().argmax(dim=1) == labels).sum()


def may_be_recorded(recipe: Recipe, teacher: nn.Module | None) -> bool:
    """Tell whether a step runs no code of the user's, which may wait for the GPU, as no recording can."""
    parts = () if teacher is None else teacher.modules()
    has_own_teacher = any(type(part).__module__.partition(".")[0] not in ("torch", "under10k") for part in parts)
    return not (recipe.has_own_network or recipe.own_augment or has_own_teacher)


def image_losses(logits: Tensor, labels: Tensor, label_smoothing: float, taught: Tensor | None) -> Tensor:
    """Return what each image costs, float32 (B): by its label, and by what a teacher's logits say, if there are any."""
    losses = F.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction="none")
    return losses if taught is None else losses.lerp(distillation_loss(logits, taught), TAUGHT_SHARE)


def distillation_loss(logits: Tensor, taught: Tensor) -> Tensor:
    """Return how far a network is from its teacher on each image: both float32 (B, 10), logits; the result (B).

    It is the cross entropy of their softened probabilities, times the temperature's square, which keeps its gradient as
    large as that of the labels (Hinton, Vinyals and Dean, 2015, arXiv 1503.02531).
    """
    softened = F.cross_entropy(logits / TEMPERATURE, (taught / TEMPERATURE).softmax(dim=1), reduction="none")
    return softened * TEMPERATURE**2


def _replicate(model: nn.Module) -> nn.Module:
    """Return a network with the same weights, in the same memory, and gradients and statistics of its own."""
    replica = copy.deepcopy(model)
    for mine, weight in zip(replica.parameters(), model.parameters(), strict=True):
        mine.data = weight.data
    return replica.train()


def _start_threads(count: int) -> ThreadPoolExecutor:
    """Start threads in each of which torch computes alone; in the caller's, and in others', as many as before.

    Python's threads switch faster from then on, for the life of the process, in which other trainings may be under way.
    """
    if sys.getswitchinterval() > SWITCH_SECONDS:  # else the user has set it
        sys.setswitchinterval(SWITCH_SECONDS)
    before = torch.get_num_threads()
    all_submitted = threading.Event()

    def begin() -> None:
        torch.get_num_threads()  # or torch would ask for a number at its first operation, and forget ours
        torch.set_num_threads(1)
        all_submitted.wait()  # so that each takes a thread of its own

    pool = ThreadPoolExecutor(count, "shard")
    try:
        begun = [pool.submit(begin) for _ in range(count)]
    finally:
        all_submitted.set()
    for each in begun:
        each.result()
    torch.set_num_threads(before)  # new threads take the number that was last set in any
    return pool

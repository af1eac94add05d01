"""How weights move: SGD as functions, the running average of the weights, and both as one update."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd
from torch.optim.swa_utils import get_ema_multi_avg_fn

from under10k.recipes import Recipe
from under10k.training.recording import Recording


class Average:
    """An exponential moving average of a model's parameters and batch-norm statistics, as a model of its own.

    `torch.optim.swa_utils.AveragedModel` with its preparation done once: fourteen times as fast, which saves
    3 % of a step for a network of this size.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Start from a copy; `decay` is the share of the old average in the new one, a fraction."""
        self.model = copy.deepcopy(model)
        self._blend = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self.follow(model)

    def follow(self, model: nn.Module) -> None:
        """Average a model's weights from now on, of the same names and shapes."""
        pairs = list(zip(self.model.state_dict().values(), model.state_dict().values(), strict=True))
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        others = [pair for pair in pairs if not pair[0].is_floating_point()]
        self._averaged_counts, self._current_counts = map(list, zip(*others, strict=True)) if others else ([], [])
        self._averaged, self._current = map(list, zip(*floats, strict=True))

    @torch.no_grad()
    def update(self, *, first: bool) -> None:
        """Blend in the model's current weights; the first time, replace the untrained ones."""
        if first:
            torch._foreach_copy_(self._averaged, self._current)
        else:
            self._blend(self._averaged, self._current, None)
        if self._current_counts:
            torch._foreach_copy_(self._averaged_counts, self._current_counts)


class SGD:
    """`torch.optim.SGD` in its functional form, with the part of its interface that a training needs.

    The update is PyTorch's own, to the last bit. But making any `torch.optim.Optimizer` imports PyTorch's compiler,
    which takes longer than a tenth of a whole training here.
    """

    def __init__(
        self, parameters: Iterable[Tensor], *, lr: float, momentum: float, nesterov: bool, weight_decay: float
    ) -> None:
        self.param_groups: list[dict[str, Any]] = [{"params": list(parameters), "lr": lr}]
        self._momentum, self._nesterov, self._weight_decay = momentum, nesterov, weight_decay
        self._buffers: list[Tensor | None] = [None] * len(self.param_groups[0]["params"])

    @torch.no_grad()
    def step(self) -> None:
        """Move the weights by their gradients; a parameter without one stays. The rate may be a tensor on a GPU."""
        (group,) = self.param_groups
        moved = [number for number, parameter in enumerate(group["params"]) if parameter.grad is not None]
        buffers = [self._buffers[number] for number in moved]
        sgd(
            [group["params"][number] for number in moved],
            [group["params"][number].grad for number in moved],
            buffers,
            foreach=not isinstance(group["lr"], Tensor),
            fused=isinstance(group["lr"], Tensor),
            lr=group["lr"],
            momentum=self._momentum,
            nesterov=self._nesterov,
            weight_decay=self._weight_decay,
            dampening=0.0,
            maximize=False,
        )
        for number, buffer in zip(moved, buffers, strict=True):
            self._buffers[number] = buffer

    def state_dict(self) -> dict[str, Any]:
        """Return the momentum, in the form of `torch.optim.SGD`."""
        state = {n: {"momentum_buffer": buffer} for n, buffer in enumerate(self._buffers) if buffer is not None}
        return {"state": state, "param_groups": []}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a saved momentum, copied to the weights' device and memory layout."""
        for number, state in state_dict["state"].items():
            buffer = torch.empty_like(self.param_groups[0]["params"][number])
            self._buffers[number] = buffer.copy_(state["momentum_buffer"])


class Update:
    """Moves weights by their gradients, and their running average after them."""

    def __init__(self, optimizer: torch.optim.Optimizer | SGD, average: Average | None, *, records: bool) -> None:
        """Set up; `records`: on CUDA, and the gradients stay in the same memory, so that it can be recorded."""
        self._optimizer, self._average = optimizer, average
        device = optimizer.param_groups[0]["params"][0].device
        self._rate = torch.zeros((), device=device) if records and isinstance(optimizer, SGD) else None
        self._recording: Recording | None = None

    def take(self, rate: float, *, first: bool) -> None:
        """Take a step at a learning rate; `first`: the average so far is of untrained weights."""
        if self._rate is not None:
            self._rate.fill_(rate)
        if self._recording:
            self._recording.replay()
            return
        for group in self._optimizer.param_groups:
            group["lr"] = rate if self._rate is None else self._rate
        self._move(first=first)
        if self._rate is not None:
            self._recording = Recording(partial(self._move, first=False))

    def _move(self, *, first: bool) -> tuple[()]:
        self._optimizer.step()
        if self._average:
            self._average.update(first=first)
        return ()


def create_optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer | SGD:
    given = recipe.optimizer
    common: dict[str, Any] = {"lr": given.lr, "weight_decay": given.weight_decay}
    if given.name == "sgd":
        return SGD(model.parameters(), momentum=given.momentum, nesterov=given.nesterov, **common)
    kind = torch.optim.AdamW if given.name == "adamw" else torch.optim.Adam
    return kind(model.parameters(), betas=(given.momentum, 0.999), foreach=True, **common)

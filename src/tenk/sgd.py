"""Stochastic gradient descent without the second that `torch.optim` takes to start."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.sgd import sgd


class SGD:
    """`torch.optim.SGD` by its functional form, with as much of its interface as a training needs.

    The update is PyTorch's own, to the last bit. But to make any `torch.optim.Optimizer` imports PyTorch's compiler,
    which takes longer than a tenth of a whole training here.
    """

    def __init__(
        self, parameters: Iterable[Tensor], *, lr: float, momentum: float, nesterov: bool, weight_decay: float
    ) -> None:
        self.param_groups: list[dict[str, Any]] = [{"params": list(parameters), "lr": lr}]
        self._momentum, self._nesterov, self._weight_decay = momentum, nesterov, weight_decay
        self._buffers: list[Tensor | None] = [None] * len(self.param_groups[0]["params"])

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move the weights by their gradients; a parameter without one stays."""
        (group,) = self.param_groups
        moved = [number for number, parameter in enumerate(group["params"]) if parameter.grad is not None]
        buffers = [self._buffers[number] for number in moved]
        sgd(
            [group["params"][number] for number in moved],
            [group["params"][number].grad for number in moved],
            buffers,
            foreach=True,
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
        """Go on from a saved momentum, which is copied to the weights' device and memory layout."""
        for number, state in state_dict["state"].items():
            buffer = torch.empty_like(self.param_groups[0]["params"][number])
            self._buffers[number] = buffer.copy_(state["momentum_buffer"])

"""Trying out a network of the user's: does it read digits at all?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from under10k.data import CLASSES, SIDE
from under10k.errors import UsageError
from under10k.models.chance import DrawingFrom
from under10k.models.inspection import evaluating
from under10k.models.source import where_it_failed

MOST_PARAMETERS = 1_000_000
"""A hundred times the project's limit, and what its checkpoints have room for."""


def try_out(model: nn.Module, name: str) -> nn.Module:
    """Let a network read two images of noise; logits (B, 10, 1, 1) are flattened from then on.

    Raises:
        UsageError: it fails, gives another shape, NaN, or other answers each time; or it is too large, or learns
            nothing.
    """
    if any(isinstance(one, nn.UninitializedParameter) for one in model.parameters()):
        raise UsageError(f"lazy layers: {name}. give the sizes of their inputs")
    count = sum(parameter.numel() for parameter in model.parameters())
    if not 1 <= count <= MOST_PARAMETERS:
        raise UsageError(f"{count:,} parameters: {name}. under10k trains networks of 1 to {MOST_PARAMETERS:,}")
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 1, SIDE, SIDE, generator=generator)
    try:
        with torch.no_grad(), evaluating(model), DrawingFrom(generator), _StayingHere(name):
            logits, again = model(images), model(images)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"the network fails on two images: {name} ({where_it_failed(error)}). correct it") from None
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape not in ((2, CLASSES), (2, CLASSES, 1, 1)):
        raise UsageError(f"not logits: {name} turns images (2, 1, 28, 28) into {shape}. return (2, 10)")
    if not torch.isfinite(logits).all():
        raise UsageError(f"not finite: {name} gives NaN or infinity for an image of noise. correct it")
    if not torch.equal(logits, again):
        raise UsageError(
            f"random answers: {name} reads one image in two ways in evaluation, too. "
            "write F.dropout(x, p, training=self.training)"
        )
    if logits.dim() > 2:
        model.register_forward_hook(_flatten)
    return model


class _StayingHere(TorchFunctionMode):
    """Refuses what moves a tensor to a device: under10k moves network and images itself."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def __torch_function__(
        self,
        function: Callable[..., Any],
        _types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        called, kwargs = getattr(function, "__name__", ""), kwargs or {}
        named = [one for one in (*args[1:], *kwargs.values()) if isinstance(one, str | torch.device)]
        if called == "cuda" or (called == "to" and any(str(one).startswith(_DEVICES) for one in named)):
            raise UsageError(
                f"moves images to a device: forward of {self._name} calls .{called}(). "
                "leave that out: the caller chooses the device"
            )
        return function(*args, **kwargs)


_DEVICES = ("cuda", "mps")


def _flatten(_model: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output.flatten(1)

"""What a network computes, call by call: one forward pass, watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from under10k.data import SIDE
from under10k.models.inspection import evaluating

_ARGUMENTS = {
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "linear": ("input", "weight", "bias"),
    "batch_norm": ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
    "max_pool2d": ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "avg_pool2d": ("input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
    "adaptive_avg_pool2d": ("input", "output_size"),
    "adaptive_max_pool2d": ("input", "output_size"),
    "mean": ("input", "dim", "keepdim"),
    "amax": ("input", "dim", "keepdim"),
    "dropout": ("input", "p", "training"),
    "dropout2d": ("input", "p", "training"),
    "pad": ("input", "pad", "mode", "value"),
    "add": ("input", "other", "alpha"),
}
"""What the positional arguments of torch's functions are called."""


DROPOUTS = frozenset(("dropout", "dropout1d", "dropout2d", "alpha_dropout", "feature_alpha_dropout"))
"""Functions of torch that drop values in training, and change none in evaluation."""


@dataclass(frozen=True, eq=False)
class Call:
    """A call of one of torch's functions."""

    name: str
    """The function's, such as `conv2d`; the same for a method, and for one that works in place."""
    arguments: Mapping[str, Any]
    """By their names, where they are known; else by their positions."""
    inputs: tuple[Tensor, ...]
    """The tensors among them, those in lists too."""
    output: Tensor
    values: Tensor
    """A copy of the output, taken at once: a layer that works in place may overwrite it."""
    part: str
    """Dotted name of the innermost module that made the call; empty for the network itself."""
    module: nn.Module

    @property
    def where(self) -> str:
        """What made the call, for people: a layer, or a function in a module."""
        if self.part and not list(self.module.children()):
            return f"{self.part}, {self.module}"
        return f"{self.name} in {type(self.module).__name__}{f' {self.part}' if self.part else ''}"


@dataclass(eq=False)
class Trace:
    """The calls of one forward pass, in their order."""

    images: Tensor
    calls: list[Call] = field(default_factory=list)
    entered: set[nn.Module] = field(default_factory=set)
    """The modules whose forward was called."""
    output: Any = None

    def follow(self) -> tuple[list[list[int]], int | None]:
        """Return for each call the numbers of those whose results it takes, and the number of the one that ends it all.

        Only what comes of the images is followed; they are -1. None: the output does not come of them.
        """
        numbers: dict[Tensor, int] = {self.images: -1}
        parents: list[list[int]] = []
        for number, call in enumerate(self.calls):
            parents.append([numbers[tensor] for tensor in call.inputs if tensor in numbers])
            if parents[number]:
                numbers[call.output] = number  # in place or not: from here on, the tensor is this call's result
        return parents, numbers.get(self.output) if isinstance(self.output, Tensor) else None


def trace(model: nn.Module, images: Tensor | None = None) -> Trace:
    """Run images through a network in evaluation mode, and return what it called.

    `images` is normalised (B, 1, 28, 28), in the network's precision and on its device; by default two blank ones.
    """
    if images is None:
        like = next(model.parameters(), torch.empty(0))
        images = torch.zeros(2, 1, SIDE, SIDE, device=like.device, dtype=like.dtype)
    traced = Trace(images)
    names = {part: name for name, part in reversed(list(model.named_modules()))}
    inside: list[nn.Module] = [model]

    def enter(part: nn.Module, _: object) -> None:
        inside.append(part)
        traced.entered.add(part)

    def leave(*_: object) -> None:
        inside.pop()

    hooks = [part.register_forward_pre_hook(enter) for part in names]
    hooks += [part.register_forward_hook(leave) for part in names]
    try:
        with torch.no_grad(), evaluating(model), _Watch(traced, names, inside):
            traced.output = model(traced.images)
    finally:
        for hook in hooks:
            hook.remove()
    return traced


class _Watch(TorchFunctionMode):
    """Writes down each call that returns a tensor."""

    def __init__(self, traced: Trace, names: Mapping[nn.Module, str], inside: list[nn.Module]) -> None:
        super().__init__()
        self._traced, self._names, self._inside = traced, names, inside

    def __torch_function__(
        self,
        function: Callable[..., Any],
        _types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        output = function(*args, **(kwargs or {}))
        name = _plain_name(getattr(function, "__name__", "function"))
        known = _ARGUMENTS.get(name, ())
        given = {known[number] if number < len(known) else str(number): value for number, value in enumerate(args)}
        given.update(kwargs or {})
        inputs, part = tuple(_tensors(list(given.values()))), self._inside[-1]
        for tensor in _tensors(output):
            self._traced.calls.append(
                Call(name, given, inputs, tensor, tensor.detach().clone(), self._names.get(part, ""), part)
            )
        return output


def _plain_name(name: str) -> str:
    """Return `add` for `__iadd__` and `add_`."""
    bare = name.strip("_")
    return bare[1:] if name.startswith("__") and bare in ("iadd", "radd", "imul", "rmul") else bare


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield a tensor, or those in a list or tuple."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)

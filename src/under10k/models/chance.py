"""Random numbers from a generator of one's own: all threads of a process share torch's global one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor
from torch.overrides import TorchFunctionMode

from under10k.errors import UsageError

_DRAWING = frozenset(
    f"{name}{ending}"
    for ending in ("", "_")
    for name in (
        *("rand", "randn", "randint", "randperm", "multinomial", "poisson", "uniform", "normal", "trunc_normal"),
        *("random", "bernoulli", "exponential", "geometric", "cauchy", "log_normal", "orthogonal"),
        *("kaiming_uniform", "kaiming_normal", "xavier_uniform", "xavier_normal"),
    )
)
"""Functions of torch that take a `generator`."""


_WITHOUT_GENERATOR = frozenset(
    (
        *("rand_like", "randn_like", "randint_like", "rrelu", "gumbel_softmax", "fractional_max_pool2d"),
        *("alpha_dropout", "feature_alpha_dropout"),
    )
)


_OF_WHOLE_MAPS = frozenset(("dropout1d", "dropout2d", "dropout3d"))


class DrawingFrom(TorchFunctionMode):
    """Within a `with`, torch's functions draw from one generator and leave the global one alone.

    The numbers are those that the global generator gives under the same seed, but for dropout's on a CPU, which are
    drawn several times as fast. Other threads are not affected.

    Raises:
        UsageError: a network calls a function that takes no generator.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self._generator = generator

    def __torch_function__(
        self,
        function: Callable[..., Any],
        _types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, with the generator where it draws."""
        kwargs, name = kwargs or {}, getattr(function, "__name__", "")
        if name == "dropout":
            return self._dropout(*args, **kwargs)
        if name in _OF_WHOLE_MAPS:
            return self._dropout_of_maps(*args, **kwargs)
        if name in _WITHOUT_GENERATOR:
            raise UsageError(f"random numbers without a seed: the network calls {name}. use torch.nn.Dropout, or none")
        if name in _DRAWING and kwargs.get("generator") is None:
            kwargs = {**kwargs, "generator": self._generator}
        return function(*args, **kwargs)

    def _dropout(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        """`F.dropout`, which takes no generator."""
        if not training:
            return input
        noise = torch.empty_like(input)
        if input.device.type == "cpu":
            _draw_kept(noise, p, self._generator)
        else:
            noise.bernoulli_(1 - p, generator=self._generator)
            if p < 1:
                noise.div_(1 - p)
        return input.mul_(noise) if inplace else input * noise

    def _dropout_of_maps(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        """`F.dropout2d` and its like: each map (H, W) of a batch (B, C, H, W) is dropped as a whole."""
        noise = self._dropout(input.new_ones((*input.shape[:2], *[1] * (input.dim() - 2))), p, training)
        return input.mul_(noise) if inplace else input * noise


def _draw_kept(noise: Tensor, p: float, generator: Generator) -> None:
    """Fill a tensor with what dropout multiplies by: 0 at a rate of `p`, elsewhere what keeps the mean at 1.

    Sixteen random bits decide over a value, so that a 64-bit number serves four. With torch's own `bernoulli_`, which
    draws one number for each, a step of `gap` takes a quarter to a half longer.
    """
    dropped = round(p * 2**16)
    bits = torch.empty(-(-noise.numel() // 4), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    scale = 2**16 / (2**16 - dropped) if dropped < 2**16 else 0.0
    kept = noise.as_strided((noise.numel(),), (1,))
    torch.ge(bits.view(torch.int16)[: noise.numel()], dropped - 2**15, out=kept)  # as floats: a quarter of bools' time
    kept.mul_(scale)

"""A network in integers: 8-bit weights and activations, 32-bit sums; the C code equals this reference bit for bit.

A real number is `scale * (q - zero)`. Each stage sums products of uint8 activations and int8 weights, then brings the
sum to the next stage's scale: times a 31-bit integer, shifted right (Jacob et al., 2018, arXiv 1712.05877).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from under10k.errors import UsageError
from under10k.export.plain import AveragePool, MaxPool, run_layers
from under10k.export.stages import Network, Stage
from under10k.models import shift

LOGIT_BITS = 16
"""Logits are integers in units of 2 ** -16."""


_LARGEST_SHIFT = 46
"""A larger shift would leave nothing of a 31-bit sum; up to this one, what is added fits into 64 bits."""


_LARGEST = 255


@dataclass(frozen=True, eq=False)
class Scaling:
    """What the integers of one tensor mean: `scale * (q - zero)`."""

    scale: float
    zero: float
    """An integer, except for pixels, where black lies between two."""

    @property
    def border(self) -> int:
        """The integer nearest to a real 0: what padded maps are surrounded by."""
        return round(self.zero)


@dataclass(frozen=True, eq=False)
class IntegerStage(Stage):
    """A stage and its integers; without a convolution it only pools, and keeps its input's scale.

    Let `sum` be the sum of products and bias, cut off at 0 if the convolution has a ReLU, then pooled. The result is
    `(sum * multiplier + skip_multiplier * input + addend) >> shift`, kept within 0 and 255.
    """

    border: int
    """What surrounds the input if the convolution is padded."""
    weights: NDArray[np.int8]
    """(outputs, inputs, height, width)."""
    bias: NDArray[np.int32]
    multiplier: NDArray[np.int32]
    addend: NDArray[np.int64]
    """Rounding, the output's zero, and what an affine layer adds."""
    skip_multiplier: int
    """0 if the input is not added."""
    shift: int
    is_last: bool
    """The last stage's results are logits: int32, not cut off, shifted toward 0."""


@dataclass(frozen=True, eq=False)
class IntegerNetwork:
    """Stages in integers; logits are summed over all views of a picture."""

    stages: tuple[IntegerStage, ...]
    views: int

    @property
    def unit(self) -> float:
        """The unit of a logit."""
        return 2.0**-LOGIT_BITS / self.views


def quantise(network: Network, calibration: Tensor) -> IntegerNetwork:
    """Choose a network's integers: weights by output channel, activations by their range on `calibration`.

    `calibration` is uint8 (N, 28, 28): images like those the network was trained on, never those it is tested with.
    With several views only the images as they are count.
    """
    scaling = Scaling(network.scale, -network.offset / network.scale)
    maps = network.scale * calibration.float().unsqueeze(1) + network.offset
    integer = []
    for number, stage in enumerate(network.stages, start=1):
        maps = run_layers(stage.layers, maps)
        last = number == len(network.stages)
        if stage.convolution is None:
            integer.append(_pool(stage, scaling))
            continue
        after = Scaling(2.0**-LOGIT_BITS, 0) if last else _fit(maps)
        integer.append(_quantise_stage(stage, scaling, after, last, network.views))
        scaling = after
    return IntegerNetwork(tuple(integer), network.views)


def _fit(maps: Tensor) -> Scaling:
    """Spread 0 to 255 over the range of a tensor."""
    low, high = min(0.0, float(maps.min())), max(0.0, float(maps.max()))
    scale = (high - low) / _LARGEST or 1.0
    return Scaling(scale, round(-low / scale))


def _pool(stage: Stage, scaling: Scaling) -> IntegerStage:
    none = np.zeros(0)
    return IntegerStage(
        **vars(stage),
        border=scaling.border,
        weights=none.astype(np.int8),
        bias=none.astype(np.int32),
        multiplier=none.astype(np.int32),
        addend=none.astype(np.int64),
        skip_multiplier=0,
        shift=0,
        is_last=False,
    )


def _quantise_stage(stage: Stage, before: Scaling, after: Scaling, is_last: bool, views: int) -> IntegerStage:
    convolution, affine = stage.convolution, stage.affine
    assert convolution is not None
    count = stage.pool.side**2 if isinstance(stage.pool, AveragePool) else 1
    # the second bound keeps the bias of a nearly empty filter within 24 bits
    units = np.maximum(
        np.abs(convolution.weights).max(axis=(1, 2, 3)) / 127, np.abs(convolution.bias) / before.scale / 2**24
    )
    units[units == 0] = 1
    weights = np.rint(convolution.weights / units[:, None, None, None])
    bias = np.rint(convolution.bias / (units * before.scale) - before.zero * weights.sum(axis=(1, 2, 3)))
    factors = units * before.scale / after.scale / count * (affine.scale if affine else 1)
    skip_factor = before.scale / after.scale if stage.skip else 0.0
    shift = min(_LARGEST_SHIFT, 30 - math.frexp(max(np.abs(factors).max(), skip_factor))[1])
    added = np.full_like(bias, after.zero) + (affine.offset / after.scale if affine else 0)
    addend = np.rint((added if is_last else added + 0.5) * 2.0**shift)
    addend[: stage.input[0]] -= round(skip_factor * 2**shift) * before.border
    integer = IntegerStage(
        **vars(stage),
        border=before.border,
        weights=weights.astype(np.int8),
        bias=bias.astype(np.int32),
        multiplier=np.rint(factors * 2.0**shift).astype(np.int32),
        addend=addend.clip(-(2**62), 2**62).astype(np.int64),
        skip_multiplier=round(skip_factor * 2**shift),
        shift=shift,
        is_last=is_last,
    )
    _check_range(integer, count, views)
    return integer


def _check_range(integer: IntegerStage, count: int, views: int) -> None:
    """Make sure that no image can make a sum overflow, which C leaves undefined."""
    sums = _largest_sums(integer) * count
    totals = [
        int(total) * abs(int(factor)) + abs(int(added)) + _LARGEST * integer.skip_multiplier
        for total, factor, added in zip(sums, integer.multiplier, integer.addend, strict=True)
    ]
    results = [views * (total >> integer.shift) for total in totals] if integer.is_last else []
    if sums.max() >= 2**31 or max(totals) >= 2**63 or max(results, default=0) >= 2**31 or not 0 < integer.shift < 63:
        raise UsageError("weights too large for 32-bit sums: int8. export in float, or train again")


def run_int8(network: IntegerNetwork, images: Tensor, batch_size: int = 500) -> NDArray[np.int32]:
    """Run the integer network: uint8 (N, 28, 28) -> logits int32 (N, 10), in units of `network.unit`."""
    parts = []
    for maps in torch.split(images.unsqueeze(1).double(), batch_size):
        views = shift(maps, 0) if network.views > 1 else [maps]
        logits = torch.stack([_run_stages(network, view) for view in views]).sum(dim=0)
        parts.append(logits.flatten(1).numpy().astype(np.int32))
    return np.concatenate(parts)


def _run_stages(network: IntegerNetwork, maps: Tensor) -> Tensor:
    for stage in network.stages:
        maps = _run_stage(stage, maps)
    return maps


def _run_stage(stage: IntegerStage, maps: Tensor) -> Tensor:
    """Run one stage on integers held as floats."""
    side = stage.pool.side if stage.pool else 1
    if stage.convolution is None:
        if isinstance(stage.pool, MaxPool):
            return F.max_pool2d(maps, side)
        return ((_window_sums(maps, side) + side * side // 2) / side**2).floor()
    padded = F.pad(maps, [stage.padding] * 4, value=stage.border)
    kind = _exact_kind(stage)
    weights, bias = (torch.from_numpy(values).to(kind) for values in (stage.weights, stage.bias))
    sums = F.conv2d(padded.to(kind), weights, bias).double()
    if stage.convolution.relu:
        sums = sums.relu()
    if isinstance(stage.pool, MaxPool):
        sums = F.max_pool2d(sums, side)
    elif isinstance(stage.pool, AveragePool):
        sums = _window_sums(sums, side)
    return _rescale(stage, sums, padded)


def _exact_kind(integer: IntegerStage) -> torch.dtype:
    """Return the fastest float type that sums a stage's products exactly.

    float32 holds integers below 2 ** 24, but only oneDNN is known to sum the products themselves: others may use a
    transform that rounds.
    """
    has_one_dnn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return torch.float32 if has_one_dnn and _largest_sums(integer).max() < 2**24 else torch.float64


def _largest_sums(integer: IntegerStage) -> NDArray[np.int64]:
    """Return the largest magnitude of each channel's sum of products and bias that any image can cause."""
    magnitudes = np.abs(integer.weights.astype(np.int64)).sum(axis=(1, 2, 3))
    sums: NDArray[np.int64] = _LARGEST * magnitudes + np.abs(integer.bias.astype(np.int64))
    return sums


def _window_sums(maps: Tensor, side: int) -> Tensor:
    return maps.unfold(2, side, side).unfold(3, side, side).sum(dim=(-1, -2))


def _rescale(integer: IntegerStage, sums: Tensor, padded: Tensor) -> Tensor:
    """Bring sums to the scale of the stage's output, in 64-bit integers as C does."""
    multiplier, addend = (torch.from_numpy(values).view(-1, 1, 1) for values in (integer.multiplier, integer.addend))
    totals = sums.long() * multiplier + addend
    if integer.skip_multiplier:
        border, missing = (sums.shape[-1] - padded.shape[-1]) // 2, sums.shape[1] - padded.shape[1]
        totals += integer.skip_multiplier * F.pad(padded.long(), (border, border, border, border, 0, missing))
    shifted = totals.sign() * (totals.abs() >> integer.shift)
    return (shifted if integer.is_last else shifted.clamp(0, _LARGEST)).double()

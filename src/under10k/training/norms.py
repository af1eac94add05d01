"""Batch norm over maps with channels last, as fast for widths that fill no register as for those that do."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

LANES = 16
"""Values that a CPU's widest registers take at once: 512 bits of float32."""


class FoldedBatchNorm(nn.BatchNorm2d):
    """Computes what `nn.BatchNorm2d` does, up to rounding, on pixels folded into channels.

    With channels last, PyTorch takes the channels beyond the last full register one at a time, and on one thread. But
    eight pixels of ten channels lie in memory as one of eighty would, which fills five registers: so statistics and
    gradients are summed for eighty channels, and then over the eight.
    """

    def forward(self, input: Tensor) -> Tensor:
        fold = LANES // math.gcd(self.num_features, LANES)
        pixels = input.numel() // self.num_features
        divides = pixels % fold == 0
        has_channels_last = input.is_contiguous(memory_format=torch.channels_last)
        if not (self.training and self.momentum and divides and has_channels_last and input.dtype == self.weight.dtype):
            return super().forward(input)
        out: Tensor
        out, mean, variance = _Norm.apply(input, self.weight, self.bias, self.eps, fold)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self.get_buffer("num_batches_tracked").add_(1)
            self.get_buffer("running_mean").lerp_(mean, self.momentum)
            self.get_buffer("running_var").lerp_(variance * (pixels / (pixels - 1)), self.momentum)
        return out


def fold_norms(model: nn.Module) -> None:
    """Let the batch norms of a network fold pixels into channels, those whose widths fill no registers."""
    for part in model.modules():
        if type(part) is nn.BatchNorm2d and part.num_features % LANES:
            part.__class__ = FoldedBatchNorm


def unfold_norms(model: nn.Module) -> None:
    """Make the batch norms of a network PyTorch's own again, as `torch.vmap` wants them."""
    for part in model.modules():
        if isinstance(part, FoldedBatchNorm):
            part.__class__ = nn.BatchNorm2d  # type: ignore[assignment]


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor, bias: Tensor, eps: float, fold: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the result, and each channel's mean and variance (C)."""
        folded = _fold(input, fold)
        means, variances = (
            each.view(fold, -1) for each in torch.batch_norm_update_stats(folded, None, None, momentum=0)
        )
        mean = means.mean(dim=0)
        variance = (variances + (means - mean) ** 2).mean(dim=0)
        scale = weight * (variance + eps).rsqrt()
        out = torch.empty_like(input)
        torch.addcmul(_tile(bias - mean * scale, fold), folded, _tile(scale, fold), out=_fold(out, fold))
        ctx.save_for_backward(input, weight, mean, variance)
        ctx.eps, ctx.fold = eps, fold
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Return the gradients of input, weight and bias."""
        input, weight, mean, variance = ctx.saved_tensors
        fold, pixels = ctx.fold, input.numel() // len(weight)
        folded, flowing = _fold(input, fold), _fold(gradient, fold)
        fixed = (each.repeat(fold) for each in (weight, mean, variance))
        _, of_weights, of_biases = torch.ops.aten.native_batch_norm_backward(
            flowing, folded, *fixed, None, None, False, ctx.eps, [False, True, True]
        )
        of_weight, of_bias = (each.view(fold, -1).sum(dim=0) for each in (of_weights, of_biases))
        # By the chain rule through mean and variance, the input's gradient is linear in the result's and the input.
        inverse = (variance + ctx.eps).rsqrt()
        scale = weight * inverse
        slope = -scale * inverse * of_weight / pixels
        offset = -scale * of_bias / pixels - slope * mean
        out = torch.empty_like(input)
        into = _fold(out, fold)
        torch.addcmul(_tile(offset, fold), flowing, _tile(scale, fold), out=into).addcmul_(folded, _tile(slope, fold))
        return out, of_weight, of_bias, None, None


def _fold(maps: Tensor, fold: int) -> Tensor:
    """Return maps as one image of more channels: (B, C, H, W) -> (1, fold * C, B * H * W / fold, 1)."""
    rows = maps.permute(0, 2, 3, 1).reshape(1, -1, 1, fold * maps.shape[1])
    return rows.permute(0, 3, 1, 2)


def _tile(values: Tensor, fold: int) -> Tensor:
    """Repeat a value a channel for the channels folded: (C) -> (1, fold * C, 1, 1)."""
    return values.repeat(fold).view(1, -1, 1, 1)

"""Batch norm on folded pixels is batch norm."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from under10k.training.norms import FoldedBatchNorm, fold_norms, unfold_norms


def norms(channels: int) -> tuple[nn.BatchNorm2d, nn.BatchNorm2d]:
    """Return PyTorch's batch norm and ours, of the same weights and statistics."""
    torch.manual_seed(0)
    plain = nn.BatchNorm2d(channels).double()
    for values in (plain.weight, plain.bias, plain.running_mean):
        assert values is not None
        nn.init.normal_(values)
    folded = copy.deepcopy(plain)
    fold_norms(folded)
    assert isinstance(folded, FoldedBatchNorm)
    return plain, folded


def maps(images: int, channels: int, side: int) -> Tensor:
    drawn = torch.randn(images, channels, side, side, dtype=torch.float64) * 3 + 5
    return drawn.contiguous(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("channels", [1, 3, 6, 8, 9, 10, 12, 14, 20, 46])
def test_results_gradients_and_statistics_are_those_of_pytorch(channels: int) -> None:
    plain, folded = norms(channels)
    images = maps(16, channels, 5)
    other = images.detach().clone().requires_grad_()
    weights = torch.randn_like(images)
    for _ in range(2):
        expected, found = plain(images), folded(other)
        torch.testing.assert_close(found, expected)
        assert found.is_contiguous(memory_format=torch.channels_last)
        (expected * weights).sum().backward()
        (found * weights).sum().backward()
    assert images.grad is not None
    assert other.grad is not None
    torch.testing.assert_close(other.grad, images.grad)
    for mine, theirs in zip(folded.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(folded.get_buffer(name), buffer)


def test_its_gradient_is_the_slope_of_its_result() -> None:
    _, folded = norms(6)
    weights = torch.randn(6, dtype=torch.float64, requires_grad=True)
    biases = torch.randn(6, dtype=torch.float64, requires_grad=True)

    def normalise(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(folded, {"weight": weight, "bias": bias}, (images,))
        return result

    assert torch.autograd.gradcheck(normalise, (maps(4, 6, 4), weights, biases))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_pixels_that_do_not_divide_and_another_layout_are_left_to_pytorch(layout: torch.memory_format) -> None:
    plain, folded = norms(10)
    images = maps(3, 10, 5).detach().contiguous(memory_format=layout)
    torch.testing.assert_close(folded(images), plain(images))
    torch.testing.assert_close(folded.eval()(images), plain.eval()(images))


def test_norms_unfold_into_pytorchs_own_and_widths_that_fill_registers_are_never_folded() -> None:
    model = nn.Sequential(nn.BatchNorm2d(10), nn.BatchNorm2d(32))
    fold_norms(model)
    assert [type(part) for part in model] == [FoldedBatchNorm, nn.BatchNorm2d]
    unfold_norms(model)
    assert [type(part) for part in model] == [nn.BatchNorm2d, nn.BatchNorm2d]

"""Layers of other people's networks: followed where plain layers compute the same, else refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from under10k.data.digits import normalise
from under10k.data.synthetic import draw_digits
from under10k.errors import UsageError
from under10k.export.plain import Affine, run_layers, run_plain
from under10k.export.stages import group
from under10k.export.translation import flatten, without_log_softmax


def ending(*layers: nn.Module) -> nn.Sequential:
    """Layers, then a fully connected one; batch norm has seen digits."""
    torch.manual_seed(0)
    model = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(10)).train()
    model(normalise(draw_digits(50, seed=5).images))
    return model.eval()


def require_same(model: nn.Module) -> None:
    images = draw_digits(20, seed=3).images
    expected = without_log_softmax(model)(normalise(images))
    assert expected.std() > 0.01
    torch.testing.assert_close(run_plain(flatten(model), images / 255), expected, atol=1e-4, rtol=0)


class Written(nn.Module):
    """Two convolutions, put together by a forward that a test gives."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.out, self.wide = nn.Linear(4, 10), nn.Linear(784, 10)
        self.written = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.written(self, x)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(1, 4, (3, 5), padding=(1, 2)),
        nn.Conv2d(1, 4, 3, stride=2),
        nn.MaxPool2d(3, 2),
        nn.MaxPool2d(2, padding=1),
        nn.MaxPool2d(3, ceil_mode=True),
        nn.MaxPool2d(2, dilation=2),
        nn.AvgPool2d(2, 1),
        nn.BatchNorm2d(1, track_running_stats=False),
        nn.Tanh(),
        nn.GroupNorm(1, 1),
        nn.PixelUnshuffle(2),
    ],
    ids=str,
)
def test_a_layer_that_no_plain_layer_stands_for_is_refused_by_name(layer: nn.Module) -> None:
    with pytest.raises(UsageError) as caught:
        flatten(ending(layer))
    assert f"C and the page do not know 0, {type(layer).__name__}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 4, (3, 3), padding=(1, 1)),
        nn.Conv2d(1, 4, 3, padding="same"),
        nn.Conv2d(1, 4, 5, padding="valid", bias=False),
        nn.Conv2d(1, 4, 3, dilation=2, padding=2),
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3, groups=2)),
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4, dilation=2)),
        nn.BatchNorm2d(1, affine=False),
        nn.MaxPool2d((2, 2), (2, 2)),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.MaxPool2d(28, 1),
        nn.Sequential(nn.AvgPool2d(2), nn.ReLU()),
        nn.Sequential(nn.ReLU(), nn.Dropout2d(0.5), nn.Identity()),
        nn.Sequential(nn.Sequential(), nn.AdaptiveAvgPool2d(1)),
        nn.AdaptiveMaxPool2d((1, 1)),
        nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.BatchNorm1d(8), nn.ReLU()),
    ],
    ids=str,
)
def test_a_layer_that_a_plain_layer_stands_for_computes_the_same(layer: nn.Module) -> None:
    require_same(ending(layer))


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: net.out(F.relu(net.norm(net.b(F.relu(net.a(x))))).mean(dim=(2, 3))),
        lambda net, x: net.out(F.avg_pool2d(net.b(net.a(x)).relu(), kernel_size=28).view(len(x), -1)),
        lambda net, x: net.out(torch.relu(net.norm(net.a(x))).mean([-1, -2], keepdim=True).squeeze()),
        lambda net, x: net.out(F.adaptive_avg_pool2d(net.a(x).relu_(), 1).squeeze(-1).squeeze(-1)),
        lambda net, x: F.log_softmax(net.out(net.a(x).amax((2, 3))), dim=-1),
        lambda net, x: net.out((net.a(x) + F.relu(net.b(net.a(x)))).mean((2, 3))) if False else net.wide(x.flatten(1)),
        lambda net, x: net.out(add(net.a(x), lambda y: F.relu(net.b(y))).mean((2, 3))),
        lambda net, x: net.out(F.relu(add(net.a(x), lambda y: net.norm(net.b(F.relu(y))))).mean((2, 3))),
        lambda net, x: net.out(add_in_place(net.a(x), lambda y: net.norm(net.b(y))).mean((2, 3))),
        lambda net, x: net.out(add(add(net.a(x), net.b), lambda y: F.relu(add(net.b(y), net.norm))).mean((2, 3))),
        lambda net, x: net.out(F.dropout(net.a(x), 0.5, net.training).amax((2, 3))),
        lambda net, x: net.wide(x.reshape(x.shape[0], 784)),
    ],
)
def test_a_forward_of_ones_own_is_followed(forward: Callable[[Any, Tensor], Tensor]) -> None:
    model = Written(forward).train()
    model(normalise(draw_digits(50, seed=5).images))
    require_same(model.eval())


def add(x: Tensor, inner: Callable[[Tensor], Tensor]) -> Tensor:
    return x + inner(x)


def add_in_place(x: Tensor, inner: Callable[[Tensor], Tensor]) -> Tensor:
    y = inner(x)
    y += x
    return y


@pytest.mark.parametrize(
    ("forward", "told"),
    [
        (lambda net, x: net.out((net.a(x) * 2).mean((2, 3))), "mul in Written"),
        (lambda net, x: net.out(torch.cat([net.a(x)[:, :2], net.a(x)[:, 2:]], 1).mean((2, 3))), "cat in Written"),
        (lambda net, x: net.out(add(net.a(x), lambda y: 3 * y).mean((2, 3))), "mul in Written"),
        (lambda net, x: net.out((net.a(x) + net.a(x).flip(3)).mean((2, 3))), "in Written"),
        (lambda net, x: net.out(net.a(x).mean(3).mean(2)), "mean in Written"),
        (lambda net, x: net.out(net.a(x).mT.mean((2, 3))), "get in Written"),
        (lambda net, x: F.softmax(net.wide(x.flatten(1)), -1), "softmax in Written"),
        (lambda net, x: net.out(F.log_softmax(net.a(x).mean((2, 3)), 1)), "log_softmax in Written"),
        (lambda net, x: net.wide(x.transpose(2, 3).flatten(1)), "transpose in Written"),
        (lambda net, x: net.out(net.norm(net.a(x).view(-1, 4, 14, 56)).mean((2, 3))), "in Written"),
        (lambda net, x: torch.zeros(len(x), 10), "the output of Written cannot be followed"),
    ],
)
def test_a_forward_that_cannot_be_followed_is_refused_by_its_first_call(
    forward: Callable[[Any, Tensor], Tensor], told: str
) -> None:
    with pytest.raises(UsageError, match="cannot export") as caught:
        flatten(Written(forward).eval())
    assert told in str(caught.value)
    assert "ONNX takes any network" in str(caught.value)


def test_batch_norm_is_folded_wherever_it_stands() -> None:
    for layers in (
        (nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU()),
        (nn.Conv2d(1, 3, 3), nn.AvgPool2d(2), nn.BatchNorm2d(3)),
        (nn.BatchNorm2d(1), nn.Conv2d(1, 3, 3), nn.ReLU()),
    ):
        model = ending(*layers)
        assert not [layer for layer in flatten(model) if isinstance(layer, Affine)], layers
        require_same(model)


def test_a_sum_past_several_layers_is_refused_for_c_in_one_line() -> None:
    model = Written(lambda net, x: net.out(add(net.a(x), lambda y: net.b(F.relu(net.b(y)))).mean((2, 3))))
    with pytest.raises(UsageError, match=r"^cannot export to C: a sum .* past 2 layers\. .*ONNX$"):
        group(flatten(model.eval()))


@pytest.mark.parametrize(
    "model",
    [
        ending(nn.MaxPool2d(2), nn.BatchNorm2d(1), nn.ReLU(), nn.MaxPool2d(2), nn.ReLU()),
        Written(lambda net, x: net.out(F.relu(add(net.a(x), net.b)).mean((2, 3)))),
        nn.Sequential(nn.Conv2d(1, 10, 3), nn.ReLU(), nn.BatchNorm2d(10), nn.MaxPool2d(26), nn.Flatten()),
    ],
    ids=["between pools", "after a sum", "at the end"],
)
def test_what_belongs_to_no_convolution_is_a_stage_of_its_own_in_c(model: nn.Module) -> None:
    images = draw_digits(20, seed=3).images
    network = group(flatten(model.eval()))
    maps = network.scale * images.unsqueeze(1) + network.offset
    for stage in network.stages:
        maps = run_layers(stage.layers, maps)
    torch.testing.assert_close(maps.flatten(1), model(normalise(images)), atol=1e-4, rtol=0)

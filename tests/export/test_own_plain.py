"""Layers of other people's networks: those that look like ours and compute something else are refused by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from under10k.errors import UsageError
from under10k.export.plain import flatten, run_plain


def ending(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(10))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(1, 4, 3, padding="same"),
        nn.Conv2d(1, 4, (3, 5), padding=(1, 2)),
        nn.Conv2d(1, 4, 3, stride=2),
        nn.MaxPool2d(3, 2),
        nn.MaxPool2d(2, padding=1),
        nn.MaxPool2d(3, ceil_mode=True),
        nn.MaxPool2d(2, dilation=2),
        nn.AvgPool2d(2, 1),
        nn.BatchNorm2d(1, affine=False),
        nn.Tanh(),
        nn.GroupNorm(1, 1),
    ],
    ids=str,
)
def test_a_layer_that_no_plain_layer_stands_for_is_refused_by_name(layer: nn.Module) -> None:
    model = ending(layer).eval()
    model(torch.zeros(2, 1, 28, 28))
    with pytest.raises(UsageError) as caught:
        flatten(model)
    assert f"no plain layer stands for {type(layer).__name__}" in str(caught.value)


def test_a_network_without_sequential_is_refused_by_its_class_in_one_short_line() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(784, 10)

    with pytest.raises(UsageError, match=r"^cannot export: no plain layer stands for Net\. write one"):
        flatten(Net())


def test_a_square_given_as_a_pair_and_a_missing_bias_are_exported() -> None:
    model = ending(nn.Conv2d(1, 4, (3, 3), padding=(1, 1)), nn.ReLU(), nn.MaxPool2d((2, 2), (2, 2)))
    pixels = torch.rand(5, 28, 28)
    normalised = (pixels.unsqueeze(1) - 0.1307) / 0.3081
    model.eval()(normalised)
    model[-1] = nn.Linear(784, 10, bias=False)
    torch.testing.assert_close(run_plain(flatten(model), pixels), model(normalised), atol=1e-4, rtol=0)

"""A network within `DrawingFrom` draws what it would from torch's global generator, and leaves that alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from under10k.errors import UsageError
from under10k.models.chance import DrawingFrom
from under10k.models.registry import create_model, list_models

DRAWS: dict[str, Callable[[], Tensor]] = {
    "rand": lambda: torch.rand(3),
    "randn": lambda: torch.randn(3),
    "randperm": lambda: torch.randperm(9),
    "bernoulli": lambda: torch.bernoulli(torch.full((9,), 0.5)),
    "normal_": lambda: nn.init.normal_(torch.empty(3)),
    "trunc_normal_": lambda: nn.init.trunc_normal_(torch.empty(3)),
    "orthogonal_": lambda: nn.init.orthogonal_(torch.empty(3, 3)),
    "xavier_uniform_": lambda: nn.init.xavier_uniform_(torch.empty(3, 3)),
    "linear": lambda: nn.Linear(3, 2).bias.detach(),
    "dropout": lambda: F.dropout(torch.ones(99), 0.3),
    "dropout1d": lambda: F.dropout1d(torch.ones(9, 5, 2), 0.3),
    "dropout2d": lambda: F.dropout2d(torch.ones(9, 5, 2, 2), 0.3),
    "dropout2d, in evaluation": lambda: nn.Dropout2d(0.3).eval()(torch.ones(9, 5, 2, 2)),
    "dropout, all": lambda: F.dropout(torch.ones(99), 1.0),
    "dropout, in place": lambda: F.dropout(torch.ones(99), 0.3, inplace=True),
    "dropout, in evaluation": lambda: nn.Dropout(0.3).eval()(torch.ones(99)),
}


def drawn_from(seed: int, draw: Callable[[], Any]) -> Any:
    with DrawingFrom(torch.Generator().manual_seed(seed)):
        return draw()


@pytest.mark.parametrize("name", DRAWS)
def test_the_numbers_are_those_of_the_global_generator_which_stays_as_it_was(name: str) -> None:
    torch.manual_seed(7)
    expected, after = DRAWS[name](), torch.get_rng_state()
    torch.manual_seed(8)
    before = torch.get_rng_state()
    assert torch.equal(drawn_from(7, DRAWS[name]), expected)
    assert torch.equal(torch.get_rng_state(), before)
    assert ", " in name or not torch.equal(before, after)


@pytest.mark.parametrize("name", list_models())
def test_a_networks_weights_and_dropout_are_those_of_the_global_generator(name: str) -> None:
    torch.manual_seed(7)
    expected = create_model(name, dropout=0.3)
    images = torch.randn(4, 1, 28, 28)
    model = drawn_from(7, lambda: create_model(name, dropout=0.3))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))
    torch.manual_seed(9)
    assert torch.equal(drawn_from(9, lambda: model(images)), expected(images))


def test_a_function_that_takes_no_generator_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="random numbers without a seed: the network calls rand_like"):
        drawn_from(7, lambda: torch.rand_like(torch.ones(3)))

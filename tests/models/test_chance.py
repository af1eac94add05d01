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
    "dropout, all": lambda: F.dropout(torch.ones(99), 1.0),
    "dropout, in evaluation": lambda: nn.Dropout(0.3).eval()(torch.ones(99)),
    "dropout2d, in evaluation": lambda: nn.Dropout2d(0.3).eval()(torch.ones(9, 5, 2, 2)),
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
def test_a_networks_weights_are_those_of_the_global_generator(name: str) -> None:
    torch.manual_seed(7)
    expected = create_model(name, dropout=0.3)
    model = drawn_from(7, lambda: create_model(name, dropout=0.3))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.3, 0.5, 0.99])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_dropout_zeroes_its_share_and_keeps_the_mean(rate: float, layout: torch.memory_format) -> None:
    images = torch.ones(50, 20, 20, 20).contiguous(memory_format=layout)
    before = torch.get_rng_state()
    found = drawn_from(7, lambda: F.dropout(images, rate))
    assert torch.equal(torch.get_rng_state(), before)
    dropped = (found == 0).double()
    deviation = (rate * (1 - rate) / images.numel()) ** 0.5
    assert abs(dropped.mean() - rate) <= 5 * deviation + 2**-17
    if rate:
        of_maps = dropped.mean(dim=(2, 3))  # no map is dropped more than the others
        assert (of_maps - rate).abs().max() <= 6 * (rate * (1 - rate) / 400) ** 0.5
    torch.testing.assert_close(found[found != 0], torch.full_like(found[found != 0], 1 / (1 - rate)), rtol=1e-3, atol=0)
    assert found.stride() == images.stride()


def test_dropout_is_the_same_under_the_same_seed_in_place_or_not_and_other_under_another() -> None:
    found = drawn_from(7, lambda: F.dropout(torch.ones(999), 0.3))
    assert torch.equal(drawn_from(7, lambda: F.dropout(torch.ones(999), 0.3)), found)
    assert torch.equal(drawn_from(7, lambda: F.dropout(torch.ones(999), 0.3, inplace=True)), found)
    assert not torch.equal(drawn_from(8, lambda: F.dropout(torch.ones(999), 0.3)), found)


@pytest.mark.parametrize(("drop", "shape"), [(F.dropout1d, (99, 5, 4)), (F.dropout2d, (99, 5, 2, 2))])
def test_dropout_of_maps_drops_whole_maps(drop: Callable[..., Tensor], shape: tuple[int, ...]) -> None:
    found = drawn_from(7, lambda: drop(torch.ones(shape), 0.3)).flatten(2)
    assert torch.equal(found.amax(dim=2), found.amin(dim=2))
    assert 0.2 < (found == 0).double().mean() < 0.4


def test_a_function_that_takes_no_generator_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="random numbers without a seed: the network calls rand_like"):
        drawn_from(7, lambda: torch.rand_like(torch.ones(3)))

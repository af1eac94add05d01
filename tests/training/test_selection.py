"""Leaving out easy images: how many, which ones, and by whose chance."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from under10k.training.steps import skip_easy


def shuffled(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


@given(count=st.integers(2, 60), share=st.floats(0, 0.5), seed=st.integers(0, 99))
def test_the_share_is_skipped_and_only_from_the_easiest_twice_as_many(count: int, share: float, seed: int) -> None:
    losses = torch.rand(count, generator=torch.Generator().manual_seed(seed))
    kept = skip_easy(shuffled(count, seed), losses, share)
    skipped = set(range(count)) - set(kept.tolist())
    assert len(kept) == len(set(kept.tolist())) == count - int(count * share)
    assert skipped <= set(losses.argsort()[: 2 * int(count * share)].tolist())


def test_what_is_left_stays_in_order() -> None:
    order = shuffled(20)
    kept = skip_easy(order, torch.arange(20.0), 0.3).tolist()
    assert kept == [image for image in order.tolist() if image in kept]


def test_another_order_skips_other_easy_images() -> None:
    losses = torch.arange(100.0)
    sets = [set(skip_easy(shuffled(100, seed), losses, 0.4).tolist()) for seed in (0, 1)]
    assert sets[0] != sets[1]
    assert all(set(range(80, 100)) <= kept for kept in sets)


def test_an_image_that_was_never_trained_on_is_not_easy() -> None:
    losses = torch.zeros(10)
    losses[7] = torch.finfo(losses.dtype).max
    assert all(7 in skip_easy(shuffled(10, seed), losses, 0.4) for seed in range(20))


def test_a_share_of_none_leaves_the_order_as_it_is() -> None:
    assert torch.equal(skip_easy(shuffled(9), torch.rand(9), 0.0), shuffled(9))

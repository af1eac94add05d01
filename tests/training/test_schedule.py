"""The number of steps and the learning rate of each, by hand."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from under10k.recipes import default, fast
from under10k.training.steps import batch_size_of, count_steps, one_cycle, steps_of, trained_count


def test_the_steps_of_a_recipe_follow_from_the_number_of_images_alone() -> None:
    recipe = fast()  # batches of 128; of 60,000 images 27,000 are skipped in each epoch but the first
    assert [steps_of(recipe, 60_000, epoch) for epoch in range(4)] == [468, 257, 257, 257]
    assert count_steps(recipe, 60_000) == 468 + 3 * 257
    assert [batch_size_of(recipe, 150, epoch) for epoch in (0, 1)] == [128, 83]


def test_a_sixth_of_the_images_is_held_out_under_that_protocol_alone() -> None:
    assert trained_count(default(), 60_000) == 60_000
    assert trained_count(replace(default(), protocol="held-out"), 60_000) == 50_000
    assert trained_count(replace(default(), protocol="held-out"), 3) == 2


steps_and_warmups = given(
    steps=st.integers(1, 2_000),
    warmup=st.floats(0, 1),
    peak=st.floats(1e-6, 1e3),
)


def rates(warmup: float, steps: int, peak: float = 1.0) -> list[float]:
    return [one_cycle(step, steps, peak=peak, warmup=warmup) for step in range(steps)]


def test_one_cycle_is_the_one_worked_out_by_hand() -> None:
    # A rise over 2 of 10 steps: 1/3, 2/3; then a cosine over 8: (1 + cos(pi k/8)) / 2 for k = 0..7
    fall = [1, 0.9619398, 0.8535534, 0.6913417, 0.5, 0.3086583, 0.1464466, 0.0380602]
    assert rates(0.2, 10, 2.0) == pytest.approx([2 * rate for rate in [1 / 3, 2 / 3, *fall]], abs=1e-6)


def test_without_warmup_one_cycle_starts_at_its_peak() -> None:
    found = rates(0.0, 4)
    assert found == pytest.approx([(1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)])
    assert found[0] == 1


def test_with_nothing_but_warmup_one_cycle_only_rises() -> None:
    assert rates(1.0, 4) == pytest.approx([1 / 5, 2 / 5, 3 / 5, 4 / 5])


@steps_and_warmups
def test_every_rate_of_one_cycle_moves_the_weights_and_none_passes_the_peak(
    steps: int, warmup: float, peak: float
) -> None:
    found = rates(warmup, steps, peak)
    assert all(0 < rate <= peak for rate in found)


@steps_and_warmups
def test_one_cycle_rises_once_and_falls_once(steps: int, warmup: float, peak: float) -> None:
    found = rates(warmup, steps, peak)
    top = found.index(max(found))
    assert all(before < after for before, after in itertools.pairwise(found[: top + 1]))
    assert all(before >= after for before, after in itertools.pairwise(found[top:]))


@steps_and_warmups
def test_the_rate_is_in_proportion_to_the_peak(steps: int, warmup: float, peak: float) -> None:
    assert rates(warmup, steps, peak) == pytest.approx([peak * rate for rate in rates(warmup, steps)])

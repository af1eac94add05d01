"""Intervals against published and hand-made ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from under10k.evaluation.statistics import Interval, mean_interval, paired_difference, wilson_interval

# --- Wilson ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # all right: the lower bound is n / (n + z^2)
        (10, 10, 10 / 13.841459, 1.0),
        (10_000, 10_000, 10_000 / 10_003.841459, 1.0),
    ],
)
def test_wilson_bounds_are_the_published_ones(successes: int, trials: int, low: float, high: float) -> None:
    interval = wilson_interval(successes, trials)
    assert interval.value == successes / trials
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 100_000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_wilson_bounds_lie_in_0_to_1_around_the_share(counts: tuple[int, int]) -> None:
    interval = wilson_interval(*counts)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert interval.low < interval.high


def test_wilson_bounds_hold_the_share_at_both_ends() -> None:
    for trials in range(1, 500):
        assert wilson_interval(0, trials).low == 0, trials
        assert wilson_interval(trials, trials).high == 1, trials


@given(st.integers(1, 10_000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_wilson_treats_successes_and_failures_alike(counts: tuple[int, int]) -> None:
    successes, trials = counts
    one, other = wilson_interval(successes, trials), wilson_interval(trials - successes, trials)
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low), abs=1e-12)


def test_more_trials_narrow_the_bounds() -> None:
    widths = [
        interval.high - interval.low for interval in (wilson_interval(99 * n, 100 * n) for n in (1, 10, 100, 1000))
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[2] / widths[3] == pytest.approx(math.sqrt(10), rel=0.01)


# --- means -------------------------------------------------------------------------------------------------------


def test_the_interval_of_a_mean_is_students() -> None:
    # deviation sqrt(2.5); t for 4 degrees of freedom is 2.776445; 2.776445 * sqrt(2.5 / 5) = 1.963243
    interval = mean_interval([1, 2, 3, 4, 5])
    assert (interval.value, interval.low, interval.high) == pytest.approx((3, 1.036757, 4.963243), abs=1e-6)


def test_two_values_get_the_wide_bounds_that_they_deserve() -> None:
    # t for 1 degree of freedom is 12.706205; deviation sqrt(2); half width 12.706205
    assert mean_interval([0.0, 2.0]).high == pytest.approx(1 + 12.706205, abs=1e-5)


def test_a_single_value_says_nothing_about_its_spread() -> None:
    assert mean_interval([0.99]) == Interval(0.99, -math.inf, math.inf)


@pytest.mark.parametrize("values", [[0.5] * 4, [0.993 - 0.992, 0.994 - 0.993]])
def test_equal_values_say_nothing_about_their_spread(values: list[float]) -> None:
    found = mean_interval(values)
    assert found.value == pytest.approx(values[0])
    assert (found.low, found.high, found.bounds) == (-math.inf, math.inf, None)


@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=20), st.floats(-2, 2))
def test_shifted_values_shift_the_whole_interval(right: list[int], shift: float) -> None:
    values = [number / 10_000 for number in right]
    before, after = mean_interval(values), mean_interval([value + shift for value in values])
    assert before.low <= before.value <= before.high
    assert (after.value, after.low, after.high) == pytest.approx(
        (before.value + shift, before.low + shift, before.high + shift), abs=1e-9
    )


# --- pairs -------------------------------------------------------------------------------------------------------


def test_paired_differences_are_students_sleep_data() -> None:
    # Student (1908): hours of sleep gained by ten patients under two drugs; t = 4.0621, p = 0.002833
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = paired_difference(first, second)
    assert found.p == pytest.approx(0.002833, abs=1e-6)
    assert (found.mean.value, found.mean.low, found.mean.high) == pytest.approx((1.58, 0.7001142, 2.4598858))
    assert found.pairs == 10


@given(st.lists(st.tuples(st.integers(9900, 9999), st.integers(9900, 9999)), min_size=3, max_size=20))
def test_the_p_of_pairs_is_scipys(pairs: list[tuple[int, int]]) -> None:
    from scipy.stats import ttest_rel  # half a second, which a process that runs other tests need not spend

    first, second = np.array(pairs).T / 8192  # exact fractions: scipy warns of differences that are equal but for noise
    found = paired_difference(first.tolist(), second.tolist())
    if np.ptp(second - first) > 0:
        assert found.p is not None
        assert found.p == pytest.approx(float(ttest_rel(first, second).pvalue), rel=1e-6)
    else:
        assert found.p is None


@pytest.mark.parametrize("by", [0.0, 0.001])
def test_pairs_that_all_differ_alike_have_neither_p_nor_bounds(by: float) -> None:
    first = [0.991, 0.9925, 0.993, 0.9954]
    second = [value + by for value in first]  # the differences are equal but for rounding
    found = paired_difference(first, second)
    assert found.mean.value == pytest.approx(by)
    assert (found.mean.bounds, found.p, found.pairs) == (None, None, 4)


def test_a_single_pair_tests_nothing_and_two_have_an_interval_but_no_p() -> None:
    found = paired_difference([0.25], [0.75])
    assert (found.mean, found.p) == (Interval(0.5, -math.inf, math.inf), None)
    found = paired_difference([0.25, 0.25], [0.75, 0.5])
    assert found.p is None
    assert found.mean.bounds


def test_pairs_must_have_partners() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([1.0, 2.0], [1.0])

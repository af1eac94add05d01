"""What is mixed into training images: drawn digits with their labels, and what is no digit with labels at random."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from short_runs import KilledError, StopAt, kill
from under10k.data.datasets import Dataset
from under10k.data.digits import CLASSES
from under10k.data.mixing import mix
from under10k.data.synthetic import WAYS, draw_digits
from under10k.data.world import ABROAD, LETTERS, WORLD
from under10k.recipes import Mix, get_recipe
from under10k.training.start import train

DIGITS = draw_digits(200, seed=4)
BOTH = Mix(drawn=0.5, no_digits=0.25)


def test_nothing_is_mixed_in_by_default() -> None:
    assert mix(DIGITS, Mix(), 0) is DIGITS


def test_the_images_come_first_and_then_as_many_as_asked_for() -> None:
    mixed = mix(DIGITS, BOTH, 0)
    assert len(mixed) == 200 + 100 + 50
    assert torch.equal(mixed.images[:200], DIGITS.images)
    assert torch.equal(mixed.labels[:200], DIGITS.labels)
    assert bool(mixed.images.flatten(1).any(dim=1).all())


def test_drawn_digits_are_of_each_class_and_what_is_no_digit_has_any_label() -> None:
    mixed = mix(DIGITS, Mix(drawn=1, no_digits=5), 0)
    assert torch.bincount(mixed.labels[200:400], minlength=CLASSES).tolist() == [20] * CLASSES
    numbers = torch.bincount(mixed.labels[400:], minlength=CLASSES)
    assert 60 < numbers.min() <= numbers.max() < 140


def test_a_mixture_is_a_function_of_its_seed() -> None:
    assert mix(DIGITS, BOTH, 1).sha256() == mix(DIGITS, BOTH, 1).sha256()
    assert mix(DIGITS, BOTH, 1).sha256() != mix(DIGITS, BOTH, 2).sha256()


@pytest.mark.parametrize("count", range(1, 5))
def test_any_number_may_be_mixed_in(count: int) -> None:
    assert len(mix(DIGITS, Mix(no_digits=count / 200), 0)) == 200 + count


def test_the_world_writes_as_mnist_does_and_in_other_ways() -> None:
    assert sorted(ABROAD) == sorted(WORLD) == list(range(CLASSES))
    for digit in range(CLASSES):
        assert WORLD[digit][: len(WAYS[digit])] == WAYS[digit]
        assert len(WORLD[digit]) > len(WAYS[digit])
    assert sorted(LETTERS) == list(range(len(LETTERS)))


def test_a_run_with_a_mixture_trains_on_all_of_it_and_resumes(dataset: Dataset, tmp_path: Path) -> None:
    recipe = replace(get_recipe("default"), epochs=2, batch_size=100, protocol="held-out", mix=BOTH)
    with pytest.raises(KilledError):
        train(recipe, dataset, tmp_path / "run", reports=[StopAt(1, 2, kill)])
    train(recipe, dataset, tmp_path / "run", resume=True, reports=[])
    lines = (tmp_path / "run" / "batches.csv").read_text().splitlines()
    left = len(dataset.train) - len(dataset.train) // 6
    assert len(lines) == 1 + 2 * ((left + round(left * 0.5) + round(left * 0.25)) // 100)

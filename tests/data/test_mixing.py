"""What is mixed into training images: drawn digits with their labels, and what is no digit with labels at random."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from short_runs import KilledError, StopAt, kill
from under10k.data.datasets import Dataset
from under10k.data.digits import CLASSES
from under10k.data.mixing import mix
from under10k.data.no_digits import FINE, Chance, closed_shape, draw_no_digits
from under10k.data.pen import SAMPLES, Stroke, write
from under10k.data.synthetic import WAYS, draw_digits
from under10k.data.world import ABROAD, EUROPEAN_ONES, LETTERS, WORLD
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
    drawn = torch.bincount(mixed.labels[200:400], minlength=CLASSES).tolist()
    assert drawn.pop(1) == pytest.approx(80, abs=4)  # six in fifteen
    assert set(drawn) <= {13, 14}
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


def draw_forms(make: Callable[[Chance], list[Stroke]], seed: int, count: int = 60) -> list[list[Stroke]]:
    chance = Chance(torch.Generator().manual_seed(seed))
    return [make(chance) for _ in range(count)]


def test_a_closed_shape_is_an_outline_with_all_else_inside_it() -> None:
    for outline, *inside in draw_forms(closed_shape, seed=0):
        assert inside
        rim = torch.tensor(outline, dtype=torch.float32)
        assert float((rim[0] - rim[-1]).norm()) < 0.3 * float((rim.amax(0) - rim.amin(0)).max())
        marks = torch.tensor([point for stroke in inside for point in stroke], dtype=torch.float32)
        assert bool((marks >= rim.amin(0)).all())
        assert bool((marks <= rim.amax(0)).all())


def test_what_is_inside_a_closed_shape_is_seen() -> None:
    """Labelled at random, an empty ring would teach that a 0 is no digit."""
    shapes = draw_forms(closed_shape, seed=2)
    images = _write_evenly(shapes)
    rings = _write_evenly([[outline] for outline, *_ in shapes])
    empty = 0
    for image, ring in zip(images, rings, strict=True):
        rim = ring > 40
        hole = ndimage.binary_erosion(ndimage.binary_fill_holes(rim) & ~rim)
        empty += not (image[hole] > 100).any()
    assert empty <= 0.05 * len(shapes)


def _write_evenly(signs: list[list[Stroke]]) -> NDArray[np.uint8]:
    """Write each sign once, undistorted, as closed shapes are written: uint8 (N, 28, 28)."""
    ways = {number: [(1.0, strokes)] for number, strokes in enumerate(signs)}
    labels = torch.arange(len(signs))
    generator = torch.Generator().manual_seed(0)
    return write(labels, ways, generator, variety=0, width_pixels=FINE, samples=2 * SAMPLES).numpy()


def test_european_ones_lean_and_have_upstrokes_up_to_most_of_their_stems() -> None:
    leans, lengths = [], []
    for _, (strokes, *_) in EUROPEAN_ONES:
        begin, _, top, _, _, bottom = torch.tensor(strokes, dtype=torch.float32)
        stem, upstroke = bottom - top, begin - top
        leans.append(math.degrees(math.atan2(-float(stem[0]), float(stem[1]))))
        lengths.append(float(upstroke.norm() / stem.norm()))
        angle = math.degrees(math.acos(float(stem @ upstroke / stem.norm() / upstroke.norm())))
        assert 23 < angle < 52
    assert min(leans) == 0
    assert 15 < max(leans) < 17
    assert min(lengths) < 0.32
    assert 0.78 < max(lengths) < 0.82


def test_an_image_of_no_digit_is_of_each_kind_and_any_number_can_be_drawn() -> None:
    for count in range(1, 6):
        images = draw_no_digits(count, DIGITS.images, torch.Generator().manual_seed(count))
        assert images.shape == (count, 28, 28)
        assert images.dtype == torch.uint8
        assert bool(images.flatten(1).any(dim=1).all())

"""Each deformation, measured on pictures where one can see what it did."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from under10k.data.augmentation import augment
from under10k.recipes import Augment

MANY = 400
SMALL_CHANGE = 0.05
"""What a picture of pixels adds to a measurement."""

MOVES: dict[str, float] = {
    "rotation_degrees": 20.0,
    "shift_pixels": 3.0,
    "scale": 0.2,
    "shear": 0.3,
    "elastic_pixels": 1.0,
}
"""What takes ink from one place to another, and adds none."""

STRENGTHS: dict[str, float] = {**MOVES, "stroke_pixels": 1.5, "cut_pixels": 20.0, "noise": 0.2}

of_each_strength = pytest.mark.parametrize("strength", STRENGTHS)
of_each_move = pytest.mark.parametrize("strength", MOVES)

AXIS = torch.arange(28.0) - 13.5
ROWS, COLUMNS = torch.meshgrid(AXIS, AXIS, indexing="ij")


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def blob(width: float, height: float) -> Tensor:
    """A soft spot at the centre, (28, 28), with its deviations across and down."""
    return torch.exp(-((COLUMNS / width) ** 2 + (ROWS / height) ** 2) / 2)


def many(picture: Tensor, **strengths: Any) -> Tensor:
    return augment(picture.expand(MANY, 28, 28).clone(), seeded(), Augment(**strengths))


def centre(images: Tensor) -> tuple[Tensor, Tensor]:
    """Centre of mass, right and down of the picture's own centre, in pixels."""
    mass = images.sum((1, 2))
    return (images * COLUMNS).sum((1, 2)) / mass, (images * ROWS).sum((1, 2)) / mass


def spread(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Second moments around the centre of mass: across, down and mixed."""
    right, down = (value[:, None, None] for value in centre(images))
    mass = images.sum((1, 2))
    x, y = COLUMNS - right, ROWS - down
    return tuple((images * product).sum((1, 2)) / mass for product in (x * x, y * y, x * y))  # type: ignore[return-value]


def assert_even(amounts: Tensor, bound: float, tolerance: float) -> None:
    """Amounts drawn evenly from -bound to +bound, of which there are many."""
    assert amounts.abs().max() <= bound + tolerance
    assert amounts.max() > 0.95 * bound - tolerance
    assert amounts.min() < -0.95 * bound + tolerance
    assert float(amounts.mean()) == pytest.approx(0, abs=0.1 * bound)
    assert float(amounts.std()) == pytest.approx(bound / math.sqrt(3), rel=0.1)


def correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack((one, other)))[0, 1])


# --- what each strength does -------------------------------------------------------------------------------------


def test_a_shift_moves_the_centre_of_mass_by_as_many_pixels_and_nothing_else() -> None:
    before = blob(2, 3)
    images = many(before, shift_pixels=3.0)
    right, down = centre(images)
    assert_even(right, 3.0, SMALL_CHANGE)
    assert_even(down, 3.0, SMALL_CHANGE)
    assert abs(correlation(right, down)) < 0.15
    torch.testing.assert_close(images.sum((1, 2)), before.sum().expand(MANY), rtol=0.01, atol=0)
    across, tall, mixed = spread(images)
    torch.testing.assert_close(across, torch.full((MANY,), 4.0), atol=0.3, rtol=0)
    torch.testing.assert_close(tall, torch.full((MANY,), 9.0), atol=0.3, rtol=0)
    assert mixed.abs().max() < 0.1


def test_a_rotation_turns_a_bar_by_at_most_that_angle_around_the_centre() -> None:
    before = blob(1.2, 4)
    images = many(before, rotation_degrees=20.0)
    across, tall, mixed = spread(images)
    angles = torch.rad2deg(torch.atan2(2 * mixed, tall - across) / 2)
    assert_even(angles, 20.0, 0.5)
    right, down = centre(images)
    assert max(right.abs().max(), down.abs().max()) < SMALL_CHANGE
    torch.testing.assert_close(across + tall, torch.full((MANY,), 1.2**2 + 4**2), atol=0.7, rtol=0)


def test_scale_stretches_each_axis_by_at_most_that_fraction() -> None:
    images = many(blob(2.5, 2.5), scale=0.2)
    across, tall, mixed = spread(images)
    width, height = across.sqrt() / 2.5 - 1, tall.sqrt() / 2.5 - 1
    assert_even(width, 0.2, 0.02)
    assert_even(height, 0.2, 0.02)
    assert abs(correlation(width, height)) < 0.15
    assert mixed.abs().max() < 0.1
    right, down = centre(images)
    assert max(right.abs().max(), down.abs().max()) < SMALL_CHANGE


def test_shear_slants_a_bar_by_as_many_pixels_for_each_pixel_of_height() -> None:
    before = blob(1.5, 4)
    images = many(before, shear=0.3)
    _, tall, mixed = spread(images)
    assert_even(mixed / tall, 0.3, 0.01)
    torch.testing.assert_close(tall, torch.full((MANY,), 16.0), atol=0.3, rtol=0)
    torch.testing.assert_close(images.sum(2), before.sum(1).expand(MANY, 28), atol=0.05, rtol=0)


def test_an_elastic_displacement_is_smooth_and_has_the_deviation_that_was_asked_for() -> None:
    inner = slice(6, 22)
    ramp = COLUMNS + 100  # a ramp shows by its brightness where each pixel came from
    moved = (many(ramp, elastic_pixels=1.0) - ramp)[:, inner, inner]
    assert float(moved.mean()) == pytest.approx(0, abs=0.1)
    assert float(moved.std()) == pytest.approx(1.0, rel=0.25)
    bends = moved.diff(dim=2)
    assert float(bends.std()) < 0.35 * float(moved.std())
    assert float(bends.std()) > 0


def test_strokes_get_as_much_wider_or_narrower_as_was_drawn() -> None:
    bar = torch.zeros(28, 28)
    bar[:, 11:17] = 1
    width = many(bar, stroke_pixels=1.5)[:, 14].sum(1)
    assert_even(width - 6, 1.5, 1e-4)


def test_strokes_keep_to_the_brightness_there_is_and_vanish_only_where_they_have_no_width() -> None:
    hair = torch.zeros(28, 28)
    hair[:, 13] = 0.8
    images = many(hair, stroke_pixels=1.5)
    assert images.min() >= 0
    assert float(images.max()) == pytest.approx(0.8)
    assert (images[:, 14, 13] > 0.8 * 0.25 - 1e-6).all()  # 1.5 of the 2 pixels that would take it all


def test_a_cut_wipes_out_a_strip_along_one_of_the_four_sides_and_nothing_else() -> None:
    kept = many(torch.ones(28, 28), cut_pixels=10.0)
    rows, columns = kept.amax(2), kept.amax(1)
    assert torch.equal(kept, rows[:, :, None] * columns[:, None, :])
    lost = torch.stack([(1 - line).sum(1) for line in (rows, columns)])
    assert ((lost > 0).sum(0) <= 1).all()
    assert set(lost.sum(0).tolist()) == set(range(1, 11))
    for line in (rows, columns):
        assert ((line[:, 0] == 0) & (line[:, -1] == 1)).any()
        assert ((line[:, 0] == 1) & (line[:, -1] == 0)).any()


def test_noise_has_a_deviation_of_each_images_own_up_to_the_one_asked_for() -> None:
    deviations = (many(torch.full((28, 28), 0.5), noise=0.1) - 0.5).flatten(1).std(1)
    assert deviations.max() < 0.11
    assert float(deviations.mean()) == pytest.approx(0.05, rel=0.1)
    assert float(deviations.std()) == pytest.approx(0.1 / math.sqrt(12), rel=0.15)


def test_noise_stays_between_black_and_white() -> None:
    images = many((blob(2, 4) > 0.5).float(), noise=1.0)
    assert images.min() == 0
    assert images.max() == 1


@of_each_move
def test_each_strength_alone_changes_each_picture_in_its_own_way(strength: str) -> None:
    images = many(blob(2, 4), **{strength: STRENGTHS[strength]})
    assert ((images - blob(2, 4)).abs().amax((1, 2)) > 1e-4).all()
    assert len({image.numpy().tobytes() for image in images}) == MANY


@of_each_move
def test_half_the_strength_moves_half_as_far(strength: str) -> None:
    picture = blob(2, 4)
    changes = [
        float((many(picture, **{strength: STRENGTHS[strength] * share}) - picture).abs().mean())
        for share in (0.1, 0.2, 0.4)
    ]
    assert changes[1] / changes[0] == pytest.approx(2, rel=0.15)
    assert changes[2] > changes[1]


# --- what all of them promise ------------------------------------------------------------------------------------


def test_no_strength_at_all_returns_the_very_same_tensor_and_draws_nothing() -> None:
    images, generator = torch.rand(3, 28, 28), seeded()
    state = generator.get_state()
    assert augment(images, generator, Augment()) is images
    assert augment(images, generator, Augment(**dict.fromkeys(STRENGTHS, 0.0))) is images
    assert torch.equal(generator.get_state(), state)


@of_each_strength
def test_the_result_is_a_pure_function_of_the_generators_state(strength: str) -> None:
    images = torch.rand(5, 28, 28, generator=seeded(1))
    before, kept = torch.get_rng_state(), images.clone()
    amount = {strength: STRENGTHS[strength]}
    generator = seeded(7)
    first, second = augment(images, generator, Augment(**amount)), augment(images, generator, Augment(**amount))
    torch.rand(3)
    again = augment(images, seeded(7), Augment(**amount))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, augment(images, seeded(8), Augment(**amount)))
    assert torch.equal(images, kept)
    torch.set_rng_state(before)
    augment(images, generator, Augment(**amount))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_picture_does_not_depend_on_what_the_others_show() -> None:
    images = torch.rand(4, 28, 28, generator=seeded(1))
    others = images.clone()
    others[[0, 1, 3]] = torch.rand(3, 28, 28, generator=seeded(2))
    first, second = augment(images, seeded(), Augment(**STRENGTHS)), augment(others, seeded(), Augment(**STRENGTHS))
    assert torch.equal(first[2], second[2])
    assert not torch.equal(first[0], second[0])


@of_each_move
def test_an_empty_background_stays_empty(strength: str) -> None:
    assert not many(torch.zeros(28, 28), **{strength: STRENGTHS[strength]}).any()


@of_each_move
def test_a_small_spot_stays_within_the_picture_and_within_its_brightness(strength: str) -> None:
    spot = torch.zeros(28, 28)
    spot[12:16, 12:16] = 1
    images = many(spot, **{strength: STRENGTHS[strength]})
    assert not images[:, 0].any()
    assert not images[:, :, 0].any()
    assert images.min() >= 0
    assert images.max() <= 1 + 1e-6


def test_what_comes_in_from_outside_is_background() -> None:
    images = many(torch.ones(28, 28), shift_pixels=3.0)
    assert (images[:, 4:-4, 4:-4] > 0.999).all()
    # the share that stays: 28 - 1.5 of 28 on average, along each axis
    assert float(images.mean()) == pytest.approx((26.5 / 28) ** 2, rel=0.01)


@pytest.mark.parametrize("count", [1, 2, 9])
@of_each_strength
def test_shape_and_type_are_kept(strength: str, count: int) -> None:
    images = augment(torch.rand(count, 28, 28), seeded(), Augment(**{strength: STRENGTHS[strength]}))
    assert images.shape == (count, 28, 28)
    assert images.dtype == torch.float32
    assert torch.isfinite(images).all()

"""Each corruption does what its strength promises, measured on pictures where one can see it."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Generator, Tensor, nn

from under10k.data.digits import Digits
from under10k.data.synthetic import draw_digits
from under10k.errors import UsageError
from under10k.evaluation.corruptions import CHUNK, CORRUPTIONS, Corruption, corrupt
from under10k.evaluation.metrics import CorruptionScore, evaluate, evaluate_corruptions, mean_corruption_accuracy
from under10k.evaluation.statistics import wilson_interval
from under10k.models.registry import create_model

RANDOM = {"shift", "rotation", "shear", "occlusion", "noise"}
"""Those in which chance has a part."""

AXIS = torch.arange(28.0) - 13.5
ROWS, COLUMNS = torch.meshgrid(AXIS, AXIS, indexing="ij")

of_each = pytest.mark.parametrize("corruption", CORRUPTIONS.values(), ids=CORRUPTIONS.keys())


@pytest.fixture(scope="module")
def images() -> Tensor:
    return draw_digits(60, seed=5).images


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def worse(images: Tensor, name: str, strength: float, seed: int = 0) -> Tensor:
    return corrupt(images, name, strength, seeded(seed))


def picture(values: Tensor) -> Tensor:
    """One image, uint8 (1, 28, 28), of values in [0, 1]."""
    return values.mul(255).round().to(torch.uint8).unsqueeze(0)


def stroke(width: float, angle: float = 0.0) -> Tensor:
    """A straight stroke through the centre with edges one pixel soft, uint8 (1, 28, 28)."""
    across = COLUMNS * math.cos(angle) + ROWS * math.sin(angle)
    along = ROWS * math.cos(angle) - COLUMNS * math.sin(angle)
    return picture((width / 2 + 0.5 - across.abs()).clamp(0, 1) * (8.5 - along.abs()).clamp(0, 1))


def distance(one: Tensor, other: Tensor) -> float:
    return float((one.float() - other.float()).abs().mean())


def ink(images: Tensor) -> Tensor:
    """All ink of each image, in pixels."""
    return images.double().sum((1, 2)) / 255


# --- what all of them promise ------------------------------------------------------------------------------------


def test_all_that_were_asked_for_are_there_at_five_growing_strengths() -> None:
    assert set(CORRUPTIONS) == {
        *("shift", "rotation", "shrink", "enlarge", "shear", "occlusion"),
        *("thin", "thick", "blur", "noise", "contrast", "background"),
    }
    for name, corruption in CORRUPTIONS.items():
        assert corruption.name == name
        assert len(corruption.strengths) == 5
        assert list(corruption.strengths) == sorted({0.0, *corruption.strengths})[1:]


@of_each
def test_strength_0_changes_nothing(corruption: Corruption, images: Tensor) -> None:
    noisy = torch.randint(0, 256, (9, 28, 28), generator=seeded(), dtype=torch.uint8)
    assert torch.equal(worse(images, corruption.name, 0), images)
    assert torch.equal(worse(noisy, corruption.name, 0), noisy)


@of_each
def test_hardly_any_strength_changes_hardly_anything(corruption: Corruption, images: Tensor) -> None:
    assert distance(worse(images, corruption.name, corruption.strengths[0] * 0.01), images) < 0.6


@of_each
def test_the_stronger_the_further_from_the_original(corruption: Corruption, images: Tensor) -> None:
    distances = [distance(worse(images, corruption.name, strength), images) for strength in corruption.strengths]
    assert distances[0] > 0.5
    assert distances == sorted(set(distances))


@of_each
def test_every_digit_is_changed(corruption: Corruption, images: Tensor) -> None:
    changed = worse(images, corruption.name, corruption.strengths[0])
    assert (changed != images).flatten(1).any(dim=1).all()


@of_each
def test_the_generator_is_the_only_source_of_chance(corruption: Corruption, images: Tensor) -> None:
    name, strength = corruption.name, corruption.strengths[2]
    state, before = torch.get_rng_state(), images.clone()
    first = worse(images, name, strength)
    torch.rand(3)
    assert torch.equal(worse(images, name, strength), first)
    assert torch.equal(worse(images, name, strength, seed=1), first) == (name not in RANDOM)
    assert torch.equal(images, before), "the input is left alone"
    torch.set_rng_state(state)
    worse(images, name, strength)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("count", [0, 1, CHUNK + 1])
@of_each
def test_shape_and_type_are_kept_for_any_number_of_images(corruption: Corruption, count: int, images: Tensor) -> None:
    many = images[:1].expand(count, 28, 28)
    changed = worse(many, corruption.name, corruption.strengths[0])
    assert (changed.shape, changed.dtype, changed.device) == (many.shape, torch.uint8, many.device)


@of_each
def test_pictures_without_ink_and_of_nothing_but_ink_do_no_harm(corruption: Corruption) -> None:
    for value in (0, 255):
        plain = torch.full((2, 28, 28), value, dtype=torch.uint8)
        middle = worse(plain, corruption.name, corruption.strengths[2])[:, 13:15, 13:15]
        if corruption.name not in ("noise", "contrast", "background", "occlusion"):
            assert (middle == value).all()


@of_each
def test_a_strength_beyond_all_measure_still_gives_a_picture(corruption: Corruption, images: Tensor) -> None:
    assert worse(images[:2], corruption.name, 10 * corruption.strengths[-1]).shape == (2, 28, 28)


def test_an_unknown_name_is_refused_with_the_nearest(images: Tensor) -> None:
    with pytest.raises(UsageError, match=r"unknown corruption: 'rotate'. did you mean rotation\?"):
        worse(images, "rotate", 1)


@pytest.mark.parametrize("strength", [-1, math.nan, math.inf])
def test_a_strength_out_of_range_is_refused(strength: float, images: Tensor) -> None:
    with pytest.raises(UsageError, match="strength of blur out of range"):
        worse(images, "blur", strength)


# --- what each does ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pixels", [1, 3, 5])
def test_a_shift_moves_by_whole_pixels_in_each_of_four_directions(pixels: int) -> None:
    many = torch.zeros(200, 28, 28, dtype=torch.uint8)
    many[:, 8:20, 8:20] = torch.randint(0, 256, (200, 12, 12), generator=seeded(), dtype=torch.uint8)
    moved = worse(many, "shift", pixels)
    matches = [
        (moved == many.roll((down, right), dims=(1, 2))).flatten(1).all(dim=1)
        for down, right in ((pixels, 0), (-pixels, 0), (0, pixels), (0, -pixels))
    ]
    assert (torch.stack(matches).sum(dim=0) == 1).all()
    assert all(match.sum() > 25 for match in matches), "all four, about as often"


def test_what_a_shift_pushes_out_is_gone_and_what_comes_in_is_paper() -> None:
    moved = worse(torch.full((20, 28, 28), 255, dtype=torch.uint8), "shift", 5)
    assert set((moved == 0).sum((1, 2)).tolist()) == {5 * 28}


def test_a_rotation_by_90_degrees_is_a_quarter_turn_either_way(images: Tensor) -> None:
    turned = worse(images, "rotation", 90)
    left, right = (
        ((turned.int() - images.rot90(times, dims=(1, 2)).int()).abs() <= 1).flatten(1).all(dim=1) for times in (1, -1)
    )
    assert torch.equal(left, ~right)
    assert left.any()
    assert right.any()


@pytest.mark.parametrize("degrees", [10, 30, 50])
def test_a_rotation_turns_by_exactly_that_angle(degrees: float) -> None:
    turned = worse(stroke(3).expand(20, 28, 28), "rotation", degrees).double()
    mass = turned.sum((1, 2))
    xx, yy, xy = ((turned * product).sum((1, 2)) / mass for product in (COLUMNS**2, ROWS**2, COLUMNS * ROWS))
    angles = torch.rad2deg(torch.atan2(2 * xy, yy - xx) / 2)
    torch.testing.assert_close(angles.abs(), torch.full((20,), float(degrees), dtype=torch.float64), atol=0.5, rtol=0)
    assert angles.min() < 0 < angles.max()


@pytest.mark.parametrize(
    ("name", "percent", "factor"), [("shrink", 50, 0.5), ("shrink", 20, 0.8), ("enlarge", 30, 1.3)]
)
def test_shrinking_and_enlarging_change_both_sides_by_that_share(name: str, percent: float, factor: float) -> None:
    square = picture(((COLUMNS.abs() < 8) & (ROWS.abs() < 8)).float())
    assert float(ink(worse(square, name, percent))) == pytest.approx((16 * factor) ** 2, rel=0.03)


@pytest.mark.parametrize("percent", [20, 60])
def test_shear_leans_by_that_share_of_the_height(percent: float) -> None:
    leaning = worse(stroke(3).expand(20, 28, 28), "shear", percent).double()
    slant = (leaning * COLUMNS * ROWS).sum((1, 2)) / (leaning * ROWS**2).sum((1, 2))
    torch.testing.assert_close(slant.abs(), torch.full_like(slant, percent / 100), atol=0.01, rtol=0)
    assert slant.min() < 0 < slant.max()


@pytest.mark.parametrize("angle", [0.0, 0.3, math.pi / 4])
@pytest.mark.parametrize(("name", "sign"), [("thin", -1), ("thick", 1)])
@pytest.mark.parametrize("pixels", [0.4, 1.0, 1.6, 2.0, 3.0])
def test_strokes_lose_or_gain_that_many_pixels_of_width_at_any_angle(
    name: str, sign: int, pixels: float, angle: float
) -> None:
    before, width = stroke(5, angle), 5.0
    after = worse(before, name, pixels)
    middle = (ROWS * math.cos(angle) - COLUMNS * math.sin(angle)).abs() < 5  # without the stroke's ends
    ratio = float((after * middle).double().sum() / (before * middle).double().sum())
    assert width * ratio == pytest.approx(width + sign * pixels, abs=0.05 + 0.1 * pixels)


def test_thin_takes_ink_away_and_thick_adds_it_everywhere_and_ever_more(images: Tensor) -> None:
    for name, sign in ("thin", -1), ("thick", 1):
        steps = [images, *(worse(images, name, strength) for strength in CORRUPTIONS[name].strengths)]
        for less, more in itertools.pairwise(steps):
            assert (sign * (ink(more) - ink(less)) > 0).all()
        assert (sign * (steps[1].int() - images.int()) >= 0).all()


def test_thick_makes_a_dot_a_disc_without_holes() -> None:
    dot = torch.zeros(1, 28, 28, dtype=torch.uint8)
    dot[0, 14, 14] = 255
    disc, radius = worse(dot, "thick", 6)[0], ((COLUMNS - 0.5) ** 2 + (ROWS - 0.5) ** 2).sqrt()
    assert (disc[radius <= 3] > 128).all()
    assert not disc[radius >= 4.5].any()


def test_thin_wipes_out_a_stroke_of_less_width() -> None:
    assert float(ink(worse(stroke(1), "thin", 2.5))) < 0.01 * float(ink(stroke(1)))


@pytest.mark.parametrize("deviation", [0.5, 1.0, 2.0])
def test_blur_spreads_a_dot_to_that_deviation_and_keeps_its_ink(deviation: float) -> None:
    dot = picture(((COLUMNS.abs() < 2) & (ROWS.abs() < 2)).float())
    blurred = worse(dot, "blur", deviation).double()
    assert float(ink(blurred)) == pytest.approx(float(ink(dot)), rel=0.02)
    spread = float((blurred * COLUMNS**2).sum() / blurred.sum() - (dot.double() * COLUMNS**2).sum() / dot.sum())
    assert math.sqrt(spread) == pytest.approx(deviation, rel=0.1)
    # rows and columns are added up one after the other, so a value that falls on a half may round either way
    assert (blurred - blurred.mT).abs().max() <= 1


@pytest.mark.parametrize("deviation", [10.0, 30.0])
def test_noise_has_that_deviation_in_grey_levels_and_no_bias(deviation: float) -> None:
    grey = torch.full((30, 28, 28), 128, dtype=torch.uint8)
    noise = worse(grey, "noise", deviation).double() - 128
    assert float(noise.std()) == pytest.approx(deviation, rel=0.03)
    assert float(noise.mean()) == pytest.approx(0, abs=0.05 * deviation)
    assert abs(float((noise[:, :, 1:] * noise[:, :, :-1]).mean())) < 0.05 * deviation**2


def test_contrast_fades_the_ink_and_background_brightens_the_paper_and_neither_the_other() -> None:
    both = torch.tensor([0, 100, 255], dtype=torch.uint8).repeat(28 * 28 // 3 + 1)[: 28 * 28].view(1, 28, 28)
    assert worse(both, "contrast", 40).flatten()[:3].tolist() == [0, 60, 153]
    assert worse(both, "background", 20).flatten()[:3].tolist() == [51, 131, 255]


@pytest.mark.parametrize("side", [1, 4, 7, 10, 28])
def test_occlusion_wipes_out_exactly_one_whole_square(side: int) -> None:
    gone = worse(torch.full((50, 28, 28), 255, dtype=torch.uint8), "occlusion", side) == 0
    assert (gone.sum((1, 2)) == side * side).all()
    assert (gone.any(dim=1).sum(dim=1) == side).all()
    assert (gone.any(dim=2).sum(dim=1) == side).all()
    if side < 28:
        assert len({image.numpy().tobytes() for image in gone}) > 20, "at a random place"


def test_an_occlusion_larger_than_the_picture_wipes_out_all_of_it(images: Tensor) -> None:
    assert not worse(images, "occlusion", 40).any()


@pytest.mark.parametrize("percent", [100, 150])
def test_what_shrinks_by_all_its_size_is_gone(percent: float, images: Tensor) -> None:
    assert not worse(images, "shrink", percent).any()


def test_occlusion_falls_on_the_ink() -> None:
    one = torch.zeros(1, 28, 28, dtype=torch.uint8)
    one[0, 2, 25] = 255
    assert not worse(one, "occlusion", 2).any()


# --- scores ------------------------------------------------------------------------------------------------------


class CentreOfInk(nn.Module):
    """Reads 1 where ink lies at the very centre, else 0: what moves or hides a dot there is a mistake."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        at_centre = (x[:, 0, 13:15, 13:15].amin(dim=(1, 2)) > 1).long()
        return nn.functional.one_hot(at_centre, 10).float()


def test_scores_are_the_accuracies_at_each_strength() -> None:
    dot = picture(((COLUMNS.abs() < 2) & (ROWS.abs() < 2)).float()).expand(30, 28, 28)
    digits = Digits(dot, torch.ones(30, dtype=torch.int64))
    shift, rotation = evaluate_corruptions(CentreOfInk(), digits, ["shift", "rotation"])
    assert [accuracy.value for accuracy in shift.accuracies] == [1, 0, 0, 0, 0]  # the dot has a radius of two pixels
    assert shift.accuracies[0] == wilson_interval(30, 30)
    assert (shift.mean_accuracy, rotation.mean_accuracy) == (0.2, 1.0)
    assert mean_corruption_accuracy([shift, rotation]) == pytest.approx(0.6)


@of_each
def test_a_score_is_that_of_the_corrupted_digits(corruption: Corruption) -> None:
    torch.manual_seed(0)
    model, digits = create_model("gap"), draw_digits(20, seed=1)
    [score] = evaluate_corruptions(model, digits, [corruption.name], seed=3)
    images = worse(digits.images, corruption.name, corruption.strengths[3], seed=3)
    assert score.corruption is corruption
    assert score.accuracies[3] == evaluate(model, Digits(images, digits.labels)).interval


def test_a_score_does_not_depend_on_which_others_are_asked_for() -> None:
    torch.manual_seed(0)
    model, digits = create_model("gap"), draw_digits(20, seed=1)
    everything = evaluate_corruptions(model, digits)
    assert [score.corruption.name for score in everything] == list(CORRUPTIONS)
    assert evaluate_corruptions(model, digits, ["noise"]) == [everything[list(CORRUPTIONS).index("noise")]]


def test_scoring_an_unknown_corruption_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown corruption: 'snow'"):
        evaluate_corruptions(create_model("gap"), draw_digits(2, seed=1), ["snow"])


def test_a_score_as_plain_values_says_what_was_done() -> None:
    intervals = tuple(wilson_interval(right, 10) for right in (10, 9, 8, 7, 6))
    value = CorruptionScore(CORRUPTIONS["shear"], intervals).to_dict()
    assert (value["corruption"], value["unit"], value["mean_accuracy"]) == ("shear", "% of height", 0.8)
    assert [row["strength"] for row in value["strengths"]] == [20, 40, 60, 80, 100]
    low, high = intervals[1].low, intervals[1].high
    assert value["strengths"][1] == {"strength": 40, "accuracy": 0.9, "interval_95": [low, high]}

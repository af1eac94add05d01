"""MNIST beside a user's own digits: how many, how often, what stands in for it, and what resumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from short_runs import KilledError, StopAt, kill, weights
from under10k import train
from under10k.data import rehearsal
from under10k.data.datasets import Dataset
from under10k.data.rehearsal import Rehearsal, find_rehearsal, rehearse
from under10k.data.synthetic import draw_digits
from under10k.errors import DataError, ModelError, UsageError
from under10k.recipes import Mix, Recipe, personal, robust
from under10k.runs.folder import Run
from under10k.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("undrawn")

OWN = draw_digits(50, seed=7)
MINE = Dataset("mine", OWN[:40], OWN[40:])
MNIST = Dataset("mnist", draw_digits(400, seed=8), draw_digits(10, seed=9))


@pytest.fixture
def mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "load_digits", lambda _: MNIST)


@pytest.fixture
def no_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_mnist(monkeypatch)


def forget_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> Dataset:
        raise DataError("no mirror answers: mnist. connect to a network")

    monkeypatch.setattr(rehearsal, "load_digits", fail)


def short(**changes: Any) -> Recipe:
    return replace(personal(), **{"batch_size": 32, "mix": Mix(mnist=160, own_share=0.5), **changes})


def test_a_recipe_without_it_looks_for_nothing(no_mnist: None) -> None:
    found = find_rehearsal(robust().mix, seed=1)
    assert (found.digits, found.source, found.note) == (None, "", "")
    assert rehearse(OWN, found, 0.5) is OWN


def test_images_of_mnist_are_drawn_by_the_seed_and_none_twice(mnist: None) -> None:
    first, again, other = (find_rehearsal(Mix(mnist=300), seed).digits for seed in (1, 1, 2))
    assert first
    assert again
    assert other
    assert first.sha256() == again.sha256() != other.sha256()
    assert len({image.numpy().tobytes() for image in first.images}) == len(first) == 300


@pytest.mark.parametrize(("share", "times"), [(0.0, 1), (0.2, 1), (0.5, 2), (0.51, 3), (0.9, 18)])
def test_ones_own_images_are_repeated_until_they_are_their_share(share: float, times: int) -> None:
    mixed = rehearse(OWN, Rehearsal(MNIST.train[:100]), share)
    assert len(mixed) == times * 50 + 100
    assert torch.equal(mixed.images[: times * 50], OWN.images.repeat(times, 1, 1))
    assert torch.equal(mixed.labels[: times * 50], OWN.labels.repeat(times))
    assert times * 50 / len(mixed) >= share


def test_without_mnist_digits_drawn_by_strokes_stand_in_and_it_is_said(no_mnist: None, tmp_path: Path) -> None:
    result = train(short(), MINE, tmp_path / "run", reports=[])
    assert result.data.beside == "160 synthetic"
    assert result.data.note.startswith("MNIST can be neither found nor downloaded")
    assert "no mirror answers: mnist" in result.data.note


@pytest.mark.parametrize("data", ["auto", "mnist"])
def test_a_recipe_for_ones_own_data_asks_for_it_before_anything_is_written(data: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no data of your own: recipe personal"):
        train("personal", data, tmp_path / "run", reports=[])
    assert not (tmp_path / "run").exists()


def test_what_is_held_out_is_never_trained_on(mnist: None, tmp_path: Path) -> None:
    recipe = short(protocol="held-out")
    found = find_rehearsal(recipe.mix, 0)
    trainer = Trainer(recipe, MINE, torch.device("cpu"), Run(tmp_path), rehearsal=found)
    assert trainer.scored_images
    assert len(trainer.scored_images) == 6
    held_out = {image.numpy().tobytes() for image in trainer.scored_images.images}
    assert not held_out & {image.numpy().tobytes() for image in trainer.images.images}
    assert len(trainer.images) == 5 * 34 + 160


def test_a_killed_run_resumes_to_the_same_bytes(mnist: None, tmp_path: Path) -> None:
    recipe = short(epochs=2)
    train(recipe, MINE, tmp_path / "whole", reports=[])
    with pytest.raises(KilledError):
        train(recipe, MINE, tmp_path / "killed", reports=[StopAt(1, 1, kill)])
    train(recipe, MINE, tmp_path / "killed", resume=True, reports=[])
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")


def test_a_run_begun_with_mnist_is_not_resumed_without_it(
    mnist: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KilledError):
        train(short(epochs=2), MINE, tmp_path / "killed", reports=[StopAt(1, 1, kill)])
    forget_mnist(monkeypatch)
    with pytest.raises(ModelError, match="trained on beside it was 160 of mnist, is now 160 synthetic"):
        train(short(epochs=2), MINE, tmp_path / "killed", resume=True, reports=[])


def test_the_average_of_personal_keeps_about_a_third_of_the_weights_it_began_from() -> None:
    recipe = personal()
    images = recipe.mix.mnist / (1 - recipe.mix.own_share)
    assert recipe.start == "robust"
    assert 0.28 < recipe.averaging ** (recipe.epochs * images / recipe.batch_size) < 0.38

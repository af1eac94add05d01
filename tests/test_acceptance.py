"""The main job on the real MNIST, with a floor under its accuracy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import under10k
from under10k.data.datasets import Dataset
from under10k.training.start import train


@pytest.fixture
def mnist(mnist_folder: Path) -> Dataset:
    return under10k.load_digits(mnist_folder)


@pytest.mark.slow
def test_fast_reads_99_percent_of_validation_images(mnist: Dataset, tmp_path: Path) -> None:
    blind = replace(mnist, test=mnist.test[:1])  # this test is run often: it must not look at the test set
    result = train(under10k.recipes.get_recipe("fast", protocol="held-out"), blind, tmp_path / "run", reports=[])
    assert result.last_accuracy is not None
    assert result.last_accuracy > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("model", ["early", "gap", "transition"])
def test_one_epoch_of_the_default_recipe_reads_98_percent_of_validation_images(
    model: str, mnist: Dataset, tmp_path: Path
) -> None:
    recipe = replace(under10k.recipes.default(), model=model, epochs=1, protocol="held-out")
    blind = replace(mnist, test=mnist.test[:1])  # nor may this one
    result = train(recipe, blind, tmp_path / "run", reports=[])
    assert result.validation_accuracy is not None
    assert result.validation_accuracy > 0.98

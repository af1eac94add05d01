"""The main job on the real MNIST, with a floor under its accuracy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import tenk
from tenk.datasets import Dataset
from tenk.models import list_models
from tenk.training import train


@pytest.fixture
def mnist(mnist_folder: Path) -> Dataset:
    return tenk.load_digits(mnist_folder)


@pytest.mark.slow
@pytest.mark.parametrize("model", list_models())
def test_one_epoch_of_the_default_recipe_reads_98_percent_of_validation_images(
    model: str, mnist: Dataset, tmp_path: Path
) -> None:
    recipe = replace(tenk.recipes.default(), model=model, epochs=1, protocol="held-out")
    blind = replace(mnist, test=mnist.test[:1])  # this test is run often: it must not look at the test set
    result = train(recipe, blind, tmp_path / "run", reports=[])
    assert result.validation_accuracy is not None
    assert result.validation_accuracy > 0.98

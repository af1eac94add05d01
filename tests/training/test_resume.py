"""A training killed at random moments, again and again, ends as if nothing had happened: SIGKILL, not an exception."""

from __future__ import annotations

import multiprocessing
import shutil
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from conftest import write_digits
from dying import train_until_killed
from short_runs import THREADS, batches, small, weights
from under10k.data.datasets import Dataset
from under10k.files import sha256
from under10k.recipes import Recipe, get_recipe
from under10k.runs.folder import Run
from under10k.training.start import train

pytestmark = pytest.mark.usefixtures("undrawn")

MOMENTS = 75
"""A few more than the short training has: its steps and its calls that change the disk, most around checkpoints."""

RECIPE = small(epochs=3, dropout=0.1, protocol="watched", skip_easy=0.2)

FEW = settings(max_examples=1, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

KILLS = st.lists(st.integers(0, MOMENTS), min_size=1, max_size=5)

FEW_KILLS = st.lists(st.integers(0, MOMENTS), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def digits(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("resumed") / "digits", dataset)


@pytest.fixture(scope="module")
def uninterrupted(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a run comes to, as a SHA-256: short, since Hypothesis prints all that a failing test was given."""
    torch.set_num_threads(THREADS)
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    train(RECIPE, str(digits), folder, reports=[])
    return sha256(weights(folder), batches(folder))


def kill_again_and_again(recipe: Recipe, data: Path, folder: Path, kills: list[int]) -> None:
    """Train in processes of which each is killed after so many moments, then to the end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["under10k.training.start"])
    for moments in kills:
        if not Run.is_run(folder):  # killed before it was one
            shutil.rmtree(folder, ignore_errors=True)
        process = context.Process(target=train_until_killed, args=(recipe.to_json(), str(data), str(folder), moments))
        process.start()
        process.join()
        assert process.exitcode in (-signal.SIGKILL, 0)
    if not Run.is_run(folder):
        shutil.rmtree(folder, ignore_errors=True)
    train(recipe, str(data), folder, folder.exists(), reports=[])
    assert not list(folder.rglob("*.tmp"))


def check_kills(kills: list[int], digits: Path, folder: Path, expected: str) -> None:
    kill_again_and_again(RECIPE, digits, folder, kills)
    assert sha256(weights(folder), batches(folder)) == expected


@FEW
@example(kills=[30, 30, 30, 30, 30])
@given(kills=FEW_KILLS)
def test_a_training_killed_at_random_moments_ends_byte_identical(
    kills: list[int], digits: Path, uninterrupted: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check_kills(kills, digits, tmp_path_factory.mktemp("killed") / "run", uninterrupted)


@pytest.mark.slow
@settings(FEW, max_examples=60)
@given(kills=KILLS)
def test_a_training_killed_at_very_many_random_moments_ends_byte_identical(
    kills: list[int], digits: Path, uninterrupted: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check_kills(kills, digits, tmp_path_factory.mktemp("killed") / "run", uninterrupted)


@pytest.mark.slow
def test_a_training_on_mnist_killed_five_times_ends_byte_identical(mnist_folder: Path, tmp_path: Path) -> None:
    recipe = get_recipe("fast", epochs=2)
    train(recipe, str(mnist_folder), tmp_path / "whole", reports=[])
    kill_again_and_again(recipe, mnist_folder, tmp_path / "killed", [5, 100, 250, 20, 60])
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")

"""Trainings that learn from a teacher: what it changes, how it is recorded, and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from own_networks import source
from short_runs import KilledError, StopAt, batches, kill, same_tensors, small, weights
from under10k import create_model, load_model, train
from under10k.cli import main
from under10k.data import to_input, to_unit
from under10k.data.datasets import Dataset
from under10k.errors import ModelError, UsageError
from under10k.files import sha256
from under10k.recipes import Optimizer, Recipe, get_recipe, list_recipes
from under10k.runs.folder import Run
from under10k.training.shards import distillation_loss, may_be_recorded
from under10k.weights import find_weights

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that everything happens in, with the weights of `gap` as a teacher."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(find_weights("gap"), tmp_path / "saved.safetensors")
    return tmp_path


def taught(**changes: Any) -> Recipe:
    return small(**{"teacher": "gap", **changes})


def test_a_network_agrees_best_with_its_teacher_where_its_logits_are_the_same() -> None:
    logits = torch.randn(8, 10, generator=torch.Generator().manual_seed(0))
    others = logits + torch.randn(8, 10, generator=torch.Generator().manual_seed(1))
    same = logits.clone().requires_grad_()
    loss = distillation_loss(same, logits)
    loss.sum().backward()  # type: ignore[no-untyped-call]

    assert (distillation_loss(others, logits) > loss).all()
    assert same.grad is not None
    torch.testing.assert_close(same.grad, torch.zeros(8, 10), atol=1e-6, rtol=0)


def test_a_network_comes_to_answer_as_its_teacher_does(dataset: Dataset) -> None:
    images = to_input(to_unit(dataset.test.images))
    teacher = load_model("gap")
    recipe = taught(epochs=4, optimizer=Optimizer("sgd", lr=0.05, momentum=0.9))

    def distance(run: str, recipe: Recipe) -> float:
        train(recipe, dataset, run, reports=[])
        with torch.no_grad():
            return distillation_loss(load_model(run)(images), teacher(images)).mean().item()

    assert distance("taught", recipe) < distance("alone", replace(recipe, teacher=None))


@pytest.mark.parametrize("shards", [1, 2])
def test_a_killed_training_resumes_to_the_same_bytes(dataset: Dataset, shards: int) -> None:
    recipe = taught(shards=shards)
    train(recipe, dataset, "uninterrupted", reports=[])
    with pytest.raises(KilledError):
        train(recipe, dataset, "killed", reports=[StopAt(1, 1, kill)])

    train(Run(Path("killed")).recipe(), dataset, "killed", resume=True, reports=[])
    for part in weights, batches:
        assert part(Path("killed")) == part(Path("uninterrupted"))


def test_a_bundled_teacher_is_the_same_as_its_file(place: Path, dataset: Dataset) -> None:
    train(taught(epochs=1), dataset, "bundled", reports=[])
    train(taught(epochs=1, teacher="saved.safetensors"), dataset, "saved", reports=[])

    assert same_tensors(Path("bundled"), Path("saved"))
    recipe = Run(Path("saved")).recipe()
    assert recipe.teacher == str(place.resolve() / "saved.safetensors")
    assert recipe.teacher_sha256 == sha256(Path("saved.safetensors").read_bytes())


def test_a_teacher_that_changed_is_refused(dataset: Dataset) -> None:
    with pytest.raises(KilledError):
        train(taught(teacher="saved.safetensors"), dataset, "killed", reports=[StopAt(1, 1, kill)])
    shutil.copy(find_weights("early"), "saved.safetensors")

    with pytest.raises(ModelError, match=r"saved\.safetensors has changed since"):
        train(Run(Path("killed")).recipe(), dataset, "killed", resume=True, reports=[])


def test_a_finished_run_needs_its_teacher_no_longer(dataset: Dataset) -> None:
    result = train(taught(teacher="saved.safetensors", epochs=1), dataset, "run", reports=[])
    Path("saved.safetensors").unlink()

    again = train(Run(Path("run")).recipe(), dataset, "run", resume=True, reports=[])
    assert again.test_accuracy == result.test_accuracy


@pytest.mark.parametrize("teacher", ["missing", "recipe.json"])
def test_a_teacher_that_cannot_be_is_refused_before_anything_is_written(dataset: Dataset, teacher: str) -> None:
    Path("recipe.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError) as caught:
        train(taught(teacher=teacher), dataset, "run", reports=[])
    assert "\n" not in str(caught.value)
    assert not Path("run").exists()


def test_a_teacher_that_may_have_seen_the_held_out_images_is_refused(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="may have seen the held-out images: gap"):
        train(taught(protocol="held-out"), dataset, "run", reports=[])
    assert not Path("run").exists()

    train(small(model="gap", epochs=1, protocol="held-out"), dataset, "large", reports=[])
    train(taught(epochs=1, teacher="large", protocol="held-out"), dataset, "run", reports=[])


def test_a_network_of_ones_own_teaches(place: Path, dataset: Dataset) -> None:
    (place / "my_net.py").write_text(source("shared"))
    train(small(model="my_net.py:Net", epochs=1), dataset, "large", reports=[])
    train(taught(epochs=1, teacher="large"), dataset, "run", reports=[])


def test_only_a_step_without_code_of_the_users_is_recorded(place: Path) -> None:
    (place / "my_net.py").write_text(source("shared"))
    own = create_model("my_net.py:Net")

    assert may_be_recorded(small(), None)
    assert may_be_recorded(small(), load_model("gap"))
    assert not may_be_recorded(small(), own)
    assert not may_be_recorded(small(model="my_net.py:Net"), None)


@pytest.mark.parametrize("name", [name for name in list_recipes() if get_recipe(name).teacher])
def test_every_teacher_of_ours_is_bundled(name: str) -> None:
    teacher = get_recipe(name).teacher
    assert teacher
    assert find_weights(teacher).is_file()


def test_the_command_says_who_teaches(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "--teacher", "gap", "--model", "early", "--data", str(data_folder), "--epochs", "1", "--out", "run"])
    assert "model early, taught by gap" in capsys.readouterr().out

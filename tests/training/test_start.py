"""Trainings that begin from trained weights: whose, recorded how, resumed, and what is refused."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from own_networks import source
from short_runs import KilledError, StopAt, batches, kill, same_tensors, small, weights
from under10k import create_model, load_model, run_study, save_model, train
from under10k.cli import main
from under10k.data.datasets import Dataset
from under10k.errors import ModelError, UsageError
from under10k.files import sha256
from under10k.recipes import Optimizer, Recipe
from under10k.runs.folder import Run
from under10k.weights import find_weights

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that everything happens in: with the weights of `early`, as ours and as another program saves them."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(find_weights("early"), tmp_path / "saved.safetensors")
    safetensors.torch.save_file(load_model("early").state_dict(), tmp_path / "plain.safetensors")
    return tmp_path


def short(**changes: Any) -> Recipe:
    return small(**{"start": "early", **changes})


def test_a_training_begins_from_the_weights(dataset: Dataset) -> None:
    still = short(optimizer=Optimizer(lr=1e-12), averaging=0.0, epochs=1)
    train(still, dataset, "run", reports=[])

    before, after = dict(load_model("early").named_parameters()), dict(load_model("run").named_parameters())
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_the_running_average_begins_from_them_too(dataset: Dataset) -> None:
    slow = small(epochs=1, averaging=0.999, optimizer=Optimizer(lr=0.01))
    assert train(replace(slow, start="early"), dataset, "begun", reports=[]).test_accuracy > 0.8
    assert train(slow, dataset, "anew", reports=[]).test_accuracy < 0.8


def test_every_door_of_load_model_is_one_of_start(dataset: Dataset) -> None:
    train(short(), dataset, "bundled", reports=[])
    train(small(epochs=1), dataset, "before", reports=[])
    shutil.copy("saved.safetensors", "before/model.safetensors")
    doors: list[str | Path] = ["before", Path("saved.safetensors"), "plain.safetensors"]
    for number, start in enumerate(doors):
        train(small(), dataset, f"run{number}", start=start, reports=[])
        assert same_tensors(Path("bundled"), Path(f"run{number}"))


def test_the_recipe_records_the_whole_path_and_the_sha256(place: Path, dataset: Dataset) -> None:
    train(small(epochs=1), dataset, "run", start="plain.safetensors", reports=[])
    train(short(epochs=1), dataset, "bundled", reports=[])

    recipe = Run(Path("run")).recipe()
    assert recipe.start == str(place.resolve() / "plain.safetensors")
    assert recipe.start_sha256 == sha256(Path("plain.safetensors").read_bytes())
    assert Run(Path("bundled")).recipe().start == "early"


@pytest.mark.parametrize("killed_at", [(0, 2), (1, 1)])
def test_a_killed_training_resumes_to_the_same_bytes(dataset: Dataset, killed_at: tuple[int, int]) -> None:
    recipe = short(start="saved.safetensors")
    train(recipe, dataset, "uninterrupted", reports=[])
    with pytest.raises(KilledError):
        train(recipe, dataset, "killed", reports=[StopAt(*killed_at, kill)])

    train(recipe, dataset, "killed", resume=True, reports=[])
    for part in weights, batches:
        assert part(Path("killed")) == part(Path("uninterrupted"))


def test_a_run_with_a_checkpoint_does_without_the_weights_it_began_from(dataset: Dataset) -> None:
    with pytest.raises(KilledError):
        train(short(start="saved.safetensors"), dataset, "killed", reports=[StopAt(1, 1, kill)])
    Path("saved.safetensors").unlink()

    train(Run(Path("killed")).recipe(), dataset, "killed", resume=True, reports=[])


def test_weights_that_changed_before_the_first_checkpoint_are_refused(dataset: Dataset) -> None:
    with pytest.raises(KilledError):
        train(short(start="saved.safetensors"), dataset, "killed", reports=[StopAt(0, 1, kill)])
    shutil.copy("plain.safetensors", "saved.safetensors")

    with pytest.raises(ModelError, match=r"saved\.safetensors has changed since"):
        train(Run(Path("killed")).recipe(), dataset, "killed", resume=True, reports=[])


def test_a_run_is_not_resumed_from_other_weights(dataset: Dataset) -> None:
    with pytest.raises(KilledError):
        train(short(), dataset, "killed", reports=[StopAt(1, 1, kill)])
    with pytest.raises(ModelError, match="start was early, is now"):
        train(short(start="plain.safetensors"), dataset, "killed", resume=True, reports=[])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "transition"}, "early holds early, recipe small trains transition"),
        ({"residual": True}, "early holds early, recipe small trains early, residual"),
        ({"head": "linear"}, "early holds early, recipe small trains early, head linear"),
        ({"start": "plain.safetensors", "model": "transition"}, "not this model"),
    ],
)
def test_weights_of_another_network_are_refused_before_anything_is_written(
    dataset: Dataset, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        train(short(**changes), dataset, "run", reports=[])
    assert "\n" not in str(caught.value)
    assert not Path("run").exists()


def test_another_dropout_is_no_other_network(dataset: Dataset) -> None:
    train(short(dropout=0.1, epochs=1), dataset, "run", reports=[])


def write_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weights": torch.zeros(2)}))


def write_nan(path: Path) -> None:
    model = create_model("early")
    nn.init.constant_(next(model.parameters()), float("nan"))
    safetensors.torch.save_file(model.state_dict(), path)


def write_large(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**40)


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _: None, "no such weights"),
    "pickle": (write_pickle, "a pickle"),
    "folder": (Path.mkdir, "not a run folder"),
    "large": (write_large, "too large"),
    "not finite": (write_nan, "not finite"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_weights_are_refused_before_anything_is_written(kind: str, dataset: Dataset) -> None:
    write, said = HOSTILE[kind]
    write(Path("hostile"))
    with pytest.raises(ModelError, match=said):
        train(short(start="hostile"), dataset, "run", reports=[])
    assert not Path("run").exists()


def test_start_takes_a_path_or_a_name(dataset: Dataset) -> None:
    network: Any = load_model("early")
    with pytest.raises(UsageError, match="bundled weights"):
        train(small(), dataset, "run", start=network, reports=[])


def test_a_network_of_ones_own_begins_from_its_own_weights(place: Path, dataset: Dataset) -> None:
    (place / "my_net.py").write_text(source("shared"))
    train(small(model="my_net.py:Net", epochs=1), dataset, "before", reports=[])

    train(small(model="my_net.py:Net", start="before", epochs=1), dataset, "run", reports=[])
    assert Run(Path("run")).recipe().start == str(place.resolve() / "before")
    with pytest.raises(ModelError, match=r"holds my_net\.py:Net, recipe small trains early"):
        train(short(start="before"), dataset, "refused", reports=[])


def test_a_study_compares_weights_to_begin_from(dataset: Dataset) -> None:
    save_model(load_model("early"), "other.safetensors")
    slow = small(epochs=1, optimizer=Optimizer(lr=0.01))
    study = run_study(
        slow, 1, dataset, "study", overrides={"start": ["early", "other.safetensors", None]}, engine="serial"
    )
    assert not study.failures
    accuracies = [row.mean or 0 for row in study.rows]
    assert accuracies[0] == accuracies[1] > accuracies[2]


def test_the_command_takes_start_and_says_so(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(
        ["train", "--model", "robust", "--start", "robust", "--data", str(data_folder), "--epochs", "1", "--out", "run"]
    )
    assert "model robust from robust" in capsys.readouterr().out
    main(["train", "--resume", "run"])
    assert "finished already" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["train", "--start", "transition", "--data", str(data_folder)])
    assert ended.value.code == 4
    assert capsys.readouterr().err.count("\n") == 1

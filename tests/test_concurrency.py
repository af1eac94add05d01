"""Two processes at one place: both succeed, or one is refused clearly; nothing is mixed, and nothing left behind."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

import together
from random_networks import random_network
from short_runs import small, weights
from together import at_once
from under10k.training.start import train
from under10k.weights.sealed import save_weights

OPTIONS = {"dropout": 0.02, "residual": False, "head": "pool"}

RECIPE = small(epochs=1, batch_size=192)


def files(place: Path) -> dict[str, bytes]:
    """Everything that lies in a folder, but for locks."""
    found = (path for path in sorted(place.rglob("*")) if path.is_file() and not path.name.startswith(".lock"))
    return {str(path.relative_to(place)): path.read_bytes() for path in found}


def leftovers(place: Path) -> list[Path]:
    return [path for path in place.rglob(".*") if not path.name.startswith(".lock")]


def save_network(path: Path, model: str) -> Path:
    save_weights(path, random_network(model), {"model": model, "options": OPTIONS, "recipe": path.stem})
    return path


@pytest.mark.slow
def test_of_two_trainings_into_one_folder_one_trains_and_the_other_is_refused(
    data_folder: Path, tmp_path: Path
) -> None:
    one = partial(train, RECIPE, data_folder, tmp_path / "run", reports=[])
    (code, _), (refused, message) = at_once(one, one)
    assert code == 0
    assert (refused, message.partition(":")[0]) in [(6, "folder in use"), (2, "run folder not empty")]
    train(RECIPE, data_folder, tmp_path / "alone", reports=[])
    assert weights(tmp_path / "run") == weights(tmp_path / "alone")
    assert leftovers(tmp_path) == []


@pytest.mark.slow
def test_two_trainings_that_name_no_folder_each_have_their_own(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = partial(train, RECIPE, data_folder, reports=[])
    assert at_once(one, one) == [(0, ""), (0, "")]
    assert sorted(path.name for path in Path("runs").iterdir()) == ["small-s0", "small-s0-2"]
    assert weights(Path("runs/small-s0")) == weights(Path("runs/small-s0-2"))
    assert leftovers(Path("runs")) == []


@pytest.mark.slow
def test_of_two_studies_in_one_folder_one_goes_on_at_a_time(data_folder: Path, tmp_path: Path) -> None:
    one = partial(together.study, RECIPE, data_folder, tmp_path / "study")
    outcomes = at_once(one, one)
    assert outcomes[0] == (0, "")
    assert outcomes[1][0] == 0 or outcomes[1][1].startswith("folder in use: ")
    (row,) = json.loads((tmp_path / "study" / "study.json").read_text())["rows"]
    assert (row["n"], row["failed"]) == (2, 0)
    assert sorted(path.name for path in (tmp_path / "study" / "runs").iterdir()) == ["small-s0", "small-s1"]
    assert leftovers(tmp_path / "study") == []


@pytest.mark.parametrize("to", ["c", *(pytest.param(to, marks=pytest.mark.slow) for to in ("html", "onnx"))])
def test_of_two_exports_onto_one_target_one_is_there_whole(to: str, data_folder: Path, tmp_path: Path) -> None:
    if to == "onnx":
        pytest.importorskip("onnxruntime")
    ours, theirs = (save_network(tmp_path / f"{name}.safetensors", "early") for name in ("ours", "theirs"))
    for name, network in ("ours", ours), ("theirs", theirs):
        together.export(to, network, tmp_path / name / "out", data_folder)
    calls = [
        partial(together.export, to, network, tmp_path / "both" / "out", data_folder) for network in (ours, theirs)
    ]
    assert at_once(*calls) == [(0, ""), (0, "")]
    assert files(tmp_path / "both") in (files(tmp_path / "ours"), files(tmp_path / "theirs"))
    assert leftovers(tmp_path / "both") == []


@pytest.mark.slow
def test_of_two_networks_exported_into_one_folder_one_is_refused(data_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "both" / "out"
    networks = [save_network(tmp_path / f"{model}.safetensors", model) for model in ("early", "gap")]
    for network in networks:
        together.export("c", network, tmp_path / network.stem / "out", data_folder)
    (code, _), (refused, message) = at_once(
        *(partial(together.export, "c", network, out, data_folder) for network in networks)
    )
    assert (code, refused, message.partition(":")[0]) == (0, 2, "folder not empty")
    assert files(tmp_path / "both") in (files(tmp_path / "early"), files(tmp_path / "gap"))
    assert leftovers(tmp_path / "both") == []


@pytest.mark.slow
def test_of_two_plots_onto_one_file_one_is_there_whole(data_folder: Path, tmp_path: Path) -> None:
    train(RECIPE, data_folder, tmp_path / "run", reports=[])
    one = partial(together.plot, tmp_path / "run", tmp_path / "plots.png")
    assert at_once(one, one) == [(0, ""), (0, "")]
    with Image.open(tmp_path / "plots.png") as picture:
        picture.load()
    assert leftovers(tmp_path) == []

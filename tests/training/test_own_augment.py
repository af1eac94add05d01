"""Augmentation of the caller's own: a pure function of images and a generator, recorded and resumable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from short_runs import KilledError, StopAt, batches, kill, small, weights
from under10k import evaluate, train
from under10k.cli import main
from under10k.data.datasets import Dataset
from under10k.errors import ModelError, UsageError
from under10k.files import sha256
from under10k.training import own_augment

pytestmark = pytest.mark.usefixtures("undrawn")


def turn(images: Tensor, generator: Generator) -> Tensor:
    turned = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(turned[:, None, None], images.flip(1, 2), images)


def turn_untold(images: Tensor, generator: Generator) -> Tensor:
    """Draws without naming the generator."""
    turned = torch.rand(len(images)) < 0.5
    return torch.where(turned[:, None, None], images.flip(1, 2), images)


def leave(images: Tensor, generator: Generator) -> Tensor:
    return images


def in_place(images: Tensor, generator: Generator) -> Tensor:
    return images.zero_()


def draw_elsewhere(images: Tensor, generator: Generator) -> Tensor:
    return images + torch.from_numpy(np.random.default_rng().integers(0, 256, images.shape, dtype=np.uint8))


def as_float(images: Tensor, generator: Generator) -> Tensor:
    return images / 255


def fewer(images: Tensor, generator: Generator) -> Tensor:
    return images[1:]


def fail(images: Tensor, generator: Generator) -> Tensor:
    raise ValueError("no such thing")


def quick(**changes: Any) -> Any:
    return small(**{"model": "early", "epochs": 2, "batch_size": 128, **changes})


def test_a_function_deforms_what_is_trained_on(dataset: Dataset, tmp_path: Path) -> None:
    for name, function in ("plain", None), ("left", leave), ("turned", turn):
        train(quick(), dataset, tmp_path / name, augment=function, reports=[])
    assert batches(tmp_path / "left") == batches(tmp_path / "plain")
    assert batches(tmp_path / "turned") != batches(tmp_path / "plain")


@pytest.mark.parametrize("function", [turn, turn_untold])
@pytest.mark.parametrize("shards", [1, 2])
def test_a_killed_run_is_resumed_to_the_same_bytes(
    function: Any, shards: int, dataset: Dataset, tmp_path: Path
) -> None:
    recipe = quick(shards=shards)
    state = torch.get_rng_state()
    train(recipe, dataset, tmp_path / "whole", augment=function, reports=[])
    with pytest.raises(KilledError):
        train(recipe, dataset, tmp_path / "stopped", augment=function, reports=[StopAt(1, 2, kill)])
    train(recipe, dataset, tmp_path / "stopped", resume=True, augment=function, reports=[])
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")
    assert batches(tmp_path / "stopped") == batches(tmp_path / "whole")
    assert torch.equal(torch.get_rng_state(), state)


def test_a_run_records_it_and_is_not_resumed_without_it_or_with_another(
    dataset: Dataset, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    with pytest.raises(KilledError):
        train(quick(), data_folder, run, augment=turn, reports=[StopAt(1, 2, kill)])
    written = json.loads((run / "recipe.json").read_text())
    assert written["own_augment"] == f"{Path(__file__).resolve()}:turn"
    assert written["own_augment_sha256"] == sha256(Path(__file__).read_bytes())
    for other in (None, leave):
        with pytest.raises(ModelError, match=r"cannot resume .*own_augment was"):
            train(quick(), data_folder, run, resume=True, augment=other, reports=[])
    own_augment._handed.clear()
    with pytest.raises(SystemExit) as ended:
        main(["train", "--resume", str(run)])
    message = capsys.readouterr().err
    assert ended.value.code == 4
    assert "hand it over in Python: train(..., augment=FUNCTION)" in message
    assert message.count("\n") == 1
    train(quick(), data_folder, run, resume=True, augment=turn, reports=[])
    own_augment._handed.clear()
    assert evaluate(run, dataset.test).labels.shape == (96,), "reading needs no function"


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (in_place, "augment changes the images that it is given"),
        (draw_elsewhere, "augment gives two answers for one seed"),
        (as_float, r"augment returns torch\.float32 \(4, 28, 28\)\. return uint8 \(4, 28, 28\)"),
        (fewer, r"augment returns torch\.uint8 \(3, 28, 28\)"),
        (fail, r"augment fails: line \d+: ValueError: no such thing\. correct it"),
        (lambda images, _: images, "a function without a name: '<lambda>'"),
        (3, "augment"),
    ],
)
def test_what_is_no_pure_function_of_images_is_refused_before_anything_is_written(
    function: Any, told: str, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=told):
        train(quick(), dataset, tmp_path / "run", augment=function, reports=[])
    assert not (tmp_path / "run").exists()

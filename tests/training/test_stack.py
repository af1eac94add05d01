"""Trainings computed as one: `under10k study --engine stacked`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from short_runs import KilledError, batches, kill, same_tensors, small, weights
from under10k import Study, load_model, run_study
from under10k.data import Dataset
from under10k.errors import DivergedError, StoppedError, UsageError
from under10k.recipes import Mix, Optimizer, Recipe
from under10k.runs import Batch, Run
from under10k.training.signals import StopSignals
from under10k.training.start import train, train_stacked
from under10k.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("undrawn")

GENTLE = Optimizer("sgd", lr=0.003, momentum=0.9, nesterov=True)
"""Steps so small that rounding does not grow much."""

SEEDS = (0, 1, 2)


def stacked(recipe: Recipe, dataset: Dataset, folder: Path, *, resume: bool = False) -> Sequence[Any]:
    folders = [folder / str(seed) for seed in SEEDS]
    for each in folders:
        each.mkdir(parents=True, exist_ok=True)
    runs = [(replace(recipe, seed=seed), each, resume) for seed, each in zip(SEEDS, folders, strict=True)]
    return train_stacked(runs, dataset, device="cpu")


def read_batches(run: Path) -> torch.Tensor:
    lines = (run / "batches.csv").read_text().splitlines()[1:]
    return torch.tensor([[float(word) for word in line.split(",")] for line in lines])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"shards": 2},
        {"skip_easy": 0.3, "averaging": 0.0, "optimizer": Optimizer("sgd", lr=1e-4)},
        {"model": "gap", "label_smoothing": 0.1},
        {"model": "transition", "residual": True},
        {"model": "best-2k5"},
        {"model": "best-1k", "views": 5},
        {"optimizer": Optimizer("adamw", lr=0.002, weight_decay=0.01)},
        {"mix": Mix(drawn=0.1, no_digits=0.1)},
        {"protocol": "held-out"},
        {"teacher": "gap"},
        {"start": "early"},
    ],
    ids=str,
)
def test_stacked_trainings_end_as_each_does_alone_up_to_rounding(
    changes: dict[str, Any], dataset: Dataset, tmp_path: Path
) -> None:
    recipe = small(**{"optimizer": GENTLE, **changes})
    results = stacked(recipe, dataset, tmp_path)
    for seed, result in zip(SEEDS, results, strict=True):
        alone, together = tmp_path / f"{seed} alone", tmp_path / str(seed)
        expected = train(replace(recipe, seed=seed), dataset, alone, reports=[])
        ours, theirs = (load_model(folder).state_dict() for folder in (together, alone))
        for name in ours:
            torch.testing.assert_close(ours[name], theirs[name], rtol=0.02, atol=2e-3, msg=name)
        torch.testing.assert_close(read_batches(together), read_batches(alone), rtol=0.02, atol=0.02)
        assert (result.seed, result.epochs, result.recipe) == (seed, 2, "small")
        assert abs(result.test_loss - expected.test_loss) < 0.02
        assert Run(together).result() == result


def test_a_stack_that_is_killed_ends_as_one_that_is_not(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small(skip_easy=0.2)
    stacked(recipe, dataset, tmp_path / "whole")
    with monkeypatch.context() as patched:
        record = Trainer.record_step

        def record_or_die(self: Trainer, *values: Any) -> Batch:
            if self.state.at.epoch == 1 and self.state.at.step == 2 and self.recipe.seed == 1:
                kill()
            return record(self, *values)

        patched.setattr(Trainer, "record_step", record_or_die)
        with pytest.raises(KilledError):
            stacked(recipe, dataset, tmp_path / "killed")
    stacked(recipe, dataset, tmp_path / "killed", resume=True)
    for seed in SEEDS:
        whole, killed = tmp_path / "whole" / str(seed), tmp_path / "killed" / str(seed)
        assert weights(whole) == weights(killed)
        assert batches(whole) == batches(killed)


def test_a_stack_that_is_stopped_saves_every_run_in_mid_epoch(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small(optimizer=Optimizer("adamw", lr=0.002))
    stacked(recipe, dataset, tmp_path / "whole")
    with monkeypatch.context() as patched:
        record = Trainer.record_step

        def record_and_stop(self: Trainer, *values: Any) -> Batch:
            if self.state.at.step == 3:
                StopSignals.request()
            return record(self, *values)

        patched.setattr(Trainer, "record_step", record_and_stop)
        with pytest.raises(StoppedError, match="epoch 1, step 4 is saved"):
            stacked(recipe, dataset, tmp_path / "stopped")
    stacked(recipe, dataset, tmp_path / "stopped", resume=True)
    for seed in SEEDS:
        assert same_tensors(tmp_path / "whole" / str(seed), tmp_path / "stopped" / str(seed))


def test_runs_that_stand_at_different_steps_all_end(dataset: Dataset, tmp_path: Path) -> None:
    recipe = small(epochs=1)
    train(replace(recipe, seed=0), dataset, tmp_path / "0", reports=[])
    runs = [(replace(recipe, seed=seed), tmp_path / str(seed), seed == 0) for seed in SEEDS]
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    results = train_stacked(runs, dataset, device="cpu")
    assert [result.epochs for result in results if not isinstance(result, Exception)] == [1, 1, 1]


@pytest.mark.parametrize("seeds", [{0}, {1}, {0, 1, 2}])
def test_a_run_that_diverges_leaves_the_others_alone(
    seeds: set[int], dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small(skip_easy=0.3)
    stacked(recipe, dataset, tmp_path / "well")
    record = Trainer.record_step

    def record_or_diverge(self: Trainer, loss: float, *values: Any) -> Batch:
        late = self.state.at.step == 4 and self.recipe.seed in seeds
        return record(self, float("nan") if late else loss, *values)

    monkeypatch.setattr(Trainer, "record_step", record_or_diverge)
    for seed, result in zip(SEEDS, stacked(recipe, dataset, tmp_path / "ill"), strict=True):
        if seed in seeds:
            assert isinstance(result, DivergedError)
        else:
            assert same_tensors(tmp_path / "well" / str(seed), tmp_path / "ill" / str(seed))


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"dropout": 0.1}, "dropout 0.1"),
        ({"protocol": "watched", "target_accuracy": 0.9}, "target_accuracy 0.9"),
        ({"protocol": "held-out", "patience_epochs": 3}, "patience_epochs 3"),
        ({"precision": "bfloat16"}, "bfloat16"),
        ({"shards": 3}, "shards 3"),
    ],
)
def test_a_recipe_that_cannot_be_stacked_is_refused_before_anything_is_written(
    changes: dict[str, Any], hint: str, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=hint):
        run_study(small(**changes), 2, dataset, tmp_path / "study", engine="stacked", device="cpu")
    assert not (tmp_path / "study").exists()


def test_a_stacked_study_finds_what_one_process_finds_up_to_rounding(dataset: Dataset, tmp_path: Path) -> None:
    recipes = [small(optimizer=GENTLE), small(optimizer=GENTLE, name="other", model="best-1k")]
    found: list[Study] = [
        run_study(recipes, 3, dataset, tmp_path / engine, engine=engine, device="cpu", workers=workers, threads=1)
        for engine, workers in (("serial", None), ("stacked", 2))
    ]
    assert not found[1].failures
    for one, other in zip(found[0].rows, found[1].rows, strict=True):
        assert one.runs == other.runs == 3
        assert one.mean is not None
        assert other.mean is not None
        assert abs(one.mean - other.mean) < 0.03


def test_a_damaged_run_of_a_stacked_study_is_set_aside_and_trained_anew(dataset: Dataset, tmp_path: Path) -> None:
    recipe = small(epochs=1)
    run_study(recipe, 2, dataset, tmp_path / "study", engine="stacked", device="cpu")
    run = tmp_path / "study" / "runs" / "small-s1"
    (run / "result.json").unlink()
    (run / "recipe.json").write_text("{}")
    again = run_study(recipe, 2, dataset, tmp_path / "study", engine="stacked", device="cpu")
    assert len(again.outcomes) == 2
    assert not again.failures
    assert (tmp_path / "study" / "runs" / "small-s1.damaged").is_dir()

"""What a training promises: its protocols, its reproducibility, and that nothing is lost."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from mutations import seal
from short_runs import THREADS, KilledError, StopAt, batches, kill, same_tensors, small, weights
from under10k.data.datasets import Dataset
from under10k.errors import BusyError, DataError, DivergedError, ModelError, StoppedError, Under10kError, UsageError
from under10k.evaluation.metrics import evaluate
from under10k.files import locked, write_atomically
from under10k.recipes import RECIPES, Optimizer, Recipe, get_recipe
from under10k.runs.folder import Run
from under10k.runs.records import Batch, Epoch, Position
from under10k.runs.result import Result
from under10k.runs.start import pin_start, pin_teacher
from under10k.runs.weights import load_model, load_weights
from under10k.training.report import Report
from under10k.training.signals import StopSignals
from under10k.training.start import train
from under10k.weights.bundled import TEACHERS
from under10k.weights.sealed import load_tensors

pytestmark = pytest.mark.usefixtures("undrawn")

Finished = Callable[[Recipe], Path]


def train_until_killed(recipe: Recipe, dataset: Dataset, folder: Path, kill_at: StopAt) -> Path:
    torch.set_num_threads(THREADS)
    with pytest.raises(KilledError):
        train(recipe, dataset, folder, reports=[kill_at])
    return folder


# --- what a run leaves behind --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_trains_and_leaves_a_whole_run_folder(
    name: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # curves are drawn
    recipe = replace(get_recipe(name), epochs=1, batch_size=32)
    recipe = replace(recipe, mix=replace(recipe.mix, mnist=min(recipe.mix.mnist, 32)))
    few = replace(dataset, train=dataset.train[:96], test=dataset.test[:32])
    result = train(recipe, few, tmp_path / "run", reports=[])
    names = {path.name for path in (tmp_path / "run").iterdir() if not path.name.startswith(".")}
    assert names == {
        "recipe.json",
        "environment.json",
        "metrics.jsonl",
        "batches.csv",
        "checkpoint",
        "model.safetensors",
        "result.json",
        "curves.png",
    }
    assert Run(tmp_path / "run").recipe() == pin_teacher(pin_start(recipe))
    assert Run(tmp_path / "run").result() == result
    assert result.parameters < 10_000 or name in TEACHERS
    assert math.isfinite(result.test_loss)
    assert set(result.seconds) == {"load", "train", "evaluate", "total"}
    parts = result.seconds["load"] + result.seconds["train"] + result.seconds["evaluate"]
    assert result.seconds["total"] == pytest.approx(parts, abs=0.01)


def test_the_record_names_versions_processor_threads_and_data(
    dataset: Dataset, tmp_path: Path, finished: Finished
) -> None:
    environment = Run(finished(small(epochs=1))).environment()
    assert environment["torch"] == torch.__version__
    assert environment["threads"] == torch.get_num_threads()
    assert environment["data"]["sha256"] == dataset.sha256()
    assert {"python", "numpy", "processor", "git_commit", "under10k", "platform"} <= environment.keys()


def test_every_record_of_a_run_names_the_same_data(dataset: Dataset, tmp_path: Path) -> None:
    noted = replace(dataset, note="not what you think")
    result = train(small(epochs=1), noted, tmp_path / "run", reports=[])
    found = noted.identity()
    assert (found.sha256, found.note, found.train, found.test) == (noted.sha256(), noted.note, 384, len(noted.test))
    assert result.data == Run(tmp_path / "run").data() == found
    checkpoint = Run(tmp_path / "run").load_checkpoint()
    assert checkpoint
    assert checkpoint[1]["data"] == asdict(found)
    assert load_weights(tmp_path / "run")[1].data_sha256 == found.sha256


def test_the_loaded_model_scores_what_the_result_says(dataset: Dataset, tmp_path: Path, finished: Finished) -> None:
    run = finished(small())
    result = Run(run).result()
    assert result
    metrics = evaluate(load_model(run), dataset.test)
    assert metrics.accuracy == result.test_accuracy
    assert metrics.errors == result.test_errors


def test_the_default_folder_is_the_next_free_one(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [train(small(epochs=1, seed=7), dataset, reports=[]).run_dir for _ in range(2)]
    assert folders == [os.path.join("runs", "small-s7"), os.path.join("runs", "small-s7-2")]  # noqa: PTH118


def test_training_learns(dataset: Dataset, tmp_path: Path) -> None:
    recipe = small(epochs=8, batch_size=32, optimizer=Optimizer("adamw", lr=0.01), averaging=0.9)
    result = train(recipe, dataset, tmp_path / "run", reports=[])
    assert result.test_accuracy > 0.7  # chance is 0.1


def test_a_training_draws_nothing_from_the_generator_that_all_threads_share(dataset: Dataset, tmp_path: Path) -> None:
    state, seen = torch.get_rng_state(), []

    class Watch(Report):
        def step(self, position: Position, batch: Batch) -> None:
            seen.append(torch.equal(torch.get_rng_state(), state))

    train(small(epochs=1, dropout=0.1), dataset, tmp_path / "run", reports=[Watch()])
    assert seen == [True] * 6
    assert torch.equal(torch.get_rng_state(), state)


def in_thread(call: Callable[[], object]) -> None:
    """Call in another thread, and wait for it to end well."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(call).result()


def test_two_trainings_in_two_threads_end_as_each_does_alone(
    dataset: Dataset, tmp_path: Path, finished: Finished
) -> None:
    recipes = [small(seed=seed, dropout=0.1) for seed in (1, 2)]
    together = threading.Barrier(2)

    class InStep(Report):
        def step(self, position: Position, batch: Batch) -> None:
            together.wait(60)

    def beside(recipe: Recipe) -> None:
        torch.set_num_threads(THREADS)  # which each thread has of its own
        train(recipe, dataset, tmp_path / f"beside-{recipe.seed}", reports=[InStep()])

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(beside, recipes))
    for recipe in recipes:
        assert weights(tmp_path / f"beside-{recipe.seed}") == weights(finished(recipe))


@pytest.mark.parametrize(
    "setting",
    [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu"), lambda: torch.device("meta")],
    ids=["no_grad", "inference_mode", "autocast", "default_device"],
)
def test_a_training_is_the_same_whatever_torch_is_set_to(
    setting: Any, dataset: Dataset, tmp_path: Path, finished: Finished
) -> None:
    recipe = small(epochs=1, dropout=0.1, protocol="held-out")
    plain = weights(finished(recipe))
    with setting():
        again = Dataset(dataset.name, dataset.train[:], dataset.test[:])
        train(recipe, again, tmp_path / "set", reports=[])
    assert plain == weights(tmp_path / "set")


def test_another_default_type_is_refused_before_anything_is_written(dataset: Dataset, tmp_path: Path) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(UsageError, match=r"not float32: .*torch\.float64\. call torch\.set_default_dtype"):
            train(small(), dataset, tmp_path / "run", reports=[])
    finally:
        torch.set_default_dtype(torch.float32)
    assert not (tmp_path / "run").exists()


# --- every batch ---------------------------------------------------------------------------------------------------


def test_every_batch_is_recorded_with_loss_accuracy_and_learning_rate(
    dataset: Dataset, tmp_path: Path, finished: Finished
) -> None:
    run = finished(small(epochs=3))
    with (run / "batches.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "step", "loss", "accuracy", "learning_rate"]
    assert [(row["epoch"], row["step"]) for row in rows] == [(str(e), str(s)) for e in (1, 2, 3) for s in range(1, 7)]
    for epoch in Run(run).history():
        own = [row for row in rows if int(row["epoch"]) == epoch.epoch]
        assert sum(float(row["loss"]) for row in own) / 6 == pytest.approx(epoch.train_loss)
        assert sum(float(row["accuracy"]) for row in own) / 6 == pytest.approx(epoch.train_accuracy)
        assert float(own[-1]["learning_rate"]) == pytest.approx(epoch.learning_rate)
    assert [(b.epoch, b.step) for b in Run(run).batches()] == [(e, s) for e in (1, 2, 3) for s in range(1, 7)]


@pytest.mark.parametrize("written", [0, 1, 100])
def test_a_kill_between_a_checkpoint_and_its_batches_loses_none(
    written: int, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Finished
) -> None:
    real = Run.append_batches

    def killed(run: Run, records: Sequence[Batch]) -> None:
        if not records or records[0].epoch < 2:
            return real(run, records)
        real(run, records)
        path = tmp_path / "run" / "batches.csv"
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:7]) + b"".join(lines[7:])[:written])
        raise KilledError

    monkeypatch.setattr(Run, "append_batches", killed)
    with pytest.raises(KilledError):
        train(small(epochs=3), dataset, tmp_path / "run", reports=[])
    monkeypatch.undo()
    train(small(epochs=3), dataset, tmp_path / "run", resume=True, reports=[])
    assert batches(tmp_path / "run") == batches(finished(small(epochs=3)))


def test_a_damaged_newest_checkpoint_costs_no_batch(dataset: Dataset, tmp_path: Path, finished: Finished) -> None:
    with pytest.raises(KilledError):
        train(small(epochs=3), dataset, tmp_path / "run", reports=[StopAt(2, 3, kill)])
    max((tmp_path / "run" / "checkpoint").iterdir()).write_bytes(b"")
    train(small(epochs=3), dataset, tmp_path / "run", resume=True, reports=[])
    assert batches(tmp_path / "run") == batches(finished(small(epochs=3)))


@pytest.fixture(scope="module")
def _killed_in_epoch_3(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_until_killed(small(epochs=3), dataset, tmp_path_factory.mktemp("killed") / "run", StopAt(2, 1, kill))


@pytest.fixture
def second_epoch(_killed_in_epoch_3: Path, tmp_path: Path) -> Path:
    """The folder of a run that was killed after its second epoch: `batches.csv` must hold those of the first."""
    return Path(shutil.copytree(_killed_in_epoch_3, tmp_path / "run"))


def make_huge(path: Path) -> None:
    path.write_bytes(b"")
    os.truncate(path, 2**33)  # sparse: takes no room, and no time to refuse


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "spoil",
    [
        Path.unlink,
        lambda path: path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:6])),
        lambda path: path.write_bytes(path.read_bytes().replace(b"epoch", b"ehoch")),
        make_huge,
        make_pipe,
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["missing", "short", "headless", "huge", "pipe", "folder"],
)
def test_batches_that_do_not_reach_as_far_as_the_checkpoint_are_refused(
    spoil: Any, second_epoch: Path, dataset: Dataset
) -> None:
    spoil(second_epoch / "batches.csv")
    with pytest.raises(ModelError, match=r"damaged file: .*batches\.csv does not hold the 6 batches so far"):
        train(small(epochs=3), dataset, second_epoch, resume=True, reports=[])


@pytest.mark.parametrize(
    "name", ["batches.csv", "metrics.jsonl", "curves.png", "checkpoint", ".lock.pid", "tensorboard/batches"]
)
def test_a_run_folder_with_a_link_in_it_is_not_written_through(name: str, second_epoch: Path, dataset: Dataset) -> None:
    path, outside = second_epoch / name, second_epoch.parent / "outside"
    if path.exists():
        path.rename(outside)
    else:
        outside.write_text("mine")
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(outside)
    before = None if outside.is_dir() else outside.read_bytes()
    with pytest.raises(ModelError, match=f"a link in a run folder: .*{name}"):
        train(small(epochs=3), dataset, second_epoch, resume=True, reports=[])
    assert before is None or outside.read_bytes() == before


def test_weights_of_a_finished_run_that_are_gone_are_written_again(dataset: Dataset, tmp_path: Path) -> None:
    recipe = small(protocol="watched")
    result = train(recipe, dataset, tmp_path / "run", reports=[])
    before = weights(tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").unlink()
    again = train(recipe, dataset, tmp_path / "run", resume=True, reports=[])
    assert weights(tmp_path / "run") == before
    assert replace(again, seconds={}) == replace(result, seconds={})


@pytest.mark.parametrize("name", ["environment.json", "recipe.json"])
def test_a_training_that_ended_before_it_had_begun_begins_again(
    name: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes | str, *, follow: bool) -> None:
        if path.name == name:
            raise OSError(28, "No space left on device", str(path))
        write_atomically(path, content, follow=follow)

    run = tmp_path / "run"
    with monkeypatch.context() as broken:
        for function in ("under10k.runs.folder.write_atomically", "under10k.files.write_atomically"):
            broken.setattr(function, full)
        with pytest.raises(OSError, match="No space left"):
            train(small(epochs=1), dataset, run, reports=[])
    (run / ".0a1b2c3d.tmp").touch()  # of a kill
    with pytest.raises(ModelError, match=r"ended before its first step\. begin it again: under10k train --out"):
        Run(run).recipe()
    train(small(epochs=1), dataset, run, reports=[])
    assert (run / "model.safetensors").is_file()


def test_a_folder_with_somebody_elses_file_is_never_taken_for_one_to_begin_again(
    dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "environment.json").write_text("mine")
    with pytest.raises(UsageError, match="run folder not empty"):
        train(small(epochs=1), dataset, tmp_path / "run", reports=[])
    assert (tmp_path / "run" / "environment.json").read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no file that is open")
def test_a_training_whose_lock_was_removed_saves_nothing_more(dataset: Dataset, tmp_path: Path) -> None:
    run, before = tmp_path / "run", []

    def take_over() -> None:
        (run / ".lock").unlink()
        with locked(run):  # as a second process that resumes it
            before.extend(sorted((run / "checkpoint").iterdir()))

    with pytest.raises(BusyError, match=r"lock lost: .*nothing more was saved"):
        train(small(epochs=3), dataset, run, reports=[StopAt(1, 2, take_over)])
    assert sorted((run / "checkpoint").iterdir()) == before
    assert len(Run(run).history()) == len(before) == 1
    train(small(epochs=3), dataset, run, resume=True, reports=[])


def test_a_run_in_use_is_not_resumed_and_no_data_are_read_for_it(second_epoch: Path, tmp_path: Path) -> None:
    with locked(second_epoch), pytest.raises(BusyError, match="folder in use"):
        train(small(epochs=3), tmp_path / "no data", second_epoch, resume=True, reports=[])


def test_a_finished_run_is_shown_though_its_data_are_gone(data_folder: Path, tmp_path: Path) -> None:
    result = train(small(epochs=1), data_folder, tmp_path / "run", reports=[])
    shutil.rmtree(data_folder)
    assert train(small(epochs=1), run_dir=tmp_path / "run", resume=True, reports=[]) == result
    (tmp_path / "run" / "result.json").unlink()
    with pytest.raises(DataError, match=r"the data of .* is gone: .*few digits\. give data=PLACE"):
        train(small(epochs=1), run_dir=tmp_path / "run", resume=True, reports=[])


def test_a_run_is_resumed_on_the_data_that_it_was_begun_on(data_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(small(), data_folder, tmp_path / "run", reports=[StopAt(1, 1, kill)])
    assert train(small(), run_dir=tmp_path / "run", resume=True, reports=[]).data.name == str(data_folder)


def test_accuracy_counts_the_images_that_a_batch_has_and_not_those_it_could_have(
    dataset: Dataset, tmp_path: Path
) -> None:
    few, told = replace(dataset, train=dataset.train[:100]), []

    class Watch(Report):
        def step(self, position: Position, batch: Batch) -> None:
            told.append(position.seen)

    recipe = small(batch_size=100, skip_easy=0.45, epochs=3)
    train(recipe, few, tmp_path / "run", reports=[Watch()])
    assert told == [100, 55, 55]
    for epoch, batch in zip(Run(tmp_path / "run").history(), Run(tmp_path / "run").batches(), strict=True):
        right = batch.accuracy * (100 if epoch.epoch == 1 else 55)
        assert right == pytest.approx(round(right), abs=1e-6)
        assert epoch.train_accuracy == pytest.approx(batch.accuracy)


# --- protocols -----------------------------------------------------------------------------------------------------


def test_watched_scores_the_test_set_each_epoch_and_keeps_the_best_weights(dataset: Dataset, tmp_path: Path) -> None:
    result = train(small(epochs=4, protocol="watched"), dataset, tmp_path / "run", reports=[])
    history = Run(tmp_path / "run").history()
    assert [epoch.scored_set for epoch in history] == ["test"] * 4
    accuracies = [epoch.accuracy or 0 for epoch in history]
    assert result.test_accuracy == max(accuracies)
    assert result.kept_epoch == 1 + accuracies.index(max(accuracies))
    assert result.last_accuracy == accuracies[-1]


def test_held_out_never_trains_on_the_validation_images(dataset: Dataset, tmp_path: Path) -> None:
    cut = len(dataset.train) - len(dataset.train) // 6
    images = dataset.train.images.clone()
    images[cut:] = 255 - images[cut:]
    spoilt = replace(dataset, train=replace(dataset.train, images=images))
    recipe = small(protocol="held-out", epochs=1)
    results = [train(recipe, data, tmp_path / name, reports=[]) for data, name in ((dataset, "a"), (spoilt, "b"))]
    assert same_tensors(tmp_path / "a", tmp_path / "b")
    assert results[0].validation_accuracy is not None
    assert Run(tmp_path / "a").history()[0].scored_set == "validation"


@pytest.mark.parametrize("protocol", ["held-out", "fixed"])
def test_the_test_set_decides_nothing_unless_it_is_watched(protocol: Any, dataset: Dataset, tmp_path: Path) -> None:
    other = replace(dataset, test=replace(dataset.test, labels=(dataset.test.labels + 1) % 10))
    for data, name in ((dataset, "a"), (other, "b")):
        train(small(protocol=protocol, epochs=3), data, tmp_path / name, reports=[])
    assert same_tensors(tmp_path / "a", tmp_path / "b")


def test_fixed_scores_nothing_on_the_way_and_keeps_the_last_weights(
    dataset: Dataset, tmp_path: Path, finished: Finished
) -> None:
    run = Run(finished(small(epochs=3)))
    result = run.result()
    assert result
    assert [epoch.accuracy for epoch in run.history()] == [None] * 3
    assert result.kept_epoch == result.epochs == 3
    assert result.validation_accuracy is None
    assert result.last_accuracy is None


def test_a_reached_target_stops_the_run_and_is_reported(dataset: Dataset, tmp_path: Path) -> None:
    recipe = small(epochs=5, protocol="watched", target_accuracy=0.01)
    result = train(recipe, dataset, tmp_path / "run", reports=[])
    assert (result.epochs, result.target_epoch) == (1, 1)


def test_a_target_that_is_not_reached_is_reported_as_none(dataset: Dataset, tmp_path: Path) -> None:
    recipe = small(epochs=2, protocol="watched", target_accuracy=1.0)
    assert train(recipe, dataset, tmp_path / "run", reports=[]).target_epoch is None


def test_patience_stops_a_run_that_gets_no_better(dataset: Dataset, tmp_path: Path) -> None:
    frozen = Optimizer("sgd", lr=1e-30, momentum=0.0)  # learns nothing, so no epoch beats the first
    recipe = small(epochs=9, protocol="held-out", patience_epochs=2, optimizer=frozen, averaging=0.0)
    recipe = replace(recipe, augment=replace(recipe.augment, shift_pixels=0.0))
    result = train(recipe, dataset, tmp_path / "run", reports=[])
    history = Run(tmp_path / "run").history()
    assert result.epochs == result.kept_epoch + 2 < 9
    assert max(epoch.accuracy or 0 for epoch in history) == history[result.kept_epoch - 1].accuracy


# --- reproducibility -----------------------------------------------------------------------------------------------


def test_the_same_recipe_and_seed_give_byte_identical_weights(
    dataset: Dataset, tmp_path: Path, finished: Finished
) -> None:
    train(small(dropout=0.1), dataset, tmp_path / "run", reports=[])
    assert weights(tmp_path / "run") == weights(finished(small(dropout=0.1)))


def test_another_seed_gives_other_weights(dataset: Dataset, tmp_path: Path, finished: Finished) -> None:
    assert weights(finished(small(epochs=1))) != weights(finished(small(epochs=1, seed=1)))


RESUMED = [
    small(epochs=3, dropout=0.1),
    small(epochs=3, dropout=0.1, protocol="watched", optimizer=Optimizer("adam", lr=0.01)),
    small(epochs=3, averaging=0.0, protocol="held-out", optimizer=Optimizer("adamw", lr=0.01)),
    small(epochs=3, skip_easy=0.3),
]


@pytest.fixture(scope="module")
def uninterrupted(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[bytes, bytes, list[Epoch]]]:
    torch.set_num_threads(THREADS)
    folders = [tmp_path_factory.mktemp("uninterrupted") / "run" for _ in RESUMED]
    for recipe, folder in zip(RESUMED, folders, strict=True):
        train(recipe, dataset, folder, reports=[])
    return [(weights(folder), batches(folder), Run(folder).history()) for folder in folders]


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    which=st.integers(0, len(RESUMED) - 1),
    points=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 6)), min_size=1, max_size=3),
)
def test_a_run_killed_anywhere_and_resumed_ends_byte_identical(
    which: int,
    points: list[tuple[int, int]],
    dataset: Dataset,
    tmp_path_factory: pytest.TempPathFactory,
    uninterrupted: list[tuple[bytes, bytes, list[Epoch]]],
) -> None:
    folder = tmp_path_factory.mktemp("killed") / "run"
    for epoch, step in points:
        try:
            train(RESUMED[which], dataset, folder, folder.exists(), reports=[StopAt(epoch, step, kill)])
        except KilledError:
            continue
        break
    train(RESUMED[which], dataset, folder, resume=True, reports=[])
    expected_weights, expected_batches, expected_history = uninterrupted[which]
    assert weights(folder) == expected_weights
    assert batches(folder) == expected_batches
    assert [replace(e, seconds=0) for e in Run(folder).history()] == [replace(e, seconds=0) for e in expected_history]


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from under10k.recipes import Recipe
from under10k.training.start import StopSignals, train
when, count, data, run, recipe = sys.argv[1:]
real, seen = getattr(os, when), 0
def deadly(*arguments, **named):
    global seen
    if "checkpoint" in str(arguments[0]) or when == "fsync":
        seen += 1
        if seen == int(count):
            os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **named)
setattr(os, when, deadly)
train(Recipe.from_json(recipe), data, run, os.path.exists(run), reports=[])
"""


@pytest.mark.parametrize(("when", "count"), [("replace", 2), ("fsync", 9)])
def test_sigkill_inside_a_checkpoint_write_leaves_the_one_before(
    when: str, count: int, data_folder: Path, tmp_path: Path
) -> None:
    recipe = small(epochs=2)
    command = [sys.executable, "-c", KILLED_WHILE_WRITING]
    arguments = [str(data_folder), str(tmp_path / "run"), recipe.to_json()]
    killed = subprocess.run([*command, when, str(count), *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    train(recipe, str(data_folder), tmp_path / "run", resume=True, reports=[])
    train(recipe, str(data_folder), tmp_path / "whole", reports=[])
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
    assert not list((tmp_path / "run").rglob("*.tmp"))


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(
    dataset: Dataset, tmp_path: Path, finished: Finished
) -> None:
    with pytest.raises(KilledError):
        train(small(epochs=3), dataset, tmp_path / "run", reports=[StopAt(2, 3, kill)])
    newest = max((tmp_path / "run" / "checkpoint").iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])
    train(small(epochs=3), dataset, tmp_path / "run", resume=True, reports=[])
    assert weights(tmp_path / "run") == weights(finished(small(epochs=3)))


def test_at_most_two_checkpoints_are_kept(dataset: Dataset, tmp_path: Path, finished: Finished) -> None:
    assert len(list((finished(small(epochs=3)) / "checkpoint").iterdir())) == 2


def test_a_finished_run_is_resumed_by_telling_its_result(dataset: Dataset, tmp_path: Path) -> None:
    first = train(small(epochs=1), dataset, tmp_path / "run", reports=[])
    told: list[Result] = []

    class Listener(Report):
        def finish(self, result: Result) -> None:
            told.append(result)

    assert train(small(epochs=1), dataset, tmp_path / "run", resume=True, reports=[Listener()]) == first
    assert told == [first]


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def _killed_in_epoch_2(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_until_killed(small(), dataset, tmp_path_factory.mktemp("killed") / "run", StopAt(1, 2, kill))


@pytest.fixture
def stopped_run(_killed_in_epoch_2: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_killed_in_epoch_2, tmp_path / "run"))


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("seed", {"seed": 1}),
        ("epochs", {"epochs": 3}),
        ("model", {"model": "transition"}),
        (r"optimizer\.lr", {"optimizer": replace(small().optimizer, lr=0.1)}),
        (r"augment\.noise", {"augment": replace(small().augment, noise=0.1)}),
        ("protocol", {"protocol": "watched"}),
    ],
)
def test_resuming_under_another_recipe_names_what_differs(
    key: str, changes: dict[str, Any], stopped_run: Path, dataset: Dataset
) -> None:
    with pytest.raises(ModelError, match=f"cannot resume .*: {key} was"):
        train(small(**changes), dataset, stopped_run, resume=True, reports=[])


def test_resuming_on_other_data_is_refused(stopped_run: Path, dataset: Dataset) -> None:
    other = replace(dataset, test=dataset.test[:50])
    with pytest.raises(ModelError, match="data was"):
        train(small(), other, stopped_run, resume=True, reports=[])


@pytest.mark.parametrize(("key", "value"), [("torch", "1.0"), ("device", "cuda")])
def test_resuming_under_another_machine_names_what_differs(
    key: str, value: Any, stopped_run: Path, dataset: Dataset
) -> None:
    path = stopped_run / "environment.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ModelError, match=f"{key} was {value}"):
        train(small(), dataset, stopped_run, resume=True, reports=[])


def test_a_killed_run_is_not_written_over(stopped_run: Path, dataset: Dataset) -> None:
    before = {path: path.read_bytes() for path in stopped_run.rglob("*.*") if path.is_file()}
    with pytest.raises(UsageError, match=r"not empty.*--resume"):
        train(small(seed=9), dataset, stopped_run, reports=[])
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("edit", ['{"model": "early", "name": "small"}', '"lr": 0.2'])
def test_a_recipe_edited_after_the_run_began_is_not_resumed(edit: str, stopped_run: Path, dataset: Dataset) -> None:
    path = stopped_run / "recipe.json"
    path.write_text(edit if edit.startswith("{") else re.sub('"lr": [0-9.]+', edit, path.read_text()))
    with pytest.raises(ModelError, match=r"(epochs|optimizer\.lr) was"):
        train(Run(stopped_run).recipe(), dataset, stopped_run, resume=True, reports=[])


def test_a_finished_run_is_not_taken_for_one_of_another_recipe(dataset: Dataset, tmp_path: Path) -> None:
    train(small(epochs=1), dataset, tmp_path / "run", reports=[])
    with pytest.raises(ModelError, match="epochs was 1, is now 2"):
        train(small(epochs=2), dataset, tmp_path / "run", resume=True, reports=[])


def test_curves_that_a_kill_has_cost_are_drawn_on_resuming(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # curves are drawn
    train(small(epochs=1), dataset, tmp_path / "run", reports=[])
    curves, leftover = (tmp_path / "run" / name for name in ("curves.png", ".curves.png.half.tmp"))
    curves.rename(leftover)
    train(small(epochs=1), dataset, tmp_path / "run", resume=True, reports=[])
    assert curves.exists()
    assert not leftover.exists()


def test_a_stop_can_be_requested_more_than_once_and_stops_nothing_but_the_training(
    dataset: Dataset, tmp_path: Path, finished: Finished
) -> None:
    def insist() -> None:
        StopSignals.request()
        StopSignals.request()

    with pytest.raises(StoppedError, match=r"epoch 1, step 3 is saved") as stopped:
        train(small(), dataset, tmp_path / "run", reports=[StopAt(0, 3, insist)])
    assert stopped.value.exit_code == 143
    StopSignals.request()
    train(small(), dataset, tmp_path / "run", resume=True, reports=[])
    assert weights(tmp_path / "run") == weights(finished(small()))


def test_a_stop_on_the_last_step_of_an_epoch_records_the_same_learning_rates(
    dataset: Dataset, tmp_path: Path, finished: Finished
) -> None:
    report = StopAt(0, 6, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(StoppedError):
        train(small(), dataset, tmp_path / "run", reports=[report])
    train(small(), dataset, tmp_path / "run", resume=True, reports=[])
    rates = [[e.learning_rate for e in Run(folder).history()] for folder in (tmp_path / "run", finished(small()))]
    assert rates[0] == rates[1]
    assert batches(tmp_path / "run") == batches(finished(small()))


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_stop_within_an_epoch_forgets_no_loss_that_images_are_skipped_by(
    epoch: int, dataset: Dataset, tmp_path: Path, finished: Finished
) -> None:
    recipe = small(epochs=3, batch_size=100, skip_easy=0.4)  # of 384 images 84 are left over in the first epoch
    stop = StopAt(epoch, 1, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(StoppedError):
        train(recipe, dataset, tmp_path / "run", reports=[stop])
    train(recipe, dataset, tmp_path / "run", resume=True, reports=[])
    assert weights(tmp_path / "run") == weights(finished(recipe))
    assert batches(tmp_path / "run") == batches(finished(recipe))


def test_skipping_easy_images_shortens_each_epoch_but_the_first(dataset: Dataset, tmp_path: Path) -> None:
    counts: dict[int, int] = {}

    class Count(Report):
        def step(self, position: Position, batch: Batch) -> None:
            counts[position.epoch] = position.seen

    train(small(epochs=3, batch_size=20, skip_easy=0.5), dataset, tmp_path / "run", reports=[Count()])
    whole = len(dataset.train)
    assert counts == {0: whole // 20 * 20, 1: whole // 2 // 20 * 20, 2: whole // 2 // 20 * 20}


@pytest.mark.parametrize(("protocol", "count"), [("fixed", 1), ("held-out", 2)])
def test_too_few_images_are_refused_before_anything_is_written(
    protocol: Any, count: int, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="too few images"):
        train(small(protocol=protocol), replace(dataset, train=dataset.train[:count]), tmp_path / "run", reports=[])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("protocol", ["fixed", "held-out"])
def test_a_batch_that_would_come_down_to_one_image_is_refused_before_anything_is_written(
    protocol: Any, dataset: Dataset, tmp_path: Path
) -> None:
    few = replace(dataset, train=dataset.train[: 2 if protocol == "fixed" else 3])
    recipe = small(model="transition", skip_easy=0.5, protocol=protocol)
    with pytest.raises(DataError, match=r"leaves 2 to train on, and skip_easy 0\.5 only 1 of them"):
        train(recipe, few, tmp_path / "run", reports=[])
    assert not (tmp_path / "run").exists()
    assert train(replace(recipe, epochs=1), few, tmp_path / "run", reports=[]).epochs == 1


@pytest.mark.parametrize("name", ["gap", "transition"])
def test_three_images_can_be_trained_on(name: str, dataset: Dataset, tmp_path: Path) -> None:
    few = replace(dataset, train=dataset.train[:3])
    assert train(small(model=name, protocol="held-out"), few, tmp_path / "run", reports=[]).epochs == 2


def test_a_used_run_folder_is_not_written_to(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        train(small(), dataset, tmp_path, reports=[])
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_a_second_training_in_the_same_folder_is_refused_with_the_process(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with locked(tmp_path / "run"), pytest.raises(BusyError, match=str(os.getpid())):
        train(small(), dataset, tmp_path / "run", reports=[])


@pytest.mark.parametrize("faulty", ["checkpoint", "recipe.json", "environment.json"])
def test_a_damaged_run_is_refused_by_name(faulty: str, stopped_run: Path, dataset: Dataset) -> None:
    for path in (stopped_run / faulty).glob("*") if faulty == "checkpoint" else [stopped_run / faulty]:
        path.write_bytes(b"\x80\x04 nonsense")
    with pytest.raises(ModelError, match=r"damaged|not a"):
        train(small(), dataset, stopped_run, resume=True, reports=[])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensors, facts: facts["position"].update(step=-(10**9)),
        lambda tensors, facts: facts["position"].update(epoch=1.0),
        lambda tensors, facts: facts["position"].update(total_steps=10**9),
        lambda tensors, facts: facts["position"].update(loss_sum=math.nan),
        lambda tensors, facts: facts["position"]["seconds"].clear(),
        lambda tensors, facts: facts["position"]["history"].clear(),
        lambda tensors, facts: facts["position"]["history"][0].update(accuracy="high"),
        lambda tensors, facts: facts["position"].update(seen=1),
        lambda tensors, facts: facts.update(position=None),
        lambda tensors, facts: tensors.pop("batches/since"),
        lambda tensors, facts: tensors.update({"batches/since": torch.zeros(7, 3, dtype=torch.float64)}),
        lambda tensors, facts: tensors.update({"batches/since": torch.zeros(6, 4, dtype=torch.float64)}),
        lambda tensors, facts: tensors.update({"batches/since": torch.zeros(6, 3)}),
        lambda tensors, facts: tensors.update({"batches/since": torch.tensor(1.0, dtype=torch.float64)}),
        lambda tensors, facts: facts.pop("recipe"),
        lambda tensors, facts: tensors.update({"optimizer/x/y": torch.ones(1)}),
        lambda tensors, facts: tensors.update({"optimizer/0/momentum_buffer": torch.ones(1)}),
        lambda tensors, facts: tensors.pop("optimizer/0/momentum_buffer"),
    ],
)
def test_a_sealed_checkpoint_of_nonsense_is_refused(spoil: Any, stopped_run: Path, dataset: Dataset) -> None:
    path = max((stopped_run / "checkpoint").iterdir())
    tensors, facts = load_tensors(path, "checkpoint")
    spoil(tensors, facts)
    path.write_bytes(seal("checkpoint", tensors, facts))
    with pytest.raises(ModelError, match="no checkpoint to resume from"):
        train(Run(stopped_run).recipe(), dataset, stopped_run, resume=True, reports=[])


def test_an_unknown_model_is_refused_before_anything_is_written(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean gap"):
        train(small(model="gpa"), dataset, tmp_path / "run", reports=[])
    assert not (tmp_path / "run").exists()


# --- divergence and signals ----------------------------------------------------------------------------------------


def test_a_diverging_run_stops_before_the_update_and_says_where(dataset: Dataset, tmp_path: Path) -> None:
    recipe = small(model="gap", optimizer=Optimizer("sgd", lr=1e12), epochs=3, averaging=0.0)
    with pytest.raises(DivergedError, match=r"epoch \d+, step \d+: loss .* learning rate"):
        train(recipe, dataset, tmp_path / "run", reports=[])
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize("protocol", ["fixed", "watched"])
def test_divergence_in_an_epochs_last_update_is_not_saved(protocol: Any, dataset: Dataset, tmp_path: Path) -> None:
    recipe = small(optimizer=Optimizer("sgd", lr=1e12, weight_decay=1e6), batch_size=384, epochs=1, averaging=0.0)
    recipe = replace(recipe, schedule=replace(recipe.schedule, name="constant"), protocol=protocol)
    with pytest.raises(DivergedError):
        train(replace(recipe, epochs=4), dataset, tmp_path / "run", reports=[])
    checkpoint = Run(tmp_path / "run").load_checkpoint()
    assert checkpoint is None or all(torch.isfinite(t).all() for t in checkpoint[0].values())


def test_divergence_keeps_the_last_good_checkpoint(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Finished
) -> None:
    real = functional.cross_entropy
    calls = 0

    def poisoned(*arguments: Any, **named: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        loss: torch.Tensor = real(*arguments, **named)
        return loss * math.nan if calls == 9 else loss

    monkeypatch.setattr(functional, "cross_entropy", poisoned)
    with pytest.raises(DivergedError, match="epoch 2, step 3"):
        train(small(epochs=3, shards=1), dataset, tmp_path / "run", reports=[])
    monkeypatch.undo()
    train(small(epochs=3, shards=1), dataset, tmp_path / "run", resume=True, reports=[])
    assert weights(tmp_path / "run") == weights(finished(small(epochs=3, shards=1)))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_one_signal_ends_the_step_saves_and_says_how_to_resume(
    number: signal.Signals, code: int, dataset: Dataset, tmp_path: Path, finished: Finished
) -> None:
    ours = signal.signal(number, signal.default_int_handler)  # a shell or nohup may have had it ignored
    try:
        report = StopAt(1, 3, lambda: os.kill(os.getpid(), number))
        with pytest.raises(StoppedError, match=r"epoch 2, step 3 is saved.*--resume") as stopped:
            train(small(), dataset, tmp_path / "run", reports=[report])
        assert stopped.value.exit_code == code
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, ours)
    assert len(Run(tmp_path / "run").batches()) == 6 + 3
    train(small(), dataset, tmp_path / "run", resume=True, reports=[])
    assert weights(tmp_path / "run") == weights(finished(small()))
    assert batches(tmp_path / "run") == batches(finished(small()))


def test_a_hangup_that_is_ignored_as_under_nohup_stays_ignored(dataset: Dataset, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        hang_up = StopAt(0, 1, lambda: os.kill(os.getpid(), signal.SIGHUP))
        assert train(small(epochs=1), dataset, tmp_path / "run", reports=[hang_up]).epochs == 1
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_stop_requested_in_one_thread_is_no_other_threads(dataset: Dataset, tmp_path: Path) -> None:
    with StopSignals() as ours:
        in_thread(StopSignals.request)
        assert ours.received is None

        def stop_there() -> None:
            with pytest.raises(StoppedError, match="epoch 1, step 2 is saved"):
                train(small(), dataset, tmp_path / "run", reports=[StopAt(0, 2, StopSignals.request)])

        in_thread(stop_there)
        assert ours.received is None
        StopSignals.request()
        assert ours.received == signal.SIGTERM


def test_a_second_signal_exits_at_once(dataset: Dataset, tmp_path: Path) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(small(), dataset, tmp_path / "run", reports=[StopAt(0, 1, twice)])


def test_a_full_disk_during_a_checkpoint_leaves_the_one_before(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = write_atomically
    calls = 0

    def full(path: Path, content: bytes, *, follow: bool) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(28, "No space left on device", str(path))
        real(path, content, follow=follow)

    monkeypatch.setattr("under10k.weights.sealed.write_atomically", full)
    with pytest.raises(Under10kError, match=r"No space left.*: .*checkpoint.* resume with: under10k train --resume"):
        train(small(epochs=3), dataset, tmp_path / "run", reports=[])
    checkpoint = Run(tmp_path / "run").load_checkpoint()
    assert checkpoint is not None
    assert checkpoint[1]["position"]["epoch"] == 1

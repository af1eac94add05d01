"""What a study promises: every run once, none lost and none left out, and figures that are what they say."""

from __future__ import annotations

import csv
import errno
import io
import itertools
import json
import math
import multiprocessing
import os
import platform
import re
import secrets
import shutil
import signal
import socket
import stat
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from rich.console import Console

import dying
from short_runs import KilledError, StopAt, kill, small, weights
from under10k.data.datasets import Dataset
from under10k.data.identity import DataIdentity
from under10k.errors import BusyError, DataError, DivergedError, ModelError, StoppedError, UsageError
from under10k.files import locked, sha256, write_atomically
from under10k.models import create_model, summarise
from under10k.recipes import Recipe, get_recipe
from under10k.runs.folder import Run
from under10k.runs.result import Result
from under10k.study import cluster as cluster_engine
from under10k.study import engines
from under10k.study.engines import Job, Outcome, run_one
from under10k.study.plan import Plan, expand, read_plan
from under10k.study.report import StudyReport
from under10k.study.results import Study, read_networks, read_points
from under10k.study.scores import compare_runs, score, summarise_runs
from under10k.study.study import Execution, run_study
from under10k.training.report import ConsoleReport, Report
from under10k.training.start import train

pytestmark = pytest.mark.usefixtures("undrawn")

WAIT_SECONDS = 240.0


def quick(**changes: Any) -> Recipe:
    """A training of two steps, and of half a second."""
    return small(**{"name": "quick", "epochs": 1, "batch_size": 192, **changes})


def quiet() -> StudyReport:
    return StudyReport(Console(file=io.StringIO()))


def study_of(folder: Path, data: Dataset, recipes: Sequence[Recipe], seeds: int | None = None, **options: Any) -> Study:
    options = {"engine": "serial", "report": quiet(), **options}
    return run_study(recipes, seeds, data, folder, **options)


def table(study: Study) -> Any:
    """All that a study found, but for the time it took."""
    found = study.to_dict()
    rows = [{**row, "mean_seconds": None} for row in found["rows"]]
    return rows, found["comparisons"], [(run["variant"], run["seed"], run["score"]) for run in found["runs"]]


def all_weights(folder: Path) -> dict[str, bytes]:
    return {run.name: weights(run) for run in sorted((folder / "runs").iterdir())}


def snapshot(folder: Path) -> dict[Path, tuple[int, bytes]]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


PANEL = "test accuracy (%), protocol fixed"

PAIR = (quick(), quick(name="wide", protocol="held-out", epochs=2))


@pytest.fixture(scope="module")
def undisturbed(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two recipes under two seeds, trained one after the other in this process."""
    return study_of(tmp_path_factory.mktemp("undisturbed") / "study", dataset, PAIR, 2, threads=1)


# --- what is studied -----------------------------------------------------------------------------------------------


def test_every_combination_of_overridden_fields_is_a_variant() -> None:
    variants = expand(["default", "documented-gap"], {"optimizer.lr": [0.1, 0.3], "residual": [False, True]})
    assert list(variants)[:4] == [
        "default optimizer.lr=0.1 residual=false",
        "default optimizer.lr=0.1 residual=true",
        "default optimizer.lr=0.3 residual=false",
        "default optimizer.lr=0.3 residual=true",
    ]
    assert len(variants) == 8
    chosen = variants["documented-gap optimizer.lr=0.3 residual=true"]
    assert (chosen.optimizer.lr, chosen.residual) == (0.3, True)
    assert chosen.optimizer.momentum == get_recipe("documented-gap").optimizer.momentum


def test_a_variant_has_one_label_however_it_is_written() -> None:
    one = expand(["default"], {"optimizer.lr": [1], "residual": [True]})
    other = expand(["default"], {"residual": [True], "optimizer.lr": [1.0]})
    assert list(one) == list(other) == ["default optimizer.lr=1 residual=true"]
    assert one == other


def test_fields_that_only_go_together_are_set_together() -> None:
    variants = expand(["default"], {"protocol": ["held-out"], "target_accuracy": [0.99]})
    assert next(iter(variants.values())).target_accuracy == 0.99


@pytest.mark.parametrize(
    ("overrides", "hint"),
    [
        ({"optimizer.rl": [0.1]}, "did you mean optimizer.lr?"),
        ({"optimizer": [3]}, "unknown recipe field|not a number"),
        ({"optimizer.lr.x": [3]}, "unknown recipe field"),
        ({"epochs": ["many"]}, "not a whole number"),
        ({"epochs": [0]}, "epochs out of range"),
        ({"optimizer.name": ["lion"]}, "unknown optimizer.name"),
        ({"model": ["gpa"]}, "did you mean gap?"),
        ({"seed": [1]}, "give how many seeds"),
        ({"name": ["other"]}, "cannot override name"),
        ({"epochs": [2, 2]}, "twice"),
        ({"optimizer.lr": [1, 1.0]}, "twice"),
    ],
)
def test_an_override_that_cannot_be_is_refused_by_name(overrides: dict[str, list[Any]], hint: str) -> None:
    with pytest.raises(UsageError, match=hint.replace("?", r"\?")):
        expand(["default"], overrides)


def test_a_recipe_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="twice"):
        expand(["default", "default"], {})


# --- figures -------------------------------------------------------------------------------------------------------


def finished(seed: int, accuracy: float, **changes: Any) -> Result:
    facts: dict[str, Any] = {
        "recipe": "r",
        "model": "gap",
        "parameters": 9720,
        "protocol": "fixed",
        "seed": seed,
        "epochs": 9,
        "kept_epoch": 9,
        "test_accuracy": accuracy,
        "test_interval_95": (0.0, 1.0),
        "test_errors": 0,
        "test_images": 10_000,
        "test_loss": 0.1,
        "calibration_error": 0.0,
        "seconds": {"total": 10.0 + seed},
        "data": {"name": "few", "sha256": "0"},
        "device": "cpu",
        "run_dir": "r",
    }
    return Result(**{**facts, **changes})


def test_a_row_has_the_figures_that_are_worked_out_by_hand() -> None:
    results = {seed: finished(seed, accuracy) for seed, accuracy in enumerate([0.991, 0.992, 0.993, 0.994, 0.995])}
    row = summarise_runs("r", quick(), 9720, 6, 1, results)
    # deviation sqrt(2.5) thousandths; half width 2.776445 * sqrt(2.5 / 5) = 1.963243 thousandths
    assert (row.mean, row.deviation) == pytest.approx((0.993, 0.00158113883))
    assert row.interval_95 == pytest.approx((0.991036757, 0.994963243))
    assert (row.best, row.worst, row.n, row.runs, row.failed) == (0.995, 0.991, 5, 6, 1)
    assert row.mean_seconds == 12
    assert (row.scored, row.parameters, row.best_minus_last) == ("test", 9720, None)


@pytest.mark.parametrize(
    ("epochs", "median", "reached"),
    [([3, 5, 4], 4, 3), ([3, 5, 4, 6], 4.5, 4), ([3, 5, None], 5, 2), ([3, None, None], None, 1), ([3, None], None, 1)],
)
def test_a_run_that_never_reached_the_target_counts_as_later_than_any(
    epochs: list[int | None], median: float | None, reached: int
) -> None:
    recipe = quick(protocol="watched", target_accuracy=0.9941)
    results = {seed: finished(seed, 0.99, target_epoch=epoch) for seed, epoch in enumerate(epochs)}
    row = summarise_runs("r", recipe, 9720, len(epochs), 0, results)
    assert (row.median_target_epoch, row.reached) == (median, reached)


def test_a_row_without_a_finished_run_is_empty_and_one_with_a_single_run_has_no_interval() -> None:
    none = summarise_runs("r", quick(), 9720, 3, 3, {})
    assert (none.mean, none.interval_95, none.best, none.mean_seconds, none.n) == (None, None, None, None, 0)
    one = summarise_runs("r", quick(), 9720, 3, 0, {2: finished(2, 0.99)})
    assert (one.mean, one.deviation, one.interval_95) == (0.99, None, None)


def test_under_held_out_the_score_is_the_validation_accuracy_after_the_last_epoch() -> None:
    result = finished(0, 0.99, protocol="held-out", validation_accuracy=0.98, last_accuracy=0.97)
    assert score(result) == 0.97
    assert summarise_runs("r", quick(protocol="held-out"), 1, 1, 0, {0: result}).scored == "validation"
    with pytest.raises(ModelError, match="no score"):
        score(replace(result, last_accuracy=None))


def test_a_watched_row_tells_what_keeping_the_best_epoch_adds() -> None:
    results = {seed: finished(seed, 0.995, protocol="watched", last_accuracy=0.993 + seed / 1000) for seed in (0, 1)}
    row = summarise_runs("r", quick(protocol="watched"), 1, 2, 0, results)
    assert row.best_minus_last == pytest.approx(0.0015)


def test_a_comparison_pairs_the_seeds_that_both_have_finished() -> None:
    ours = {seed: finished(seed, 0.99) for seed in (0, 1, 2, 3)}
    theirs = {seed: finished(seed, 0.99 + seed / 1000) for seed in (1, 2, 3, 4)}
    found = compare_runs("a", ours, "b", theirs)
    assert found.pairs == 3
    assert found.difference == pytest.approx(0.002)
    # deviation 0.001, error 0.001 / sqrt(3), t = sqrt(12); t for 2 degrees of freedom is 4.302653
    assert found.interval_95 == pytest.approx((0.002 - 0.00248414, 0.002 + 0.00248414), abs=1e-7)
    assert found.p == pytest.approx(1 - math.sqrt(12 / 14))  # Student's t of 2 has a distribution in closed form


@pytest.mark.parametrize(
    ("gains", "remark"),
    [([0.001, 0.001], "no p: all pairs differ alike"), ([0.001, 0.002], "no p: a test takes 3 pairs")],
)
def test_a_difference_that_cannot_be_tested_has_no_p_and_the_report_says_why(
    gains: list[float], remark: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pretend(job: Job, *_: Any) -> Outcome:
        seed = job.recipe.seed
        return Outcome(job, finished(seed, 0.991 + (gains[seed] if job.variant == "other" else 0)))

    monkeypatch.setattr("under10k.study.engines.run_one", pretend)
    shown = io.StringIO()
    report = StudyReport(Console(file=shown, width=200))
    study = study_of(tmp_path / "s", dataset, [quick(), quick(name="other")], 2, report=report)
    assert [found.p for found in study.comparisons] == [None]
    assert f"other: {remark}" in shown.getvalue()
    assert "quick: no interval: all 2 runs have the same score" in shown.getvalue()
    assert "< 0.001" not in shown.getvalue()


def test_scores_of_different_protocols_are_never_compared() -> None:
    found = compare_runs("a", {0: finished(0, 0.99)}, "b", {0: finished(0, 0.99, protocol="watched")})
    assert (found.difference, found.p, found.reason) == (None, None, "protocol watched, against fixed")
    assert compare_runs("a", {}, "b", {0: finished(0, 0.99)}).reason == "no seed is finished for both"


# --- the folder ----------------------------------------------------------------------------------------------------


def test_a_study_leaves_table_runs_and_pictures(undisturbed: Study) -> None:
    folder = undisturbed.folder
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert names == {"plan.json", "runs", "study.json", "study.csv", "study.png", "tradeoff.png"}
    assert {run.name for run in (folder / "runs").iterdir()} == {"quick-s0", "quick-s1", "wide-s0", "wide-s1"}
    found = json.loads((folder / "study.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert found == json.loads(json.dumps(undisturbed.to_dict()))
    results = [Run(folder / "runs" / f"quick-s{seed}").result() for seed in (0, 1)]
    accuracies = [result.test_accuracy for result in results if result]
    assert found["rows"][0]["mean"] == pytest.approx(statistics.fmean(accuracies))
    with (folder / "study.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["variant"], line["seed"]) for line in lines] == [
        ("quick", "0"),
        ("quick", "1"),
        ("wide", "0"),
        ("wide", "1"),
    ]
    assert float(lines[1]["score"]) == accuracies[1]
    assert [row.scored for row in undisturbed.rows] == ["test", "validation"]
    assert undisturbed.comparisons[0].reason


def test_what_is_finished_is_never_trained_again(
    undisturbed: Study, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("under10k.study.engines.train", lambda *_, **__: pytest.fail("trained"))
    before = snapshot(undisturbed.folder / "runs")
    again = study_of(undisturbed.folder, dataset, PAIR)
    assert snapshot(undisturbed.folder / "runs") == before
    assert len(before) > 20
    assert again.to_dict() == undisturbed.to_dict()


def test_a_study_goes_on_without_its_recipes_being_named(undisturbed: Study, dataset: Dataset) -> None:
    assert study_of(undisturbed.folder, dataset, ()).to_dict() == undisturbed.to_dict()


def test_a_study_grows_by_seeds_and_recipes(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[tuple[str, int]] = []

    def tell(recipe: Recipe, *given: Any, **named: Any) -> Result:
        trained.append((recipe.name, recipe.seed))
        return train(recipe, *given, **named)

    monkeypatch.setattr("under10k.study.engines.train", tell)
    study_of(tmp_path / "s", dataset, [quick()], 1)
    study_of(tmp_path / "s", dataset, [quick()], 2)
    grown = study_of(tmp_path / "s", dataset, [quick(name="other")], 1)
    assert trained == [("quick", 0), ("quick", 1), ("other", 0), ("other", 1)]
    assert [(row.variant, row.n) for row in grown.rows] == [("quick", 2), ("other", 2)]
    assert grown.comparisons[0].pairs == 2


def test_another_recipe_other_data_or_threads_are_refused_and_nothing_is_touched(
    undisturbed: Study, dataset: Dataset
) -> None:
    before = snapshot(undisturbed.folder)
    other = replace(dataset, train=dataset.train[:300])
    for recipe, data, threads, hint in (
        (quick(epochs=3), dataset, None, "quick was another recipe"),
        (quick(), other, None, "of other content"),
        (quick(), dataset, 2, "give threads=1"),
    ):
        with pytest.raises(UsageError, match=hint):
            study_of(undisturbed.folder, data, [recipe], threads=threads)
    assert snapshot(undisturbed.folder) == before


def test_a_folder_of_something_else_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match=r"holds letter\.txt"):
        study_of(tmp_path, dataset, [quick()], 1)
    with pytest.raises(UsageError, match="nothing to study"):
        study_of(tmp_path / "new", dataset, ())
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["letter.txt"]


DATA = '"data": {"name": "few", "sha256": ""}'


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"variants": {}}', '{"variants": {"a": {"epochs": 0}}}'),
        f'{{"variants": {{"a": {{}}}}, "seeds": 1e999, "threads": 1, {DATA}}}',
        f'{{"variants": {{"a": {{}}}}, "seeds": 1, "threads": -1, {DATA}}}',
    ],
)
def test_a_damaged_plan_is_told_and_kept(text: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(ModelError, match="cannot read the plan"):
        read_plan(tmp_path)
    assert (tmp_path / "plan.json").read_text() == text


def test_a_plan_read_back_is_the_plan(undisturbed: Study) -> None:
    assert read_plan(undisturbed.folder) == undisturbed.plan


def test_a_recipe_that_a_study_has_under_another_label_keeps_that_label(tmp_path: Path) -> None:
    recipe = expand(["default"], {"epochs": [3]})["default epochs=3"]
    known = Plan({"once called so": recipe}, 2, 1, DataIdentity("few", "0"))
    assert known.grown(replace(known, variants={"default epochs=3": recipe}), tmp_path) == known


@pytest.mark.parametrize("has_plan", [False, True])
def test_a_second_driver_is_refused_before_the_data_are_read(
    has_plan: bool, undisturbed: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s").mkdir()
    if has_plan:
        shutil.copy(undisturbed.folder / "plan.json", tmp_path / "s")
    monkeypatch.setattr("under10k.data.own.load_digits", lambda _: pytest.fail("read"))
    with locked(tmp_path / "s"), pytest.raises(BusyError):
        run_study([quick()], 1, "mnist", tmp_path / "s", report=quiet())


@pytest.mark.parametrize("name", ["plan.json", "study.json", "study.csv", "runs", ".lock", ".lock.pid", "study.png"])
def test_a_study_folder_with_a_link_in_it_is_not_written_or_read_through(
    name: str, undisturbed: Study, dataset: Dataset, tmp_path: Path
) -> None:
    place, outside = shutil.copytree(undisturbed.folder, tmp_path / "s"), tmp_path / "outside"
    path = place / name
    if path.exists():
        path.rename(outside)
    else:
        outside.write_text("mine")
    path.symlink_to(outside)
    before = snapshot(outside) if outside.is_dir() else outside.read_bytes()
    with pytest.raises(ModelError, match=rf"a link.*: .*{name}"):
        study_of(place, dataset, PAIR, 3)
    assert (snapshot(outside) if outside.is_dir() else outside.read_bytes()) == before
    if name == "study.json":
        with pytest.raises(ModelError, match=r"a link: .*study\.json"):
            read_points([place])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no file that is open")
def test_a_study_whose_lock_was_removed_saves_nothing_more(dataset: Dataset, tmp_path: Path) -> None:
    class Remove(StudyReport):
        def outcome(self, outcome: Outcome, study: Study) -> None:
            (tmp_path / "s" / ".lock").unlink(missing_ok=True)

    with pytest.raises(BusyError, match="lock lost"):
        study_of(tmp_path / "s", dataset, [quick()], 3, report=Remove(Console(file=io.StringIO())))
    found = json.loads((tmp_path / "s" / "study.json").read_text())
    assert [row["n"] for row in found["rows"]] == [1]
    assert study_of(tmp_path / "s", dataset, [quick()], 3).rows[0].n == 3


def test_a_run_whose_recipe_was_changed_by_hand_is_set_aside_and_trained_anew(
    undisturbed: Study, dataset: Dataset, tmp_path: Path
) -> None:
    place = shutil.copytree(undisturbed.folder, tmp_path / "s")
    path = place / "runs" / "quick-s0" / "recipe.json"
    path.write_text(path.read_text().replace('"batch_size": 192', '"batch_size": 96'))
    study = study_of(place, dataset, PAIR, 2)
    assert (place / "runs" / "quick-s0.damaged").is_dir()
    assert table(study) == table(undisturbed)


def test_a_recipe_changed_by_hand_in_a_plan_does_not_mix_two_recipes_in_one_row(
    undisturbed: Study, dataset: Dataset, tmp_path: Path
) -> None:
    place = shutil.copytree(undisturbed.folder, tmp_path / "s")
    plan = json.loads((place / "plan.json").read_text())
    plan["variants"]["quick"]["batch_size"] = 96
    (place / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(UsageError, match="quick was another recipe"):
        study_of(place, dataset, PAIR, 2)
    study = study_of(place, dataset, [])
    assert (place / "runs" / "quick-s0.damaged").is_dir()
    assert {Run(job.folder).recipe().batch_size for job in study.jobs() if job.variant == "quick"} == {96}


def test_a_study_says_which_it_is_before_the_data_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()

    def read(_: object) -> Dataset:
        assert "study s\n" in shown.getvalue()
        raise DataError("no data")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("under10k.data.own.load_digits", read)
    with pytest.raises(DataError, match="no data"):
        run_study([quick()], 1, "mnist", "s", report=StudyReport(Console(file=shown)))
    assert list(tmp_path.iterdir()) == []


def test_seeds_out_of_range_are_refused_before_the_data_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("under10k.data.own.load_digits", lambda _: pytest.fail("read"))
    with pytest.raises(UsageError, match="seeds out of range: 0"):
        run_study([quick()], 0, "mnist", tmp_path / "s", report=quiet())


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("result.json", lambda path: path.write_text("{")),
        ("model.safetensors", flip),
        ("model.safetensors", Path.unlink),
        ("recipe.json", lambda path: path.write_text(quick(seed=0, epochs=9).to_json())),
    ],
)
def test_a_damaged_run_is_set_aside_and_trained_anew_and_said_so(
    name: str, spoil: Callable[[Path], None], undisturbed: Study, dataset: Dataset, tmp_path: Path
) -> None:
    shutil.copytree(undisturbed.folder, tmp_path / "s")
    kept, damaged = (tmp_path / "s" / "runs" / f"quick-s{seed}" for seed in (1, 0))
    before = snapshot(kept)
    spoil(damaged / name)
    spoilt = snapshot(damaged)
    shown = io.StringIO()
    mended = study_of(tmp_path / "s", dataset, (), report=StudyReport(Console(file=shown, width=500)))
    assert table(mended) == table(undisturbed)
    assert snapshot(kept) == before
    assert list(snapshot(damaged.with_name("quick-s0.damaged")).values()) == list(spoilt.values())
    assert "quick-s0.damaged, trained anew" in shown.getvalue()


# --- failures ------------------------------------------------------------------------------------------------------


def test_a_failed_run_is_shown_the_others_finish_and_it_is_tried_again(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = {
        0: (DivergedError("diverged: epoch 1"), "diverged: epoch 1"),
        1: (RuntimeError("no such kernel"), "RuntimeError: no such kernel"),
        2: (OSError(errno.ENOSPC, "No space left on device", "w"), "No space left on device: w. make room there"),
    }

    def fail(recipe: Recipe, *given: Any, **named: Any) -> Result:
        if recipe.seed in faults:
            raise faults[recipe.seed][0]
        return train(recipe, *given, **named)

    monkeypatch.setattr("under10k.study.engines.train", fail)
    shown = io.StringIO()
    study = study_of(tmp_path / "s", dataset, [quick()], 4, report=StudyReport(Console(file=shown, width=200)))
    assert [(row.n, row.runs, row.failed) for row in study.rows] == [(1, 4, 3)]
    assert "1/4" in shown.getvalue()
    for seed, failure in enumerate(study.failures):
        assert failure.error.startswith(faults[seed][1])
        assert f"failed: quick seed {seed}: {failure.error}" in shown.getvalue()
    saved = json.loads((tmp_path / "s" / "study.json").read_text())
    assert [bool(run["error"]) for run in saved["runs"]] == [True, True, True, False]
    assert "no such kernel" in (tmp_path / "s" / "study.csv").read_text()
    assert [len(points) for points in read_points([tmp_path / "s"])[PANEL].values()] == [1]
    monkeypatch.undo()
    again = study_of(tmp_path / "s", dataset, ())
    assert [(row.n, row.failed) for row in again.rows] == [(4, 0)]


def test_a_study_of_which_all_runs_failed_still_has_its_table(dataset: Dataset, tmp_path: Path) -> None:
    wild = quick(averaging=0.0, optimizer=replace(quick().optimizer, lr=1e12))
    study = study_of(tmp_path / "s", dataset, [wild, quick(name="tame")], 1)
    assert [row.n for row in study.rows] == [0, 1]
    assert study.rows[0].mean is None
    assert "lower optimizer.lr" in study.failures[0].error


BROKEN_OFF = quick(epochs=2)


@pytest.fixture(scope="module")
def broken_off(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `run`, killed in its second epoch, and `whole`, the same training undisturbed."""
    folder = tmp_path_factory.mktemp("broken off")
    torch.set_num_threads(1)
    with pytest.raises(KilledError):
        train(BROKEN_OFF, dataset, folder / "run", reports=[StopAt(1, 1, kill)])
    train(BROKEN_OFF, dataset, folder / "whole", reports=[])
    return folder


def test_the_bar_moves_while_a_run_goes_on(
    broken_off: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = threading.Event()

    class Screen(io.StringIO):
        def write(self, text: str) -> int:
            if "[####" in text:
                moved.set()
            return super().write(text)

    monkeypatch.setattr("under10k.study.report.FOLLOW_SECONDS", 0.01)
    screen = Screen()
    report = StudyReport(Console(file=screen, force_terminal=True))
    study = Study(tmp_path / "s", Plan({"quick": BROKEN_OFF}, 1, 1, dataset.identity()))
    report.start(study, "", slots=1)
    assert study.progress() == 0
    assert not moved.is_set()

    shutil.copytree(broken_off / "run", study.jobs()[0].folder)
    assert study.progress() == 0.5
    assert moved.wait(WAIT_SECONDS)
    report.close()
    assert screen.getvalue().endswith("\r\x1b[J")


def test_a_run_broken_off_goes_on_where_it_stood(broken_off: Path, dataset: Dataset, tmp_path: Path) -> None:
    folder = shutil.copytree(broken_off / "run", tmp_path / "run")
    begun = (folder / "environment.json").stat().st_mtime_ns
    outcome = run_one(Job("quick", BROKEN_OFF, folder), dataset)
    assert outcome.note == ""
    assert weights(folder) == weights(broken_off / "whole")
    assert (folder / "environment.json").stat().st_mtime_ns == begun


@pytest.mark.parametrize(
    ("name", "fault"),
    [("recipe.json", KilledError()), ("environment.json", OSError(errno.ENOSPC, "No space left on device", "e"))],
)
def test_a_run_that_failed_before_it_had_begun_just_begins_again(
    name: str, fault: BaseException, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, content: bytes | str, *, follow: bool) -> None:
        if path.name == name:
            raise fault
        write_atomically(path, content, follow=follow)

    for function in ("under10k.runs.folder.write_atomically", "under10k.files.write_atomically"):
        monkeypatch.setattr(function, write)
    job = Job("quick", quick(), tmp_path / "run")
    with suppress(KilledError):
        assert run_one(job, dataset).error == "No space left on device: e. make room there, or choose another place"
    assert (tmp_path / "run" / "checkpoint").is_dir()
    monkeypatch.undo()
    outcome = run_one(job, dataset)
    assert outcome.result
    assert outcome.note == ""
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("left", ["working", "stopped", "killed"])
def test_a_run_that_a_worker_of_a_killed_study_begins_at_the_same_moment_goes_on(
    left: str, broken_off: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def train_after_another(recipe: Recipe, data: Dataset, folder: Path, resume: bool, **named: Any) -> Result:
        asked.append(resume)
        if len(asked) == 1 and left != "killed":
            shutil.copytree(broken_off / "run", folder, dirs_exist_ok=True)
        elif len(asked) == 1:
            (folder / "checkpoint").mkdir()
        with ExitStack() as works:
            if len(asked) == 1 and left == "working":
                works.enter_context(locked(folder))
            return train(recipe, data, folder, resume, **named)

    monkeypatch.setattr("under10k.study.engines.train", train_after_another)
    outcome = run_one(Job("quick", BROKEN_OFF, tmp_path / "run"), dataset)
    assert (outcome.error, outcome.note) == ("", "")
    assert asked == ([False] if left == "killed" else [False, True])
    assert weights(tmp_path / "run") == weights(broken_off / "whole")


@pytest.mark.parametrize("spoilt", ["checkpoint", "start", "torch"])
def test_a_run_that_cannot_go_on_is_set_aside_and_trained_anew(
    spoilt: str, broken_off: Path, dataset: Dataset, tmp_path: Path
) -> None:
    folder = shutil.copytree(broken_off / "run", tmp_path / "run")
    if spoilt == "checkpoint":
        for path in (folder / "checkpoint").iterdir():
            flip(path)
    elif spoilt == "start":
        (folder / "recipe.json").unlink()  # written last when a run begins
    else:
        environment = json.loads((folder / "environment.json").read_text())
        (folder / "environment.json").write_text(json.dumps({**environment, "torch": "1.0"}))
    outcome = run_one(Job("quick", BROKEN_OFF, folder), dataset)
    assert outcome.result
    assert weights(folder) == weights(broken_off / "whole")
    assert str(folder.with_name("run.damaged")) in outcome.note
    assert (tmp_path / "run.damaged").is_dir()


# --- engines -------------------------------------------------------------------------------------------------------


def test_worker_processes_find_what_one_process_finds(undisturbed: Study, dataset: Dataset, tmp_path: Path) -> None:
    study = study_of(tmp_path / "s", dataset, PAIR, 2, engine="processes", workers=2)
    assert table(study) == table(undisturbed)
    assert all_weights(tmp_path / "s") == all_weights(undisturbed.folder)
    assert Run(tmp_path / "s" / "runs" / "quick-s0").environment()["threads"] == 1


def test_a_worker_that_dies_again_and_again_is_a_failed_run(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("under10k.study.engines._serve", dying.die)
    monkeypatch.setattr("under10k.study.engines.MOST_DEATHS", 1)  # each takes the time of importing torch
    study = study_of(tmp_path / "s", dataset, [quick()], 1, engine="processes", workers=1)
    assert [outcome.error for outcome in study.failures] == ["worker died (signal 9), 2 times in a row"]


SCRIPT = """
import sys, under10k
from under10k.data.datasets import Dataset
from under10k.recipes import Recipe
from under10k.data.synthetic import draw_digits

data = Dataset("few", draw_digits(64, seed=0), draw_digits(16, seed=1))
study = under10k.run_study([Recipe.from_json(sys.argv[1])], 1, data, "s", workers=1)
print(f"{len(study.outcomes)} run, {len(study.failures)} failed")
"""


@pytest.mark.parametrize("given", ["a script", pytest.param("standard input", marks=pytest.mark.slow)])
def test_a_study_needs_no_guard_in_the_script_that_calls_it(given: str, tmp_path: Path) -> None:
    (tmp_path / "my study.py").write_text(SCRIPT)
    called = subprocess.run(
        [sys.executable, "my study.py" if given == "a script" else "-", quick(batch_size=64).to_json()],
        input="" if given == "a script" else SCRIPT,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (called.returncode, called.stderr) == (0, "")
    assert called.stdout.count("study s\n") == 1, "only the driver says what it does"
    assert called.stdout.endswith("1 run, 0 failed\n")


def test_workers_that_do_not_end_are_killed_after_one_wait_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    now, killed = [1000.0], list[int]()

    class Stuck:
        """A worker that has been stopped: closing its pipe is nothing to it, and a wait takes all its time."""

        def __init__(self, number: int) -> None:
            self.number, self.pipe, self.process = number, self, self

        def close(self) -> None: ...

        def join(self, seconds: float | None = None) -> None:
            if self.number not in killed:
                assert seconds is not None
                now[0] += seconds

        def kill(self) -> None:
            killed.append(self.number)

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    workers: list[Any] = [Stuck(number) for number in range(3)]
    engines._dismiss(workers)
    assert killed == [0, 1, 2]
    assert now[0] - 1000 < 10


def test_threads_are_given_back_and_stay_those_of_the_study(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []

    def look(job: Job, *_: Any) -> Outcome:
        used.append(torch.get_num_threads())
        return Outcome(job, error="not trained")

    monkeypatch.setattr("under10k.study.engines.run_one", look)
    study_of(tmp_path / "s", dataset, [quick()], 1, threads=2)
    study_of(tmp_path / "s", dataset, ())
    assert used == [2, 2]
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("execution", "hint"),
    [
        ({"engine": "rai"}, "did you mean ray?"),
        ({"workers": 0}, "workers out of range"),
        ({"threads": -1}, "threads out of range"),
        ({"address": "head:6379"}, "engine='ray'"),
        ({"address": "head:6379", "engine": "ray", "workers": 2}, "as many as it has room for"),
        ({"device": "tpu"}, "unknown device"),
    ],
)
def test_an_engine_or_device_that_is_not_there_is_refused(execution: dict[str, Any], hint: str) -> None:
    with pytest.raises(UsageError, match=hint.replace("?", r"\?")):
        Execution(**execution)


def test_without_ray_its_engine_names_the_remedy(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"not installed: ray\. .* pip install 'ray>=\S+', or give engine='processes'"):
        study_of(tmp_path / "s", dataset, [quick()], 1, engine="ray")
    assert not (tmp_path / "s").exists()


def test_a_cluster_that_does_not_answer_is_one_line_after_a_bounded_wait(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr("under10k.study.cluster.ANSWER_SECONDS", 1.0)
    with pytest.raises(UsageError, match=r"cannot join the Ray cluster at 127\.0\.0\.1:9 .*engine='processes'"):
        study_of(tmp_path / "s", dataset, [quick()], 1, engine="ray", address="127.0.0.1:9")


@pytest.mark.parametrize("run", ["a text", {}, {"variant": "a", "protocol": "fixed", "score": "high", "seconds": 1.0}])
def test_a_study_whose_runs_are_none_is_not_drawn(run: Any, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text(json.dumps({"runs": [run]}))
    with pytest.raises(ModelError, match="no study to read"):
        read_points([tmp_path])


@pytest.mark.parametrize("state", ["just begun", "no run yet", "all failed"])
def test_a_study_without_a_finished_run_is_not_drawn_and_it_is_said_so(
    state: str, undisturbed: Study, tmp_path: Path
) -> None:
    shutil.copy(undisturbed.folder / "plan.json", tmp_path)
    failed = {"variant": "a", "protocol": "fixed", "score": None, "seconds": None, "error": "diverged"}
    if state != "just begun":
        (tmp_path / "study.json").write_text(json.dumps({"runs": [failed] if state == "all failed" else []}))
    with pytest.raises(ModelError, match=f"no run of {tmp_path} is finished. resume it: under10k study --out"):
        read_points([undisturbed.folder, tmp_path])


def test_networks_of_a_study_are_read_with_their_size_and_the_score_of_each_run(undisturbed: Study) -> None:
    networks = read_networks([undisturbed.folder])
    assert len(networks) == len(undisturbed.rows)
    for row in undisturbed.rows:
        parameters, macs, scores = networks[f"{row.variant}, {row.protocol}"]
        assert (parameters, macs) == (row.parameters, row.macs)
        assert row.macs == summarise(create_model(row.model)).macs
        assert statistics.fmean(scores) == pytest.approx(row.mean)


def test_a_report_never_keeps_the_process_from_ending() -> None:
    class Ending(io.StringIO):
        def write(self, _: str) -> int:
            raise SystemExit(143)

    with pytest.raises(SystemExit):
        StudyReport(Console(file=Ending())).say("a line")
    with pytest.raises(SystemExit):
        ConsoleReport(Console(file=Ending())).finish(
            finished(0, 0.99, seconds=dict.fromkeys(("load", "train", "evaluate", "total"), 1.0))
        )


# --- killed, stopped, gone on with ---------------------------------------------------------------------------------

LONGER = {"epochs": [16], "batch_size": [64]}
NAME = "fast-batch_size=64-epochs=16"


@pytest.fixture(scope="module")
def longer(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Trainings long enough to be caught in the middle, when nothing disturbs them."""
    folder = tmp_path_factory.mktemp("longer") / "study"
    return run_study(["fast"], 2, dataset, folder, overrides=LONGER, engine="serial", threads=1, report=quiet())


def start(
    folder: Path,
    data: Path,
    *options: str,
    changes: Mapping[str, int] = MappingProxyType({}),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.Popen[str]:
    """Give the same study to the command line, or one with changes, in a process that a test may kill."""
    fields = {**{name: value for name, (value,) in LONGER.items()}, **changes}
    given = [f"--{name.replace('_', '-')}={value}" for name, value in fields.items()]
    command = ["study", "fast", *given, "--seeds", "2", *options]
    return subprocess.Popen(
        [sys.executable, "-m", "under10k", *command, "--data", str(data), "--out", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
    )


def wait_for(question: Callable[[], Any], process: subprocess.Popen[str] | None = None) -> Any:
    """Ask until there is an answer; fail where there can be none any more, and tell what the process said."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline and not (process and process.poll() is not None):
        answer = question()
        if answer:
            return answer
        time.sleep(0.01)
    if process:
        process.kill()
        pytest.fail(f"waited in vain: {process.communicate()}, {process.returncode}")
    return pytest.fail("waited in vain")


def who_is_in_the_middle_of(run: Path) -> int | None:
    """The process that trains a run, once it has an epoch behind it."""
    with suppress(FileNotFoundError, ValueError):
        return int((run / ".lock.pid").read_text()) if (run / "metrics.jsonl").read_text() else None
    return None


def check_equals(folder: Path, longer: Study) -> None:
    found, wanted = (json.loads((place / "study.json").read_text()) for place in (folder, longer.folder))
    for row in [*found["rows"], *wanted["rows"]]:
        del row["mean_seconds"]
    assert found["rows"] == wanted["rows"]
    assert [(r["seed"], r["score"]) for r in found["runs"]] == [(r["seed"], r["score"]) for r in wanted["runs"]]
    assert all_weights(folder) == all_weights(longer.folder)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_killed_worker_leaves_the_table_as_it_would_be(longer: Study, dataset: Dataset, tmp_path: Path) -> None:
    run = tmp_path / "s" / "runs" / f"{NAME}-s0"
    killed: list[int] = []

    def murder() -> None:
        killed.append(wait_for(lambda: who_is_in_the_middle_of(run)))
        os.kill(killed[0], signal.SIGKILL)
        killed.append((run / "environment.json").stat().st_mtime_ns)

    murderer = threading.Thread(target=murder)
    murderer.start()
    run_study(["fast"], 2, dataset, tmp_path / "s", overrides=LONGER, workers=1, report=quiet())
    murderer.join()
    check_equals(tmp_path / "s", longer)
    worker, begun = killed
    assert worker != os.getpid()
    assert (run / "environment.json").stat().st_mtime_ns == begun, "it went on from its checkpoint"


def test_a_killed_study_leaves_no_worker_behind_and_goes_on_to_the_same_table(
    longer: Study, data_folder: Path, tmp_path: Path
) -> None:
    first, second = (tmp_path / "s" / "runs" / f"{NAME}-s{seed}" for seed in (0, 1))
    driver = start(tmp_path / "s", data_folder, "--workers", "1")
    worker = wait_for(lambda: who_is_in_the_middle_of(second), driver)
    driver.kill()
    driver.wait()
    before = snapshot(first)
    begun = (second / "environment.json").stat().st_mtime_ns
    run_study((), folder=tmp_path / "s", engine="serial", report=quiet())  # the worker may still be ending its step
    driver.communicate()
    wait_for(lambda: is_gone(worker))
    assert snapshot(first) == before
    assert (second / "environment.json").stat().st_mtime_ns == begun
    check_equals(tmp_path / "s", longer)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_stopped_study_saves_what_is_under_way_and_tells_how_to_go_on(
    number: int, code: int, data_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "s" / "runs" / f"{NAME}-s0"
    driver = start(tmp_path / "s", data_folder, "--workers", "1")
    worker = wait_for(lambda: who_is_in_the_middle_of(run), driver)
    os.killpg(driver.pid, number)  # driver and workers, as a terminal and a service manager do
    _, error = driver.communicate(timeout=WAIT_SECONDS)
    assert driver.returncode == code
    assert error.count("\n") == 1
    assert f"resume with: under10k study --out {tmp_path}/s --workers 1" in error
    assert is_gone(worker)
    checkpoint = Run(run).load_checkpoint()
    assert checkpoint
    assert checkpoint[1]["position"]["step"] > 0, "saved where it was, not only where the epoch began"


def test_ctrl_c_while_workers_come_up_is_one_line(data_folder: Path, tmp_path: Path) -> None:
    endless = {"epochs": 1000}  # until it is told to end
    driver = start(tmp_path / "s", data_folder, "--workers", "1", changes=endless)
    assert driver.stdout
    while "at a time" not in driver.stdout.readline():  # said last before the workers are started
        assert driver.poll() is None
    os.killpg(driver.pid, signal.SIGINT)
    _, error = driver.communicate(timeout=WAIT_SECONDS)
    assert driver.returncode == 130
    assert error.count("\n") == 1


def test_a_terminated_study_in_one_process_goes_on_where_it_stood(
    undisturbed: Study, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminated(*given: Any, **named: Any) -> Result:
        stop = StopAt(0, 1, lambda: signal.raise_signal(signal.SIGTERM))
        return train(*given, **{**named, "reports": [stop]})

    monkeypatch.setattr("under10k.study.engines.train", terminated)
    with pytest.raises(StoppedError, match="0 of 4 runs have ended") as stopped:
        study_of(tmp_path / "s", dataset, PAIR, 2)
    assert stopped.value.exit_code == 143
    assert Run(tmp_path / "s" / "runs" / "quick-s0").load_checkpoint() is not None
    monkeypatch.undo()
    assert table(study_of(tmp_path / "s", dataset, ())) == table(undisturbed)
    assert all_weights(tmp_path / "s") == all_weights(undisturbed.folder)


class StopLate(Report):
    """Ctrl-C after the last step of a training, when it has nothing more to stop."""

    def finish(self, result: Result) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(("moment", "ended"), [("as a run begins", 0), ("as it finishes", 1), ("between runs", 1)])
def test_ctrl_c_at_any_moment_of_a_study_in_one_process_stops_it(
    moment: str, ended: int, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: Any, **named: Any) -> Result:
        if moment == "as a run begins":
            signal.raise_signal(signal.SIGINT)
        return train(*given, **{**named, "reports": [StopLate()] if moment == "as it finishes" else []})

    def shown(*_: object) -> None:
        if moment == "between runs":
            signal.raise_signal(signal.SIGINT)

    report = quiet()
    monkeypatch.setattr("under10k.study.engines.train", interrupted)
    monkeypatch.setattr(report, "outcome", shown)
    with pytest.raises(StoppedError, match=f"{ended} of 2 runs have ended. resume with: under10k study") as stopped:
        study_of(tmp_path / "s", dataset, [quick()], 2, report=report)
    assert stopped.value.exit_code == 130
    runs = [Run(tmp_path / "s" / "runs" / f"quick-s{seed}") for seed in (0, 1)]
    assert [run.folder.exists() and run.result() is not None for run in runs] == [ended > 0, False]


# --- on a cluster --------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster() -> Iterator[tuple[str, dict[str, str]]]:
    """A Ray cluster of two nodes on this machine: its address, and the environment of all who belong to it."""
    pytest.importorskip("ray")
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as scratch, ExitStack() as nodes:
        environment = {
            "RAY_TMPDIR": scratch,
            "TMPDIR": scratch,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        head = ["--head", "--port", address.rpartition(":")[2], "--include-dashboard=false"]
        for options in (head, ["--address", address]):
            nodes.enter_context(ray_node(options, environment))
        yield address, environment


@contextmanager
def ray_node(options: Sequence[str], environment: dict[str, str]) -> Iterator[None]:
    """`ray start`, until the end of the block; it and its children are a session of their own, and end together."""
    common = ["--num-cpus", "1", "--object-store-memory", "100000000", "--disable-usage-stats", "--block"]
    node = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", "start", *options, *common],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    assert node.stdout
    try:
        said = list(itertools.takewhile(lambda line: "This command will now block" not in line, node.stdout))
        assert node.poll() is None, said
        threading.Thread(target=node.stdout.read, daemon=True).start()
        yield
    finally:
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()
        node.stdout.close()


def test_a_cluster_of_other_versions_is_told_with_both_and_what_to_install() -> None:
    versions = pytest.importorskip("ray._private.utils")
    for theirs, remedy in (
        ({"ray_version": "2.9.0", "python_version": "3.9.1"}, r"install Python 3\.9\.1 and ray==2\.9\.0 here"),
        ({"ray_version": "2.9.0", "python_version": platform.python_version()}, r"install ray==2\.9\.0 here"),
    ):
        with pytest.raises(RuntimeError, match="Version mismatch") as mismatch:
            versions.check_version_info(theirs, "node 127.0.0.1")
        said = cluster_engine._explain(f"RuntimeError: {mismatch.value}")
        assert re.search(remedy, said)
        assert f"here is Ray {version('ray')} on Python {platform.python_version()}" in said
        assert "\n" not in said


@pytest.mark.slow
def test_ray_started_here_is_quiet_and_leaves_nothing_behind(data_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with tempfile.TemporaryDirectory(prefix="ray-") as scratch:
        options = ["--engine", "ray", "--workers", "1"]
        driver = start(tmp_path / "s", data_folder, *options, changes={"epochs": 1}, environment={"TMPDIR": scratch})
        folder = wait_for(lambda: next(Path(scratch).glob("under10k-*/ray/session_*"), None), driver)
        assert stat.S_IMODE(folder.parent.parent.stat().st_mode) == 0o700
        out, error = driver.communicate(timeout=WAIT_SECONDS)
        assert (driver.returncode, error) == (0, "")
        assert "\x1b" not in out
        assert out.startswith(f"study {tmp_path}/s\n1 recipe x 2 seeds")
        assert list(Path(scratch).iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_amid_a_training_by_ray_leaves_nothing_behind_and_the_study_goes_on(
    longer: Study, data_folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    with tempfile.TemporaryDirectory(prefix="ray-") as scratch:
        options = ["--engine", "ray", "--workers", "1"]
        driver = start(tmp_path / "s", data_folder, *options, environment={"TMPDIR": scratch})

        def ask() -> int | None:
            return next(filter(None, map(who_is_in_the_middle_of, Path(scratch).glob(f"under10k-*/{NAME}-s*"))), None)

        worker = wait_for(ask, driver)
        os.killpg(driver.pid, signal.SIGINT)
        _, error = driver.communicate(timeout=WAIT_SECONDS)
        assert driver.returncode == 130
        assert error.count("\n") == 1
        assert f"resume with: under10k study --out {tmp_path}/s --engine ray --workers 1" in error
        wait_for(lambda: is_gone(worker))
        assert list(Path(scratch).iterdir()) == []
    run_study((), folder=tmp_path / "s", engine="serial", report=quiet())
    check_equals(tmp_path / "s", longer)


@pytest.mark.slow  # half a minute, and on a starved machine Ray's own patience ends first
def test_a_cluster_that_loses_a_worker_finds_what_one_process_finds(
    cluster: tuple[str, dict[str, str]], longer: Study, data_folder: Path, tmp_path: Path
) -> None:
    address, environment = cluster
    driver = start(tmp_path / "s", data_folder, "--engine", "ray", "--address", address, environment=environment)

    def ask() -> int | None:
        runs = Path(environment["TMPDIR"]).glob(f"under10k-*/{NAME}-s*")
        return next(filter(None, map(who_is_in_the_middle_of, runs)), None)

    worker = wait_for(ask, driver)
    os.kill(worker, signal.SIGKILL)
    out, error = driver.communicate(timeout=WAIT_SECONDS)
    assert (driver.returncode, error) == (0, "")
    assert "1 thread a run, 2 at a time" in out, "one on each node"
    check_equals(tmp_path / "s", longer)
    result = json.loads((tmp_path / "s" / "study.json").read_text())["runs"][0]["result"]
    assert result["run_dir"] == str(tmp_path / "s" / "runs" / f"{NAME}-s0")


# --- killed again and again ----------------------------------------------------------------------------------------

DRIVER_MOMENTS, WORKER_MOMENTS = 50, 90
"""A few more than each has in a study of four short runs: its calls that change the disk."""

KILL = st.one_of(
    st.tuples(st.sampled_from(["driver", "all"]), st.integers(0, DRIVER_MOMENTS)),
    st.tuples(st.just("workers"), st.integers(0, WORKER_MOMENTS)),
)


def study_and_kill(data: Path, folder: Path, who: str, moments: int) -> int:
    """Go on with a study until its driver, each of its workers or all at once are killed; return its session."""
    recipes = [recipe.to_json() for recipe in PAIR]
    context = multiprocessing.get_context("spawn")
    process = context.Process(
        target=dying.study_until_killed, args=(recipes, str(data), str(folder), who == "workers", moments)
    )
    process.start()
    process.join()
    if who == "all":
        with suppress(ProcessLookupError):
            os.killpg(process.pid or 0, signal.SIGKILL)
    assert process.exitcode in (-signal.SIGKILL, 0)
    return process.pid or 0


def living(session: int) -> list[str]:
    """The processes of a session that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, _, _, of, *_ = path.read_text().rpartition(")")[2].split()
            found += [path.parent.name] if int(of) == session and state != "Z" else []
    return found


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells what lives in a session")
@settings(
    max_examples=5,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # each kill takes seconds: nothing is made smaller
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@example(kills=[("driver", 30), ("workers", 20), ("all", 20), ("workers", 60), ("driver", 60)])
@given(kills=st.lists(KILL, min_size=1, max_size=4))
def test_a_study_killed_at_random_moments_ends_as_one_that_was_not(
    kills: list[tuple[str, int]], data_folder: Path, undisturbed: Study, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("killed") / "s"
    sessions = [study_and_kill(data_folder, folder, *kill) for kill in kills]
    study = run_study(PAIR, 2, data_folder, folder, workers=2, report=quiet())
    assert [sorted(path.iterdir()) for path in folder.glob("runs/*.damaged*")] == []
    assert table(study) == table(undisturbed)
    assert weight_hashes(folder) == weight_hashes(undisturbed.folder)
    assert not list(folder.rglob("*.tmp"))
    wait_for(lambda: not any(map(living, sessions)))


def weight_hashes(folder: Path) -> dict[str, str]:
    return {name: sha256(content) for name, content in all_weights(folder).items()}

"""Benchmarks: what is counted, what is set beside what. No test asks how long anything took."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import under10k.bench.inference
import under10k.bench.plain
import under10k.bench.training
from under10k.bench.inference import list_readings
from under10k.bench.plain import predict_plainly
from under10k.bench.timing import Findings, Spread, Timing, time_in_turn
from under10k.bench.training import (
    Plan,
    TrainingRow,
    bench_training,
    build_rows,
    choose_whole_runs,
    time_process,
    training_operations,
)
from under10k.cli import main
from under10k.data.datasets import Dataset
from under10k.data.identity import DataIdentity
from under10k.errors import DataError, Under10kError, UsageError
from under10k.evaluation.metrics import predict_logits
from under10k.models.registry import create_model, list_models
from under10k.models.summary import summarise
from under10k.recipes import RECIPES, Optimizer, Recipe, get_recipe
from under10k.runs.folder import Run
from under10k.runs.result import Result
from under10k.training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under10k.bench.training, "STEPS", 1)
    monkeypatch.setattr(under10k.bench.training, "MATRIX_SIDE", 8)
    monkeypatch.setattr(under10k.bench.inference, "CALLS", 2)


@pytest.fixture
def no_whole_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under10k.bench.training, "WHOLE_RUN_SECONDS", 0.0)


def bench(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main(["bench", *arguments])
    return capsys.readouterr().out


def bench_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(bench(capsys, *arguments, "--json"), parse_constant=refuse)


# --- timing ------------------------------------------------------------------------------------------------------


def test_ways_take_turns_and_the_first_round_is_not_counted() -> None:
    called: list[str] = []

    def way(name: str, seconds: list[float]) -> list[float]:
        called.append(name)
        return [seconds.pop(0)]

    ours, plain = [9.0, 1.0, 2.0], [9.0, 4.0, 4.0]
    timings = time_in_turn({"plain": lambda: way("plain", plain), "ours": lambda: way("ours", ours)}, 2, "x")
    assert called == ["plain", "ours"] * 3
    assert timings["ours"].rounds == [[1.0], [2.0]]
    assert timings["ours"].times_as_fast(timings["plain"]) == Spread(3.0, 2.0, 4.0)
    assert timings["plain"].times_as_fast(timings["plain"]) == Spread(1.0, 1.0, 1.0)


def test_whoever_tracks_is_handed_each_piece_of_work() -> None:
    seen: list[tuple[str, int]] = []

    def track(work: Sequence[Any], /, *, description: str) -> Sequence[Any]:
        seen.append((description, len(work)))
        return work

    time_in_turn({"a": lambda: [1.0], "b": lambda: [1.0]}, 3, "steps", track)
    assert seen == [("steps", 8)]


def test_a_ratio_is_taken_round_by_round_for_the_units_that_each_does() -> None:
    ours, plain = Timing([[1.0, 3.0], [1.0, 1.0]]), Timing([[8.0], [3.0]])
    assert ours.seconds(10) == Spread(15.0, 10.0, 20.0)
    assert ours.times_as_fast(plain) == Spread(3.5, 3.0, 4.0)
    assert ours.times_as_fast(plain, units=2, plain_units=4) == Spread(7.0, 6.0, 8.0)


def test_percentiles_are_of_all_samples() -> None:
    timing = Timing([[float(value) for value in range(51)], [float(value) for value in range(51, 101)]])
    assert (timing.percentile(50), timing.percentile(95)) == (50.0, 95.0)
    assert Timing([[7.0]]).percentile(95) == 7.0


# --- training ----------------------------------------------------------------------------------------------------


def rows_of(plain: list[float], fast: list[float], fast_recipe: str = "fast") -> list[TrainingRow]:
    timings = {
        ("documented-transition", "plain"): Timing([[seconds] for seconds in plain]),
        (fast_recipe, "under10k"): Timing([[seconds] for seconds in fast]),
    }
    plans = {
        "documented-transition": Plan(get_recipe("documented-transition"), images=900_000, operations=8),
        fast_recipe: Plan(get_recipe(fast_recipe), images=300_000, operations=2),
    }
    return build_rows(timings, plans, epoch_images=60_000, rate=16_000.0)


def test_rows_follow_from_the_seconds_an_image() -> None:
    plain, fast = rows_of(plain=[0.004, 0.002], fast=[0.0001, 0.0001])
    assert (plain.epoch_times_as_fast, plain.run_times_as_fast) == (Spread(1, 1, 1), Spread(1, 1, 1))
    assert plain.epoch_seconds.values() == pytest.approx((180, 120, 240))
    assert plain.run_seconds.median == pytest.approx(2700)
    assert plain.matrix_share == pytest.approx(8 / 0.003 / 16_000)
    assert fast.epoch_seconds.values() == pytest.approx((6, 6, 6))
    assert fast.epoch_times_as_fast.values() == pytest.approx((30, 20, 40))
    assert fast.images_per_second == pytest.approx(10_000)
    assert fast.run_seconds.median == pytest.approx(30)
    assert fast.run_times_as_fast.values() == pytest.approx((90, 60, 120))
    assert fast.matrix_share == pytest.approx(2 / 0.0001 / 16_000)
    assert (plain.stops_early, fast.stops_early) == (False, False)


def test_a_recipe_with_a_target_is_said_to_stop_early_perhaps() -> None:
    assert [row.stops_early for row in rows_of([1.0], [1.0], "documented-gap")] == [False, True]


def test_whole_runs_are_the_shortest_that_fit_together() -> None:
    _, row = rows_of([1.0], [0.0001])
    times = {"a": 50.0, "b": 20.0, "c": 30.0, "d": 70.0}
    rows = [replace(row, recipe=name, run_seconds=Spread.of([seconds])) for name, seconds in times.items()]
    plain = replace(row, way="plain", run_seconds=Spread.of([1.0]))
    assert choose_whole_runs([plain, *rows]) == ["b", "c"]


def test_the_images_of_a_run_are_those_that_the_trainer_trains_on(dataset: Dataset, tmp_path: Path) -> None:
    recipe = replace(get_recipe("fast"), batch_size=32, epochs=3, skip_easy=0.4)
    plan = under10k.bench.training._plan(recipe, dataset)
    assert plan.images == 32 * (384 // 32 + 2 * ((384 - 153) // 32))  # 0.4 of 384, in whole images, are skipped twice
    tmp_path.mkdir(exist_ok=True)
    trainer = Trainer(recipe, dataset, CPU, Run(tmp_path))
    trainer.begin(resume=False)
    trainer.fit()
    assert trainer.state.at.total_steps * 32 == plan.images


def test_nothing_is_written_to_learn_how_long_a_recipe_is(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    under10k.bench.training._plan(get_recipe("fast"), dataset)
    assert list(tmp_path.iterdir()) == []


def test_training_is_three_forward_passes_but_for_the_first_layers_input_gradient() -> None:
    assert training_operations(summarise(create_model("gap"))) == 2 * (3 * 1_933_344 - 56_448)


def test_both_documented_recipes_can_be_trained_plainly(dataset: Dataset) -> None:
    for name in under10k.bench.training.PLAIN_RECIPES:
        assert under10k.bench.plain.train_plainly(get_recipe(name), dataset.train[:64], CPU) > 0


def test_the_plain_loop_is_given_all_that_the_documented_recipes_hold() -> None:
    """What it leaves out of a recipe, these leave at nothing."""
    for name in under10k.bench.training.PLAIN_RECIPES:
        recipe, bare = get_recipe(name), Recipe()
        assert recipe.optimizer == Optimizer("sgd", lr=recipe.optimizer.lr, momentum=recipe.optimizer.momentum)
        assert (recipe.schedule, recipe.augment) == (bare.schedule, bare.augment)
        assert (recipe.averaging, recipe.label_smoothing, recipe.skip_easy) == (0, 0, 0)


@pytest.mark.usefixtures("no_whole_run")
def test_each_recipe_is_timed_beside_both_documented_ones(
    capsys: pytest.CaptureFixture[str], data_folder: Path
) -> None:
    found = bench_json(capsys, "train", *RECIPES, "--rounds", "1", "--data", str(data_folder))
    assert [(row["recipe"], row["way"]) for row in found["rows"]] == [
        ("documented-transition", "plain"),
        ("documented-gap", "plain"),
        *((name, "under10k") for name in RECIPES),
    ]
    assert found["bench"] == "train"
    assert found["rounds"] == 1
    assert found["data"]["images"] == 384
    assert found["machine"]["matrix_gflops"] > 0
    assert found["machine"]["threads"] == 1
    plain = found["rows"][0]
    assert plain["epoch_times_as_fast"] == plain["run_times_as_fast"] == {"median": 1, "least": 1, "most": 1}
    for row in found["rows"]:
        assert row["run_seconds"]["least"] > 0
        assert row["matrix_share"] > 0


@pytest.mark.usefixtures("no_whole_run")
def test_bench_alone_trains(capsys: pytest.CaptureFixture[str], data_folder: Path) -> None:
    out = bench(capsys, "--rounds", "1", "--data", str(data_folder))
    for text in ("documented-gap, plain", "default, under10k", "fast, under10k", "times as", "matrix %", "GFLOP/s"):
        assert text in out
    assert "process" not in out
    assert "\\n" not in out


def test_a_short_recipe_is_run_whole_in_a_process_of_its_own(
    dataset: Dataset, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, str]] = []

    def pretend(recipe: str, data: str, device: str) -> tuple[float, Result]:
        asked.append((recipe, data, device))
        return 2.0, RESULT

    monkeypatch.setattr(under10k.bench.training, "time_process", pretend)
    found = bench_training(["fast"], str(data_folder), "cpu", rounds=2)
    assert asked == [("fast", str(data_folder.resolve()), "cpu")]
    plain, *_, whole = found.rows
    assert (whole.recipe, whole.way, whole.epochs) == ("fast", "process", RESULT.epochs)
    assert (whole.test_accuracy, whole.protocol) == (0.9941, "fixed")
    assert whole.run_seconds == Spread(2.0, 2.0, 2.0)
    assert whole.run_times_as_fast.median == pytest.approx(plain.run_seconds.median / 2)
    assert any("99.41%, fixed protocol" in note for note in found.notes)


def test_a_process_is_timed_from_its_start_to_its_weights(data_folder: Path) -> None:
    seconds, result = time_process("fast", str(data_folder), "cpu")
    assert seconds > result.seconds["total"] - result.seconds["load"]
    assert (result.recipe, result.protocol, result.epochs) == ("fast", "fixed", get_recipe("fast").epochs)


def test_a_process_that_fails_is_told_of_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(Under10kError, match="under10k train fast: no digits") as caught:
        time_process("fast", str(tmp_path))
    assert "\n" not in str(caught.value)


# --- reading digits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_models())
def test_all_ways_of_reading_give_the_same_logits(name: str, dataset: Dataset) -> None:
    model = create_model(name).eval()
    few = dataset.test[:3]
    expected = predict_logits(model, few.images)
    exports, absent = under10k.bench.inference._list_exports()
    assert len(exports) + len(absent) == 2
    readings = list_readings(model, 3, exports)
    assert next(iter(readings)) == "plain"
    for reading in readings.values():
        torch.testing.assert_close(reading.predict(few), expected, rtol=1e-4, atol=1e-5)


def test_exports_are_timed_on_one_thread_beside_pytorch_on_one(dataset: Dataset) -> None:
    torch.set_num_threads(2)
    readings = list_readings(create_model("early").eval(), 10, {"here": lambda model: partial(predict_plainly, model)})
    assert {way: (r.threads, r.images, r.beside) for way, r in readings.items() if r.beside != "plain"} == {
        "torch batches": (1, 10, "torch batches"),
        "torch one": (1, 1, "torch one"),
        "here batches": (1, 10, "torch batches"),
        "here one": (1, 1, "torch one"),
    }
    assert all(reading.threads == 2 for reading in readings.values() if reading.beside == "plain")
    under10k.bench.inference._time(readings["torch one"], dataset.test)
    assert torch.get_num_threads() == 2


def test_what_cannot_be_run_here_is_noted(
    capsys: pytest.CaptureFixture[str], data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(under10k.bench.inference, "find_compiler", lambda: None)
    out = bench(capsys, "infer", "early", "--rounds", "1", "--data", str(data_folder))
    assert "no ONNX Runtime: not installed: onnx" in out
    assert "no C: neither cc nor gcc is found" in out
    assert "beside PyTorch" not in out


def test_networks_are_timed_beside_their_own_plain_way(capsys: pytest.CaptureFixture[str], data_folder: Path) -> None:
    found = bench_json(capsys, "infer", "best-1k", "gap", "--rounds", "2", "--data", str(data_folder))
    assert [row["model"] for row in found["rows"] if row["way"] == "plain"] == ["best-1k", "gap"]
    for row in found["rows"]:
        if row["way"] == row["beside"]:
            assert row["times_as_fast"] == {"median": 1, "least": 1, "most": 1}
        assert (row["milliseconds_a_call_95"] is None) == (row["images_a_call"] > 1)
        assert row["images_per_second"]["least"] <= row["images_per_second"]["most"]
    assert {row["images_a_call"] for row in found["rows"]} == {1, 96}


def test_an_images_time_is_a_calls_time_shared() -> None:
    readings = {("gap", way): r for way, r in list_readings(create_model("gap"), batch=100).items()}
    timings = dict.fromkeys(readings, Timing([[0.5, 1.5]]))
    plain, batches, single = under10k.bench.inference.build_rows(timings, readings)
    assert plain.times_as_fast == single.times_as_fast == Spread(1, 1, 1)
    assert batches.times_as_fast.median == pytest.approx(100)
    assert (plain.images_per_second.median, batches.images_per_second.median) == (1, 100)
    assert (plain.milliseconds_a_call, batches.milliseconds_a_call_95) == (1000, None)
    assert single.milliseconds_a_call_95 == pytest.approx(1450)


def test_the_table_of_networks_names_each_way(capsys: pytest.CaptureFixture[str], data_folder: Path) -> None:
    out = bench(capsys, "infer", "early", "--rounds", "1", "--data", str(data_folder))
    assert all(text in out for text in ("early", "plain", "batches", "one image", "images/s", "95 % ms"))
    assert "gap" not in out


# --- what can be wrong -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (["train", "fsat"], 2, "did you mean fast?"),
        (["infer", "gpa"], 2, "did you mean gap?"),
        (["fast"], 2, "there are: infer, train"),
        (["load"], 2, "there are: infer, train"),
        (["train", "--rounds", "0"], 2, "rounds out of range: 0"),
        (["infer", "--rounds", "1001"], 2, "at most 1,000"),
        (["infer", "--device", "tpu"], 2, "unknown device: 'tpu'"),
        (["infer", "--data", "mnits"], 2, "did you mean mnist?"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], code: int, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", *arguments])
    captured = capsys.readouterr()
    assert (ended.value.code, captured.out) == (code, "")
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert hint in captured.err


def test_too_few_images_are_refused_naming_the_recipe(small_folder: Path) -> None:
    with pytest.raises(DataError, match=r"a step of fast: 60\. give at least 128"):
        bench_training(["fast"], str(small_folder))


@pytest.mark.usefixtures("no_whole_run")
def test_a_recipe_named_twice_is_timed_once(data_folder: Path) -> None:
    found = bench_training(["fast", "fast"], str(data_folder), "cpu", rounds=1)
    assert isinstance(found, Findings)
    assert [row.way for row in found.rows] == ["plain", "plain", "under10k"]


def test_an_unknown_recipe_is_told_before_the_data_is_read() -> None:
    with pytest.raises(UsageError, match="unknown recipe"):
        bench_training(["nonsense"], "/nowhere")


RESULT = Result(
    recipe="fast",
    model="early",
    parameters=8880,
    protocol="fixed",
    seed=0,
    epochs=6,
    kept_epoch=6,
    test_accuracy=0.9941,
    test_interval_95=(0.99, 1.0),
    test_errors=59,
    test_images=10_000,
    test_loss=0.1,
    calibration_error=0.1,
    seconds={"total": 1.0},
    data=DataIdentity("mnist", "0"),
    device="cpu",
    run_dir="run",
)

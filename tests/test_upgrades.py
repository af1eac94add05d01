"""What another under10k wrote, older or newer, is read as it was meant, or refused in one line that says what to do."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import under10k
import under10k.cli
from short_runs import KilledError, StopAt, kill, small, weights
from under10k.data.datasets import Dataset
from under10k.errors import ModelError
from under10k.plots import plot_curves, save_figure
from under10k.runs.folder import Run
from under10k.runs.weights import load_model
from under10k.study.plan import read_plan
from under10k.study.report import StudyReport
from under10k.study.results import read_points
from under10k.study.study import run_study
from under10k.training.start import train

RECIPE = small(epochs=2, batch_size=192)


def quiet() -> tuple[StudyReport, io.StringIO]:
    """A report that nobody sees, and what it says."""
    shown = io.StringIO()
    return StudyReport(Console(file=shown, width=500)), shown


@pytest.fixture(scope="module")
def runs(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, and one that was killed behind its first epoch."""
    folder = tmp_path_factory.mktemp("runs")
    train(RECIPE, dataset, folder / "finished", reports=[])
    with pytest.raises(KilledError):
        train(RECIPE, dataset, folder / "killed", reports=[StopAt(1, 1, kill)])
    return folder


@pytest.fixture
def finished(runs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(runs / "finished", tmp_path / "finished"))


@pytest.fixture
def killed(runs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(runs / "killed", tmp_path / "killed"))


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the JSON object in a file, or in each line of it."""
    lines = (
        path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text(encoding="utf-8")]
    )
    values = [json.loads(line) for line in lines]
    for value in values:
        change(value)
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")


def without_newer_fields(recipe: dict[str, Any]) -> None:
    """Take out of a recipe what it has only had since 0.1.0."""
    del recipe["skip_easy"], recipe["mix"]
    for name in "stroke_pixels", "cut_pixels", "noise":
        del recipe["augment"][name]


def as_0_1_0_wrote_it(folder: Path) -> None:
    """Take out what a run folder has only had since 0.1.0, and name that as its author."""
    rewrite(folder / "recipe.json", without_newer_fields)
    rewrite(folder / "environment.json", lambda environment: environment.update(under10k="0.1.0"))
    if (folder / "result.json").exists():
        rewrite(folder / "result.json", lambda result: result.pop("last_accuracy"))


def as_a_newer_under10k_might(folder: Path) -> None:
    """Add a field to everything but the recipe, of which nothing may be passed over."""
    for name in "result.json", "metrics.jsonl", "environment.json":
        rewrite(folder / name, lambda value: value.update(new="x", under10k="99.0"))


@pytest.mark.parametrize("age", [as_0_1_0_wrote_it, as_a_newer_under10k_might])
def test_a_finished_run_of_another_version_is_read_whole(
    age: Callable[[Path], None], finished: Path, dataset: Dataset
) -> None:
    result, history = Run(finished).result(), Run(finished).history()
    age(finished)
    assert Run(finished).recipe() == RECIPE
    assert Run(finished).result() == result
    assert Run(finished).history() == history
    assert len(history) == 2
    assert not load_model(finished).training
    save_figure(plot_curves(finished), finished.parent / "curves.png")
    assert train(RECIPE, dataset, finished, resume=True, reports=[]) == Run(finished).result()


def without_counts_of_images(data: dict[str, Any]) -> None:
    """Take out of a record of a data set what only `environment.json` had before 0.4.0."""
    del data["train"], data["test"]


def test_a_result_that_does_not_say_how_many_images_there_were_is_read(finished: Path) -> None:
    result = Run(finished).result()
    rewrite(finished / "result.json", lambda value: without_counts_of_images(value["data"]))
    assert result
    assert Run(finished).result() == replace(result, data=replace(result.data, train=0, test=0))


@pytest.mark.parametrize("version", ["0.1.0", "99.0", None])
def test_a_training_that_another_version_began_is_not_gone_on_with(
    version: str | None, killed: Path, dataset: Dataset
) -> None:
    rewrite(killed / "environment.json", lambda environment: environment.update(under10k=version))
    with pytest.raises(
        ModelError, match=rf"under10k was {version}, is now {under10k.__version__}\. finish it with the under10k that"
    ):
        train(RECIPE, dataset, killed, resume=True, reports=[])


def test_a_training_that_0_1_0_began_names_the_version_and_no_field(killed: Path, dataset: Dataset) -> None:
    as_0_1_0_wrote_it(killed)
    with pytest.raises(ModelError, match=r"under10k was 0\.1\.0, is now"):
        train(Run(killed).recipe(), dataset, killed, resume=True, reports=[])


@pytest.mark.parametrize("verb", [["train", "--resume"], ["plot"]])
def test_a_recipe_with_a_field_that_is_not_known_is_refused_with_what_to_do(
    verb: list[str], finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(finished / "recipe.json", lambda recipe: recipe.update(sharpness=0.1))
    with pytest.raises(SystemExit) as ended:
        under10k.cli.main([*verb, str(finished)])
    error = capsys.readouterr().err
    assert (ended.value.code, error.count("\n")) == (4, 1)
    assert error.startswith(f"error: cannot read the recipe: {finished / 'recipe.json'} (unknown field of recipe")
    assert "use the under10k that wrote it" in error


def test_metrics_that_lack_something_are_not_taken_for_none(finished: Path) -> None:
    rewrite(finished / "metrics.jsonl", lambda epoch: epoch.pop("train_loss"))
    with pytest.raises(
        ModelError, match=r"cannot read the metrics: .* line 1 .*train_loss.*use the under10k that wrote it"
    ):
        Run(finished).history()


# --- studies -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def studied(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studied") / "study"
    run_study([RECIPE], 1, dataset, folder, engine="serial", threads=1, report=quiet()[0])
    return folder


@pytest.fixture
def study(studied: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(studied, tmp_path / "study"))


def test_a_study_of_an_older_version_goes_on_and_says_which_runs_are_its(study: Path, dataset: Dataset) -> None:
    rewrite(study / "plan.json", lambda plan: list(map(without_newer_fields, plan["variants"].values())))
    rewrite(study / "plan.json", lambda plan: without_counts_of_images(plan["data"]))
    as_0_1_0_wrote_it(study / "runs" / "small-s0")
    before = weights(study / "runs" / "small-s0")
    report, shown = quiet()
    found = run_study([RECIPE], 2, dataset, study, engine="serial", threads=1, report=report)
    assert [row.n for row in found.rows] == [2]
    assert "kept as they are: 1 finished runs of under10k 0.1.0." in shown.getvalue()
    assert weights(study / "runs" / "small-s0") == before


def test_a_plan_with_a_field_that_is_not_known_is_refused_with_what_to_do(study: Path) -> None:
    rewrite(study / "plan.json", lambda plan: [recipe.update(sharpness=0.1) for recipe in plan["variants"].values()])
    with pytest.raises(ModelError, match=r"cannot read the plan: .*unknown field.*use the under10k that wrote it"):
        read_plan(study)


def test_a_study_file_of_a_newer_version_is_read_and_one_that_lacks_something_refused(study: Path) -> None:
    points = read_points([study])
    assert points
    rewrite(study / "study.json", lambda value: value["runs"][0].update(new="x"))
    assert read_points([study]) == points
    rewrite(study / "study.json", lambda value: value["runs"][0].pop("protocol"))
    with pytest.raises(ModelError, match="no study to read"):
        read_points([study])

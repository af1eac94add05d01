"""The verdict on a network: which rules hold, in how many seeds, from which epoch on, and why."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from own_networks import source
from short_runs import small
from under10k.cli import main
from under10k.data.datasets import Dataset
from under10k.errors import UsageError
from under10k.recipes import get_recipe
from under10k.runs.records import Epoch
from under10k.study import run_study
from under10k.study.report import StudyReport
from under10k.study.results import Study
from under10k.study.scores import Comparison, Row
from under10k.study.verdict import Rules, Verdict, _judge_one, write_markdown


def row(**changes: Any) -> Row:
    given: dict[str, Any] = {
        "variant": "mine", "model": "gap", "parameters": 9720, "macs": 1_933_344, "protocol": "held-out",
        "scored": "validation", "runs": 3, "n": 3, "failed": 0, "mean": 0.9946, "deviation": 0.0005,
        "interval_95": (0.9934, 0.9958), "best": 0.995, "worst": 0.994, "target_accuracy": None, "reached": 0,
        "median_target_epoch": None, "mean_seconds": 1.0, "best_minus_last": None,
    }  # fmt: skip
    return Row(**{**given, **changes})


def history(*accuracies: float | None, trained: float = 0.99) -> list[Epoch]:
    return [Epoch(n, 0.1, trained, "validation", 0.1, value, 0.1, 1.0) for n, value in enumerate(accuracies, 1)]


LATE = [0.98, 0.991, 0.994, 0.9935, 0.9941, 0.9945, 0.995]
STEADY = [0.98, 0.994, 0.994, 0.995, 0.995, 0.995, 0.995]


def verdict(
    rules: Rules, *runs: Sequence[float | None], changes: Mapping[str, Any] | None = None, **options: Any
) -> Verdict:
    trained, against = options.pop("trained", 0.99), options.pop("against", None)
    histories = {seed: history(*run, trained=trained) for seed, run in enumerate(runs)}
    return _judge_one(row(n=len(runs), **(changes or {})), get_recipe("default"), histories, rules, against)


def found(rules: Rules, *runs: Sequence[float | None], **options: Any) -> dict[str, tuple[str, str, str]]:
    return {rule: (asked, what, holds) for rule, asked, what, holds in verdict(rules, *runs, **options).rows()}


def test_parameters_are_judged_by_the_budget() -> None:
    assert found(Rules(budget=9720), LATE)["parameters"] == ("at most 9,720", "9,720", "yes")
    assert found(Rules(budget=8000), LATE)["parameters"] == ("at most 8,000", "9,720", "no")
    assert found(Rules(target=0.9), LATE)["parameters"] == ("", "9,720", "")
    assert "It has 1,720 parameters too many; the largest layer has 2,336" in verdict(Rules(budget=8000), LATE).analysis


def test_the_target_is_reached_in_so_many_seeds_and_first_in_these_epochs() -> None:
    assert found(Rules(0.994, 7), LATE, STEADY)["reached"] == (
        "99.40% by epoch 7",
        "in 2 of 2 seeds, first in epoch 2, 3",
        "yes",
    )
    assert found(Rules(0.994, 2), LATE, STEADY)["reached"] == (
        "99.40% by epoch 2",
        "in 1 of 2 seeds, first in epoch 2",
        "no",
    )
    assert found(Rules(0.999), LATE)["reached"] == ("99.90% in any epoch", "in 0 of 1 seed", "no")


def test_the_target_is_held_where_the_last_five_epochs_have_it_in_every_seed() -> None:
    assert found(Rules(0.994), LATE, STEADY)["held"] == ("in the last 5 epochs", "in 4, 5 of 5", "no")
    assert found(Rules(0.994), STEADY)["held"] == ("in the last 5 epochs", "in 5 of 5", "yes")
    assert found(Rules(0.994, 3), STEADY)["held"] == ("in the last 3 epochs", "in 2 of 3", "no"), "up to the third"
    assert found(Rules(0.994), *[STEADY] * 6)["held"][1] == "in 5 to 5 (median 5) of 5"
    assert any("does not hold it" in one for one in verdict(Rules(0.994), LATE, STEADY).analysis)


def test_the_mean_has_its_interval_and_the_number_of_seeds() -> None:
    mean = found(Rules(0.994), LATE, STEADY, LATE)["mean validation"]
    assert mean == ("99.40%", "99.46% (99.34% to 99.58%), n = 3", "yes")
    assert found(Rules(0.995), LATE, STEADY, LATE)["mean validation"][2] == "no"


def test_under_fixed_the_last_epoch_alone_is_judged_and_that_is_said() -> None:
    fixed = {"protocol": "fixed", "scored": "test"}
    cells = found(Rules(0.994, 15), [None] * 7, changes=fixed)
    assert "reached" not in cells
    assert "held" not in cells
    assert cells["mean test"][2] == "yes"
    assert "no epoch before is scored" in verdict(Rules(0.994), [None], changes=fixed).to_markdown()
    watched = verdict(Rules(0.994), LATE, changes={"protocol": "watched", "scored": "test"}).to_markdown()
    assert "biased upward" in watched


@pytest.mark.parametrize(
    ("trained", "told"),
    [(0.9997, "It overfits"), (0.9947, "It hardly overfits"), (0.98, "It does not overfit")],
)
def test_the_gap_between_training_and_scored_images_is_explained(trained: float, told: str) -> None:
    given = verdict(Rules(0.994), LATE, trained=trained)
    assert any(one.startswith(told) for one in given.analysis)
    assert any(cells[2].startswith(f"{trained:.2%}, 99.46%") for cells in given.rows())


def test_the_parts_that_are_there_are_named() -> None:
    cells = found(Rules(0.994), LATE)
    assert cells["norm"][1] == "batch norm after each convolution but the last"
    assert cells["dropout"][1] == "no dropout"
    assert cells["pooling"][1] == "2 max pools and 1 global average pool"


@pytest.mark.parametrize(
    ("p", "difference", "told"),
    [
        (0.01, 0.002, "It is better than first by 0.20 points"),
        (0.01, -0.002, "It is worse than first by 0.20 points"),
        (0.4, 0.002, "It is not shown to be better or worse than first: p is 0.40"),
        (None, 0.002, "Whether it is better than first cannot be told from 3 pairs"),
    ],
)
def test_the_network_before_it_is_compared_with(p: float | None, difference: float, told: str) -> None:
    against = Comparison(
        variant="mine", reference="first", pairs=3, difference=difference, interval_95=(-0.001, 0.005), p=p
    )
    given = verdict(Rules(0.994), LATE, against=against)
    assert told in given.analysis
    assert any(cells[0] == "the one before" and "against first, 3 pairs" in cells[2] for cells in given.rows())


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"target": 99.4}, "target out of range"),
        ({"target": 0.0}, "target out of range"),
        ({"within": 15}, "no target"),
        ({"target": 0.9, "within": 0}, "within out of range"),
        ({"budget": 0}, "budget out of range"),
    ],
)
def test_rules_that_ask_for_nothing_possible_are_refused(rules: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Rules(**rules)


@pytest.mark.usefixtures("undrawn")
def test_a_study_judges_each_network_and_compares_it_with_the_one_before(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_net.py").write_text(source("sequential"))
    recipe = replace(small(epochs=2, batch_size=128), protocol="held-out")
    study: Study = run_study(
        recipe,
        2,
        dataset,
        "study",
        overrides={"model": ["my_net.py:Net", "early"]},
        engine="serial",
        report=StudyReport(Console(file=io.StringIO())),
    )
    first, second = study.judge(target=0.01, within=2, budget=3000)
    assert [cells[3] for cells in first.rows()][:4] == ["yes", "yes", "yes", "yes"]
    assert {cells[0]: cells[3] for cells in second.rows()}["parameters"] == "no"
    assert (first.variant, second.variant) == ("my_net.py:Net", "early")
    assert any(cells[0] == "the one before" and "against my_net.py:Net" in cells[2] for cells in second.rows())
    page = write_markdown([first, second])
    assert page.count("Analysis:") == page.count("Result:") == 2
    assert "| parameters | at most 3,000 | 2,294 | yes |" in page


@pytest.mark.usefixtures("undrawn")
def test_the_command_prints_the_verdict_and_writes_it_as_markdown(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = ["study", "fast", "--epochs", "1", "--seeds", "1", "--engine", "serial", "--data", str(data_folder)]
    main([*line, "--out", "study", "--protocol", "held-out", "--target", "1", "--within", "1", "--budget", "8000"])
    printed = capsys.readouterr().out
    assert "at most 8,000" in printed
    assert "verdict: study/verdict.md" in printed
    assert (
        "Target: parameters: at most 8,000; reached: 1.00% by epoch 1;" in (tmp_path / "study/verdict.md").read_text()
    )
    main(["study", "--out", "study", "--engine", "serial", "--data", str(data_folder), "--budget", "9000", "--json"])
    told = json.loads(capsys.readouterr().out)["verdict"]
    assert told[0]["findings"][0] == {"rule": "parameters", "asked": "at most 9,000", "found": "8,880", "holds": True}
    with pytest.raises(SystemExit):
        main([*line, "--target", "0.994", "--within", "0"])
    assert "within out of range" in capsys.readouterr().err


def test_a_network_in_place_of_a_recipe_is_told_how_to_be_written() -> None:
    with pytest.raises(UsageError, match=r"a network, not a recipe: my_net.py:Net\. give a recipe, with model='my_net"):
        run_study("my_net.py:Net")

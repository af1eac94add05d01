"""Trainings of networks that average their logits over five views: the same weights, scored otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from short_runs import small
from under10k import evaluate, load_model, run_study, train
from under10k.assessment import evaluate_run
from under10k.cli import main
from under10k.data.datasets import Dataset
from under10k.errors import UsageError
from under10k.models.registry import create_model
from under10k.models.summary import summarise
from under10k.runs.folder import Run
from under10k.runs.weights import load_weights
from under10k.study import read_networks
from under10k.weights.sealed import load_tensors

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


SHORT = small(model="best-1k", epochs=1)


NET = """
from torch import nn

def Net():
    return nn.Sequential(nn.Conv2d(1, 10, 28), nn.Flatten())
"""


def test_views_change_no_weight_of_a_training_and_are_recorded_with_them(dataset: Dataset) -> None:
    one = train(SHORT, dataset, "one", reports=[])
    five = train(replace(SHORT, views=5), dataset, "five", reports=[])
    ours, theirs = (load_tensors(Path(run, "model.safetensors"), "weights")[0] for run in ("one", "five"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert Path("one/batches.csv").read_bytes() == Path("five/batches.csv").read_bytes()

    assert Run(Path("five")).recipe().views == 5
    assert [load_weights(run)[1].options.views for run in ("one", "five")] == [1, 5]
    assert one.test_loss == pytest.approx(evaluate(load_model("five", views=1), dataset).loss)
    assert five.test_loss == pytest.approx(evaluate(load_model("one", views=5), dataset).loss)
    assert one.test_loss != five.test_loss


def test_a_training_with_views_begins_from_weights_without_them(dataset: Dataset) -> None:
    train(SHORT, dataset, "one", reports=[])
    train(replace(SHORT, views=5), dataset, "five", start="one", reports=[])
    train(SHORT, dataset, "again", start="five", reports=[])


def test_one_run_is_scored_and_exported_with_one_view_and_with_five(
    dataset: Dataset, data_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(SHORT, dataset, "run", reports=[])
    losses = {}
    for views in (1, 5):
        main(["evaluate", "run", "--views", str(views), "--data", str(data_folder), "--json", "--out", f"of{views}"])
        figures = json.loads(capsys.readouterr().out)
        assert figures["views"] == views
        losses[views] = figures["loss"]
        page = f"{views}.html"
        main(["export", "run", "--to", "html", "--views", str(views), "--data", str(data_folder), "-o", page])
        assert "checked on" in capsys.readouterr().out
        assert ('"kind":"views"' in Path(page).read_text(encoding="utf-8")) == (views == 5)
    assert losses[1] != losses[5]
    main(["evaluate", "run", "--views", "5", "--data", str(data_folder), "--out", "of5"])
    assert "5 views of each" in capsys.readouterr().out
    assert evaluate_run("run", dataset).views == 1


def test_views_are_refused_of_a_network_of_ones_own(dataset: Dataset) -> None:
    Path("net.py").write_text(NET, encoding="utf-8")
    train(small(model="net.py:Net", epochs=1), dataset, "run", reports=[])
    with pytest.raises(UsageError, match=r"views of your own network: .*leave out views"):
        load_model("run", views=5)
    assert load_model("run", views=1)


def test_a_study_compares_one_view_with_five_and_counts_their_work(dataset: Dataset) -> None:
    study = run_study(SHORT, 1, dataset, overrides={"views": [1, 5]}, engine="serial")
    macs = summarise(create_model("best-1k")).macs
    assert {row.variant: row.macs for row in study.rows} == {"small views=1": macs, "small views=5": 5 * macs}
    read = read_networks([study.folder])
    assert {label: one[1] for label, one in read.items()} == {
        "small views=1, fixed": macs,
        "small views=5, fixed": 5 * macs,
    }


def test_views_are_a_field_on_the_command_line(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = ["--model", "best-1k", "--epochs", "1"]
    study = ["--engine", "serial", "--seeds", "1", "--data", str(data_folder), "--out", "study"]
    main(["study", "default", *short, "--views", "1,5", *study])
    assert "default views=5" in capsys.readouterr().out
    main(["train", "default", *short, "--views", "5", "--data", str(data_folder), "--out", "run"])
    assert Run(Path("run")).recipe().views == 5
    with pytest.raises(SystemExit):
        main(["train", "default", "--views", "4"])
    assert "unknown views: '4'. there are: 1, 5" in capsys.readouterr().err

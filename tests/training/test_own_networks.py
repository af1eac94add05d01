"""Runs of a network of the user's own: trained, resumed, read with; and whose code is run, and whose never."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from torch import Tensor, nn

from own_networks import HEAD, NETWORKS, source
from short_runs import KilledError, StopAt, batches, kill, small, weights
from under10k import evaluate, load_model, run_study, train
from under10k.cli import main
from under10k.data.datasets import Dataset
from under10k.errors import ModelError, UsageError
from under10k.files import sha256
from under10k.models import own as own_networks

pytestmark = pytest.mark.usefixtures("undrawn")


class Handed(nn.Module):
    """A class of the caller's own file."""

    def __init__(self, dropout: float = 0.5) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(784, 10))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that everything happens in, with a network in it that has drops out and shares layers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("under10k.models.own._made", {})
    (tmp_path / "my_net.py").write_text(source("shared"))
    return tmp_path


def own(**changes: Any) -> Any:
    return small(**{"model": "my_net.py:Net", "epochs": 1, **changes})


def another_process() -> None:
    """Forget the networks that this process has loaded."""
    own_networks._made.clear()


def ended(line: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    with pytest.raises(SystemExit) as caught:
        main(line)
    return caught.value.code, capsys.readouterr().err


@pytest.mark.parametrize("name", NETWORKS)
def test_each_style_trains_and_its_weights_read_the_same(name: str, place: Path, dataset: Dataset) -> None:
    (place / "my_net.py").write_text(source(name))
    few = replace(dataset, train=dataset.train[:64], test=dataset.test[:20])
    result = train(own(batch_size=32), few, "run", reports=[])
    assert (result.model, result.parameters) == ("my_net.py:Net", NETWORKS[name][1])
    another_process()
    if name == "separable":  # a function: only a class is run because a run names it
        with pytest.raises(ModelError, match="not a class"):
            load_model("run")
    metrics = evaluate(load_model("run", model="my_net.py:Net"), few.test)
    assert metrics.errors == result.test_errors
    assert metrics.loss == pytest.approx(result.test_loss, abs=1e-4)


def test_a_run_that_was_killed_is_resumed_to_the_same_bytes(place: Path, dataset: Dataset) -> None:
    recipe = own(epochs=2)
    train(recipe, dataset, "whole", reports=[])
    with pytest.raises(KilledError):
        train(recipe, dataset, "stopped", reports=[StopAt(1, 2, kill)])
    train(recipe, dataset, "stopped", resume=True, reports=[])
    assert weights(place / "stopped") == weights(place / "whole")
    assert batches(place / "stopped") == batches(place / "whole")


def test_a_run_records_the_whole_path_and_the_sha_256(place: Path, dataset: Dataset) -> None:
    train(own(), dataset, "run", reports=[])
    recipe = json.loads((place / "run" / "recipe.json").read_text())
    assert recipe["model"] == f"{(place / 'my_net.py').resolve()}:Net"
    assert recipe["model_sha256"] == sha256((place / "my_net.py").read_bytes())
    assert str(place).encode() not in weights(place / "run"), "weights, which are handed on, do not tell of folders"


def test_the_recipes_dropout_is_given_to_a_network_that_takes_it(place: Path, dataset: Dataset) -> None:
    (place / "my_net.py").write_text(source("separable").replace("dropout=0.0", "dropout=0.9"))
    train(own(dropout=0.25), dataset, "run", reports=[])
    train(own(dropout=0.25, model="my_net.py:Net(dropout=0.5)"), dataset, "other", reports=[])
    assert weights(place / "run") != weights(place / "other")
    (place / "my_net.py").write_text(source("separable").replace("dropout=0.0", "dropout=0.25"))
    train(own(dropout=0.5, model="my_net.py:Net(dropout=0.25)"), dataset, "third", reports=[])
    assert (place / "run" / "batches.csv").read_text() == (place / "third" / "batches.csv").read_text()


@pytest.mark.parametrize("change", ["# another", None])
def test_a_file_that_has_changed_or_is_gone_is_not_run(
    change: str | None, place: Path, dataset: Dataset, data_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KilledError):
        train(own(), data_folder, "stopped", reports=[StopAt(0, 2, kill)])
    train(own(), dataset, "run", reports=[])
    another_process()
    kept = (place / "my_net.py").rename(place / "kept.py")
    if change:
        (place / "my_net.py").write_text(kept.read_text() + f"open('ran', 'w')  {change}")
    told = "has changed" if change else "is gone"
    for line in (["train", "--resume", "stopped"], ["evaluate", "run"], ["export", "run", "--to", "html"]):
        code, message = ended(line, capsys)
        assert (code, message.count("\n")) == (4, 1)
        assert told in message
        assert "--model FILE.py:NAME" in message
    assert not (place / "ran").exists()
    (place / "pictures").mkdir()  # without one in it, which is told after the network is there
    code, message = ended(["predict", "pictures", "--model", "run"], capsys)
    assert (code, told in message, "--network FILE.py:NAME" in message) == (4, True, True)
    main(["evaluate", "run", "--model", "kept.py:Net", "--data", str(data_folder), "--json"])
    Image.fromarray(255 - dataset.test.images[0].numpy()).save("digit.png")
    main(["predict", "digit.png", "--model", "run", "--network", "kept.py:Net", "--json"])
    kept.rename(place / "my_net.py")
    main(["train", "--resume", "stopped", "--quiet"])
    assert evaluate("stopped", dataset.test).errors == evaluate("run", dataset.test).errors


EVIL = "open('ran', 'w')\n" + HEAD + NETWORKS["shared"][0]


def hostile(place: Path, run: str, model: str, content: str | bytes | None) -> None:
    """Change what a run says of its network, all seals kept: its description is that of a changed run's weights."""
    from under10k.weights.sealed import load_tensors, save_tensors

    digest = None if content is None else sha256(content.encode() if isinstance(content, str) else content)
    path = place / run / "recipe.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model": model, "model_sha256": digest}))
    file = place / run / "model.safetensors"
    tensors, facts = load_tensors(file, "weights")
    save_tensors(file, "weights", tensors, {**facts, "model": model, "model_sha256": digest})


@pytest.mark.parametrize(
    "case",
    ["in the run", "below a study", "relative", "no hash", "another hash", "a function", "a library", "a module"],
)
def test_no_code_is_run_that_comes_with_a_run_folder(
    case: str, place: Path, dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    train(own(), dataset, "run", reports=[])
    evil = place / "evil.py"
    digested: str | bytes | None = EVIL
    if case == "in the run":
        evil = place / "run" / "evaluation" / "evil.py"
    if case == "below a study":
        evil = place / "study" / "evil.py"
    evil.parent.mkdir(exist_ok=True)
    (evil.parent / "plan.json").write_text("{}") if case == "below a study" else None
    evil.write_text(EVIL)
    model = f"{evil}:Net"
    match case:
        case "relative":
            model = "evil.py:Net"
        case "no hash":
            digested = None
        case "another hash":
            digested = "another"
        case "a function":
            model = f"{evil}:open('ran', 'w')"
        case "a library":
            model, digested = f"{shutil.__file__}:rmtree('run')", Path(shutil.__file__).read_bytes()
        case "a module":
            model = "evil:Net"
    hostile(place, "run", model, digested)
    another_process()
    for line in (
        ["evaluate", "run"],
        ["summary", "./run"],
        ["export", "run", "--to", "c"],
        ["train", "--resume", "run"],
        ["predict", "x.png", "--model", "run"],
        ["evaluate", "run/model.safetensors"],
    ):
        code, message = ended(line, capsys)
        assert (code, message.count("\n")) == (4, 1), message
        assert ("--network" if line[0] == "predict" else "--model") in message
    assert not (place / "ran").exists()
    assert (place / "run" / "recipe.json").exists()


def test_a_study_compares_it_with_one_of_ours_and_does_not_run_what_a_plan_names(
    place: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = small(epochs=1)
    grid = {"model": ["my_net.py:Net", "gap"]}
    study = run_study(recipe, 1, data_folder, "study", overrides=grid, engine="serial")
    assert {(row.model, row.parameters) for row in study.rows} == {("my_net.py:Net", 4626), ("gap", 9720)}
    plan = place / "study" / "plan.json"
    evil = place / "study" / "evil.py"
    evil.write_text(EVIL)
    planned = json.loads(plan.read_text())
    planned["variants"]["small model=my_net.py:Net"].update(model=f"{evil}:Net", model_sha256=sha256(EVIL.encode()))
    plan.write_text(json.dumps({**planned, "seeds": 2}))
    another_process()
    code, message = ended(["study", "--out", "study", "--data", str(data_folder), "--engine", "serial"], capsys)
    assert code == 4
    assert "not a file to trust" in message
    assert not (place / "ran").exists()


def test_a_class_is_handed_over_and_resumed(place: Path, dataset: Dataset) -> None:
    result = train(small(), dataset, "run", model=Handed, reports=[])
    assert (result.model, result.parameters) == ("test_own_networks.py:Handed", 7850)
    with pytest.raises(KilledError):
        train(small(), dataset, "stopped", model=Handed, reports=[StopAt(1, 2, kill)])
    train(small(), dataset, "stopped", resume=True, model=Handed, reports=[])
    assert weights(place / "run") == weights(place / "stopped")
    assert type(load_model("run")) is Handed


def test_a_class_of_a_notebook_is_known_in_this_process_alone(place: Path, dataset: Dataset) -> None:
    made = type("Cell", (Handed,), {"__module__": "__main__"})
    result = train(small(epochs=1), dataset, "run", model=made, reports=[])
    assert result.model == "__main__:Cell"
    assert type(load_model("run")) is made
    another_process()
    with pytest.raises(ModelError, match=r"not a file to trust: run names __main__:Cell\. name the network"):
        load_model("run")


def test_a_study_takes_a_class_of_a_notebook_where_its_own_process_trains(place: Path, dataset: Dataset) -> None:
    made = type("Cell", (Handed,), {"__module__": "__main__"})
    grid = {"model": [made, Handed]}
    with pytest.raises(UsageError, match=r"only this process has: __main__:Cell\. give engine='serial'"):
        run_study(small(epochs=1), 1, dataset, "study", overrides=grid)
    assert not (place / "study").exists()
    study = run_study(small(epochs=1), 1, dataset, "study", overrides=grid, engine="serial")
    assert {(row.model, row.parameters) for row in study.rows} == {
        ("__main__:Cell", 7850),
        ("test_own_networks.py:Handed", 7850),
    }
    assert not study.failures
    grown = run_study(small(epochs=1), 2, dataset, "study", overrides=grid, engine="serial")
    assert [row.n for row in grown.rows] == [2, 2]


@pytest.mark.parametrize("model", [Handed(), 3, lambda: Handed()])
def test_what_is_no_class_is_refused(model: Any, place: Path, dataset: Dataset) -> None:
    with pytest.raises(UsageError):
        train(small(), dataset, "run", model=model, reports=[])
    assert not (place / "run").exists()

"""The run folder: what is read from it is whole and fits, or is refused by name."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from conftest import REPOSITORY
from short_runs import KilledError, StopAt, kill, small
from under10k.data.datasets import Dataset
from under10k.errors import ModelError, UsageError
from under10k.machine import find_commit
from under10k.models.registry import create_model, list_models, list_variants
from under10k.runs.folder import Run, check_unused
from under10k.runs.weights import load_model, load_weights
from under10k.training.start import train
from under10k.weights.bundled import Facts, Options
from under10k.weights.sealed import load_tensors, save_tensors, save_weights

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    path = tmp_path / "gap.safetensors"
    save_weights(path, create_model("gap"), {"model": "gap", "options": {}})
    return path


def first(tensors: dict[str, Tensor]) -> str:
    return min(name for name in tensors if name.endswith("weight"))


def without(tensors: dict[str, Tensor]) -> None:
    del tensors[first(tensors)]


def with_extra(tensors: dict[str, Tensor]) -> None:
    tensors["0.0.aaa"] = torch.zeros(1)


def misshapen(tensors: dict[str, Tensor]) -> None:
    tensors[first(tensors)] = torch.zeros(8, 1, 5, 5)


def of_another_type(tensors: dict[str, Tensor]) -> None:
    tensors[first(tensors)] = tensors[first(tensors)].double()


@pytest.mark.parametrize("name", list_models())
def test_weights_come_back_as_they_were_saved(name: str, tmp_path: Path) -> None:
    residual, head = list_variants(name)[-1]
    model = create_model(name, residual=residual, head=head).eval()
    save_weights(tmp_path / "w", model, {"model": name, "options": {"residual": residual, "head": head}})
    loaded = load_model(tmp_path / "w")
    images = torch.randn(3, 1, 28, 28)
    assert torch.equal(loaded(images), model(images))
    assert not loaded.training


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without, r"0\.0\.weight is missing, expected float32 \(8, 1, 3, 3\)"),
        (with_extra, r"0\.0\.aaa is float32 \(1,\), expected missing"),
        (misshapen, r"0\.0\.weight is float32 \(8, 1, 5, 5\), expected float32 \(8, 1, 3, 3\)"),
        (of_another_type, r"0\.0\.weight is float64 .*, expected float32"),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named_with_what_was_expected(
    change: Callable[[dict[str, Tensor]], None], told: str, weights_file: Path
) -> None:
    tensors, facts = load_tensors(weights_file, "weights")
    change(tensors)
    save_tensors(weights_file, "weights", tensors, facts)
    with pytest.raises(ModelError, match=told):
        load_model(weights_file)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"options": {}},
        {"model": "gpa", "options": {}},
        {"model": "gap", "options": {"depth": 3}},
        {"model": None, "options": {}},
        {"model": ["gap"], "options": {}},
        {"model": 7, "options": {}},
        {"model": "gap", "options": None},
        {"model": "gap", "options": []},
        {"model": "gap", "options": {"dropout": "high"}},
        {"model": "gap", "options": {"head": {}}},
        {"model": "gap", "options": {}, "protocol": ["fixed"]},
        {"model": "gap", "options": {}, "recipe": {"name": "default"}},
        {"model": "gap", "options": {}, "seed": 0.5},
        {"model": "gap", "options": {}, "data_sha256": 0},
    ],
)
def test_weights_that_say_nonsense_of_themselves_are_refused_in_one_line(facts: dict[str, Any], tmp_path: Path) -> None:
    save_weights(tmp_path / "w", create_model("gap"), facts)
    with pytest.raises(ModelError, match=r"cannot rebuild the model: [^\n]*use the under10k that wrote it$"):
        load_model(tmp_path / "w")


def test_weights_of_a_newer_under10k_may_say_more_of_themselves(tmp_path: Path) -> None:
    model = create_model("gap").eval()
    save_weights(tmp_path / "w", model, {"model": "gap", "options": {"residual": False}, "weather": ["fine"]})
    assert load_weights(tmp_path / "w")[1] == Facts("gap", Options())


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    save_weights(tmp_path / "w", create_model("gap"), {"model": "transition", "options": {}})
    with pytest.raises(ModelError, match="not this model"):
        load_model(tmp_path / "w")


def test_a_checkpoint_is_no_weights_file(dataset: Dataset, tmp_path: Path) -> None:
    train(small(epochs=1), dataset, tmp_path / "run", reports=[])
    (checkpoint,) = (tmp_path / "run" / "checkpoint").glob("*.safetensors")
    with pytest.raises(ModelError, match=r"is a checkpoint file\. give a weights file"):
        load_model(checkpoint)


def test_an_unfinished_run_says_how_to_finish_it(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(small(), dataset, tmp_path / "run", reports=[StopAt(1, 1, kill)])
    with pytest.raises(ModelError, match=r"run not finished: .* under10k train --resume"):
        load_model(tmp_path / "run")


def test_a_checkpoint_of_another_model_is_refused_on_resuming(dataset: Dataset, tmp_path: Path) -> None:
    for name, model in (("a", "early"), ("b", "transition")):
        with pytest.raises(KilledError):
            train(small(model=model), dataset, tmp_path / name, reports=[StopAt(1, 1, kill)])
    for old in (tmp_path / "a" / "checkpoint").iterdir():
        old.unlink()
    for other in (tmp_path / "b" / "checkpoint").iterdir():
        other.rename(tmp_path / "a" / "checkpoint" / other.name)
    with pytest.raises(ModelError, match="model was transition, is now early"):
        train(small(), dataset, tmp_path / "a", resume=True, reports=[])


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"recipe": 1}', "\x00", "[" * 100_000])
def test_a_damaged_result_is_refused_and_not_taken_for_finished(content: str, dataset: Dataset, tmp_path: Path) -> None:
    train(small(epochs=1), dataset, tmp_path / "run", reports=[])
    (tmp_path / "run" / "result.json").write_text(content)
    with pytest.raises(ModelError, match="damaged"):
        Run(tmp_path / "run").result()


@pytest.mark.parametrize(
    ("name", "value"), [("test_accuracy", "all"), ("test_loss", math.nan), ("epochs", True), ("seconds", {"total": []})]
)
def test_a_result_of_another_type_is_refused(name: str, value: Any, dataset: Dataset, tmp_path: Path) -> None:
    result = train(small(epochs=1), dataset, tmp_path / "run", reports=[])
    (tmp_path / "run" / "result.json").write_text(json.dumps({**result.to_dict(), name: value}))
    with pytest.raises(ModelError, match="damaged"):
        Run(tmp_path / "run").result()


def test_a_half_written_last_line_of_metrics_is_passed_over(dataset: Dataset, tmp_path: Path) -> None:
    train(small(epochs=2), dataset, tmp_path / "run", reports=[])
    whole = Run(tmp_path / "run").history()
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 3, "train_lo')
    assert Run(tmp_path / "run").history() == whole


@pytest.mark.parametrize("change", [{"train_loss": math.nan}, {"scored_set": "\0"}, {"accuracy": "high"}])
def test_metrics_that_make_no_sense_are_refused(change: dict[str, Any], dataset: Dataset, tmp_path: Path) -> None:
    train(small(epochs=2), dataset, tmp_path / "run", reports=[])
    path = tmp_path / "run" / "metrics.jsonl"
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n{json.dumps({**json.loads(second), **change})}\n")
    with pytest.raises(ModelError, match=rf"cannot read the metrics: .* line 2 \((unknown )?{next(iter(change))}: "):
        Run(tmp_path / "run").history()


def test_a_half_written_last_batch_is_passed_over(dataset: Dataset, tmp_path: Path) -> None:
    train(small(epochs=2), dataset, tmp_path / "run", reports=[])
    whole = Run(tmp_path / "run").batches()
    with (tmp_path / "run" / "batches.csv").open("a") as file:
        file.write("3,1,0.5,0.")
    assert Run(tmp_path / "run").batches() == whole
    assert len(whole) == 12


@pytest.mark.parametrize(
    "line", ["1,2,x,0.5,0.1", "1,2,nan,0.5,0.1", "1,2,0.5", "1,2,0.5,0.5,0.1,7", "1.5,2,0,0,0", ""]
)
def test_a_line_that_is_no_batch_is_refused_by_its_number(line: str, dataset: Dataset, tmp_path: Path) -> None:
    train(small(epochs=1), dataset, tmp_path / "run", reports=[])
    with (tmp_path / "run" / "batches.csv").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ModelError, match=r"damaged file: .*batches\.csv, line 8 is not a batch"):
        Run(tmp_path / "run").batches()


def test_a_run_that_recorded_no_batches_is_told_as_such(dataset: Dataset, tmp_path: Path) -> None:
    train(small(epochs=1), dataset, tmp_path / "run", reports=[])
    (tmp_path / "run" / "batches.csv").unlink()
    with pytest.raises(ModelError, match=r"no batches: .*run was trained by a version that recorded none"):
        Run(tmp_path / "run").batches()


@pytest.mark.parametrize("name", ["recipe.json", "environment.json", "metrics.jsonl", "batches.csv", "result.json"])
@pytest.mark.parametrize("hostile", ["pipe", "huge"])
def test_a_run_folder_is_read_from_ordinary_files_of_ordinary_size(
    name: str, hostile: str, dataset: Dataset, tmp_path: Path
) -> None:
    train(small(epochs=1), dataset, tmp_path / "run", reports=[])
    path, run = tmp_path / "run" / name, Run(tmp_path / "run")
    path.unlink()
    if hostile == "pipe":
        os.mkfifo(path)
    else:
        path.touch()
        os.truncate(path, 2**33)
    told = "not a file: .* is a device or a pipe" if hostile == "pipe" else "file too large: .* has 8,589,934,592 bytes"
    read = {"recipe": run.recipe, "environment": run.environment, "metrics": run.history, "batches": run.batches}
    with pytest.raises(ModelError, match=told):
        read.get(path.stem, run.result)()


def test_weights_are_loaded_the_same_whatever_torch_is_set_to(weights_file: Path) -> None:
    images = torch.randn(4, 1, 28, 28)
    expected = load_model(weights_file)(images)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(load_model(weights_file)(images), expected)
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.device("meta"):
        assert torch.equal(load_model(weights_file)(images), expected)
    with torch.inference_mode():
        model = load_model(weights_file)
    model(images).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_metrics_are_one_json_object_a_line(dataset: Dataset, tmp_path: Path) -> None:
    train(small(epochs=3), dataset, tmp_path / "run", reports=[])
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]


def test_an_empty_folder_is_taken_and_a_used_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".lock").touch()
    check_unused(tmp_path / "empty")
    (tmp_path / "empty" / "x").touch()
    with pytest.raises(UsageError, match="not empty"):
        check_unused(tmp_path / "empty")


def test_jumping_clocks_do_not_change_the_weights(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(small(), dataset, tmp_path / "a", reports=[])
    ticks = iter(range(10**6, 0, -1))
    monkeypatch.setattr("under10k.training.trainer.time.perf_counter", lambda: float(next(ticks)))
    train(replace(small()), dataset, tmp_path / "b", reports=[])
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., str]:
    """Run git in a folder of its own, which is made a repository."""
    if not shutil.which("git"):
        pytest.skip("git is missing")

    def run(*arguments: str) -> str:
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        command = ["git", "-C", str(tmp_path), *author, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    run("init")
    return run


def make_package(checkout: Path, name: str = "under10k") -> Path:
    """Make the source checkout of a package, nearly empty."""
    package = checkout / "src" / "under10k"
    package.mkdir(parents=True)
    (package / "runs.py").write_text("")
    (checkout / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n')
    return package


def test_a_run_names_the_commit_of_under10k_and_whether_its_source_was_changed(
    git: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = make_package(tmp_path)
    assert find_commit(package) is None, "nothing is committed yet"
    git("add", ".")
    git("commit", "-m", "first")
    commit = git("rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))  # as in a hook of another repository
    assert find_commit(package) == commit
    (tmp_path / "notes.txt").write_text("no part of the source")
    assert find_commit(package) == commit
    (package / "runs.py").write_text("changed")
    assert find_commit(package) == f"{commit}-dirty"


@pytest.mark.parametrize("is_committed", [True, False])
@pytest.mark.parametrize("place", ["venv/lib/python3.11/site-packages", "vendor/under10k/src", "src"])
def test_a_run_names_no_commit_of_another_repository_that_under10k_lies_in(
    place: str, is_committed: bool, git: Callable[..., str], tmp_path: Path
) -> None:
    make_package(tmp_path, "thesis")
    package = tmp_path / place / "under10k"
    if place != "src":
        package.mkdir(parents=True)
        (package / "runs.py").write_text("")
        (package.parents[1] / "pyproject.toml").write_text('[project]\nname = "under10k"\n')
    if not is_committed:
        (tmp_path / ".gitignore").write_text(f"/{place}/under10k\n")
    git("add", ".")
    git("commit", "-m", "first")
    assert find_commit(package) is None


def test_the_commit_of_this_checkout_is_found() -> None:
    checkout = REPOSITORY / ".git"
    found = find_commit(REPOSITORY / "src" / "under10k")
    assert bool(found) == (checkout.exists() and shutil.which("git") is not None)

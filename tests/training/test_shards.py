"""A batch cut into shards: the number of threads changes nothing but the time."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from own_networks import source
from short_runs import KilledError, StopAt, batches, kill, small, weights
from under10k import run_study
from under10k.bench import training as bench
from under10k.data.augmentation import augment
from under10k.data.datasets import Dataset
from under10k.errors import ModelError, StoppedError, UsageError
from under10k.recipes import Augment, Recipe
from under10k.training import shards as module
from under10k.training.shards import Shards
from under10k.training.signals import StopSignals
from under10k.training.start import train

pytestmark = pytest.mark.usefixtures("undrawn")

CPU = torch.device("cpu")


def train_with(threads: int, recipe: Recipe, dataset: Dataset, folder: Path, **options: Any) -> tuple[bytes, bytes]:
    torch.set_num_threads(threads)
    train(recipe, dataset, folder, reports=[], **options)
    return weights(folder), batches(folder)


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def gradient(model: nn.Module) -> Tensor:
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("shard")]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("under10k.models.own._made", {})
    return tmp_path


# --- bytes and threads ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "recipe",
    [
        small(shards=2, dropout=0.1, protocol="watched", skip_easy=0.2),
        small(shards=4, epochs=1, batch_size=50, model="early", averaging=0.0),
        small(shards=3, epochs=1, batch_size=191, model="transition", dropout=0.05),
        small(shards=2, epochs=1, dropout=0.1, precision="bfloat16"),
    ],
    ids=["two", "four of unequal size", "three, and two images left", "bfloat16"],
)
def test_with_any_number_of_threads_a_training_ends_byte_identical(
    recipe: Recipe, dataset: Dataset, tmp_path: Path
) -> None:
    one, *others = [train_with(count, recipe, dataset, tmp_path / str(count)) for count in (1, 2, 4)]
    assert others == [one] * 2


def test_a_run_in_shards_resumes_with_another_number_of_threads(dataset: Dataset, tmp_path: Path) -> None:
    recipe = small(shards=2, dropout=0.1)
    whole = train_with(1, recipe, dataset, tmp_path / "whole")
    torch.set_num_threads(3)
    with suppress(KilledError):
        train(recipe, dataset, tmp_path / "run", reports=[StopAt(1, 2, kill)])
    assert train_with(2, recipe, dataset, tmp_path / "run", resume=True) == whole


def test_a_run_without_shards_is_not_resumed_with_another_number_of_threads(dataset: Dataset, tmp_path: Path) -> None:
    recipe = small(shards=1)
    torch.set_num_threads(1)
    with suppress(KilledError):
        train(recipe, dataset, tmp_path / "run", reports=[StopAt(1, 2, kill)])
    with pytest.raises(ModelError, match="threads was 1, is now 2"):
        train_with(2, recipe, dataset, tmp_path / "run", resume=True)


def test_a_study_of_recipes_in_shards_is_the_same_with_any_number_of_threads(dataset: Dataset, tmp_path: Path) -> None:
    recipe = small(shards=2, epochs=1)
    for threads, engine in (1, "serial"), (2, "processes"):
        run_study([recipe], 1, dataset, tmp_path / str(threads), engine=engine, threads=threads)
    one, two = [next((tmp_path / str(threads)).rglob("model.safetensors")) for threads in (1, 2)]
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("name", ["shared", "own module", "unused", "configured"])
def test_a_network_of_ones_own_trains_in_shards(name: str, dataset: Dataset, place: Path) -> None:
    (place / "my_net.py").write_text(source(name))
    recipe = small(model="my_net.py:Net", shards=2, epochs=1)
    assert train_with(1, recipe, dataset, place / "one") == train_with(2, recipe, dataset, place / "two")


@pytest.mark.parametrize(
    "setting",
    [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu"), lambda: torch.device("meta")],
    ids=["no_grad", "inference_mode", "autocast", "default_device"],
)
def test_a_training_in_shards_is_the_same_whatever_torch_is_set_to(
    setting: Any, dataset: Dataset, tmp_path: Path
) -> None:
    recipe = small(shards=2, epochs=1, dropout=0.1, protocol="held-out")
    expected = train_with(2, recipe, dataset, tmp_path / "plain")
    with setting():
        assert train_with(2, recipe, dataset, tmp_path / "set") == expected


# --- what a step computes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [64, 50, 5, 2, 1])
def test_the_gradient_is_that_of_the_mean_over_the_whole_batch(count: int, dataset: Dataset) -> None:
    torch.manual_seed(0)
    whole, cut = linear(), linear()
    cut.load_state_dict(whole.state_dict())
    batch = torch.arange(count)
    found = []
    for model, shards in (whole, 1), (cut, 4):
        with closing(Shards(small(augment=Augment(), shards=shards), model, CPU)) as step:
            found.append(step.differentiate(dataset.train, batch, 0, 0))
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradient(cut), gradient(whole))


@pytest.mark.parametrize("changes", [{"dropout": 0.5, "augment": Augment()}, {}], ids=["dropout", "augmentation"])
def test_each_shard_draws_random_numbers_of_its_own_and_the_same_ones_again(
    changes: dict[str, Any], dataset: Dataset
) -> None:
    recipe = small(shards=3, **changes)
    model = nn.Sequential(nn.Dropout(recipe.dropout), linear())
    same = torch.zeros(12, dtype=torch.int64)  # one image, again and again
    with closing(Shards(recipe, model, CPU)) as step:
        drawn, again, later = [step.differentiate(dataset.train, same, 0, at)[0].view(3, 4) for at in (0, 0, 1)]
    assert torch.equal(drawn, again)
    assert not torch.equal(drawn, later)
    assert len({tuple(shard.tolist()) for shard in drawn}) == 3


def test_running_statistics_are_the_mean_over_the_shards(dataset: Dataset) -> None:
    model = nn.Sequential(nn.BatchNorm2d(1, momentum=1.0), linear())
    with closing(Shards(small(augment=Augment(), shards=3), model, CPU)) as step:
        step.differentiate(dataset.train, torch.arange(12), 0, 0)
    pixels = (dataset.train.images[:12].float() / 255 - 0.1307) / 0.3081
    expected = pixels.view(3, -1).mean(dim=1).mean()
    torch.testing.assert_close(model[0].running_mean, expected.view(1))


def test_a_buffer_that_is_constant_stays_exactly_what_it_is(dataset: Dataset) -> None:
    model, scale = linear(), torch.rand(100)
    model.register_buffer("scale", scale)
    before = scale.clone()
    with closing(Shards(small(shards=7), model, CPU)) as step:
        step.differentiate(dataset.train, torch.arange(64), 0, 0)
    assert torch.equal(scale, before)


# --- threads -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("threads", "shards", "expected"), [(1, 4, 1), (2, 4, 2), (4, 2, 2)])
def test_no_more_threads_compute_than_torch_has_been_given(
    threads: int, shards: int, expected: int, dataset: Dataset, tmp_path: Path
) -> None:
    torch.set_num_threads(threads)
    seen: list[int] = []
    count = StopAt(0, 1, lambda: seen.append(sum(each.name.startswith("shard") for each in threading.enumerate())))
    train(small(shards=shards, epochs=1), dataset, tmp_path / "run", reports=[count])
    assert seen == [expected]


def test_the_callers_own_number_of_threads_stays(dataset: Dataset, tmp_path: Path) -> None:
    train_with(2, small(shards=2, epochs=1), dataset, tmp_path / "run")
    assert torch.get_num_threads() == 2
    seen: list[int] = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [2]


@pytest.mark.parametrize(("before", "after"), [(0.005, module.SWITCH_SECONDS), (0.0001, 0.0001)])
def test_threads_wait_less_for_pythons_lock_unless_the_user_has_set_less(
    before: float, after: float, dataset: Dataset, tmp_path: Path
) -> None:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(before)
    try:
        train(small(shards=2, epochs=1), dataset, tmp_path / "run", reports=[])
        assert sys.getswitchinterval() == pytest.approx(after, abs=2e-6)
    finally:
        sys.setswitchinterval(usual)


def test_an_error_in_a_shards_thread_comes_out_as_itself(dataset: Dataset, place: Path) -> None:
    (place / "my_net.py").write_text(source("linear").replace("return self", "torch.rand_like(x); return self"))
    with pytest.raises(UsageError, match="the network calls rand_like"):
        train(small(model="my_net.py:Net", shards=2), dataset, place / "run", reports=[])


def test_one_ctrl_c_ends_the_step_of_all_shards_and_saves(dataset: Dataset, tmp_path: Path) -> None:
    recipe = small(shards=2)
    interrupt = StopAt(0, 3, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(StoppedError, match="epoch 1, step 3 is saved"):
        train(recipe, dataset, tmp_path / "run", reports=[interrupt])
    resumed = train_with(2, recipe, dataset, tmp_path / "run", resume=True)
    assert resumed == train_with(1, recipe, dataset, tmp_path / "whole")


def test_a_second_ctrl_c_within_a_step_exits_and_leaves_no_thread(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive, heard, first = StopSignals._receive, threading.Event(), threading.Lock()

    def tell(signals: StopSignals, number: int, frame: FrameType | None) -> None:
        heard.set()
        receive(signals, number, frame)

    def interrupt(*arguments: Any) -> Tensor:
        if first.acquire(blocking=False):
            os.kill(os.getpid(), signal.SIGINT)
            while not heard.wait(1):  # else the two would be one
                os.kill(os.getpid(), signal.SIGINT)  # one that came just before the main thread waited wakes nobody
            os.kill(os.getpid(), signal.SIGINT)
        return augment(*arguments)

    monkeypatch.setattr(StopSignals, "_receive", tell)
    monkeypatch.setattr("under10k.training.shards.augment", interrupt)
    torch.set_num_threads(2)
    with pytest.raises(KeyboardInterrupt):
        train(small(shards=2), dataset, tmp_path / "run", reports=[])


def test_a_benchmark_ends_its_threads(dataset: Dataset) -> None:
    way = bench._ours(small(shards=2), dataset.train, CPU)
    assert way()[0] > 0

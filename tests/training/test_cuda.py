"""Training on a GPU: `make gpu` runs these where there is one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from short_runs import KilledError, StopAt, batches, kill, small, weights
from under10k import evaluate, load_model, run_study, summarise
from under10k.data.datasets import Dataset
from under10k.recipes import Optimizer
from under10k.training.optimizers import Update
from under10k.training.shards import Shards
from under10k.training.start import train, train_stacked
from under10k.training.state import first_state

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.usefixtures("undrawn"),
]

CUDA = torch.device("cuda")

WAITING = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 24 * 24, 10))

    def forward(self, x):
        return self.layers(x) * (1 if x.mean().item() > 9 else 2)
"""


@pytest.mark.parametrize("model", ["gap", "transition", "early"])
@pytest.mark.parametrize("shards", [1, 2])
def test_a_recorded_step_computes_what_its_operations_do_one_by_one(model: str, shards: int, dataset: Dataset) -> None:
    recipe = small(model=model, dropout=0.1, shards=shards)
    digits, batch = dataset.train.to(CUDA), torch.arange(64, device=CUDA)
    found = []
    for records in (True, False):
        network = first_state(recipe, len(digits), CUDA).model.train()
        computing = Shards(recipe, network, CUDA, records=records)
        for step in range(3):
            losses, right = computing.differentiate(digits, batch + step, 0, step)
        gradients = [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
        found.append([losses.clone(), right.clone(), *gradients, *(buffer.clone() for buffer in network.buffers())])
    for recorded, plain in zip(*found, strict=True):
        torch.testing.assert_close(
            recorded, plain, rtol=1e-3, atol=1e-5
        )  # the order of sums is the library's to choose


def test_a_recorded_update_moves_weights_and_average_as_its_operations_do_one_by_one(dataset: Dataset) -> None:
    found = []
    for records in (True, False):
        state = first_state(small(), len(dataset.train), CUDA)
        update = Update(state.optimizer, state.average, records=records)
        for parameter in state.model.parameters():
            parameter.grad = torch.empty_like(parameter)
        for step in range(4):
            for parameter in state.model.parameters():
                parameter.grad.fill_(1)  # type: ignore[union-attr]  # an update may change them
            update.take(0.01 * (step + 1), first=step == 0)
        found.append([*state.model.state_dict().values(), *state.scored.state_dict().values()])
    for recorded, plain in zip(*found, strict=True):
        torch.testing.assert_close(recorded, plain)


def test_each_step_draws_its_own_random_numbers(dataset: Dataset) -> None:
    recipe = small()
    digits, batch = dataset.train.to(CUDA), torch.arange(64, device=CUDA)
    computing = Shards(recipe, first_state(recipe, len(digits), CUDA).model.train(), CUDA)
    first, second, again = (computing.differentiate(digits, batch, 0, step)[0] for step in (0, 1, 0))
    assert not torch.equal(first, second)
    torch.testing.assert_close(first, again, rtol=1e-3, atol=1e-5)


def test_a_training_on_a_gpu_is_the_same_each_time_and_when_resumed(dataset: Dataset, tmp_path: Path) -> None:
    recipe = small(epochs=3, dropout=0.1, protocol="watched", skip_easy=0.2)
    for name in "once", "twice":
        train(recipe, dataset, tmp_path / name, device="cuda", reports=[])
    with pytest.raises(KilledError):
        train(recipe, dataset, tmp_path / "killed", device="cuda", reports=[StopAt(1, 2, kill)])
    train(recipe, dataset, tmp_path / "killed", resume=True, device="cuda", reports=[])
    assert len({weights(tmp_path / name) for name in ("once", "twice", "killed")}) == 1
    assert batches(tmp_path / "once") == batches(tmp_path / "killed")


def test_two_trainings_on_one_gpu_in_two_threads_end_as_each_does_alone(dataset: Dataset, tmp_path: Path) -> None:
    recipes = [small(seed=seed, dropout=0.1) for seed in (1, 2)]
    begin = threading.Barrier(2)

    def beside(seed: int) -> None:
        begin.wait(60)
        train(recipes[seed - 1], dataset, tmp_path / f"beside-{seed}", device="cuda", reports=[])

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(beside, (1, 2)))
    for recipe in recipes:
        train(recipe, dataset, tmp_path / f"alone-{recipe.seed}", device="cuda", reports=[])
        assert weights(tmp_path / f"beside-{recipe.seed}") == weights(tmp_path / f"alone-{recipe.seed}")


def test_a_network_of_ones_own_trains_on_a_gpu_though_it_waits_for_values(dataset: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "my_net.py"
    file.write_text(WAITING, encoding="utf-8")
    result = train(small(model=f"{file}:Net", epochs=1), dataset, tmp_path / "run", device="cuda", reports=[])
    assert result.device == "cuda"


def test_what_a_gpu_trained_a_cpu_reads(dataset: Dataset, tmp_path: Path) -> None:
    result = train(small(epochs=4), dataset, tmp_path / "run", device="cuda", reports=[])
    on_cpu = evaluate(load_model(tmp_path / "run"), dataset.test)
    on_gpu = evaluate(load_model(tmp_path / "run").to("cuda"), dataset.test)
    assert result.device == "cuda"
    torch.testing.assert_close(
        on_cpu.logits, on_gpu.logits.cpu(), rtol=0.02, atol=0.05
    )  # inputs of a convolution are rounded to TF32
    assert summarise(load_model(tmp_path / "run").to("cuda")).parameters == result.parameters


def test_a_study_on_a_gpu_trains_several_runs_at_a_time(dataset: Dataset, tmp_path: Path) -> None:
    study = run_study(small(epochs=1), 3, dataset, tmp_path / "study", device="cuda", workers=2)
    assert [len(study.results(label)) for label in study.plan.variants] == [3]


@pytest.mark.parametrize(
    "changes", [{}, {"shards": 2}, {"model": "best-1k", "teacher": "gap"}, {"model": "gap", "residual": True}], ids=str
)
def test_trainings_stacked_on_a_gpu_end_as_each_does_alone_up_to_rounding(
    changes: dict[str, Any], dataset: Dataset, tmp_path: Path
) -> None:
    recipe = small(**{"optimizer": Optimizer("sgd", lr=0.003, momentum=0.9), "averaging": 0.5, **changes})
    runs = [(replace(recipe, seed=seed), tmp_path / str(seed), False) for seed in range(3)]
    for _, folder, _ in runs:
        folder.mkdir()
    train_stacked(runs, dataset, device="cuda")
    for seeded, folder, _ in runs:
        train(seeded, dataset, alone := tmp_path / f"{seeded.seed} alone", device="cuda", reports=[])
        ours, theirs = (load_model(one).state_dict() for one in (folder, alone))
        for name in ours:
            torch.testing.assert_close(ours[name], theirs[name], rtol=0.05, atol=5e-3, msg=name)  # TF32 on both sides


def test_a_stack_on_a_gpu_is_the_same_each_time(dataset: Dataset, tmp_path: Path) -> None:
    for name in ("one", "other"):
        run_study(small(skip_easy=0.2, shards=2), 3, dataset, tmp_path / name, engine="stacked", device="cuda")
    for seed in range(3):
        run = Path("runs") / f"small-s{seed}"
        assert weights(tmp_path / "one" / run) == weights(tmp_path / "other" / run)


def test_bundled_weights_read_the_same_on_a_gpu(dataset: Dataset) -> None:
    gpu, cpu = (evaluate(load_model("robust").to(device), dataset.test) for device in ("cuda", "cpu"))
    torch.testing.assert_close(
        gpu.logits.cpu(), cpu.logits, rtol=0.02, atol=0.05
    )  # inputs of a convolution are rounded to TF32

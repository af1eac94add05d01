"""Our SGD is PyTorch's, and starts at once."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch

from under10k.models.registry import create_model
from under10k.training.layout import rearrange
from under10k.training.optimizers import SGD

KINDS = [(0.0, False, 0.0), (0.9, False, 0.001), (0.9, True, 0.0), (0.5, True, 0.01)]


@pytest.mark.parametrize(("momentum", "nesterov", "weight_decay"), KINDS)
def test_weights_move_as_with_pytorch_to_the_last_bit(momentum: float, nesterov: bool, weight_decay: float) -> None:
    torch.manual_seed(0)
    model = rearrange(create_model("early"))
    other = copy.deepcopy(model)
    ours = SGD(model.parameters(), lr=0.1, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
    theirs = torch.optim.SGD(
        other.parameters(), lr=0.1, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, foreach=True
    )
    for step in range(4):
        for group in (*ours.param_groups, *theirs.param_groups):
            group["lr"] = 0.1 / (1 + step)
        for mine, its in zip(model.parameters(), other.parameters(), strict=True):
            mine.grad = torch.randn_like(mine)
            its.grad = mine.grad.clone()
        ours.step()
        theirs.step()
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(("momentum", "nesterov", "weight_decay"), KINDS)
def test_a_rate_that_lies_on_the_device_moves_weights_as_a_number_does(
    momentum: float, nesterov: bool, weight_decay: float
) -> None:
    moved = []
    for rate in (0.1, torch.tensor(0.1)):
        weight = torch.linspace(-1, 1, 6, requires_grad=True)
        optimizer = SGD([weight], lr=0, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
        optimizer.param_groups[0]["lr"] = rate
        for step in range(3):
            weight.grad = torch.full_like(weight, step + 1)
            optimizer.step()
        moved.append(weight.detach())
    torch.testing.assert_close(*moved)


def test_a_saved_momentum_is_gone_on_from() -> None:
    def trained(steps: int, state: dict[str, object] | None, weight: torch.Tensor) -> tuple[torch.Tensor, SGD]:
        weight = weight.clone().requires_grad_()
        optimizer = SGD([weight], lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.0)
        if state:
            optimizer.load_state_dict(state)
        for _ in range(steps):
            weight.grad = torch.ones_like(weight)
            optimizer.step()
        return weight.detach(), optimizer

    start = torch.zeros(3, 2, 3, 3).to(memory_format=torch.channels_last)
    whole, _ = trained(5, None, start)
    half, optimizer = trained(2, None, start)
    assert torch.equal(trained(3, optimizer.state_dict(), half)[0], whole)
    assert not torch.equal(trained(3, None, half)[0], whole)


def test_a_weight_without_a_gradient_stays() -> None:
    moved, still = (torch.zeros(2, requires_grad=True) for _ in range(2))
    optimizer = SGD([still, moved], lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.1)
    moved.grad = torch.ones(2)
    optimizer.step()
    assert still.tolist() == [0, 0]
    assert moved.tolist() != [0, 0]
    assert list(optimizer.state_dict()["state"]) == [1]


TRAINED = """
import sys
from pathlib import Path
from under10k.data.datasets import Dataset
from under10k.recipes import get_recipe
from under10k.data.synthetic import draw_digits
from under10k.training.start import train
data = Dataset("few", draw_digits(300, 0), draw_digits(20, 1))
train(get_recipe("fast", epochs=2), data, Path(sys.argv[1]) / "run", reports=[])
assert "torch._dynamo" not in sys.modules, "the compiler was imported: a second lost"
"""


def test_a_training_of_fast_never_imports_the_compiler(tmp_path: object) -> None:
    subprocess.run([sys.executable, "-c", TRAINED, str(tmp_path)], check=True, timeout=120)

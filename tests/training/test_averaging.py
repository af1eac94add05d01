"""The running average of weights: the same as PyTorch's, only faster."""

from __future__ import annotations

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from under10k.models.registry import create_model, list_models
from under10k.training.layout import rearrange
from under10k.training.optimizers import Average


def move(model: torch.nn.Module) -> None:
    """Change weights and batch-norm statistics in place, as a step of training does."""
    model.train()
    torch.autograd.backward(model(torch.randn(4, 1, 28, 28)).square().sum())
    torch.optim.SGD(model.parameters(), lr=0.01).step()


@pytest.mark.parametrize("name", list_models())
def test_the_average_is_that_of_pytorch_to_the_last_bit(name: str) -> None:
    torch.manual_seed(0)
    model = rearrange(create_model(name))
    ours = Average(model, 0.9)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)  # type: ignore[no-untyped-call]
    for step in range(4):
        move(model)
        ours.update(first=step == 0)
        theirs.update_parameters(model)
    expected = theirs.module.state_dict()
    found = ours.model.state_dict()
    assert list(found) == list(expected)
    counts = {key for key in found if key.endswith("num_batches_tracked")}  # theirs averages even these, and truncates
    assert all(torch.equal(found[key], expected[key]) for key in found.keys() - counts)
    assert all(found[key] == 4 for key in counts)
    assert not torch.equal(found["0.0.weight"], model.state_dict()["0.0.weight"])


def test_weights_that_were_put_back_are_averaged_on_from() -> None:
    torch.manual_seed(0)
    model = create_model("gap")
    average = Average(model, 0.5)
    zeros = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    average.model.load_state_dict(zeros)
    average.update(first=False)
    torch.testing.assert_close(average.model.state_dict()["0.0.weight"], model.state_dict()["0.0.weight"] / 2)

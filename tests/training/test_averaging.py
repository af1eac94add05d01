"""The running average of weights: the same as PyTorch's, only faster."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from under10k.models.registry import create_model, list_models
from under10k.recipes import get_recipe, list_recipes
from under10k.training.layout import rearrange
from under10k.training.optimizers import Average
from under10k.training.steps import averaging_decay, count_steps


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


@pytest.mark.parametrize("name", list_recipes())
def test_a_recipe_averages_on_mnist_as_it_says(name: str) -> None:
    recipe = get_recipe(name)
    assert averaging_decay(recipe, 60_000) == recipe.averaging


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_short_run_keeps_next_to_nothing_of_its_untrained_weights(epochs: int) -> None:
    recipe = replace(get_recipe("best-1k"), epochs=epochs)
    steps = count_steps(recipe, 60_000)
    assert averaging_decay(recipe, 60_000) ** steps < 0.01 < recipe.averaging**steps
    assert averaging_decay(replace(recipe, averaging=0.0), 60_000) == 0
    assert averaging_decay(replace(recipe, start="best-1k"), 60_000) == recipe.averaging
    assert averaging_decay(recipe, 256) == 0 or epochs > 1

"""Networks that average their logits over five views of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

import under10k
from random_networks import random_network
from under10k.data.digits import normalise
from under10k.errors import UsageError
from under10k.evaluation.metrics import predict_logits
from under10k.models.registry import create_model, list_models
from under10k.models.summary import summarise
from under10k.models.views import SHIFTS, count_views, with_views
from under10k.recipes import Recipe, ViewCount
from under10k.runs.weights import load_model, load_weights, save_model

of_each_network = pytest.mark.parametrize("name", list_models())


def noise(count: int = 3) -> Tensor:
    """Images that are bright up to their edges, so that what is shifted in is seen: uint8 (N, 28, 28)."""
    return torch.randint(0, 256, (count, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def moved(images: Tensor, down: int, right: int) -> Tensor:
    """Shift images; black comes in."""
    large = images.new_zeros(len(images), 30, 30)
    large[:, 1 + down : 29 + down, 1 + right : 29 + right] = images
    return large[:, 1:29, 1:29]


def plain(model: nn.Module) -> nn.Module:
    return with_views(model, 1)


@of_each_network
def test_logits_are_the_mean_over_an_image_and_that_shifted_four_ways_on_black(name: str) -> None:
    model, single = random_network(name, views=5), random_network(name)
    ways = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
    expected = torch.stack([predict_logits(single, moved(noise(), *way)) for way in ways]).mean(dim=0)
    torch.testing.assert_close(predict_logits(model, noise()), expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(expected, predict_logits(single, noise()), atol=1e-3)


@of_each_network
def test_in_training_an_image_is_looked_at_once(name: str) -> None:
    model, single = random_network(name, views=5).train(), random_network(name).train()
    images = normalise(noise())
    for network in (model, single):
        torch.manual_seed(0)
        network(images).square().sum().backward()
    torch.manual_seed(0)
    found = model(images)
    torch.manual_seed(0)
    assert torch.equal(found, single(images))
    for (name, one), (other, two) in zip(model.named_parameters(), single.named_parameters(), strict=True):
        assert name == other
        assert torch.equal(one.grad, two.grad)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_views_are_averaged_in_any_precision(kind: torch.dtype) -> None:
    expected = predict_logits(random_network("early", views=5), noise())
    found = predict_logits(random_network("early", views=5).to(kind), noise())
    assert (found - expected).abs().max() < 0.05 * expected.abs().max()


def test_torch_export_takes_five_views_and_any_number_of_images() -> None:
    model, images = random_network("best-1k", views=5), normalise(noise(7))
    program = torch.export.export(model, (images[:2],), dynamic_shapes=({0: torch.export.Dim("N")},))
    torch.testing.assert_close(program.module()(images), model(images))


def test_no_images_have_no_logits() -> None:
    assert random_network("gap", views=5)(torch.empty(0, 1, 28, 28)).shape == (0, 10)


def test_a_recipe_has_as_many_views_as_there_are_shifts_or_one() -> None:
    assert get_args(ViewCount) == (1, len(SHIFTS))
    assert SHIFTS[0] == (0, 0)
    assert count_views(create_model("gap")) == 1
    assert count_views(create_model("gap", views=5)) == 5


@pytest.mark.parametrize("wrong", [0, 3, True, 5.0, "5"])
def test_another_number_of_views_is_refused(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"unknown number of views: .*there are: 1, 5"):
        create_model("gap", views=wrong)
    with pytest.raises(UsageError, match=r"unknown views: .*there are: 1, 5"):
        Recipe(views=wrong)


def test_a_network_of_ones_own_has_no_views() -> None:
    with pytest.raises(UsageError, match=r"a variant of your own network: net\.py:Net\. leave out .* views"):
        Recipe(model="net.py:Net", views=5)


def test_views_come_and_go_without_a_change_of_the_layers() -> None:
    model = create_model("gap").eval()
    looking = with_views(model, 5)
    assert not looking.training
    assert with_views(looking, 5) is looking
    assert torch.equal(predict_logits(with_views(looking, 1), noise()), predict_logits(model, noise()))
    assert with_views(model.train(), 5).training


# --- weights -----------------------------------------------------------------------------------------------------


@of_each_network
def test_weights_remember_their_views_and_are_read_with_others_where_they_are_asked_for(
    name: str, tmp_path: Path
) -> None:
    model, path = create_model(name, views=5).eval(), tmp_path / "five.safetensors"
    save_model(model, path)
    assert load_weights(path)[1].options.views == 5
    assert torch.equal(predict_logits(load_model(path), noise()), predict_logits(model, noise()))

    once, facts = load_weights(path, views=1)
    assert facts.options.views == 1
    assert torch.equal(predict_logits(once, noise()), predict_logits(plain(model), noise()))
    save_model(once, tmp_path / "one.safetensors")
    again = load_model(tmp_path / "one.safetensors", views=5)
    assert torch.equal(predict_logits(again, noise()), predict_logits(model, noise()))


def test_bundled_weights_are_created_with_as_many_views_as_asked_for() -> None:
    created = create_model("best-1k", pretrained=True, views=5).eval()
    loaded = load_model("best-1k", views=5)
    assert torch.equal(predict_logits(created, noise()), predict_logits(loaded, noise()))
    as_they_are = create_model("best-1k", pretrained=True)
    assert count_views(as_they_are) == load_weights("best-1k")[1].options.views


def test_a_number_of_views_that_there_is_not_is_refused_of_weights_too() -> None:
    with pytest.raises(UsageError, match="there are: 1, 5"):
        load_model("best-1k", views=2)  # type: ignore[arg-type]


# --- looking inside ----------------------------------------------------------------------------------------------


@of_each_network
def test_a_summary_counts_the_work_of_all_views(name: str) -> None:
    five, one = summarise(create_model(name, views=5)), summarise(name)
    assert (five.parameters, five.macs) == (one.parameters, 5 * one.macs)
    first, *layers = five.layers
    assert (first.name, first.output) == ("5 views", (5, 1, 28, 28))
    assert [layer.macs for layer in layers] == [5 * layer.macs for layer in one.layers]
    assert five.rows()[1][:4] == one.rows()[0][:4]
    assert five.remarks == one.remarks


@of_each_network
def test_activations_are_those_of_the_image_as_it_is(name: str) -> None:
    model = random_network(name, views=5)
    found, expected = (under10k.activations(network, noise()[0]) for network in (model, plain(model)))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_saliency_of_five_views_is_finite() -> None:
    assert under10k.saliency(random_network("best-1k", views=5), noise()[0]).gradient.isfinite().all()

"""The weights that come along: whole, small, what their cards say, and found by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import under10k
from under10k.data.datasets import load_digits
from under10k.errors import ModelError, UsageError
from under10k.evaluation.metrics import evaluate
from under10k.files import sha256
from under10k.models.registry import PARAMETER_LIMIT, count_parameters, create_model, list_models
from under10k.recipes import get_recipe
from under10k.runs.weights import load_model, load_weights
from under10k.weights.bundled import TEACHERS, find_weights, list_weights

of_each_weights = pytest.mark.parametrize("name", list_weights())
of_all_weights = pytest.mark.parametrize("name", [*list_weights(), *TEACHERS])


def test_each_network_has_its_weights() -> None:
    assert list_weights() == list_models()


@of_each_weights
def test_weights_are_of_a_recipe_of_ours_seed_0_protocol_fixed(name: str) -> None:
    model, facts = load_weights(name)
    assert count_parameters(model) < PARAMETER_LIMIT
    assert not model.training
    assert (facts.seed, facts.protocol) == (0, "fixed")
    assert facts.recipe
    assert get_recipe(facts.recipe).name == facts.recipe
    assert name in (facts.model, facts.recipe)


@of_all_weights
def test_each_card_is_of_the_very_file_beside_it(name: str) -> None:
    card = find_weights(name).with_suffix(".md").read_text(encoding="utf-8")
    assert sha256(find_weights(name).read_bytes()) in card
    for word in ("MNIST", "seed", "interval", "Input", "Limits", "Licence"):
        assert word in card


@of_all_weights
def test_each_network_scores_what_its_card_says(name: str, mnist_folder: Path) -> None:
    card = find_weights(name).with_suffix(".md").read_text(encoding="utf-8")
    stated = re.search(r"these weights \| (\d\d\.\d\d)%", card)
    assert stated is not None
    digits = load_digits(mnist_folder).test
    # two logits that are all but equal may change places on another processor, and so an image or two
    assert evaluate(load_model(name), digits).accuracy == pytest.approx(float(stated[1]) / 100, abs=2.5 / len(digits))


@pytest.mark.parametrize("name", list_models())
def test_a_pretrained_network_is_the_trained_one_to_be_trained_further(name: str) -> None:
    images = torch.randn(2, 1, 28, 28)
    model = create_model(name, pretrained=True, dropout=0.5)
    assert model.training
    assert torch.equal(model.eval()(images), load_model(name)(images))
    assert not torch.equal(create_model(name).eval()(images), model(images))


@pytest.mark.parametrize("options", [{"residual": True}, {"head": "linear"}])
def test_no_weights_come_along_for_variants(options: dict[str, bool]) -> None:
    with pytest.raises(UsageError, match="no pretrained gap with"):
        create_model("gap", pretrained=True, **options)


def test_a_name_that_is_a_path_here_too_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gap").write_bytes(find_weights("early").read_bytes())
    with pytest.raises(UsageError, match=r"two meanings: gap .* write \./gap"):
        load_model("gap")
    assert load_weights("./gap")[1].model == "early"


def test_a_name_that_nothing_has_is_told_what_there_is() -> None:
    with pytest.raises(ModelError, match=r"no such weights: gab.*early, gap, robust, transition"):
        load_model("gab")
    with pytest.raises(UsageError, match="did you mean gap"):
        find_weights("gab")


def test_the_public_names_are_these() -> None:
    assert under10k.list_weights() == list_weights()

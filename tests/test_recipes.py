"""Recipes: what survives a trip through JSON, and what is refused on the way back."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from under10k.errors import UsageError
from under10k.models.registry import MODELS, create_model
from under10k.recipes import RECIPES, Augment, Optimizer, Recipe, Schedule, get_recipe, list_recipes

of_each_recipe = pytest.mark.parametrize("name", RECIPES)

RANGES: dict[str, tuple[float, float]] = {
    "dropout": (0, 0.99),
    "epochs": (1, 100_000),
    "batch_size": (2, 1_000_000),
    "shards": (1, 64),
    "skip_easy": (0, 0.5),
    "optimizer.lr": (5e-324, 1e12),
    "optimizer.momentum": (0, 0.9999),
    "optimizer.weight_decay": (0, 1e6),
    "schedule.warmup": (0, 1),
    "augment.rotation_degrees": (0, 180),
    "augment.shift_pixels": (0, 28),
    "augment.scale": (0, 0.9),
    "augment.shear": (0, 2),
    "augment.elastic_pixels": (0, 28),
    "augment.stroke_pixels": (0, 2),
    "augment.cut_pixels": (0, 28),
    "augment.noise": (0, 1),
    "mix.drawn": (0, 10),
    "mix.no_digits": (0, 10),
    "mix.mnist": (0, 60_000),
    "mix.own_share": (0, 0.99),
    "averaging": (0, 0.999999),
    "label_smoothing": (0, 0.99),
    "target_accuracy": (0, 1),
    "patience_epochs": (1, 100_000),
    "seed": (0, 2**63 - 1),
}
"""The numbers of a recipe, each with the least and the most it may be."""

WHOLE = {"epochs", "batch_size", "mix.mnist", "shards", "patience_epochs", "seed"}

of_each_number = pytest.mark.parametrize("path", RANGES)


def leaves(value: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, item in value.items():
        yield from leaves(item, f"{prefix}{name}.") if isinstance(item, dict) else [f"{prefix}{name}"]


def object_with(path: str, value: Any) -> dict[str, Any]:
    """A recipe as parsed JSON, `watched` so that it may stop early, with one field set."""
    outermost: dict[str, Any] = {"protocol": "watched"}
    *groups, name = path.split(".")
    inner = outermost
    for group in groups:
        inner = inner.setdefault(group, {})
    inner[name] = value
    return outermost


def read(value: Any) -> Recipe:
    return Recipe.from_json(json.dumps(value))


def field_of(recipe: Recipe, path: str) -> Any:
    value: Any = recipe
    for name in path.split("."):
        value = getattr(value, name)
    return value


def refusal(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        Recipe.from_json(text)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


# --- the named recipes -------------------------------------------------------------------------------------------


def test_the_recipes_are_listed_in_order() -> None:
    assert list_recipes() == sorted(RECIPES)
    assert {"default", "documented-gap", "documented-transition"} <= set(RECIPES)


@of_each_recipe
def test_a_recipe_survives_json(name: str) -> None:
    recipe = get_recipe(name)
    assert Recipe.from_json(recipe.to_json()) == recipe


@of_each_recipe
def test_a_recipe_is_called_what_it_is_listed_as(name: str) -> None:
    assert get_recipe(name).name == name


@of_each_recipe
def test_a_recipe_says_in_a_line_what_it_is(name: str) -> None:
    first, *rest = (RECIPES[name].__doc__ or "").split("\n")
    assert first.strip().endswith(".")
    assert not rest or not rest[0].strip(), "the first line stands alone"


@of_each_recipe
def test_a_recipe_names_a_model_that_can_be_built(name: str) -> None:
    recipe = get_recipe(name)
    create_model(recipe.model, **recipe.model_options())


@of_each_recipe
def test_a_recipe_and_its_parts_cannot_be_changed(name: str) -> None:
    recipe = get_recipe(name)
    for part, field in (
        (recipe, "epochs"),
        (recipe.optimizer, "lr"),
        (recipe.augment, "scale"),
        (recipe.schedule, "name"),
    ):
        with pytest.raises(FrozenInstanceError):
            setattr(part, field, 1)
    assert recipe == get_recipe(name)
    assert hash(recipe) == hash(get_recipe(name))


def test_the_documents_recipes_are_watched_and_state_what_the_documents_do() -> None:
    transition, gap = get_recipe("documented-transition"), get_recipe("documented-gap")
    assert (transition.protocol, gap.protocol) == ("watched", "watched")
    assert (transition.model, transition.epochs, transition.optimizer.name) == ("transition", 15, "sgd")
    assert (gap.model, gap.target_accuracy, gap.optimizer.name) == ("gap", 0.9941, "sgd")


# --- fields replaced ---------------------------------------------------------------------------------------------


def test_fields_are_replaced_and_all_others_kept() -> None:
    changed = get_recipe("default", epochs=3, optimizer=Optimizer("adam", lr=0.001))
    assert (changed.epochs, changed.optimizer) == (3, Optimizer("adam", lr=0.001))
    assert replace(changed, epochs=14, optimizer=get_recipe("default").optimizer) == get_recipe("default")


@pytest.mark.parametrize(("name", "meant"), [("defualt", "default"), ("documented-gpa", "documented-gap")])
def test_an_unknown_recipe_gets_the_name_that_was_meant_and_all_there_are(name: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean {meant}") as caught:
        get_recipe(name)
    assert ", ".join(list_recipes()) in str(caught.value)


def test_an_unknown_field_gets_the_one_that_was_meant() -> None:
    with pytest.raises(UsageError, match="did you mean epochs"):
        get_recipe("default", epoch=3)


@pytest.mark.parametrize(
    ("field", "value"), [("protocol", "wached"), ("head", "liner"), ("epochs", 1.5), ("epochs", "3"), ("seed", None)]
)
def test_a_value_of_the_wrong_kind_is_refused_from_python_too(field: str, value: Any) -> None:
    with pytest.raises(UsageError, match=field):
        get_recipe("default", **{field: value})


# --- ranges ------------------------------------------------------------------------------------------------------


def test_every_number_of_a_recipe_has_its_range_here() -> None:
    recipe = dataclasses.asdict(Recipe())
    words = {
        "name",
        "model",
        "model_sha256",
        "start",
        "start_sha256",
        "teacher",
        "teacher_sha256",
        "own_augment",
        "own_augment_sha256",
        "residual",
        "head",
        "views",
        "precision",
        "protocol",
        "optimizer.name",
        "optimizer.nesterov",
        "schedule.name",
    }
    assert set(leaves(recipe)) == set(RANGES) | words


@of_each_number
def test_the_least_and_the_most_are_taken(path: str) -> None:
    for bound in RANGES[path]:
        assert field_of(read(object_with(path, bound)), path) == bound


@of_each_number
@settings(max_examples=15)
@given(data=st.data())
def test_a_number_out_of_range_is_refused_by_field_and_value(path: str, data: st.DataObject) -> None:
    low, high = RANGES[path]
    numbers: st.SearchStrategy[float]
    if path in WHOLE:
        numbers = st.integers(max_value=int(low) - 1) | st.integers(min_value=int(high) + 1)
    else:
        numbers = st.floats(max_value=low, exclude_max=True) | st.floats(min_value=high, exclude_min=True)
    value = data.draw(numbers)
    message = refusal(json.dumps(object_with(path, value)))
    assert message.startswith(f"{path} out of range: {value}")
    assert "at most" in message


@of_each_number
@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_finite_number_is_refused(path: str, word: str) -> None:
    text = json.dumps(object_with(path, "@")).replace('"@"', word)
    assert path in refusal(text)


@pytest.mark.parametrize(
    ("epochs", "batch_size", "lr", "seed"), [(0, 8, 0.1, 0), (1, 0, 0.1, 0), (1, 8, math.nan, 0), (1, 8, 0.1, 2**64)]
)
def test_a_recipe_is_checked_when_it_is_built(epochs: int, batch_size: int, lr: float, seed: int) -> None:
    with pytest.raises(UsageError, match="out of range"):
        Recipe(epochs=epochs, batch_size=batch_size, optimizer=Optimizer(lr=lr), seed=seed)


def test_no_rate_at_all_is_refused_in_words_that_people_read() -> None:
    assert "more than 0" in refusal(json.dumps(object_with("optimizer.lr", 0.0)))


@pytest.mark.parametrize("name", ["", " ", "a b", "../up", "a/b", "line\nend", "\0", "a\\b"])
def test_a_name_that_cannot_name_a_folder_is_refused(name: str) -> None:
    assert repr(name) in refusal(json.dumps({"name": name}))


# --- what does not go together -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [{"target_accuracy": 0.99}, {"patience_epochs": 3}, {"target_accuracy": 0.0}])
def test_the_fixed_protocol_refuses_to_stop_early(stop: dict[str, Any]) -> None:
    message = refusal(json.dumps({"protocol": "fixed", **stop}))
    assert "held-out or watched" in message
    for protocol in ("held-out", "watched"):
        assert read({"protocol": protocol, **stop}).protocol == protocol


def test_nesterov_needs_momentum() -> None:
    assert "momentum" in refusal(json.dumps({"optimizer": {"nesterov": True, "momentum": 0.0}}))
    assert read({"optimizer": {"nesterov": True, "momentum": 0.5}}).optimizer.nesterov


# --- JSON --------------------------------------------------------------------------------------------------------


floats = st.floats(0, 0.9)
recipes = st.builds(
    Recipe,
    model=st.sampled_from(sorted(MODELS)),
    dropout=floats,
    residual=st.booleans(),
    head=st.sampled_from(["pool", "linear"]),
    views=st.sampled_from([1, 5]),
    epochs=st.integers(1, 100_000),
    batch_size=st.integers(2, 4096),
    shards=st.integers(1, 64),
    precision=st.sampled_from(["float32", "bfloat16"]),
    optimizer=st.builds(
        Optimizer,
        name=st.sampled_from(["sgd", "adam", "adamw"]),
        lr=st.floats(1e-9, 1e3),
        momentum=st.floats(0.1, 0.99),
        nesterov=st.booleans(),
        weight_decay=floats,
    ),
    schedule=st.builds(Schedule, name=st.sampled_from(["constant", "one-cycle"]), warmup=floats),
    augment=st.builds(Augment, floats, floats, floats, floats, floats),
    averaging=floats,
    label_smoothing=floats,
    protocol=st.sampled_from(["held-out", "watched"]),
    target_accuracy=st.none() | floats,
    patience_epochs=st.none() | st.integers(1, 1000),
    seed=st.integers(0, 2**63 - 1),
)


@settings(max_examples=50)
@given(recipes)
def test_every_recipe_survives_json(recipe: Recipe) -> None:
    text = recipe.to_json()
    assert Recipe.from_json(text) == recipe
    assert Recipe.from_json(text).to_json() == text


def test_fields_that_are_left_out_take_their_defaults() -> None:
    assert read({}) == Recipe()
    assert read({"optimizer": {"lr": 1}}).optimizer == Optimizer(lr=1.0)
    assert isinstance(read({"optimizer": {"lr": 1}}).optimizer.lr, float)


@pytest.mark.parametrize(
    ("value", "field", "meant"),
    [
        ({"epoch": 3}, "epoch", "epochs"),
        ({"optimizer": {"learning": 1, "moment": 0.9}}, "learning", ""),
        ({"optimizer": {"momentun": 0.9}}, "momentun", "momentum"),
        ({"augment": {"rotation": 3}}, "rotation", "rotation_degrees"),
        ({"schedule": {"warm_up": 0.1}}, "warm_up", "warmup"),
    ],
)
def test_an_unknown_field_is_named_with_its_place(value: dict[str, Any], field: str, meant: str) -> None:
    message = refusal(json.dumps(value))
    assert repr(field) in message
    assert ("did you mean" in message) == bool(meant)
    assert not meant or f"did you mean {meant}?" in message
    assert all(group in message for group in value if isinstance(value[group], dict))


@settings(max_examples=20)
@given(st.text(max_size=20).filter(lambda name: name not in {item.name for item in dataclasses.fields(Recipe)}))
def test_any_unknown_field_is_named(field: str) -> None:
    assert repr(field) in refusal(json.dumps({field: 1}))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("epochs", "3"),
        ("epochs", 3.0),
        ("epochs", True),
        ("epochs", None),
        ("epochs", [3]),
        ("dropout", "0.1"),
        ("dropout", False),
        ("residual", 1),
        ("residual", "true"),
        ("name", 3),
        ("model", None),
        ("head", 1),
        ("head", "Pool"),
        ("protocol", []),
        ("protocol", "wached"),
        ("optimizer", 0.1),
        ("optimizer", None),
        ("optimizer.lr", {"value": 1}),
        ("optimizer.name", "rmsprop"),
        ("schedule.name", {}),
        ("target_accuracy", "high"),
        ("patience_epochs", 1.5),
        ("seed", "0"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_field_and_value(path: str, value: Any) -> None:
    message = refusal(json.dumps(object_with(path, value)))
    assert path in message
    assert str(value) in message


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"default"', "{'epochs': 3}", '{"epochs": }', "\0"])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"optimizer": ' + "[" * 100_000])
def test_json_that_is_nested_too_deeply_is_refused(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize("digits", [309, 400, 5_000])
@pytest.mark.parametrize("path", ["epochs", "dropout", "optimizer.lr"])
def test_a_number_with_very_many_digits_is_refused(path: str, digits: int) -> None:
    refusal(json.dumps(object_with(path, "@")).replace('"@"', "1" + "0" * digits))


fields = st.sampled_from([*(item.name for item in dataclasses.fields(Recipe)), "lr", "warmup", "scale"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100)
@given(anything)
def test_whatever_is_read_is_a_recipe_or_refused_in_one_line(value: Any) -> None:
    text = json.dumps(value)
    try:
        recipe = Recipe.from_json(text)
    except UsageError:
        refusal(text)
    else:
        assert Recipe.from_json(recipe.to_json()) == recipe

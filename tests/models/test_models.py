"""Each network in each variant: what the documents say of it, and what every model promises."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from under10k.errors import UsageError
from under10k.models.blocks import GlobalAveragePool, Residual
from under10k.models.registry import (
    MODELS,
    PARAMETER_LIMIT,
    count_parameters,
    create_model,
    list_models,
    list_variants,
    require_network,
)
from under10k.recipes import get_recipe

COUNTS = {
    ("best-10k", "pool"): 9_360,
    ("best-1k", "pool"): 940,
    ("best-2k5", "pool"): 2_470,
    ("best-5k", "pool"): 4_964,
    ("early", "pool"): 8_880,
    ("early", "linear"): 8_858,
    ("gap", "pool"): 9_720,
    ("gap", "linear"): 9_886,
    ("robust", "pool"): 9_484,
    ("transition", "pool"): 9_962,
    ("transition", "linear"): 9_952,
}

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    (name, {"head": head, "residual": residual, "dropout": dropout})
    for name, dropout in itertools.product(MODELS, (0.0, 0.2))
    for residual, head in list_variants(name)
]

of_each_variant = pytest.mark.parametrize(
    ("name", "options"),
    VARIANTS,
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def pictures(count: int) -> Tensor:
    return torch.randn(count, 1, 28, 28, generator=torch.Generator().manual_seed(count))


def leaves(model: nn.Module) -> Iterator[nn.Module]:
    return (part for part in model.modules() if not list(part.children()))


def of_kind(model: nn.Module, *kinds: type[nn.Module]) -> list[nn.Module]:
    return [part for part in model.modules() if isinstance(part, kinds)]


def shuffled_norms(model: nn.Module) -> nn.Module:
    """Give batch norm statistics other than 0 and 1, so that its evaluation mode has something to show."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    return model


# --- every model and variant -------------------------------------------------------------------------------------


def test_the_models_are_the_two_of_the_documents_a_fast_one_one_for_pictures_and_the_best_of_their_size() -> None:
    best = ["best-10k", "best-1k", "best-2k5", "best-5k"]
    assert list_models() == sorted(MODELS) == [*best, "early", "gap", "robust", "transition"]
    assert {name for name, _ in COUNTS} == set(MODELS), "a new model needs its count here"
    assert len(VARIANTS) == 2 * 4 * 3 + 2 * 5


@pytest.mark.parametrize(
    ("name", "most"), [("best-1k", 1_000), ("best-2k5", 2_500), ("best-5k", 5_000), ("best-10k", 9_999)]
)
def test_a_network_named_for_its_size_is_within_it(name: str, most: int) -> None:
    assert count_parameters(create_model(name)) <= most


@pytest.mark.parametrize("option", [{"residual": True}, {"head": "linear"}])
def test_a_network_without_variants_says_so(option: dict[str, Any]) -> None:
    assert create_model("best-5k", residual=False, head="pool")
    with pytest.raises(UsageError, match="unknown option of model best-5k"):
        create_model("best-5k", **option)
    with pytest.raises(UsageError, match="unknown option of model best-5k"):
        require_network(get_recipe("best-5k", **option))


@of_each_variant
def test_the_number_of_parameters_is_exact_and_under_the_limit(name: str, options: dict[str, Any]) -> None:
    count = count_parameters(create_model(name, **options))
    assert count == COUNTS[name, options["head"]]
    assert count < PARAMETER_LIMIT == 10_000


@of_each_variant
@pytest.mark.parametrize(("count", "training"), [(1, False), (2, False), (7, False), (2, True), (7, True)])
def test_logits_are_ten_finite_floats_for_each_picture(
    name: str, options: dict[str, Any], count: int, training: bool
) -> None:
    logits = create_model(name, **options).train(training)(pictures(count))
    assert logits.shape == (count, 10)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()
    assert logits.std() > 0


@of_each_variant
def test_every_parameter_gets_a_finite_gradient_that_is_not_zero(name: str, options: dict[str, Any]) -> None:
    model = create_model(name, **options).train()
    torch.autograd.backward(F.cross_entropy(model(pictures(8)), torch.arange(8)))
    assert list(model.parameters())
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@of_each_variant
def test_in_evaluation_a_picture_is_read_alike_alone_and_among_others(name: str, options: dict[str, Any]) -> None:
    model = shuffled_norms(create_model(name, **options)).eval()
    batch = pictures(5)
    with torch.inference_mode():
        together = model(batch)
        alone = torch.cat([model(picture.unsqueeze(0)) for picture in batch])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@of_each_variant
def test_in_evaluation_nothing_is_random(name: str, options: dict[str, Any]) -> None:
    model = create_model(name, **options).eval()
    state = torch.get_rng_state()
    with torch.inference_mode():
        assert torch.equal(model(pictures(3)), model(pictures(3)))
    assert torch.equal(torch.get_rng_state(), state)


@of_each_variant
def test_channels_last_gives_the_same_logits(name: str, options: dict[str, Any]) -> None:
    model = shuffled_norms(create_model(name, **options)).eval()
    with torch.inference_mode():
        plain = model(pictures(4))
        other = model.to(memory_format=torch.channels_last)(  # type: ignore[call-overload]
            pictures(4).contiguous(memory_format=torch.channels_last)
        )
    torch.testing.assert_close(other, plain, atol=1e-5, rtol=0)


@of_each_variant
def test_no_convolution_has_a_bias(name: str, options: dict[str, Any]) -> None:
    convolutions = of_kind(create_model(name, **options), nn.Conv2d)
    assert convolutions
    assert all(part.bias is None for part in convolutions)


@of_each_variant
def test_dropout_is_there_exactly_where_a_rate_is_given(name: str, options: dict[str, Any]) -> None:
    found = [part.p for part in leaves(create_model(name, **options)) if isinstance(part, nn.Dropout)]
    if options["dropout"]:
        blocks = len(of_kind(create_model(name, **options), nn.BatchNorm2d))
        assert found == [options["dropout"]] * blocks
    else:
        assert found == []


@of_each_variant
def test_the_same_seed_gives_the_same_weights(name: str, options: dict[str, Any]) -> None:
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        weights.append(torch.cat([parameter.flatten() for parameter in create_model(name, **options).parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("name", ["early", "gap", "transition"])
@pytest.mark.parametrize("head", ["pool", "linear"])
def test_a_residual_connection_changes_what_is_computed_and_costs_nothing(name: str, head: str) -> None:
    plain = create_model(name, head=head, dropout=0.0).eval()
    residual = create_model(name, head=head, dropout=0.0, residual=True).eval()
    weights = dict(zip(residual.state_dict(), plain.state_dict().values(), strict=True))
    residual.load_state_dict(weights)
    assert not of_kind(plain, Residual)
    assert len(of_kind(residual, Residual)) >= 3
    assert count_parameters(plain) == count_parameters(residual)
    with torch.inference_mode():
        assert (plain(pictures(2)) - residual(pictures(2))).abs().max() > 1e-3


# --- the documents' tables ---------------------------------------------------------------------------------------


def sides(model: nn.Module) -> list[int]:
    """The side of the maps: the input's, then behind each layer that is none of norm, activation, dropout, flatten."""
    found = [28]
    shapeless = (nn.BatchNorm2d, nn.ReLU, nn.Dropout, nn.Flatten)
    hooks = [
        part.register_forward_hook(lambda _, __, out: found.append(out.shape[-1] if out.dim() == 4 else 1))
        for part in leaves(model)
        if not isinstance(part, shapeless)
    ]
    with torch.inference_mode():
        model.eval()(pictures(1))
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("residual", [False, True])
def test_transition_has_the_shapes_of_its_document(residual: bool) -> None:
    model = create_model("transition", residual=residual)
    assert sides(model) == [28, 26, 24, 24, 12, 10, 8, 6, 1, 1, 1]


@pytest.mark.parametrize("residual", [False, True])
def test_gap_has_the_shapes_of_its_document(residual: bool) -> None:
    assert sides(create_model("gap", residual=residual)) == [28, 28, 28, 14, 14, 14, 7, 5, 3, 1]


@pytest.mark.parametrize("residual", [False, True])
def test_early_works_on_small_maps_from_its_first_pool_on(residual: bool) -> None:
    assert sides(create_model("early", residual=residual)) == [28, 24, 12, 10, 8, 4, 4, 2, 1]


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("transition", [(1, 14), (14, 30), (30, 10), (10, 14), (14, 15), (15, 15), (15, 15), (15, 10)]),
        ("gap", [(1, 8), (8, 16), (16, 16), (16, 16), (16, 16), (16, 10)]),
        ("early", [(1, 16), (16, 16), (16, 16), (16, 16), (16, 10)]),
    ],
)
def test_convolutions_have_the_widths_of_the_table(name: str, channels: list[tuple[int, int]]) -> None:
    convolutions = [part for part in leaves(create_model(name)) if isinstance(part, nn.Conv2d)]
    assert [(part.in_channels, part.out_channels) for part in convolutions] == channels


@pytest.mark.parametrize(("name", "weights", "norms"), [("transition", 9_756, 206), ("gap", 9_576, 144)])
def test_weights_and_batch_norm_share_the_parameters_as_documented(name: str, weights: int, norms: int) -> None:
    model = create_model(name)
    assert sum(map(count_parameters, of_kind(model, nn.Conv2d))) == weights
    assert sum(map(count_parameters, of_kind(model, nn.BatchNorm2d))) == norms
    assert weights + norms == count_parameters(model)


@pytest.mark.parametrize(("name", "count"), [("transition", 10_085), ("gap", 9_658 + 144)])
def test_biases_would_give_the_other_count_of_the_document(name: str, count: int) -> None:
    model = create_model(name)
    biases = sum(part.out_channels for part in leaves(model) if isinstance(part, nn.Conv2d))
    assert count_parameters(model) + biases == count


CONV, NORM, RELU, DROP = nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Dropout
RELU_FIRST, NORM_FIRST = [CONV, RELU, NORM, DROP], [CONV, NORM, RELU, DROP]


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(
    ("name", "order"),
    [
        (
            "transition",
            [
                *RELU_FIRST * 2,
                *(CONV, nn.MaxPool2d),
                *RELU_FIRST * 3,
                nn.AvgPool2d,
                *NORM_FIRST,
                *(CONV, nn.Flatten),
            ],
        ),
        (
            "gap",
            [
                *NORM_FIRST * 2,
                nn.MaxPool2d,
                *NORM_FIRST * 2,
                nn.MaxPool2d,
                *NORM_FIRST,
                *(CONV, GlobalAveragePool),
            ],
        ),
        (
            "early",
            [
                *(CONV, nn.MaxPool2d, NORM, RELU, DROP),
                *NORM_FIRST * 2,
                nn.MaxPool2d,
                *NORM_FIRST,
                *(CONV, GlobalAveragePool),
            ],
        ),
    ],
)
def test_layers_follow_each_other_as_documented(name: str, order: list[type[nn.Module]], residual: bool) -> None:
    assert [type(part) for part in leaves(create_model(name, dropout=0.1, residual=residual))] == order


def test_a_model_says_which_dropout_it_takes_by_default() -> None:
    for name in MODELS:
        assert {part.p for part in leaves(create_model(name)) if isinstance(part, nn.Dropout)} == {0.02}


# --- the residual block ------------------------------------------------------------------------------------------


def test_a_residual_block_adds_its_input_cut_and_filled_up() -> None:
    convolution = nn.Conv2d(2, 3, 3, bias=False)
    nn.init.zeros_(convolution.weight)
    x = torch.randn(2, 2, 6, 6)
    out = Residual(convolution)(x)
    assert torch.equal(out[:, :2], x[:, :, 1:-1, 1:-1])
    assert not out[:, 2].any()


def test_global_average_pooling_is_the_mean_of_each_map() -> None:
    maps = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).reshape(2, 3, 4, 5)
    torch.testing.assert_close(GlobalAveragePool()(maps), F.adaptive_avg_pool2d(maps, 1).flatten(1))


# --- refusals ----------------------------------------------------------------------------------------------------


def refusal(name: str, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        create_model(name, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("name", "meant"), [("gapp", "gap"), ("transitoin", "transition"), ("Gap", "gap")])
def test_an_unknown_model_gets_the_name_that_was_meant_and_all_there_are(name: str, meant: str) -> None:
    message = refusal(name)
    assert repr(name) in message
    assert f"did you mean {meant}?" in message
    assert ", ".join(list_models()) in message


def test_a_name_like_none_of_them_gets_the_list_alone() -> None:
    message = refusal("zzz")
    assert "did you mean" not in message
    assert ", ".join(list_models()) in message


@pytest.mark.parametrize("name", MODELS)
def test_an_unknown_option_gets_the_one_that_was_meant(name: str) -> None:
    message = refusal(name, dropuot=0.1)
    assert name in message
    assert "did you mean dropout?" in message


@pytest.mark.parametrize("name", [name for name in MODELS if (False, "linear") in list_variants(name)])
def test_an_unknown_head_gets_the_one_that_was_meant(name: str) -> None:
    assert "did you mean linear?" in refusal(name, head="liner")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dropout", [1.0, 1.5, -0.1, math.nan, math.inf, -math.inf])
def test_a_dropout_rate_out_of_range_is_refused_and_named(name: str, dropout: float) -> None:
    message = refusal(name, dropout=dropout)
    assert str(dropout) in message
    assert "dropout" in message

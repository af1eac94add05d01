"""The layer table against hand-made sums, and its receptive fields against gradients."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from own_networks import NETWORKS, source
from under10k.cli import main
from under10k.models.registry import MODELS, count_parameters, create_model, list_variants
from under10k.models.summary import COLUMNS, Summary, summarise

VARIANTS = [(name, head, residual) for name in MODELS for residual, head in list_variants(name)]

of_each_variant = pytest.mark.parametrize(("name", "head", "residual"), VARIANTS)

GAP_MACS = [
    8 * 1 * 9 * 28 * 28,
    16 * 8 * 9 * 28 * 28,
    16 * 16 * 9 * 14 * 14,
    16 * 16 * 9 * 14 * 14,
    16 * 16 * 9 * 5 * 5,
    10 * 16 * 9 * 3 * 3,
]
EARLY_MACS = [
    16 * 1 * 25 * 24 * 24,
    16 * 16 * 9 * 10 * 10,
    16 * 16 * 9 * 8 * 8,
    16 * 16 * 9 * 4 * 4,
    10 * 16 * 9 * 2 * 2,
]
TRANSITION_MACS = [
    14 * 1 * 9 * 26 * 26,
    30 * 14 * 9 * 24 * 24,
    10 * 30 * 1 * 24 * 24,
    14 * 10 * 9 * 10 * 10,
    15 * 14 * 9 * 8 * 8,
    15 * 15 * 9 * 6 * 6,
    15 * 15 * 1 * 1 * 1,
    10 * 15 * 1 * 1 * 1,
]


def summary_of(name: str, head: str = "pool", residual: bool = False) -> Summary:
    return summarise(create_model(name, head=head, residual=residual), name)


# --- totals ------------------------------------------------------------------------------------------------------


def test_there_are_variants_to_sum_up() -> None:
    assert len(VARIANTS) >= 8


@of_each_variant
def test_the_total_is_the_number_of_parameters(name: str, head: str, residual: bool) -> None:
    model = create_model(name, head=head, residual=residual)
    assert summarise(model).parameters == count_parameters(model)


@of_each_variant
def test_a_residual_connection_changes_no_row(name: str, head: str, residual: bool) -> None:
    assert summary_of(name, head, residual) == summary_of(name, head)


@pytest.mark.parametrize(("name", "macs"), [("early", EARLY_MACS), ("gap", GAP_MACS), ("transition", TRANSITION_MACS)])
def test_multiply_accumulates_are_those_counted_by_hand(name: str, macs: list[int]) -> None:
    summary = summary_of(name)
    assert [layer.macs for layer in summary.layers if layer.name == "convolution"] == macs
    assert summary.macs == sum(macs)


def test_multiply_accumulates_of_a_linear_head_are_its_weights_without_the_biases() -> None:
    assert summary_of("gap", "linear").layers[-1].macs == 150 * 10
    assert summary_of("transition", "linear").layers[-1].macs == 28 * 10
    assert summary_of("gap", "linear").macs == sum(GAP_MACS[:-1]) + 6 * 16 * 5 * 5 + 150 * 10


@pytest.mark.parametrize(("name", "norms"), [("gap", 144), ("transition", 206)])
def test_batch_norm_is_counted_with_the_layer_in_front_of_it(name: str, norms: int) -> None:
    layers = summary_of(name).layers
    assert sum(layer.batch_norm for layer in layers) == norms
    assert all(layer.batch_norm in (0, 2 * layer.output[0]) for layer in layers)
    assert all(layer.batch_norm == 0 for layer in layers if layer.name != "convolution")


@of_each_variant
def test_each_layer_takes_what_the_one_before_it_gives(name: str, head: str, residual: bool) -> None:
    layers = summary_of(name, head, residual).layers
    assert layers[0].input == (1, 28, 28)
    for before, after in itertools.pairwise(layers):
        assert after.input in (before.output, (torch.Size(before.output).numel(),))
    assert torch.Size(layers[-1].output).numel() == 10


# --- receptive fields --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "head", "fields"),
    [
        # 3x3 adds 2 strides, a pool of 2 adds 1 and doubles the stride; 28 is all there is
        ("early", "pool", [5, 6, 10, 14, 16, 24, 28, 28]),
        ("early", "linear", [5, 6, 10, 14, 16, 24, 24, 28]),
        ("gap", "pool", [3, 5, 6, 10, 14, 16, 24, 28, 28]),
        ("gap", "linear", [3, 5, 6, 10, 14, 16, 24, 24, 28]),
        ("transition", "pool", [3, 5, 5, 6, 10, 14, 18, 28, 28, 28]),
        ("transition", "linear", [3, 5, 5, 6, 10, 14, 18, 18, 22, 28]),
    ],
)
def test_receptive_fields_are_those_found_by_hand(name: str, head: str, fields: list[int]) -> None:
    assert [layer.receptive_field for layer in summary_of(name, head).layers] == fields


def positive(model: nn.Module) -> nn.Module:
    """Give a model weights that let every input pixel show: all positive, no pixel cancels or is rectified away."""
    for part in model.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.constant_(part.weight, 1 / part.weight[0].numel())
    return model.double().eval()


def influence(parts: list[nn.Module], x: Tensor) -> tuple[int, int]:
    """How many rows and columns of the input the central output value of a stack of layers depends on."""
    x.requires_grad_()
    out = nn.Sequential(*parts)(x)
    centre = out[0, 0, out.shape[2] // 2, out.shape[3] // 2] if out.dim() == 4 else out[0, 0]
    (gradient,) = torch.autograd.grad(centre, x)
    seen = gradient[0, 0] != 0
    return int(seen.any(dim=1).sum()), int(seen.any(dim=0).sum())


def averaging(model: nn.Module) -> list[nn.Module]:
    """The model's stages, its max pools (which pass one gradient of four) as average pools over the same windows."""
    stages: list[nn.Module] = []
    for part in positive(model).children():
        if isinstance(part, nn.Sequential) and isinstance(part[1], nn.MaxPool2d):  # pooled at once: two layers
            stages += [part[0], nn.Sequential(nn.AvgPool2d(2), *list(part.children())[2:])]
        elif isinstance(part, nn.Sequential) and isinstance(part[1], nn.Conv2d):  # separable: two layers
            stages += [part[0], nn.Sequential(*list(part.children())[1:])]
        else:
            stages.append(nn.AvgPool2d(2) if isinstance(part, nn.MaxPool2d) else part)
    return stages


@of_each_variant
def test_receptive_fields_are_the_pixels_that_gradients_come_from(name: str, head: str, residual: bool) -> None:
    model = create_model(name, head=head, residual=residual, dropout=0.0)
    layers = summarise(model).layers
    stages = averaging(model)
    shaped = [number for number, part in enumerate(stages, 1) if not isinstance(part, nn.Flatten)]
    assert len(shaped) == len(layers)
    for layer, count in zip(layers, shaped, strict=True):
        x = torch.rand(1, 1, 28, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5
        assert influence(stages[:count], x) == (layer.receptive_field,) * 2, layer


# --- views -------------------------------------------------------------------------------------------------------


@of_each_variant
def test_json_tells_layers_and_totals(name: str, head: str, residual: bool) -> None:
    summary = summary_of(name, head, residual)
    value: dict[str, Any] = json.loads(summary.to_json())
    assert (value["model"], value["parameters"], value["macs"]) == (name, summary.parameters, summary.macs)
    assert len(value["layers"]) == len(summary.layers)
    assert sum(layer["weights"] + layer["batch_norm"] for layer in value["layers"]) == value["parameters"]
    assert [tuple(layer["output"]) for layer in value["layers"]] == [layer.output for layer in summary.layers]


@of_each_variant
def test_markdown_has_a_head_a_rule_a_row_for_each_layer_and_the_total(name: str, head: str, residual: bool) -> None:
    summary = summary_of(name, head, residual)
    lines = summary.to_markdown().splitlines()
    assert len(lines) == len(summary.layers) + 3
    assert lines[0] == "| " + " | ".join(COLUMNS) + " |"
    assert set(lines[1]) == set("|-:")
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 1}
    assert f"total {summary.parameters:,}" in lines[-1]
    assert f" {summary.macs:,} " in lines[-1]


def test_rows_write_shapes_and_windows_as_people_do() -> None:
    rows = summary_of("gap").rows()
    assert rows[0] == ("convolution", "3x3 +1", "1x28x28", "8x28x28", 72, 16, 56_448, 3)
    assert rows[2] == ("max pool", "2x2", "16x28x28", "16x14x14", None, None, None, 6)
    assert rows[-1] == ("total 9,720", "", "", "", 9_576, 144, 1_933_344, None)
    assert {len(row) for row in rows} == {len(COLUMNS)}


# --- leaving the model alone -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("training", [True, False])
def test_a_model_is_left_as_it_was(name: str, training: bool) -> None:
    model = create_model(name).train(training)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    summarise(model)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert {part.training for part in model.modules()} == {training}
    assert not any(part._forward_hooks for part in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_model_that_fails_is_left_as_it_was_too() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3)).train()
    with pytest.raises(RuntimeError):
        summarise(model)
    assert model.training
    assert not any(part._forward_hooks for part in model.modules())


def test_each_part_of_a_model_keeps_the_mode_it_was_in() -> None:
    model = create_model("gap").train()
    frozen = [part.eval() for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    summarise(model)
    assert all(part.training != (part in frozen) for part in model.modules())


@pytest.mark.parametrize(("device", "dtype"), [("meta", torch.float32), ("cpu", torch.float64)])
def test_a_model_is_summed_up_where_it_is_and_in_its_own_type(device: str, dtype: torch.dtype) -> None:
    model = create_model("transition").to(device, dtype)
    assert summarise(model, "transition") == summary_of("transition")
    assert {(part.device.type, part.dtype) for part in model.parameters()} == {(device, dtype)}


# --- networks of the user's own ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_the_table_of_any_network_adds_up_to_its_parameters(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_net.py").write_text(source(name))
    assert summarise("my_net.py:Net").parameters == NETWORKS[name][1]


def table_of(name: str, tmp_path: Path) -> Summary:
    (tmp_path / "my_net.py").write_text(source(name))
    return summarise(f"{tmp_path / 'my_net.py'}:Net")


def test_a_layer_that_is_never_called_is_named_at_the_end(tmp_path: Path) -> None:
    last = table_of("unused", tmp_path).layers[-1]
    assert (last.name, last.weights, last.macs) == ("unused: forgotten", 910, 0)


def test_a_pool_that_is_no_layer_has_a_row_and_counts_for_the_receptive_field(tmp_path: Path) -> None:
    assert [(one.name, one.receptive_field) for one in table_of("functional", tmp_path).layers] == [
        ("convolution", 3),
        ("max pool", 4),
        ("convolution", 8),
        ("max pool", 10),
        ("fully connected", 26),  # 5 values, 4 pixels apart
    ]
    assert [layer.receptive_field for layer in table_of("shared", tmp_path).layers] == [3, 4, 8, 10, 28]
    assert [layer.receptive_field for layer in table_of("residual", tmp_path).layers] == [3, 7, 11, 28, 28]


def test_a_receptive_field_is_not_told_after_what_cannot_be_followed() -> None:
    resized = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Upsample(13), nn.Conv2d(2, 10, 3), nn.AdaptiveAvgPool2d(1))
    assert [layer.receptive_field for layer in summarise(resized).layers] == [3, 0, 0]


def test_a_layer_that_is_called_twice_has_its_parameters_once() -> None:
    layer = nn.Conv2d(1, 1, 3, padding=1)
    found = summarise(nn.Sequential(layer, nn.ReLU(), layer, nn.Flatten(), nn.Linear(784, 10)))
    assert [one.weights for one in found.layers] == [10, 0, 7850]
    assert found.parameters == 7860


def test_over_the_budget_the_costliest_layers_are_named_and_the_exit_code_is_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["summary", "gap", "--budget", "9720"])
    with pytest.raises(SystemExit) as ended:
        main(["summary", "gap", "--budget", "9719", "--json"])
    printed = capsys.readouterr()
    assert ended.value.code == 1
    assert "over the budget: 9,720 of 9,719 parameters. make smaller: convolution 16 to 16 (2,304)" in printed.err
    assert printed.err.count("\n") == 1


def test_a_summary_is_one_line_and_in_a_notebook_its_table() -> None:
    found = summarise("gap")
    assert repr(found) == f"Summary(gap: {len(found.layers)} layers, 9,720 parameters, {found.macs:,} MACs)"
    page = found._repr_html_()
    assert page.count("<tr>") == len(found.layers) + 2, "a head and a line of totals"
    assert "<td>1,933,344</td>" in page

"""The plain layers compute what the networks do, whatever batch norm has learned."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from random_networks import VARIANTS, random_network
from under10k.data.datasets import Dataset
from under10k.data.digits import Digits
from under10k.data.synthetic import draw_digits
from under10k.errors import ModelError, Under10kError, UsageError
from under10k.evaluation.metrics import predict_logits
from under10k.export.c.folder import export_c
from under10k.export.html import export_html
from under10k.export.onnx import export_onnx
from under10k.export.plain import Affine, Convolution, Layer, MaxPool, Skip, run_plain, shape_after
from under10k.export.proof import Kind
from under10k.export.translation import flatten
from under10k.models.registry import create_model
from under10k.weights.bundled import Facts


@pytest.fixture(scope="module")
def digits() -> Digits:
    return draw_digits(20, seed=3)


@pytest.mark.parametrize(("name", "residual", "head"), VARIANTS)
def test_plain_layers_give_the_networks_logits(name: str, residual: bool, head: str, digits: Digits) -> None:
    model = random_network(name, residual=residual, head=head)
    expected = predict_logits(model, digits.images)
    assert expected.std() > 0.1
    found = run_plain(flatten(model), digits.images.float() / 255)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max().clamp(min=1)


@pytest.mark.parametrize(("name", "residual", "head"), VARIANTS)
def test_plain_layers_end_in_ten_numbers(name: str, residual: bool, head: str) -> None:
    assert shape_after(flatten(create_model(name, residual=residual, head=head))) == (10, 1, 1)


def test_batch_norm_is_folded_away_where_it_can_be() -> None:
    def left(name: str, **options: Any) -> int:
        return sum(isinstance(layer, Affine) for layer in walk(flatten(random_network(name, **options))))

    assert left("gap") == 1, "the normalisation: a border of zeros is not one of black pixels"
    assert left("transition") == 0
    assert left("early") == 1, "the signs behind the max pool"
    assert sum(isinstance(layer, Affine) for layer in flatten(create_model("early"))) == 0, "no sign is negative"
    assert left("transition", residual=True) > 2


def walk(layers: list[Layer] | tuple[Layer, ...]) -> list[Layer]:
    return list(itertools.chain(*(walk(layer.layers) if isinstance(layer, Skip) else [layer] for layer in layers)))


@pytest.mark.parametrize("scale", [-2.0, 0.0, 0.5])
@pytest.mark.parametrize("relu", [False, True])
def test_a_max_pool_before_batch_norm_is_exact_at_any_scale(scale: float, relu: bool, digits: Digits) -> None:
    norm = nn.BatchNorm2d(3)
    nn.init.constant_(norm.weight, scale)
    nn.init.constant_(norm.bias, 0.3)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 5), nn.MaxPool2d(2), norm, *([nn.ReLU()] if relu else []), nn.Flatten()
    ).eval()
    layers = flatten(model)
    assert [type(layer) for layer in layers] == [Convolution, MaxPool, *([Affine] if scale < 0 else [])]
    found = run_plain(layers, digits.images.float() / 255)
    assert torch.allclose(found, predict_logits(model, digits.images), atol=1e-5)


def test_weights_that_are_not_finite_are_refused() -> None:
    model = random_network("early")
    next(model.parameters()).data[0] = float("nan")
    with pytest.raises(ModelError, match="hold NaN or infinity"):
        flatten(model)


def test_a_part_that_no_layer_stands_for_is_refused() -> None:
    with pytest.raises(UsageError, match="Sigmoid"):
        flatten(nn.Sequential(nn.Conv2d(1, 10, 28), nn.Sigmoid()))
    with pytest.raises(UsageError, match="stride"):
        flatten(nn.Sequential(nn.Conv2d(1, 10, 3, stride=2)))


@pytest.mark.parametrize("to", ["onnx", "html"])
def test_an_export_that_computes_something_else_is_not_written(
    to: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if to == "onnx":
        pytest.importorskip("onnxruntime")
    monkeypatch.setattr(f"under10k.export.{to}.flatten", lambda _: flatten(random_network("early", seed=1)))
    write: Callable[..., object] = {"onnx": export_onnx, "html": export_html}[to]
    with pytest.raises(Under10kError, match="the export is wrong"):
        write(random_network("early"), Facts("early"), tmp_path / "exported", "float", dataset)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("to", "kind"), [("html", "float"), ("c", "float"), ("c", "int8"), ("onnx", "float")])
def test_an_export_is_the_same_whatever_torch_is_set_to(to: str, kind: Kind, dataset: Dataset, tmp_path: Path) -> None:
    if to == "onnx":
        pytest.importorskip("onnxruntime")
    model = random_network("early")

    def export(name: str) -> dict[str, bytes]:
        out = tmp_path / name / "out"
        match to:
            case "html":
                export_html(model, Facts("early"), out, kind, dataset)
            case "c":
                export_c(model, Facts("early"), out, kind, dataset)
            case _:
                export_onnx(model, Facts("early"), out, kind, dataset)
        return {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()}

    plain = export("plain")
    with torch.autocast("cpu", torch.bfloat16), torch.device("meta"):
        assert export("set") == plain

"""Exports of networks that average their logits over five views: they look as often as PyTorch does."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from browsers import SEVEN, put
from c_folders import SANITIZED, STRICT, needs_compiler, write
from random_networks import random_network
from under10k.data.datasets import Dataset
from under10k.data.synthetic import draw_digits
from under10k.errors import UsageError
from under10k.evaluation.metrics import predict_logits
from under10k.export.c.folder import CFolder, build_c, export_c
from under10k.export.c.native import NativeModel, compile_c
from under10k.export.html import build_page, export_html, read_network, read_network_json, read_program
from under10k.export.int8 import quantise, run_int8
from under10k.export.node import run_in_node
from under10k.export.onnx import OnnxModel, build_any_onnx, build_onnx, export_onnx, quantise_onnx
from under10k.export.plain import run_plain
from under10k.export.proof import Kind
from under10k.export.stages import group
from under10k.export.translation import flatten
from under10k.models.registry import list_models
from under10k.models.views import with_views
from under10k.weights.bundled import Facts

if TYPE_CHECKING:
    from playwright.sync_api import Page

of_each_network = pytest.mark.parametrize("name", list_models())


@cache
def images() -> Tensor:
    """Digits, and noise that reaches the edges."""
    generator = torch.Generator().manual_seed(0)
    bright = torch.randint(0, 256, (8, 28, 28), dtype=torch.uint8, generator=generator)
    return torch.cat([draw_digits(16, seed=3).images, bright])


@cache
def network(name: str) -> nn.Module:
    return random_network(name, views=5)


@cache
def built(name: str, kind: Kind, views: int = 5) -> CFolder:
    model = network(name) if views == 5 else with_views(network(name), 1)
    return build_c(model, Facts(name), kind, draw_digits(50, seed=4).images)


def assert_like_pytorch(found: Tensor, name: str, pictures: Tensor | None = None) -> None:
    expected = predict_logits(network(name), images() if pictures is None else pictures)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max().clamp(min=1)


@of_each_network
def test_plain_layers_look_five_times(name: str) -> None:
    assert_like_pytorch(run_plain(flatten(network(name)), images().float() / 255), name)


# --- ONNX --------------------------------------------------------------------------------------------------------


@of_each_network
def test_onnx_looks_five_times_at_one_image_and_at_many(name: str) -> None:
    pytest.importorskip("onnxruntime")
    model = OnnxModel(build_onnx(flatten(network(name)), {}))
    assert_like_pytorch(model.run(images()), name)
    assert_like_pytorch(model.run(images(), batch_size=1), name)


@pytest.mark.parametrize("exporter", ["old", "new"])
def test_pytorchs_own_exporters_look_five_times(exporter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    if exporter == "new":
        pytest.importorskip("onnxscript")
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if (name, exporter) == ("onnxscript", "old") else real(name, *rest),
    )
    model = OnnxModel(build_any_onnx(network("best-2k5"), {}))
    assert_like_pytorch(model.run(images()), "best-2k5")
    assert_like_pytorch(model.run(images(), batch_size=1), "best-2k5")


def test_onnx_in_eight_bits_looks_five_times() -> None:
    pytest.importorskip("onnxruntime")
    content = build_onnx(flatten(network("early")), {})
    found = OnnxModel(quantise_onnx(content, draw_digits(50, seed=4).images)).run(images())
    expected = predict_logits(network("early"), images())
    assert (found - expected).pow(2).mean().sqrt() < 0.5 * expected.std()


# --- C -----------------------------------------------------------------------------------------------------------


def compile_and_run(folder: CFolder, *flags: str) -> Tensor:
    model = NativeModel(folder.files, folder.name, folder.source.logit, [*STRICT, *flags])
    return torch.from_numpy(model.run(images()))


@needs_compiler
@of_each_network
def test_c_in_float_looks_five_times(name: str) -> None:
    assert_like_pytorch(compile_and_run(built(name, "float"), "-O0"), name)


@needs_compiler
@of_each_network
def test_c_in_integers_equals_its_reference_bit_for_bit_over_five_views(name: str) -> None:
    folder = built(name, "int8")
    assert folder.integer
    assert folder.integer.views == 5
    expected = torch.from_numpy(run_int8(folder.integer, images()))
    assert torch.equal(compile_and_run(folder, "-O0"), expected)
    exact = predict_logits(network(name), images())
    assert (expected * folder.unit - exact).pow(2).mean().sqrt() < 0.5 * exact.std()


def test_integers_add_up_what_one_view_answers() -> None:
    five, one = built("early", "int8").integer, built("early", "int8", views=1).integer
    assert five
    assert one
    black = torch.zeros(1, 28, 28, dtype=torch.uint8)  # the same in each view
    assert (run_int8(five, black) == 5 * run_int8(one, black)).all()
    assert five.unit == one.unit / 5


@of_each_network
def test_more_views_need_the_same_weights_and_hardly_more_memory(name: str) -> None:
    for kind, most in (("float", 0), ("int8", 784)):
        five, one = (built(name, kind, views).source for views in (5, 1))
        assert (five.weight_bytes, five.other_bytes) >= (one.weight_bytes, one.other_bytes)
        assert five.weight_bytes == one.weight_bytes
        assert one.ram_bytes <= five.ram_bytes <= one.ram_bytes + most


def test_the_files_say_how_many_views_there_are_and_what_a_logit_is_counted_in() -> None:
    for kind, unit in (("float", "1.0"), ("int8", "(1.0 / 327680)")):
        files = built("best-1k", kind).files
        header = files["under10k_best_1k.h"]
        assert "940 parameters, the mean of 5 views" in header
        assert "the mean of 5 views" in files["README.md"]
        assert f"#define UNDER10K_BEST_1K_LOGIT_UNIT {unit}\n" in header
        assert "views" not in built("best-1k", kind, 1).files["under10k_best_1k.h"]


def test_five_views_whose_sum_would_overflow_are_refused() -> None:
    model = nn.Sequential(layer := nn.Conv2d(1, 10, 28), nn.Flatten()).eval()
    nn.init.constant_(
        layer.weight, 10
    )  # logits of up to 22,000: with 16 bits after the point, two thirds of what there is
    calibration = draw_digits(10, seed=4).images
    assert quantise(group(flatten(model)), calibration).views == 1
    with pytest.raises(UsageError, match="too large for 32-bit"):
        quantise(group(flatten(with_views(model, 5))), calibration)


@needs_compiler
@pytest.mark.parametrize("kind", ["float", "int8"])
def test_no_view_reads_beyond_the_picture(kind: Kind, tmp_path: Path) -> None:
    folder = built("best-2k5", kind)
    place = write(folder, tmp_path)
    compile_c([place / "test.c", place / f"{folder.name}.c"], place / "run", ["-std=c99", *SANITIZED.split()])
    done = subprocess.run([place / "run"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("10 of 10 agree")


# --- the page ----------------------------------------------------------------------------------------------------


@of_each_network
def test_the_page_looks_five_times(node: str, name: str) -> None:
    page = build_page(network(name), Facts(name)).text
    few = images()[14:18]  # digits and noise
    found = run_in_node(node, read_program(page), read_network_json(page), list(few.numpy()))
    assert_like_pytorch(torch.tensor([reading.logits for reading in found]), name, few)
    assert_like_pytorch(run_plain(read_network(page), images().float() / 255), name)


@pytest.mark.browser
def test_a_page_answers_from_five_views_and_shows_the_layers_of_the_first(
    open_page: Callable[..., Page], tmp_path: Path
) -> None:
    file = tmp_path / "digits.html"
    file.write_text(build_page(network("best-1k"), Facts("best-1k")).text, encoding="utf-8")
    page = open_page(file)
    assert page.inner_text("#views-help").startswith("This network looks five times")
    put(page, SEVEN)
    frame = torch.tensor(page.evaluate("[...answers[0].levels]"), dtype=torch.uint8).view(1, 28, 28)
    shares = predict_logits(network("best-1k"), frame)[0].softmax(dim=0)
    torch.testing.assert_close(torch.tensor(page.evaluate("answers[0].probabilities")), shares, atol=1e-5, rtol=0)
    first = predict_logits(with_views(network("best-1k"), 1), frame)[0]
    shown = torch.tensor(page.evaluate("[...answers[0].outputs.at(-1).values]"))
    torch.testing.assert_close(shown, first, atol=1e-5, rtol=0)

    page.locator("#layers .name").last.click()
    digit = page.evaluate("closeUp.spot.map")
    said = re.findall(rf"that of {digit} is ([\d.]+)%", page.inner_text("#close-up .sums"))
    assert float(said[0]) / 100 == pytest.approx(first.softmax(dim=0)[digit].item(), abs=0.001)


@pytest.mark.browser
def test_a_page_of_a_network_that_looks_once_does_not_speak_of_views(open_page: Callable[..., Page]) -> None:
    assert open_page().is_hidden("#views-help")


# --- whole exports -----------------------------------------------------------------------------------------------


def test_every_export_is_proved_on_test_images(dataset: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model, facts = network("best-1k"), Facts("best-1k")
    found = [
        export_onnx(model, facts, tmp_path / "model.onnx", "float", dataset),
        export_html(model, facts, tmp_path / "model.html", "float", dataset),
        export_c(model, facts, tmp_path / "c", "float", dataset, frame=True),
        export_c(model, facts, tmp_path / "int8-c", "int8", dataset),
    ]
    for exported in found:
        if exported.agreement:  # a compiler is here
            assert exported.agreement.images == len(dataset.test)
            assert exported.agreement.largest_difference < (0.5 if "int8" in exported.path.name else 1e-4)
    page = (tmp_path / "model.html").read_text(encoding="utf-8")
    (first,) = json.loads(read_network_json(page))
    assert first["kind"] == "views"
    assert "under10k_best_1k_frame.h" in found[2].sizes

"""The twenty networks as people write them: trained, summed up, and exported with equal answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from own_networks import NETWORKS, source
from short_runs import small
from under10k import load_model, train
from under10k.cli import main
from under10k.data.datasets import Dataset
from under10k.errors import UsageError
from under10k.evaluation.metrics import predict_logits
from under10k.export.c.folder import build_c, check_c
from under10k.export.c.native import find_compiler
from under10k.export.html import build_page, read_network
from under10k.export.int8 import LOGIT_BITS, quantise, run_int8
from under10k.export.onnx import OnnxModel, build_any_onnx
from under10k.export.plain import run_plain
from under10k.export.stages import group
from under10k.export.translation import flatten, without_log_softmax
from under10k.models.summary import summarise
from under10k.weights.bundled import Facts

IN_C = {"functional", "sequential", "shared", "course", "standardised", "repeated", "dilated"}
"""Networks that C, integers and the page can express."""

ON_THE_PAGE = IN_C | {"preactivation"}

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def run(name: str, tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of one epoch on few images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("under10k.models.own._made", {})
    (tmp_path / "my_net.py").write_text(source(name))
    few = replace(dataset, train=dataset.train[:64], test=dataset.test[:20])
    train(small(model="my_net.py:Net", batch_size=32, epochs=1), few, "run", reports=[])
    return tmp_path / "run"


def trained(run: Path) -> nn.Module:
    return load_model(run, model=str(run.parent / "my_net.py:Net"))


def test_there_are_twenty_networks() -> None:
    assert len(NETWORKS) == 20
    assert NETWORKS.keys() > ON_THE_PAGE


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - ON_THE_PAGE))
def test_what_the_page_cannot_express_is_refused_in_one_line_and_goes_to_onnx(
    name: str, run: Path, dataset: Dataset
) -> None:
    pytest.importorskip("onnxruntime")
    model = trained(run)
    with pytest.raises(UsageError, match="C and the page do not know") as caught:
        build_page(model, Facts("my_net.py:Net"))
    assert "\n" not in str(caught.value)
    found = OnnxModel(build_any_onnx(model, {})).run(dataset.test.images)
    torch.testing.assert_close(found, predict_logits(model, dataset.test.images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(ON_THE_PAGE))
def test_what_the_page_can_express_answers_as_pytorch_does(name: str, run: Path, dataset: Dataset) -> None:
    model = trained(run)
    expected = predict_logits(without_log_softmax(model), dataset.test.images)
    page = read_network(build_page(model, Facts("my_net.py:Net")).text)
    torch.testing.assert_close(run_plain(page, dataset.test.images / 255), expected, atol=1e-3, rtol=1e-3)
    if name in IN_C:
        integer = quantise(group(flatten(model)), dataset.train.images)
        logits = torch.from_numpy(run_int8(integer, dataset.test.images)) * 2.0**-LOGIT_BITS
        assert (logits.argmax(1) == expected.argmax(1)).double().mean() > 0.9
    else:
        with pytest.raises(UsageError, match="cannot export to C: a sum with an earlier layer"):
            group(flatten(model))


@pytest.mark.skipif(not find_compiler(), reason="no C compiler")
@pytest.mark.parametrize("name", ["course", "dilated"])
@pytest.mark.parametrize("kind", ["float", "int8"])
def test_compiled_c_answers_as_pytorch_does(name: str, kind: str, run: Path, dataset: Dataset) -> None:
    model = without_log_softmax(trained(run))
    built = build_c(model, Facts("my_net.py:Net"), kind, dataset.train.images)  # type: ignore[arg-type]
    assert check_c(built, model, dataset).differing <= 4


@pytest.mark.parametrize("name", ["course"])
def test_a_log_softmax_at_the_end_is_left_out_of_exports_alone(name: str, run: Path, dataset: Dataset) -> None:
    model = trained(run)
    images = dataset.test.images
    bare = predict_logits(without_log_softmax(model), images)
    assert (predict_logits(model, images).exp().sum(1) - 1).abs().max() < 1e-5
    assert (bare.exp().sum(1) - 1).abs().max() > 0.1
    torch.testing.assert_close(bare.log_softmax(1), predict_logits(model, images))


@pytest.mark.parametrize("name", ["attention"])
def test_the_command_exports_any_network_as_onnx(
    name: str, run: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    for int8 in ([], ["--int8"]):
        main(["export", str(run), "--to", "onnx", "--data", str(data_folder), *int8])
        assert "96 test images" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["export", str(run), "--to", "c", "--data", str(data_folder)])
    assert ended.value.code == 2
    assert "C and the page do not know mul in Net. ONNX takes any network" in capsys.readouterr().err


def test_what_onnx_runtime_cannot_run_is_told_in_one_line(dataset: Dataset) -> None:
    pytest.importorskip("onnxruntime")
    model = nn.Sequential(nn.Conv2d(1, 10, 3, padding="same", dilation=3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(UsageError, match=r"ONNX Runtime cannot run it: .*Dilation not supported"):
        OnnxModel(build_any_onnx(model, {})).run(dataset.test.images)


def test_the_table_of_the_guide_says_what_exports_where(tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "your-network.md"
    rows = [line.strip("| ").split(" | ") for line in page.read_text(encoding="utf-8").splitlines()]
    told = {cells[0]: cells[1:7] for cells in rows if cells[0] in NETWORKS}
    assert list(told) == list(NETWORKS)
    for name, cells in told.items():
        (tmp_path / "my_net.py").write_text(source(name))
        found = summarise(f"{tmp_path / 'my_net.py'}:Net")
        assert cells[:2] == [f"{found.parameters:,}", f"{found.counted_by_hand:,}"], name
        in_c, on_the_page = ("yes" if name in names else "no" for names in (IN_C, ON_THE_PAGE))
        assert cells[2:] == ["yes", on_the_page, in_c, in_c], name

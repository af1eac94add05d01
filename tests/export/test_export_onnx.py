"""The ONNX file computes what PyTorch does, for any number of images, and says what it wants."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from random_networks import VARIANTS, random_network
from under10k.data.datasets import Dataset
from under10k.data.synthetic import draw_digits
from under10k.errors import ModelError, UsageError, missing_library
from under10k.evaluation.metrics import predict_logits
from under10k.export.onnx import OnnxModel, build_onnx, export_onnx, quantise_onnx
from under10k.export.plain import run_plain
from under10k.export.translation import flatten
from under10k.weights.bundled import Facts

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.mark.parametrize(("name", "residual", "head"), VARIANTS)
def test_onnx_gives_the_logits_of_pytorch_for_one_image_and_for_seven(name: str, residual: bool, head: str) -> None:
    model = random_network(name, residual=residual, head=head)
    images = draw_digits(7, seed=3).images
    expected = predict_logits(model, images)
    content = build_onnx(flatten(model), {})
    for count in (1, 7):
        found = OnnxModel(content).run(images, batch_size=count)
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max().clamp(min=1)


def test_zeros_of_both_signs_and_the_smallest_numbers_are_read_as_pytorch_does() -> None:
    layers = flatten(random_network("gap"))
    pixels = torch.rand(6, 1, 28, 28)
    pixels[1], pixels[2], pixels[3], pixels[4] = 0.0, -0.0, 1e-45, 1.0
    pixels[5, :, ::2] = torch.finfo(torch.float32).tiny / 2
    found = OnnxModel(build_onnx(layers, {})).run_pixels(pixels)
    assert (found - run_plain(layers, pixels.squeeze(1))).abs().max() < 1e-4


def test_a_model_that_is_damaged_or_in_several_files_is_refused(tmp_path: Path) -> None:
    content = build_onnx(flatten(random_network("early")), {})
    for part in (b"", b"no model", content[: len(content) // 2]):
        with pytest.raises(ModelError, match="not a sound ONNX model"):
            OnnxModel(part)
    onnx.save(
        onnx.load_from_string(content), tmp_path / "a.onnx", save_as_external_data=True, location="b", size_threshold=0
    )
    with pytest.raises(ModelError, match="not a sound ONNX model"):
        OnnxModel((tmp_path / "a.onnx").read_bytes())


def test_the_file_says_what_goes_in_what_comes_out_and_where_it_is_from() -> None:
    content = build_onnx(flatten(random_network("early")), {"model": "early", "recipe": "fast", "data_sha256": "00ff"})
    model = onnx.load_from_string(content)
    pixels, logits = model.graph.input[0], model.graph.output[0]
    assert [pixels.name, logits.name] == ["pixels", "logits"]
    assert [size.dim_param or size.dim_value for size in pixels.type.tensor_type.shape.dim] == ["N", 1, 28, 28]
    assert [size.dim_param or size.dim_value for size in logits.type.tensor_type.shape.dim] == ["N", 10]
    facts = {fact.key: fact.value for fact in model.metadata_props}
    assert (facts["model"], facts["recipe"], facts["data_sha256"]) == ("early", "fast", "00ff")
    assert "divided by 255" in facts["input"]


def test_depthwise_convolutions_are_written_without_zeros() -> None:
    content = build_onnx(flatten(random_network("robust")), {})
    groups = [
        next(one.i for one in node.attribute if one.name == "group")
        for node in onnx.load_from_string(content).graph.node
        if node.op_type == "Conv"
    ]
    assert groups == [1, 16, 1, 46, 1, 46, 1, 46, 1, 1]
    assert len(content) < 5 * 9_484


def test_int8_is_smaller_and_near(dataset: Dataset) -> None:
    model = random_network("gap")
    content = build_onnx(flatten(model), {})
    small = quantise_onnx(content, dataset.train.images[:100])
    assert len(small) < 0.6 * len(content)
    expected = predict_logits(model, dataset.test.images)
    assert (OnnxModel(small).run(dataset.test.images) - expected).pow(2).mean().sqrt() < 0.1 * expected.std()


@pytest.mark.parametrize("kind", ["float", "int8"])
def test_an_export_is_checked_and_written(kind: str, dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "model.onnx"
    found = export_onnx(random_network("early"), Facts("early"), out, "int8" if kind == "int8" else "float", dataset)
    assert found.sizes == {"model.onnx": out.stat().st_size}
    assert found.agreement
    assert found.agreement.images == len(dataset.test)
    if kind == "float":
        assert found.agreement.differing == 0
        assert 0 < found.agreement.largest_difference < 1e-4


@pytest.mark.parametrize("library", ["onnx", "onnxruntime"])
def test_a_library_that_is_missing_is_named(
    library: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match=re.escape(str(missing_library(library, "export")))):
        export_onnx(random_network("early"), Facts("early"), tmp_path / "model.onnx", "float", dataset)


def test_the_callers_chance_is_not_touched() -> None:
    state = torch.get_rng_state()
    build_onnx(flatten(random_network("early")), {})
    assert torch.equal(state, torch.get_rng_state())


# --- nothing is told to anybody ----------------------------------------------------------------------------------

EXPORT = """
import sys
from pathlib import Path
from under10k.cli import main

main(["export", "early", "--to", "onnx", "--data", sys.argv[1], "--out", "model.onnx"])
main(["export", "early", "--to", "onnx", "--data", sys.argv[1], "--out", "int8.onnx", "--int8"])
"""


def test_an_export_writes_its_file_and_nothing_else_and_asks_for_no_name_or_connection(
    data_folder: Path, tmp_path: Path
) -> None:
    places = {"HOME": tmp_path / "home", "XDG_CACHE_HOME": tmp_path / "cache", "TMPDIR": tmp_path / "tmp"}
    for place in (*places.values(), tmp_path / "here"):
        place.mkdir()
    silenced = {"CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS"}  # each of them keeps it quiet by itself
    environment = {name: value for name, value in os.environ.items() if name not in silenced}
    command = [sys.executable, "-c", EXPORT, str(data_folder)]
    calls = tmp_path / "calls"
    if strace := shutil.which("strace"):
        command = [
            strace,
            "--follow-forks",
            "--quiet=all",
            "--trace=connect,sendto,sendmsg",
            f"--output={calls}",
            *command,
        ]
    done = subprocess.run(
        command,
        cwd=tmp_path / "here",
        env={**environment, **{name: str(place) for name, place in places.items()}},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["int8.onnx", "model.onnx"]
    for place in places.values():
        assert list(place.rglob("*")) == []
    assert not calls.exists() or calls.read_text() == ""

"""Networks of one's own loop: saved, read again, and refused where they are none of the known ones."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

import under10k
from under10k.data.datasets import Dataset
from under10k.errors import ModelError, UsageError
from under10k.models.registry import EVERY_MODEL, list_variants
from under10k.runs.weights import load_weights
from under10k.weights.bundled import Options

EVERY = [(name, *variant) for name in EVERY_MODEL for variant in list_variants(name)]


@pytest.mark.parametrize(("name", "residual", "head"), EVERY)
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_network_of_each_kind_is_saved_and_read_with_its_options(
    name: str, residual: bool, head: str, dropout: float, tmp_path: Path
) -> None:
    model = under10k.create_model(name, residual=residual, head=head, dropout=dropout).eval()
    under10k.save_model(model, tmp_path / "mine.safetensors")
    again, facts = load_weights(tmp_path / "mine.safetensors")
    assert (facts.model, facts.options) == (name, Options(dropout, residual, head))  # type: ignore[arg-type]
    images = torch.randn(2, 1, 28, 28)
    assert torch.equal(model(images), again(images))


def test_a_network_trained_in_a_loop_of_ones_own_is_evaluated_predicted_and_exported(
    dataset: Dataset, tmp_path: Path
) -> None:
    from under10k.export import export_html

    model = under10k.create_model("gap", pretrained=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    images = under10k.normalise(dataset.train.images[:32])
    model.train()
    nn.functional.cross_entropy(model(images), dataset.train.labels[:32]).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    path = tmp_path / "tuned.safetensors"
    under10k.save_model(model, str(path))
    found = under10k.evaluate_run(path, dataset)
    assert torch.allclose(found.metrics.logits, under10k.evaluate(model, dataset.test).logits, atol=1e-5)
    assert under10k.predict(dataset.test.images[0], path).digit is not None
    network, facts = load_weights(path)
    assert export_html(network, facts, tmp_path / "page.html", "float", dataset).path.is_file()


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_a_network_of_another_precision_is_saved_as_float32(kind: torch.dtype, tmp_path: Path) -> None:
    model = under10k.create_model("early").to(kind)
    under10k.save_model(model, tmp_path / "mine.safetensors")
    again = under10k.load_model(tmp_path / "mine.safetensors")
    assert {one.dtype for one in again.parameters()} == {torch.float32}
    assert next(model.parameters()).dtype == kind


def test_saving_leaves_the_callers_chance_alone(tmp_path: Path) -> None:
    model = under10k.create_model("transition")
    before = torch.get_rng_state()
    under10k.save_model(model, tmp_path / "mine.safetensors")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_that_is_none_of_the_known_ones_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    wider = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    changed = under10k.create_model("gap")
    assert isinstance(changed, nn.Sequential)
    changed.append(nn.Softmax(dim=1))
    for model in wider, changed:
        with pytest.raises(UsageError, match=r"^unknown network: Sequential is none of best-10k, .*, transition"):
            under10k.save_model(model, tmp_path / "mine.safetensors")
    broken = under10k.create_model("gap")
    with torch.no_grad():
        next(broken.parameters()).fill_(torch.nan)
    with pytest.raises(ModelError, match=r"^not finite: the network's 0\.0\.weight"):
        under10k.save_model(broken, tmp_path / "mine.safetensors")
    with pytest.raises(UsageError, match=r"^wrong type of network: OrderedDict. give a torch.nn.Module"):
        under10k.save_model(broken.state_dict(), tmp_path / "mine.safetensors")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


# --- files of other programs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "residual", "head"), EVERY)
def test_a_plain_safetensors_file_is_read_where_its_network_is_named(
    name: str, residual: bool, head: str, tmp_path: Path
) -> None:
    model = under10k.create_model(name, residual=residual, head=head).eval()
    path = tmp_path / "plain.safetensors"
    safetensors.torch.save_file(model.half().state_dict(), path, {"format": "pt"})
    again = under10k.load_model(path, model=name)
    images = torch.randn(2, 1, 28, 28)
    assert torch.equal(model.float()(images), again(images))
    assert not again.training


def test_a_plain_safetensors_file_without_a_name_or_of_another_network_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    safetensors.torch.save_file(under10k.create_model("gap").state_dict(), path)
    with pytest.raises(
        ModelError, match=r"^no network named: .*plain.safetensors.*load_model\(.*, model='best-10k'\)$"
    ):
        under10k.load_model(path)
    with pytest.raises(ModelError, match=r"^not this model: .*plain.safetensors, tensor"):
        under10k.load_model(path, model="early")
    with pytest.raises(UsageError, match=r"^unknown model: 'gpa'. did you mean gap"):
        under10k.load_model(path, model="gpa")


def test_a_name_that_contradicts_the_file_is_refused() -> None:
    assert under10k.load_model("gap", model="gap")
    with pytest.raises(ModelError, match=r"^not early: .*gap.safetensors holds the network gap. leave out model"):
        under10k.load_model("gap", model="early")


def test_a_plain_file_with_numbers_that_are_not_finite_is_refused(tmp_path: Path) -> None:
    tensors = under10k.create_model("gap").state_dict()
    tensors["0.0.weight"][0] = torch.inf
    safetensors.torch.save_file(tensors, tmp_path / "plain.safetensors")
    with pytest.raises(ModelError, match=r"^not finite: .*plain.safetensors, tensor 0.0.weight"):
        under10k.load_model(tmp_path / "plain.safetensors", model="gap")


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_is_refused_with_what_to_do(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps({"weight": 1}, protocol))
    with pytest.raises(ModelError, match=r"^a pickle: .*model.pt. .*safetensors.torch.save_file"):
        under10k.load_model(path, model="gap")
    torch.save(under10k.create_model("gap").state_dict(), path)
    with pytest.raises(ModelError, match=r"^a pickle: .*model.pt. .*safetensors.torch.save_file"):
        under10k.load_model(path, model="gap")


def test_a_network_is_loaded_onto_a_device_or_that_is_refused() -> None:
    assert next(under10k.load_model("gap", device="cpu").parameters()).device.type == "cpu"
    with pytest.raises(UsageError, match=r"^unknown device: 'tpu'"):
        under10k.load_model("gap", device="tpu")


@pytest.mark.parametrize("weights", [3, None, b"gap", ["gap"]])
def test_weights_of_a_wrong_type_are_one_line(weights: object) -> None:
    with pytest.raises(UsageError, match=r"^wrong type of path: \w+. give a run folder, a weights file or the name"):
        under10k.load_model(weights)  # type: ignore[arg-type]

"""Steps in bfloat16: faster on some CPUs, nearly the same gradients, and all that is kept stays float32."""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

import pytest
import torch
from torch import Tensor

from own_networks import source
from short_runs import KilledError, StopAt, batches, kill, small, weights
from under10k import load_model
from under10k.data.datasets import Dataset
from under10k.errors import UsageError
from under10k.models.registry import create_model, list_models
from under10k.recipes import Precision
from under10k.training import start
from under10k.training.shards import Shards
from under10k.training.start import train

pytestmark = pytest.mark.usefixtures("undrawn")

CPU = torch.device("cpu")
BFLOAT16 = small(shards=2, precision="bfloat16")


def differentiate(name: str, precision: Precision, dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Return each image's loss and the whole gradient of one batch."""
    torch.manual_seed(0)
    model = create_model(name, dropout=0.0)
    with closing(Shards(small(shards=2, precision=precision), model, CPU)) as shards:
        losses, _ = shards.differentiate(dataset.train, torch.arange(64), 0, 0)
    return losses, torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


@pytest.mark.parametrize("name", list_models())
def test_the_gradient_points_where_that_of_float32_does(name: str, dataset: Dataset) -> None:
    losses, expected = differentiate(name, "float32", dataset)
    rounded, found = differentiate(name, "bfloat16", dataset)
    assert (rounded.dtype, found.dtype) == (torch.float32, torch.float32)
    assert not torch.equal(found, expected)
    torch.testing.assert_close(rounded, losses, rtol=0.1, atol=0.05)  # 8 bits a value, through all layers
    assert torch.cosine_similarity(found, expected, dim=0) > 0.95


def test_it_learns_as_well_and_keeps_float32(dataset: Dataset, tmp_path: Path) -> None:
    plain = train(small(shards=2), dataset, tmp_path / "float32", reports=[])
    result = train(BFLOAT16, dataset, tmp_path / "run", reports=[])
    assert abs(result.test_accuracy - plain.test_accuracy) < 0.1
    assert weights(tmp_path / "run") != weights(tmp_path / "float32")
    assert {tensor.dtype for tensor in load_model(tmp_path / "run").parameters()} == {torch.float32}


def test_a_killed_run_is_resumed_to_the_same_bytes(dataset: Dataset, tmp_path: Path) -> None:
    train(BFLOAT16, dataset, tmp_path / "whole", reports=[])
    with suppress(KilledError):
        train(BFLOAT16, dataset, tmp_path / "killed", reports=[StopAt(1, 2, kill)])
    train(BFLOAT16, dataset, tmp_path / "killed", resume=True, reports=[])
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    assert batches(tmp_path / "killed") == batches(tmp_path / "whole")


def test_a_network_of_ones_own_trains_in_it(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("under10k.models.own._made", {})
    Path("my_net.py").write_text(source("linear"), encoding="utf-8")
    result = train(small(model="my_net.py:Net", epochs=1, precision="bfloat16"), dataset, "run", reports=[])
    assert result.test_accuracy > 0.3


def test_on_a_gpu_it_is_refused_before_anything_is_written(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "pick_device", lambda _name: torch.device("cuda"))
    with pytest.raises(UsageError, match=r"bfloat16 on cuda: only CPUs train in it\. give device cpu, or precision"):
        train(BFLOAT16, dataset, tmp_path / "run", reports=[])
    assert not (tmp_path / "run").exists()

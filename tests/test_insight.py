"""What a network makes of one image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import under10k
from under10k.data.datasets import Dataset
from under10k.errors import UsageError
from under10k.insight import to_pixels
from under10k.models.registry import list_models


class _InPlace(nn.Module):
    """Functions instead of layers, working in place: what they overwrite must not be lost."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.out = nn.Linear(3, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x), inplace=True)
        logits: Tensor = self.out(F.dropout(x, training=self.training).mean((2, 3)))
        return logits


@pytest.fixture
def digit(dataset: Dataset) -> Tensor:
    return dataset.test.images[0]


@pytest.mark.parametrize("name", list_models())
def test_the_last_activation_is_the_logits(name: str, digit: Tensor) -> None:
    model = under10k.create_model(name).eval()
    maps = under10k.activations(model, digit)
    logits = model(under10k.normalise(digit[None]))[0]
    torch.testing.assert_close(list(maps.values())[-1].flatten(), logits.detach())


@pytest.mark.parametrize("name", list_models())
def test_every_convolution_has_its_filters_and_its_maps(name: str, digit: Tensor) -> None:
    model = under10k.create_model(name)
    maps, weights = under10k.activations(model, digit), under10k.filters(model)
    convolutions = [part for part in model.modules() if isinstance(part, nn.Conv2d)]
    assert [value.shape for value in weights.values()] == [part.weight.shape for part in convolutions]
    assert [maps[key].shape[0] for key in weights] == [part.out_channels for part in convolutions]


def test_maps_are_kept_as_they_were_before_a_layer_overwrote_them(digit: Tensor) -> None:
    torch.manual_seed(0)
    model = _InPlace().train()
    maps = under10k.activations(model, digit)
    assert list(maps) == ["convolution 1", "relu 1", "average pool 1", "fully connected 1"]
    torch.testing.assert_close(maps["convolution 1"].relu(), maps["relu 1"])
    assert maps["convolution 1"].min() < 0
    assert model.training


def test_the_gradient_is_what_a_small_change_of_a_pixel_does(digit: Tensor) -> None:
    torch.manual_seed(0)  # a smooth network: at a kink of a ReLU or a tie of a max pool there is no one answer
    model = nn.Sequential(nn.Conv2d(1, 3, 5), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 24 * 24, 10)).double()
    found = under10k.saliency(model, digit, digit=7)
    unit = digit.double()[None] / 255
    step = 1e-6
    for row, column in (14, 14), (3, 20):
        changed = unit.clone()
        changed[0, row, column] += step
        with torch.no_grad():
            before, after = (model((image - 0.1307)[None] / 0.3081)[0, 7] for image in (unit, changed))
        assert float(found.gradient[row, column]) == pytest.approx(float(after - before) / step, rel=1e-3)


def test_occlusion_is_what_a_black_square_costs(digit: Tensor) -> None:
    model = under10k.load_model("gap")
    found = under10k.saliency(model, digit)
    read = under10k.predict(digit.numpy(), model)
    assert found.digit == read.digit
    assert found.probability == pytest.approx(read.probability, abs=1e-4)
    covered = digit.clone()
    covered[12:17, 0:4] = 0  # around (14, 1), cut off at the edge
    logits = model(under10k.normalise(covered[None]))
    lost = found.probability - float(logits.softmax(dim=1)[0, found.digit].detach())
    assert float(found.occlusion[14, 1]) == pytest.approx(lost, abs=1e-4)
    assert found.occlusion.shape == found.gradient.shape == (28, 28)


def test_saliency_leaves_the_network_as_it_was(digit: Tensor) -> None:
    model = under10k.create_model("gap").train()
    under10k.saliency(model, digit)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("digit_asked", [10, -1, "3", True])
def test_saliency_asks_for_a_digit(digit_asked: int, digit: Tensor) -> None:
    with pytest.raises(UsageError, match=r"no such digit: .* give one from 0 to 9"):
        under10k.saliency("early", digit, digit_asked)


def test_an_image_may_be_a_tensor_an_array_a_picture_or_what_was_read_in_one(digit: Tensor, tmp_path: Path) -> None:
    path = tmp_path / "digit.png"
    Image.fromarray(255 - np.kron(digit.numpy(), np.ones((4, 4), dtype=np.uint8))).save(path)
    assert torch.equal(to_pixels(digit), digit)
    assert torch.equal(to_pixels(digit.numpy()[None]), digit)
    assert torch.equal(to_pixels(digit / 255), digit)
    read = under10k.predict(path, "early")
    assert torch.equal(to_pixels(read), torch.from_numpy(read.frame))
    assert torch.equal(to_pixels(path), torch.from_numpy(read.frame))

"""What a summary says of a network in words, and the count as a course's table has it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from own_networks import HEAD, source
from under10k.cli import main
from under10k.errors import UsageError
from under10k.models.registry import create_model
from under10k.models.summary import summarise


def ending(*layers: nn.Module) -> nn.Sequential:
    """Layers, then logits from a global average pool; the maps before it see the whole image."""
    return nn.Sequential(*layers, nn.Conv2d(4, 10, 21, padding=10), nn.AdaptiveAvgPool2d(1), nn.Flatten())


NORMED = (nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())


def said(model: nn.Module) -> str:
    return "\n".join(summarise(model).remarks)


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        (NORMED, "batch norm after each convolution but the last"),
        ((nn.Conv2d(1, 4, 3), nn.ReLU()), "no batch norm: "),
        ((*NORMED, nn.Conv2d(4, 4, 3), nn.ReLU()), "no batch norm after 3\n"),
        ((nn.Conv2d(1, 4, 3), nn.GroupNorm(1, 4)), "group norm after each convolution but the last"),
        (NORMED, "no dropout: "),
        ((*NORMED, nn.Dropout(0.02)), "dropout of 0.02\n"),
        ((*NORMED, nn.Dropout2d(0.25)), "dropout of 0.25: much for so small a network"),
        ((*NORMED, nn.MaxPool2d(2)), "a pool of 2x2 right before the last layer, 4: "),
        ((nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)), "biases that do nothing, 4 parameters: of 0; "),
        ((nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.BatchNorm2d(4)), "biases that do nothing, 4 parameters: of 0; "),
    ],
)
def test_a_summary_says_which_of_the_usual_parts_are_there(layers: tuple[nn.Module, ...], told: str) -> None:
    assert told in said(ending(*layers))


def test_nothing_odd_is_said_of_a_network_that_has_nothing_odd() -> None:
    assert summarise(ending(*NORMED, nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, bias=False), nn.BatchNorm2d(4))).remarks == [
        "batch norm after each convolution but the last",
        "no dropout: our best recipes for networks this small have none either",
        "1 max pool and 1 global average pool",
    ]
    assert [summarise(name).traits.oddities for name in ("early", "gap")] == [(), ()]


def test_the_maps_of_transition_see_less_than_a_digit() -> None:
    assert summarise("transition").traits.oddities == (
        "the maps before the average pool see 18 pixels: less than a digit, which has 20",
    )


def test_a_bias_that_a_relu_comes_after_is_not_called_idle() -> None:
    assert "biases" not in said(ending(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)))


def test_a_bias_of_a_layer_that_is_called_twice_counts_once() -> None:
    conv, norm = nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1)
    assert "biases that do nothing, 1 parameters: of 0;" in said(
        nn.Sequential(conv, norm, conv, norm, nn.Flatten(), nn.Linear(784, 10))
    )


class Ended(nn.Module):
    """Logits, and something after them."""

    def __init__(self, end: str) -> None:
        super().__init__()
        self.layer, self.end = nn.Linear(784, 10), end

    def forward(self, x: Tensor) -> Tensor:
        logits = self.layer(x.flatten(1)).view(-1, 10, 1, 1)
        ended: Tensor = getattr(F, self.end)(logits, **({"dim": 1} if "softmax" in self.end else {}))
        return ended.flatten(1)


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("log_softmax", "log_softmax at the end changes nothing"),
        ("softmax", "softmax at the end harms"),
        ("relu", "relu at the end bends the logits"),
    ],
)
def test_a_summary_says_what_the_end_does(end: str, told: str) -> None:
    assert told in said(Ended(end))


def test_a_receptive_field_smaller_than_a_digit_is_told(tmp_path: Path) -> None:
    (tmp_path / "my_net.py").write_text(source("separable"))
    assert "the maps before the global average pool see 7 pixels: less than a digit, which has 20" in said(
        create_model(f"{tmp_path / 'my_net.py'}:Net")
    )


def test_layers_that_are_made_and_never_used_are_named_with_their_parameters(tmp_path: Path) -> None:
    (tmp_path / "my_net.py").write_text(source("unused"))
    assert "made and never used, 910 parameters: forgotten. remove it" in said(
        create_model(f"{tmp_path / 'my_net.py'}:Net")
    )


def test_a_fully_connected_layer_that_has_most_of_the_parameters_is_told() -> None:
    assert "the fully connected layer has 3,930 of" in said(
        nn.Sequential(nn.Conv2d(1, 8, 3, stride=4), nn.Flatten(), nn.Linear(392, 10))
    )


@pytest.mark.parametrize(("name", "counted"), [("gap", 9_658), ("transition", 9_879)])
def test_the_count_by_hand_has_biases_and_no_batch_norm(name: str, counted: int) -> None:
    found = summarise(name)
    assert found.counted_by_hand == counted
    convolution = found.rows_by_hand()[1]
    assert convolution[:3] in (
        ("convolution", "3 x 3 x 8 x 16 + 16", 1_168),
        ("convolution", "3 x 3 x 14 x 30 + 30", 3_810),
    )


def test_the_command_prints_the_count_by_hand_and_the_remarks(capsys: pytest.CaptureFixture[str]) -> None:
    main(["summary", "gap"])
    printed = capsys.readouterr().out
    assert "3 x 3 x 8 x 16 + 16" in printed
    assert "9,658  9,720" in printed
    assert "batch norm after each convolution but the last\n" in printed
    main(["summary", "gap", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["counted_by_hand"], len(told["remarks"])) == (9_658, 3)


@pytest.mark.parametrize("call", ["x.cuda()", "x.to('cuda')", "x.to(device='cuda:0')"])
def test_a_forward_that_moves_images_to_a_device_is_refused_in_one_line(call: str, tmp_path: Path) -> None:
    text = f"""
class Net(nn.Linear):
    def __init__(self): super().__init__(784, 10)
    def forward(self, x): return super().forward({call}.flatten(1))
"""
    (tmp_path / "my_net.py").write_text(HEAD + text)
    with pytest.raises(UsageError, match=r"moves images to a device: .*leave that out: the caller chooses"):
        create_model(f"{tmp_path / 'my_net.py'}:Net")

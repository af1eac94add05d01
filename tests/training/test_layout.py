"""A rearranged network is the same network."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from under10k.models.registry import create_model, list_models, list_variants
from under10k.training.layout import rearrange

VARIANTS = [
    (name, *variant, dropout) for name in list_models() for variant in list_variants(name) for dropout in (0.0, 0.1)
]


def gradients(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, list[Tensor]]:
    torch.manual_seed(1)
    logits = model(images)
    F.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
    return logits.detach(), [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize(("name", "residual", "head", "dropout"), VARIANTS)
def test_logits_gradients_and_names_stay_as_they_were(name: str, residual: bool, head: str, dropout: float) -> None:
    torch.manual_seed(0)
    model = create_model(name, residual=residual, head=head, dropout=dropout).double().train()
    other = create_model(name, residual=residual, head=head, dropout=dropout).double().train()
    other.load_state_dict(model.state_dict())
    rearrange(other)
    assert list(other.state_dict()) == list(model.state_dict())
    images, labels = torch.randn(8, 1, 28, 28, dtype=torch.float64), torch.arange(8)
    if dropout:  # dropout's random numbers fall on other places in another layout
        model.eval()
        other.eval()
    logits, expected = gradients(model, images, labels)
    other_logits, found = gradients(other, images, labels)
    torch.testing.assert_close(other_logits, logits)
    assert len(found) == len(expected) > 0
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", list_models())
def test_every_network_has_channels_last_throughout(name: str) -> None:
    convolutions = [part for part in rearrange(create_model(name)).modules() if isinstance(part, nn.Conv2d)]
    assert convolutions
    for part in convolutions:
        assert part.weight.is_contiguous(memory_format=torch.channels_last)

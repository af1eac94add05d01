"""Networks with random weights and statistics, so that a number folded wrongly shows."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from under10k.data.digits import normalise
from under10k.data.synthetic import draw_digits
from under10k.models.registry import create_model, list_models, list_variants

VARIANTS = [(name, *variant) for name in list_models() for variant in list_variants(name)]


def random_network(name: str, seed: int = 0, **options: Any) -> nn.Module:
    """Build a network as training might leave it: batch norm has seen digits, and some of its scales are negative."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = create_model(name, **options).train()
        norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5).mul_(torch.randn_like(norm.weight).sign())
            norm.bias.normal_(std=0.3)
            norm.momentum = 1.0
        model(_seen())
    return model.eval()


@cache
def _seen() -> Tensor:
    return normalise(draw_digits(50, seed=5).images)

"""The bundled networks beside the page's own, for the page that is served."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from under10k.weights import Facts, find_weights, list_weights

if TYPE_CHECKING:
    from torch import nn


def networks_beside(weights: Path, model: nn.Module, facts: Facts) -> str:
    """Return the page's own network, loaded from `weights`, and the bundled ones as the JSON that networks.js takes."""
    from under10k.export import describe_networks
    from under10k.runs import load_weights

    others = {name: load_weights(find_weights(name)) for name in list_weights() if name != str(weights)}
    return describe_networks((weights.resolve().name, model, facts), others)

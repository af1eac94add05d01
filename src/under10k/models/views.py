"""A network that looks at an image several times: as it is, and shifted by a pixel in four directions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from under10k.data import MEAN, STD
from under10k.recipes import ViewCount

SHIFTS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
"""By how many pixels each view is shifted down and to the right; the first is the image as it is."""


BLACK = -MEAN / STD
"""A black pixel, normalised."""


class Views(nn.Sequential):
    """Layers whose logits, in evaluation, are means over five views of an image: float (B, 1, 28, 28) -> (B, 10).

    In training they take the image alone. Parameters and their names are those of the same layers without views.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return self._look(x)
        logits = self._look(torch.cat(shift(x, BLACK)))
        return logits.reshape(len(SHIFTS), x.shape[0], *logits.shape[1:]).mean(dim=0)

    def _look(self, x: Tensor) -> Tensor:
        logits: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return logits


def shift(maps: Tensor, border: float) -> list[Tensor]:
    """Return maps (..., H, W) shifted by each of `SHIFTS`; what comes in at an edge is `border`."""
    height, width = maps.shape[-2:]
    around = F.pad(maps, (1, 1, 1, 1), value=border)
    return [around[..., 1 - down : 1 - down + height, 1 - right : 1 - right + width] for down, right in SHIFTS]


def count_views(model: nn.Module) -> ViewCount:
    """Return how many views of an image a network averages over."""
    return 5 if isinstance(model, Views) else 1


def with_views(model: nn.Module, views: ViewCount) -> nn.Module:
    """Return the same layers as a network that averages over 1 view or 5; five need an `nn.Sequential`."""
    if views == count_views(model):
        return model
    assert isinstance(model, nn.Sequential)
    looking = Views(*model) if views > 1 else nn.Sequential(*model)
    looking.training = model.training  # that of the layers stays as it is
    return looking

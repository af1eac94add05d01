"""The state of a training: all that the steps still to come depend on."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from under10k.models import DrawingFrom, network_of
from under10k.recipes import Recipe
from under10k.runs import Batch, Position
from under10k.training.layout import rearrange
from under10k.training.optimizers import SGD, Average, create_optimizer
from under10k.training.steps import averaging_decay, mix_seed


@dataclass(eq=False)
class State:
    """Where a training stands: its network, its optimizer and its counters; each checkpoint holds all of it."""

    model: nn.Module
    average: Average | None
    """None where the recipe does not average."""
    optimizer: torch.optim.Optimizer | SGD
    losses_before: Tensor
    """float32 (N): the loss when each image was last trained on, as the epoch under way began."""
    losses: Tensor
    """float32 (N): the same, as it is now."""
    best: dict[str, Tensor] = field(default_factory=dict)
    """The weights of the best epoch so far, by name; empty before the first."""
    at: Position = field(default_factory=Position)
    batches: list[Batch] = field(default_factory=list)
    """Those since the last checkpoint."""

    @property
    def scored(self) -> nn.Module:
        """The network that is scored and kept."""
        return self.average.model if self.average else self.model


def first_state(recipe: Recipe, images: int, device: torch.device) -> State:
    """Return the state before the first step, of a training on so many images; the weights depend on the seed alone."""
    with DrawingFrom(torch.Generator().manual_seed(mix_seed("weights", recipe.seed))):
        network = network_of(recipe).to(device)
    model = network if recipe.has_own_network else rearrange(network)  # its forward may rely on its layout
    decay = averaging_decay(recipe, images)
    never = torch.finfo(torch.float32).max  # not infinity, which no checkpoint may hold
    losses = torch.full((images,), never, device=device)
    return State(
        model=model,
        average=Average(model, decay) if decay else None,
        optimizer=create_optimizer(recipe, model),
        losses_before=losses,
        losses=losses.clone(),
    )

"""The plain way, that of a hundred tutorials: what everything in a benchmark is a ratio to."""

from __future__ import annotations

import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from under10k.data import MEAN, SIDE, STD, Digits
from under10k.models import network_of
from under10k.recipes import Recipe


class Pictures(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """One picture after the other, float32 (1, 28, 28) normalised and its label, as torchvision serves MNIST."""

    def __init__(self, digits: Digits) -> None:
        self.digits = digits

    def __len__(self) -> int:
        return len(self.digits)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.digits.images[index].numpy())
        # torchvision's ToTensor, then its Normalize, step by step
        pixels = torch.from_numpy(np.array(picture, np.uint8, copy=True)).view(SIDE, SIDE, 1)
        image = pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255).clone()
        mean, std = torch.as_tensor((MEAN,)), torch.as_tensor((STD,))
        if (std == 0).any():
            raise ValueError("a deviation of 0")
        return image.sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1)), int(self.digits.labels[index])


def train_plainly(recipe: Recipe, digits: Digits, device: torch.device) -> float:
    """Train a recipe's network for one epoch the plain way, and return the seconds it took.

    A DataLoader collects the pictures into the recipe's batches; the network is in the default layout, with the
    recipe's dropout, and learns by SGD at the recipe's rate. What else a recipe may hold is left out: the documented
    ones hold no more.
    """
    model = network_of(recipe).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=recipe.optimizer.lr, momentum=recipe.optimizer.momentum)
    loader = DataLoader(Pictures(digits), batch_size=recipe.batch_size, shuffle=True, drop_last=True)
    started = time.perf_counter()
    for images, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images.to(device)), labels.to(device))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()
    return time.perf_counter() - started


@torch.no_grad()
def predict_plainly(model: nn.Module, digits: Digits) -> Tensor:
    """Read images one at a time with a model in evaluation mode: logits float32 (N, 10) on the CPU."""
    device = next(model.parameters()).device
    pictures = Pictures(digits)
    return torch.cat([model(pictures[index][0].unsqueeze(0).to(device)).cpu() for index in range(len(digits))])

"""How fast training is here, as ratios to the plain loop of a hundred tutorials, both timed in one run."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from tenk.datasets import Dataset
from tenk.device import pick_device
from tenk.digits import MEAN, SIDE, STD, Digits
from tenk.errors import DataError
from tenk.models import create_model
from tenk.recipes import Recipe, get_recipe
from tenk.runs import Run
from tenk.training import Trainer

BATCH_SIZE = 128


@dataclass(frozen=True)
class Timing:
    """How long one way of training takes for an image, over several rounds."""

    name: str
    seconds_per_image: list[float]
    """One value a round."""
    ratios: list[float]
    """This way's time divided by the plain loop's in the same round."""

    @property
    def ratio(self) -> float:
        """The median ratio."""
        return statistics.median(self.ratios)

    def epoch_seconds(self, images: int) -> float:
        """Return the median time for so many images."""
        return statistics.median(self.seconds_per_image) * images


def bench_training(
    digits: Digits, names: Sequence[str], device: str = "auto", *, steps: int = 40, rounds: int = 5
) -> list[Timing]:
    """Time steps of `documented-gap` in the plain loop, then of each recipe in ours, in turn, `rounds` times.

    Each round trains on the same `steps` batches of 128 images; a first round warms up and is not counted. Training
    alone is timed: reading the data, scoring and saving are left out on both sides.
    """
    if len(digits) < BATCH_SIZE:
        raise DataError(f"too few images to time a step: {len(digits)}. give at least {BATCH_SIZE}")
    few = digits[: steps * BATCH_SIZE]
    chosen = pick_device(device)
    ways: dict[str, Callable[[], float]] = {"plain loop": lambda: time_plain_loop(few, chosen)}
    for name in names:
        ways[name] = _ours(get_recipe(name), few, chosen)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, run in ways.items():
            taken = run() / len(few)
            if number > 0:
                seconds[name].append(taken)
    plain = seconds["plain loop"]
    return [
        Timing(name, taken, [mine / its for mine, its in zip(taken, plain, strict=True)])
        for name, taken in seconds.items()
    ]


def time_plain_loop(digits: Digits, device: torch.device) -> float:
    """Train `documented-gap` for one epoch the way tutorials do, and return the seconds it took.

    A picture at a time goes through PIL, is turned into a tensor and normalised, and a DataLoader collects batches; the
    network is in the default layout, with dropout.
    """
    recipe = get_recipe("documented-gap")
    model = create_model(recipe.model, dropout=recipe.dropout).to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=recipe.optimizer.lr, momentum=recipe.optimizer.momentum)
    loader = DataLoader(_Pictures(digits), batch_size=BATCH_SIZE, shuffle=True, drop_last=True)
    started = time.perf_counter()
    for images, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images.to(device)), labels.to(device))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()
    return time.perf_counter() - started


class _Pictures(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """One picture after the other, as torchvision serves MNIST."""

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


def _ours(recipe: Recipe, digits: Digits, device: torch.device) -> Callable[[], float]:
    """Return a function that trains one epoch of a recipe through the real trainer and returns its training time."""
    one_epoch = replace(recipe, epochs=1, batch_size=BATCH_SIZE, protocol="fixed", target_accuracy=None)
    data = Dataset("bench", digits, digits[:1])

    def run() -> float:
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(one_epoch, data, device, Run(Path(folder)), [])
            trainer.begin(resume=False)
            trainer.fit()
            return trainer.at.seconds["train"]

    return run

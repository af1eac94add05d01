"""Images corrupted at set strengths, to measure how far from its training data a network still reads.

The idea, and most of the list, are those of MNIST-C (Mu and Gilmer, 2019, arXiv 1906.02337); here each strength is a
quantity with a unit, so the numbers are not those of its files.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from under10k.data import SIDE, affine_grid, resample, to_levels, to_unit
from under10k.errors import UsageError, unknown_name
from under10k.machine import require_float32

CHUNK = 500
"""Images corrupted at once: bounds the memory, and is part of what a seed means."""


@dataclass(frozen=True)
class Corruption:
    """One way to corrupt the image of a digit, and its strengths."""

    name: str
    about: str
    """What it does, in one line."""
    unit: str
    """Unit of the strengths."""
    strengths: tuple[float, ...]
    """Five, increasing; 0 would be the image itself."""
    effect: Callable[[Tensor, float, Generator], Tensor]
    """Float (B, 28, 28) in [0, 1], strength, generator -> the same, but values may leave [0, 1]."""


def corrupt(images: Tensor, name: str, strength: float, generator: Generator) -> Tensor:
    """Corrupt images: uint8 (N, 28, 28) -> a new uint8 (N, 28, 28), on the same device.

    `strength` is in the corruption's own unit, and 0 changes nothing. All random numbers come from `generator`, which
    is on the images' device.

    Raises:
        UsageError: no corruption has this name, the strength is negative or not finite, or torch's default type is not
            float32.
    """
    require_float32()
    effect = get_corruption(name).effect
    if not 0 <= strength < math.inf:
        raise UsageError(f"strength of {name} out of range: {strength}. give a number from 0 up")
    if not len(images):
        return images.clone()
    worse = [effect(to_unit(part), strength, generator) for part in torch.split(images, CHUNK)]
    return to_levels(torch.cat(worse).clamp_(0, 1))


def get_corruption(name: str) -> Corruption:
    """Return the corruption of this name.

    Raises:
        UsageError: there is none.
    """
    if not isinstance(name, str) or name not in CORRUPTIONS:
        raise unknown_name("corruption", name, CORRUPTIONS)
    return CORRUPTIONS[name]


def _shift(images: Tensor, pixels: float, generator: Generator) -> Tensor:
    quarters = torch.randint(4, (len(images),), device=images.device, generator=generator) * (math.pi / 2)
    return _warp(images, shift_pixels=pixels * torch.stack((quarters.cos(), quarters.sin())))


def _rotate(images: Tensor, degrees: float, generator: Generator) -> Tensor:
    return _warp(images, angle=math.radians(degrees) * _signs(images, generator))


def _shrink(images: Tensor, percent: float, _: Generator) -> Tensor:
    return _resize(images, max(1 - percent / 100, 1e-6))  # from 100 % on the digit is a point between the pixels


def _enlarge(images: Tensor, percent: float, _: Generator) -> Tensor:
    return _resize(images, 1 + percent / 100)


def _resize(images: Tensor, factor: float) -> Tensor:
    scale = images.new_full((len(images),), factor)
    return _warp(images, scale_x=scale, scale_y=scale)


def _shear(images: Tensor, percent: float, generator: Generator) -> Tensor:
    return _warp(images, shear=percent / 100 * _signs(images, generator))


def _warp(images: Tensor, **changes: Tensor) -> Tensor:
    """Move images by the given values of `affine_grid`, and leave the others neutral."""
    none, one = images.new_zeros(len(images)), images.new_ones(len(images))
    still = {"angle": none, "scale_x": one, "scale_y": one, "shear": none, "shift_pixels": torch.stack((none, none))}
    return resample(images, affine_grid(images, **(still | changes)))


def _signs(images: Tensor, generator: Generator) -> Tensor:
    return torch.randint(2, (len(images),), device=images.device, generator=generator) * 2 - 1


def _occlude(images: Tensor, side_pixels: float, generator: Generator) -> Tensor:
    side = round(side_pixels)
    odds = images.flatten(1) + 1e-6  # where there is no ink any place will do
    centre = torch.multinomial(odds, 1, generator=generator).squeeze(1)
    first = (torch.stack((centre // SIDE, centre % SIDE)) - side // 2).clamp(0, SIDE - side)[..., None]
    places = torch.arange(SIDE, device=images.device)
    rows, columns = (places >= first) & (places < first + side)  # (B, 28) each
    return images.masked_fill(rows[:, :, None] & columns[:, None, :], 0)


def _thin(images: Tensor, pixels: float, _: Generator) -> Tensor:
    return _discs(images, pixels).amin(dim=1)


def _thicken(images: Tensor, pixels: float, _: Generator) -> Tensor:
    return _discs(images, pixels).amax(dim=1)


def _discs(images: Tensor, diameter_pixels: float) -> Tensor:
    """Sample each image, between its pixels too, at points all over a disc around each pixel: (B, points, 28, 28).

    The least or greatest of them is the image eroded or dilated by the disc, which moves each edge by the radius.
    """
    radius, device = diameter_pixels / 2, images.device
    rings = torch.linspace(0, radius, math.ceil(2 * radius) + 1, device=device)[1:]  # at most half a pixel apart
    angles = torch.arange(16, device=device) * (math.pi / 8)
    circle = torch.stack((angles.cos(), angles.sin()), dim=1)
    points = torch.cat((images.new_zeros(1, 2), (rings[:, None, None] * circle).flatten(0, 1)))
    reach = math.ceil(radius)
    offsets = torch.arange(-reach, reach + 1, device=device)
    nearness = (1 - (points[..., None] - offsets).abs()).clamp_min(0)  # bilinear: the weight of each pixel at a point
    kernels = nearness[:, 1, :, None] * nearness[:, 0, None, :]
    return F.conv2d(images.unsqueeze(1), kernels.unsqueeze(1), padding=reach)


def _blur(images: Tensor, deviation_pixels: float, _: Generator) -> Tensor:
    reach = math.ceil(3 * deviation_pixels)
    offsets = torch.arange(-reach, reach + 1, device=images.device)
    weights = (offsets / max(deviation_pixels, 1e-3)).square().mul(-0.5).exp()
    weights = weights / weights.sum()
    across = F.conv2d(images.unsqueeze(1), weights[None, None, None, :], padding=(0, reach))
    return F.conv2d(across, weights[None, None, :, None], padding=(reach, 0)).squeeze(1)


def _add_noise(images: Tensor, deviation_levels: float, generator: Generator) -> Tensor:
    return images + torch.randn(images.shape, device=images.device, generator=generator) * (deviation_levels / 255)


def _fade(images: Tensor, percent: float, _: Generator) -> Tensor:
    return images * (1 - percent / 100)


def _brighten(images: Tensor, percent: float, _: Generator) -> Tensor:
    return images + (1 - images) * (percent / 100)


CORRUPTIONS: dict[str, Corruption] = {
    corruption.name: corruption
    for corruption in (
        Corruption("shift", "moves up, down, left or right", "pixels", (1, 2, 3, 4, 5), _shift),
        Corruption("rotation", "turns to the left or to the right", "degrees", (10, 20, 30, 40, 50), _rotate),
        Corruption("shrink", "gets smaller about the centre", "%", (10, 20, 30, 40, 50), _shrink),
        Corruption("enlarge", "gets larger about the centre", "%", (10, 20, 30, 40, 50), _enlarge),
        Corruption("shear", "leans to the left or to the right", "% of height", (20, 40, 60, 80, 100), _shear),
        Corruption("occlusion", "a square about some of the ink is wiped out", "pixels", (2, 4, 6, 8, 10), _occlude),
        Corruption("thin", "strokes lose width", "pixels", (0.4, 0.8, 1.2, 1.6, 2), _thin),
        Corruption("thick", "strokes gain width", "pixels", (1, 2, 3, 4, 5), _thicken),
        Corruption("blur", "Gaussian blur of this deviation", "pixels", (0.5, 1, 1.5, 2, 2.5), _blur),
        Corruption("noise", "Gaussian noise of this deviation", "grey levels", (20, 40, 60, 80, 100), _add_noise),
        Corruption("contrast", "ink fades towards the paper", "%", (40, 50, 60, 70, 80), _fade),
        Corruption("background", "paper brightens towards the ink", "%", (5, 10, 15, 20, 25), _brighten),
    )
}
"""All corruptions by name."""

"""Batched random deformations, computed on the images' own device."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from under10k.recipes import Augment

Draw = Callable[..., Tensor]
"""Draws for so many images, given as its one argument; takes `generator` and `device` too."""


def augment(images: Tensor, generators: Generator | Sequence[Generator], amounts: Augment) -> Tensor:
    """Deform each image by its own amounts: first its strokes, then its shape and position, then strip and noise.

    `images` is float (B, 28, 28) in [0, 1] with a background of 0, and so is the result, on the same device; all random
    numbers come from the generators, which are there too: of several, each draws for an equal part of the images, as it
    would for that part alone. What each amount means: `Augment`.
    """
    chance = _Chance(images, [generators] if isinstance(generators, Generator) else generators)
    if amounts.stroke_pixels:
        images = _restroke(images, amounts.stroke_pixels, chance)
    moves = (amounts.rotation_degrees, amounts.shift_pixels, amounts.scale, amounts.shear, amounts.elastic_pixels)
    if any(moves):
        images = _move(images, chance, *moves)
    if amounts.cut_pixels:
        images = _cut(images, amounts.cut_pixels, chance)
    if amounts.noise:
        images = _add_noise(images, amounts.noise, chance)
    return images


class _Chance:
    """Random numbers for a batch of images."""

    def __init__(self, images: Tensor, generators: Sequence[Generator]) -> None:
        self._device, self._generators = images.device, generators
        self._count = len(images) // len(generators)

    def draw(self, draw: Draw, images_along: int = 0) -> Tensor:
        """Draw for each image; `images_along` is the dimension of the result that counts them."""
        parts = [draw(self._count, generator=each, device=self._device) for each in self._generators]
        return parts[0] if len(parts) == 1 else torch.cat(parts, images_along)


def _move(
    images: Tensor,
    chance: _Chance,
    rotation_degrees: float,
    shift_pixels: float,
    scale: float,
    shear: float,
    elastic_pixels: float,
) -> Tensor:
    draws = chance.draw(lambda count, **of: torch.rand(6, count, **of), images_along=1) * 2 - 1
    grid = affine_grid(
        images,
        angle=draws[0] * math.radians(rotation_degrees),
        scale_x=1 + draws[1] * scale,
        scale_y=1 + draws[2] * scale,
        shear=draws[3] * shear,
        shift_pixels=draws[4:] * shift_pixels,
    )
    if elastic_pixels:
        grid = grid + _displacements(images, elastic_pixels, chance)
    return resample(images, grid)


def _restroke(images: Tensor, pixels: float, chance: _Chance) -> Tensor:
    """Make strokes wider, or narrower as far as they have width."""
    change = (chance.draw(lambda count, **of: torch.rand(count, 1, 1, **of)) * 2 - 1) * pixels
    # the greatest of a pixel and its eight neighbours moves both edges of a stroke by a pixel, the least likewise
    wider, narrower = _greatest_near(images), -_greatest_near(-images)
    return torch.lerp(images, torch.where(change > 0, wider, narrower), change.abs() / 2)


def _greatest_near(images: Tensor) -> Tensor:
    """Return the greatest of each pixel and its eight neighbours: thirty times as fast as F.max_pool2d."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    rows = torch.maximum(torch.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    return torch.maximum(torch.maximum(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:])


def _cut(images: Tensor, pixels: float, chance: _Chance) -> Tensor:
    """Wipe out a strip along one side of each image: left, right, top or bottom."""
    width = chance.draw(lambda count, **of: torch.rand(count, 1, **of)) * pixels
    side = chance.draw(lambda count, **of: torch.randint(4, (count, 1), **of))
    from_left = torch.arange(images.shape[-1], device=images.device)
    depth = torch.where(side % 2 == 0, from_left, from_left.flip(0))  # (B, 28)
    kept = depth >= width
    return images * torch.where(side[:, None] < 2, kept[:, None, :], kept[:, :, None])


def _add_noise(images: Tensor, deviation: float, chance: _Chance) -> Tensor:
    share = chance.draw(lambda count, **of: torch.rand(count, 1, 1, **of))
    grain = chance.draw(lambda count, **of: torch.randn(count, *images.shape[1:], **of))
    return (images + grain * share * deviation).clamp_(0, 1)


def affine_grid(
    images: Tensor, *, angle: Tensor, scale_x: Tensor, scale_y: Tensor, shear: Tensor, shift_pixels: Tensor
) -> Tensor:
    """Return the point that each pixel of the result is taken from: (B, 28, 28, 2), -1..1 across the image.

    Each value is (B), `shift_pixels` (2, B); `angle` is in radians, the scales are factors, `shear`
    is in pixels sideways for each pixel of height.
    """
    cos, sin = torch.cos(angle), torch.sin(angle)
    shift = shift_pixels * 2 / images.shape[-1]
    row_x = torch.stack((cos / scale_x, (shear * cos - sin) / scale_y, shift[0]), dim=1)
    row_y = torch.stack((sin / scale_x, (shear * sin + cos) / scale_y, shift[1]), dim=1)
    maps = torch.stack((row_x, row_y), dim=1)
    # as F.affine_grid, which multiplies image by image, but in one product: five times as fast
    grid = maps.flatten(0, 1) @ _centres(images.shape[-1], images.device)
    return grid.view(len(images), 2, *images.shape[1:]).permute(0, 2, 3, 1)


@functools.cache
def _centres(size: int, device: torch.device) -> Tensor:
    """Return x, y and 1 of each pixel's centre, row by row: (3, H * W), -1..1 across the image."""
    steps = (torch.arange(size, device=device) * 2 + 1) / size - 1
    return torch.stack((steps.repeat(size), steps.repeat_interleave(size), torch.ones(size * size, device=device)))


def resample(images: Tensor, grid: Tensor) -> Tensor:
    """Sample float (B, 28, 28) at the grid's points, between four pixels each; outside the image is 0."""
    return F.grid_sample(images.unsqueeze(1), grid, padding_mode="zeros", align_corners=False).squeeze(1)


def _displacements(images: Tensor, pixels: float, chance: _Chance) -> Tensor:
    """Draw fields (B, H, W, 2) in the units of the grid: a coarse random one, smoothly enlarged."""
    size = images.shape[-1]
    coarse = chance.draw(lambda count, **of: torch.randn(count, 2, 5, 5, **of)) * (pixels * 2 / size)
    enlarge = _enlargement(5, size, images.device)
    return (enlarge @ coarse @ enlarge.mT).permute(0, 2, 3, 1)


@functools.cache
def _enlargement(few: int, many: int, device: torch.device) -> Tensor:
    """Return the matrix (many, few) of a bicubic enlargement: two products are ten times as fast as F.interpolate."""
    units = torch.eye(few, device=device)[None, :, :, None]
    return F.interpolate(units, size=(many, 1), mode="bicubic", align_corners=True)[0, :, :, 0].mT

"""Batched random deformations, computed on the images' own device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


@dataclass(frozen=True)
class Augment:
    """How strongly training images are deformed, anew in each epoch; each amount is drawn evenly from -x to +x."""

    rotation_degrees: float = 0.0
    """Largest rotation, in degrees."""
    shift_pixels: float = 0.0
    """Largest shift along each axis, in pixels."""
    scale: float = 0.0
    """Largest change of size along each axis, as a fraction: 0.1 is 90 % to 110 %."""
    shear: float = 0.0
    """Largest slant, in pixels sideways for each pixel of height."""
    elastic_pixels: float = 0.0
    """Deviation of a smooth random displacement, in pixels."""


def augment(images: Tensor, strength: Augment, generator: Generator) -> Tensor:
    """Rotate, shift, scale, shear and bend each image by amounts of its own.

    `images` is float (B, 28, 28) with a background of 0, and so is the result; `generator` must live on the same device
    and is the only source of chance.
    """
    if strength == Augment():
        return images
    grid = F.affine_grid(_affine(images, strength, generator), [len(images), 1, *images.shape[1:]], align_corners=False)
    if strength.elastic_pixels:
        grid = grid + _elastic(images, strength.elastic_pixels, generator)
    return F.grid_sample(images.unsqueeze(1), grid, padding_mode="zeros", align_corners=False).squeeze(1)


def _affine(images: Tensor, strength: Augment, generator: Generator) -> Tensor:
    """Draw the maps (B, 2, 3) from output to input coordinates, both in -1..1 across the image."""
    draws = torch.rand(6, len(images), device=images.device, generator=generator) * 2 - 1
    angle = draws[0] * math.radians(strength.rotation_degrees)
    scale_x, scale_y = 1 + draws[1] * strength.scale, 1 + draws[2] * strength.scale
    shear = draws[3] * strength.shear
    shift = draws[4:] * strength.shift_pixels * 2 / images.shape[-1]
    cos, sin = torch.cos(angle), torch.sin(angle)
    row_x = torch.stack((cos / scale_x, (shear * cos - sin) / scale_x, shift[0]), dim=1)
    row_y = torch.stack((sin / scale_y, (shear * sin + cos) / scale_y, shift[1]), dim=1)
    return torch.stack((row_x, row_y), dim=1)


def _elastic(images: Tensor, pixels: float, generator: Generator) -> Tensor:
    """Draw displacement fields (B, H, W, 2): a coarse random grid, smoothly enlarged."""
    size = images.shape[-1]
    coarse = torch.randn(len(images), 2, 5, 5, device=images.device, generator=generator) * (pixels * 2 / size)
    return F.interpolate(coarse, size=images.shape[1:], mode="bicubic", align_corners=True).permute(0, 2, 3, 1)

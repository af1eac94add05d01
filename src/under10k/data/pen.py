"""A pen that writes signs by strokes: control points become images in MNIST's frame, no two alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from under10k.data.digits import to_levels
from under10k.data.framing import BOX, frame

Stroke = list[tuple[int, int]]
"""Control points (x, y) on a grid of 100 by 100, y pointing down; a point given twice makes a corner."""


Ways = dict[int, list[tuple[float, list[Stroke]]]]
"""The ways to write each sign, 0 and up: how often, relative to the others, and the strokes."""


RASTER = 42


SCALE = 2
"""Side of the square that the pen draws on, and its pixels for one of the frame's."""


SAMPLES = 64
"""Points at which the pen is set down along a sign, unless more are asked for."""


WIDTH = 2.6
"""Middle width of the pens, in pixels of the frame."""


CHUNK = 1000
"""Signs drawn at once: bounds the memory, and is part of what a seed means."""


def write(
    labels: Tensor,
    ways: Ways,
    generator: torch.Generator,
    *,
    variety: float = 1.0,
    width_pixels: float = WIDTH,
    samples: int = SAMPLES,
) -> Tensor:
    """Write one sign for each label, in one of its ways: int64 (N) -> uint8 (N, 28, 28), framed as MNIST's digits.

    `variety` is how much slant, shape and pen differ from sign to sign: 1 as from writer to writer, less as within a
    hand. `samples` is how often the pen is set down along a sign: more where strokes are many and short.
    """
    templates = _lay_out(ways, samples)
    chunks = torch.split(labels, CHUNK)
    return torch.cat([_write_chunk(chunk, templates, generator, variety, width_pixels) for chunk in chunks])


def _write_chunk(
    labels: Tensor, templates: _Templates, generator: torch.Generator, variety: float, width_pixels: float
) -> Tensor:
    ways = torch.multinomial(templates.odds[labels], 1, generator=generator).squeeze(1)
    points = _move_pen(ways, templates, generator, variety)
    squeezed = (_narrowness(points) / templates.narrowness[ways]).clamp_max(1)  # a thick pen would fill its loops
    width = width_pixels * squeezed * torch.exp(0.3 * variety * torch.randn(len(labels), generator=generator))
    pressure = torch.exp(0.5 * torch.randn(len(labels), templates.curve.shape[1], generator=generator))
    ink = _ink(points, templates.down[ways], width.clamp(1.2, 6.0), pressure)
    return to_levels(frame(ink))


def _move_pen(ways: Tensor, templates: _Templates, generator: torch.Generator, variety: float) -> Tensor:
    """Return the path of the pen for each way, each a little different: (N) -> (N, samples, 2), about the origin."""
    count, slots = len(ways), templates.points.shape[1]

    def normal(*shape: int) -> Tensor:
        return variety * torch.randn(count, *shape, generator=generator)

    apart = normal(slots, 2).gather(1, templates.stroke[ways][..., None].expand(-1, -1, 2))
    controls = templates.points[ways] + 0.035 * normal(slots, 2) + 0.02 * apart
    points = templates.curve[ways] @ controls
    waves = 3 * normal(2, 2)  # two smooth waves push the whole shape about
    phase = 3 * normal(1, 2)
    points = points + 0.04 * torch.sin(points @ waves + phase) @ normal(2, 2)
    slant = 0.15 + 0.25 * normal()
    turn = 0.15 * normal()
    stretch = torch.exp(0.15 * normal())
    shear = torch.stack([stretch, -slant, torch.zeros(count), 1 / stretch], dim=1).view(-1, 2, 2)
    rotation = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()], dim=1).view(-1, 2, 2)
    return points @ (rotation @ shear).mT


def _ink(points: Tensor, down: Tensor, width: Tensor, pressure: Tensor) -> Tensor:
    """Draw paths (N, samples, 2) with pens of the given `width`, in pixels of the frame: float (N, raster, raster).

    Each sample leaves a Gaussian spot, weighted by the length of path that it represents. Their sum is 1 along the
    middle of a stroke and falls with the distance from it alone, so that it tells the distance. The `pressure` of each
    sample, about 1, multiplies its spot: strokes get the ragged edges that scanned ones have.
    """
    low, high = points.amin(dim=1, keepdim=True), points.amax(dim=1, keepdim=True)
    radius = SCALE * width[:, None, None] / 2
    room = SCALE * BOX - 2 * radius
    points = (points - (low + high) / 2) * (room / (high - low).amax(dim=2, keepdim=True)) + RASTER / 2
    step = (points[:, 1:] - points[:, :-1]).norm(dim=2) * down
    length = (F.pad(step, (1, 0)) + F.pad(step, (0, 1))) / 2 * pressure
    spread = radius / 2
    centres = torch.arange(RASTER) + 0.5
    depth = (points[..., None] - centres).div_(spread[..., None]).square_().mul_(-0.5)  # (N, samples, 2, raster)
    spots = depth.clamp_min_(-40).exp_()  # the product of two stays above the denormals, which are many times slower
    weight = length[..., None] / (spread * (2 * torch.pi) ** 0.5)
    density = (spots[:, :, 1] * weight).mT @ spots[:, :, 0]
    distance = density.clamp_(1e-12, 1).log_().mul_(-2).sqrt_().mul_(spread)
    return torch.clamp(0.5 + radius - distance, 0, 1)


def _narrowness(path: Tensor) -> Tensor:
    """Return a path's shorter side over its longer one, (N, M, 2) -> (N), raised so that a straight line is not 0."""
    sides = path.amax(dim=1) - path.amin(dim=1)
    return 0.2 + sides.amin(dim=1) / sides.amax(dim=1)


@dataclass(frozen=True)
class _Templates:
    """All ways of all signs as tensors: W ways of at most P control points, each drawn with K samples."""

    odds: Tensor
    """How often each way is used for each sign, relative to its others: (signs, W)."""
    points: Tensor
    """Control points, within [-0.5, 0.5], zero where a way has fewer: (W, P, 2)."""
    stroke: Tensor
    """The stroke that each control point belongs to: (W, P)."""
    curve: Tensor
    """Weight of each control point in each sample: (W, K, P)."""
    down: Tensor
    """1 where the pen is down from one sample to the next, 0 where it is lifted: (W, K - 1)."""

    @cached_property
    def narrowness(self) -> Tensor:
        """Sides of each way before it is distorted, shorter to longer: (W)."""
        return _narrowness(self.curve @ self.points)


def _lay_out(signs: Ways, samples: int) -> _Templates:
    """Lay out ways as tensors; `samples` are divided among a way's strokes by length."""
    ways = [(sign, odds, strokes) for sign in signs for odds, strokes in signs[sign]]
    slots = max(sum(map(len, strokes)) for _, _, strokes in ways)
    result = _Templates(
        odds=torch.zeros(len(signs), len(ways)),
        points=torch.zeros(len(ways), slots, 2),
        stroke=torch.zeros(len(ways), slots, dtype=torch.int64),
        curve=torch.zeros(len(ways), samples, slots),
        down=torch.ones(len(ways), samples - 1),
    )
    for way, (sign, odds, strokes) in enumerate(ways):
        result.odds[sign, way] = odds
        dense = [_spline(len(stroke)) for stroke in strokes]
        paths = [
            curve @ torch.tensor(stroke, dtype=torch.float32) / 100
            for curve, stroke in zip(dense, strokes, strict=True)
        ]
        lengths = torch.tensor([float(_lengths(path)[-1]) for path in paths])
        shares = (lengths.cumsum(0) / lengths.sum() * samples).round().int().tolist()
        sample = slot = 0
        for index, (stroke, curve, path) in enumerate(zip(strokes, dense, paths, strict=True)):
            last = slot + len(stroke)
            result.points[way, slot:last] = torch.tensor(stroke) / 100 - 0.5
            result.stroke[way, slot:last] = index
            result.curve[way, sample : shares[index], slot:last] = _evenly(curve, path, shares[index] - sample)
            slot, sample = last, shares[index]
            if sample < samples:
                result.down[way, sample - 1] = 0
    return result


def _spline(points: int, steps: int = 64) -> Tensor:
    """Return the matrix that turns control points into a Catmull-Rom curve through them: (steps (P - 1), P).

    Beyond its ends the curve continues to the end points' mirror images.
    """
    mirrored = torch.zeros(points + 2, points)
    mirrored[1:-1] = torch.eye(points)
    mirrored[0] = 2 * mirrored[1] - mirrored[2]
    mirrored[-1] = 2 * mirrored[-2] - mirrored[-3]
    t = torch.linspace(0, 1, steps)[:, None]
    powers = torch.cat([torch.ones_like(t), t, t**2, t**3], dim=1)
    cubic = torch.tensor([[0.0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    return (powers @ cubic @ mirrored.unfold(0, 4, 1).mT).flatten(0, 1)


def _lengths(path: Tensor) -> Tensor:
    """Return the length of a path (M, 2) up to each of its points: (M)."""
    return F.pad((path[1:] - path[:-1]).norm(dim=1).cumsum(0), (1, 0))


def _evenly(curve: Tensor, path: Tensor, count: int) -> Tensor:
    """Pick the rows of a curve's matrix that lie evenly along its path."""
    lengths = _lengths(path)
    wanted = torch.linspace(0, 1, count) * lengths[-1]
    return curve[torch.searchsorted(lengths, wanted).clamp_max(len(curve) - 1)]

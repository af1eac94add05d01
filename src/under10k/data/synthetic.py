"""Digits drawn by strokes: a data set that needs no file.

Each digit is written in one of several ways: control points, one smooth curve a stroke. The points tremble, the shape
is warped, stretched, slanted and turned, a pen of some width follows it, and the drawing is framed as MNIST's are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from under10k.data.digits import CLASSES, Digits
from under10k.data.framing import BOX, frame
from under10k.errors import UsageError
from under10k.machine import require_float32

Stroke = list[tuple[int, int]]
"""Control points (x, y) on a grid of 100 by 100, y pointing down; a point given twice makes a corner."""


WAYS: dict[int, list[tuple[float, list[Stroke]]]] = {
    0: [
        (3, [[(52, 0), (24, 14), (12, 50), (22, 85), (50, 100), (78, 85), (88, 50), (78, 14), (50, 0)]]),  # oval
        (1, [[(50, 2), (32, 25), (28, 68), (48, 100), (68, 75), (70, 28), (52, 2)]]),  # narrow
        (1, [[(66, 12), (44, 0), (18, 30), (14, 70), (42, 100), (80, 80), (84, 40), (64, 6), (36, 16)]]),  # hooked in
        (0.5, [[(42, 4), (16, 34), (14, 76), (44, 100), (82, 78), (86, 36), (66, 4)]]),  # open at the top
        (1, [[(88, 4), (50, 14), (16, 58), (28, 98), (68, 88), (90, 46), (74, 10), (52, 22)]]),  # with a tail
        (1, [[(34, 34), (60, 26), (80, 4), (44, 0), (14, 34), (20, 88), (56, 100), (88, 66), (82, 22), (58, 4)]]),
    ],
    1: [
        (5, [[(50, 0), (50, 50), (50, 100)]]),
        (1, [[(44, 0), (52, 30), (54, 65), (48, 100)]]),  # bent
        (1, [[(36, 14), (52, 0), (52, 0), (52, 50), (52, 100)]]),  # with a flag
        (1, [[(24, 32), (54, 0), (54, 0), (54, 50), (54, 100)]]),  # with a long flag
        (1.5, [[(26, 26), (54, 0), (54, 0), (54, 50), (54, 98)], [(20, 100), (50, 99), (86, 98)]]),  # and a base
    ],
    2: [
        (2, [[(14, 22), (36, 2), (70, 10), (66, 44), (12, 98), (12, 98), (50, 96), (90, 95)]]),  # pointed
        (1, [[(14, 24), (36, 4), (68, 12), (64, 46), (34, 84), (12, 94), (10, 80), (34, 76), (62, 94), (94, 92)]]),
        (2, [[(14, 24), (36, 2), (68, 10), (68, 42), (40, 84), (10, 96), (2, 78), (24, 66), (58, 84), (96, 90)]]),
        (1, [[(26, 22), (48, 0), (72, 14), (64, 54), (38, 94), (12, 96), (14, 72), (44, 70), (70, 88), (98, 84)]]),
        (1.5, [[(22, 20), (50, 0), (76, 20), (66, 60), (30, 96), (6, 84), (20, 62), (60, 74), (94, 78)]]),  # large loop
        (1, [[(14, 14), (44, 4), (76, 8), (62, 40), (18, 90), (18, 90), (50, 90), (92, 92)]]),  # as a Z
        (1, [[(20, 34), (30, 8), (64, 2), (72, 32), (44, 72), (18, 88), (22, 68), (50, 76), (74, 100)]]),  # tail down
        (1, [[(36, 16), (50, 0), (66, 16), (50, 62), (36, 96), (36, 96), (64, 95), (98, 90)]]),  # long foot
        (1, [[(14, 14), (48, 0), (82, 24), (72, 72), (40, 98), (16, 86), (34, 70), (64, 84), (90, 100)]]),  # as a d
    ],
    3: [
        (3, [[(16, 14), (44, 0), (74, 14), (64, 38), (38, 46), (38, 46), (74, 58), (76, 86), (44, 100), (10, 90)]]),
        (1, [[(14, 8), (44, 4), (78, 4), (78, 4), (44, 40), (44, 40), (78, 60), (70, 92), (36, 100), (10, 90)]]),
        (1, [[(20, 12), (54, 0), (72, 18), (50, 44), (32, 48), (40, 40), (74, 58), (70, 88), (36, 100), (6, 92)]]),
        (1, [[(10, 10), (48, 0), (70, 14), (58, 40), (46, 46), (46, 46), (64, 56), (60, 84), (46, 100), (26, 98)]]),
        (1, [[(18, 28), (34, 2), (76, 4), (70, 36), (34, 48), (34, 48), (82, 56), (84, 90), (44, 100), (14, 78)]]),
        (0.7, [[(22, 8), (60, 2), (74, 22), (58, 44), (74, 66), (60, 94), (20, 98)]]),  # hardly notched
    ],
    4: [
        (2, [[(22, 4), (16, 34), (14, 58), (14, 58), (48, 58), (88, 54)], [(74, 0), (68, 50), (62, 100)]]),  # open
        (1, [[(20, 4), (16, 36), (32, 54), (72, 46)], [(80, 4), (72, 50), (66, 100)]]),  # round
        (1, [[(62, 0), (36, 34), (8, 66), (8, 66), (48, 66), (92, 62)], [(64, 2), (64, 50), (64, 100)]]),  # closed
        (1, [[(20, 6), (14, 44), (36, 54), (62, 34), (80, 4), (80, 4), (64, 50), (48, 100)]]),  # in one go
        (1, [[(44, 0), (18, 44), (10, 64), (30, 60), (90, 46)], [(70, 22), (62, 58), (56, 100)]]),  # small cross
    ],
    5: [
        (2, [[(28, 6), (24, 26), (22, 46), (22, 46), (52, 40), (78, 60), (68, 90), (40, 100), (12, 90)],
             [(28, 6), (54, 4), (82, 2)]]),
        (2, [[(86, 4), (60, 5), (34, 6), (34, 6), (26, 44), (26, 44), (58, 44), (76, 66), (56, 94), (12, 96)]]),
        (1, [[(86, 2), (52, 4), (34, 24), (54, 46), (68, 68), (52, 94), (12, 98)]]),  # as an S
        (1, [[(98, 4), (70, 10), (44, 16), (44, 16), (30, 50), (30, 50), (60, 56), (60, 86), (34, 98), (4, 92)]]),
        (1, [[(30, 10), (22, 50), (22, 50), (60, 38), (84, 66), (60, 98), (24, 92), (14, 76)],
             [(30, 10), (60, 6), (92, 2)]]),  # curled in
    ],
    6: [
        (3, [[(64, 0), (36, 26), (16, 64), (28, 96), (62, 96), (78, 74), (60, 56), (32, 66), (22, 84)]]),
        (1, [[(26, 0), (18, 40), (20, 86), (50, 100), (80, 82), (68, 58), (42, 62), (22, 80)]]),  # as a b
        (1, [[(82, 6), (40, 12), (12, 50), (24, 90), (66, 98), (88, 70), (62, 50), (36, 62), (36, 78)]]),  # wide
        (1, [[(34, 0), (14, 40), (18, 90), (56, 98), (86, 72), (72, 48), (46, 66), (42, 94)]]),  # open
        (1, [[(70, 0), (46, 36), (26, 76), (34, 100), (58, 92), (66, 74), (52, 68), (28, 86)]]),  # small bowl
        (0.7, [[(56, 0), (34, 34), (26, 78), (42, 100), (64, 86), (56, 66), (36, 68), (10, 80)]]),  # crossing the stem
        (0.7, [[(42, 0), (28, 46), (24, 92), (24, 92), (60, 92), (84, 72), (60, 62), (30, 86)]]),  # pointed
    ],
    7: [
        (2, [[(10, 8), (46, 6), (84, 5), (84, 5), (60, 50), (46, 100)]]),
        (1, [[(12, 24), (16, 6), (16, 6), (50, 6), (86, 5), (86, 5), (60, 50), (48, 100)]]),  # with a serif
        (1, [[(10, 34), (20, 10), (20, 10), (48, 14), (84, 2), (84, 2), (62, 50), (48, 100)]]),  # with a long serif
        (1, [[(10, 8), (46, 6), (84, 5), (84, 5), (60, 50), (46, 100)], [(30, 52), (54, 50), (82, 48)]]),  # barred
        (1, [[(10, 26), (20, 6), (50, 8), (84, 4), (84, 4), (58, 50), (42, 100)], [(22, 58), (52, 52), (88, 50)]]),
        (1, [[(10, 18), (34, 6), (60, 10), (88, 2), (88, 2), (62, 50), (48, 100)]]),  # waved
        (1, [[(10, 12), (54, 2), (80, 14), (74, 52), (62, 100)]]),  # round
        (1, [[(10, 8), (40, 7), (74, 6), (74, 6), (74, 50), (72, 100)]]),  # straight leg
        (0.7, [[(14, 36), (20, 8), (20, 8), (50, 10), (84, 4), (84, 4), (60, 50), (46, 100)], [(34, 54), (80, 46)]]),
    ],
    8: [
        (2, [[(76, 14), (48, 0), (24, 18), (44, 44), (74, 70), (54, 100), (24, 82), (46, 52), (72, 30), (76, 10)]]),
        (1, [[(50, 0), (24, 12), (28, 40), (52, 48), (76, 36), (74, 10), (50, 0)],
             [(50, 48), (22, 62), (24, 92), (52, 100), (80, 88), (78, 60), (50, 48)]]),  # two rings
        (1, [[(92, 8), (60, 42), (22, 78), (28, 100), (58, 88), (56, 58), (36, 28), (52, 2), (90, 12)]]),  # slanting
        (1, [[(70, 6), (42, 2), (30, 24), (52, 46), (70, 76), (46, 100), (28, 80), (50, 50), (92, 18)]]),  # open
        (2, [[(88, 0), (56, 38), (24, 78), (32, 100), (54, 90), (50, 58), (18, 26), (26, 4), (62, 8)]]),  # as a ribbon
        (1, [[(72, 22), (56, 0), (22, 10), (30, 36), (58, 52), (66, 80), (46, 100), (34, 80), (56, 50), (94, 24)]]),
        (1.5, [[(98, 12), (60, 2), (24, 14), (40, 42), (66, 74), (44, 100), (26, 82), (50, 48), (68, 24), (54, 8)]]),
        (0.5, [[(80, 100), (52, 56), (28, 20), (50, 0), (72, 20), (52, 50), (22, 98)]]),  # open below
    ],
    9: [
        (2, [[(74, 16), (46, 2), (20, 26), (34, 48), (64, 40), (76, 12), (76, 12), (74, 56), (70, 100)]]),
        (1, [[(72, 10), (40, 8), (18, 34), (38, 50), (78, 14), (66, 56), (50, 100)]]),  # slanting
        (1, [[(72, 14), (46, 0), (22, 24), (40, 46), (74, 18), (80, 60), (62, 98), (24, 90)]]),  # hooked
        (1, [[(88, 6), (48, 6), (20, 30), (36, 46), (80, 12), (80, 12), (66, 56), (56, 100)]]),  # flat top
        (1, [[(78, 10), (40, 2), (10, 36), (30, 64), (66, 46), (82, 8), (82, 8), (82, 54), (84, 100)]]),  # large bowl
        (1, [[(82, 20), (60, 2), (16, 14), (14, 56), (60, 64), (84, 24), (84, 24), (86, 64), (90, 100)]]),  # as a q
        (1, [[(82, 2), (52, 4), (26, 24), (38, 44), (66, 34), (66, 34), (58, 68), (46, 100)]]),  # open
        (1, [[(60, 36), (36, 40), (30, 14), (58, 0), (70, 20), (62, 36), (60, 70), (54, 100)]]),  # small bowl
        (0.7, [[(78, 4), (34, 10), (20, 44), (72, 42), (80, 4), (80, 4), (70, 56), (64, 100)]]),  # as a 4, closed
    ],
}  # fmt: skip
"""The ways to write each digit: how often, relative to the others, and the strokes."""


RASTER = 42


SCALE = 2
"""Side of the square that the pen draws on, and its pixels for one of the frame's."""


SAMPLES = 64
"""Points at which the pen is set down along a digit."""


CHUNK = 1000
"""Digits drawn at once: bounds the memory, and is part of what a seed means."""


def draw_digits(count: int, seed: int) -> Digits:
    """Draw digits, equally many of each class (give or take one), in shuffled order.

    On one machine the same count and seed give the same bytes, whatever the number of threads; elsewhere a few grey
    levels may differ.

    Raises:
        UsageError: less than one digit is asked for, or torch's default type is not float32.
    """
    require_float32()
    if count < 1:
        raise UsageError(f"too few digits: {count}. ask for at least one")
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randperm(count, generator=generator) % CLASSES
    images = torch.cat([_draw(chunk, generator) for chunk in torch.split(labels, CHUNK)])
    return Digits(images, labels)


def _draw(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Draw one digit for each label: int64 (N) -> uint8 (N, 28, 28)."""
    templates = _templates()
    ways = torch.multinomial(templates.odds[labels], 1, generator=generator).squeeze(1)
    points = _write(ways, generator)
    squeezed = (_narrowness(points) / templates.narrowness[ways]).clamp_max(1)  # a thick pen would fill its loops
    width = 2.6 * squeezed * torch.exp(0.3 * torch.randn(len(labels), generator=generator))
    pressure = torch.exp(0.5 * torch.randn(len(labels), SAMPLES, generator=generator))
    ink = _ink(points, templates.down[ways], width.clamp(1.2, 6.0), pressure)
    return frame(ink).mul_(255).round_().to(torch.uint8)


def _write(ways: Tensor, generator: torch.Generator) -> Tensor:
    """Return the path of the pen for each way, each a little different: (N) -> (N, samples, 2), about the origin."""
    templates = _templates()
    count, slots = len(ways), templates.points.shape[1]

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator)

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
    """All ways of all digits as tensors: W ways of at most P control points, each drawn with K samples."""

    odds: Tensor
    """How often each way is used for each digit, relative to its others: (10, W)."""
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


@cache
def _templates() -> _Templates:
    """Lay out `WAYS` as tensors; samples are divided among a way's strokes by length."""
    ways = [(digit, odds, strokes) for digit in WAYS for odds, strokes in WAYS[digit]]
    slots = max(sum(map(len, strokes)) for _, _, strokes in ways)
    result = _Templates(
        odds=torch.zeros(CLASSES, len(ways)),
        points=torch.zeros(len(ways), slots, 2),
        stroke=torch.zeros(len(ways), slots, dtype=torch.int64),
        curve=torch.zeros(len(ways), SAMPLES, slots),
        down=torch.ones(len(ways), SAMPLES - 1),
    )
    for way, (digit, odds, strokes) in enumerate(ways):
        result.odds[digit, way] = odds
        dense = [_spline(len(stroke)) for stroke in strokes]
        paths = [
            curve @ torch.tensor(stroke, dtype=torch.float32) / 100
            for curve, stroke in zip(dense, strokes, strict=True)
        ]
        lengths = torch.tensor([float(_lengths(path)[-1]) for path in paths])
        shares = (lengths.cumsum(0) / lengths.sum() * SAMPLES).round().int().tolist()
        sample = slot = 0
        for index, (stroke, curve, path) in enumerate(zip(strokes, dense, paths, strict=True)):
            last = slot + len(stroke)
            result.points[way, slot:last] = torch.tensor(stroke) / 100 - 0.5
            result.stroke[way, slot:last] = index
            result.curve[way, sample : shares[index], slot:last] = _evenly(curve, path, shares[index] - sample)
            slot, sample = last, shares[index]
            if sample < SAMPLES:
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

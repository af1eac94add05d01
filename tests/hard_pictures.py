"""Pictures that people complain of: in a box, faint, blurred, amid specks; other hands; and what is no digit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from picture_maker import (
    PENCIL,
    Array,
    Condition,
    Scene,
    colour,
    draw,
    photograph,
    ramp,
    table,
    to_bytes,
)

Polyline = Sequence[tuple[float, float]]

SHARP = 4
"""Pixels that lines are drawn with for one of the picture, which is shrunk to smooth edges."""

HARD: dict[str, Condition] = {}


def hard(make: Condition) -> Condition:
    HARD[make.__name__.replace("_", " ")] = make
    return make


def draw_lines(height: int, width: int, lines: Sequence[Polyline], thickness: float) -> Array:
    """Draw lines through points (x, y), in pixels: how much of each pixel they cover, float (height, width)."""
    canvas = Image.new("L", (width * SHARP, height * SHARP))
    pen, round_end = ImageDraw.Draw(canvas), thickness * SHARP / 2
    for line in lines:
        points = [(x * SHARP, y * SHARP) for x, y in line]
        pen.line(points, 255, max(1, round(thickness * SHARP)), "curve")
        for x, y in points if thickness > 2 else ():
            pen.ellipse((x - round_end, y - round_end, x + round_end, y + round_end), 255)
    return np.asarray(canvas.resize((width, height), Image.Resampling.BOX), dtype=float) / 255


def box_around(
    middle: Array, half: Array, rng: np.random.Generator, *, degrees: float, missing: bool, double: float
) -> list[Polyline]:
    """Return a box's sides as lines: perhaps turned, with a side missing, or doubled so many pixels inside."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    lines: list[Polyline] = []
    first = int(rng.integers(4))
    for inset in (0.0, double) if double else (0.0,):
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]) * (half - inset)
        points = corners @ turn.T + middle
        sides = [[tuple(points[side]), tuple(points[side + 1])] for side in range(4)]
        lines += [side for number, side in enumerate(sides) if not (missing and number == first)]
    return lines


@hard
def in_a_box(image: Array, rng: np.random.Generator) -> Any:
    digit = rng.uniform(20, 150)
    half = digit * rng.uniform(1.3, 2.5) / 2 * np.array([rng.uniform(0.85, 1.0), 1.0])
    width, height = (int(2 * side * rng.uniform(1.1, 1.7)) + 4 for side in half)
    thickness = int(rng.integers(1, 4))
    middle = np.array([width / 2, height / 2])
    degrees = rng.uniform(-5, 5) if rng.random() < 0.3 else 0.0
    double = thickness + rng.uniform(2, 4) if rng.random() < 0.2 else 0.0
    sides = box_around(middle, half, rng, degrees=degrees, missing=rng.random() < 0.25, double=double)
    ink = draw(image, Scene(height, width, digit, offset=0), rng)
    box = draw_lines(height, width, sides, thickness)
    pixels = colour(ink, (90.0, 90.0, 90.0))
    pixels = pixels * (1 - box[..., None])
    if rng.random() < 0.2:  # the box touches the picture's edge
        left, top = (max(0, int(side)) for side in middle - half)
        pixels = pixels[:, left:] if rng.random() < 0.5 else pixels[top:]
    return to_bytes(pixels)


@hard
def box_in_a_photo(image: Array, rng: np.random.Generator) -> Any:
    digit = rng.uniform(80, 140)
    half = digit * rng.uniform(1.3, 2.0) / 2 * np.array([rng.uniform(0.85, 1.0), 1.0])
    sides = box_around(np.array([240.0, 180.0]), half, rng, degrees=rng.uniform(-5, 5), missing=False, double=0)
    ink = draw(image, Scene(360, 480, digit, digit * rng.uniform(0.03, 0.09), rng.uniform(-8, 8), 0), rng)
    return photograph(np.maximum(ink, draw_lines(360, 480, sides, rng.uniform(1.5, 3.5))), rng)


@hard
def faint_strokes_in_a_photo(image: Array, rng: np.random.Generator) -> Any:
    digit = rng.uniform(80, 230)
    ink = draw(image, Scene(360, 480, digit, digit * rng.uniform(0.03, 0.09), rng.uniform(-8, 8), 0.1), rng)
    pressure = ndimage.gaussian_filter(rng.normal(size=ink.shape), digit * rng.uniform(0.12, 0.25))
    seen = pressure[ink > 0.5]
    pressure = 0.35 + 0.65 * np.clip((pressure - seen.min()) / np.ptp(seen), 0, 1)
    y, x = np.mgrid[-1:1:360j, -1:1:480j]
    vignette = 1 - rng.uniform(0.2, 0.5) * (x * x + y * y) / 2
    light = ramp(360, 480, rng) * vignette
    return photograph(ink * pressure, rng, pen=tuple(np.array(PENCIL) * rng.uniform(0.6, 1.0)), light=light, noise=5)


@hard
def blurred_crop(image: Array, rng: np.random.Generator) -> Any:
    side = int(rng.integers(28, 65))
    digit = side * rng.uniform(0.6, 0.85)
    ink = draw(image, Scene(side * 4, side * 4, digit * 4, digit * 4 * rng.uniform(0.06, 0.14), offset=0.02), rng)
    if rng.random() < 0.5:  # a gap, as between a 5 and its bar
        y, x = np.mgrid[0 : side * 4, 0 : side * 4]
        slope, place = rng.uniform(-0.5, 0.5), side * 4 * rng.uniform(0.3, 0.5)
        ink = ink * (np.abs(y + slope * (x - side * 2) - place) > digit * 4 * rng.uniform(0.01, 0.03))
    ink = ndimage.gaussian_filter(ink, 4 * rng.uniform(0.4, 0.02 * side))
    small = np.asarray(Image.fromarray(ink.astype(np.float32)).resize((side, side), Image.Resampling.BOX))
    paper, contrast = rng.uniform(0.5, 0.95), rng.uniform(0.25, 0.8)
    pixels = 255 * paper * (1 - contrast * small) + rng.normal(size=small.shape) * 2
    return to_bytes(pixels)


def disturb(pixels: Image.Image, digit: float, rng: np.random.Generator) -> Image.Image:
    """Add specks, and at the edge a finger or the dark beyond the paper; digits lie farther inside."""
    levels = np.asarray(pixels, dtype=float)
    height, width = levels.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    cover = np.zeros((height, width))
    for _ in range(int(rng.integers(3, 9))):
        size = digit * rng.uniform(0.01, 0.06)
        where = rng.uniform(0, height), rng.uniform(0, width)
        cover = np.maximum(cover, np.clip(size - np.hypot(y - where[0], x - where[1]) + 0.5, 0, 1))
    levels = levels + cover[..., None] * (60 - levels)
    side, along = int(rng.integers(4)), rng.uniform(0.2, 0.8)
    if rng.random() < 0.6:  # a finger
        tip = [(along * height, 0), (along * height, width), (0, along * width), (height, along * width)][side]
        distance = np.hypot((y - tip[0]) / rng.uniform(0.7, 1.2), x - tip[1])
        finger = 1 / (1 + np.exp((distance - 0.07 * min(height, width)) / 2))
        levels += finger[..., None] * (rng.uniform(0.6, 1) * np.array([188, 140, 112]) - levels)
    elif rng.random() < 0.5:
        paper = table(height, width, rng)
        levels = paper[..., None] * levels + (1 - paper[..., None]) * np.array([60.0, 50, 45])
    return Image.fromarray(to_bytes(levels))


@hard
def specks_and_a_finger(image: Array, rng: np.random.Generator) -> Any:
    digit = rng.uniform(90, 170)
    ink = draw(image, Scene(360, 480, digit, digit * rng.uniform(0.03, 0.09), rng.uniform(-8, 8), 0.02), rng)
    return disturb(photograph(ink, rng), digit, rng)


# --- hands ---------------------------------------------------------------------------------------------------------


def european_one(rng: np.random.Generator) -> list[Polyline]:
    length, angle = rng.uniform(0.3, 0.8), np.deg2rad(rng.uniform(25, 50))
    lean = np.tan(np.deg2rad(rng.uniform(-8, 25)))
    begin = (lean - length * np.sin(angle + np.arctan(lean)), length * np.cos(angle + np.arctan(lean)))
    strokes: list[Polyline] = [[begin, (lean, 0), (0, 1)]]
    return [*strokes, [(-0.3, 1), (0.3, 1)]] if rng.random() < 0.3 else strokes


HANDS: dict[str, tuple[int, list[Polyline]]] = {
    "7 with a bar": (7, [[(0.1, 0.04), (0.8, 0.02), (0.35, 1)], [(0.25, 0.5), (0.8, 0.48)]]),
    "7 with a bar and a serif": (7, [[(0.08, 0.2), (0.1, 0.03), (0.85, 0.03), (0.45, 1)], [(0.32, 0.55), (0.86, 0.5)]]),
    "open 4": (4, [[(0.3, 0), (0.05, 0.62), (0.9, 0.6)], [(0.65, 0.3), (0.6, 1)]]),
    "open 4 with a long stem": (4, [[(0.2, 0.05), (0.15, 0.55), (0.8, 0.55)], [(0.75, 0), (0.7, 1)]]),
    "4 closed like a 9": (4, [[(0.65, 0), (0.1, 0.58), (0.7, 0.56)], [(0.66, 0), (0.66, 1)]]),
    "9 with a straight leg": (9, [[(0.7, 0.2), (0.55, 0.02), (0.3, 0.02), (0.15, 0.22), (0.28, 0.44), (0.5, 0.44),
                                   (0.7, 0.2)], [(0.7, 0.02), (0.7, 1)]]),
    "square 5": (5, [[(0.8, 0), (0.2, 0), (0.2, 0.45), (0.55, 0.4), (0.8, 0.6), (0.75, 0.88), (0.4, 1), (0.1, 0.9)]]),
    "slashed 0": (0, [[(0.5, 0), (0.22, 0.14), (0.12, 0.5), (0.22, 0.86), (0.5, 1), (0.78, 0.86), (0.88, 0.5),
                       (0.78, 0.14), (0.5, 0)], [(0.2, 0.85), (0.8, 0.15)]]),
    "flat 3": (3, [[(0.15, 0.02), (0.8, 0.02), (0.42, 0.4), (0.7, 0.48), (0.82, 0.72), (0.65, 0.96), (0.35, 1),
                    (0.1, 0.88)]]),
}  # fmt: skip
"""Digits by strokes, within a square of side 1, y pointing down; straight from point to point."""


def write_strokes(strokes: Sequence[Polyline], rng: np.random.Generator) -> Any:
    """Write strokes as a person would, a little different each time, and hand in a drawing or a photo."""
    digit = rng.uniform(120, 220)
    tremble = 0.02
    slant = np.tan(np.deg2rad(rng.uniform(-5, 12)))
    lines = []
    for stroke in strokes:
        points = np.array(stroke) + rng.normal(size=(len(stroke), 2)) * tremble
        lines.append(points @ np.array([[1.0, 0.0], [-slant, 1.0]]))
    everything = np.concatenate(lines)
    scale = digit / np.ptp(everything, axis=0).max()
    place = np.array([160, 140]) - scale * (everything.min(0) + everything.max(0)) / 2
    ink = draw_lines(280, 320, [[tuple(point) for point in scale * line + place] for line in lines], rng.uniform(4, 18))
    if rng.random() < 0.5:
        return photograph(ink, rng)
    return to_bytes(colour(ink))


def written_by_another_hand(rng: np.random.Generator) -> tuple[Any, int]:
    """Write a digit in a way that MNIST hardly has; every second is a European 1."""
    if rng.random() < 0.5:
        return write_strokes(european_one(rng), rng), 1
    label, strokes = HANDS[sorted(HANDS)[rng.integers(len(HANDS))]]
    return write_strokes(strokes, rng), label


# --- no digits -----------------------------------------------------------------------------------------------------

LETTERS: dict[str, list[Polyline]] = {
    "A": [[(0, 1), (0.5, 0), (1, 1)], [(0.2, 0.6), (0.8, 0.6)]],
    "E": [[(0.8, 0), (0, 0), (0, 1), (0.8, 1)], [(0, 0.5), (0.6, 0.5)]],
    "F": [[(0.8, 0), (0, 0), (0, 1)], [(0, 0.5), (0.6, 0.5)]],
    "H": [[(0, 0), (0, 1)], [(0.8, 0), (0.8, 1)], [(0, 0.5), (0.8, 0.5)]],
    "K": [[(0, 0), (0, 1)], [(0.8, 0), (0, 0.55), (0.8, 1)]],
    "M": [[(0, 1), (0.05, 0), (0.5, 0.6), (0.95, 0), (1, 1)]],
    "N": [[(0, 1), (0, 0), (0.8, 1), (0.8, 0)]],
    "P": [[(0, 1), (0, 0), (0.6, 0.05), (0.7, 0.25), (0.6, 0.45), (0, 0.5)]],
    "R": [[(0, 1), (0, 0), (0.6, 0.05), (0.7, 0.25), (0.6, 0.45), (0, 0.5), (0.8, 1)]],
    "T": [[(0, 0), (0.9, 0)], [(0.45, 0), (0.45, 1)]],
    "U": [[(0, 0), (0, 0.7), (0.15, 0.95), (0.4, 1), (0.65, 0.95), (0.8, 0.7), (0.8, 0)]],
    "V": [[(0, 0), (0.4, 1), (0.8, 0)]],
    "W": [[(0, 0), (0.25, 1), (0.5, 0.3), (0.75, 1), (1, 0)]],
    "X": [[(0, 0), (0.8, 1)], [(0.8, 0), (0, 1)]],
    "Y": [[(0, 0), (0.4, 0.5), (0.8, 0)], [(0.4, 0.5), (0.4, 1)]],
    "D": [[(0, 0), (0, 1), (0.5, 0.9), (0.75, 0.5), (0.5, 0.1), (0, 0)]],
    "L": [[(0, 0), (0, 1), (0.7, 1)]],
    "J": [[(0.6, 0), (0.6, 0.8), (0.4, 1), (0.1, 0.95), (0, 0.75)], [(0.3, 0), (0.9, 0)]],
    "C": [[(0.8, 0.15), (0.5, 0), (0.15, 0.2), (0, 0.5), (0.15, 0.8), (0.5, 1), (0.8, 0.85)]],
    "Q": [[(0.5, 0), (0.1, 0.2), (0, 0.5), (0.1, 0.8), (0.5, 1), (0.9, 0.8), (1, 0.5), (0.9, 0.2), (0.5, 0)],
          [(0.6, 0.7), (1, 1.05)]],
    "h": [[(0, 0), (0, 1)], [(0, 0.6), (0.3, 0.42), (0.55, 0.55), (0.6, 1)]],
    "k": [[(0, 0), (0, 1)], [(0.55, 0.35), (0, 0.7), (0.6, 1)]],
    "m": [[(0, 0.1), (0, 1)], [(0, 0.4), (0.25, 0.15), (0.45, 0.35), (0.45, 1)], [(0.45, 0.4), (0.7, 0.15),
          (0.9, 0.35), (0.9, 1)]],
    "n": [[(0, 0), (0, 1)], [(0, 0.35), (0.35, 0.02), (0.65, 0.25), (0.65, 1)]],
    "e": [[(0, 0.5), (0.8, 0.5), (0.7, 0.15), (0.4, 0), (0.1, 0.2), (0, 0.55), (0.15, 0.9), (0.45, 1), (0.8, 0.85)]],
    "w": [[(0, 0), (0.2, 0.9), (0.35, 0.95), (0.5, 0.3), (0.65, 0.95), (0.8, 0.9), (1, 0)]],
}  # fmt: skip
"""Letters that no digit looks like, by strokes within a square of side 1."""


def letter(rng: np.random.Generator) -> Any:
    return write_strokes(LETTERS[sorted(LETTERS)[rng.integers(len(LETTERS))]], rng)


def scribble(rng: np.random.Generator) -> Any:
    """Draw a signature of a kind: loops that run to the right."""
    t = np.linspace(0, rng.uniform(3, 6), 120)
    x = t * 0.35 + 0.25 * np.sin(2 * np.pi * t + rng.uniform(0, 6))
    y = 0.4 * np.cos(2 * np.pi * t) * (0.6 + 0.4 * np.sin(t * rng.uniform(0.5, 2))) + rng.uniform(-0.1, 0.1) * t
    return write_strokes([list(zip(x, y, strict=True))], rng)


def face(rng: np.random.Generator) -> Any:
    """Draw a face: a round head, eyes and a mouth."""
    around = np.linspace(0, 2 * np.pi, 40)
    head = list(zip(0.5 + 0.5 * np.cos(around), 0.5 + 0.55 * np.sin(around), strict=True))
    eyes = [[(x, 0.35), (x + 0.03, 0.38)] for x in (0.32, 0.64)]
    mouth = [(0.28, 0.68), (0.4, 0.78), (0.6, 0.78), (0.72, 0.68)]
    return write_strokes([head, *eyes, mouth], rng)


NO_DIGITS: dict[str, Callable[[np.random.Generator], Any]] = {
    "26 letters": letter,
    "a signature": scribble,
    "a face": face,
}
"""Draws what is no digit, which `under10k.predict` should not be sure of."""

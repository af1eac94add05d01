"""Pictures of digits as people make them: drawn, scanned, photographed. Seeded; a condition a function."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

Array = np.ndarray[Any, Any]

FINE = 6
"""Pixels of a digit's fine drawing for one of its 28x28 image."""

WHITE, BLACK = (255.0, 255.0, 255.0), (0.0, 0.0, 0.0)
BLUE, PENCIL = (38.0, 56.0, 142.0), (112.0, 112.0, 116.0)


@dataclass(frozen=True)
class Scene:
    """How a digit is put on paper; lengths are pixels of the picture."""

    height: int = 280
    width: int = 280
    digit: float = 190
    """Length of the digit's larger side."""
    pen: float | None = None
    """Width of the pen; None: the strokes keep the shape that they have."""
    degrees: float = 0
    offset: float = 0.05
    """Largest distance of the digit's middle from the picture's, as a share of the picture."""


def shape_of(image: Array) -> Array:
    """Return a digit's fine drawing as the distance from its edge, positive inside, in pixels of its 28x28 image."""
    fine = ndimage.gaussian_filter(ndimage.zoom(image / 255.0, FINE, order=1, grid_mode=True, mode="nearest"), FINE / 5)
    inside = fine > 0.5
    return np.asarray(
        (ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)) / FINE, np.float32
    )


def thin(shape: Array) -> Array:
    """Reduce a shape to lines a pixel thin (T. Y. Zhang and C. Y. Suen, 1984)."""
    lines = np.pad(shape, 1)
    while True:
        before = lines.sum()
        for step in (0, 1):
            n, ne, e, se, s, sw, w, nw = (
                np.roll(lines, shift, (0, 1))
                for shift in ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))
            )
            ring = np.stack((n, ne, e, se, s, sw, w, nw)).astype(np.int8)
            count = ring.sum(0)
            turns = ((ring == 0) & (np.roll(ring, -1, 0) == 1)).sum(0)
            ends = ~(n & e & s) & ~(e & s & w) if step == 0 else ~(n & e & w) & ~(n & s & w)
            lines &= ~((count >= 2) & (count <= 6) & (turns == 1) & ends)
        if lines.sum() == before:
            return np.asarray(lines[1:-1, 1:-1])


FILLED = 2.0
"""How much deeper than its strokes usually are a place of a digit is where a small loop was filled in."""


def pen_line(shape: Array) -> Array:
    """Return where a pen went to write a shape: along the middle of its strokes, and around a loop that is filled in.

    Without the latter a 6 whose loop is filled would be a 1.
    """
    usual = float(np.median(shape[thin(shape > 0)]))
    return thin((shape > 0) & (shape < FILLED * usual))


def draw(image: Array, scene: Scene, rng: np.random.Generator) -> Array:
    """Draw a digit into a scene: uint8 (28, 28) -> ink float (height, width) in [0, 1], its edges smooth."""
    edge = shape_of(image)
    if scene.pen is not None:
        edge = -ndimage.distance_transform_edt(~pen_line(edge)) / FINE
    rows, columns = np.nonzero(edge > -0.5 / FINE if scene.pen is not None else edge > 0)
    middle = np.array([rows.min() + rows.max(), columns.min() + columns.max()]) / 2
    pen = scene.pen or 0
    scale = max(int(np.ptp(rows)), int(np.ptp(columns)), 1) / max(
        scene.digit - pen, 1
    )  # fine pixels for one of the picture
    angle = np.deg2rad(scene.degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) * scale
    size = np.array([scene.height, scene.width])
    place = size / 2 + rng.uniform(-1, 1, 2) * scene.offset * size
    distance = ndimage.affine_transform(
        edge, turn, middle - turn @ place, output_shape=tuple(size), order=1, mode="constant", cval=edge.min()
    )
    return np.clip(0.5 + distance * FINE / scale + pen / 2, 0, 1)


def colour(ink: Array, pen: tuple[float, ...] = BLACK, paper: tuple[float, ...] = WHITE) -> Array:
    """Give ink and paper their colours: (H, W) -> float (H, W, 3) in 0..255."""
    return np.asarray(ink[..., None] * np.array(pen) + (1 - ink[..., None]) * np.array(paper))


def to_bytes(pixels: Array) -> Array:
    return np.asarray(np.clip(np.round(pixels), 0, 255), dtype=np.uint8)


def jpeg(pixels: Array, quality: int) -> Image.Image:
    """Compress and open again."""
    buffer = io.BytesIO()
    Image.fromarray(to_bytes(pixels)).save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


# --- what befalls a photo ------------------------------------------------------------------------------------------


def ramp(height: int, width: int, rng: np.random.Generator) -> Array:
    """Light that comes from one side: 1 there, less at the other; and a darker edge all around, as lenses make it."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    slope = rng.uniform(0.1, 0.3) * (np.cos(angle) * x + np.sin(angle) * y)
    return np.asarray((0.7 + slope) * (1 - rng.uniform(0.05, 0.22) * (x * x + y * y) / 2) / 0.95)


def shadow(height: int, width: int, rng: np.random.Generator) -> Array:
    """A finger's or a phone's shadow across the picture: 1 in the light, its edges soft."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    angle, side = rng.uniform(0, 2 * np.pi), rng.uniform(-0.15, 0.25)
    across = np.cos(angle) * (x - x.mean()) + np.sin(angle) * (y - y.mean()) - side
    soft = rng.uniform(0.01, 0.06)
    depth = rng.uniform(0.3, 0.6)
    within = 1 / (1 + np.exp(-across / soft))
    if rng.random() < 0.5:  # a finger: it ends on the other side, too
        within = within * (1 / (1 + np.exp((across - rng.uniform(0.15, 0.3)) / soft)))
    return np.asarray(1 - depth * within)


def lines(height: int, width: int, rng: np.random.Generator, *, squared: bool, step: float, degrees: float) -> Array:
    """Ruled or squared paper: how much of each pixel its lines cover."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    angle = np.deg2rad(degrees)
    thickness = max(1.0, step * rng.uniform(0.03, 0.06))
    cover = np.zeros((height, width))
    for direction in (y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle))[: 1 + squared]:
        phase = (direction + rng.uniform(0, step)) % step
        cover = np.maximum(cover, np.clip(thickness / 2 + 0.5 - np.abs(phase - step / 2), 0, 1))
    return cover


def table(height: int, width: int, rng: np.random.Generator) -> Array:
    """Where paper lies, 1, and where the table shows at one or two sides, 0."""
    y, x = np.mgrid[0:height, 0:width]
    paper = np.ones((height, width))
    for side in rng.choice(4, rng.integers(1, 3), replace=False):
        deep = rng.uniform(0.03, 0.14)
        slope = np.tan(np.deg2rad(rng.uniform(-6, 6)))
        along, across, length = (x, y, height) if side < 2 else (y, x, width)
        far = across if side % 2 == 0 else length - 1 - across
        paper = np.minimum(paper, np.clip(far - deep * length - slope * along + 0.5, 0, 1))
    return paper


def wood(height: int, width: int, rng: np.random.Generator) -> Array:
    """A brown table top with its grain."""
    grain = ndimage.uniform_filter(rng.standard_normal((height, width), np.float32), (2, 50))
    tone = rng.uniform(0.6, 1.2) * np.array([120.0, 84.0, 56.0])
    return np.asarray(tone * (1 + 0.15 * grain / grain.std())[..., None])


def photograph(
    ink: Array,
    rng: np.random.Generator,
    *,
    pen: tuple[float, ...] = BLUE,
    ruling: Array | None = None,
    light: Array | None = None,
    paper_edge: Array | None = None,
    blur: float | None = None,
    noise: float = 4.0,
    quality: int | None = None,
) -> Image.Image:
    """Take a photo of ink on paper under some light; all that is not given is as usual with a phone."""
    height, width = ink.shape
    paper = rng.uniform(0.72, 0.95) * np.array([255.0, 251.0, 243.0])
    pixels = np.broadcast_to(paper, (height, width, 3)).copy()
    if ruling is not None:
        tone = np.array([(150.0, 175.0, 215.0), (165.0, 165.0, 170.0), (215.0, 170.0, 170.0)][rng.integers(3)])
        pixels += ruling[..., None] * (tone - pixels)
    strength = ink * rng.uniform(0.85, 1.0)
    pixels += strength[..., None] * (np.array(pen) - pixels)
    if paper_edge is not None:
        pixels = paper_edge[..., None] * pixels + (1 - paper_edge[..., None]) * wood(height, width, rng)
    pixels *= (ramp(height, width, rng) if light is None else light)[..., None]
    deviation = rng.uniform(0.3, 1.0) if blur is None else blur
    pixels = ndimage.gaussian_filter(pixels.astype(np.float32), (deviation, deviation, 0), truncate=3)
    pixels += noise * rng.standard_normal((height, width, 1), np.float32)
    pixels += noise / 2 * rng.standard_normal(pixels.shape, np.float32)
    return jpeg(pixels, int(rng.integers(60, 95)) if quality is None else quality)


PHOTO = Scene(height=360, width=480, digit=170, pen=8, offset=0.12)


def _photo_scene(rng: np.random.Generator, **changes: Any) -> Scene:
    upright = rng.random() < 0.5
    sides = {"height": 480, "width": 360} if upright else {}
    digit = rng.uniform(80, 230)
    return replace(
        PHOTO,
        **{**sides, "digit": digit, "pen": digit * rng.uniform(0.02, 0.09), "degrees": rng.uniform(-8, 8), **changes},
    )


Condition = Callable[[Array, np.random.Generator], Any]
"""Draws a digit, uint8 (28, 28), as a picture that `under10k.predict` takes."""

CONDITIONS: dict[str, Condition] = {}


def condition(make: Condition) -> Condition:
    CONDITIONS[make.__name__.replace("_", " ").strip()] = make
    return make


# --- drawings ------------------------------------------------------------------------------------------------------


@condition
def mnist_itself(image: Array, rng: np.random.Generator) -> Any:
    return image


@condition
def mnist_enlarged(image: Array, rng: np.random.Generator) -> Any:
    how = [Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC][rng.integers(3)]
    side = int(rng.integers(60, 600))
    large = Image.fromarray(image).resize((side, side), how)
    return Image.eval(large, lambda value: 255 - value) if rng.random() < 0.5 else large


@condition
def brush(image: Array, rng: np.random.Generator) -> Any:
    return to_bytes(colour(draw(image, Scene(), rng)))


@condition
def brush_twenty_thick(image: Array, rng: np.random.Generator) -> Any:
    return to_bytes(colour(draw(image, Scene(digit=rng.uniform(120, 230), pen=20), rng)))


@condition
def pen_one_thin(image: Array, rng: np.random.Generator) -> Any:
    side = int(rng.integers(100, 500))
    scene = Scene(side, side, digit=side * rng.uniform(0.4, 0.9), pen=1)
    return to_bytes(colour(draw(image, scene, rng)))


@condition
def two_colours_only(image: Array, rng: np.random.Generator) -> Any:
    side = int(rng.integers(60, 400))
    ink = draw(image, Scene(side, side, digit=side * 0.75, pen=max(1, side * rng.uniform(0.01, 0.1))), rng)
    return Image.fromarray(ink < 0.5)


@condition
def white_on_black(image: Array, rng: np.random.Generator) -> Any:
    pen = rng.uniform(4, 22)
    return to_bytes(colour(draw(image, Scene(pen=pen), rng), WHITE, (rng.uniform(0, 60),) * 3))


@condition
def transparent_paper(image: Array, rng: np.random.Generator) -> Any:
    ink = draw(image, Scene(pen=rng.uniform(3, 18)), rng)
    pixels = np.zeros((*ink.shape, 4))
    pixels[..., :3] = [BLACK, WHITE, BLUE][rng.integers(3)]
    pixels[..., 3] = 255 * ink
    return Image.fromarray(to_bytes(pixels))


@condition
def coloured_marker(image: Array, rng: np.random.Generator) -> Any:
    hues = [(214, 40, 40), (24, 140, 70), (240, 130, 20), (250, 215, 0), (230, 60, 160), (30, 120, 220), (120, 70, 30)]
    ink = draw(image, Scene(pen=rng.uniform(8, 22), degrees=rng.uniform(-8, 8)), rng)
    if rng.random() < 0.3:
        return to_bytes(colour(ink, hues[rng.integers(len(hues))], BLACK))
    return to_bytes(colour(ink, hues[rng.integers(len(hues))]))


@condition
def tight_crop(image: Array, rng: np.random.Generator) -> Any:
    scene = Scene(pen=None if rng.random() < 0.5 else rng.uniform(3, 22), degrees=rng.uniform(-8, 8))
    ink = draw(image, scene, rng)
    rows, columns = np.nonzero(ink > 0.5)
    pixels = to_bytes(colour(ink))[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return pixels if rng.random() < 0.5 else 255 - pixels


@condition
def in_a_corner(image: Array, rng: np.random.Generator) -> Any:
    digit = rng.uniform(30, 60)
    scene = Scene(360, 480, digit=digit, pen=digit * rng.uniform(0.04, 0.12), offset=0.4)
    return to_bytes(colour(draw(image, scene, rng)))


@condition
def turned_15_degrees(image: Array, rng: np.random.Generator) -> Any:
    return to_bytes(colour(draw(image, Scene(degrees=rng.choice([-15, 15])), rng)))


@condition
def small_picture(image: Array, rng: np.random.Generator) -> Any:
    side = int(rng.integers(14, 28))
    return Image.fromarray(to_bytes(colour(draw(image, Scene(side * 8, side * 8, side * 6.8), rng)))).resize(
        (side, side), Image.Resampling.BOX
    )


@condition
def broken_strokes(image: Array, rng: np.random.Generator) -> Any:
    """Gaps of some pixels, as a dry pen or a poor print leaves them."""
    ink = draw(image, Scene(pen=rng.uniform(8, 18)), rng)
    y, x = np.mgrid[0:280, 0:280]
    angle, period = rng.uniform(0, np.pi), rng.uniform(30, 70)
    gap = (np.cos(angle) * x + np.sin(angle) * y) % period < rng.uniform(3, 8)
    return to_bytes(colour(np.where(gap, 0, ink)))


@condition
def dotted_line(image: Array, rng: np.random.Generator) -> Any:
    ink = draw(image, Scene(pen=rng.uniform(8, 12)), rng)
    step = rng.uniform(14, 18)
    y, x = np.mgrid[0:280, 0:280]
    dots = np.hypot((y % step) - step / 2, (x % step) - step / 2) < step * 0.42
    return to_bytes(colour(ink * dots))


@condition
def faded_ink(image: Array, rng: np.random.Generator) -> Any:
    ink = draw(image, Scene(pen=rng.uniform(6, 16)), rng)
    fade = ndimage.gaussian_filter(rng.normal(size=ink.shape), 30)
    fade = np.clip(0.65 + 0.35 * fade / np.abs(fade).max(), 0.3, 1)
    return to_bytes(colour(ink * fade))


# --- photos --------------------------------------------------------------------------------------------------------


@condition
def photo_of_plain_paper(image: Array, rng: np.random.Generator) -> Any:
    return photograph(draw(image, _photo_scene(rng), rng), rng)


@condition
def pencil(image: Array, rng: np.random.Generator) -> Any:
    return photograph(draw(image, _photo_scene(rng), rng), rng, pen=tuple(rng.uniform(0.9, 1.25) * np.array(PENCIL)))


@condition
def ruled_paper(image: Array, rng: np.random.Generator) -> Any:
    scene = _photo_scene(rng)
    step, tilt = scene.digit * rng.uniform(0.25, 1.0), rng.uniform(-8, 8)
    ruling = lines(scene.height, scene.width, rng, squared=False, step=step, degrees=tilt)
    return photograph(draw(image, scene, rng), rng, ruling=ruling)


@condition
def squared_paper(image: Array, rng: np.random.Generator) -> Any:
    scene = _photo_scene(rng)
    step, tilt = scene.digit * rng.uniform(0.15, 0.8), rng.uniform(-8, 8)
    ruling = lines(scene.height, scene.width, rng, squared=True, step=step, degrees=tilt)
    return photograph(draw(image, scene, rng), rng, ruling=ruling)


@condition
def shadow_across(image: Array, rng: np.random.Generator) -> Any:
    scene = _photo_scene(rng)
    light = ramp(scene.height, scene.width, rng) * shadow(scene.height, scene.width, rng)
    return photograph(draw(image, scene, rng), rng, light=light)


@condition
def table_at_the_edge(image: Array, rng: np.random.Generator) -> Any:
    scene = _photo_scene(rng, offset=0.05)
    return photograph(draw(image, scene, rng), rng, paper_edge=table(scene.height, scene.width, rng))


@condition
def out_of_focus(image: Array, rng: np.random.Generator) -> Any:
    scene = _photo_scene(rng)
    return photograph(draw(image, scene, rng), rng, blur=scene.digit * rng.uniform(0.015, 0.04))


@condition
def noise(image: Array, rng: np.random.Generator) -> Any:
    return photograph(draw(image, _photo_scene(rng), rng), rng, noise=rng.uniform(10, 22))


@condition
def jpeg_of_low_quality(image: Array, rng: np.random.Generator) -> Any:
    return photograph(draw(image, _photo_scene(rng), rng), rng, quality=int(rng.integers(8, 25)))


@condition
def blackboard(image: Array, rng: np.random.Generator) -> Any:
    scene = _photo_scene(rng, pen=rng.uniform(5, 15))
    chalk = draw(image, scene, rng)
    chalk = chalk * np.clip(0.75 + 0.25 * rng.normal(size=chalk.shape), 0, 1)
    board = colour(chalk, (225.0, 225.0, 215.0), (45.0, 70.0, 58.0))
    return jpeg(board * ramp(scene.height, scene.width, rng)[..., None] + rng.normal(size=board.shape) * 4, 85)


@condition
def all_at_once(image: Array, rng: np.random.Generator) -> Any:
    """Squared paper under a shadow, the table in sight, a little out of focus."""
    scene = _photo_scene(rng, offset=0.05)
    step = scene.digit * rng.uniform(0.2, 0.8)
    return photograph(
        draw(image, scene, rng),
        rng,
        ruling=lines(scene.height, scene.width, rng, squared=True, step=step, degrees=rng.uniform(-8, 8)),
        light=ramp(scene.height, scene.width, rng) * shadow(scene.height, scene.width, rng),
        paper_edge=table(scene.height, scene.width, rng),
        blur=rng.uniform(0.8, 2.0),
    )


@condition
def close_up(image: Array, rng: np.random.Generator) -> Any:
    """A marker's digit that fills the photo."""
    scene = _photo_scene(rng, digit=rng.uniform(280, 340), pen=None, offset=0.02)
    return photograph(draw(image, scene, rng), rng)

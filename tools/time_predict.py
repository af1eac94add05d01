"""Time how many pictures `under10k.predict` reads a second: python tools/time_predict.py [THREADS].

Besides the time on the clock it counts the processor's, of all threads together, which other programs change less.

Photos have 12 megapixels: the tests' photographs of synthetic digits, enlarged to 4000x3000 with noise of their own, as
JPEG files of quality 90. Arrays are synthetic digits in MNIST's frame, uint8 (28, 28). The network is loaded before.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import under10k
from picture_maker import CONDITIONS
from under10k.data import draw_digits

PHOTOS = ("photo of plain paper", "pencil", "ruled paper", "squared paper", "shadow across", "table at the edge")

ARRAYS, ROUNDS = 5000, 3


def main(threads: int) -> None:
    """Print the best of some rounds, for single photos, a list of photos, and a batch of arrays."""
    torch.set_num_threads(threads)
    model = under10k.load_model("robust")
    digits = np.tile(draw_digits(ARRAYS // 10, seed=1).images.numpy(), (10, 1, 1))
    photos = [take_photo(name, digits[number], number) for number, name in enumerate(PHOTOS)]
    megabytes = sum(map(len, photos)) / len(photos) / 1e6
    print(f"{threads} threads, best of {ROUNDS}")
    clock, cpu = best(lambda: under10k.predict(photos[0], model))
    print(f"  a photo of {megabytes:.1f} MB by itself: {1000 * clock:.0f} ms, {1000 * cpu:.0f} of the processor")
    for name, many in (("photos", photos * 2), ("arrays", digits)):
        clock, cpu = best(lambda many=many: under10k.predict(many, model))  # type: ignore[misc]
        print(f"  {name}: {len(many) / clock:,.1f} a second, {len(many) / cpu:,.1f} a second of the processor")


def take_photo(condition: str, digit: np.ndarray, seed: int) -> bytes:
    """Return a JPEG of 12 megapixels."""
    rng = np.random.default_rng(seed)
    small = CONDITIONS[condition](digit, rng)
    assert isinstance(small, Image.Image)
    pixels = np.asarray(small.convert("RGB").resize((4000, 3000), Image.Resampling.BICUBIC), dtype=np.float32)
    noise = ndimage.gaussian_filter(rng.normal(size=(3000, 4000)).astype(np.float32), 0.7)
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels + 7 * noise[..., None], 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def best(act: Callable[[], object]) -> tuple[float, float]:
    """Return the fewest seconds that it took, by the clock and of the processor."""
    took = []
    for _ in range(ROUNDS):
        start = time.perf_counter(), time.process_time()
        act()
        took.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return min(clock for clock, _ in took), min(cpu for _, cpu in took)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else torch.get_num_threads())

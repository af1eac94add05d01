"""What the recipe `personal` is worth: a study over hands, `python tools/study_hands.py [HANDS] [FIRST]`.

A hand writes each digit in one way of its own: one of the stroke generator's, its points moved about, then slanted,
turned and stretched; with one pen. Each writes five of each digit to learn from, the zip that the page makes, of which
a fifth becomes the test part; and 500 others to be scored on. MNIST is scored on its 10,000 test images.
"""

from __future__ import annotations

import math
import sys
import tempfile
from pathlib import Path

import torch

from under10k.data import CLASSES, Dataset, Digits, load_digits
from under10k.data.gathered import cut_test
from under10k.data.pen import WIDTH, Ways, write
from under10k.data.world import WORLD
from under10k.evaluation import evaluate, mean_interval, paired_difference
from under10k.recipes import Recipe, get_recipe
from under10k.runs import load_model
from under10k.training import train

EXAMPLES = 5
"""Of each digit, to learn from."""


SCORED = 500
"""Digits of a hand that it is scored on."""


UNSTEADY = 0.3
"""How much two writings of one hand differ, where two people's differ by 1."""


def draw_hand(hand: int, count: int, writing: int) -> Digits:
    """Draw digits of a hand, equally many of each; another `writing` is the same hand on another day."""
    style = torch.Generator().manual_seed(hand)
    slant, turn, stretch, width = torch.randn(4, generator=style).tolist()
    lean = 0.3 * slant
    cos, sin, wide = math.cos(0.12 * turn), math.sin(0.12 * turn), math.exp(0.1 * stretch)
    shape = torch.tensor([[cos, -sin], [sin, cos]]) @ torch.tensor([[wide, -lean], [0, 1 / wide]])
    ways: Ways = {}
    for digit, known in WORLD.items():
        _, strokes = known[int(torch.randint(len(known), (), generator=style))]
        bent = [torch.tensor(stroke) - 50 + 6 * torch.randn(len(stroke), 2, generator=style) for stroke in strokes]
        ways[digit] = [(1.0, [[(round(x), round(y)) for x, y in (stroke @ shape.T + 50).tolist()] for stroke in bent])]
    labels = torch.arange(count) % CLASSES
    generator = torch.Generator().manual_seed(hand * 1000 + writing)
    pen = WIDTH * math.exp(0.2 * width)
    return Digits(write(labels, ways, generator, variety=UNSTEADY, width_pixels=pen), labels)


def teach(recipe: Recipe, hand: int, folder: Path) -> Path:
    """Train a network on a hand's examples; returns its run folder."""
    examples, test, _ = cut_test(draw_hand(hand, EXAMPLES * CLASSES, writing=0), f"hand {hand}")
    train(recipe, Dataset(f"hand {hand}", examples, test), folder, reports=[])
    return folder


def main() -> None:
    """Print a line a hand, then means with 95 % intervals over hands."""
    hands, first = (int(given) for given in (sys.argv[1:] + ["20", "0"][len(sys.argv) - 1 :])[:2])
    recipe = get_recipe("personal")
    before, mnist = load_model(recipe.start or ""), load_digits("mnist").test
    known = evaluate(before, mnist).accuracy
    rows = []
    for hand in range(first, first + hands):
        scored = draw_hand(hand, SCORED, writing=1)
        with tempfile.TemporaryDirectory() as place:
            after = load_model(teach(recipe, hand, Path(place) / "run"))
        rows.append(
            (evaluate(before, scored).accuracy, evaluate(after, scored).accuracy, evaluate(after, mnist).accuracy)
        )
        print(
            f"hand {hand}: {rows[-1][0]:.1%} before, {rows[-1][1]:.1%} after; MNIST {rows[-1][2] - known:+.2%}",
            flush=True,
        )
    was, now, kept = zip(*rows, strict=True)
    for name, found in (
        ("the hand, before", mean_interval(was)),
        ("the hand, after", mean_interval(now)),
        ("gain", paired_difference(was, now).mean),
        ("MNIST, change", mean_interval([value - known for value in kept])),
    ):
        print(f"{name}: {found.value:.2%} ({found.low:.2%} to {found.high:.2%}), n = {hands}")
    print(f"MNIST, before: {known:.2%}")


if __name__ == "__main__":
    main()

"""Time how long the page takes to answer: python tools/time_page.py [WEIGHTS or PAGE.html ...].

Several pages are drawn on in turn: single digits, and pairs that touch. Chromium is driven as a hand would: the pen
moves at any moment between two frames of the screen. Two times are taken of each answer. `computing`: what the page's
program worked for it; drawing, frame, network and layers included. `whole`: from the first movement that it answers, as
the browser notes it, to the answer on the page. Browsers hand movements over, and the page answers, once a frame of the
screen, so that waiting for it is part of this. The browser's painting of the result is in neither. `lifted` is the
whole time of those answers that follow the pen's lifting: only then is the ink under it cut apart.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from browsers import QUIET, find_chromium, on_screen
from under10k.data.synthetic import WAYS
from under10k.export.html import build_page
from under10k.runs.weights import load_weights

ROUNDS = 3
"""How often each page is opened anew and drawn on."""

Drawing = list[list[tuple[float, float]]]
"""The points of each stroke, as shares of the paper's side."""

FRAME_SECONDS = 1 / 60
"""Between two frames of the screen."""

WATCH = """() => {
    window.timings = [];
    let [oldest, computing, began, lifted] = [null, 0, 0, false];
    const drawing = ({ type, target, buttons }) => target.id === "paper" && (buttons || type === "pointerup");
    for (const name of ["pointerdown", "pointermove", "pointerup"]) {
        document.addEventListener(name, (event) => {
            began = performance.now();
            const times = [event, ...event.getCoalescedEvents()].map(({ timeStamp }) => timeStamp);
            if (drawing(event)) oldest ??= Math.min(...times);
            lifted = drawing(event) && name === "pointerup";
        }, true);
        document.addEventListener(name, (event) => {
            if (drawing(event)) computing += performance.now() - began;
        });
    }
    const read = readPaper;
    window.readPaper = () => {
        const start = performance.now();
        read();
        const end = performance.now();
        if (oldest !== null) timings.push([computing + end - start, end - oldest, lifted]);
        [oldest, computing] = [null, 0];
    };
}"""


def main(*sources: str) -> None:
    """Print median, 95 % and the first of both times, for each page."""
    times: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_chromium(), args=QUIET)
        for seed in range(ROUNDS):
            for source in sources or ("robust",):
                file = _page_file(source, Path(folder))
                for name, drawings in (("single digits", _digits(seed)), ("digits that touch", _pairs(seed))):
                    times.setdefault((source, name), []).append(_time(browser, file, drawings, seed))
        browser.close()
    for (source, name), rounds in times.items():
        _report(f"{source}, {name}", rounds)


def _digits(seed: int) -> list[Drawing]:
    """Return each digit by itself."""
    return [_write(digit, seed, 0.2, 0.6) for digit in WAYS]


def _pairs(seed: int) -> list[Drawing]:
    """Return each digit with another written into it."""
    return [_write(digit, seed, 0.15, 0.4) + _write((digit + 3) % 10, seed + 1, 0.44, 0.4) for digit in WAYS]


def _write(digit: int, seed: int, left: float, size: float) -> Drawing:
    ways = WAYS[digit]
    strokes = ways[seed % len(ways)][1]
    return [[(left + size * x / 100, 0.2 + size * y / 100) for x, y in points] for points in strokes]


def _page_file(source: str, folder: Path) -> Path:
    if source.endswith(".html"):
        return Path(source).resolve()
    file = folder / "digits.html"
    file.write_text(build_page(*load_weights(Path(source))).text)
    return file


def _time(browser: Browser, file: Path, drawings: list[Drawing], seed: int) -> NDArray[np.float64]:
    """Draw on a page opened anew; return (answers, 3): both times in milliseconds, and 1 if the pen was lifted."""
    page = browser.new_page()
    page.goto(file.as_uri())
    page.evaluate(WATCH)
    page.wait_for_timeout(1000)  # nobody draws sooner
    rng = np.random.default_rng(seed)
    for strokes in drawings:
        for points in strokes:
            _draw(page, points, rng)
        page.click("#clear")
    found = np.array(page.evaluate("timings"))
    page.close()
    return found


def _draw(page: Page, points: list[tuple[float, float]], rng: np.random.Generator) -> None:
    (left, top), (right, bottom) = on_screen(page, (0, 0)), on_screen(page, (1, 1))
    for place, (x, y) in enumerate(_moves(points)):
        page.wait_for_timeout(1000 * FRAME_SECONDS * rng.uniform(0, 1))
        page.mouse.move(left + x * (right - left), top + y * (bottom - top))
        if not place:
            page.mouse.down()
    page.mouse.up()
    page.wait_for_timeout(100)  # nobody begins the next stroke sooner


def _moves(points: list[tuple[float, float]], steps: int = 3) -> Iterator[tuple[float, float]]:
    """Return the places that a hand reports on its way along points."""
    yield points[0]
    for (x, y), (next_x, next_y) in pairwise(points):
        for step in range(1, steps + 1):
            yield x + (next_x - x) * step / steps, y + (next_y - y) * step / steps


def _report(name: str, rounds: list[NDArray[np.float64]]) -> None:
    answers = np.concatenate(rounds)
    print(f"{name}: {len(answers)} answers, the page opened {len(rounds)} times")
    for time, milliseconds in (
        ("computing", answers[:, 0]),
        ("whole", answers[:, 1]),
        ("lifted", answers[answers[:, 2] == 1, 1]),
    ):
        median, most = np.quantile(milliseconds, (0.5, 0.95))
        print(
            f"  {time:9}  median {median:5.1f} ms, 95 % within {most:5.1f} ms, the slowest {milliseconds.max():5.1f} ms"
        )
    print(f"  the first  {', '.join(f'{times[0, 1]:.0f}' for times in rounds)} ms")


if __name__ == "__main__":
    main(*sys.argv[1:])

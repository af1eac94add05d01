"""Time how long the page takes to answer: python tools/time_page.py [WEIGHTS or PAGE.html ...].

Several pages are drawn on in turn. Chromium is driven as a hand would: the pen moves at any moment between two frames
of the screen. Two times are taken of each answer. `computing`: what the page's program worked for it; drawing, frame,
network and layers included. `whole`: from the first movement that it answers, as the browser notes it, to the answer on
the page. Browsers hand movements over, and the page answers, once a frame of the screen, so that waiting for it is part
of this. The browser's painting of the result is in neither.
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

FRAME_SECONDS = 1 / 60
"""Between two frames of the screen."""

WATCH = """() => {
    window.timings = [];
    let [oldest, computing, began] = [null, 0, 0];
    const drawing = ({ target, buttons }) => target.id === "paper" && buttons;
    for (const name of ["pointerdown", "pointermove"]) {
        document.addEventListener(name, (event) => {
            began = performance.now();
            const times = [event, ...event.getCoalescedEvents()].map(({ timeStamp }) => timeStamp);
            if (drawing(event)) oldest ??= Math.min(...times);
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
        if (oldest !== null) timings.push([computing + end - start, end - oldest]);
        [oldest, computing] = [null, 0];
    };
}"""


def main(*sources: str) -> None:
    """Print median, 95 % and the first of both times, for each page."""
    sources = sources or ("robust",)
    times: dict[str, list[NDArray[np.float64]]] = {source: [] for source in sources}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_chromium(), args=QUIET)
        for seed in range(ROUNDS):
            for source in sources:
                times[source].append(_time(browser, _page_file(source, Path(folder)), seed))
        browser.close()
    for source in sources:
        _report(source, times[source])


def _page_file(source: str, folder: Path) -> Path:
    if source.endswith(".html"):
        return Path(source).resolve()
    file = folder / "digits.html"
    file.write_text(build_page(*load_weights(Path(source))).text)
    return file


def _time(browser: Browser, file: Path, seed: int) -> NDArray[np.float64]:
    """Draw each digit once on a page opened anew; return milliseconds (answers, 2): computing and whole."""
    page = browser.new_page()
    page.goto(file.as_uri())
    page.evaluate(WATCH)
    page.wait_for_timeout(1000)  # nobody draws sooner
    rng = np.random.default_rng(seed)
    for ways in WAYS.values():
        for points in ways[seed % len(ways)][1]:
            _draw(page, [(0.2 + 0.006 * x, 0.2 + 0.006 * y) for x, y in points], rng)
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


def _moves(points: list[tuple[float, float]], steps: int = 3) -> Iterator[tuple[float, float]]:
    """Return the places that a hand reports on its way along points."""
    yield points[0]
    for (x, y), (next_x, next_y) in pairwise(points):
        for step in range(1, steps + 1):
            yield x + (next_x - x) * step / steps, y + (next_y - y) * step / steps


def _report(source: str, rounds: list[NDArray[np.float64]]) -> None:
    answers = np.concatenate(rounds)
    print(f"{source}: {len(answers)} answers, the page opened {len(rounds)} times")
    for name, column in (("computing", 0), ("whole", 1)):
        median, most = np.quantile(answers[:, column], (0.5, 0.95))
        first = ", ".join(f"{times[0, column]:.0f}" for times in rounds)
        print(f"  {name:9}  median {median:5.1f} ms, 95 % within {most:5.1f} ms, the first {first} ms")


if __name__ == "__main__":
    main(*sys.argv[1:])

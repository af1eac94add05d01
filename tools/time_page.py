"""Time how long the page takes to answer a stroke: python tools/time_page.py [WEIGHTS] [STROKES].

Drives Chromium as a hand would. For each movement of the pen: from the browser's event to the answer on the page,
drawing, frame, network and layers included; the browser's own painting of the result is not.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from browsers import QUIET, find_chromium, on_screen
from tenk.export.html import build_page
from tenk.runs import load_weights
from tenk.synthetic import WAYS

WATCH = """() => {
    window.times = [];
    let event = 0;
    const read = readPaper;
    document.addEventListener("pointermove", ({ timeStamp }) => (event = timeStamp), true);
    window.readPaper = () => { read(); times.push(performance.now() - event); };
}"""


def main(weights: str = "robust", strokes: str = "60") -> None:
    """Print the median and the slowest of the times."""
    chosen = [stroke for _ in range(9) for ways in WAYS.values() for _, way in ways for stroke in way][: int(strokes)]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        file = Path(folder, "digits.html")
        file.write_text(build_page(*load_weights(Path(weights))).text)
        browser = driver.chromium.launch(executable_path=find_chromium(), args=QUIET)
        page = browser.new_page()
        page.goto(file.as_uri())
        page.evaluate(WATCH)
        for stroke in chosen:
            (x, y), *others = (on_screen(page, (0.2 + 0.006 * x, 0.2 + 0.006 * y)) for x, y in stroke)
            page.mouse.move(x, y)
            page.mouse.down()
            for x, y in others:
                page.mouse.move(x, y, steps=4)
            page.mouse.up()
            page.click("#clear")
        times = np.array(page.evaluate("times"))
        browser.close()
    median, most = np.median(times), np.quantile(times, 0.95)
    print(f"{len(times)} answers: median {median:.1f} ms, 95 % within {most:.1f} ms, the first {times[0]:.1f} ms")
    print(f"{torch.get_num_threads()} threads, {len(chosen)} strokes, {weights}")


if __name__ == "__main__":
    main(*sys.argv[1:])

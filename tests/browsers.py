"""Chromium, driven as a person would: a mouse, a finger, keys, files."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import pytest

from under10k.export.node import find_node

if TYPE_CHECKING:
    from playwright.sync_api import Page

Points = Sequence[tuple[float, float]]

ONE: list[Points] = [[(0.4, 0.3), (0.52, 0.18), (0.52, 0.5), (0.51, 0.84)]]
SEVEN: list[Points] = [[(0.25, 0.2), (0.74, 0.18), (0.55, 0.55), (0.44, 0.85)]]
"""Strokes, in shares of the paper's side."""

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Chromium as root, and without traffic of its own."""

DESKTOP = {"width": 1280, "height": 720}
"""What a page is seen on where a test says nothing else."""

UNREHEARSED = "globalThis.requestIdleCallback = () => 0;"
"""A script that keeps the page from reading drawings of its own while it is idle: half the work of opening it."""


def find_chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)


def skip_without(what: str) -> NoReturn:
    """Skip a test of the page for want of Chromium or Node; in CI, where neither is there, fail."""
    if os.environ.get("CI") == "true" and not find_chromium() and not find_node():
        pytest.fail("neither Chromium nor Node is here: CI has to test the page's program. install one")
    pytest.skip(f"{what} is not installed")


def draw(page: Page, strokes: Sequence[Points]) -> None:
    """Draw strokes with the mouse."""
    page.locator("#paper").scroll_into_view_if_needed()
    for stroke in strokes:
        (x, y), *others = (on_screen(page, point) for point in stroke)
        page.mouse.move(x, y)
        page.mouse.down()
        for x, y in others:
            page.mouse.move(x, y)
        page.mouse.up()


def put(page: Page, strokes: Sequence[Points]) -> None:
    """Put strokes on the paper at once, each as if the mouse had drawn it, and have them read once."""
    program = """(strokes) => {
        for (const points of strokes) paper.add({ kind: "stroke", points, width: paper.width });
    }"""
    page.evaluate(program, strokes)
    settle(page)


def draw_with_a_finger(page: Page, strokes: Sequence[Points]) -> None:
    """Draw strokes by touches, as the device reports them."""
    device = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        at = [{"x": x, "y": y} for x, y in points]
        device.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": at})

    for stroke in strokes:
        first, *others = (on_screen(page, point) for point in stroke)
        touch("Start", first)
        for point in others:
            touch("Move", point)
        touch("End")


def on_screen(page: Page, point: tuple[float, float]) -> tuple[float, float]:
    box = page.locator("#paper").bounding_box()
    assert box
    return box["x"] + point[0] * box["width"], box["y"] + point[1] * box["height"]


def settle(page: Page) -> None:
    """Wait until what was done is on the screen."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def wait_until(page: Page, condition: str) -> None:
    """Wait until an expression is true in the page, up to 30 s; Playwright's wait needs `eval`, which it forbids."""
    page.evaluate(
        f"""() => new Promise((done, fail) => {{
            const end = performance.now() + 30000;
            const look = () => {{
                if ({condition}) done();
                else if (performance.now() > end) fail(new Error({json.dumps("never: " + condition)}));
                else requestAnimationFrame(look);
            }};
            look();
        }})"""
    )


def answer(page: Page) -> str:
    settle(page)
    return page.inner_text("#digit")


def give_files(page: Page, event: str, *files: tuple[str, bytes]) -> None:
    """Drop or paste files."""
    page.evaluate(
        """([type, files]) => {
            const data = new DataTransfer();
            for (const [name, content] of files) {
                const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
                data.items.add(new File([bytes], name));
            }
            const event = type === "drop"
                ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
                : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
            document.getElementById("paper").dispatchEvent(event);
        }""",
        [event, [(name, base64.b64encode(content).decode()) for name, content in files]],
    )

"""The page's close-up: how one number of one map comes about, and what it sees of the frame."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browsers import ONE, SEVEN, put, wait_until
from random_networks import VARIANTS, random_network
from under10k.export.html import build_page, read_network_json
from under10k.weights.bundled import Facts

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

OpenPage = Callable[..., "Page"]


@pytest.fixture(scope="module")
def gap_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("gap") / "digits.html"
    file.write_text(build_page(random_network("gap"), Facts("gap")).text, encoding="utf-8")
    return file


CHECK = """([network, seed]) => {
    let state = seed;
    const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
    const layers = readLayers(network);
    const frame = Uint8Array.from({ length: 784 }, () => 255 * random());
    const input = { channels: 1, height: 28, width: 28, values: Float64Array.from(frame, (level) => level / 255) };
    const outputs = runNetwork(layers, frame);
    const wrong = [];
    layers.forEach((layer, index) => {
        const [before, after] = [index ? outputs[index - 1] : input, outputs[index]];
        for (let time = 0; time < 3; time++) {
            const corners = [0, after.height - 1, Math.floor(after.height * random())];
            const [y, x] = [corners[time % 3], corners[(time + 1) % 3]];
            const map = Math.floor(after.channels * random());
            const at = (map * after.height + y) * after.width + x;
            const origin = traceNumber(layer, before, after, { map, y, x });
            const found = {
                convolution: () => origin.parts.reduce((sum, part) =>
                    sum + part.seen.reduce((inner, value, n) => inner + value * part.weights[n], 0), 0) + origin.bias,
                affine: () => origin.input * origin.scale + origin.offset,
                "max pool": () => Math.max(...origin.seen),
                "average pool": () => origin.seen.reduce((sum, value) => sum + value, 0) / origin.seen.length,
                skip: () => {
                    const inner = layer.layers.reduce((maps, part) => runLayer(part, maps), before);
                    return inner.values[at] + origin.input;
                },
            }[layer.kind]();
            const value = origin.relu ? Math.max(found, 0) : found;
            const off = Math.abs(value - after.values[at]);
            if (!(off <= 1e-9 * Math.max(1, Math.abs(value)))) wrong.push([index, layer.kind]);
            if (origin.value !== after.values[at]) wrong.push([index, "value"]);
            const { top, left, bottom, right } = fieldOf(layers.slice(0, index + 1), { y, x });
            const other = frame.map((level, pixel) => {
                const [row, column] = [Math.floor(pixel / 28), pixel % 28];
                const within = row >= top && row < bottom && column >= left && column < right;
                return within ? level : 255 * random();
            });
            const same = runNetwork(layers, other)[index].values[at] === after.values[at];
            if (!same) wrong.push([index, "field too small"]);
            const most = index || layer.kind !== "convolution" ? 28 : layer.shape[2];
            if (bottom - top > most) wrong.push([index, "field too large"]);
        }
    });
    return wrong;
}"""
"""Trace places of each layer, corners among them; return what does not come to the network's own number."""


def test_every_number_of_every_network_comes_to_what_the_network_made(open_page: OpenPage) -> None:
    page = open_page()
    assert VARIANTS
    for seed, (name, residual, head) in enumerate(VARIANTS, 1):
        text = build_page(random_network(name, residual=residual, head=head), Facts(name)).text
        assert page.evaluate(CHECK, [json.loads(read_network_json(text)), seed]) == [], (name, residual, head)


def value_of(page: Page) -> float:
    return float(page.inner_text("#close-up .place strong"))


def real_value(page: Page) -> float:
    return float(
        page.evaluate("""(() => {
            const { layer, map, y, x } = closeUp.pointed ?? closeUp.spot;
            const { height, width, values } = closeUp.mapsOf(layer);
            return values[(map * height + y) * width + x];
        })()""")
    )


def test_a_place_of_a_map_is_pressed_and_its_numbers_and_its_field_are_shown(open_page: OpenPage) -> None:
    page = open_page()
    put(page, SEVEN)
    page.locator("#layers .maps").first.locator("canvas").nth(2).click(position={"x": 20, "y": 9})
    assert page.is_visible("#close-up")
    spot = page.evaluate("closeUp.spot")
    assert (spot["map"], spot["layer"]) == (2, page.evaluate("layerView.rows[0].last"))
    assert value_of(page) == pytest.approx(real_value(page), abs=0.006)
    marked = "[...layerView.shown].filter(([canvas]) => canvas.className).map(([, { layer, map }]) => [layer, map])"
    assert page.evaluate(marked) == [[spot["layer"], 2]]
    page.locator("#close-up .layer").fill("1")
    assert page.locator("#close-up .part").count() == 1
    assert page.locator("#close-up .part .grid").first.locator("span").count() == 25
    sums = page.inner_text("#close-up .sums")
    assert "Plus the bias" in sums
    assert ("ReLU" in sums) == page.evaluate("layers[0].relu")
    box = page.evaluate("paper.field")
    assert 0 < box["right"] - box["left"] == pytest.approx(box["bottom"] - box["top"])
    assert (page.get_attribute("#close-up .field", "aria-label") or "").startswith("The frame. This place sees rows ")
    page.click("#close-up .close")
    assert page.is_hidden("#close-up")
    assert page.evaluate("paper.field") is None
    assert page.evaluate(marked) == []


def test_the_layers_are_gone_through_by_keys_alone(open_page: OpenPage) -> None:
    page = open_page()
    put(page, SEVEN)
    page.locator("#layers .name").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.className") == "picture"
    assert real_value(page) == page.evaluate("Math.max(...answers[0].outputs[layerView.rows[0].last].values)")
    before = page.evaluate("closeUp.spot")
    for key in ("ArrowLeft", "ArrowUp", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    after = page.evaluate("closeUp.spot")
    assert (after["y"] - before["y"], after["x"] - before["x"]) == (-1, 1)
    place = f"row {after['y'] + 1}, column {after['x'] + 1}"
    assert place in (page.get_attribute("#close-up .picture", "aria-label") or "")
    page.locator("#spoken", has_text=place).wait_for(state="attached")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("closeUp.spot.map") == before["map"] + 1
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Home")
    assert "the frame" in page.inner_text("#close-up .layer-name")
    for step in range(1, page.evaluate("layers.length") + 1):
        page.keyboard.press("ArrowRight")
        assert page.inner_text("#close-up .layer-name").startswith(f"{step} of ")
        assert value_of(page) == pytest.approx(real_value(page), abs=0.006)
    assert "This is the score of " in page.inner_text("#close-up .sums")
    page.keyboard.press("Escape")
    assert page.is_hidden("#close-up")
    assert page.evaluate("document.activeElement === layerView.rows[0].name")


def test_a_pixel_of_the_frame_is_tapped_and_its_brightness_shown(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    put(page, SEVEN)
    y, x = divmod(page.evaluate("answers[0].levels.findIndex((level) => level > 200)"), 28)
    box = page.locator("#frame").bounding_box()
    assert box
    page.touchscreen.tap(box["x"] + (x + 0.5) / 28 * box["width"], box["y"] + (y + 0.5) / 28 * box["height"])
    page.locator("#close-up").wait_for()
    level = page.evaluate(f"answers[0].levels[{28 * y + x}]")
    assert f"brightness is {level} of 255" in page.inner_text("#close-up .sums")
    field = page.evaluate("paper.field")
    assert 0 < field["right"] - field["left"] < 0.1


def test_the_mouse_looks_at_places_and_leaves_the_chosen_one(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 1440, "height": 900})
    put(page, SEVEN)
    page.locator("#layers .name").first.click()
    chosen = page.inner_text("#close-up .place")
    page.locator("#layers .maps").first.locator("canvas").nth(1).hover(position={"x": 2, "y": 2})
    assert "row 1, column 1" in page.inner_text("#close-up .place")
    page.locator("#close-up .picture").hover(position={"x": 6, "y": 6})
    assert "row 1, column 1" in page.inner_text("#close-up .place")
    page.locator("#close-up-title").hover()
    assert page.inner_text("#close-up .place") == chosen


def test_nothing_is_traced_while_a_stroke_is_drawn(open_page: OpenPage) -> None:
    page = open_page()
    put(page, SEVEN)
    page.locator("#layers .name").first.click()
    traced = page.evaluate("""() => {
        const real = globalThis.traceNumber;
        let count = 0;
        globalThis.traceNumber = (...given) => (count++, real(...given));
        paper.add({ kind: "stroke", width: 0.07, points: [[0.3, 0.3], [0.6, 0.6]] });
        readPaper();
        return count;
    }""")
    assert traced == 0
    wait_until(page, "paper.field")
    assert value_of(page) == pytest.approx(real_value(page), abs=0.006)


def test_a_blank_paper_asks_for_a_digit_and_an_open_close_up_follows_the_paper(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#layers .name").last.click()
    assert page.inner_text("#close-up .empty").startswith("Write a digit first")
    assert page.is_hidden("#close-up .body")
    put(page, ONE)
    page.locator("#close-up .body").wait_for()
    assert value_of(page) == pytest.approx(real_value(page), abs=0.006)
    page.click("#clear")
    page.locator("#close-up .empty").wait_for()
    assert page.evaluate("paper.field") is None


@pytest.mark.parametrize(
    ("width", "height", "forced"),
    [(1440, 900, "none"), (768, 1024, "active"), (360, 640, "none"), (360, 640, "active"), (320, 256, "active")],
)
def test_the_close_up_fits_every_screen_and_nothing_of_it_is_out_of_reach(
    width: int, height: int, forced: str, open_page: OpenPage, gap_file: Path
) -> None:
    page = open_page(gap_file, viewport={"width": width, "height": height}, forced_colors=forced)
    put(page, SEVEN)
    page.locator("#layers .name").nth(2).click()
    wide = "[document.documentElement, byId('close-up'), ...document.querySelectorAll('.parts')]"
    assert page.evaluate(f"{wide}.every((part) => part.scrollWidth <= part.clientWidth)")
    last = page.locator("#close-up .sums p").last
    last.scroll_into_view_if_needed()
    box = last.bounding_box()
    assert box
    assert 0 <= box["y"] < box["y"] + box["height"] <= height


def test_nothing_on_the_page_moves_by_itself(open_page: OpenPage) -> None:
    page = open_page()
    put(page, SEVEN)
    page.locator("#layers .name").first.click()
    assert page.evaluate("document.getAnimations().length") == 0
    style = page.evaluate("document.querySelector('style').textContent")
    assert not any(word in style for word in ("transition", "animation", "smooth"))


CELL_CONTRASTS = """() => {
    const linear = (level) => (level <= 0.04045 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4);
    const luminance = (colour) => {
        const [red, green, blue] = colour.match(/\\d+/g).map((level) => linear(level / 255));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    return [...document.querySelectorAll(".grid span")].map((cell) => {
        const { color, backgroundColor } = getComputedStyle(cell);
        const [low, high] = [luminance(color), luminance(backgroundColor)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    });
}"""
"""Contrast of each number with the colour behind it, as WCAG 2 defines it; 4.5 is enough for all sizes."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_number_can_be_read_on_the_colour_behind_it(scheme: str, open_page: OpenPage) -> None:
    page = open_page(color_scheme=scheme)
    put(page, SEVEN)
    page.locator("#layers .name").first.click()
    for layer in (1, page.evaluate("layers.length")):
        page.locator("#close-up .layer").fill(str(layer))
        contrasts = page.evaluate(CELL_CONTRASTS)
        assert contrasts
        assert min(contrasts) >= 4.5

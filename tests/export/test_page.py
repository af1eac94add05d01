"""The page in a real browser: what is drawn or dropped is read as Python reads it, with nothing but the file."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image, ImageDraw

from browsers import (
    ONE,
    SEVEN,
    Points,
    answer,
    draw,
    draw_with_a_finger,
    give_files,
    on_screen,
    put,
    settle,
    wait_until,
)
from random_networks import VARIANTS, random_network
from under10k.data.datasets import Dataset
from under10k.data.digits import read_idx
from under10k.data.synthetic import draw_digits
from under10k.errors import UsageError
from under10k.evaluation.metrics import predict_logits
from under10k.export.html import SCRIPTS, START, _read_source, build_page, export_html, read_network
from under10k.export.translation import flatten
from under10k.models.registry import list_models, list_variants
from under10k.pictures.prediction import LIKELY_PROBABILITY, predict_all, split_rows
from under10k.weights.bundled import Facts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MODEL = random_network("early")
NOTHING = "\N{EN DASH}"
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}

in_a_browser = pytest.mark.browser


OpenPage = Callable[..., "Page"]


def picture(strokes: list[Points], side: int = 300, kind: str = "PNG") -> bytes:
    """Draw strokes into a picture file."""
    image = Image.new("RGB", (side, side), "white")
    for stroke in strokes:
        ImageDraw.Draw(image).line([(side * x, side * y) for x, y in stroke], "black", side // 15, "curve")
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def shown_frame(page: Page) -> torch.Tensor:
    """Return the frame that the page has put on its canvas."""
    pixels = page.evaluate("[...frameView.image.data]")
    return torch.tensor(pixels, dtype=torch.uint8).view(28, 28, 4)[..., 0]


def read_by_python(page: Page) -> str:
    """Read the shown frame: its digit, or "?" where there may be none."""
    shares = predict_logits(MODEL, shown_frame(page)[None]).softmax(dim=1)
    return str(int(shares.argmax())) if shares.max() >= LIKELY_PROBABILITY else "?"


def shares(page: Page) -> list[float]:
    return [float(text.rstrip(" %")) for text in page.locator("#bars .share").all_inner_texts() if text]


# --- the file ----------------------------------------------------------------------------------------------------


def test_a_pages_scripts_are_all_there_but_for_their_comments() -> None:
    sources = "\n".join(map(_read_source, (*SCRIPTS, *START))).splitlines()
    comments = [line for line in sources if re.match(r" *(//|\*|/\*\*(?!.*\*/ *\S))", line)]
    page = build_page(MODEL, Facts("early")).text
    script = page.rpartition("<script>")[2].partition("</script>")[0].splitlines()
    kept = [line for line in sources if line and line not in comments]
    assert len(comments) > 500
    assert [line for line in script if line][-len(kept) :] == kept


@pytest.mark.parametrize(("name", "residual", "head"), VARIANTS)
def test_a_page_is_small_and_refers_to_nothing_outside(name: str, residual: bool, head: str) -> None:
    page = build_page(random_network(name, residual=residual, head=head), Facts(name)).text
    assert len(page.encode()) < 300_000
    assert set(re.findall(r"\w+://[^\s\"'<>%)]+", page)) <= {"http://www.w3.org/2000/svg"}
    assert set(re.findall(r"(?:src|href)=[\"']?(\w+:)", page)) == {"data:"}
    for door in ("fetch(", "XMLHttpRequest", "WebSocket", "EventSource", "sendBeacon", "import(", "@import", "url("):
        assert door not in page


def test_names_in_a_weights_file_are_text_and_never_markup() -> None:
    page = build_page(MODEL, Facts("<img src=x onerror=alert(1)>", recipe="</script><b>$style")).text
    assert "<img" not in page
    assert page.count("</script>") == 2
    assert "&lt;/script&gt;&lt;b&gt;$style" in page


def test_an_export_is_checked_and_written(dataset: Dataset, tmp_path: Path) -> None:
    found = export_html(MODEL, Facts("early"), tmp_path / "new" / "digits.html", "float", dataset)
    assert found.sizes == {"digits.html": (tmp_path / "new" / "digits.html").stat().st_size}
    assert found.agreement
    assert (found.agreement.images, found.agreement.differing) == (len(dataset.test), 0)
    assert 0 < found.agreement.largest_difference < 1e-4


def test_a_page_computes_in_float_alone(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave out --int8"):
        export_html(MODEL, Facts("early"), tmp_path / "digits.html", "int8", dataset)


@pytest.mark.parametrize(("name", "residual", "head"), VARIANTS)
def test_the_weights_in_a_page_are_the_networks_as_float32(name: str, residual: bool, head: str) -> None:
    layers = flatten(random_network(name, residual=residual, head=head))
    page = build_page(random_network(name, residual=residual, head=head), Facts(name)).text
    assert list(map(_rounded, read_network(page))) == list(map(_rounded, layers))


def _rounded(layer: Any) -> str:
    """Write a layer with its numbers as float32."""
    values = {name: getattr(value, "astype", lambda _, value=value: value)("f4") for name, value in vars(layer).items()}
    if "layers" in values:
        values["layers"] = list(map(_rounded, values["layers"]))
    return str({name: getattr(value, "tolist", lambda value=value: value)() for name, value in values.items()})


# --- the network in the page -------------------------------------------------------------------------------------


def run_in_page(page: Page, images: torch.Tensor, network: Any = None) -> torch.Tensor:
    """Run the page's network, or another, on images: uint8 (N, 28, 28) -> logits (N, 10)."""
    program = """([network, text]) => {
        const chosen = network ? readLayers(network) : layers;
        const pixels = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
        return Array.from({ length: pixels.length / 784 }, (_, index) =>
            [...runNetwork(chosen, pixels.subarray(784 * index, 784 * (index + 1))).at(-1).values]);
    }"""
    pixels = base64.b64encode(images.numpy().tobytes()).decode()
    return torch.tensor(page.evaluate(program, [network, pixels]), dtype=torch.float64)


def network_in(page: str) -> Any:
    return json.loads(page.partition('id="network">')[2].partition("</script>")[0])


@in_a_browser
def test_the_logits_are_pytorchs_on_1000_test_images(open_page: OpenPage, mnist_folder: Path) -> None:
    images = torch.from_numpy(read_idx(mnist_folder / "t10k-images-idx3-ubyte.gz")[:1000])
    difference = run_in_page(open_page(), images) - predict_logits(MODEL, images)
    assert difference.abs().max() < 1e-4


@in_a_browser
def test_every_network_runs_in_the_page_as_in_pytorch(open_page: OpenPage) -> None:
    page = open_page()
    images = draw_digits(10, seed=3).images
    for name, residual, head in VARIANTS:
        model = random_network(name, residual=residual, head=head)
        network = network_in(build_page(model, Facts(name)).text)
        expected = predict_logits(model, images)
        found = run_in_page(page, images, network)
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max().clamp(min=1), (name, residual, head)


@in_a_browser
@pytest.mark.parametrize("name", list_models())
def test_what_the_layers_of_every_network_make_is_shown(name: str, open_page: OpenPage, tmp_path: Path) -> None:
    file = tmp_path / "digits.html"
    residual, head = list_variants(name)[-1]
    file.write_text(build_page(random_network(name, residual=residual, head=head), Facts(name)).text)
    page = open_page(file)
    blank = page.locator("#layers").screenshot()
    put(page, SEVEN)
    assert answer(page) in list("0123456789?")
    assert page.locator("#layers").screenshot() != blank
    assert page.locator("#layers > li").last.inner_text().split()[-10:] == list("0123456789")


# --- drawing -----------------------------------------------------------------------------------------------------


@in_a_browser
def test_an_empty_page_asks_for_a_digit_and_answers_nothing(open_page: OpenPage) -> None:
    page = open_page()
    assert answer(page) == NOTHING
    assert shares(page) == []
    assert page.is_visible("#hint")
    assert page.is_disabled("#undo")
    assert page.is_disabled("#clear")
    assert shown_frame(page).max() == 0


@in_a_browser
def test_what_is_rehearsed_before_the_first_stroke_takes_every_way_through_the_program(open_page: OpenPage) -> None:
    page = open_page()
    steps = page.evaluate(
        """() => {
            const steps = new Set();
            for (const name of ["redraw", "countRoomy", "runNetwork", "judge"]) {
                const real = globalThis[name];
                globalThis[name] = (...given) => {
                    steps.add(name === "redraw" ? `redraw ${given[2] > 0 ? "out" : "in"}wards` : name);
                    return real(...given);
                };
            }
            rehearse(2);
            rehearse(1);
            return [...steps];
        }"""
    )
    assert sorted(steps) == ["countRoomy", "judge", "redraw inwards", "redraw outwards", "runNetwork"]
    assert answer(page) == NOTHING


@in_a_browser
def test_a_drawing_is_answered_with_each_stroke_undone_and_cleared(open_page: OpenPage) -> None:
    page = open_page()
    frames = []
    for stroke in (*SEVEN, [(0.3, 0.5), (0.7, 0.5)]):
        draw(page, [stroke])
        assert answer(page) == read_by_python(page)
        assert sum(shares(page)) == pytest.approx(100, abs=0.5)
        assert page.is_hidden("#hint")
        frames.append(shown_frame(page))
    assert not torch.equal(*frames)
    page.click("#undo")
    settle(page)
    assert torch.equal(shown_frame(page), frames[0])
    page.click("#clear")
    assert answer(page) == NOTHING
    assert shown_frame(page).max() == 0
    page.click("#undo")
    settle(page)
    assert torch.equal(shown_frame(page), frames[0]), "clearing can be undone, too"


@in_a_browser
def test_what_was_undone_can_be_redone_until_something_else_is_drawn(open_page: OpenPage) -> None:
    page = open_page()
    assert page.is_disabled("#redo")
    put(page, ONE)
    put(page, SEVEN)
    both = shown_frame(page)
    page.click("#undo")
    page.keyboard.press("Control+z")
    assert answer(page) == NOTHING
    page.click("#redo")
    page.keyboard.press("Control+y")
    settle(page)
    assert torch.equal(shown_frame(page), both)
    assert page.is_disabled("#redo")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+Shift+z")
    settle(page)
    assert torch.equal(shown_frame(page), both)
    page.click("#undo")
    put(page, SEVEN)
    assert page.is_disabled("#redo")


@in_a_browser
def test_where_there_may_be_no_digit_none_is_shown(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#width").fill("15")
    put(page, [[(0.3 + 0.4 * (step % 2), 0.3 + step / 50) for step in range(20)]])
    assert answer(page) == "?"
    assert page.inner_text("#verdict").startswith("perhaps no digit")
    page.locator("#spoken", has_text="Not read, perhaps no digit").wait_for(state="attached")


@in_a_browser
def test_the_time_says_what_it_includes(open_page: OpenPage) -> None:
    page = open_page()
    put(page, ONE)
    assert re.fullmatch(r"Read in [\d.]+ ms, from the last stroke to this answer\.", page.inner_text("#time"))
    give_files(page, "drop", ("seven", picture(SEVEN)))
    wait_until(page, "paper.steps.length === 2")
    settle(page)
    assert re.fullmatch(r"Read in [\d.]+ ms, from opening the file to this answer\.", page.inner_text("#time"))


@in_a_browser
def test_the_answer_is_there_while_the_pen_is_still_down(open_page: OpenPage) -> None:
    page = open_page()
    page.mouse.move(*on_screen(page, (0.5, 0.2)))
    page.mouse.down()
    seen = set()
    for y in (0.3, 0.5, 0.8):
        page.mouse.move(*on_screen(page, (0.5, y)))
        assert answer(page) == read_by_python(page)
        seen.add(shown_frame(page).numpy().tobytes())
    assert len(seen) > 1


@in_a_browser
def test_a_click_and_a_double_click_leave_dots(open_page: OpenPage) -> None:
    page = open_page()
    page.mouse.click(*on_screen(page, (0.5, 0.5)))
    assert answer(page) == read_by_python(page)
    page.mouse.dblclick(*on_screen(page, (0.5, 0.52)))
    assert answer(page) == read_by_python(page)
    assert page.evaluate("paper.steps.length") == 3
    assert page.evaluate("String(getSelection())") == ""


@in_a_browser
def test_only_the_first_button_and_one_pointer_draw(open_page: OpenPage) -> None:
    page = open_page()
    page.mouse.click(*on_screen(page, (0.5, 0.5)), button="right")
    assert page.evaluate("paper.steps.length") == 0
    page.evaluate(
        """() => {
            paper.canvas.setPointerCapture = () => {};
            const send = (type, pointerId, clientX) =>
                paper.canvas.dispatchEvent(new PointerEvent(`pointer${type}`, { pointerId, clientX, clientY: 300 }));
            send("down", 1, 200);
            send("down", 2, 300);
            send("move", 2, 400);
            send("cancel", 1, 0);
        }"""
    )
    assert page.evaluate("paper.steps.map((step) => step.points.length)") == [1]
    assert page.evaluate("paper.drawing") is None


@in_a_browser
def test_a_wider_pen_leaves_a_wider_line(open_page: OpenPage) -> None:
    page = open_page()
    ink = []
    for width in (1, 3, 15):
        page.locator("#width").fill(str(width))
        draw(page, ONE)
        settle(page)
        ink.append(int(shown_frame(page).sum()))
        page.click("#clear")
    assert ink == sorted(ink)
    assert ink[0] < ink[2]


@in_a_browser
def test_the_drawing_keeps_its_shape_when_the_window_changes(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 1280, "height": 720})
    put(page, SEVEN)
    before = shown_frame(page)
    page.set_viewport_size({"width": 500, "height": 700})
    settle(page)
    assert torch.equal(shown_frame(page), before)
    side = page.evaluate("[paper.canvas.width, Math.round(paper.canvas.clientWidth * devicePixelRatio)]")
    assert side[0] == side[1]
    inked = "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((level) => level > 0)"
    assert page.locator("#paper").evaluate(inked)


@in_a_browser
def test_a_finger_draws_on_a_phone_and_the_page_stays_where_it_is(open_page: OpenPage) -> None:
    page = open_page(**PHONE)
    draw_with_a_finger(page, SEVEN)
    assert answer(page) == read_by_python(page)
    assert page.evaluate("paper.steps.length") == 1
    assert page.evaluate("scrollY") == 0


@in_a_browser
def test_a_digit_can_be_drawn_by_keys_alone(open_page: OpenPage) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "paper"
    page.keyboard.press("Space")
    for _ in range(5):
        page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowLeft")
    assert answer(page) == read_by_python(page)
    assert page.evaluate("paper.steps.map((step) => step.points.length)") == [6]
    page.keyboard.press("Control+z")
    assert answer(page) == NOTHING
    page.keyboard.press("Space")
    page.keyboard.press("Delete")
    assert answer(page) == NOTHING


# --- pictures ----------------------------------------------------------------------------------------------------


@in_a_browser
@pytest.mark.parametrize(
    ("way", "kind"), [("drop", "PNG"), ("drop", "JPEG"), ("paste", "WEBP"), ("choose", "GIF"), ("choose", "BMP")]
)
def test_a_picture_is_read_however_it_comes(way: str, kind: str, open_page: OpenPage) -> None:
    page = open_page()
    content = picture(SEVEN, kind=kind)
    if way == "choose":
        with page.expect_file_chooser() as chooser:
            page.click("#open")
        chooser.value.set_files({"name": "seven", "mimeType": "", "buffer": content})
    else:
        give_files(page, way, ("seven", content))
    page.wait_for_selector("#undo:enabled")
    assert answer(page) == read_by_python(page)
    assert shown_frame(page).max() > 100
    put(page, ONE)
    assert page.evaluate("paper.content().length") == 1, "a stroke begins a new drawing"
    page.click("#undo")
    settle(page)
    assert page.evaluate("paper.content().kind") == "picture"


@in_a_browser
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "Not a picture: x. Give a PNG"),
        (b"hello", "Not a picture: x. Give a PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><rect width='9' height='9'/></svg>", "Not a picture: x."),
        (picture(SEVEN)[:400], "Not a picture: x."),
        (picture([]), "No digit found"),
    ],
)
def test_what_is_no_picture_of_a_digit_is_said_and_never_answered(
    content: bytes, words: str, open_page: OpenPage
) -> None:
    page = open_page()
    give_files(page, "drop", ("x", content))
    page.wait_for_selector("#message:not(:empty)")
    assert page.inner_text("#message").startswith(words)
    assert answer(page) == NOTHING


@in_a_browser
def test_a_file_that_fails_clears_the_answer_to_what_was_there_before(open_page: OpenPage) -> None:
    page = open_page()
    put(page, ONE)
    before = shown_frame(page)
    give_files(page, "drop", ("x", b"hello"))
    page.wait_for_selector("#message:not(:empty)")
    assert answer(page) == NOTHING
    assert page.inner_text("#message").startswith("Not a picture: x.")
    page.click("#undo")
    settle(page)
    assert torch.equal(shown_frame(page), before)


@in_a_browser
def test_a_drag_without_files_is_told_what_is_wanted(open_page: OpenPage) -> None:
    page = open_page()
    give_files(page, "drop")
    assert page.inner_text("#message").startswith("No picture there.")
    put(page, ONE)
    assert page.inner_text("#message") == ""


@in_a_browser
def test_a_file_name_is_text_and_never_markup(open_page: OpenPage) -> None:
    page = open_page()
    name = "<img src=x onerror=document.title='gone'>"
    give_files(page, "drop", (name, b"no picture"))
    page.wait_for_selector("#message:not(:empty)")
    assert name in page.inner_text("#message")
    assert page.locator("#message *").count() == 0
    assert page.title() == "Draw a digit: under10k"


@in_a_browser
def test_a_picture_that_is_decoded_too_late_is_dropped(open_page: OpenPage) -> None:
    page = open_page()
    page.evaluate(
        """() => {
            const decode = createImageBitmap;
            const wait = new Promise((go) => (globalThis.goOn = go));
            globalThis.createImageBitmap = (file) => wait.then(() => decode(file));
        }"""
    )
    give_files(page, "drop", ("seven", picture(SEVEN)))
    put(page, ONE)
    before = shown_frame(page)
    page.evaluate("goOn()")
    page.evaluate("() => new Promise((done) => setTimeout(done, 50))")
    settle(page)
    assert torch.equal(shown_frame(page), before)
    assert page.evaluate("paper.steps.length") == 1


# --- several digits -----------------------------------------------------------------------------------------------


def draw_three(page: Page) -> None:
    """Draw 7, 1 and 7 side by side."""
    digits = enumerate((SEVEN, ONE, SEVEN))
    put(
        page,
        [[(0.03 + 0.33 * n + 0.27 * x, 0.3 + 0.35 * y) for x, y in stroke] for n, digit in digits for stroke in digit],
    )


def sheet(turned: bool = False) -> bytes:
    """Draw four digits above three into a picture file."""
    paper = Image.new("L", (250, 200), 255)
    for number, digit in enumerate(draw_digits(7, seed=4).images.numpy()):
        place = (10 + 58 * (number % 4), 20 + 75 * (number // 4))
        paper.paste(Image.fromarray(255 - digit).resize((45, 45)), place)
    file = io.BytesIO()
    (paper.transpose(Image.Transpose.ROTATE_90) if turned else paper).save(file, "PNG")
    return file.getvalue()


def shown_rows(page: Page) -> list[str]:
    return ["".join(row.locator(".glyph").all_inner_texts()) for row in page.locator("#digit .row").all()]


def rows_by_python(content: bytes) -> list[str]:
    return ["".join(str(one.digit) for one in row) for row in split_rows(predict_all(content, MODEL))]


@in_a_browser
def test_digits_drawn_side_by_side_are_each_read_and_boxed(open_page: OpenPage) -> None:
    page = open_page()
    draw_three(page)
    (row,) = shown_rows(page)
    assert len(row) == 3
    boxes = page.evaluate("paper.boxes.map(({ box }) => box)")
    for number, box in enumerate(boxes):
        assert 0.33 * number < box["left"] < box["right"] < 0.33 * (number + 1)
        assert 0.3 < box["top"] < box["bottom"] < 0.7
    seen = set()
    for glyph in range(3):
        page.locator(".glyph").nth(glyph).click()
        settle(page)
        assert page.evaluate("paper.boxes.map(({ chosen }) => chosen)") == [glyph == other for other in range(3)]
        assert page.locator(".glyph").nth(glyph).get_attribute("aria-pressed") == "true"
        seen.add(shown_frame(page).numpy().tobytes())
        shares_here = predict_logits(MODEL, shown_frame(page)[None])
        assert row[glyph] == str(int(shares_here.argmax()))
    assert len(seen) == 2, "both sevens are the same"
    page.locator("#spoken", has_text=f"Read as {' '.join(row)}.").wait_for(state="attached")
    page.click("#undo")
    page.click("#undo")
    settle(page)
    assert page.locator(".glyph").count() == 0
    assert page.evaluate("paper.boxes") == []


@in_a_browser
def test_ink_is_cut_apart_only_once_the_pen_that_draws_it_is_lifted(open_page: OpenPage) -> None:
    page = open_page()
    page.evaluate(
        """() => {
            window.tried = [];
            const real = cutDigit;
            window.cutDigit = (found, ...given) => {
                tried.push(found.box.left < 50 ? "left" : "right");
                return real(found, ...given);
            };
        }"""
    )

    def tried() -> list[str]:
        settle(page)
        found: list[str] = page.evaluate("tried.splice(0)")
        return sorted(set(found))

    for left, done, drawn in ((0.1, [], "left"), (0.6, ["left"], "right")):
        page.mouse.move(*on_screen(page, (left, 0.4)))
        page.mouse.down()
        for step in range(1, 5):
            page.mouse.move(*on_screen(page, (left + 0.06 * step, 0.5)))
        assert tried() == done
        page.mouse.up()
        assert tried() == [*done, drawn]
    page.click("#clear")
    page.locator("#paper").focus()
    for key in ("Space", "Shift+ArrowDown", "Shift+ArrowDown"):
        page.keyboard.press(key)
    assert tried() == []
    page.keyboard.press("Space")
    assert tried() == ["left"]


@in_a_browser
def test_a_picture_of_several_digits_is_read_row_by_row_as_python_reads_it(open_page: OpenPage) -> None:
    page = open_page()
    give_files(page, "drop", ("sheet.png", sheet()))
    page.wait_for_selector("#turn:visible")
    settle(page)
    assert shown_rows(page) == rows_by_python(sheet())
    assert [len(row) for row in shown_rows(page)] == [4, 3]
    expected = [one.box for one in predict_all(sheet(), MODEL)]
    for box, (left, top, right, bottom) in zip(page.evaluate("paper.boxes"), expected, strict=True):
        across, down = [(0.03 + 0.94 * edge / 250) for edge in (left, right)], [top, bottom]
        assert [box["box"]["left"], box["box"]["right"]] == pytest.approx(across)
        assert [box["box"]["top"], box["box"]["bottom"]] == pytest.approx([0.124 + 0.94 * edge / 250 for edge in down])


@in_a_browser
def test_a_picture_is_turned_by_quarters_and_each_can_be_undone(open_page: OpenPage) -> None:
    page = open_page()
    give_files(page, "drop", ("sheet.png", sheet(turned=True)))
    page.wait_for_selector("#turn:visible")
    page.click("#turn")
    settle(page)
    assert shown_rows(page) == rows_by_python(sheet())
    page.click("#undo")
    settle(page)
    assert page.evaluate("[paper.content().image.width, paper.content().image.height]") == [200, 250]


@in_a_browser
def test_a_part_of_a_picture_is_cut_out_by_dragging(open_page: OpenPage) -> None:
    page = open_page()
    give_files(page, "drop", ("sheet.png", sheet()))
    page.wait_for_selector("#crop:visible")
    page.click("#crop")
    assert page.inner_text("#message").startswith("Drag a box")
    draw(page, [[(0.01, 0.16), (0.99, 0.45)]])
    settle(page)
    assert shown_rows(page) == rows_by_python(sheet())[:1]
    assert page.get_attribute("#crop", "aria-pressed") == "false"
    page.click("#undo")
    settle(page)
    assert len(shown_rows(page)) == 2
    page.click("#crop")
    draw(page, [[(0.5, 0.5), (0.501, 0.501)]])
    settle(page)
    assert page.inner_text("#message").startswith("Too small a part")
    assert len(shown_rows(page)) == 2
    page.click("#clear")
    settle(page)
    assert page.is_hidden("#crop")
    draw(page, ONE)
    settle(page)
    assert page.evaluate("paper.steps.at(-1).kind") == "stroke", "cropping ends with the picture"


@in_a_browser
def test_a_part_of_a_picture_is_cut_out_by_keys_alone(open_page: OpenPage) -> None:
    page = open_page()
    give_files(page, "drop", ("sheet.png", sheet()))
    page.wait_for_selector("#crop:visible")
    page.focus("#crop")
    page.keyboard.press("Enter")
    assert page.inner_text("#message").startswith("Arrow keys move the box")
    assert page.evaluate("document.activeElement.id") == "paper"
    for key, times in (("ArrowLeft", 20), ("ArrowUp", 20), ("Shift+ArrowRight", 40), ("Shift+ArrowUp", 2)):
        for _ in range(times):
            page.keyboard.press(key)
    page.locator("#spoken", has_text="Box from 0 to 100 % across and 0 to 45 % down.").wait_for(state="attached")
    page.keyboard.press("Space")
    assert page.evaluate("paper.steps.length") == 1, "nothing is drawn meanwhile"
    page.keyboard.press("Enter")
    settle(page)
    assert shown_rows(page) == rows_by_python(sheet())[:1]
    assert page.get_attribute("#crop", "aria-pressed") == "false"
    page.keyboard.press("Control+z")
    settle(page)
    assert len(shown_rows(page)) == 2


@in_a_browser
def test_escape_leaves_cropping_with_the_picture_whole(open_page: OpenPage) -> None:
    page = open_page()
    give_files(page, "drop", ("sheet.png", sheet()))
    page.wait_for_selector("#crop:visible")
    page.focus("#crop")
    page.keyboard.press("Space")
    for _ in range(50):
        page.keyboard.press("Shift+ArrowUp")
    page.locator("#spoken", has_text="Box from 25 to 75 % across and 25 to 28 % down.").wait_for(state="attached")
    page.keyboard.press("Escape")
    page.locator("#spoken", has_text="The picture is whole.").wait_for(state="attached")
    assert page.evaluate("[paper.cut, document.activeElement.id, paper.steps.length]") == [None, "crop", 1]
    page.click("#crop")
    page.click("#undo")
    settle(page)
    assert page.evaluate("paper.cut") is None, "cropping ends with the picture"


@in_a_browser
def test_the_one_digit_of_a_picture_is_boxed_and_that_of_a_drawing_is_not(open_page: OpenPage) -> None:
    page = open_page()
    put(page, SEVEN)
    assert page.evaluate("paper.boxes") == []
    give_files(page, "drop", ("seven", picture(SEVEN)))
    page.wait_for_selector("#turn:visible")
    settle(page)
    assert page.evaluate("paper.boxes.length") == 1


# --- why ----------------------------------------------------------------------------------------------------------


def effects_by_python(levels: torch.Tensor, digits: list[int]) -> torch.Tensor:
    """Wipe out squares of 5x5 pixels, 3 apart: uint8 (28, 28) -> for each digit, what is lost a pixel (n, 28, 28)."""
    whole = predict_logits(MODEL, levels[None])[0].log_softmax(0)
    sums, counts = torch.zeros(len(digits), 28, 28), torch.zeros(28, 28)
    for top in range(0, 28, 3):
        for left in range(0, 28, 3):
            square = slice(top, top + 5), slice(left, left + 5)
            if levels[square].max() > 127:
                rest = levels.clone()
                rest[square] = 0
                lost = whole - predict_logits(MODEL, rest[None])[0].log_softmax(0)
                sums[:, square[0], square[1]] += lost[digits, None, None]
                counts[square] += 1
    return sums / counts.clamp(min=1)


@in_a_browser
def test_why_an_answer_was_given_is_what_it_loses_without_each_piece_of_ink(open_page: OpenPage) -> None:
    page = open_page()
    pictures = page.locator("#why canvas")
    blank = [pictures.nth(each).screenshot() for each in (0, 1)]
    put(page, SEVEN)
    wait_until(page, "why.effects")
    digits = page.evaluate("bestTwo(answers[0])")
    assert page.evaluate("answers[0].digit") == digits[0]
    found = torch.tensor(page.evaluate("why.effects.map((effects) => [...effects])")).view(2, 28, 28)
    assert torch.allclose(found, effects_by_python(shown_frame(page), digits), atol=1e-3)
    assert [pictures.nth(each).screenshot() for each in (0, 1)] != blank
    for each, digit in enumerate(digits):
        assert (pictures.nth(each).get_attribute("aria-label") or "").startswith(f"What speaks for {digit}: most")
        assert page.locator("#why figcaption").nth(each).inner_text().startswith(f"{digit}, ")


@in_a_browser
def test_the_drawing_is_coloured_by_what_speaks_for_its_answer_until_it_changes(open_page: OpenPage) -> None:
    page = open_page()
    put(page, SEVEN)
    wait_until(page, "why.effects")
    plain = page.locator("#paper").screenshot()
    page.click("#why-tint")
    settle(page)
    tinted = page.locator("#paper").screenshot()
    assert page.get_attribute("#why-tint", "aria-pressed") == "true"
    assert tinted != plain
    box = page.evaluate("paper.tint.box")
    assert box["left"] < 0.25 < 0.74 < box["right"]
    assert box["top"] < 0.18 < 0.85 < box["bottom"]
    page.click("#clear")
    assert answer(page) == NOTHING
    assert page.evaluate("[paper.tint, why.effects]") == [None, None]
    page.click("#undo")
    wait_until(page, "paper.tint")
    page.click("#why-tint")
    settle(page)
    page.mouse.move(0, 0)
    assert page.locator("#paper").screenshot() == plain


@in_a_browser
def test_the_reasons_of_a_picture_are_those_of_the_digit_that_is_chosen(open_page: OpenPage) -> None:
    page = open_page()
    page.click("#why-tint")
    give_files(page, "drop", ("sheet.png", sheet()))
    wait_until(page, "paper.tint")
    first = page.evaluate("paper.tint.box")
    page.locator(".glyph").nth(5).click()
    wait_until(page, "paper.tint && why.answer === answers[5]")
    second = page.evaluate("paper.tint.box")
    assert first["bottom"] < second["top"] + 0.1


# --- for everyone ------------------------------------------------------------------------------------------------


@in_a_browser
@pytest.mark.parametrize("options", [{}, PHONE, *({"viewport": {"width": 320, "height": high}} for high in (568, 256))])
def test_nothing_is_wider_than_the_screen_and_what_is_pressed_is_large_enough(
    options: dict[str, Any], open_page: OpenPage
) -> None:
    page = open_page(**options)
    draw_three(page)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    for box in (button.bounding_box() for button in page.locator("button:visible").all()):
        assert box
        assert min(box["width"], box["height"]) >= 44
    slider = page.locator("#width").bounding_box()
    assert slider
    assert min(slider["width"], slider["height"]) >= 24


@in_a_browser
@pytest.mark.parametrize(("width", "height"), [(640, 360), (844, 390), (720, 450), (640, 400)])
def test_the_answer_is_beside_the_paper_on_a_low_screen(width: int, height: int, open_page: OpenPage) -> None:
    page = open_page(viewport={"width": width, "height": height})
    paper, digit, bars = (page.locator(name).bounding_box() for name in ("#paper", "#digit", "#bars"))
    assert paper
    assert digit
    assert bars
    assert digit["x"] > paper["x"] + paper["width"]
    assert max(box["y"] + box["height"] for box in (paper, digit, bars)) <= height


@in_a_browser
@pytest.mark.parametrize(("width", "height"), [(360, 640), (320, 568), (390, 844)])
def test_on_an_upright_phone_the_answer_and_the_bars_are_above_the_paper_which_no_answer_moves(
    width: int, height: int, open_page: OpenPage
) -> None:
    page = open_page(**{**PHONE, "viewport": {"width": width, "height": height}})
    places = []
    for strokes in (SEVEN, [[(0.1, 0.2), (0.1, 0.9)]], [[(0.9, 0.2), (0.9, 0.9)]], [[(0.3, 0.3), (0.7, 0.9)]] * 3):
        boxes = {name: page.locator(f"#{name}").bounding_box() for name in ("frame", "digit", "bars", "paper", "pen")}
        assert all(box and box["y"] >= 0 and box["y"] + box["height"] <= height for box in boxes.values()), boxes
        assert boxes["paper"]
        assert all(box and box["y"] < boxes["paper"]["y"] for name, box in boxes.items() if name in ("digit", "bars"))
        assert boxes["paper"]["width"] > 0.8 * min(width, height - 300)
        places.append(boxes["paper"]["y"])
        put(page, strokes)
    assert len(set(places)) == 1
    assert page.evaluate("document.documentElement.scrollWidth") == width
    heights = page.evaluate(
        "[...document.querySelectorAll('.fill')].map((fill) => fill.getBoundingClientRect().height)"
    )
    assert max(heights) > 3
    assert len(set(heights)) > 1


@in_a_browser
def test_nothing_is_said_of_dropping_where_there_is_only_a_finger(open_page: OpenPage) -> None:
    assert "choose a picture" in open_page(**PHONE).inner_text("#hint")
    assert "drop a picture" in open_page().inner_text("#hint")


@in_a_browser
def test_forced_colours_leave_the_two_keys_their_own(open_page: OpenPage) -> None:
    page = open_page(forced_colors="active")
    colours = page.evaluate("""["for", "against"].map((name) =>
        getComputedStyle(document.querySelector(`.key.${name}`), "::before").backgroundColor)""")
    assert len(set(colours)) == 2


@in_a_browser
def test_the_page_tells_what_it_is(open_page: OpenPage) -> None:
    page = open_page(**PHONE)
    page.click("text=What is this?")
    assert "A neural network of" in page.inner_text("#about")


@in_a_browser
def test_paper_answer_and_bars_have_names_and_the_answer_is_spoken(open_page: OpenPage) -> None:
    page = open_page()
    for role, name in (
        ("application", "Paper to draw a digit on"),
        ("button", "Undo"),
        ("button", "Redo"),
        ("button", "Clear"),
        ("button", "Picture"),
        ("slider", "Pen width"),
        ("list", "Probability of each digit"),
        ("heading", "What its layers make of it"),
    ):
        assert page.get_by_role(role, name=name).count() == 1, name  # type: ignore[arg-type]
    assert page.get_by_role("img").count() == 3 + page.locator("#layers > li").count()
    put(page, SEVEN)
    page.locator("#spoken", has_text=re.compile("^(Read as|Not read)")).wait_for(state="attached")
    expected = read_by_python(page)
    assert page.inner_text("#spoken").startswith("Not read, " if expected == "?" else f"Read as {expected}, ")


CONTRASTS = """() => {
    const style = getComputedStyle(document.documentElement);
    const linear = (level) => (level <= 0.04045 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4);
    const luminance = (name) => {
        const digits = style.getPropertyValue(name).trim().match(/[0-9a-f]{2}/gi);
        const [red, green, blue] = digits.map((pair) => linear(parseInt(pair, 16) / 255));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const contrast = (one, other) => {
        const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    };
    const [texts, grounds] = [["--text", "--faint", "--accent"], ["--ground", "--panel"]];
    return texts.flatMap((text) => grounds.map((ground) => contrast(text, ground)));
}"""
"""Contrast of each text with what it may stand on, as WCAG 2 defines it; 4.5 is enough for all sizes."""


@in_a_browser
def test_light_and_dark_are_told_apart_and_every_text_can_be_read_in_both(open_page: OpenPage) -> None:
    grounds = set()
    for scheme in ("light", "dark"):
        page = open_page(color_scheme=scheme)
        assert min(page.evaluate(CONTRASTS)) >= 4.5
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2
    page.emulate_media(color_scheme="light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") in grounds


@in_a_browser
def test_without_javascript_the_page_says_so(chromium: Browser, page_file: Path) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.get_by_text("switched off").is_visible()
    context.close()

"""Teaching the page one's hand: digits asked for, kept and downloaded; and a network retrained on the download."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from browsers import ONE, SEVEN, Points, answer, draw_with_a_finger, put, settle
from under10k import load_digits, load_model
from under10k.cli import main
from under10k.data import rehearsal
from under10k.data.synthetic import WAYS
from under10k.errors import DataError
from under10k.evaluation.metrics import predict_logits
from under10k.export.html import build_page
from under10k.runs.weights import load_weights

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

UNUSUAL: list[tuple[int, list[Points]]] = [
    (1, [[(0.25, 0.55), (0.4, 0.35), (0.55, 0.15), (0.55, 0.5), (0.55, 0.85)]]),
    (1, [[(0.2, 0.85), (0.5, 0.15), (0.55, 0.5), (0.6, 0.85)]]),
    (
        0,
        [
            [(0.5, 0.15), (0.25, 0.3), (0.25, 0.7), (0.5, 0.85), (0.75, 0.7), (0.75, 0.3), (0.5, 0.15)],
            [(0.2, 0.9), (0.8, 0.1)],
        ],
    ),
    (1, [[(0.2, 0.8), (0.5, 0.2), (0.8, 0.8), (0.5, 0.8), (0.22, 0.79)]]),
]
"""Ways to write a digit, of which any network misreads one: the last, a triangle, is a 1 to one person alone."""

OpenPage = Callable[..., "Page"]


@pytest.fixture
def open_page(open_page: OpenPage) -> OpenPage:
    """Open the page with the lesson begun."""

    def open_it(*which: Path, **options: Any) -> Page:
        page: Page = open_page(*which, **options)
        page.click("text=Teach it your hand")
        return page

    return open_it


def page_of(weights: str | Path, file: Path) -> Path:
    """Write a page of trained weights."""
    file.write_text(build_page(*load_weights(weights)).text, encoding="utf-8")
    return file


def strokes_of(digit: int, writing: int, unusual: dict[int, list[Points]] | None = None) -> list[Points]:
    """Return a way to write a digit, a little different each time."""
    usual: list[Points] = [[(x / 100, y / 100) for x, y in stroke] for stroke in WAYS[digit][0][1]]
    strokes = (unusual or {}).get(digit, usual)
    return [[(0.2 + 0.5 * x + 0.02 * writing, 0.15 + 0.6 * y + 0.01 * writing * x) for x, y in one] for one in strokes]


def keep_at_once(page: Page, strokes: list[Points]) -> None:
    """Put strokes on the paper, without a mouse, and keep them."""
    page.evaluate(
        """(strokes) => {
            for (const points of strokes) paper.add({ kind: "stroke", points, width: 0.07 });
            keepDigit();
        }""",
        strokes,
    )


def download(page: Page) -> bytes:
    with page.expect_download() as started:
        page.click("#download")
    assert started.value.suggested_filename == "my-digits.zip"
    return Path(started.value.path()).read_bytes()


def kept(page: Page) -> int:
    return int(page.evaluate("lesson.kept.length"))


def test_digits_are_asked_for_kept_and_taken_back(open_page: OpenPage) -> None:
    page = open_page()
    assert page.inner_text("#task") == "Write 0, as you always do: 1 of 5."
    assert page.inner_text("#hint") == "Write 0"
    for name in "#keep", "#back", "#download":
        assert page.is_disabled(name)
    put(page, SEVEN)
    page.click("#keep")
    settle(page)
    assert page.inner_text("#task").startswith("Write 1,")
    assert page.evaluate("paper.content()") is None
    page.locator("#spoken", has_text="Write 1, as you always do: 1 of 5.").wait_for(state="attached")
    assert page.get_by_role("img", name="1 of 50 digits kept").count() == 1
    page.click("#back")
    assert page.inner_text("#task").startswith("Write 0,")
    assert page.is_disabled("#back")
    page.locator("#spoken", has_text="Write 0, as you always do: 1 of 5.").wait_for(state="attached")


def test_what_is_kept_is_shown_as_it_was_framed(open_page: OpenPage) -> None:
    page = open_page()
    put(page, SEVEN)
    framed = page.evaluate("[...answers[0].levels]")
    page.click("#keep")
    shown = page.evaluate("[...contextOf(byId('sheet')).getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0)")
    assert shown == framed


def test_one_digit_at_a_time_is_kept_and_nothing_else(open_page: OpenPage) -> None:
    page = open_page()
    put(page, [[(left + 0.45 * x, 0.2 + 0.6 * y) for x, y in stroke] for left in (0.0, 0.5) for stroke in SEVEN])
    page.click("#keep")
    assert page.inner_text("#message") == "Write just one digit: 0."
    assert kept(page) == 0
    assert page.evaluate("paper.content().length") == 2, "the drawing is still there"


def test_a_digit_is_kept_by_keys_alone(open_page: OpenPage) -> None:
    page = open_page()
    page.focus("#paper")
    page.keyboard.press("Enter")
    assert kept(page) == 0, "a blank paper is no digit"
    page.keyboard.press("Space")
    for _ in range(5):
        page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Space")
    settle(page)
    page.keyboard.press("Enter")
    assert kept(page) == 1
    page.click("text=Teach it your hand")
    page.focus("#paper")
    put(page, ONE)
    page.keyboard.press("Enter")
    assert kept(page) == 1, "the lesson is closed"


def test_a_finger_can_do_all_of_it_on_a_small_phone(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True)
    page.evaluate("scrollTo(0, 0)")
    draw_with_a_finger(page, SEVEN)
    settle(page)
    keep = page.locator("#keep").bounding_box()
    assert keep
    assert keep["y"] + keep["height"] <= 640, "the paper and its button are on one screen"
    page.tap("#keep")
    page.locator("#task", has_text="Write 1").wait_for()  # a tap becomes a click a little later
    assert kept(page) == 1
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    for name in "#keep", "#back", "#download", "#lesson summary":
        box = page.locator(name).bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= (24 if "summary" in name else 44)


def test_the_download_is_read_as_the_page_framed_it(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    for number in range(20):
        assert page.is_disabled("#download")
        keep_at_once(page, strokes_of(number % 10, number // 10))
    settle(page)
    content = download(page)
    with zipfile.ZipFile(io.BytesIO(content)) as bundle:
        assert bundle.testzip() is None
        assert sorted(bundle.namelist()) == sorted(f"{digit}/{time}.png" for digit in range(10) for time in (1, 2))
    (tmp_path / "my-digits.zip").write_bytes(content)
    found = load_digits(tmp_path / "my-digits.zip", strict=True)
    read = {image.numpy().tobytes() for image in (*found.train.images, *found.test.images)}
    assert read == {bytes(frame) for frame in page.evaluate("lesson.kept.map((levels) => [...levels])")}
    assert torch.equal(found.train.labels.bincount(), torch.full((10,), 1))
    assert download(page) == content, "equal digits make equal bytes"


def test_after_five_of_each_there_is_nothing_left_to_keep(open_page: OpenPage) -> None:
    page = open_page()
    for number in range(50):
        keep_at_once(page, strokes_of(number % 10, number // 10))
    settle(page)
    assert page.inner_text("#task") == "All are there. Download them."
    put(page, ONE)
    assert page.is_disabled("#keep")
    assert page.is_enabled("#download")


@pytest.mark.slow
def test_a_network_trained_on_the_download_reads_a_way_of_writing_that_it_got_wrong(
    open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undrawn: None
) -> None:
    page = open_page(page_of("robust", tmp_path / "before.html"))
    for wanted, strokes in UNUSUAL:
        once_more = strokes_of(wanted, 5, {wanted: strokes})
        put(page, once_more)
        if answer(page) != str(wanted):
            break
        page.click("#clear")
    else:
        pytest.fail("the network reads all of them")
    frame = torch.tensor(page.evaluate("[...answers[0].levels]"), dtype=torch.uint8).view(1, 28, 28)
    page.click("#clear")
    for number in range(50):
        written = strokes_of(number % 10, number // 10, {wanted: strokes})
        if number < 10:
            put(page, written)
            page.click("#keep")
            settle(page)
        else:
            keep_at_once(page, written)
    settle(page)
    (tmp_path / "my-digits.zip").write_bytes(download(page))

    def none(_: object) -> None:
        raise DataError("no MNIST here. get it")

    monkeypatch.setattr(rehearsal, "load_digits", none)
    run = tmp_path / "mine"
    main(
        [
            "train",
            "personal",
            "--data",
            str(tmp_path / "my-digits.zip"),
            "--mix.mnist",
            "3000",
            "--averaging",
            "0.97",
            "--out",
            str(run),
        ]
    )
    assert int(predict_logits(load_model(run), frame).argmax()) == wanted
    page = open_page(page_of(run, tmp_path / "after.html"))
    put(page, once_more)
    assert answer(page) == str(wanted)

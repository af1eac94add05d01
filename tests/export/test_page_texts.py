"""The page's words: one table, five languages, and nothing that stands outside it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import under10k
from browsers import SEVEN, give_files, put, settle, wait_until
from under10k.export.html import SCRIPTS, SERVED, START, read_texts
from under10k.pictures.prediction import CUT, FILLED, OTHER_INK

if TYPE_CHECKING:
    from playwright.sync_api import Page

SOURCES = Path(under10k.__file__).parent / "export" / "page"
TEXTS = read_texts()
LANGUAGES = ("en", "de", "fr", "es", "zh")

OpenPage = Callable[..., "Page"]


@pytest.mark.parametrize("key", TEXTS)
def test_each_text_is_there_in_every_language_with_the_same_values_and_markup(key: str) -> None:
    found = TEXTS[key]
    assert tuple(found) == LANGUAGES
    assert all(text.strip() == text != "" for text in found.values())
    for pattern in (r"\{\w+\}", r"</?(?:strong|span|code)\b[^>]*>"):
        assert len({tuple(sorted(re.findall(pattern, text))) for text in found.values()}) == 1, pattern
    assert all(re.fullmatch(r"(?:[^<>&]|</?(?:strong|span|code|kbd|em|br)\b[^<>]*>)*", text) for text in found.values())


def test_the_table_holds_the_texts_that_the_page_asks_for_and_no_others() -> None:
    sources = [
        (SOURCES / name).read_text(encoding="utf-8")
        for name in (*SCRIPTS, *START, "page.html", *(f"{part}.{kind}" for part in SERVED for kind in ("js", "html")))
    ]
    written = "\n".join(sources)
    asked = set(re.findall(r"say\(\s*\"(\w+)\"|data-(?:text|label)=\"(\w+)\"|TEXTS\.(\w+)", written))
    named = {name for names in asked for name in names if name}
    assert named <= TEXTS.keys()
    quoted = set(re.findall(r"\"(\w+)\"", written))
    computed = {f"place_{third}" for third in range(9)} | {"max_pool", "average_pool", "network", "recipe", "seed"}
    assert TEXTS.keys() - named - quoted - computed == set()


def test_the_doubts_of_an_answer_are_pythons_words() -> None:
    assert [TEXTS[name]["en"] for name in ("filled", "cut", "other_ink")] == [FILLED, CUT, OTHER_INK]


@pytest.mark.browser
@pytest.mark.parametrize(("locale", "language"), [("zh-Hans-CN", "zh"), ("pt-BR", "en")])
def test_the_page_speaks_the_browsers_language_where_it_knows_it(
    locale: str, language: str, open_page: OpenPage
) -> None:
    page = open_page(locale=locale)
    assert page.evaluate("document.documentElement.lang") == language
    assert page.inner_text("h1") == TEXTS["title"][language]
    assert page.title() == f"{TEXTS['title'][language]}: under10k"
    assert page.get_by_role("button", name=TEXTS["undo"][language], exact=True).count() == 1
    put(page, SEVEN)
    assert page.locator("#layers .size").first.inner_text() == TEXTS["maps"][language].format(
        channels=page.evaluate("layerView.rows[0].shape.channels"),
        height=page.evaluate("layerView.rows[0].shape.height"),
        width=page.evaluate("layerView.rows[0].shape.width"),
    )


@pytest.mark.browser
def test_a_language_is_known_with_its_region_and_without(open_page: OpenPage) -> None:
    page = open_page()
    for asked, language in (
        ("en-GB", "en"),
        ("de-AT", "de"),
        ("fr", "fr"),
        ("fr-CA", "fr"),
        ("es-419", "es"),
        ("zh", "zh"),
    ):
        assert page.evaluate("(asked) => findLanguage(['pt-BR', asked, 'de'])", asked) == language


@pytest.mark.browser
def test_another_language_is_chosen_at_any_time_and_kept_in_the_address_alone(open_page: OpenPage) -> None:
    page = open_page(locale="fr-FR")
    put(page, SEVEN)
    wait_until(page, "why.effects")
    frame = page.evaluate("[...answers[0].levels]")
    page.locator("#layers .name").first.click()
    page.locator("#language").select_option("de")
    wait_until(page, "document.documentElement.lang === 'de'")
    assert page.url.endswith("#de")
    assert page.inner_text("#close-up-title") == "Ganz nah"
    assert page.inner_text("#layers .name").startswith("5×5-Faltung")  # noqa: RUF001
    assert re.search(r"\d,\d\d", page.inner_text("#close-up .place"))
    assert page.evaluate("[...answers[0].levels]") == frame
    page.reload()
    assert page.evaluate("document.documentElement.lang") == "de"
    assert page.locator("#language").input_value() == "de"
    assert page.evaluate("[document.cookie, localStorage.length, sessionStorage.length, history.length]")[:3] == [
        "",
        0,
        0,
    ]
    page.evaluate("location.hash = 'xx'")
    wait_until(page, "document.documentElement.lang === 'fr'")


MARK = """(mark) => {
    for (const text of Object.values(TEXTS)) text.de = text.en.replace(/(^|>)([^<>]*[a-zA-Z][^<>]*)/g, `$1${mark}$2`);
    location.hash = "de";
}"""
"""Put a mark before each English text, and have it shown as German."""

SHOWN = """() => {
    const found = [];
    const walker = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const { parentElement: parent, data } = walker.currentNode;
        if (!parent.closest("script, style, option, kbd, code")) found.push(data);
    }
    for (const part of document.querySelectorAll("*")) {
        for (const name of ["aria-label", "title", "alt", "placeholder", "aria-valuetext", "aria-description"]) {
            if (part.hasAttribute(name)) found.push(part.getAttribute(name));
        }
    }
    return found;
}"""


def outside_the_table(page: Page) -> list[str]:
    """Return the texts on the page that hold a letter and no mark, names aside."""
    return [
        text
        for text in page.evaluate(SHOWN)
        if "¶" not in text and not re.fullmatch(r"[^a-zA-Z]*|\s*early, under10k \S+\s*", text)
    ]


@pytest.mark.browser
def test_no_text_that_is_seen_or_spoken_stands_outside_the_table(open_page: OpenPage) -> None:
    page = open_page()
    page.evaluate(MARK, "¶")
    wait_until(page, "document.documentElement.lang === 'de'")
    assert page.inner_text("h1") == "¶Draw a digit"
    assert outside_the_table(page) == []
    put(page, SEVEN)
    wait_until(page, "why.effects")
    page.locator("#spoken", has_text="¶").wait_for(state="attached")
    page.locator("#layers .name").first.click()
    for layer in range(page.evaluate("layers.length") + 1):
        page.locator("#close-up .layer").fill(str(layer))
        assert outside_the_table(page) == []
    page.click("#lesson summary")
    settle(page)
    page.click("#keep")
    settle(page)
    assert outside_the_table(page) == []
    for files in ([], [("x", b"no picture")]):
        page.evaluate("tell('')")
        give_files(page, "drop", *files)
        page.locator("#message", has_text="¶").wait_for()
    put(page, [[(0.1, 0.2), (0.1, 0.8)], [(0.8, 0.2), (0.8, 0.8)]])
    page.locator("#spoken", has_text="¶Read as").wait_for(state="attached")
    assert outside_the_table(page) == []


@pytest.mark.browser
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_fits_a_small_phone(language: str, open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 320, "height": 568}, has_touch=True, is_mobile=True)
    page.locator("#language").select_option(language)
    wait_until(page, f"document.documentElement.lang === '{language}'")
    boxes = {name: page.locator(name).bounding_box() for name in ("#digit", "#bars", "#paper", "#pen")}
    assert all(box and box["y"] >= 0 and box["y"] + box["height"] <= 568 for box in boxes.values()), boxes
    put(page, SEVEN)
    for name in ("#lesson summary", "#about summary"):
        page.click(name)
    page.locator("#layers .name").nth(1).click()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    for box in (button.bounding_box() for button in page.locator("button:visible, select:visible").all()):
        assert box
        assert min(box["width"], box["height"]) >= 44
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 320

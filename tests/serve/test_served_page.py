"""The page that `under10k serve` serves, in a real browser; and a page elsewhere that would like to use the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("h11")
pytest.importorskip("python_multipart")

from browsers import SEVEN as SEVEN_STROKES
from browsers import answer, draw
from random_networks import random_network
from servers import PAGE, SEVEN, serving
from under10k.export.html import Page, build_page
from under10k.serve.answers import Reading
from under10k.weights.bundled import Facts

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

READ = "0123456789?"


def test_the_served_page_works_and_goes_on_when_the_server_is_gone(chromium: Browser) -> None:
    complaints: list[str] = []
    page = chromium.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    with serving(page=build_page(random_network("early"), Facts("early"))) as port:
        response = page.goto(f"http://127.0.0.1:{port}/")
        assert response
        assert response.ok
        draw(page, SEVEN_STROKES)
        assert answer(page) in list(READ)
    page.click("#clear")
    assert answer(page) not in list(READ)
    draw(page, SEVEN_STROKES)
    assert answer(page) in list(READ)
    page.close()
    assert complaints == []


def test_a_page_of_another_site_cannot_have_a_picture_read(chromium: Browser) -> None:
    pictures: list[bytes] = []

    def read(picture: bytes, _: bool) -> Reading:
        pictures.append(picture)
        return SEVEN

    page = chromium.new_page()
    with serving(read) as port, serving(page=Page(PAGE.text, "default-src *")) as elsewhere:
        page.goto(f"http://localhost:{elsewhere}/")
        send = """async ([url, mode, kind]) => {
            const request = { method: "POST", body: "x", mode, headers: kind ? { "content-type": kind } : {} };
            return fetch(url, request).then((answer) => `answered ${answer.status}`, (error) => error.message);
        }"""
        for asked in ("cors", "image/png"), ("cors", "text/plain"), ("no-cors", "text/plain"), ("no-cors", ""):
            assert page.evaluate(send, [f"http://127.0.0.1:{port}/api/predict", *asked]) == "Failed to fetch", asked
    page.close()
    assert pictures == []

"""The digits that a network misreads, on the page that `under10k serve` makes, and on no other."""

from __future__ import annotations

import base64
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

pytest.importorskip("fastapi")
pytest.importorskip("h11")
pytest.importorskip("python_multipart")

import httpx

import under10k.data
from browsers import settle, wait_until
from random_networks import random_network
from servers import serving
from under10k.data.datasets import Dataset
from under10k.data.synthetic import draw_digits
from under10k.errors import DataError
from under10k.evaluation.metrics import predict_logits
from under10k.export.html import build_page
from under10k.serve.answers import Misread
from under10k.serve.gallery import MOST, misread_finder
from under10k.weights.bundled import Facts

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MODEL = random_network("early")
FACTS = Facts("early")
TEST = draw_digits(200, seed=8)


@pytest.fixture
def mnist_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have digits drawn by strokes found in MNIST's place."""
    monkeypatch.setattr(under10k.data, "find_dataset", lambda _: Path("here"))
    monkeypatch.setattr(under10k.data, "load_digits", lambda name: Dataset(name, TEST, TEST))


def find() -> Misread:
    finder = misread_finder(MODEL)
    assert finder
    return finder()


def test_all_that_is_misread_is_counted_and_the_surest_are_shown(mnist_found: None) -> None:
    found = find()
    probabilities = predict_logits(MODEL, TEST.images).softmax(dim=1)
    wrong = probabilities.argmax(dim=1) != TEST.labels
    assert (found.ready, found.count, found.all) == (True, int(wrong.sum()), 200)
    assert len(found.digits) == MOST < found.count
    surest = probabilities.max(dim=1).values[wrong].sort(descending=True).values[:MOST]
    assert torch.allclose(torch.tensor([digit.probability for digit in found.digits]), surest)
    images = {image.numpy().tobytes(): int(label) for image, label in zip(TEST.images, TEST.labels, strict=True)}
    for digit in found.digits:
        assert images[base64.b64decode(digit.levels)] == digit.label != digit.digit


def test_where_mnist_is_not_on_this_machine_there_is_no_gallery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under10k.data, "find_dataset", lambda _: None)
    assert misread_finder(MODEL) is None
    with serving() as port:
        assert httpx.get(f"http://127.0.0.1:{port}/misread").status_code == 404


def test_it_is_found_once_however_often_it_is_asked_for(mnist_found: None) -> None:
    calls: list[int] = []
    go_on = threading.Event()

    def slowly() -> Misread:
        calls.append(1)
        go_on.wait(20)
        return find()

    with serving(find_misread=slowly) as port:
        address = f"http://127.0.0.1:{port}/misread"
        for _ in range(5):
            assert httpx.get(address).json()["ready"] is False
        go_on.set()
        while not (found := httpx.get(address).json())["ready"]:
            pass
    assert calls == [1]
    assert Misread(**found) == find()


def test_a_damaged_test_set_leaves_the_page_without_a_gallery(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Misread:
        raise DataError("damaged file: t10k. download it again")

    with caplog.at_level(logging.ERROR), serving(find_misread=fail) as port:
        while not (found := httpx.get(f"http://127.0.0.1:{port}/misread").json())["ready"]:
            pass
    assert found["digits"] == []
    assert [record.getMessage() for record in caplog.records if "gallery" in record.getMessage()] == [
        "error: no gallery of misread digits: damaged file: t10k. download it again"
    ]


def test_a_page_of_another_site_cannot_ask_for_it(mnist_found: None) -> None:
    with serving(find_misread=find) as port:
        answer = httpx.get(f"http://127.0.0.1:{port}/misread", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


def test_an_exported_page_has_no_part_of_it() -> None:
    exported, served = build_page(MODEL, FACTS), build_page(MODEL, FACTS, gallery=True)
    for page, has in ((exported, False), (served, True)):
        assert ("fetch(" in page.text) == ('id="misread"' in page.text) == ("connect-src 'self'" in page.policy) == has
    assert len(served.text.encode()) < 300_000


@pytest.mark.browser
def test_a_misread_digit_is_put_into_the_reader_as_it_is(chromium: Browser, mnist_found: None) -> None:
    complaints: list[str] = []
    page = chromium.new_page(locale="de")
    page.on("console", lambda message: complaints.append(message.text))
    with serving(page=build_page(MODEL, FACTS, gallery=True), find_misread=find) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        page.locator("#misread-digits button").first.wait_for()
    found = find()
    assert page.locator("#misread-digits button").count() == MOST
    assert page.inner_text("#misread-help").startswith(f"{found.count} von 200 Testbildern")
    shown = found.digits[3]
    button = page.locator("#misread-digits button").nth(3)
    assert button.inner_text().split("\n")[0] == f"{shown.label} → {shown.digit}"
    assert page.get_by_role("button", name=f"Eine {shown.label}, gelesen als {shown.digit}, ").count() > 0
    button.focus()
    page.keyboard.press("Enter")
    settle(page)
    assert bytes(page.evaluate("[...answers[0].levels]")) == base64.b64decode(shown.levels)
    assert page.evaluate("answers[0].digit") == shown.digit
    assert page.evaluate("answers[0].probabilities[answers[0].digit]") == pytest.approx(shown.probability, abs=1e-4)
    wait_until(page, "why.effects")
    page.locator("#language").select_option("en")
    wait_until(page, "byId('misread-title').textContent === 'Digits it gets wrong'")
    wait_until(page, f"byId('misread-help').textContent.startsWith('{found.count} of 200')")
    page.click("#undo")
    page.close()
    assert complaints == []


@pytest.mark.browser
def test_no_empty_box_stands_on_the_page_where_nothing_was_found(chromium: Browser) -> None:
    page = chromium.new_page()
    with serving(page=build_page(MODEL, FACTS, gallery=True), find_misread=lambda: Misread(ready=True)) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        wait_until(page, "misread")
        assert page.is_hidden("#misread")
    page.close()

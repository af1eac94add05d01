"""The page, opened in a browser without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from random_networks import random_network
from under10k.export.html import build_page
from under10k.weights.bundled import Facts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of the smallest network, with random weights."""
    file = tmp_path_factory.mktemp("page") / "digits.html"
    file.write_text(build_page(random_network("early"), Facts("early")).text, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def reused_page(chromium: Browser) -> Iterator[Page]:
    """A page that loads one document after the other: a new one takes twice the time."""
    context = chromium.new_context(offline=True)
    yield context.new_page()
    context.close()


@pytest.fixture
def open_page(chromium: Browser, page_file: Path, reused_page: Page) -> Iterator[Callable[..., Page]]:
    """Open the page from its file, without a network; whatever the browser complains about fails the test."""
    complaints: list[str] = []
    contexts = []
    watched: list[tuple[Page, dict[str, Callable[[Any], object]]]] = []

    def open_it(address: str = page_file.as_uri(), **options: Any) -> Page:
        if options or watched or not address.startswith("file:"):
            contexts.append(chromium.new_context(offline=address.startswith("file:"), **options))
            page = contexts[-1].new_page()
        else:
            page = reused_page
        listeners: dict[str, Callable[[Any], object]] = {
            "console": lambda message: complaints.append(message.text),
            "pageerror": lambda error: complaints.append(str(error)),
            "request": lambda request: complaints.append(request.url) if request.url != address else None,
        }
        for event, listener in listeners.items():
            page.on(event, listener)  # type: ignore[call-overload]
        watched.append((page, listeners))
        page.goto(address)
        return page

    yield open_it
    for page, listeners in watched:
        page.mouse.up()
        page.goto("about:blank")
        for event, listener in listeners.items():
            page.remove_listener(event, listener)
    for context in contexts:
        context.close()
    assert complaints == []

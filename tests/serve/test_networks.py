"""The bundled networks beside the page's own, on the page that `under10k serve` makes, and on no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

pytest.importorskip("fastapi")
pytest.importorskip("h11")
pytest.importorskip("python_multipart")

import httpx

from browsers import ONE, SEVEN, UNREHEARSED, draw, put, settle, wait_until
from random_networks import random_network
from servers import serving
from under10k.evaluation.metrics import predict_logits
from under10k.export.html import build_page, describe_networks, read_network_json
from under10k.models.registry import count_parameters
from under10k.runs.weights import load_model, load_weights
from under10k.serve.answers import Misread, MisreadDigit
from under10k.serve.networks import networks_beside
from under10k.weights.bundled import Facts, list_weights

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MODEL = random_network("early")
FACTS = Facts("early")
PAGE = build_page(MODEL, FACTS, networks=True)


def listed(weights: str, model: nn.Module = MODEL, facts: Facts = FACTS) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(networks_beside(Path(weights), model, facts))
    return found


def test_every_bundled_network_is_listed_once_the_smallest_first() -> None:
    found = listed("gap", *load_weights("gap"))
    assert sorted(network["name"] for network in found) == list_weights()
    assert [network["name"] for network in found if network["own"]] == ["gap"]
    sizes = {name: count_parameters(load_model(name)) for name in list_weights()}
    assert [network["parameters"] for network in found] == sorted(sizes.values())
    for network in found:
        assert network["parameters"] == sizes[network["name"]]
        page = build_page(*load_weights(network["name"])).text
        assert network["layers"] == json.loads(read_network_json(page))
        assert network["origin"] in page


def test_a_network_of_the_users_stands_among_them_by_its_name_without_its_folder() -> None:
    found = listed("somewhere/early", facts=Facts("<b>mine.py:Net"))
    assert [network["name"] for network in found if network["own"]] == ["early"]
    assert sorted(network["name"] for network in found if not network["own"]) == list_weights()
    assert ["&lt;b&gt;mine.py:Net" in network["origin"] for network in found if network["own"]] == [True]


def test_a_network_that_the_page_cannot_run_is_left_out() -> None:
    strided = nn.Sequential(nn.Conv2d(1, 10, 3, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = json.loads(describe_networks(("mine", MODEL, FACTS), {"strided": (strided, Facts("strided"))}))
    assert [network["name"] for network in found] == ["mine"]


def test_they_are_served_where_the_page_asks_for_them() -> None:
    networks = networks_beside(Path("early"), MODEL, FACTS)
    with serving(networks=networks) as port:
        answer = httpx.get(f"http://127.0.0.1:{port}/networks")
    assert (answer.text, answer.headers["content-type"]) == (networks, "application/json")
    assert len(networks) < 2**20
    with serving() as port:
        assert httpx.get(f"http://127.0.0.1:{port}/networks").status_code == 404


def test_an_exported_page_has_no_part_of_them() -> None:
    for page, has in ((build_page(MODEL, FACTS), False), (PAGE, True)):
        assert ("fetch(" in page.text) == ('id="networks"' in page.text) == ("connect-src 'self'" in page.policy) == has
    assert len(PAGE.text.encode()) < 300_000


def new_page(chromium: Browser) -> Page:
    page = chromium.new_page(locale="en")
    page.add_init_script(UNREHEARSED)
    return page


def shown(page: Page) -> dict[str, list[str]]:
    """Return what the rows say, by network, once all have read what the page has read."""
    wait_until(page, "networks.length && networks.every(({ seen }) => seen === answers)")
    rows = page.locator(".network").evaluate_all(
        "(rows) => rows.map((row) => [...row.querySelectorAll('strong, span')].map(({ textContent }) => textContent))"
    )
    return {name: texts for name, *texts in rows}


@pytest.mark.browser
def test_all_read_what_is_drawn_and_the_one_chosen_becomes_the_pages(chromium: Browser) -> None:
    complaints: list[str] = []
    asked: list[str] = []
    page = new_page(chromium)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    with serving(page=PAGE, networks=networks_beside(Path("mine"), MODEL, FACTS)) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        draw(page, SEVEN)
        settle(page)
        assert len(asked) == 1
        page.locator("#networks summary").focus()
        page.keyboard.press("Enter")
        found = shown(page)
        assert asked[1:] == [f"http://127.0.0.1:{port}/networks"]
    frame = torch.tensor(page.evaluate("[...answers[0].levels]"), dtype=torch.uint8).view(1, 28, 28)
    assert sorted(found) == sorted([*list_weights(), "mine"])
    for name, (size, digit, sureness) in found.items():
        model = MODEL if name == "mine" else load_model(name)
        [probabilities] = predict_logits(model, frame).softmax(dim=1)
        assert size == f"{count_parameters(model):,} numbers"
        assert digit in (str(int(probabilities.argmax())), "?")
        assert float(sureness.rstrip("%")) == pytest.approx(100 * float(probabilities.max()), abs=0.06)
    assert page.get_by_role("radio", checked=True).evaluate_all("(all) => all.length") == 1
    assert page.get_by_role("radio", name="mine 8,880 numbers", checked=True).count() == 1

    page.locator("#layers .name").first.click()
    name, second = list(found)[:2]
    page.locator(".network", has_text=second).locator("input").focus()
    page.keyboard.press("ArrowUp")
    assert page.get_by_role("radio", name=name, checked=True).count() == 1
    wait_until(page, "why.effects")
    smallest, facts = load_weights(name)
    [probabilities] = predict_logits(smallest, frame).softmax(dim=1)
    assert page.evaluate("answers[0].probabilities") == pytest.approx(probabilities.tolist(), abs=1e-4)
    assert page.inner_text("header strong") == f"{count_parameters(smallest):,} numbers"
    assert page.inner_text("#origin").startswith(f"Network {facts.model}, recipe {facts.recipe}, seed")
    assert page.is_hidden("#close-up")
    assert page.evaluate("document.activeElement.name") == "network"
    rows = page.locator("#layers > li").count()
    assert rows == page.evaluate("groupLayers(layers).length")
    page.locator("#layers .name").last.click()
    assert int(page.get_attribute("#close-up .layer", "max") or 0) == page.evaluate("layers.length")

    page.locator("#language").select_option("de")
    wait_until(page, "document.documentElement.lang === 'de'")
    assert page.inner_text("#networks h2") == "Andere Netze"
    assert page.inner_text("#origin").startswith(f"Netz {facts.model}, Rezept {facts.recipe}, Seed")
    assert shown(page)["mine"][0] == "8.880 Zahlen"
    page.set_viewport_size({"width": 320, "height": 568})
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    put(page, [[(0.6, 0.2), (0.6, 0.7)]])
    assert {len(digits) for _, digits, _ in shown(page).values()} == {page.evaluate("answers.length")}
    page.close()
    assert complaints == []


@pytest.mark.browser
def test_the_page_answers_first_and_those_folded_away_read_nothing(chromium: Browser) -> None:
    five = {"five": (random_network("early", views=5), Facts("early"))}
    page = new_page(chromium)
    count = "networks.filter(({ seen }) => seen === answers).length"
    with serving(page=PAGE, networks=describe_networks(("mine", MODEL, FACTS), five)) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        page.click("#networks summary")
        assert {digits for _, digits, _ in shown(page).values()} == {"\N{EN DASH}"}
        put(page, ONE)
        shown(page)
        assert page.evaluate(f"readPaper(), {count}") == 0
        shown(page)
        page.click("#networks summary")
        page.evaluate("readPaper()")
        settle(page)
        assert page.evaluate(count) == 0
        page.click("#networks summary")
        alone = shown(page)["five"]
        assert page.is_hidden("#views-help")
        page.locator(".network", has_text="five").click()
        assert page.is_visible("#views-help")
        assert shown(page)["five"] == alone
    page.close()


@pytest.mark.browser
def test_what_the_pages_own_network_misreads_is_hidden_while_another_is_chosen(chromium: Browser) -> None:
    digit = MisreadDigit(label=1, digit=7, probability=0.5, levels="A" * 1044 + "AA==")
    found = Misread(ready=True, count=1, all=1, digits=[digit])
    page = chromium.new_page()
    networks = networks_beside(Path("mine"), MODEL, FACTS)
    both = build_page(MODEL, FACTS, networks=True, gallery=True)
    with serving(page=both, networks=networks, find_misread=lambda: found) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        page.locator("#misread").wait_for()
        page.click("#networks summary")
        shown(page)
        page.locator(".network", has_text="best-1k").click()
        assert page.is_hidden("#misread")
        page.locator(".network", has_text="mine").click()
        assert page.is_visible("#misread")
        put(page, [[(x, 0.2), (x, 0.7)] for x in (0.2, 0.5, 0.8)])
        read = shown(page)
        assert len(read["mine"][1]) == page.evaluate("answers.length") == 3
        row = page.locator(".network", has_text="mine")
        boxes = [row.locator(part).bounding_box() for part in ("strong", ".digits")]
        assert boxes[0]
        assert boxes[1]
        assert boxes[0]["y"] + boxes[0]["height"] <= boxes[1]["y"]
    page.close()


@pytest.mark.browser
def test_a_server_that_does_not_answer_is_asked_again_when_the_part_is_opened_again(chromium: Browser) -> None:
    page = new_page(chromium)
    with serving(page=PAGE, networks=networks_beside(Path("mine"), MODEL, FACTS)) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        page.route("**/networks", lambda route: route.abort())
        page.click("#networks summary")
        page.locator("#networks-missing", has_text="does not answer").wait_for()
        page.unroute("**/networks")
        page.click("#networks summary")
        page.click("#networks summary")
        assert len(shown(page)) == len(list_weights()) + 1
        assert page.is_hidden("#networks-missing")
    page.close()

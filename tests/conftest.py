"""What tests share: a few random digits on disk, MNIST where it is at hand, a browser, the page opened in it."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import chdir
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import settings

from browsers import DESKTOP, QUIET, UNREHEARSED, find_chromium, skip_without
from short_runs import THREADS
from under10k.data.datasets import Dataset, find_dataset
from under10k.data.digits import write_idx
from under10k.data.synthetic import draw_digits
from under10k.export.node import find_node
from under10k.machine import count_cores
from under10k.recipes import Recipe
from under10k.training.start import train

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

torch.set_num_threads(THREADS)  # while tests are collected, too: digits are drawn then
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # tests import ONNX Runtime themselves, to know whether it is there

settings.register_profile("untimed", deadline=None)  # a busy machine is no fault
settings.load_profile("untimed")

for name in ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONOPTIMIZE"):
    os.environ.pop(name, None)  # Python behaves as on a machine where nobody has set anything

NUMBERS = itertools.count()

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_xdist_auto_num_workers() -> int:
    """Run one worker more than there are cores: tests often wait, for processes and browsers."""
    return count_cores() + 1


def write_small_set(folder: Path, train: int = 60, test: int = 20, seed: int = 0) -> Path:
    """Write four IDX files of random pixels and labels, named as MNIST's are."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in ("train", train), ("t10k", test):
        write_idx(folder / f"{split}-images-idx3-ubyte.gz", random.integers(0, 256, (count, 28, 28), dtype=np.uint8))
        write_idx(folder / f"{split}-labels-idx1-ubyte.gz", random.integers(0, 10, count, dtype=np.uint8))
    return folder


def write_digits(folder: Path, dataset: Dataset) -> Path:
    """Write digits as four IDX files, named as MNIST's are."""
    folder.mkdir()
    for split, digits in ("train", dataset.train), ("t10k", dataset.test):
        write_idx(folder / f"{split}-images-idx3-ubyte.gz", digits.images.numpy())
        write_idx(folder / f"{split}-labels-idx1-ubyte.gz", digits.labels.numpy().astype(np.uint8))
    return folder


@pytest.fixture
def small_folder(tmp_path: Path) -> Path:
    """A folder of four IDX files: 60 random images to train on, 20 to test with."""
    return write_small_set(tmp_path / "small")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that look for MNIST: `-m mnist` runs what a machine without it has skipped, or run on less."""
    for item in items:
        if "mnist_if_there" in getattr(item, "fixturenames", ()):
            item.add_marker("mnist")


@pytest.fixture(scope="session")
def mnist_if_there() -> Path | None:
    """The folder of the real MNIST, where under10k itself would find it from the repository; never downloaded."""
    with chdir(REPOSITORY):
        folder = find_dataset("mnist")
        return folder and folder.resolve()


@pytest.fixture(scope="session")
def mnist_folder(mnist_if_there: Path | None) -> Path:
    """The folder of the real MNIST; tests that ask for it are skipped where it is not at hand."""
    if mnist_if_there is None:
        pytest.skip("MNIST is not at hand: neither in $UNDER10K_DATA, data/mnist, ../shared/mnist nor the user's cache")
    return mnist_if_there


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """Few synthetic digits: 384 to train on, 96 to test with."""
    return Dataset("few", draw_digits(384, seed=0), draw_digits(96, seed=1))


@pytest.fixture(scope="session")
def _digits_once(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("digits") / "few digits", dataset)


@pytest.fixture
def data_folder(tmp_path: Path, _digits_once: Path) -> Path:
    """The same digits as a folder of four IDX files, for the command line; its path has a space."""
    return Path(shutil.copytree(_digits_once, tmp_path / "few digits"))


@pytest.fixture(scope="session", autouse=True)
def _no_disk_is_waited_for() -> Iterator[None]:
    """No test loses power: to wait until what was written is on the disk is a third of a short training's time."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Results must not depend on the machine's cores, nor may tests fight over them."""
    torch.set_num_threads(THREADS)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings and studies draw nothing, which is half the work of a short one; `monkeypatch.undo()` lets them.

    Their pictures are what tests of plots and of the command line look at.
    """
    undraw(monkeypatch)


def undraw(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("plot_curves", "plot_strip", "plot_tradeoff", "save_figure"):
        monkeypatch.setattr(f"under10k.plots.{name}", lambda *_: None)


@pytest.fixture(scope="session")
def finished(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Recipe], Path]:
    """Trains a recipe on the few digits, undisturbed and once for all tests; its folder is only to be read."""

    @cache
    def train_once(recipe: Recipe) -> Path:
        torch.set_num_threads(THREADS)
        with pytest.MonkeyPatch.context() as monkeypatch:
            undraw(monkeypatch)
            return Path(train(recipe, dataset, tmp_path_factory.mktemp("finished") / "run", reports=[]).run_dir)

    return train_once


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser; tests that ask for it are skipped where there is none.

    It is closed after each module: while it is open, playwright's event loop leaves no room for another in this thread.
    """
    path = find_chromium()
    if not path:
        skip_without("Chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node; tests that ask for it are skipped where there is none."""
    return find_node() or skip_without("Node")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of the smallest network, with random weights."""
    from random_networks import random_network
    from under10k.export.html import build_page
    from under10k.weights.bundled import Facts

    file = tmp_path_factory.mktemp("page") / "digits.html"
    file.write_text(build_page(random_network("early"), Facts("early")).text, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def page_on(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Give the one page on a kind of device, to load one document after another: a new one takes four times as long."""
    pages: dict[str, Page] = {}

    def give(viewport: Any = DESKTOP, color_scheme: Any = "light", forced_colors: Any = "none", **device: Any) -> Page:
        page = pages.get(str(device))
        if not page:
            context = chromium.new_context(offline=True, **device)
            context.add_init_script(UNREHEARSED)
            page = pages[str(device)] = context.new_page()
        page.set_viewport_size(viewport)
        page.emulate_media(color_scheme=color_scheme, forced_colors=forced_colors)
        return page

    yield give
    for page in pages.values():
        page.context.close()


@pytest.fixture
def open_page(page_file: Path, page_on: Callable[..., Page]) -> Iterator[Callable[..., Page]]:
    """Open the page from its file, without a network; whatever the browser complains about fails the test.

    There is one page on each kind of device: the next that is opened takes its place.
    """
    complaints: list[str] = []
    opened: dict[Page, dict[str, Callable[[Any], object]]] = {}

    def leave(page: Page) -> None:
        page.mouse.up()
        for event, listener in opened.pop(page, {}).items():
            page.remove_listener(event, listener)

    def open_it(file: Path = page_file, **options: Any) -> Page:
        page = page_on(**options)
        leave(page)
        address = f"{file.as_uri()}?{next(NUMBERS)}"  # an address loaded again keeps what was filled in
        opened[page] = {
            "console": lambda message: complaints.append(message.text),
            "pageerror": lambda error: complaints.append(str(error)),
            "request": lambda request: complaints.append(request.url) if request.url != address else None,
        }
        for event, listener in opened[page].items():
            page.on(event, listener)  # type: ignore[call-overload]
        page.goto(address)
        return page

    yield open_it
    for page in list(opened):
        leave(page)
    assert complaints == []

"""`under10k serve`: where it listens, what it says, how it ends."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("h11")

import httpx
from PIL import Image

import under10k.cli
from own_networks import source
from random_networks import random_network
from under10k.cli.serve import has_browser
from under10k.data import find_dataset
from under10k.data.synthetic import draw_digits
from under10k.errors import missing_library
from under10k.export.html import build_page
from under10k.models.registry import create_model
from under10k.runs.weights import load_weights
from under10k.serve.server import listen
from under10k.weights.sealed import save_weights


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A weights file of a network with random weights."""
    options = {"dropout": 0.02, "residual": False, "head": "pool"}
    path = tmp_path / "model.safetensors"
    save_weights(path, random_network("early"), {"model": "early", "options": options})
    return path


@contextmanager
def serve(*arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the command while the block runs, and give the address that it says."""
    command = [sys.executable, "-m", "under10k", "serve", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            first = process.stdout.readline()
            assert first.startswith("draw a digit: http://"), first
            yield first.split()[-1], process
        finally:
            process.kill()


def test_it_serves_the_page_with_a_gallery_where_mnist_is_at_hand_and_stops_when_asked(weights: Path) -> None:
    page = build_page(*load_weights(weights), networks=True, gallery=find_dataset("mnist") is not None).text
    with serve(str(weights), "--port", "0") as (address, process):
        assert address.startswith("http://127.0.0.1:")
        assert httpx.get(address).text == page
        networks = httpx.get(f"{address}networks").json()
        assert [network["name"] for network in networks if network["own"]] == ["model.safetensors"]
        weights.write_bytes(b"replaced while the server runs")
        assert httpx.get(address).text == page
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr
        assert process.stderr.read() == ""


def test_a_network_that_no_page_can_draw_for_is_served_with_a_page_to_send_pictures_from(tmp_path: Path) -> None:
    (tmp_path / "my_net.py").write_text(source("strided"))
    name = f"{tmp_path / 'my_net.py'}:Net"
    save_weights(tmp_path / "mine.safetensors", create_model(name), {"model": "my_net.py:Net"})
    with serve(str(tmp_path / "mine.safetensors"), "--model", name, "--port", "0") as (address, process):
        page = httpx.get(address)
        assert "Network my_net.py:Net" in page.text
        assert "4,626 parameters" in page.text
        [form] = re.findall(r'<form action="(.*?)".*?name="(.*?)"', page.text, re.DOTALL)
        picture = io.BytesIO()
        Image.fromarray(draw_digits(1, seed=0).images[0].numpy()).save(picture, "PNG")
        answer = httpx.post(f"{address}{form[0][1:]}", files={form[1]: ("a.png", picture.getvalue(), "image/png")})
        assert answer.status_code == 200, answer.text
        assert "form-action 'self'" in page.headers["content-security-policy"]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr
        assert "C and the page do not know features.0" in process.stderr.read()


def test_whoever_opens_it_to_the_network_is_warned(weights: Path) -> None:
    with serve(str(weights), "--port", "0", "--host", "0.0.0.0") as (address, process):  # noqa: S104
        assert httpx.get(f"{address}healthz").json()["status"] == "ok"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
        assert process.stderr
        assert process.stderr.read() == "warning: listening on 0.0.0.0: anyone who reaches this machine can use it\n"


def fails(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        under10k.cli.main(["serve", *arguments])
    captured = capsys.readouterr()
    assert (ended.value.code, captured.out, captured.err.count("\n")) == (code, "", 1)
    return captured.err


def test_a_port_in_use_is_an_error_of_one_line(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        line = fails(capsys, 1, str(weights), "--port", str(port))
    reason = "Address already in use"
    assert line == f"error: cannot listen: 127.0.0.1, port {port} ({reason}). give another port or host\n"


@pytest.mark.parametrize("content", [None, b"", b"no weights"])
def test_it_does_not_start_without_a_whole_model(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert fails(capsys, 4, str(path)).startswith("error: ")


@pytest.mark.parametrize("library", ["fastapi", "h11", "python_multipart"])
def test_a_library_that_is_missing_is_named(
    library: str, weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("under10k.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    line = fails(capsys, 2, str(weights))
    assert line == f"error: {missing_library(library, 'serve')}\n"


def test_the_browser_is_opened_only_for_someone_at_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    assert not has_browser(), "the output is no terminal"
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert has_browser()
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not has_browser()

"""What the server promises where a client is slow, greedy, confused or hostile."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("h11")
pytest.importorskip("python_multipart")

import httpx

from random_networks import random_network
from servers import HURRIED, PAGE, SEVEN, connect, everything, read_seven, serving
from under10k.data.synthetic import draw_digits
from under10k.errors import Under10kError, UsageError
from under10k.export.html import Page
from under10k.pictures.picture import Picture, open_picture
from under10k.pictures.prediction import predict
from under10k.serve.answers import Read, Reading
from under10k.serve.app import Limits, create_app, reader
from under10k.serve.bodies import FORM_TYPE, IMAGE_TYPES
from under10k.serve.decoder import MEMORY_BYTES, Decoders
from under10k.serve.guard import HEADERS, Guard
from under10k.serve.server import listen

PNG = {"content-type": "image/png"}
POST_PNG = b"POST /api/predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: image/png\r\n"


def ask(method: str, path: str, read: Any = read_seven, limits: Limits | None = None, **request: Any) -> httpx.Response:
    """Ask an application, without a server."""

    async def once() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport(read, limits), base_url="http://127.0.0.1:8000") as client:
            return await client.request(method, path, **request)

    return asyncio.run(once())


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


DIGIT = png(Image.fromarray(draw_digits(1, seed=2).images[0].numpy()).resize((200, 200)))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return random_network("early")


@pytest.fixture(scope="module")
def read_picture(network: nn.Module) -> Read:
    """Reads pictures with that network; one for all tests, since each has processes of its own that decode."""
    return reader(network)


@cache
def transport(read: Any, limits: Limits | None) -> httpx.ASGITransport:
    return httpx.ASGITransport(create_app(PAGE, read, limits=limits))


def post(port: int, body: bytes = b"picture", headers: dict[str, str] = PNG) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        connection.request("POST", "/api/predict", body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


# --- what it answers ---------------------------------------------------------------------------------------------


def test_the_page_comes_with_a_policy_that_allows_it_and_nothing_else() -> None:
    answer = ask("GET", "/")
    assert (answer.status_code, answer.text) == (200, PAGE.text)
    assert answer.headers["content-security-policy"] == f"{PAGE.policy}; frame-ancestors 'none'"


def test_a_picture_is_read() -> None:
    answer = ask("POST", "/api/predict", content=b"picture", headers=PNG)
    assert (answer.status_code, answer.json()) == (200, SEVEN.model_dump())


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_whoever_watches_is_told_that_all_is_well(path: str) -> None:
    assert ask("GET", path).json()["status"] == "ok"


def test_every_answer_carries_the_headers_that_browsers_are_to_see() -> None:
    answers = [ask("GET", "/"), ask("GET", "/healthz"), ask("GET", "/nothing"), ask("POST", "/api/predict")]
    answers += [ask("GET", "/", headers={"host": "evil.example"})]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 415, 400]
    for answer in answers:
        assert {name.lower() for name in HEADERS} <= set(answer.headers)
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/docs", "/healthz", "/readyz", "/openapi.json", "/nothing", "/api/predict"])
def test_head_is_answered_as_get_is_without_the_body(path: str) -> None:
    with serving() as port, connect(port) as connection:
        whole, head = httpx.get(f"http://127.0.0.1:{port}{path}"), httpx.head(f"http://127.0.0.1:{port}{path}")
        for _ in range(2):  # the connection is kept: no body lies in the next answer's way
            connection.sendall(f"HEAD {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
            assert connection.recv(65536).endswith(b"\r\n\r\n")
    assert head.status_code == whole.status_code
    assert {**head.headers, "date": ""} == {**whole.headers, "date": ""}


def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    with serving() as port, connect(port) as connection:
        connection.sendall(POST_PNG + b"expect: 100-continue\r\nconnection: close\r\ncontent-length: 3\r\n\r\n")
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert everything(connection).startswith(b"HTTP/1.1 200 ")


def test_requests_that_come_together_are_answered_one_after_the_other() -> None:
    ask_alive = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    with serving() as port, connect(port) as connection:
        refused = b"POST /api/predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 2\r\n\r\nab"
        connection.sendall(ask_alive + b"\r\n" + refused + ask_alive + b"connection: close\r\n\r\n")
        answers = everything(connection)
    assert [part[:4] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200 ", b"415 ", b"200 "]


def test_the_description_of_the_interface_names_every_answer() -> None:
    paths = ask("GET", "/openapi.json").json()["paths"]
    assert set(paths) == {"/api/predict", "/healthz", "/readyz"}
    predict = paths["/api/predict"]["post"]
    assert set(predict["requestBody"]["content"]) == {*IMAGE_TYPES, FORM_TYPE}
    assert set(predict["responses"]) == {"200", "400", "403", "408", "413", "415", "422", "500", "503"}


# --- bodies that are too large (43) ------------------------------------------------------------------------------


def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    limits = Limits(body_bytes=1000)
    answer = ask("POST", "/api/predict", limits=limits, content=b"x" * 1001, headers=PNG)
    assert (answer.status_code, answer.json()) == (413, {"error": "picture too large. send at most 1,000 bytes"})
    assert ask("POST", "/api/predict", limits=limits, content=b"x" * 1000, headers=PNG).status_code == 200


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory's size from /proc")
def test_a_body_without_end_is_refused_and_never_kept() -> None:
    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * resource.getpagesize()

    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with serving(limits=Limits(body_bytes=2**20), times=HURRIED) as port, connect(port) as connection:
        before = resident_bytes()
        connection.sendall(POST_PNG + b"transfer-encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):  # closed on us, at the latest when the time for sending is over
            for _ in range(100 * 16):
                connection.sendall(chunk)
        assert everything(connection).startswith(b"HTTP/1.1 413 ")
        assert resident_bytes() - before < 30 * 2**20


def test_of_a_body_without_end_little_more_than_its_limit_is_taken() -> None:
    taken = 0
    times = replace(HURRIED, arrive=20, linger=20)
    with serving(limits=Limits(body_bytes=1000), times=times) as port, connect(port) as connection:
        connection.sendall(POST_PNG + b"transfer-encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while taken < 2**28:
                connection.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                taken += 0x10000
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert taken < 2**26  # with what lies in the buffers of either side


def test_a_client_that_reads_only_when_all_is_sent_hears_that_it_was_too_much() -> None:
    with serving(limits=Limits(body_bytes=2**20)) as port:
        assert post(port, bytes(12 * 2**20))[0] == 413


def test_a_body_shorter_than_it_says_is_waited_for_in_vain() -> None:
    with serving(times=HURRIED) as port, connect(port) as connection:
        connection.sendall(POST_PNG + b"content-length: 9\r\n\r\nshort")
        assert everything(connection).startswith(b"HTTP/1.1 408 ")


def test_a_body_longer_than_it_says_is_two_requests_and_the_second_is_none() -> None:
    with serving() as port, connect(port) as connection:
        connection.sendall(POST_PNG + b"content-length: 2\r\n\r\nlonger!\r\n\r\n")
        answers = everything(connection)
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 400 " in answers


# --- clients that take their time (44) ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "start", [b"GET / HT", b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ", b"POST /api/predict HTTP/1.1\r\n"]
)
def test_headers_that_do_not_come_to_an_end_are_cut_off(start: bytes) -> None:
    with serving(times=HURRIED) as port, connect(port) as connection:
        connection.sendall(start)
        assert everything(connection).startswith(b"HTTP/1.1 408 ")


def test_a_body_in_drips_is_cut_off_however_steady_they_are() -> None:
    with serving(times=HURRIED) as port, connect(port) as connection:
        connection.sendall(POST_PNG + b"content-length: 100000\r\n\r\n")
        connection.settimeout(0.02)
        answer = b""
        while not answer:
            connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(1000)
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_client_that_still_sends_is_heard_out_for_a_while_so_that_it_hears_the_answer() -> None:
    with serving(times=replace(HURRIED, linger=20)) as port, connect(port) as connection:
        connection.sendall(POST_PNG + b"content-length: 1000000\r\n\r\n")
        assert connection.recv(9) == b"HTTP/1.1 "
        for _ in range(100):
            connection.sendall(b"x" * 1000)
        assert everything(connection).startswith(b"408 ")


def send_for_ever(connection: socket.socket) -> NoReturn:
    while True:
        connection.sendall(b"x" * 1000)


def test_a_client_that_still_sends_is_not_heard_out_for_ever() -> None:
    with serving(times=HURRIED) as port, connect(port) as connection:
        connection.sendall(POST_PNG + b"content-length: 1000000\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 408"
        with pytest.raises(ConnectionError):
            send_for_ever(connection)


def test_a_connection_kept_alive_has_the_same_time_for_its_next_request() -> None:
    with serving(times=HURRIED) as port, connect(port) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        assert connection.recv(9) == b"HTTP/1.1 "
        connection.sendall(b"GET /heal")
        assert b"HTTP/1.1 408 " in everything(connection)


def test_an_answer_that_nobody_fetches_does_not_keep_the_connection() -> None:
    with (
        serving(page=Page("x" * 50_000_000, ""), times=replace(HURRIED, answer=0.3)) as port,
        connect(port) as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        assert connection.recv(9) == b"HTTP/1.1 "
        while True:  # the server has given up as soon as what we send is refused
            try:
                connection.sendall(b"x" * 100_000)
            except (ConnectionError, TimeoutError):
                break
        assert len(everything(connection)) < 50_000_000


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_500_idle_connections_do_not_keep_others_waiting_and_are_closed() -> None:
    with serving(times=HURRIED) as port, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(port)) for _ in range(500)]
        assert post(port)[0] == 200
        assert [everything(connection) for connection in idle] == [b""] * 500


# --- many at a time (45) -----------------------------------------------------------------------------------------


def test_of_200_clients_as_many_are_served_as_may_wait_and_the_others_told_to_come_back() -> None:
    released, served, late = threading.Event(), [], []

    def read(picture: bytes, _: bool) -> Reading:
        assert released.wait(20)
        return SEVEN.model_copy(update={"digit": int(picture) % 10})

    async def one(port: int, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST_PNG + b"connection: close\r\ncontent-length: 3\r\n\r\n%03d" % number)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        if head.startswith(b"HTTP/1.1 200 "):
            served.append((number, json.loads(body)["digit"]))
        else:
            late.append(head)
        if len(late) == 190:
            released.set()

    async def all_at_once(port: int) -> None:
        await asyncio.gather(*(one(port, number) for number in range(200)))

    with serving(read, limits=Limits(threads=2, waiting=8)) as port:
        asyncio.run(all_at_once(port))
    assert len(served) == 10
    assert all(digit == number % 10 for number, digit in served)
    assert all(head.startswith(b"HTTP/1.1 503 ") and b"\r\nretry-after: 1\r\n" in head for head in late)


# --- what is no picture (46, 47, 48) -----------------------------------------------------------------------------


def refuse(_: bytes, __: bool) -> Reading:
    raise UsageError("not an image: it is none. give one")


@settings(max_examples=60, deadline=None)
@given(
    body=st.one_of(
        st.binary(max_size=300),
        st.sampled_from([b"[" * 100_000, b'{"image": NaN}', b"\xff\xfe\x00", b"not base64!", b"[1, 2", b"null"]),
    ),
    kind=st.one_of(
        st.sampled_from(["", "application/json", "text/plain", "multipart/form-data", *IMAGE_TYPES]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
    ),
)
def test_whatever_is_sent_is_refused_and_never_a_fault_of_ours(body: bytes, kind: str) -> None:
    answer = ask("POST", "/api/predict", refuse, content=body, headers={"content-type": kind})
    taken = kind.partition(";")[0].strip().lower() in (*IMAGE_TYPES, FORM_TYPE)
    assert answer.status_code == (422 if taken else 415)
    assert set(answer.json()) == {"error"}


GET = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        POST_PNG + b"content-length: ten\r\n\r\n",
        POST_PNG + b"content-length: -1\r\n\r\n",
        POST_PNG + b"content-length: " + b"9" * 5000 + b"\r\n\r\n",
        POST_PNG + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
        POST_PNG + b"transfer-encoding: gzip\r\n\r\n",
        POST_PNG + b"transfer-encoding: chunked\r\n\r\nno number\r\n",
        GET + b"host: 127.0.0.1\r\n\r\n",
        GET + b"x: a\0b\r\n\r\n",
        GET + b"no header\r\n\r\n",
        GET + b"x: " + b"y" * 300_000 + b"\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\r\n\r\n",
    ],
    ids=lambda request: request[-40:].decode("latin-1"),
)
def test_what_is_no_http_is_answered_in_json_and_with_all_headers(request_: bytes) -> None:
    with serving() as port, connect(port) as connection:
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        head, _, body = everything(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert set(json.loads(body)) == {"error"}
    assert b"\r\ncontent-type: application/json\r\n" in head.lower() + b"\r\n"
    for name, value in HEADERS.items():
        assert f"\r\n{name}: {value}\r\n".lower().encode() in head.lower() + b"\r\n"


ODD = [
    "",
    " ",
    "http://[bad",
    "[",
    "]",
    "%",
    "\xff",
    "a" * 5000,
    "127.0.0.1:99999",
    "//",
    "é:é",
    "1" * 5000,
    "http://a:b:c",
]


@pytest.mark.parametrize(
    "name", ["origin", "host", "content-type", "content-length", "sec-fetch-site", "sec-fetch-mode"]
)
@pytest.mark.parametrize("more", ["accept", "expect", "upgrade", "connection", "transfer-encoding"])
def test_no_header_however_odd_is_a_fault_of_ours(name: str, more: str) -> None:
    for value in ODD:
        headers = {**PNG, name: value.encode("latin-1"), more: value.encode("latin-1")}
        answer = ask("POST", "/api/predict", content=b"x", headers=headers)
        assert answer.status_code < 500, value
        assert answer.json()


@pytest.mark.parametrize("origin", ["http://[bad", "[", "http://[::1", "http://127.0.0.1:8000:1", "\\", ""])
def test_an_origin_that_is_none_is_a_foreign_one(origin: str) -> None:
    assert ask("POST", "/api/predict", content=b"x", headers={**PNG, "origin": origin}).status_code == 403


@pytest.mark.parametrize(
    "path",
    ["/static/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/\x00", "/%00", "/..", "/api/"],
)
def test_no_path_leads_to_a_file(path: str) -> None:
    with serving() as port, connect(port) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode())
        status = everything(connection).split()[1]
    assert status == (b"400" if path == "/\x00" else b"404")


def test_no_request_opens_a_file(read_picture: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    read = read_picture

    def ask_for_all() -> list[int]:
        paths = ["/", "/docs", "/healthz", "/readyz", "/openapi.json", "/etc/passwd", "/%2e%2e/%2e%2e/etc/passwd"]
        named = {**PNG, "content-disposition": "attachment; filename=/etc/passwd"}
        sent = [ask("POST", "/api/predict?path=/etc/passwd", read, content=DIGIT, headers=named)]
        sent += [ask("POST", "/api/predict", read, content=b"/etc/passwd", headers=PNG)]
        sent += [ask("POST", "/api/predict", read, files={"file": ("/etc/passwd", DIGIT)})]
        return [answer.status_code for answer in [*(ask("GET", path, read) for path in paths), *sent]]

    def refuse(path: object, *_: object, **__: object) -> NoReturn:
        raise AssertionError(path)

    expected = [200, 200, 200, 200, 200, 404, 404, 200, 422, 200]
    assert ask_for_all() == expected  # whatever is loaded on first use is, now
    for name in "builtins.open", "io.open", "os.open", "os.stat", "os.scandir":
        monkeypatch.setattr(name, refuse)
    found = ask_for_all()
    monkeypatch.undo()
    assert found == expected


# --- other sites (49, 50) ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[", "localhost@evil", "evil@localhost"),
        *("127.0.0.1:99999", "localhost:http", "127.0.0.1/evil", "192.168.1.7", "8.8.8.8:8000", "0.0.0.0", "[::]"),  # noqa: S104
    ],
)
def test_a_foreign_host_is_refused(host: str) -> None:
    assert ask("GET", "/", headers={"host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "127.0.0.2", "LOCALHOST"])
def test_this_machines_names_and_addresses_are_served(host: str) -> None:
    assert ask("GET", "/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    ("told", "bound", "host", "is_ours"),
    [
        ("0.0.0.0", "172.17.0.2", "192.168.1.7:8000", True),  # noqa: S104 (through a router or a container's port)
        ("::", "::ffff:127.0.0.1", "192.168.1.7:8000", True),
        ("0.0.0.0", "172.17.0.2", "evil.example", False),  # noqa: S104
        ("192.168.1.7", "192.168.1.7", "192.168.1.7:8000", True),
        ("192.168.1.7", "192.168.1.7", "192.168.1.8:8000", False),
        ("my.host", "192.168.1.7", "my.host:8000", True),
        ("my.host", "192.168.1.7", "192.168.1.7:8000", True),
        ("::1", "::1", "[::1]:8000", True),
    ],
)
def test_an_address_is_served_where_the_server_listens_on_it(told: str, bound: str, host: str, is_ours: bool) -> None:
    async def app(*_: object) -> None: ...

    assert Guard(app, told)._is_ours(host, (bound, 8000)) is is_ours


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_picture_that_another_site_sends_is_refused_unread(headers: dict[str, str]) -> None:
    def read(_: bytes, __: bool) -> Reading:
        raise AssertionError("it was read")

    answer = ask("POST", "/api/predict", read, content=b"x", headers={**PNG, **headers})
    assert (answer.status_code, answer.json()["error"].partition(".")[0]) == (403, "foreign origin")


def test_the_servers_own_page_may_send_one() -> None:
    own = {**PNG, "origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}
    assert ask("POST", "/api/predict", content=b"x", headers=own).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_what_a_form_can_send_is_not_taken(kind: str | None) -> None:
    headers = {"content-type": kind} if kind else {}
    assert ask("POST", "/api/predict", content=b"x", headers=headers).status_code == 415


def test_a_browser_that_asks_whether_another_site_may_is_told_no() -> None:
    preflight = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = ask("OPTIONS", "/api/predict", headers=preflight)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_whether_it_is_ready_is_found_out_once_however_many_ask_and_not_for_other_sites() -> None:
    readings: list[bytes] = []

    def read(picture: bytes, _: bool) -> Reading:
        readings.append(picture)
        return SEVEN

    async def ask_together(app: Any) -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            for site in "cross-site", "same-site":
                assert (await client.get("/readyz", headers={"sec-fetch-site": site})).status_code == 403
            assert (await client.get("/readyz", headers={"origin": "https://evil.example"})).status_code == 403
            assert readings == []
            return [answer.status_code for answer in await asyncio.gather(*(client.get("/readyz") for _ in range(50)))]

    assert asyncio.run(ask_together(create_app(PAGE, read, limits=Limits(threads=1, waiting=1)))) == [200] * 50
    assert len(readings) == 1


# --- when reading fails (55) -------------------------------------------------------------------------------------


def test_a_fault_in_reading_is_500_without_its_insides_and_not_ready(caplog: pytest.LogCaptureFixture) -> None:
    def read(_: bytes, __: bool) -> Reading:
        raise RuntimeError("secret at /home/me")

    for method, path in ("POST", "/api/predict"), ("GET", "/readyz"):
        answer = ask(method, path, read, content=b"x", headers=PNG)
        assert (answer.status_code, answer.json()) == (500, {"error": "internal error. please report it"})
    assert ask("GET", "/healthz", read).status_code == 200
    assert [record.getMessage() for record in caplog.records if record.name == "under10k.serve"] == [
        "error: reading a picture has failed: RuntimeError('secret at /home/me')"
    ] * 2


def test_a_client_that_goes_before_its_answer_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    begun, released = threading.Event(), threading.Event()

    def read(_: bytes, __: bool) -> Reading:
        begun.set()
        released.wait(20)
        return SEVEN

    with serving(read) as port:
        with connect(port) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
            connection.sendall(POST_PNG + b"content-length: 1\r\n\r\nx")
            assert begun.wait(20)
        released.set()
        assert post(port)[0] == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_thread_that_hangs_is_not_waited_for_and_not_ready() -> None:
    released = threading.Event()

    def read(_: bytes, __: bool) -> Reading:
        released.wait()
        return SEVEN

    with serving(read, limits=Limits(threads=1, waiting=1, read_seconds=0.2)) as port:
        assert post(port)[0] == 503
        for path, status in (("/healthz", 200), ("/readyz", 503)):
            assert httpx.get(f"http://127.0.0.1:{port}{path}").status_code == status
        released.set()
        while httpx.get(f"http://127.0.0.1:{port}/readyz").status_code != 200:
            pass
        assert post(port)[0] == 200


def test_a_picture_that_takes_too_long_is_given_up_and_its_process_ended() -> None:
    decode = Decoders(seconds=0.2)
    with pytest.raises(Under10kError, match="not a picture"):
        decode_patiently(decode, b"no picture")
    (decoder,) = decode._idle
    os.kill(decoder._process.pid, signal.SIGSTOP)
    with pytest.raises(Under10kError, match=r"more than 0\.2 s"):
        decode(DIGIT)
    assert decoder._process.returncode == -signal.SIGKILL
    assert decode._idle == []
    assert decode_patiently(decode, DIGIT).grey.shape == (200, 200)


def decode_patiently(decode: Decoders, content: bytes) -> Picture:
    """Decode a picture in whatever time a process needs to start."""
    seconds, decode.seconds = decode.seconds, 60
    try:
        return decode(content)
    finally:
        decode.seconds = seconds


def test_a_decoder_that_crashes_is_one_answer_and_no_more() -> None:
    decode = Decoders(seconds=60)
    decode(DIGIT)
    (decoder,) = decode._idle
    decoder._process.kill()
    decoder._process.wait()
    with pytest.raises(Under10kError, match="its decoder has crashed"):
        decoder.decode(DIGIT, 60)
    np.testing.assert_array_equal(decode(DIGIT).grey, open_picture(DIGIT).grey)


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="only Linux tells a process's limits")
def test_a_decoder_has_little_memory_and_ends_with_the_server() -> None:
    decode = Decoders(seconds=60)
    decode(DIGIT)
    process = decode._idle[0]._process
    (limit,) = re.findall(r"Max data size +(\d+) ", Path(f"/proc/{process.pid}/limits").read_text(encoding="utf-8"))
    assert int(limit) == MEMORY_BYTES
    assert process.stdin
    process.stdin.close()
    assert process.wait(20) == 0


def test_the_server_takes_no_picture_larger_than_a_telephones(read_picture: Read) -> None:
    file = io.BytesIO()
    Image.new("1", (6000, 4167)).save(file, "PNG")
    answer = ask("POST", "/api/predict", read_picture, content=file.getvalue(), headers=PNG)
    assert answer.status_code == 422
    assert "25,000,000 in all" in answer.json()["error"]


# --- its start and its end (52, 53) ------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_named() -> None:
    with (
        listen("127.0.0.1", 0) as taken,
        pytest.raises(Under10kError, match=r"cannot listen: 127\.0\.0\.1, port \d+ .*give another port or host"),
    ):
        listen("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("no such host", 0)])
def test_a_place_that_cannot_be_listened_on_is_named(host: str, port: int) -> None:
    with pytest.raises(Under10kError, match="cannot listen"):
        listen(host, port)


@pytest.mark.parametrize("port", [-1, 70_000])
def test_a_port_that_there_is_none_of_is_wrong_usage(port: int) -> None:
    with pytest.raises(UsageError, match=f"port out of range: {port}. give one from 0 to 65,535"):
        listen("127.0.0.1", port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_once_everything_under_way_is_answered(number: signal.Signals) -> None:
    command = [sys.executable, str(Path(__file__).parent.parent / "patient_server.py")]
    answers: list[int] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout
            port = int(process.stdout.readline())
            clients = [threading.Thread(target=lambda: answers.append(post(port)[0])) for _ in range(3)]
            for client in clients:
                client.start()
            assert [process.stdout.readline() for _ in clients] == [b"reading\n"] * 3
            process.send_signal(number)
            while True:  # no more are taken
                try:
                    connect(port).close()
                except ConnectionError:
                    break
            _, errors = process.communicate(b"...", timeout=20)
        finally:
            process.kill()
    for client in clients:
        client.join()
    assert (answers, errors, process.returncode) == ([200, 200, 200], b"", 128 + number)


# --- with a network (45, 47) --------------------------------------------------------------------------------------


def test_the_api_answers_what_predict_does(network: nn.Module, read_picture: Read) -> None:
    answer = ask("POST", "/api/predict", read_picture, content=DIGIT, headers=PNG)
    assert (answer.status_code, answer.json()) == (200, predict(DIGIT, network).to_dict())


@pytest.mark.parametrize("content", [b"", b"hello", b"<svg/>", DIGIT[:200], DIGIT[:-40], b"%!PS-Adobe-3.0 EPSF-3.0"])
def test_what_predict_refuses_the_api_refuses_in_the_same_words(
    content: bytes, network: nn.Module, read_picture: Read
) -> None:
    with pytest.raises(Under10kError) as refused:
        predict(content, network)
    answer = ask("POST", "/api/predict", read_picture, content=content, headers=PNG)
    assert (answer.status_code, answer.json()) == (422, {"error": str(refused.value)})


@pytest.mark.parametrize("image", [Image.new("L", (1, 1)), Image.new("RGB", (300, 200), "white")])
def test_a_picture_without_ink_is_answered_with_no_digit(image: Image.Image, read_picture: Read) -> None:
    answer = ask("POST", "/api/predict", read_picture, content=png(image), headers=PNG)
    assert (answer.status_code, answer.json()["digit"]) == (200, None)
    assert answer.json()["warning"]

"""Several digits in a picture, several pictures in a request, and the API's description to read."""

from __future__ import annotations

import asyncio
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("h11")
pytest.importorskip("python_multipart")

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from random_networks import random_network
from servers import PAGE, SEVEN, serving
from under10k.cli import main
from under10k.data.synthetic import draw_digits
from under10k.errors import Under10kError
from under10k.pictures.prediction import predict, predict_all
from under10k.runs import load_model
from under10k.serve.answers import Read, Reading, Rows
from under10k.serve.app import Limits, create_app, reader
from under10k.serve.guard import HEADERS

MODEL = random_network("early")
PNG = {"content-type": "image/png"}


def read_by_length(picture: bytes, multi: bool) -> Reading | Rows:
    """Answer with the length of a picture, up to 9; refuse an empty one."""
    if not picture:
        raise Under10kError("empty picture: it has no bytes. give another")
    if multi:
        return Rows(rows=[str(len(picture))], digits=[], warning=None)
    return SEVEN.model_copy(update={"digit": min(len(picture), 9)})


def ask(method: str, path: str, read: Read = read_by_length, limits: Limits | None = None, **request: Any) -> Any:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(PAGE, read, limits=limits))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await client.request(method, path, **request)

    return asyncio.run(once())


@pytest.fixture(scope="module")
def read_picture() -> Read:
    return reader(MODEL)


def two_rows() -> bytes:
    """Draw three digits above two."""
    sheet = Image.new("L", (400, 300), 255)
    for number, digit in enumerate(draw_digits(5, seed=4).images):
        place = (20 + 120 * (number % 3), 20 + 140 * (number // 3))
        sheet.paste(Image.fromarray(255 - digit.numpy()).resize((100, 100)), place)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def files(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("file", (f"{number}.png", content)) for number, content in enumerate(contents)]


# --- several digits ----------------------------------------------------------------------------------------------


def test_with_multi_the_api_answers_what_the_command_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, model = two_rows(), load_model("gap")
    (tmp_path / "sheet.png").write_bytes(content)
    main(["predict", str(tmp_path / "sheet.png"), "--model", "gap", "--multi", "--json"])
    (printed,) = json.loads(capsys.readouterr().out)
    del printed["picture"]
    answer = ask("POST", "/api/predict?multi=1", reader(model), content=content, headers=PNG)
    assert (answer.status_code, answer.json()) == (200, printed)
    assert [len(row) for row in printed["rows"]] == [3, 2]
    assert [digit["box"] for digit in printed["digits"]] == [list(one.box) for one in predict_all(content, model)]


def test_a_blank_picture_has_no_rows_and_says_why(read_picture: Read) -> None:
    file = io.BytesIO()
    Image.new("L", (90, 90), 255).save(file, "PNG")
    answer = ask("POST", "/api/predict?multi=1", read_picture, content=file.getvalue(), headers=PNG).json()
    assert (answer["rows"], answer["digits"]) == ([], [])
    assert answer["warning"].startswith("no digit found")


@pytest.mark.parametrize(
    ("query", "multi"),
    [("", False), ("?multi=0", False), ("?multi=false", False), ("?multi", True), ("?multi=True", True)],
)
def test_multi_is_yes_or_no(query: str, multi: bool) -> None:
    answer = ask("POST", f"/api/predict{query}", content=b"abc", headers=PNG)
    assert (answer.status_code, "rows" in answer.json()) == (200, multi)


@pytest.mark.parametrize("value", ["2", "perhaps", "[]", "%00", "1" * 5000])
def test_multi_is_nothing_else(value: str) -> None:
    answer = ask("POST", f"/api/predict?multi={value}", content=b"abc", headers=PNG)
    assert (answer.status_code, set(answer.json())) == (422, {"error"})


# --- several pictures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?multi=1"])
def test_a_form_gets_an_answer_for_each_picture_in_order_and_one_that_fails_does_not_stop_the_others(
    query: str,
) -> None:
    answer = ask("POST", f"/api/predict{query}", files=files(b"a", b"", b"abc"))
    assert answer.status_code == 200
    first, second, third = answer.json()
    assert second == {"picture": "1.png", "error": "empty picture: it has no bytes. give another"}
    assert [first["picture"], third["picture"]] == ["0.png", "2.png"]
    if query:
        assert [first["rows"], third["rows"]] == [["1"], ["3"]]
    else:
        assert [first["digit"], third["digit"]] == [1, 3]


def test_a_picture_in_a_form_is_read_as_by_itself(read_picture: Read) -> None:
    content = two_rows()
    (answer,) = ask("POST", "/api/predict", read_picture, files=files(content)).json()
    assert answer == {"picture": "0.png", **predict(content, MODEL).to_dict()}


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_sends_files_as_people_expect(tmp_path: Path) -> None:
    for name in "a.jpg", "b.png":
        (tmp_path / name).write_bytes(b"1234567")
    with serving(read_by_length) as port:
        command = ["curl", "-s", "-F", "file=@a.jpg", "-F", "file=@b.png", f"http://127.0.0.1:{port}/api/predict"]
        told = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    assert [(one["picture"], one["digit"]) for one in json.loads(told.stdout)] == [("a.jpg", 7), ("b.png", 7)]


def test_of_a_form_no_more_is_taken_than_its_limits() -> None:
    limits = Limits(body_bytes=5000, pictures=3)
    assert ask("POST", "/api/predict", limits=limits, files=files(*[b"abc"] * 3)).status_code == 200
    answer = ask("POST", "/api/predict", limits=limits, files=files(*[b"abc"] * 4))
    assert (answer.status_code, answer.json()["error"].partition(".")[0]) == (422, "too many pictures: more than 3")
    assert ask("POST", "/api/predict", limits=limits, files=files(b"x" * 5000)).status_code == 413


def test_a_server_that_is_full_says_so_for_the_whole_form() -> None:
    answer = ask("POST", "/api/predict", limits=Limits(threads=0, waiting=0), files=files(b"abc", b"abc"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


FORM = {"content-type": "multipart/form-data; boundary=x"}
HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no picture"),
        (b"--x--\r\n", "no picture"),
        (HEAD + b"abc", "no picture: the form is empty, or cut short"),
        (b"hello", "not a form"),
        (HEAD.replace(b'; filename="a.png"', b"") + b"abc\r\n--x--\r\n", "not a file: file"),
        (b"--x\r\n\r\nabc\r\n--x--\r\n", "not a file: a field without a name"),
        (b"--x\r\nA: " + b"b" * 9000 + b"\r\n\r\nabc\r\n--x--\r\n", ""),
        (b"--x\r\n" + b"A: b\r\n" * 900 + b"\r\nabc\r\n--x--\r\n", ""),
    ],
)
def test_what_is_no_form_of_pictures_is_refused(body: bytes, words: str, caplog: pytest.LogCaptureFixture) -> None:
    answer = ask("POST", "/api/predict", content=body, headers=FORM)
    assert (answer.status_code, set(answer.json())) == (422, {"error"})
    assert answer.json()["error"].startswith(words)
    assert caplog.records == [], "who sends it cannot fill the log"


@pytest.mark.parametrize(
    "boundary", ["", "; boundary=", "; boundary=\xff", f"; boundary={'x' * 5000}", ";;;=;boundary"]
)
def test_a_form_without_a_sensible_boundary_is_refused(boundary: str) -> None:
    headers = {"content-type": f"multipart/form-data{boundary}".encode("latin-1")}
    answer = ask("POST", "/api/predict", content=HEAD + b"abc\r\n--x--\r\n", headers=headers)
    assert (answer.status_code, set(answer.json())) == (422, {"error"})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([b"--x", b"--", b"\r\n", HEAD, b"abc", b": ", b'filename="', b"\xff", b"\0"])))
def test_no_form_however_odd_is_a_fault_of_ours(parts: list[bytes]) -> None:
    assert ask("POST", "/api/predict", content=b"".join(parts), headers=FORM).status_code in (200, 422)


@pytest.mark.parametrize(
    "headers", [{"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}]
)
def test_a_form_of_another_site_is_refused(headers: dict[str, str]) -> None:
    assert ask("POST", "/api/predict", files=files(b"abc"), headers=headers).status_code == 403


# --- the description ---------------------------------------------------------------------------------------------


def test_the_description_can_be_read_offline() -> None:
    answer = ask("GET", "/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert {name.lower() for name in HEADERS} <= set(answer.headers)
    assert "script" not in answer.text
    assert set(re.findall(r"(?:src|href)=\"([^\"]*)", answer.text)) == {"/", "/openapi.json"}
    assert set(re.findall(r"https?://[^/:]+", answer.text)) == {"http://127.0.0.1"}, "an example's"


def test_the_description_names_every_path_status_and_field() -> None:
    schema, text = ask("GET", "/openapi.json").json(), ask("GET", "/docs").text
    for path, ways in schema["paths"].items():
        assert f" {path}</code>" in text
        assert {code for way in ways.values() for code in way["responses"]} <= set(re.findall(r"\d{3}", text))
    for name, model in schema["components"]["schemas"].items():
        assert f"<h2><code>{name}</code></h2>" in text
        for field in model["properties"]:
            assert f"<td><code>{field}</code></td>" in text
    assert "multi" in text

"""The page's program without a browser: its constants are Python's, and under Node it reads what Python reads."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import under10k
from browsers import skip_without
from hard_pictures import HARD
from picture_maker import CONDITIONS
from random_networks import VARIANTS, random_network
from sheet_maker import SHEETS
from under10k.data.datasets import Dataset
from under10k.data.synthetic import WAYS, draw_digits
from under10k.errors import Under10kError
from under10k.evaluation.metrics import predict_logits
from under10k.export.html import SCRIPTS, START, build_page, export_html, read_network_json, read_program
from under10k.export.node import OLDEST_NODE, find_node, replay, run_in_node
from under10k.pictures.constants import reading_constants
from under10k.pictures.prediction import predict, predict_all, split_rows
from under10k.weights.bundled import Facts

SOURCES = Path(under10k.__file__).parent / "export" / "page"
MODEL = random_network("early")
PAGE = build_page(MODEL, Facts("early")).text
IMAGES = draw_digits(6, seed=3).images

STRUCTURE = {"0", "1", "2", "3", "4", "0.5", "100", "255"}
"""What no one would change: halves, neighbours, the four channels of a pixel, per cent, the most that a byte holds."""

TOLD = re.compile(r"//[^\n]*|/\*.*?\*/|\"[^\"\n]*\"|`[^`]*`", re.DOTALL)
"""Comments and texts."""


# --- constants ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["picture.js", "ink.js", "parts.js", "frame.js", "judge.js"])
def test_no_constant_of_reading_is_typed_in_the_pages_program(name: str) -> None:
    code = TOLD.sub("", (SOURCES / name).read_text(encoding="utf-8"))
    assert set(re.findall(r"(?<![\w.])[0-9][0-9.]*(?:e-?[0-9]+)?", code)) - STRUCTURE == set()
    assert re.findall(r"\b[A-Z][A-Z_]+ =[^=]", code) == []


def test_no_name_of_pythons_is_given_another_value_in_the_pages_program() -> None:
    for name in (*SCRIPTS, *START):
        declared = re.findall(r"\bconst (\w+) =", (SOURCES / name).read_text(encoding="utf-8"))
        assert set(declared) & reading_constants().keys() == set(), name


def test_no_two_scripts_of_the_page_declare_the_same_name() -> None:
    declared: dict[str, str] = {}
    for name in (*SCRIPTS, *START):
        code = (SOURCES / name).read_text(encoding="utf-8")
        for found in re.findall(r"^(?:const|let|function\*?|async function|class) (\w+)", code, re.M):
            assert declared.setdefault(found, name) == name, f"{found}: in {declared[found]} and {name}"


def test_the_built_page_holds_pythons_values_of_all_that_its_program_uses() -> None:
    program = read_program(PAGE)
    python = json.loads(json.dumps(reading_constants()))
    written = dict(re.findall(r"^const ([A-Z_]+) = (.*);$", program, re.M))
    held = {name: json.loads(value) for name, value in written.items() if name in python}
    assert held == {name: python[name] for name in held}
    assert len(held) > 50
    used = set(re.findall(r"\b[A-Z][A-Z_]+\b", TOLD.sub("", program)))
    assert used & python.keys() <= held.keys()


def test_no_two_scripts_of_the_page_declare_one_name() -> None:
    declared = re.compile(r"^(?:const|let|class|(?:async )?function) (\w+)", re.M)
    names = [name for script in (*SCRIPTS, *START) for name in declared.findall((SOURCES / script).read_text("utf-8"))]
    assert len(names) > 100
    assert {name for name in names if names.count(name) > 1} == set()


# --- under Node --------------------------------------------------------------------------------------------------


def to_image(picture: Any) -> Image.Image:
    return picture if isinstance(picture, Image.Image) else Image.fromarray(np.asarray(picture))


def read(node: str, *pictures: Any) -> Any:
    """Read pictures with the program of the page."""
    rgba = [np.asarray(picture.convert("RGBA")) for picture in pictures]
    return run_in_node(node, read_program(PAGE), read_network_json(PAGE), rgba)


@pytest.mark.parametrize(("name", "residual", "head"), VARIANTS)
def test_node_computes_the_logits_of_every_network(node: str, name: str, residual: bool, head: str) -> None:
    model = random_network(name, residual=residual, head=head)
    page = build_page(model, Facts(name)).text
    images = IMAGES[:2]
    found = run_in_node(node, read_program(page), read_network_json(page), list(images.numpy()))
    expected = predict_logits(model, images)
    difference = torch.tensor([reading.logits for reading in found]) - expected
    assert difference.abs().max() < 1e-5 * expected.abs().max().clamp(min=1)


PICTURED = (
    "mnist itself",
    "transparent paper",
    "coloured marker",
    "small picture",
    "shadow across",
    "pencil",
    "dotted line",
    "brush twenty thick",
)


def test_node_finds_the_frame_and_the_answer_of_a_picture(node: str) -> None:
    made = [CONDITIONS[name](IMAGES[0].numpy(), np.random.default_rng(len(name))) for name in PICTURED]
    pictures = list(map(to_image, made))
    for picture in pictures:
        picture.thumbnail((500, 500))
    for name, picture, reading in zip(PICTURED, pictures, read(node, *pictures), strict=True):
        assert reading.is_like(predict(picture, MODEL)), name


def test_node_finds_the_digit_that_python_finds_in_a_hard_picture(node: str) -> None:
    names = ("in a box", "blurred crop")
    pictures = [to_image(HARD[name](IMAGES[1].numpy(), np.random.default_rng(3))) for name in names]
    for name, picture, reading in zip(names, pictures, read(node, *pictures), strict=True):
        assert reading.is_like(predict(picture, MODEL)), name


def ten_digits(name: str) -> Image.Image:
    images = itertools.cycle(draw_digits(10, seed=5).images.numpy())
    return to_image(SHEETS[name](lambda: (next(images), 0), np.random.default_rng(2))[0])


def test_node_finds_the_digits_that_python_finds_on_a_sheet(node: str) -> None:
    names = (
        "a table",
        "digits that touch",
        "dark ruled paper",
        "dark squared paper",
        "a box for each digit",
        "rows with a link",
    )
    pictures = list(map(ten_digits, names))
    for picture in pictures:
        picture.thumbnail((300, 300))
    for name, picture, reading in zip(names, pictures, read(node, *pictures), strict=True):
        rows = [[tuple(one["box"].values()) for one in row] for row in reading.rows]
        expected = [[one.box for one in row if one.box] for row in split_rows(predict_all(picture, MODEL))]
        assert [[(box[1], box[0], box[3], box[2]) for box in row] for row in rows] == expected, name


def test_node_finds_the_frame_and_the_answer_of_drawings(node: str) -> None:
    drawings = []
    for digit in range(10):
        drawing = Image.new("RGB", (100, 100), "white")
        for stroke in WAYS[digit][0][1]:
            points = [(20 + x / 1.7, 15 + y / 1.5) for x, y in stroke]
            ImageDraw.Draw(drawing).line(points, "black", 3 + digit, "curve")
        drawings.append(drawing)
    for reading, drawing in zip(read(node, *drawings), drawings, strict=True):
        assert reading.is_like(predict(drawing, MODEL))


def test_node_finds_no_ink_where_python_finds_none(node: str) -> None:
    blank = Image.new("RGB", (100, 100), "white")
    (reading,) = read(node, blank)
    assert reading.answer is None
    assert reading.is_like(predict(blank, MODEL))


def sheet(seed: int) -> Image.Image:
    """Draw up to a dozen digits in rows, of several sizes, unevenly spaced, some of them in pieces."""
    rng = np.random.default_rng(seed)
    paper = Image.new("L", (440, 330), 255)
    for number, digit in enumerate(draw_digits(12, seed=seed).images.numpy()):
        if rng.random() < 0.2:
            continue
        side = int(rng.integers(50, 90))
        ink = Image.fromarray(255 - digit).resize((side, side))
        if rng.random() < 0.3:
            ImageDraw.Draw(ink).line([(0, side // 3), (side, side // 3)], 255, 4)
        place = (10 + 105 * (number % 4) + int(rng.integers(20)), 8 + 108 * (number // 4) + int(rng.integers(20)))
        paper.paste(ink, place)
    return paper


def test_node_finds_every_digit_its_box_and_its_row_as_python_does(node: str) -> None:
    sheets = [sheet(seed) for seed in range(3)]
    sheets.append(Image.fromarray(255 - np.asarray(sheets[0])))
    for reading, picture in zip(read(node, *sheets), sheets, strict=True):
        rows = split_rows(predict_all(picture, MODEL))
        assert len(rows) > 1
        assert [[one["digit"] for one in row] for row in reading.rows] == [[one.digit for one in row] for row in rows]
        for found, expected in zip(itertools.chain(*reading.rows), itertools.chain(*rows), strict=True):
            assert tuple(found["box"][side] for side in ("left", "top", "right", "bottom")) == expected.box
            assert np.abs(np.array(found["levels"]) - expected.frame.ravel()).max() <= 1
            assert found["confident"] == expected.confident
            assert expected.confident or found["words"] == expected.warning


# --- what an export says -----------------------------------------------------------------------------------------


def test_an_export_replays_test_images_in_node_and_says_what_was_found(
    node: str, dataset: Dataset, tmp_path: Path
) -> None:
    told = export_html(MODEL, Facts("early"), tmp_path / "digits.html", "float", dataset).notes["checked_in_Node"]
    assert re.fullmatch(r"20 test images: a logit differs by at most \S+, (19|20) are read alike", told)


def test_an_export_without_node_says_that_its_program_was_not_run(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    found = export_html(MODEL, Facts("early"), tmp_path / "digits.html", "float", dataset)
    assert found.notes["checked_in_Node"] == "not run: no Node here"
    assert (tmp_path / "digits.html").is_file()


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("const BOX = 20;", "const BOX = 14;", "the page's program is wrong: 6 test images"),
        ("const BOX = 20;", "", "the page's program fails in Node: ReferenceError: BOX is not defined"),
        ("const FILLED_RADIUS = 5.5;", "const FILLED_RADIUS = 0.5;", "the page's program is wrong"),
        ("level / 255", "level / 250", "the page's program is wrong"),
    ],
)
def test_a_program_that_reads_otherwise_than_python_is_refused(node: str, old: str, new: str, fault: str) -> None:
    program = read_program(PAGE)
    assert old in program
    with pytest.raises(Under10kError, match=fault):
        replay(program.replace(old, new), read_network_json(PAGE), MODEL, IMAGES)


@pytest.mark.parametrize("prints", [f"v{OLDEST_NODE - 1}.9.0", "what?", ""])
def test_a_node_that_is_too_old_or_none_is_no_node(
    prints: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "node"
    program.write_text(f"#!/bin/sh\necho '{prints}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_node() is None


# --- CI ----------------------------------------------------------------------------------------------------------


def test_ci_with_neither_chromium_nor_node_fails_rather_than_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="neither Chromium nor Node"):
        skip_without("Node")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="Node is not installed"):
        skip_without("Node")

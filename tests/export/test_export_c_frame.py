"""The exported C frames a camera's digit as Python does, and stands hostile pictures."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from c_folders import SANITIZED, STRICT, needs_compiler, network, write
from under10k.data import draw_digits
from under10k.evaluation import predict_logits
from under10k.export.c.folder import CFolder, build_c
from under10k.export.c.native import compile_c
from under10k.pictures import predict
from under10k.pictures.pixels import resize
from under10k.runs import load_model
from under10k.weights import Facts

PICTURES = 400
"""Pictures that C and Python both frame."""

Levels = NDArray[np.uint8]


@cache
def framing() -> CFolder:
    return build_c(network("early", False, "pool"), Facts("early"), "float", frame=True)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = write(framing(), tmp_path_factory.mktemp("frame"))
    compile_c([place / "under10k_early_frame.c"], place / "frame.so", [*STRICT, "-O2", "-shared", "-fPIC"])
    return ctypes.CDLL(str(place / "frame.so")).under10k_early_frame


def run(library: Any, grey: Levels) -> tuple[bool, Levels]:
    """Frame a picture (H, W), which may be a view with strides of its own."""
    assert grey.strides[1] == 1
    frame = np.full((28, 28), 99, np.uint8)
    height, width = grey.shape
    pointers = ctypes.c_void_p(grey.ctypes.data), ctypes.c_void_p(frame.ctypes.data)
    return bool(library(pointers[0], width, height, grey.strides[0], pointers[1])), frame


def photograph(digit: Levels, generator: np.random.Generator) -> Levels:
    """Draw a digit (28, 28) somewhere in a larger picture, in any tone, on paper of any tone, with a camera's noise."""
    side = int(generator.integers(28, 160))
    height, width = side + generator.integers(0, 100, 2)
    top, left = generator.integers(0, height - side + 1), generator.integers(0, width - side + 1)
    ink = np.zeros((height, width), np.float32)
    ink[top : top + side, left : left + side] = resize((digit / 255).astype(np.float32), side, side)
    grey = generator.uniform(120, 255) * (1 - generator.uniform(0.4, 0.95) * ink)
    grey = 255 - grey if generator.random() < 0.3 else grey
    noisy = grey + generator.normal(0, generator.uniform(0, 6), grey.shape)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def one_digit() -> Levels:
    return photograph(draw_digits(1, seed=5).images[0].numpy(), np.random.default_rng(1))


@needs_compiler
def test_a_digit_is_framed_and_read_as_python_does(library: Any) -> None:
    generator = np.random.default_rng(0)
    pictures = [photograph(digit, generator) for digit in draw_digits(PICTURES, seed=5).images.numpy()]
    found = [run(library, picture) for picture in pictures]
    assert all(is_ink for is_ink, _ in found)
    frames = np.stack([frame for _, frame in found])
    model = load_model("robust")
    expected = predict(pictures, model)
    digits = predict_logits(model, torch.from_numpy(frames)).argmax(dim=1).tolist()
    assert sum(digit == one.digit for digit, one in zip(digits, expected, strict=True)) >= 0.99 * PICTURES
    apart = np.abs(frames.astype(int) - np.stack([one.frame for one in expected])).mean(axis=(1, 2))
    assert apart.mean() < 5, "grey levels, mean over all pixels; a shift by one pixel makes some 20"
    assert np.quantile(apart, 0.9) < 12


@needs_compiler
def test_a_frame_has_its_box_and_centre_of_mass_where_mnist_has_them(library: Any) -> None:
    generator = np.random.default_rng(2)
    for digit in draw_digits(20, seed=6).images.numpy():
        _, frame = run(library, photograph(digit, generator))
        rows, columns = np.nonzero(frame > 60)
        assert 18 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 20
        for axis in (0, 1):
            mass = frame.sum(axis=axis, dtype=np.int64)
            assert 13.95 <= (mass * (np.arange(28) + 0.5)).sum() / mass.sum() < 15.05


@needs_compiler
def test_a_negative_gives_the_same_frame(library: Any) -> None:
    picture = one_digit()
    dark, light = run(library, picture)[1], run(library, 255 - picture)[1]
    assert np.abs(dark.astype(int) - light).max() <= 2, "a median between two levels may round the other way"


@needs_compiler
def test_a_part_of_a_picture_and_rows_that_go_upwards_are_framed_by_their_stride(library: Any) -> None:
    picture = one_digit()
    expected = run(library, picture)[1]
    around = np.zeros((picture.shape[0] + 9, picture.shape[1] + 30), np.uint8)
    around[4:-5, 11:-19] = picture
    assert (run(library, around[4:-5, 11:-19])[1] == expected).all()
    assert (run(library, np.ascontiguousarray(picture[::-1])[::-1])[1] == expected).all()


@needs_compiler
@pytest.mark.parametrize("height", [5, 20, 28, 90])
def test_a_bar_of_any_height_becomes_20_pixels_high(height: int, library: Any) -> None:
    picture = np.full((100, 120), 200, np.uint8)
    picture[5 : 5 + height, 60 : 60 + max(1, height // 5)] = 20
    is_ink, frame = run(library, picture)
    assert is_ink
    assert (np.nonzero(frame.max(axis=1) > 127)[0] == np.arange(4, 24)).all()


@needs_compiler
def test_blank_and_noisy_paper_have_no_ink(library: Any) -> None:
    noise = np.random.default_rng(3).normal(180, 8, (120, 160)).clip(0, 255).astype(np.uint8)
    speck = np.full((50, 50), 255, np.uint8)
    speck[20, 20:22] = 0
    for picture in (np.zeros((40, 40), np.uint8), np.full((1, 1), 255, np.uint8), noise, speck):
        is_ink, frame = run(library, picture)
        assert not is_ink
        assert not frame.any()


HARNESS = """
#include "under10k_early_frame.h"
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    static const int sides[] = {1, 2, 3, 19, 28, 61, 4096};
    uint32_t state = 1;
    uint8_t pixels[784];
    for (int h = 0; h < 7; h++)
        for (int w = 0; w < 7; w++)
            for (int kind = 0; kind < 6; kind++) {
                const int height = sides[h], width = sides[w];
                if ((long)height * width > 300000 && (h < 6 || w < 6 || kind != 5))
                    continue;
                uint8_t *grey = (uint8_t *)malloc((size_t)height * (size_t)width);
                for (long i = 0; i < (long)height * width; i++) {
                    state = state * 1664525u + 1013904223u;
                    const int noise = (int)(state >> 24), last = i == (long)height * width - 1;
                    const int is_white[] = {0, noise > 127, last, i % 2, noise > 250, i < 9 || last};
                    grey[i] = (uint8_t)(kind == 0 ? noise : 255 * is_white[kind]);
                }
                under10k_early_frame(grey, width, height, width, pixels);
                free(grey);
            }
    if (under10k_early_frame(pixels, 0, 1, 0, pixels) || under10k_early_frame(pixels, 4097, 1, 1, pixels) ||
        under10k_early_frame(pixels, 1, -1, 1, pixels))
        return 1;
    puts("done");
    return 0;
}
"""


@needs_compiler
def test_no_picture_to_frame_makes_the_sanitizers_complain(tmp_path: Path) -> None:
    place = write(framing(), tmp_path)
    (place / "harness.c").write_text(HARNESS)
    sources = [place / "harness.c", place / "under10k_early_frame.c"]
    compile_c(sources, place / "harness", ["-std=c99", *SANITIZED.split()])
    done = subprocess.run([place / "harness"], capture_output=True, text=True, timeout=250)
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


@pytest.mark.skipif(not shutil.which("g++"), reason="there is no C++ compiler")
def test_the_framing_compiles_as_cpp(tmp_path: Path) -> None:
    source = write(framing(), tmp_path) / "under10k_early_frame.c"
    flags = ["-x", "c++", "-std=c++11", *STRICT[1:]]
    subprocess.run(["g++", *flags, "-c", source, "-o", tmp_path / "frame.o"], check=True)


def test_framing_adds_two_files_and_changes_no_other() -> None:
    plain = build_c(network("early", False, "pool"), Facts("early"), "float").files
    added = {name: text for name, text in framing().files.items() if name not in plain}
    assert {name: framing().files[name] for name in plain} == plain
    assert sorted(added) == ["under10k_early_frame.c", "under10k_early_frame.h"]
    for text in added.values():
        assert not re.search(r"@|malloc|\bfloat\b|\bdouble\b", text)
        assert set(re.findall(r"#include (.*)", text)) <= {"<stdint.h>", '"under10k_early_frame.h"'}

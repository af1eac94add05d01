"""The exported C compiles clean, computes what PyTorch and the integer reference do, and stands hostile pictures."""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from c_folders import SANITIZED, STRICT, built, needs_compiler, network, write
from random_networks import VARIANTS, random_network
from under10k.data.datasets import Dataset, load_digits
from under10k.data.digits import Digits
from under10k.data.synthetic import draw_digits
from under10k.errors import Under10kError, UsageError
from under10k.evaluation.metrics import predict_logits
from under10k.export import int8
from under10k.export.c.folder import CFolder, build_c, check_c, export_c, name_in_c, require_c
from under10k.export.c.layout import Maps, find_distance, lay_out
from under10k.export.c.native import NativeModel, find_compiler
from under10k.export.int8 import LOGIT_BITS, quantise, run_int8
from under10k.export.plain import run_plain
from under10k.export.proof import Kind
from under10k.export.stages import group
from under10k.export.translation import flatten
from under10k.models.registry import create_model, list_models
from under10k.recipes import default
from under10k.runs.weights import load_weights
from under10k.training.start import train
from under10k.weights.bundled import Facts

needs_make = pytest.mark.skipif(
    not (shutil.which("make") and find_compiler()), reason="make or a C compiler is missing"
)


@cache
def digits() -> Digits:
    return draw_digits(24, seed=3)


def compile_and_run(folder: CFolder, *flags: str) -> torch.Tensor:
    model = NativeModel(folder.files, folder.name, folder.source.logit, [*STRICT, *flags])
    return torch.from_numpy(model.run(digits().images))


def make(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "-s", *arguments], cwd=place, capture_output=True, text=True, timeout=250)


# --- the same answers --------------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize(("name", "residual", "head"), VARIANTS)
def test_float_gives_the_logits_of_pytorch(name: str, residual: bool, head: str) -> None:
    expected = predict_logits(network(name, residual, head), digits().images)
    found = compile_and_run(built(name, "float", residual, head), "-O0")
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max().clamp(min=1)
    assert (found.argmax(dim=1) == expected.argmax(dim=1)).all()


@needs_compiler
@pytest.mark.parametrize(("name", "residual", "head"), VARIANTS)
def test_int8_equals_its_reference_bit_for_bit(name: str, residual: bool, head: str) -> None:
    folder = built(name, "int8", residual, head)
    assert folder.integer
    expected = torch.from_numpy(run_int8(folder.integer, digits().images))
    assert torch.equal(compile_and_run(folder, "-O0"), expected)
    exact = run_plain(flatten(network(name, residual, head)), digits().images.float() / 255)
    noise = (expected.float() * folder.unit - exact).pow(2).mean().sqrt()
    assert noise < 0.5 * exact.std(), "and is near the network, though a random one's batch norm makes noise louder"


@needs_compiler
@pytest.mark.parametrize(
    ("name", "level"),
    [("early", "-O2"), ("gap", "-O2"), *(("transition", level) for level in ("-O1", "-O2", "-O3"))],
)
def test_optimisation_changes_no_answer(name: str, level: str) -> None:
    expected = predict_logits(network(name, False, "pool"), digits().images)
    assert (compile_and_run(built(name, "float"), level) - expected).abs().max() < 1e-4
    folder = built(name, "int8")
    assert folder.integer
    found = compile_and_run(folder, level)
    assert torch.equal(found, torch.from_numpy(run_int8(folder.integer, digits().images)))


def test_the_reference_adds_up_exactly_in_float32_too(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = built("gap", "int8")
    assert folder.integer
    fast = run_int8(folder.integer, digits().images)
    monkeypatch.setattr(int8, "_exact_kind", lambda _: torch.float64)
    assert (fast == run_int8(folder.integer, digits().images)).all()


def test_weights_too_large_for_integers_are_refused() -> None:
    model = nn.Sequential(layer := nn.Conv2d(1, 10, 28), nn.Flatten()).eval()
    nn.init.constant_(layer.weight, 1e6)
    with pytest.raises(UsageError, match="too large for 32-bit"):
        quantise(group(flatten(model)), digits().images)


@pytest.mark.parametrize("size", [1e-30, 1e-9, 1e-3])
def test_weights_of_next_to_nothing_are_quantised_all_the_same(size: float) -> None:
    model = nn.Sequential(first := nn.Conv2d(1, 4, 5), nn.ReLU(), last := nn.Conv2d(4, 10, 24), nn.Flatten()).eval()
    for layer in (first, last):
        nn.init.constant_(layer.weight, size)
        layer.bias = nn.Parameter(-torch.ones(layer.out_channels))
    assert (run_int8(quantise(group(flatten(model)), digits().images), digits().images) == -(2**LOGIT_BITS)).all()


def test_a_filter_of_zeros_keeps_its_bias() -> None:
    model = nn.Sequential(layer := nn.Conv2d(1, 10, 28, bias=False), nn.Flatten()).eval()
    nn.init.zeros_(layer.weight)
    layer.bias = nn.Parameter(torch.arange(10) / 10)
    found = run_int8(quantise(group(flatten(model)), digits().images), digits().images)
    assert torch.allclose(torch.from_numpy(found) / 2.0**LOGIT_BITS, torch.arange(10) / 10, atol=1e-4)


def test_maps_lie_below_or_behind_those_they_are_made_from_in_least_room() -> None:
    assert lay_out([], []) == ([], 0)
    assert lay_out([7], []) == ([0], 7)
    assert lay_out([10, 10], [4]) == ([4, 0], 14)
    assert lay_out([10, 2, 9], [0, 9]) == ([0, 0, 2], 11), "below, where that costs nothing, then behind"


def test_an_output_never_overtakes_what_is_still_read() -> None:
    unpadded = find_distance(Maps((16, 12, 12), 0), Maps((16, 10, 10), 0), side=1)
    assert unpadded == 16, "each position is written where it was read, or before"
    assert find_distance(Maps((1, 28, 28), 1), Maps((8, 28, 28), 1), side=1) > 5000, "the output is the larger one"


# --- what the folder promises ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_models())
def test_in_int8_each_weight_takes_one_byte(name: str) -> None:
    layers = [layer for layer in create_model(name).modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert built(name, "int8").source.weight_bytes == sum(layer.weight.numel() for layer in layers)


@pytest.mark.parametrize("name", list_models())
def test_int8_has_at_most_10_kb_of_weights_and_no_float(name: str) -> None:
    folder = built(name, "int8")
    assert folder.source.weight_bytes <= 10_000
    code = re.sub(r"/\*.*?\*/", "", folder.files[f"{folder.name}.c"], flags=re.DOTALL)
    assert not re.search(r"\bfloat\b|\bdouble\b|\d\.\d", code)


@pytest.mark.parametrize("kind", ["float", "int8"])
@pytest.mark.parametrize("name", list_models())
def test_the_network_needs_stdint_alone_and_allocates_nothing(name: str, kind: Kind) -> None:
    folder = built(name, kind)
    text = folder.files[f"{folder.name}.c"] + folder.files[f"{folder.name}.h"]
    assert set(re.findall(r"#include (.*)", text)) == {"<stdint.h>", f'"{folder.name}.h"'}
    assert "malloc" not in text
    assert "@" not in text


@needs_compiler
@pytest.mark.parametrize("kind", ["float", "int8"])
def test_the_static_memory_is_as_stated(kind: Kind, tmp_path: Path) -> None:
    folder = built("gap", kind)
    source = write(folder, tmp_path) / f"{folder.name}.c"
    subprocess.run([str(find_compiler()), "-c", source, "-o", tmp_path / "model.o"], check=True)
    if not shutil.which("size"):
        pytest.skip("there is no `size`")
    figures = subprocess.run(["size", tmp_path / "model.o"], capture_output=True, text=True, check=True).stdout
    data, bss = map(int, figures.splitlines()[1].split()[1:3])
    assert folder.source.ram_bytes <= data + bss < folder.source.ram_bytes + 64


@needs_compiler
@pytest.mark.parametrize("level", ["-O0", "-O2"])
@pytest.mark.parametrize("kind", ["float", "int8"])
def test_the_stack_holds_some_hundred_bytes_in_each_function_and_never_a_size_told_at_run_time(
    kind: Kind, level: str, tmp_path: Path
) -> None:
    folder = built("transition", kind)
    source = write(folder, tmp_path) / f"{folder.name}.c"
    command = [str(find_compiler()), level, "-fstack-usage", "-c", source.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    if done.returncode or not source.with_suffix(".su").exists():
        pytest.skip("this compiler tells no use of the stack")
    frames = [line.split("\t")[1:] for line in source.with_suffix(".su").read_text().splitlines()]
    assert {kind for _, kind in frames} == {"static"}
    assert max(int(size) for size, _ in frames) < 1024


def adversarial(count: int, seed: int) -> Digits:
    """Pictures that no pen makes: noise, black and white dots, stripes, the extremes."""
    images = torch.randint(0, 256, (count, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    images[0], images[1] = 0, 255
    images[2:6] = images[2:6] // 128 * 255
    images[6, ::2], images[6, 1::2] = 0, 255
    images[7, :, ::2], images[7, :, 1::2] = 255, 0
    return Digits(images, torch.zeros(count, dtype=torch.int64))


SANITIZED_SOON = [("early", True, "float"), *((name, False, "int8") for name in ("best-2k5", "gap", "transition"))]
"""Networks of each shape, both kinds of numbers and a shortcut: a build with sanitizers takes seconds."""


@needs_make
@pytest.mark.parametrize(
    ("name", "residual", "kind"),
    [
        pytest.param(*case, marks=() if case in SANITIZED_SOON else pytest.mark.slow)
        for case in [
            (name, residual, kind) for name, residual, head in VARIANTS for kind in ("float", "int8") if head == "pool"
        ]
    ],
)
def test_no_picture_makes_the_sanitizers_complain(
    name: str, residual: bool, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("under10k.export.c.folder.draw_digits", adversarial)
    model, calibration = network(name, residual, "pool"), draw_digits(50, seed=4).images
    place = write(build_c(model, Facts(name), kind, calibration), tmp_path / "a folder")
    done = make(place, "test", f"CFLAGS={SANITIZED}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("10 of 10 agree" + (", largest difference of a logit 0\n" if kind == "int8" else ""))


@needs_compiler
def test_pixels_may_begin_at_any_address() -> None:
    model = built("early", "float").compile()
    images = digits().images
    shifted = torch.empty(images.numel() + 1, dtype=torch.uint8)[1:].view_as(images).copy_(images)
    assert (model.run(shifted) == model.run(images)).all()


@needs_make
def test_make_test_fails_where_a_weight_has_changed(tmp_path: Path) -> None:
    folder = built("early", "int8")
    place = write(folder, tmp_path)
    source = place / f"{folder.name}.c"
    source.write_text(re.sub(r"(bias_under10k_early_5\[10\] = \{)-?\d+", r"\g<1>99999", source.read_text()))
    done = make(place, "test", "CFLAGS=-O0")
    assert done.returncode != 0
    assert "0 of 10 agree" in done.stdout


# --- two networks in one program ---------------------------------------------------------------------------------

needs_both = pytest.mark.skipif(not (shutil.which("gcc") and shutil.which("g++")), reason="gcc or g++ is missing")

COMPARED = """
#include <stdio.h>
{includes}
{vectors}

int main(void)
{{
    float one[10];
    int32_t two[10];
    first_net_predict(pixels, one);
    second_net_predict(pixels, two);
    for (int i = 0; i < 10; i++)
        printf("%.9g %ld\\n", (double)one[i], (long)two[i]);
    return 0;
}}
"""


def two_networks(place: Path) -> tuple[list[CFolder], str]:
    """Write two exports of one network, which differ in nothing but numbers and name, into a folder; return them."""
    model, images = network("gap", False, "pool"), draw_digits(50, seed=4).images
    folders = [
        build_c(model, Facts("gap"), "float", name="first_net"),
        build_c(model, Facts("gap"), "int8", images, name="second_net"),
    ]
    for folder in folders:
        write(folder, place)
    pixels = ", ".join(map(str, digits().images[0].flatten().tolist()))
    return folders, f"static const uint8_t pixels[784] = {{{pixels}}};"


def answers_of(program: Path) -> list[list[float]]:
    lines = subprocess.run([program], capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    return [[float(line.split()[column]) for line in lines] for column in (0, 1)]


@needs_both
@pytest.mark.parametrize(
    ("language", "compiler", "ending"),
    [
        ("C", ["gcc", "-std=c99", "-Wall", "-Wextra", "-pedantic"], "c"),
        ("C++", ["g++", "-x", "c++", "-std=c++11", "-Wall", "-Wextra", "-pedantic"], "c"),
        ("C++ that calls C", ["g++", "-std=c++17", "-Wall", "-Wextra", "-pedantic"], "cpp"),
    ],
)
@pytest.mark.parametrize("is_one_file", [True, False])
def test_two_networks_live_in_one_program(
    is_one_file: bool, language: str, compiler: list[str], ending: str, tmp_path: Path
) -> None:
    folders, pixels = two_networks(tmp_path)
    includes = "\n".join(f'#include "{folder.name}.{"c" if is_one_file else "h"}"' for folder in folders)
    source = tmp_path / f"both.{ending}"
    source.write_text(COMPARED.format(includes=includes, vectors=pixels))
    sources = [] if is_one_file else [tmp_path / f"{folder.name}.c" for folder in folders]
    if language == "C++ that calls C" and sources:
        for path in sources:
            subprocess.run(["gcc", "-std=c99", "-c", path, "-o", path.with_suffix(".o")], check=True)
        sources = [path.with_suffix(".o") for path in sources]
    subprocess.run([*compiler, "-Werror", "-O1", source, *sources, "-o", tmp_path / "both"], check=True, timeout=250)
    one, two = answers_of(tmp_path / "both")
    expected = predict_logits(network("gap", False, "pool"), digits().images[:1])[0]
    assert (torch.tensor(one) - expected).abs().max() < 1e-4
    assert folders[1].integer
    assert two == run_int8(folders[1].integer, digits().images[:1])[0].tolist()


@pytest.mark.parametrize("name", ["", "2nd", "my net", "my-net", "ziffer_ä", "a;b", "x" * 41, "demo", "Test", "../up"])
def test_what_is_no_name_in_c_is_refused(name: str, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no name in C|a name that is taken"):
        require_c(tmp_path / "c", name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "in_c"),
    [
        ("robust", "under10k_robust"),
        ("default-s0", "under10k_default_s0"),
        ("my net (2)", "under10k_my_net_2"),
        ("ziffern ä", "under10k_ziffern"),
        ("x" * 300, "under10k_" + "x" * 31),
    ],
)
def test_any_name_becomes_one_in_c(name: str, in_c: str, tmp_path: Path) -> None:
    assert name_in_c(name) == in_c
    require_c(tmp_path / "c", in_c)


def test_a_name_of_which_c_can_take_nothing_is_that_of_the_project(tmp_path: Path) -> None:
    require_c(tmp_path / "c", name_in_c("数字"))


# --- the demo ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (shutil.which("make") and find_compiler()):
        pytest.skip("make or a C compiler is missing")
    place = write(built("early", "int8"), tmp_path_factory.mktemp("demo"))
    done = make(place, "demo", f"CFLAGS={SANITIZED}")
    assert done.returncode == 0, done.stderr
    return place / "demo"


def show(demo: Path, content: bytes | str) -> subprocess.CompletedProcess[str]:
    picture = demo.parent / "picture.pgm"
    picture.write_bytes(content.encode() if isinstance(content, str) else content)
    return subprocess.run([demo, picture], capture_output=True, text=True, timeout=60)


def test_the_demo_reads_text_and_bytes_comments_and_other_whites(demo: Path) -> None:
    folder = built("early", "int8")
    assert folder.integer
    image = digits().images[:1]
    expected = str(run_int8(folder.integer, image).argmax())
    pixels = image.flatten()
    halves = " ".join(str(int(pixel) // 5) for pixel in pixels)
    scaled = (pixels // 5 * 5).view(1, 28, 28)
    for content, answer in (
        (b"P5\n28 28\n255\n" + bytes(pixels.tolist()), expected),
        (b"P5 28 28 255 " + bytes(pixels.tolist()), expected),
        ("P2\n# a comment\n28 # another\n28\n255\n" + "\n".join(str(int(pixel)) for pixel in pixels), expected),
        (f"P2\n28 28\n51\n{halves}", str(run_int8(folder.integer, scaled).argmax())),
    ):
        done = show(demo, content)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[0] == answer
        assert len(done.stdout.splitlines()) == 11


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "neither P2 nor P5"),
        (b"P", "neither P2 nor P5"),
        (b"P6\n28 28\n255\n" + bytes(784), "neither P2 nor P5"),
        (b"\x89PNG\r\n", "neither P2 nor P5"),
        (b"P5", "header is damaged"),
        (b"P5\n28", "header is damaged"),
        (b"P5\n28 28\n", "header is damaged"),
        (b"P5\n-28 28\n255\n", "header is damaged"),
        (b"P5\n28x28\n255\n", "header is damaged"),
        (b"P5\n99999999999999999999 28\n255\n", "header is damaged"),
        (b"P5\n# never ends", "header is damaged"),
        (b"P5\n27 28\n255\n" + bytes(784), "not 28x28"),
        (b"P5\n60000 60000\n255\n" + bytes(784), "not 28x28"),
        (b"P5\n28 28\n65535\n" + bytes(1568), "white must be"),
        (b"P5\n28 28\n0\n" + bytes(784), "white must be"),
        (b"P5\n28 28\n255\n" + bytes(783), "ends too early"),
        (b"P5\n28 28\n9\n" + b"\xff" * 784, "brighter than white"),
        (b"P2\n28 28\n255\n" + b"0 " * 783, "ends too early"),
        (b"P2\n28 28\n255\n" + b"x " * 784, "no number"),
        (b"P2\n28 28\n255\n" + b"256 " * 784, "brighter than white"),
    ],
)
def test_the_demo_refuses_what_is_no_picture_of_28x28(content: bytes, fault: str, demo: Path) -> None:
    done = show(demo, content)
    assert (done.returncode, done.stdout) == (1, "")
    assert fault in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_demo_stands_random_bytes(demo: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    for length in range(0, 60, 4):
        noise = bytes(torch.randint(0, 256, (length,), generator=generator).tolist())
        for head in (b"", b"P2", b"P5\n28 28\n", b"P2\n28 28 255\n"):
            assert show(demo, head + noise).returncode == 1


def test_the_demo_times_itself_and_says_how_it_is_used(demo: Path) -> None:
    done = subprocess.run([demo, "--bench", "20"], capture_output=True, text=True, timeout=60)
    assert re.fullmatch(r"\d+\.\d+ us an image, mean of 20\n", done.stdout)
    for arguments in ([], ["--bench"], ["--bench", "none"], ["--help"]):
        done = subprocess.run([demo, *arguments], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("usage: ")
    assert subprocess.run([demo, demo.parent / "missing.pgm"], capture_output=True, timeout=60).returncode == 1


# --- writing it --------------------------------------------------------------------------------------------------


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """No compiler is found: what is written is not tried, which takes the most of an export's time."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)


@needs_compiler
def test_an_export_is_checked_and_written_whole_and_may_be_written_again(dataset: Dataset, tmp_path: Path) -> None:
    model = network("early", False, "pool")
    for _ in range(2):
        found = export_c(model, Facts("early"), tmp_path / "c", "int8", dataset)
        assert found.agreement
        assert found.agreement.images == len(dataset.test)
        assert {path.name: path.stat().st_size for path in (tmp_path / "c").iterdir()} == found.sizes
    assert len(found.sizes) == 7


@pytest.mark.parametrize("out", [".", "../here", "new/folder"])
def test_the_folder_one_is_in_can_be_exported_into(
    out: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uncompiled: None
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for _ in range(2):
        found = export_c(network("early", False, "pool"), Facts("early"), Path(out), "float", dataset)
        assert sorted(path.name for path in Path(out).iterdir()) == sorted(found.sizes)


def test_what_a_killed_export_has_left_is_in_nobodys_way(dataset: Dataset, tmp_path: Path, uncompiled: None) -> None:
    (tmp_path / ".under10k-a1b2").mkdir()
    (tmp_path / ".under10k-a1b2" / "under10k_early.c").write_text("a half")
    found = export_c(network("early", False, "pool"), Facts("early"), tmp_path, "float", dataset)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(found.sizes)


def test_a_folder_with_other_files_is_left_alone(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    for out, fault in ((tmp_path, "folder not empty"), (tmp_path / "thesis.tex", "not a folder")):
        with pytest.raises(UsageError, match=fault):
            export_c(network("early", False, "pool"), Facts("early"), out, "float", dataset)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_export_of_another_network_is_left_alone(dataset: Dataset, tmp_path: Path) -> None:
    place = write(built("gap", "float"), tmp_path / "c")
    with pytest.raises(UsageError, match="no export of under10k_early"):
        export_c(network("early", False, "pool"), Facts("early"), place, "float", dataset)
    assert not (place / "under10k_early.h").exists()


@pytest.mark.parametrize("is_new", [True, False])
def test_a_full_disk_leaves_the_folder_as_it_was(
    is_new: bool, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uncompiled: None
) -> None:
    out = tmp_path / "c"
    if not is_new:
        write(built("early", "int8"), out)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def fill_up(path: Path, content: str) -> None:
        if path.name == "test.c":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        path.write_text(content, encoding="utf-8")

    monkeypatch.setattr("under10k.export.c.folder.write_atomically", fill_up)
    with pytest.raises(OSError, match=r"No space left on device: '.*/c'"):
        export_c(network("early", False, "pool"), Facts("early"), out, "float", dataset)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert out.exists() != is_new


def test_without_a_compiler_the_export_is_written_unchecked(dataset: Dataset, tmp_path: Path, uncompiled: None) -> None:
    found = export_c(network("early", False, "pool"), Facts("early"), tmp_path / "c", "float", dataset)
    assert found.agreement is None
    assert (tmp_path / "c" / "Makefile").is_file()
    with pytest.raises(Under10kError, match="no C compiler"):
        check_c(built("early", "float"), network("early", False, "pool"), dataset)


@needs_compiler
def test_an_export_that_computes_something_else_is_not_written(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Under10kError, match="the export is wrong: a logit differs"):
        check_c(built("early", "float"), random_network("early", seed=1), dataset)


def test_what_a_weights_file_says_of_itself_cannot_become_code() -> None:
    facts = Facts("early", recipe="*/ int main(void)\n#include <x.h> // é")
    header = build_c(network("early", False, "pool"), facts, "float").files["under10k_early.h"]
    line = next(line for line in header.splitlines() if "Made by under10k" in line)
    assert line.endswith("; recipe ?? int main?void???include ?x.h? ?? ?, float.")


def test_int8_without_images_is_refused() -> None:
    with pytest.raises(UsageError, match="no calibration"):
        build_c(network("early", False, "pool"), Facts("early"), "int8")


@needs_compiler
def test_a_compiler_that_fails_is_quoted() -> None:
    with pytest.raises(Under10kError, match=r"the C compiler fails: .*broken\.c:1"):
        NativeModel({"broken.c": "int predict( {"}, "broken", "float")


@pytest.mark.skipif(not shutil.which("false"), reason="there is no `false`")
def test_a_compiler_that_fails_in_silence_is_named_with_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    with pytest.raises(
        Under10kError, match=r"the C compiler fails: \S*false, exit code 1: it says nothing\. try another"
    ):
        NativeModel({}, "any", "float")


@needs_compiler
def test_a_compiler_for_another_machine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("under10k.export.c.native.compile_c", lambda _, target, __: target.write_bytes(b"no program"))
    with pytest.raises(Under10kError, match=r"cannot load what the C compiler made: .*let CC compile for this machine"):
        NativeModel({}, "any", "float")


# --- the real thing ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mnist(mnist_folder: Path) -> Dataset:
    return load_digits(mnist_folder)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@needs_compiler
@pytest.mark.parametrize("name", list_models())
def test_a_trained_network_keeps_its_answers_on_all_test_images(name: str, mnist: Dataset, tmp_path: Path) -> None:
    result = train(replace(default(), model=name, epochs=2), mnist, tmp_path / "run", reports=[])
    model, facts = load_weights(Path(result.run_dir))
    exact = export_c(model, facts, tmp_path / "float", "float", mnist).agreement
    assert exact
    assert (exact.images, exact.differing) == (10_000, 0)
    rounded = export_c(model, facts, tmp_path / "int8", "int8", mnist).agreement  # compared with its reference inside
    assert rounded
    assert rounded.accuracy >= rounded.torch_accuracy - 0.0005

"""Whatever is read that others may have written, nothing but the documented errors comes of it: `make fuzz`."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

if not Path("/proc/self/clear_refs").exists():
    pytest.skip("only Linux tells how much memory each case takes", allow_module_level=True)

pytest.importorskip("fastapi")

import fuzzing
from c_folders import SANITIZED, built, network, write
from conftest import REPOSITORY
from fuzzing import TARGETS, Tally, Target
from mutations import mutate
from random_networks import random_network
from servers import serving
from under10k.data.synthetic import draw_digits
from under10k.errors import DataError, Under10kError, UsageError
from under10k.evaluation.metrics import predict_logits
from under10k.export.c.native import compile_c, find_compiler
from under10k.export.int8 import run_int8
from under10k.export.proof import Kind
from under10k.serve.app import reader
from under10k.serve.bodies import IMAGE_TYPES

MINUTES = float(os.environ.get("FUZZ_MINUTES", "10"))
"""Of all targets together."""

SECONDS = 60 * MINUTES / (len(TARGETS) + 3)
"""Of each: the files, the C in two kinds of numbers, and the API."""

KEPT = REPOSITORY / "build" / "fuzz"
"""Where the input that shows a fault is kept."""

long = pytest.mark.timeout(SECONDS + 240)


def in_memory() -> str | None:
    """Where thousands of small files are written a second without a disk."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=in_memory()) as place:
        yield Path(place)


def keep(content: bytes | Path, name: str) -> Path:
    """Put an input aside, a file or a folder of them, and return where it is."""
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = Path(tempfile.mkdtemp(dir=KEPT, prefix=f"{name.replace(' ', '-')}-"))
    if isinstance(content, bytes):
        (kept / "input").write_bytes(content)
    else:
        shutil.copytree(content, kept, dirs_exist_ok=True)
    return kept


@pytest.mark.slow
@long
@pytest.mark.parametrize("name", TARGETS)
def test_a_damaged_file_is_read_or_refused(name: str, folder: Path) -> None:
    command = [sys.executable, fuzzing.__file__, name, str(SECONDS), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + 200)
    if done.returncode:
        pytest.fail(f"{done.stderr[-5000:]}\n{name}: what was read is kept in {keep(folder, name)}")
    tally = Tally(**json.loads(done.stdout))
    print(f"{name}: {tally}")
    assert 0 < tally.accepted < tally.cases


# --- the API -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@long
def test_the_api_answers_as_its_description_says() -> None:
    schemathesis = pytest.importorskip("schemathesis")
    files = fuzzing.make_picture_files()
    pictures = st.integers(0, 2**64).map(lambda number: fuzzing.damage_picture(files, Random(number)))  # noqa: S311
    for kind in IMAGE_TYPES:
        schemathesis.openapi.media_type(kind, st.one_of(pictures, st.sampled_from(files), st.binary()))
    answers: Counter[int] = Counter()

    @settings(
        max_examples=50,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any) -> None:
        answer = case.call_and_validate(timeout=30, excluded_checks=[schemathesis.checks.positive_data_acceptance])
        answers[answer.status_code] += 1

    with serving(reader(random_network("early"))) as port:
        schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")
        asked = [given(case=found.ok().as_strategy())(ask) for found in schema.get_all_operations()]
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for each in asked:
                seed(secrets.randbits(64))(each)()
    print(f"API: {answers}")
    assert {200, 422} <= answers.keys()


# --- the exported C ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["float", "int8"])
def harness(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Kind, Path]:
    """The demo of an exported network, that reads pictures from standard input, and ends where C does not define it."""
    if not find_compiler():
        pytest.skip("there is no C compiler")
    folder = built("early", request.param)
    place = write(folder, tmp_path_factory.mktemp(request.param))
    names = (f"-DLOGIT={folder.source.logit}", f"-DNETWORK={folder.name}_predict", f"-I{place}")
    sources = (REPOSITORY / "tests" / "fuzz_harness.c", place / f"{folder.name}.c")
    compile_c(sources, place / "harness", ("-std=c99", *SANITIZED.split(), *names))
    return request.param, place / "harness"


@pytest.mark.slow
@long
def test_the_exported_c_refuses_a_picture_or_answers_as_its_reference(harness: tuple[Kind, Path]) -> None:
    kind, program = harness
    random, tally, end = Random(), Tally(), time.monotonic() + SECONDS  # noqa: S311
    while time.monotonic() < end:
        cases = [draw_pgm(random) for _ in range(500)]
        sent = b"".join(struct.pack("=I", len(case)) + case for case in cases)
        done = subprocess.run([program], input=sent, capture_output=True, timeout=120)
        if done.returncode:
            pytest.fail(f"{done.stderr.decode()[-5000:]}\nthe pictures are kept in {keep(sent, f'C {kind}')}")
        read = [answer[1:] for answer in split_answers(done.stdout) if answer[:1] == b"P"]
        check_logits(kind, read)
        tally.cases, tally.accepted = tally.cases + len(cases), tally.accepted + len(read)
    print(f"C, {kind}: {tally.cases} cases, {tally.accepted} accepted")
    assert 0 < tally.accepted < tally.cases


def draw_pgm(random: Random) -> bytes:
    """A picture of noise or of a digit, as text or as bytes, whole or damaged."""
    pixels = random.choice((random.randbytes(784), bytes(random.choices((0, 255), k=784)), DIGIT))
    text = b"P2\n# noise\n28 28 255\n" + b" ".join(b"%d" % pixel for pixel in pixels)
    files = (b"P5\n28 28\n255\n" + pixels, text)
    return random.choice(files) if random.random() < 0.3 else mutate(random.choice(files), files, random) or b"P"


DIGIT = bytes(draw_digits(1, seed=0).images.flatten().tolist())


def split_answers(output: bytes) -> Iterator[bytes]:
    """Return what the harness said to each picture, and see that a refusal is one that the demo documents."""
    place, size = 0, 1 + 784 + 40
    known = {fault.encode() for fault in re.findall(r'return "([^"]+)"', DEMO.read_text())}
    while place < len(output):
        end = place + size if output[place : place + 1] == b"P" else output.index(b"\n", place) + 1
        answer = output[place:end]
        assert answer[:1] == b"P" or answer[:-1] in known
        yield answer
        place = end


DEMO = REPOSITORY / "src" / "under10k" / "export" / "c" / "templates" / "demo.c"


def check_logits(kind: Kind, read: list[bytes]) -> None:
    """Compare the logits of the C with those of the reference, of the pixels that the C has read."""
    pixels = torch.tensor(np.stack([np.frombuffer(one[:784], np.uint8).reshape(28, 28) for one in read]))
    found = np.stack([np.frombuffer(one[784:], np.float32 if kind == "float" else np.int32) for one in read])
    integer = built("early", kind).integer
    if integer:
        assert (found == run_int8(integer, pixels)).all()
    else:
        expected = predict_logits(network("early", False, "pool"), pixels).numpy()
        assert np.abs(found - expected).max() < 1e-4


# --- the fuzzing itself ------------------------------------------------------------------------------------------


def plant(read: Callable[[Path], object]) -> Target:
    """A target that is read so."""
    return Target(lambda _: ("file", b"content"), read, (DataError,), lambda _: 16, 5)  # type: ignore[arg-type]


def refuse(error: Exception) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        raise error

    return read


def test_a_documented_error_and_an_answer_are_counted(tmp_path: Path) -> None:
    tally = Tally()
    for read in (refuse(DataError("no")), Path.read_bytes):
        tally.try_one(plant(read), ("file", b"content"), tmp_path)
    assert (tally.cases, tally.accepted) == (2, 1)


@pytest.mark.parametrize(
    ("read", "fault"),
    [
        (refuse(ValueError("oh")), "oh"),
        (refuse(UsageError("another error of ours")), "another error of ours"),
        (lambda path: np.ones(512 * 2**20, dtype=np.uint8)[0], "MiB were taken, not 16"),
        (lambda path: refuse(AssertionError("wrong"))(path), "wrong"),
    ],
    ids=["undocumented", "of another kind", "memory", "a wrong answer"],
)
def test_a_fault_is_noticed(read: Callable[[Path], object], fault: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, Under10kError, AssertionError), match=fault):
        Tally().try_one(plant(read), ("file", b"content"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("read", ["lambda _: os.abort()", "lambda _: time.sleep(60)"], ids=["crash", "hang"])
def test_what_ends_the_process_is_noticed_and_its_input_is_kept(read: str, tmp_path: Path) -> None:
    planted = f"fuzzing.Target(lambda _: ('file', b'content'), {read}, (), lambda _: 16, 1)"
    code = (
        f"import os, time, fuzzing; fuzzing.TARGETS['x'] = lambda _: {planted}; fuzzing.main('x', '9', r'{tmp_path}')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(fuzzing.__file__).parent, timeout=60, stderr=-3)
    assert done.returncode != 0
    assert (tmp_path / "file").read_bytes() == b"content"

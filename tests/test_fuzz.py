"""Whatever is read that others may have written, nothing but the documented errors comes of it: `make fuzz`."""

from __future__ import annotations

import gzip
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

if not Path("/proc/self/clear_refs").exists():
    pytest.skip("only Linux tells how much memory each case takes", allow_module_level=True)

import fuzzing
from c_folders import SANITIZED, built, network, write
from conftest import REPOSITORY
from fuzzing import TARGETS, Tally, Target
from mutations import mutate
from random_networks import random_network
from servers import PAGE
from tenk.errors import DataError, TenkError, UsageError
from tenk.evaluation import predict_logits
from tenk.export.int8 import run_int8
from tenk.export.native import compile_c, find_compiler
from tenk.export.proof import Kind
from tenk.synthetic import draw_digits

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
    pytest.importorskip("fastapi")
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from hypothesis import strategies as st

    from servers import serving
    from tenk.serve.app import IMAGE_TYPES, reader

    files = fuzzing.make_picture_files()
    pictures = st.integers(0, 2**64).map(lambda number: fuzzing.damage_picture(files, Random(number)))
    for kind in IMAGE_TYPES:
        schemathesis.openapi.media_type(kind, st.one_of(pictures, st.sampled_from(files), st.binary()))
    answers: Counter[int] = Counter()

    @settings(max_examples=50, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
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
    assert {200, 415, 422} <= answers.keys()

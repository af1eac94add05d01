"""What is written lies where the command says: no verb leaves anything in a home, cache or temporary folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
from PIL import Image

from under10k.data.synthetic import draw_digits

VERBS = """
import contextlib, io, json, os, sys
from pathlib import Path
from under10k.cli import main

data, *places = sys.argv[1:]
left = {}
for line in (
    "train fast --epochs 1 --out run --data",
    "evaluate run --data",
    "plot run --out curves.png",
    "export run --to c --data",
    "export run --to html --data",
    "predict seven.png --model run --explain why.png",
    "datasets --sheet sheet.png",
    "study fast --epochs 1 --seeds 1 --engine serial --out study --data",
):
    words = line.split()
    words += [data] if words[-1] == "--data" else []
    words[1:1] = [data] if words[0] == "datasets" else []
    with contextlib.redirect_stdout(io.StringIO()):
        main(words)
    left[line] = [str(path) for place in places for path in Path(place).rglob("*") if path.is_file()]
print(json.dumps(left))
"""


def test_no_verb_writes_anything_outside_its_own_places(data_folder: Path, tmp_path: Path) -> None:
    places = {"HOME": tmp_path / "home", "XDG_CACHE_HOME": tmp_path / "cache", "TMPDIR": tmp_path / "tmp"}
    for place in (*places.values(), tmp_path / "here"):
        place.mkdir()
    Image.fromarray(draw_digits(1, seed=0).images[0].numpy()).save(tmp_path / "here" / "seven.png")
    before = {path: path.read_bytes() for path in data_folder.iterdir()}
    done = subprocess.run(
        [sys.executable, "-c", VERBS, str(data_folder), *map(str, places.values())],
        cwd=tmp_path / "here",
        env={
            **os.environ,
            "MPLCONFIGDIR": matplotlib.get_cachedir(),  # where it keeps a list of the fonts there are: seconds of work
            **{name: str(place) for name, place in places.items()},
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for line, found in json.loads(done.stdout).items():
        assert found == [], line
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == [
        "curves.png",
        "run",
        "seven.png",
        "sheet.png",
        "study",
        "why.png",
    ]
    assert {path: path.read_bytes() for path in data_folder.iterdir()} == before

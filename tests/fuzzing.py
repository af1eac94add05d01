"""Feeds one reader damaged files, in a process of its own, for a time: `python tests/fuzzing.py TARGET SECONDS FOLDER`.

What is being read lies in the folder, so that it can be had where the process dies of it. A fault is a crash, an error
that is not documented, a case that takes too long or too much memory, or an answer that is none.
"""

from __future__ import annotations

import faulthandler
import gzip
import io
import json
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pillow_heif
import torch
from PIL import Image

from mutations import mutate, mutate_gzip, mutate_png, mutate_sealed, mutate_text
from paintings import paint
from random_networks import random_network
from short_runs import KilledError, StopAt, kill, small
from under10k.data.datasets import Dataset
from under10k.data.digits import read_digits, read_idx
from under10k.data.synthetic import draw_digits
from under10k.errors import DataError, DivergedError, ModelError, Under10kError, UsageError
from under10k.pictures.grey import WORKING_SIDE
from under10k.pictures.picture import open_picture
from under10k.pictures.prediction import predict, predict_all
from under10k.plots import plot_curves, save_figure
from under10k.recipes import Recipe
from under10k.runs.folder import Run
from under10k.runs.weights import load_model
from under10k.study.engines import Outcome
from under10k.study.plan import Plan, read_plan
from under10k.study.results import Study, read_networks, read_points
from under10k.training.start import train

MEBIBYTE = 2**20

Case = tuple[str, bytes]
"""A file's name and content."""


@dataclass(frozen=True)
class Target:
    """A reader, and what may come of it."""

    make: Callable[[Random], Case]
    """Draws a case."""
    read: Callable[[Path], None]
    """Reads it, and asserts that what was read makes sense."""
    refusals: tuple[type[Under10kError], ...]
    """The documented errors."""
    mebibytes: Callable[[bytes], float]
    """Memory that may be taken for such a content, beyond what is held when nothing is read."""
    seconds: float
    """Longest time for one case."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """All that must lie in the folder when a case is read."""


@dataclass
class Tally:
    """What came of the cases."""

    cases: int = 0
    accepted: int = 0
    most_mebibytes: float = 0.0
    """Taken by one case."""
    slowest_seconds: float = 0.0

    def try_one(self, target: Target, case: Case, folder: Path) -> None:
        """Read one case and count it; raises, or ends the process, where there is a fault."""
        name, content = case
        path = folder / name
        if target.files:
            shutil.rmtree(folder)
        for file, whole in {**target.files, name: content}.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(whole)
        idle, start = _forget_peak(), time.perf_counter()
        faulthandler.dump_traceback_later(target.seconds, exit=True)
        try:
            target.read(path)
            self.accepted += 1
        except Under10kError as error:
            if type(error) not in target.refusals:
                raise
        finally:
            faulthandler.cancel_dump_traceback_later()
        seconds, taken = time.perf_counter() - start, _peak_mebibytes() - idle
        assert taken <= target.mebibytes(content), f"{taken:.0f} MiB were taken, not {target.mebibytes(content):.0f}"
        self.cases += 1
        self.most_mebibytes = max(self.most_mebibytes, taken)
        self.slowest_seconds = max(self.slowest_seconds, seconds)


def _forget_peak() -> float:
    """Make the memory held now the peak, and return it."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return _peak_mebibytes()


def _peak_mebibytes() -> float:
    return int(Path("/proc/self/status").read_text(encoding="utf-8").partition("VmHWM:")[2].split()[0]) / 1024


def main(name: str, seconds: str, folder: str) -> None:
    """Try cases until the time is over, and print what came of them as JSON."""
    target, random, tally = TARGETS[name](Path(folder)), Random(), Tally()  # noqa: S311
    warnings.simplefilter("error")
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        tally.try_one(target, target.make(random), Path(folder))
    print(json.dumps(vars(tally)))


# --- targets -----------------------------------------------------------------------------------------------------


def read_idx_files(folder: Path) -> Target:
    """Images, labels and QMNIST's table of labels, plain and in a gzip."""

    images = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
    plain = [_idx(images), _idx(np.arange(9, dtype=np.uint8)), _idx(np.arange(24, dtype=">i4").reshape(3, 8) % 10)]
    files = [*plain, *map(gzip.compress, plain)]

    def make(random: Random) -> Case:
        return "file", random.choice((mutate, mutate_gzip))(random.choice(files), files, random)

    def read(path: Path) -> None:
        values = read_idx(path)
        assert values.dtype in (np.uint8, np.int32)
        digits = read_digits(path, path.with_name("labels")) if values.ndim == 3 else None
        assert digits is None or len(digits) == 3

    (folder / "labels").write_bytes(plain[2])
    return Target(make, read, (DataError,), lambda _: 24, 10)


def _idx(values: np.ndarray) -> bytes:
    code = 0x08 if values.dtype == np.uint8 else 0x0C
    return bytes((0, 0, code, values.ndim)) + np.array(values.shape, ">i4").tobytes() + values.tobytes()


def open_picture_files(_: Path) -> Target:
    """Files of each format, in each mode that it has, and with what else they may hold."""

    files = make_picture_files()

    def make(random: Random) -> Case:
        return "picture", damage_picture(files, random)

    def read(path: Path) -> None:
        picture = open_picture(path)
        assert picture.grey.dtype == np.float32
        assert picture.grey.ndim == 2
        assert 1 <= max(picture.grey.shape) <= WORKING_SIDE
        assert 0 <= picture.grey.min() <= picture.grey.max() <= 1
        assert 1 <= picture.scale <= 10_000 / WORKING_SIDE

    return Target(make, read, (Under10kError,), lambda _: 300, 20)


def damage_picture(files: list[bytes], random: Random) -> bytes:
    """Change one of the files."""
    content = random.choice(files)
    change = mutate_png if content[1:4] == b"PNG" and random.random() < 0.7 else mutate
    return change(content, files, random)


def make_picture_files() -> list[bytes]:
    """Draw a digit in every format and mode."""

    digit = Image.fromarray(255 - draw_digits(1, seed=0).images[0].numpy()).resize((44, 60))
    other = digit.rotate(20)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a digit"
    several = {"save_all": True, "append_images": [other, digit]}
    wanted: list[tuple[str, str, dict[str, Any]]] = [
        *((mode, "PNG", {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
        ("L", "PNG", {"exif": exif, "icc_profile": b"profile" * 20, "dpi": (72, 72)}),
        ("P", "PNG", {"transparency": 3, "bits": 4}),
        ("RGB", "PNG", several),
        *((mode, "JPEG", {}) for mode in ("L", "RGB", "CMYK")),
        ("RGB", "JPEG", {"progressive": True, "exif": exif, "comment": b"hello"}),
        ("RGB", "JPEG", {"restart_marker_rows": 1, "icc_profile": b"profile" * 20}),
        *((mode, "BMP", {}) for mode in ("1", "L", "P", "RGB", "RGBA")),
        *(("P", "GIF", options) for options in ({}, {"interlace": 0}, {"transparency": 3}, several)),
        *((mode, "WEBP", {"lossless": lossless}) for mode in ("RGB", "RGBA") for lossless in (False, True)),
        ("RGB", "WEBP", {**several, "exif": exif}),
        *(("RGB", "AVIF", options) for options in ({}, {"exif": exif}, several)),
        *(("RGB", "TIFF", {"compression": how}) for how in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")),
        ("1", "TIFF", {"compression": "group4"}),
        ("RGBA", "TIFF", several),
    ]
    files = []
    for mode, kind, options in wanted:
        file = io.BytesIO()
        digit.convert(mode).save(file, kind, **options)
        files.append(file.getvalue())
    for mode in ("L", "RGB", "RGBA"):
        file = io.BytesIO()
        pillow_heif.from_pillow(digit.convert(mode)).save(file)
        files.append(file.getvalue())
    return files


def find_digits_in_arrays(_: Path) -> Target:
    """Arrays of any size and type, painted with what is hard to tell from ink."""

    torch.set_num_threads(1)
    network = random_network("early")

    def make(random: Random) -> Case:
        file = io.BytesIO()
        np.save(file, paint(np.random.default_rng(random.getrandbits(64))))
        return "array.npy", file.getvalue()

    def read(path: Path) -> None:
        array = np.load(path)
        for found in (predict(array, network), *predict_all(array, network)):
            assert found.frame.dtype == np.uint8
            assert found.frame.shape == (28, 28)
            assert abs(sum(found.probabilities) - 1) < 1e-6
            assert found.digit is None or found.probability == found.probabilities[found.digit] >= 0.1
            if found.box:
                left, top, right, bottom = found.box
                height, width = array.shape[:2]
                assert 0 <= left <= right <= width
                assert 0 <= top <= bottom <= height
                assert found.ink is not None
                assert np.isfinite(found.ink).all()
            json.dumps(found.to_dict(), allow_nan=False)

    return Target(make, read, (Under10kError,), lambda _: 128, 180)


def go_on_with_runs(folder: Path) -> Target:
    """The files of a run that was killed in its last epoch, which is resumed."""

    recipe, data = _short_run()
    with suppress(KilledError):
        train(recipe, data, folder / "run", reports=[StopAt(1, 2, kill)])
    files = _files(folder)

    def read(path: Path) -> None:
        result = train(Run(folder / "run").recipe(), data, folder / "run", resume=True, reports=[])
        assert 0 <= result.test_accuracy <= 1
        json.dumps(result.to_dict(), allow_nan=False)

    return Target(_maker(files), read, (ModelError, UsageError, DivergedError), lambda _: 64, 30, files)


def load_finished_runs(folder: Path) -> Target:
    """The files of a study of one run, which has ended."""

    recipe, data = _short_run()
    study = Study(folder, Plan({"small": recipe}, 1, 1, data.identity()))
    study.save_plan()
    (job,) = study.jobs()
    study.add(Outcome(job, train(recipe, data, job.folder, reports=[])))
    study.save()
    files, run, picture = _files(folder), Run(job.folder), draw_digits(1, seed=2).images[0]

    def take_finished() -> None:
        for note in Study(folder, read_plan(folder) or study.plan).take_finished():
            raise ModelError(note)

    def predict_with_it() -> None:
        found = predict(picture, load_model(job.folder))
        json.dumps(found.to_dict(), allow_nan=False)

    def draw() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a loss of 1e308 may be drawn as it can
            save_figure(plot_curves(job.folder), folder / "curves.png")

    def read(path: Path) -> None:
        questions = [run.recipe, run.environment, run.data, run.history, run.result, run.load_checkpoint]
        questions += [predict_with_it, lambda: read_points([folder]), lambda: read_networks([folder]), take_finished]
        questions += [draw] if path.suffix == ".jsonl" else []
        refused = None
        for ask in questions:
            try:
                ask()
            except ModelError as error:
                refused = error
        if refused:
            raise refused

    return Target(_maker(files), read, (ModelError,), lambda _: 64, 30, files)


def _short_run() -> tuple[Recipe, Dataset]:
    data = Dataset("few", draw_digits(96, seed=0), draw_digits(24, seed=1))
    return small(batch_size=32, protocol="watched", skip_easy=0.2, dropout=0.1, model="early"), data


def _files(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.suffix in (".json", ".jsonl", ".safetensors")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)}


def _maker(files: dict[str, bytes]) -> Callable[[Random], Case]:
    def make(random: Random) -> Case:
        name = random.choice(list(files))
        change = mutate_sealed if name.endswith(".safetensors") else mutate_text
        change = mutate if random.random() < 0.2 else change
        return name, change(files[name], list(files.values()), random)

    return make


TARGETS: dict[str, Callable[[Path], Target]] = {
    "idx": read_idx_files,
    "pictures": open_picture_files,
    "framing": find_digits_in_arrays,
    "resumed runs": go_on_with_runs,
    "finished runs": load_finished_runs,
}

if __name__ == "__main__":
    main(*sys.argv[1:])

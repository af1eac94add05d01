"""A network as a folder of C99: header, source, demo, test and Makefile; in float or in integers."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import tenk
from tenk.datasets import Dataset
from tenk.errors import TenkError, UsageError
from tenk.evaluation import predict_logits
from tenk.export.c_source import Source, braces, write_float, write_int8
from tenk.export.int8 import LOGIT_BITS, IntegerStage, quantise, run_int8
from tenk.export.native import NativeModel, find_compiler
from tenk.export.plain import flatten
from tenk.export.proof import CALIBRATION, TOLERANCE, Agreement, Exported, Kind, compare, require_agreement
from tenk.export.stages import group
from tenk.files import naming, sync_folder, taking_turns, write_atomically
from tenk.models import count_parameters
from tenk.synthetic import draw_digits

VECTORS = 10
"""Digits that the exported test replays."""


@dataclass(frozen=True)
class CFolder:
    """The files of an export, and what is needed to check them."""

    name: str
    """Of the network in C: the stem of header and source, and the prefix of all names."""
    source: Source
    integer: list[IntegerStage] | None
    """The reference for `int8`; None for `float`."""
    files: dict[str, str]

    @property
    def unit(self) -> float:
        """What a logit is counted in."""
        return 2.0**-LOGIT_BITS if self.integer else 1.0

    def compile(self) -> NativeModel:
        """Compile the network and load it into this process.

        Raises:
            TenkError: there is no C compiler, or it fails.
        """
        with tempfile.TemporaryDirectory() as place:
            for file in (f"{self.name}.h", f"{self.name}.c"):
                Path(place, file).write_text(self.files[file], encoding="utf-8")
            return NativeModel(Path(place, f"{self.name}.c"), self.name, self.source.logit)


def build_c(model: nn.Module, facts: Mapping[str, Any], kind: Kind, calibration: Tensor | None = None) -> CFolder:
    """Write a trained network as C files; `int8` needs `calibration`: training images, uint8 (N, 28, 28).

    `facts` are those saved beside the weights (`tenk.runs.load_weights`): `model` names the network.

    Raises:
        UsageError: the network has a part that no export knows, or weights too large for integers; or there are no
            images to calibrate with.
    """
    network = group(flatten(model))
    vectors = draw_digits(VECTORS, seed=0).images
    name = f"tenk_{facts['model']}"
    integer = None
    if kind == "int8":
        if calibration is None:
            raise UsageError("no calibration: int8 needs images to find its ranges on. give some training images")
        integer = quantise(network, calibration)
        source, logits = write_int8(integer, name), run_int8(integer, vectors)
    else:
        source, logits = write_float(network, name), predict_logits(model, vectors).numpy()
    title = f"A network that reads handwritten digits: {facts['model']}, {count_parameters(model):,} parameters"
    words = {
        "name": name,
        "NAME": name.upper(),
        "title": title,
        "origin": _origin(facts, kind),
        "vectors": _vectors(vectors, logits, source.logit),
        **_words(source),
    }
    templates = resources.files("tenk.export") / "templates"
    files = {
        file.name.replace("model", name): _fill_in(file.read_text(encoding="utf-8"), words)
        for file in templates.iterdir()
    }
    return CFolder(name, source, integer, {**files, "digit.pgm": _pgm(vectors[0])})


def _words(source: Source) -> dict[str, str]:
    """Return what the templates say about the code, whichever network it is of."""
    exact = source.logit != "float"
    return {
        "version": tenk.__version__,
        "weight_bytes": f"{source.weight_bytes:,}",
        "other_bytes": f"{source.other_bytes:,}",
        "ram_bytes": f"{source.ram_bytes:,}",
        "logit": source.logit,
        "unit": f"(1.0 / {2**LOGIT_BITS})" if exact else "1.0",
        "tolerance": "0" if exact else str(TOLERANCE),
        "count": str(VECTORS),
        "code": source.code.rstrip(),
    }


def check_c(folder: CFolder, model: nn.Module, dataset: Dataset) -> Agreement:
    """Compile the network and run it over all test images.

    Raises:
        TenkError: there is no C compiler, `float` does not compute what PyTorch does, or `int8` differs in a single bit
            from its reference.
    """
    images = dataset.test.images
    logits = folder.compile().run(images)
    if folder.integer and (logits != run_int8(folder.integer, images)).any():
        raise TenkError("the export is wrong: C and its reference differ. nothing was written: please report it")
    found = torch.from_numpy(logits).float() * folder.unit
    agreement = compare(found, predict_logits(model, images), dataset.test.labels, dataset.name)
    if not folder.integer:
        require_agreement(agreement)
    return agreement


def export_c(model: nn.Module, facts: Mapping[str, Any], out: Path, kind: Kind, dataset: Dataset) -> Exported:
    """Write a trained network as a folder of C files, after checking it on the test images where there is a compiler.

    Raises:
        UsageError: `out` holds something else, or the network cannot be exported.
        TenkError: the check has failed; nothing is written.
    """
    header = f"tenk_{facts['model']}.h"
    _refuse_foreign(out, header)
    built = build_c(model, facts, kind, dataset.train.images[:CALIBRATION])
    agreement = check_c(built, model, dataset) if find_compiler() else None
    _write(out, built.files, header)
    notes = {
        "type": kind,
        "weight_bytes": built.source.weight_bytes,
        "bias_and_scale_bytes": built.source.other_bytes,
        "static_memory_bytes": built.source.ram_bytes,
    }
    return Exported(out, {name: len(text.encode()) for name, text in built.files.items()}, notes, agreement)


def _refuse_foreign(out: Path, header: str) -> None:
    """Keep from writing between files that are not an export of the same network."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"not a folder: {out}. give --out another name")
    is_ours = (out / header).is_file() and b"Made by tenk" in (out / header).read_bytes()
    if not is_ours and out.is_dir() and any(out.iterdir()):
        raise UsageError(f"folder not empty: {out} holds no export of this network. give --out another, or empty it")


def _write(out: Path, files: Mapping[str, str], header: str) -> None:
    """Write all files or none: a full disk shows while they still lie in a folder of their own beside `out`."""
    with naming(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as place:
            for name, text in files.items():
                write_atomically(Path(place, name), text)
            out.mkdir(exist_ok=True)
            with taking_turns(out):  # else the files of two exports at once would be mixed
                _refuse_foreign(out, header)
                for name in files:
                    Path(place, name).replace(out / name)
                sync_folder(out)


def _origin(facts: Mapping[str, Any], kind: Kind) -> str:
    known = "".join(f"{name} {facts[name]}, " for name in ("recipe", "seed") if name in facts)
    # a weights file may come from anyone, and this goes into a comment in C
    return re.sub(r"[^\w ,.-]", "?", f"{known}{kind}", flags=re.ASCII)


def _fill_in(template: str, words: Mapping[str, str]) -> str:
    for word, text in words.items():
        template = template.replace(f"@{word}@", text)
    return template


def _vectors(images: Tensor, logits: np.ndarray, kind: str) -> str:
    return "\n".join(
        f"static const {declaration} = {braces(values)};"
        for declaration, values in (
            ("uint8_t pixels[COUNT][784]", images.flatten(1).numpy()),
            (f"{kind} expected[COUNT][10]", logits),
            ("int digits[COUNT]", logits.argmax(axis=1).astype(np.int32)),
        )
    )


def _pgm(image: Tensor) -> str:
    """Write a picture as text that the demo reads."""
    rows = "\n".join(" ".join(map(str, row)) for row in image.tolist())
    return f"P2\n28 28\n255\n{rows}\n"

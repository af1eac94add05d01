"""A network as a folder of C99: header, source, demo, test and Makefile, in float or in integers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from math import ceil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from under10k.data import Dataset, draw_digits
from under10k.errors import Under10kError, UsageError
from under10k.evaluation import predict_logits
from under10k.export.c.native import NativeModel, find_compiler
from under10k.export.c.source import Source, braces, write_float, write_int8
from under10k.export.int8 import IntegerNetwork, quantise, run_int8
from under10k.export.proof import (
    CALIBRATION,
    TOLERANCE,
    Agreement,
    Exported,
    Kind,
    compare,
    require_agreement,
    undisturbed,
)
from under10k.export.stages import group
from under10k.export.translation import flatten, without_log_softmax
from under10k.files import is_scratch, require_folder, write_atomically, writing_together
from under10k.models import count_parameters
from under10k.pictures import reading_constants
from under10k.version import __version__
from under10k.weights import Facts

VECTORS = 10
"""Digits that the exported test replays."""


LONGEST_NAME = 40
"""Most letters of a network's name in C: with prefixes and suffixes, still within what C99 tells apart."""


@dataclass(frozen=True)
class CFolder:
    """The files of an export, and what it takes to check them."""

    name: str
    """The network's name in C: of header and source, and part of all names."""
    source: Source
    integer: IntegerNetwork | None
    """The reference for `int8`; None for `float`."""
    files: dict[str, str]
    """Name and text."""

    @property
    def unit(self) -> float:
        """The unit of a logit."""
        return self.integer.unit if self.integer else 1.0

    def compile(self) -> NativeModel:
        """Compile the network and load it into this process.

        Raises:
            Under10kError: there is no C compiler, or it fails.
        """
        files = {file: self.files[file] for file in (f"{self.name}.h", f"{self.name}.c")}
        return NativeModel(files, self.name, self.source.logit)


def build_c(
    model: nn.Module,
    facts: Facts,
    kind: Kind,
    calibration: Tensor | None = None,
    name: str | None = None,
    *,
    frame: bool = False,
) -> CFolder:
    """Build the C files of a trained network; `int8` needs `calibration`: training images, uint8 (N, 28, 28).

    `facts` are those saved beside the weights. All names in C begin or end with `name`, by default `under10k_` and the
    model's name. `frame` adds two files with a function that frames the digit in a camera's picture.

    Raises:
        UsageError: the network has a part that no export knows, or weights too large for integers; there are no images
            to calibrate with; or `name` is none in C.
    """
    name = _require_name(name or name_in_c(facts.model))
    network, model = group(flatten(model)), without_log_softmax(model)
    vectors = draw_digits(VECTORS, seed=0).images
    integer = None
    if kind == "int8":
        if calibration is None:
            raise UsageError("no calibration: int8 needs images to find its ranges on. give some training images")
        integer = quantise(network, calibration)
        source, logits = write_int8(integer, name), run_int8(integer, vectors)
    else:
        source, logits = write_float(network, name), predict_logits(model, vectors).numpy()
    title = f"A network that reads handwritten digits: {_harmless(facts.model)}, {count_parameters(model):,} parameters"
    title += f", the mean of {network.views} views" if network.views > 1 else ""
    words = {
        "name": name,
        "NAME": name.upper(),
        "title": title,
        "origin": _origin(facts, kind),
        "vectors": _vectors(vectors, logits, source.logit),
        **_words(source, integer),
        **(_framing_words() if frame else {}),
    }
    templates = resources.files("under10k.export.c") / "templates"
    files = {
        file.name.replace("model", name): _fill_in(file.read_text(encoding="utf-8"), words)
        for file in templates.iterdir()
        if frame or "_frame" not in file.name
    }
    return CFolder(name, source, integer, {**files, "digit.pgm": _pgm(vectors[0])})


def _words(source: Source, integer: IntegerNetwork | None) -> dict[str, str]:
    """Return the words of the templates that depend on the code alone."""
    return {
        "version": __version__,
        "weight_bytes": f"{source.weight_bytes:,}",
        "other_bytes": f"{source.other_bytes:,}",
        "ram_bytes": f"{source.ram_bytes:,}",
        "logit": source.logit,
        "unit": f"(1.0 / {1 / integer.unit:.0f})" if integer else "1.0",
        "tolerance": "0" if integer else str(TOLERANCE),
        "count": str(VECTORS),
        "code": source.code.rstrip(),
    }


def _framing_words() -> dict[str, str]:
    """Return the constants of framing a digit, as whole numbers: grey levels, thousandths, pixels."""
    constants = reading_constants()
    return {
        "LEAST_CONTRAST": str(ceil(255 * constants["FAINTEST"])),
        "FAINTEST": str(int(255 * constants["THRESHOLD"])),
        "FULL_INK": str(round(1000 * constants["FULL_INK"])),
        "SLACK": str(round(1 / constants["SLACK"])),
        "LARGEST_GAIN": str(round(constants["LARGEST_GAIN"])),
        **{name: str(constants[name]) for name in ("SIDE", "BOX", "HALO", "SMALLEST_DIGIT")},
    }


def check_c(folder: CFolder, model: nn.Module, dataset: Dataset) -> Agreement:
    """Compile the network and run it over all test images.

    Raises:
        Under10kError: there is no C compiler, `float` does not compute what PyTorch does, or `int8` differs from its
            reference by a single bit.
    """
    images = dataset.test.images
    logits = folder.compile().run(images)
    if folder.integer and (logits != run_int8(folder.integer, images)).any():
        raise Under10kError("the export is wrong: C and its reference differ. nothing was written: please report it")
    found = torch.from_numpy(logits).float() * folder.unit
    agreement = compare(found, predict_logits(model, images), dataset.test.labels, dataset.name)
    if not folder.integer:
        require_agreement(agreement)
    return agreement


@undisturbed()
def export_c(
    model: nn.Module,
    facts: Facts,
    out: Path,
    kind: Kind,
    dataset: Dataset,
    name: str | None = None,
    *,
    frame: bool = False,
) -> Exported:
    """Write a trained network as a folder of C files; with a compiler here, check it on the test images first.

    Raises:
        UsageError: `out` holds something else, `name` is none in C, or the network cannot be exported.
        Under10kError: the check failed; nothing is written.
    """
    name = name or name_in_c(facts.model)
    require_c(out, name)
    model = without_log_softmax(model)
    built = build_c(model, facts, kind, dataset.train.images[:CALIBRATION], name, frame=frame)
    agreement = check_c(built, model, dataset) if find_compiler() else None
    with writing_together(out, require=lambda: _refuse_foreign(out, name)) as place:
        for file, text in built.files.items():
            write_atomically(place / file, text)
    notes = {
        "type": kind,
        "weight_bytes": built.source.weight_bytes,
        "bias_and_scale_bytes": built.source.other_bytes,
        "static_memory_bytes": built.source.ram_bytes,
    }
    return Exported(out, {name: len(text.encode()) for name, text in built.files.items()}, notes, agreement)


def name_in_c(name: str) -> str:
    """Turn any name, such as a run's, into one for C: `default-s0` becomes `under10k_default_s0`."""
    return f"under10k_{re.sub(r'[^a-zA-Z0-9]+', '_', name).strip('_')}"[:LONGEST_NAME].rstrip("_")


def require_c(out: Path, name: str) -> None:
    """Refuse what cannot become a folder of C, before any work.

    Raises:
        UsageError: `name` is none in C, or `out` is no folder or holds something else.
        OSError: no folder can be written there.
    """
    _require_name(name)
    require_folder(out)
    _refuse_foreign(out, name)


def _require_name(name: str) -> str:
    if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name) or len(name) > LONGEST_NAME:
        remedy = f"give letters, digits and underscores, no digit first, at most {LONGEST_NAME}"
        raise UsageError(f"no name in C: {name!r}. {remedy}")
    if name.lower() in ("demo", "test"):
        raise UsageError(f"a name that is taken: {name} is that of another file of the export. give another")
    return name


def _refuse_foreign(out: Path, name: str) -> None:
    """Refuse to write among files that are no export of the same name."""
    header, is_ours = out / f"{name}.h", False
    if header.is_file():
        with header.open("rb") as file:
            is_ours = b"Made by under10k" in file.read(1000)
    if not is_ours and out.is_dir() and not all(map(is_scratch, out.iterdir())):
        raise UsageError(f"folder not empty: {out} holds no export of {name}. choose another folder, or empty it")


def _origin(facts: Facts, kind: Kind) -> str:
    known = (("recipe", facts.recipe), ("seed", facts.seed))
    return _harmless("".join(f"{name} {value}, " for name, value in known if value is not None) + kind)


def _harmless(text: str) -> str:
    """Keep text from a weights file inside the comment in C that it goes into."""
    return re.sub(r"[^\w ,.-]", "?", text, flags=re.ASCII)


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
    """Write a picture as text, for the demo."""
    rows = "\n".join(" ".join(map(str, row)) for row in image.tolist())
    return f"P2\n28 28\n255\n{rows}\n"

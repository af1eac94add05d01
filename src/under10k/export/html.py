"""A page to draw a digit on, as one HTML file that needs nothing else: the network runs in it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from torch import nn

from under10k.data import SIDE, Dataset, to_unit
from under10k.errors import UsageError
from under10k.evaluation import predict_logits
from under10k.export.node import replay
from under10k.export.plain import Affine, Array, AveragePool, Convolution, Layer, MaxPool, Skip, Views, run_plain
from under10k.export.proof import Exported, Kind, compare, require_agreement, undisturbed
from under10k.export.translation import flatten, without_log_softmax
from under10k.files import require_file, write_atomically
from under10k.models import PARAMETER_LIMIT, SHIFTS, count_parameters
from under10k.pictures import reading_constants
from under10k.text import printable
from under10k.version import __version__
from under10k.weights import Facts

SCRIPTS = (
    "texts.js",
    "network.js",
    "pixels.js",
    "picture.js",
    "lines.js",
    "printed.js",
    "ink.js",
    "links.js",
    "parts.js",
    "frame.js",
    "touching.js",
    "judge.js",
    "crop.js",
    "paper.js",
    "views.js",
    "trace.js",
    "numbers.js",
    "closeup.js",
    "why.js",
    "files.js",
    "lesson.js",
)
"""The page's program, in the order in which its parts build on each other."""


START = ("page.js", "opening.js", "controls.js")
"""What starts the program: the scripts that need a document."""


STYLES = ("page.css", "closeup.css")
"""The page's style; what comes later wins."""


SERVED = ("networks", "gallery")
"""Parts that only a served page has, named as their files are: they fetch what they show from the server."""


VECTORS = 20
"""Test images that an export replays through the page's program."""


_COMMENT = re.compile(r"^ *(?:/\*\*(?:(?!\*/).)*\*/|//[^\n]*)\n", re.DOTALL | re.MULTILINE)
"""A JavaScript comment on lines of its own."""


_NETWORK = re.compile(r'<script type="application/json" id="network">(.*?)</script>', re.DOTALL)
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@dataclass(frozen=True)
class Page:
    """A page, and the policy it should be served with."""

    text: str
    """HTML, with style, program and weights inside."""
    policy: str
    """Content Security Policy: its own style and program, known by their hashes, and nothing else."""


def build_page(model: nn.Module, facts: Facts, *, networks: bool = False, gallery: bool = False) -> Page:
    """Build the page of a trained network; `facts` are those saved beside the weights.

    With `networks` it asks the server that it comes from for other networks, and shows what each of them reads; with
    `gallery`, for digits that its own network misreads.

    Raises:
        UsageError: the network has a part that no export knows.
    """
    parts = [name for name, wanted in zip(SERVED, (networks, gallery), strict=True) if wanted]
    style = _read_sources([*STYLES, *(f"{name}.css" for name in parts)])
    script = _write_program() + _read_sources([*START, *(f"{name}.js" for name in parts)])
    parameters = count_parameters(model)
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    if parts:
        policy += "; connect-src 'self'"
    words = {
        "icon": "data:image/svg+xml," + quote(_read_source("icon.svg")),
        "network": _json(_write_layers(model)),
        "limit": str(PARAMETER_LIMIT),
        "origin": _write_origin(facts),
        "parameters": str(parameters),
        "policy": html.escape(policy),
        "script": script,
        "side": str(SIDE),
        "style": style,
        "title": read_texts()["title"]["en"],
        "version": __version__,
    }
    source = _read_source("page.html")
    for name in SERVED:
        source = source.replace(f"${name}", _read_source(f"{name}.html") if name in parts else "")
    source = _fill_texts(source, {"limit": PARAMETER_LIMIT, "parameters": parameters, "side": SIDE})
    return Page(Template(source).substitute(words), policy)


def describe_networks(own: tuple[str, nn.Module, Facts], others: Mapping[str, tuple[nn.Module, Facts]]) -> str:
    """Describe a page's own network (name, network, facts) and others by name, smallest first, as JSON for the page.

    Those that have a part that no export knows are left out.
    """
    described = []
    for name, model, facts in [own, *((name, *network) for name, network in others.items())]:
        with suppress(UsageError):
            described.append(
                {
                    "name": name,
                    "parameters": count_parameters(model),
                    "origin": _write_origin(facts),
                    "own": model is own[1],
                    "layers": _write_layers(model),
                }
            )
    return _json(sorted(described, key=lambda network: network["parameters"]))


def build_upload_page(model: nn.Module, facts: Facts) -> Page:
    """Build a page that sends a picture to the server: for a network that the page's program cannot express."""
    policy = "default-src 'none'; base-uri 'none'; form-action 'self'"
    words = {
        "origin": html.escape(_origin(facts)),
        "parameters": f"{count_parameters(model):,}",
        "policy": html.escape(policy),
    }
    return Page(Template(_read_source("upload.html")).substitute(words), policy)


def _write_program() -> str:
    """Write the part of a page's script that needs no browser: Python's constants, and the scripts that use them."""
    scripts = _read_sources(SCRIPTS)
    used = set(re.findall(r"\b[A-Z][A-Z_]+\b", scripts))
    constants = [f"const {name} = {_json(value)};" for name, value in reading_constants().items() if name in used]
    return "\n".join(
        ['"use strict";', *constants, f"const TEXTS = {_json(read_texts(), ascii_only=False)};", scripts, ""]
    )


@cache
def read_texts() -> dict[str, dict[str, str]]:
    """Return the page's words by key and language."""
    texts: dict[str, dict[str, str]] = json.loads(_read_source("texts.json"))
    return texts


def _fill_texts(source: str, values: Mapping[str, int]) -> str:
    """Put the English words where the page's source names them, for before its program runs, and where it cannot."""
    texts = read_texts()
    written = {name: f"{value:,}" for name, value in values.items()}

    def english(key: str) -> str:
        return texts[key]["en"].format_map(written)

    source = re.sub(r'data-text="(\w+)"([^<>]*)>', lambda found: found[0] + english(found[1]), source)
    return re.sub(r'data-label="(\w+)"', lambda found: f'{found[0]} aria-label="{english(found[1])}"', source)


def _read_source(name: str) -> str:
    return (resources.files("under10k.export") / "page" / name).read_text(encoding="utf-8")


def _read_sources(names: Iterable[str]) -> str:
    """Read scripts or styles, without the scripts' comments: a sixth of the page."""
    return "\n".join(_COMMENT.sub("", _read_source(name)) for name in names)


def read_program(page: str) -> str:
    """Return the part of a page's script that needs no browser."""
    return str(_SCRIPT.findall(page)[-1]).removesuffix(_read_sources(START))


def read_network_json(page: str) -> str:
    """Return the layers in a page as JSON."""
    return str(_NETWORK.findall(page)[0])


def read_network(page: str) -> list[Layer]:
    """Return the layers in a page, as its program reads them."""
    return _read_layers(json.loads(read_network_json(page)))


@undisturbed()
def export_html(model: nn.Module, facts: Facts, out: Path, kind: Kind, dataset: Dataset) -> Exported:
    """Write a trained network as a page, after checking it.

    Its layers run on all test images, in Python; where Node is there, its program runs on some of them.

    Raises:
        UsageError: the network cannot be exported, or `kind` is not `float`.
        Under10kError: the check failed; nothing is written.
    """
    require_html(out, kind)
    text, model = build_page(model, facts).text, without_log_softmax(model)
    with torch.inference_mode():
        logits = torch.cat(
            [run_plain(read_network(text), to_unit(part)) for part in torch.split(dataset.test.images, 500)]
        )
    agreement = compare(logits, predict_logits(model, dataset.test.images), dataset.test.labels, dataset.name)
    require_agreement(agreement)
    replayed = replay(read_program(text), read_network_json(text), model, dataset.test.images[:VECTORS])
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, text)
    return Exported(out, {out.name: len(text.encode())}, {"type": kind, "checked_in_Node": replayed}, agreement)


def require_html(out: Path, kind: Kind) -> None:
    """Refuse what cannot become a page, before any work.

    Raises:
        UsageError: `kind` is not `float`, or `out` is a folder, a device or a pipe.
        OSError: no file can be written there.
    """
    if kind != "float":
        raise UsageError(f"{kind} in a page: its program computes in float. leave out --{kind}")
    require_file(out)


def _write_layers(model: nn.Module) -> list[dict[str, Any]]:
    return [_write_layer(layer) for layer in flatten(model)]


def _write_layer(layer: Layer) -> dict[str, Any]:
    """Describe a layer as src/under10k/export/page/network.js reads it."""
    match layer:
        case Convolution():
            return {
                "kind": "convolution",
                "shape": layer.weights.shape,
                "padding": layer.padding,
                "relu": layer.relu,
                "weights": _encode(layer.filters),
                "bias": _encode(layer.bias),
            }
        case Affine():
            return {
                "kind": "affine",
                "relu": layer.relu,
                "scale": _encode(layer.scale),
                "offset": _encode(layer.offset),
            }
        case MaxPool():
            return {"kind": "max pool", "side": layer.side}
        case AveragePool():
            return {"kind": "average pool", "side": layer.side}
        case Skip():
            return {"kind": "skip", "layers": [_write_layer(part) for part in layer.layers]}
        case Views():
            return {"kind": "views", "shifts": SHIFTS, "layers": [_write_layer(part) for part in layer.layers]}


def _read_layers(layers: Iterable[Mapping[str, Any]]) -> list[Layer]:
    return [_read_layer(layer) for layer in layers]


def _read_layer(layer: Mapping[str, Any]) -> Layer:
    match layer["kind"]:
        case "convolution":
            weights = _with_zeros(_decode(layer["weights"]), layer["shape"])
            return Convolution(weights, _decode(layer["bias"]), layer["padding"], layer["relu"])
        case "affine":
            return Affine(_decode(layer["scale"]), _decode(layer["offset"]), layer["relu"])
        case "max pool":
            return MaxPool(layer["side"])
        case "average pool":
            return AveragePool(layer["side"])
        case "views":
            return Views(tuple(_read_layers(layer["layers"])))
        case _:
            return Skip(tuple(_read_layers(layer["layers"])))


def _with_zeros(filters: Array, shape: Sequence[int]) -> Array:
    """Return a convolution's weights, of which those of a depthwise one are written without zeros."""
    outputs, inputs, *window = shape
    if filters.size == math.prod(shape):
        return filters.reshape(shape)
    weights = np.zeros(shape)
    weights[range(outputs), range(inputs)] = filters.reshape(outputs, *window)
    return weights


def _encode(values: Array) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def _decode(text: str) -> Array:
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float64)


def _json(value: Any, *, ascii_only: bool = True) -> str:
    """Write JSON that is safe inside a script element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=ascii_only)
    return text.replace("<", "\\u003c")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _origin(facts: Facts) -> str:
    known = [f"{name} {value}" for name, value in (("recipe", facts.recipe), ("seed", facts.seed)) if value is not None]
    return printable(f"Network {facts.model}, {', '.join([*known, f'under10k {__version__}'])}.")


def _write_origin(facts: Facts) -> str:
    """Write where a page's network comes from, its words in elements that the page translates."""
    known = [("network", facts.model), ("recipe", facts.recipe), ("seed", facts.seed)]
    words = [
        f'<span data-text="{key}">{read_texts()[key]["en"]}</span> {html.escape(printable(str(value)))}'
        for key, value in known
        if value is not None
    ]
    return f"{', '.join([*words, f'under10k {__version__}'])}."

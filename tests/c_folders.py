"""Networks exported as folders of C, for tests that build them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from torch import nn

from random_networks import random_network
from under10k.data.synthetic import draw_digits
from under10k.export.c.folder import CFolder, build_c
from under10k.export.c.native import find_compiler
from under10k.export.proof import Kind
from under10k.weights.bundled import Facts

STRICT = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror")


needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="there is no C compiler")


SANITIZED = "-O1 -g -Werror -fsanitize=address,undefined -fno-sanitize-recover=all"
"""Flags of a build that ends at the first thing C does not define."""


@cache
def network(name: str, residual: bool, head: str) -> nn.Module:
    return random_network(name, residual=residual, head=head)


@cache
def built(name: str, kind: Kind, residual: bool = False, head: str = "pool") -> CFolder:
    return build_c(network(name, residual, head), Facts(name), kind, draw_digits(50, seed=4).images)


def write(folder: CFolder, place: Path) -> Path:
    place.mkdir(exist_ok=True)
    for name, text in folder.files.items():
        (place / name).write_text(text)
    return place

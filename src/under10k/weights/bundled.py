"""The bundled weights: NAME.safetensors in this folder, and beside each its card, NAME.md; in `teachers`, larger ones.

And what every weights file, bundled or not, says of itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from under10k.errors import unknown_name
from under10k.recipes import Dropout, Head, ViewCount
from under10k.typed import Typed

FOLDER = Path(__file__).parent

TEACHERS = ("robust-teacher", "teacher")
"""Larger ones, from which others learn; no list names them."""


@dataclass(frozen=True)
class Options(Typed):
    """The options of an architecture."""

    dropout: Dropout = 0.0
    residual: bool = False
    head: Head = "pool"
    views: ViewCount = 1


@dataclass(frozen=True)
class Facts(Typed):
    """What a weights file says of its network; anyone may have written it."""

    model: str
    """What `create_model` takes; of a network of the user's own, its file without the folder."""
    options: Options = field(default_factory=Options)
    recipe: str | None = None
    """Name of the recipe that it was trained by."""
    seed: int | None = None
    protocol: str | None = None
    """How its test accuracy was measured; `under10k.recipes.Protocol`."""
    data_sha256: str | None = None
    """`Dataset.sha256` of what it was trained on."""
    model_sha256: str | None = None
    """SHA-256 of the file of the user's own network; None where it is one of under10k's."""


def list_weights() -> list[str]:
    """Return the names of the bundled weights that `under10k.load_model` takes in place of a path, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def is_bundled(name: str) -> bool:
    """Tell whether there are bundled weights of this name: those listed, or a teacher's."""
    return name in list_weights() or name in TEACHERS


def find_weights(name: str) -> Path:
    """Return the file of the weights of this name.

    Raises:
        UsageError: there are none.
    """
    if not is_bundled(name):
        raise unknown_name("weights", name, list_weights())
    return (FOLDER / "teachers" if name in TEACHERS else FOLDER) / f"{name}.safetensors"

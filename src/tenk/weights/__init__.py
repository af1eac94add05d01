"""The trained weights that come along: NAME.safetensors in this folder, and beside each its card, NAME.md."""

from __future__ import annotations

from pathlib import Path

from tenk.errors import unknown_name

FOLDER = Path(__file__).parent


def list_weights() -> list[str]:
    """Return the names that `tenk.load_model` takes in place of a path, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def find_weights(name: str) -> Path:
    """Return the file of the weights of this name.

    Raises:
        UsageError: there are none.
    """
    if name not in list_weights():
        raise unknown_name("weights", name, list_weights())
    return FOLDER / f"{name}.safetensors"

"""Sealed tensor files: safetensors with a description and a checksum inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from under10k.errors import ModelError
from under10k.files import open_ordinary, sha256, write_atomically


def save_weights(path: Path, model: nn.Module, facts: Mapping[str, Any], *, follow: bool = True) -> None:
    """Write a model's weights; `facts` must hold what `load_model` rebuilds it from, `model` and `options`."""
    save_tensors(path, "weights", model.state_dict(), facts, follow=follow)


FORMAT_VERSION = 1


MAXIMUM_BYTES = 16 * 2**20
"""Far more than the checkpoint of any network under ten thousand parameters takes."""


_KEY = "under10k"


_DAMAGES = (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading a file that is damaged, or no safetensors, may raise."""


def save_tensors(
    path: Path, kind: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], *, follow: bool = True
) -> None:
    """Write tensors and JSON-able facts as one safetensors file, atomically; `follow` as in `write_atomically`.

    The facts are in the file's metadata, with the format's version and a SHA-256 of facts and tensors, since
    safetensors has no checksum. Equal content gives equal bytes.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
    described = {"format": FORMAT_VERSION, "kind": kind, "facts": dict(facts)}
    described["sha256"] = _digest(described, whole)
    # one key: safetensors writes several in an order that changes from call to call
    content = safetensors.torch.save(whole, {_KEY: json.dumps(described, sort_keys=True, allow_nan=False)})
    write_atomically(path, content, follow=follow)


def load_tensors(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file that `save_tensors` wrote, trusting nothing in it: (tensors, facts).

    Raises:
        ModelError: the file is missing, damaged, no safetensors (a pickle, say), of another kind or a newer format,
            or holds numbers that are not finite.
    """
    content = _read(path)
    try:
        tensors = safetensors.torch.load(content)
        metadata = _metadata(content)
        if _KEY not in metadata:
            raise ValueError("another program wrote it")
        described = json.loads(metadata[_KEY])
        version, found, facts, sealed = (described[key] for key in ("format", "kind", "facts", "sha256"))
        actual = _digest({"format": version, "kind": found, "facts": facts}, tensors)
    except _DAMAGES as error:
        _refuse_pickle(path, content)
        reason = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise ModelError(
            f"not a file of under10k's: {path} ({reason}). give a .safetensors that under10k wrote"
        ) from None
    if version != FORMAT_VERSION:
        raise ModelError(
            f"another format: {path} is of version {version}, this under10k reads {FORMAT_VERSION}. "
            "use the under10k that wrote it, or train again"
        )
    if sealed != actual:
        raise ModelError(f"damaged file: {path} does not match its own checksum. restore it from a copy")
    if found != kind or not isinstance(facts, dict):
        raise ModelError(f"wrong kind of file: {path} is a {found} file. give a {kind} file")
    _require_finite(path, tensors)
    return tensors, facts


def load_plain_tensors(path: Path) -> dict[str, Tensor] | None:
    """Read a safetensors file that another program wrote, trusting nothing in it; None where it is no such file.

    Floats of any precision become float32.

    Raises:
        ModelError: the file is missing, or holds numbers that are not finite.
    """
    content = _read(path)
    try:
        tensors = safetensors.torch.load(content)
        if _KEY in _metadata(content):
            return None
    except _DAMAGES:
        return None
    _require_finite(path, tensors)
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _refuse_pickle(path: Path, content: bytes) -> None:
    """Refuse what `torch.save` writes: reading it may run code.

    Raises:
        ModelError: it is such a file.
    """
    if content[:2] in (b"PK", *_PICKLES):
        raise ModelError(
            f"a pickle: {path}. it may run code when read; write its weights as safetensors with "
            'safetensors.torch.save_file(model.state_dict(), "model.safetensors")'
        )


_PICKLES = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
"""What a pickle begins with; `torch.save` writes a zip around one."""


def _metadata(content: bytes) -> dict[str, Any]:
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return dict(header.get("__metadata__") or {})


def _require_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not _is_finite(tensor):
            raise ModelError(f"not finite: {path}, tensor {name} holds NaN or infinity. train again")


def restore(model: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy tensors into a model, which must have exactly these.

    Raises:
        ModelError: one is missing, too many, or of another shape or type; it names the first.
    """
    expected = model.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        found = _describe(tensors.get(name))
        wanted = _describe(expected.get(name))
        if found != wanted:
            raise ModelError(f"not this model: {where}, tensor {name} is {found}, expected {wanted}. give its own file")
    model.load_state_dict(dict(tensors))


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file of tensors, as `sha256sum` prints it.

    Raises:
        ModelError: it is missing, no ordinary file, or too large.
    """
    return sha256(_read(path))


def _read(path: Path) -> bytes:
    try:
        with open_ordinary(path, MAXIMUM_BYTES, ModelError) as file:
            return file.read(MAXIMUM_BYTES)  # a file that grows meanwhile is cut off, and fails its checksum
    except OSError as error:
        raise ModelError(f"cannot read: {path} ({error.strerror}). give a run folder or a weights file") from None


def _is_finite(tensor: Tensor) -> bool:
    try:
        return bool(torch.isfinite(tensor).all())
    except NotImplementedError:  # under10k writes no type too exotic to be checked
        return False


def _digest(described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    chunks = [json.dumps(described, sort_keys=True).encode()]
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        chunks.append(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        chunks.append(tensor.view(-1).view(torch.uint8).numpy().tobytes())
    return sha256(*chunks)


def _describe(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"

"""Sealed tensor files: what is written comes back, and nothing else is let in."""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from under10k.errors import ModelError
from under10k.weights.sealed import FORMAT_VERSION, MAXIMUM_BYTES, load_tensors, save_tensors

TENSORS = {
    "weight": torch.tensor([[0.5, -1.25, 3.0]]),
    "count": torch.tensor(7),
}
FACTS: dict[str, Any] = {"model": "gap", "list": [1, None, True]}


class Canary:
    """A pickle of it makes a file where it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


def write(path: Path, tensors: dict[str, Tensor] | None = None, **facts: Any) -> bytes:
    save_tensors(path, "weights", TENSORS if tensors is None else tensors, facts or FACTS)
    return path.read_bytes()


def refusal(path: Path, kind: str = "weights") -> str:
    with pytest.raises(ModelError) as caught:
        load_tensors(path, kind)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert caught.value.exit_code == 4
    return message


def refused_or_equal(path: Path, content: bytes) -> bool:
    """Whether a file is refused; if it is not, it must hold exactly what was sealed."""
    path.write_bytes(content)
    try:
        tensors, facts = load_tensors(path, "weights")
    except ModelError:
        return True
    assert facts == FACTS
    assert_same(tensors, TENSORS)
    return False


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert torch.equal(found[name], tensor)


def assemble(header: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + body


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all the examples that hypothesis tries."""
    return tmp_path_factory.mktemp("tensors")


@pytest.fixture(scope="module")
def sealed(scratch: Path) -> bytes:
    return write(scratch / "sealed.safetensors")


# --- what is written comes back ----------------------------------------------------------------------------------


def test_tensors_and_facts_come_back_as_they_were(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors")
    tensors, facts = load_tensors(tmp_path / "a.safetensors", "weights")
    assert facts == FACTS
    assert_same(tensors, TENSORS)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.empty(0, 3),
        torch.arange(6.0).reshape(2, 3).T,
        torch.arange(10)[::3],
        torch.ones(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.tensor([1.5, -0.0], dtype=torch.bfloat16),
        torch.tensor([1.5], dtype=torch.float64),
        torch.ones(2, requires_grad=True),
        torch.tensor([255, 0], dtype=torch.uint8),
    ],
)
def test_tensors_of_every_layout_and_type_come_back(tmp_path: Path, tensor: Tensor) -> None:
    write(tmp_path / "a.safetensors", {"a": tensor})
    assert_same(load_tensors(tmp_path / "a.safetensors", "weights")[0], {"a": tensor.detach()})


def test_a_file_may_hold_no_tensor_at_all(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", {})
    assert load_tensors(tmp_path / "a.safetensors", "weights") == ({}, FACTS)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    backwards = dict(reversed(TENSORS.items()))
    contents = {write(tmp_path / "a.safetensors", tensors) for tensors in [TENSORS, backwards] * 10}
    assert len(contents) == 1


def test_other_tensors_facts_or_kinds_give_other_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    contents = {write(path), write(path, model="transition"), write(path, {**TENSORS, "count": torch.tensor(8)})}
    save_tensors(path, "checkpoint", TENSORS, FACTS)
    assert len({*contents, path.read_bytes()}) == 4


# --- damage ------------------------------------------------------------------------------------------------------


def test_every_flipped_byte_is_refused(scratch: Path, sealed: bytes) -> None:
    for position in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[position] ^= 1
        assert refused_or_equal(scratch / "flipped.safetensors", bytes(damaged)), f"byte {position}"


@settings(max_examples=100)
@given(data=st.data())
def test_no_changed_bytes_load_anything_else_than_was_sealed(scratch: Path, sealed: bytes, data: st.DataObject) -> None:
    changes = data.draw(st.dictionaries(st.integers(0, len(sealed) - 1), st.integers(0, 255), min_size=1, max_size=4))
    damaged = bytearray(sealed)
    for position, value in changes.items():
        damaged[position] = value
    refused_or_equal(scratch / "changed.safetensors", bytes(damaged))


def test_every_truncation_is_refused(scratch: Path, sealed: bytes) -> None:
    path = scratch / "short.safetensors"
    for length in range(len(sealed)):
        assert refused_or_equal(path, sealed[:length]), f"{length} of {len(sealed)} bytes"


@pytest.mark.parametrize("extra", [b"\0", b" ", b"}", b"\0" * 8, b"PK\x05\x06" + b"\0" * 18])
def test_extra_bytes_are_refused_at_either_end(scratch: Path, sealed: bytes, extra: bytes) -> None:
    assert refused_or_equal(scratch / "long.safetensors", sealed + extra)
    assert refused_or_equal(scratch / "long.safetensors", extra + sealed)


@settings(max_examples=100)
@given(content=st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(scratch: Path, content: bytes) -> None:
    (scratch / "any.safetensors").write_bytes(content)
    refusal(scratch / "any.safetensors")


def test_a_changed_tensor_is_called_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    content = bytearray(write(path, {"a": torch.ones(4)}))
    content[-1] ^= 0x80
    path.write_bytes(content)
    assert "checksum" in refusal(path)


def test_a_tensor_that_is_renamed_or_reshaped_is_called_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    content = write(path, {"first": torch.ones(4), "other": torch.zeros(4)})
    for old, new in ((b'"first"', b'"fir5t"'), (b'"shape":[4]', b'"shape":[ 4,1]'), (b'"F32"', b'"I32"')):
        assert content.count(old) >= 1
        size = struct.unpack("<Q", content[:8])[0]
        header = content[8 : 8 + size].replace(old, new)
        path.write_bytes(assemble(header, content[8 + size :]))
        assert "checksum" in refusal(path)


# --- files of others ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt", "weights.pkl"])
@pytest.mark.parametrize("maker", ["pickle", "torch", "torch, old format"])
def test_a_pickle_is_refused_and_never_run(tmp_path: Path, name: str, maker: str) -> None:
    canary, path = tmp_path / "canary", tmp_path / name
    if maker == "pickle":
        path.write_bytes(pickle.dumps(Canary(canary)))
    else:
        torch.save({"weight": Canary(canary)}, path, _use_new_zipfile_serialization=maker == "torch")
    refusal(path)
    assert not canary.exists()


def test_the_canary_sings_where_a_pickle_is_loaded(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Canary(tmp_path / "canary")))  # noqa: S301
    assert (tmp_path / "canary").exists()


def test_a_safetensors_file_of_someone_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for metadata in (
        None,
        {},
        {"format": "pt"},
        {"under10k": "not JSON"},
        {"under10k": "[]"},
        {"under10k": "{}"},
        {"under10k": "1"},
    ):
        path.write_bytes(safetensors.torch.save({"a": torch.ones(1)}, metadata))
        told = refusal(path)
        assert "not a file of under10k's" in told
        assert ("another program wrote it" in told) == ("under10k" not in (metadata or {}))


@pytest.mark.parametrize("seal", [{}, {"sha256": None}, {"sha256": ""}, {"sha256": "0" * 64}])
def test_a_file_without_the_right_seal_is_refused(tmp_path: Path, seal: dict[str, Any]) -> None:
    path = tmp_path / "a.safetensors"
    description = {"format": FORMAT_VERSION, "kind": "weights", "facts": {}, **seal}
    path.write_bytes(safetensors.torch.save({"a": torch.ones(1)}, {"under10k": json.dumps(description)}))
    refusal(path)


def test_deeply_nested_json_in_the_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for depth in (100, 1_000, 100_000):
        for header in (b"[" * depth, b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
            path.write_bytes(assemble(header))
            refusal(path)


def test_deeply_nested_json_in_the_description_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors.torch.save({"a": torch.ones(1)}, {"under10k": "[" * 100_000}))
    assert "RecursionError" in refusal(path)


def test_json_that_is_read_but_too_deep_to_be_written_again_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for depth in range(900, 1010):
        facts = "[" * depth + "]" * depth
        description = f'{{"format": {FORMAT_VERSION}, "kind": "weights", "facts": {{"a": {facts}}}, "sha256": "0"}}'
        path.write_bytes(safetensors.torch.save({"a": torch.ones(1)}, {"under10k": description}))
        refusal(path)


def test_a_header_that_promises_more_than_there_is_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for size in (2**31, 2**63, 2**64 - 1):
        path.write_bytes(struct.pack("<Q", size) + b"{}")
        refusal(path)


def test_a_newer_format_names_both_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.safetensors"
    monkeypatch.setattr("under10k.weights.sealed.FORMAT_VERSION", 73)
    write(path)
    monkeypatch.undo()
    message = refusal(path)
    assert "version 73" in message
    assert f"reads {FORMAT_VERSION}" in message


def test_a_file_of_another_kind_names_both_kinds(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors")
    message = refusal(tmp_path / "a.safetensors", "checkpoint")
    assert "weights" in message
    assert "checkpoint" in message


# --- numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64])
def test_numbers_that_are_not_finite_are_refused_and_their_tensor_named(
    tmp_path: Path, value: float, dtype: torch.dtype
) -> None:
    path = tmp_path / "a.safetensors"
    write(path, {"fine": torch.ones(2), "broken": torch.tensor([1.0, value, 2.0]).to(dtype)})
    message = refusal(path)
    assert "broken" in message
    assert "NaN or infinity" in message


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_numbers_of_a_type_that_torch_hardly_knows_come_back_or_are_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "a.safetensors"
    write(path, {"a": torch.ones(4).to(dtype)})
    try:
        tensors, _ = load_tensors(path, "weights")
    except ModelError:
        return
    assert tensors["a"].dtype == dtype
    assert torch.equal(tensors["a"].float(), torch.ones(4))


# --- what is no file ---------------------------------------------------------------------------------------------


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_nothing(path: Path, _: int) -> NoReturn:
        raise AssertionError(f"{path} was opened")

    monkeypatch.setattr(os, "open", open_nothing)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "missing.safetensors")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "directory" in refusal(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").chmod(0)
    assert "Permission denied" in refusal(tmp_path / "a.safetensors")


def test_a_file_that_is_too_large_is_refused_without_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.truncate(MAXIMUM_BYTES + 1)  # sparse: takes no room
    forbid_reading(monkeypatch)
    message = refusal(path)
    assert f"{MAXIMUM_BYTES + 1:,}" in message
    assert f"{MAXIMUM_BYTES:,}" in message


@pytest.mark.skipif(sys.platform == "win32", reason="devices of POSIX")
@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null", "/proc/kmsg", "/proc/self/maps", "pipe", "empty"])
def test_what_is_no_ordinary_file_with_content_is_refused_and_never_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    path = tmp_path / name
    if not path.exists():
        pytest.skip(f"there is no {name} here")
    assert re.match("not a file|empty file", refusal(path))


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_a_file_that_becomes_a_pipe_while_it_is_looked_at_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    status = (write(tmp_path / "a.safetensors"), (tmp_path / "a.safetensors").stat())[1]
    monkeypatch.setattr(Path, "stat", lambda _: status)
    assert "is a device or a pipe" in refusal(tmp_path / "pipe")


def test_a_write_that_fails_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> NoReturn:
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.safetensors"
    old = write(path)
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space"):
            write(path, model="transition")
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]

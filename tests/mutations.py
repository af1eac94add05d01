"""Valid files made invalid, or nearly so: in their bytes, or further inside, so that lengths and checksums fit."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Literal

import safetensors.torch
import torch
from torch import Tensor

from under10k.weights.sealed import FORMAT_VERSION, _digest

BYTES = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)

LENGTHS = (0, 1, 2, 3, 7, 28, 255, 256, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 2**31, -(2**63), 10**30, 0.0, -0.0, 0.5, 1e-320, 1e308, -1e308),
    *(float("nan"), float("inf"), "", "x", "\0\n\x1b[31m", "nan", "../..", "pool", "early", "é" * 3000),
    *([], [[]], [0] * 3000, {}, {"": None}, [None, {"a": [1.5]}]),
)
"""What a field of JSON may be in place of what it should be."""


def mutate(content: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """Change bytes in one to four ways: flipped, overwritten, cut, repeated, moved, or spliced with another file."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        random.choice(_CHANGES)(changed, others, random)
    return bytes(changed)


def _place(content: bytearray, random: Random) -> int:
    """Half of all places lie in the beginning, where headers are."""
    end = len(content) if random.random() < 0.5 else min(len(content), 64)
    return random.randint(0, max(end - 1, 0))


def _block(content: bytearray, random: Random) -> slice:
    start = _place(content, random)
    return slice(start, start + int(2 ** random.uniform(0, 12)))


def _flip(content: bytearray, _: Sequence[bytes], random: Random) -> None:
    place = _place(content, random)
    content[place : place + 1] = bytes(byte ^ 1 << random.randrange(8) for byte in content[place : place + 1])


def _overwrite(content: bytearray, _: Sequence[bytes], random: Random) -> None:
    place = _place(content, random)
    content[place : place + 1] = bytes((random.choice((*BYTES, random.randrange(256))),))


def _write_length(content: bytearray, _: Sequence[bytes], random: Random) -> None:
    size, place = random.choice((1, 2, 3, 4, 8)), _place(content, random)
    order: Literal["little", "big"] = random.choice(("little", "big"))
    near = int.from_bytes(content[place : place + size], order) + random.choice((-1, 1))
    number = random.choice((*LENGTHS, near, len(content)))
    content[place : place + size] = (number % 256**size).to_bytes(size, order)


def _cut(content: bytearray, _: Sequence[bytes], random: Random) -> None:
    del content[_place(content, random) :]


def _remove(content: bytearray, _: Sequence[bytes], random: Random) -> None:
    del content[_block(content, random)]


def _repeat(content: bytearray, _: Sequence[bytes], random: Random) -> None:
    block = _block(content, random)
    content[block.stop : block.stop] = content[block] * random.choice((1, 1, 2, 50))


def _move(content: bytearray, _: Sequence[bytes], random: Random) -> None:
    block, place = _block(content, random), _place(content, random)
    moved = content[block]
    del content[block]
    content[place:place] = moved


def _fill(content: bytearray, _: Sequence[bytes], random: Random) -> None:
    block = _block(content, random)
    content[block] = bytes((random.choice(BYTES),)) * len(content[block])


def _insert(content: bytearray, _: Sequence[bytes], random: Random) -> None:
    place = _place(content, random)
    content[place:place] = random.randbytes(random.randint(1, 40))


def _splice(content: bytearray, others: Sequence[bytes], random: Random) -> None:
    other, place = random.choice(others), _place(content, random)
    content[place:] = other[place if random.random() < 0.5 else _place(bytearray(other), random) :]


_CHANGES = (_flip, _overwrite, _write_length, _cut, _remove, _repeat, _move, _fill, _insert, _splice)


def mutate_gzip(content: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """Change what is within a gzip, whose checksum then fits; plain files are wrapped."""
    plain, *rest = (gzip.decompress(one) if one[:2] == b"\x1f\x8b" else one for one in (content, *others))
    return gzip.compress(mutate(plain, rest, random), compresslevel=1)


def mutate_png(content: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """Change one chunk of a PNG, unpacked where it is packed, and make its length and its checksum fit."""
    chunks = list(_read_chunks(content))
    number = random.randrange(len(chunks))
    kind, body = chunks[number]
    if kind in (b"IDAT", b"fdAT") and random.random() < 0.7:
        body = zlib.compress(mutate(zlib.decompress(body), others, random)) if kind == b"IDAT" else body
    else:
        body = mutate(body, others, random)
    chunks[number] = (kind, body)
    if random.random() < 0.2:
        chunks.insert(random.randrange(len(chunks)), random.choice(chunks))
    return content[:8] + b"".join(map(_write_chunk, chunks))


def _read_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    chunks, place = [], 8
    while place < len(content):
        (size,) = struct.unpack_from(">I", content, place)
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + size]))
        place += size + 12
    return chunks


def _write_chunk(chunk: tuple[bytes, bytes]) -> bytes:
    kind, body = chunk
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def mutate_json(value: Any, random: Random) -> Any:
    """Replace, remove or add one thing somewhere in a parsed JSON document."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key, chance = random.choice(list(value)), random.random()
        if chance < 0.1:
            return {name: inner for name, inner in value.items() if name != key}
        if chance < 0.2:
            return {**value, random.choice(("", "x", "seed", "name")): random.choice(VALUES)}
        return {**value, key: mutate_json(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.8:
        place, chance = random.randrange(len(value)), random.random()
        if chance < 0.3:
            return value[:place] + value[place + 1 :] if chance < 0.15 else [*value, value[place]]
        return [*value[:place], mutate_json(value[place], random), *value[place + 1 :]]
    if type(value) in (int, float) and random.random() < 0.4:
        return value + random.choice((-1, 1, -1000, 10**9, 0.5))
    return random.choice(VALUES)


def mutate_text(content: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """Change a JSON document, or one of its lines where each is a document of its own."""
    try:
        return json.dumps(mutate_json(json.loads(content), random)).encode()
    except ValueError:
        lines = content.splitlines()
        number = random.randrange(len(lines))
        lines[number] = json.dumps(mutate_json(json.loads(lines[number]), random)).encode()
        return b"\n".join(lines)


def seal(kind: Any, tensors: dict[str, Tensor], facts: Any) -> bytes:
    """Write a sealed file as `save_tensors` does, with a checksum that fits, whatever is in it."""
    described = {"format": FORMAT_VERSION, "kind": kind, "facts": facts}
    whole = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(
        whole, {"under10k": json.dumps({**described, "sha256": _digest(described, whole)}, sort_keys=True)}
    )


def mutate_sealed(content: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """Change facts or tensors of a sealed file, and seal it again: what a checksum cannot tell from our own."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    described = json.loads(header["__metadata__"]["under10k"])
    kind, facts, tensors = described["kind"], described["facts"], safetensors.torch.load(content)
    if random.random() < 0.6:
        facts = mutate_json(facts, random)
    else:
        name = random.choice(list(tensors))
        changed = random.choice(_TENSOR_CHANGES)(tensors[name], random)
        tensors = {key: tensor for key, tensor in tensors.items() if key != name or random.random() < 0.8}
        tensors[random.choice((name, name, name, f"x{name}", "optimizer/x/y", "a\nb"))] = changed
    return seal(kind, tensors, facts)


def _set_one(value: float) -> Callable[[Tensor, Random], Tensor]:
    def change(tensor: Tensor, random: Random) -> Tensor:
        changed = tensor.clone()
        if tensor.numel():
            largest = torch.finfo(tensor.dtype).max if tensor.is_floating_point() else 2**62
            changed.view(-1)[random.randrange(tensor.numel())] = max(-largest, min(value, largest))
        return changed

    return change


_TENSOR_CHANGES: tuple[Callable[[Tensor, Random], Tensor], ...] = (
    *(_set_one(value) for value in (1e38, -1e38, 3e18, 1e-40)),
    lambda tensor, _: tensor * 0 if tensor.is_floating_point() else tensor - 2**40,
    lambda tensor, _: tensor * float("nan"),
    lambda tensor, _: -tensor,
    lambda tensor, _: (tensor.double() * 1e30).clamp(-3e38, 3e38).to(tensor.dtype),
    lambda tensor, _: tensor.double(),
    lambda tensor, _: tensor.half().clamp(-6e4, 6e4),
    lambda tensor, _: tensor.to(torch.int32),
    lambda tensor, _: tensor.view(-1),
    lambda tensor, _: tensor.unsqueeze(0),
    lambda tensor, _: tensor.view(-1)[:0],
    lambda tensor, _: torch.cat([tensor.view(-1), tensor.view(-1)]),
    lambda *_: torch.tensor(7),
    lambda *_: torch.ones(3, dtype=torch.bool),
    lambda *_: torch.ones(2, dtype=torch.complex64),
    lambda *_: torch.ones(4).to(torch.float8_e4m3fn),
)

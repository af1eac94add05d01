"""Put `under10k serve` under load and check every answer: python tools/load_server.py [--seconds 30] [--clients 200].

A real server on a free port of this machine, and clients that send pictures and come back when they are told to; among
them slow ones, whose headers or bodies drip, and greedy ones, whose bodies are too large or never end. Prints what was
answered, how soon, and the server's memory. Ends with 1 where an answer is not what `under10k predict` says, where one
is missing or none that the client should get, or where memory has grown. Linux only: memory is read from /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from under10k.data.synthetic import draw_digits

PICTURES = 24

DRIP_SECONDS = 0.5
"""Between two bytes of a slow client."""

PATIENCE_SECONDS = 45.0
"""After which a client gives the server up: more than each of the server's own limits."""

BODY_LIMIT = 10 * 2**20
"""Largest picture that the server takes, in bytes."""

GROWTH_LIMIT = 64 * 2**20
"""Bytes by which the server's memory may be larger behind the load than before it."""

EXPECTED = {"reader": (200, 503), "slow": (408,), "greedy": (413, 408)}
"""Statuses that each kind of client may be answered with."""

Answer = tuple[int, Mapping[str, str], bytes]
"""Status, headers and body."""


@dataclass(frozen=True)
class Exchange:
    """One request, and what came of it."""

    client: str
    """A key of `EXPECTED`."""
    status: int
    """0 where no whole answer came."""
    seconds: float
    fault: str = ""
    """What is wrong with the answer; empty where nothing is."""


@dataclass
class Load:
    """What a load came to."""

    seconds: float = 0.0
    """Until the last reader had its answer."""
    exchanges: list[Exchange] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    """Resident bytes of the server: once each picture was read, every half second, and when all clients have gone."""

    def faults(self) -> list[str]:
        """Say what the server did wrong, each kind of fault once."""
        counts = Counter(exchange.fault for exchange in self.exchanges if exchange.fault)
        found = [f"{count} x {fault}" for fault, count in sorted(counts.items())]
        if not any(exchange.status == 200 for exchange in self.exchanges):
            found.append("no picture was read")
        grown = self.memory[-1] - self.memory[0]
        if grown > GROWTH_LIMIT:
            found.append(f"memory has grown by {_mib(grown)}; {_mib(GROWTH_LIMIT)} are allowed")
        return found

    def report(self) -> str:
        """Tabulate the answers by client and status, and the memory."""
        lines = [f"{'client':<8}{'status':>8}{'answers':>9}{'p50 ms':>10}{'p99 ms':>10}"]
        for client, status in sorted({(exchange.client, exchange.status) for exchange in self.exchanges}):
            times = [e.seconds for e in self.exchanges if (e.client, e.status) == (client, status)]
            median, slow = 1000 * np.quantile(times, (0.5, 0.99))
            lines.append(f"{client:<8}{status or 'none':>8}{len(times):>9,}{median:>10.1f}{slow:>10.1f}")
        wrong = sum(bool(exchange.fault) for exchange in self.exchanges)
        first, most, last = self.memory[0], max(self.memory), self.memory[-1]
        asked = sum(exchange.client == "reader" for exchange in self.exchanges)
        lines.append(f"readers' requests a second: {asked / self.seconds:.1f}")
        lines.append(f"wrong or missing answers: {wrong}")
        lines.append(f"memory: {_mib(first)} before, {_mib(most)} at most, {_mib(last)} after")
        return "\n".join(lines)


def find_fault(client: str, answer: Answer, expected: Any) -> str:
    """Say what is wrong with an answer; empty where nothing is. `expected` is what a reader's picture holds."""
    status, headers, body = answer
    if status not in EXPECTED[client]:
        return f"{client} client answered with {status}"
    try:
        found = json.loads(body)
    except ValueError:
        return f"{status} without JSON"
    if status == 200:
        return "" if found == expected else "another answer than that of under10k predict"
    if status == 503 and "retry-after" not in headers:
        return "503 without Retry-After"
    return "" if set(found) == {"error"} else f"{status} without its error"


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


# --- pictures, and what is in them -------------------------------------------------------------------------------


def draw_pictures(folder: Path) -> list[Path]:
    """Write digits as people send them: PNG and JPEG, dark on light, from a thumbnail to a screen."""
    paths = []
    for number, digit in enumerate(draw_digits(PICTURES, seed=7).images):
        side = (28, 100, 280, 700)[number % 4]
        path = folder / f"{number:02}.{'jpg' if number % 3 == 0 else 'png'}"
        Image.fromarray(255 - digit.numpy()).resize((side, side), Image.Resampling.BICUBIC).save(path)
        paths.append(path)
    return paths


def ask_command_line(pictures: list[Path], weights: str) -> list[Any]:
    """Return what `under10k predict --json` says of each picture."""
    command = [sys.executable, "-m", "under10k", "predict", "--json", "--model", weights, *map(str, pictures)]
    answers = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)  # noqa: S603
    return [{name: value for name, value in answer.items() if name != "picture"} for answer in answers]


# --- the server --------------------------------------------------------------------------------------------------


@contextmanager
def serve(weights: str) -> Iterator[tuple[int, int]]:
    """Run `under10k serve` while the block runs, and give its port and its process's number."""
    command = [sys.executable, "-m", "under10k", "serve", weights, "--port", "0", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout
            address = process.stdout.readline().split()[-1]
            yield int(address.rstrip("/").rpartition(":")[2]), process.pid
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_SECONDS)
        finally:
            process.kill()


def resident_bytes(process: int) -> int:
    """Return how much memory a process holds."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


# --- requests, in the parts that they are sent in ----------------------------------------------------------------

Parts = AsyncIterator[bytes]

BEGINNING = b"POST /api/predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/octet-stream\r\n"


async def whole(picture: bytes) -> Parts:
    """A picture, as it should be sent."""
    yield BEGINNING + b"content-length: %d\r\n\r\n" % len(picture) + picture


async def dripping_headers() -> Parts:
    """Headers without an end, a byte at a time."""
    yield BEGINNING + b"x: "
    while True:
        yield b"x"
        await asyncio.sleep(DRIP_SECONDS)


async def dripping_body() -> Parts:
    """A body that comes a byte at a time."""
    yield BEGINNING + b"content-length: 1000\r\n\r\n"
    while True:
        yield b"x"
        await asyncio.sleep(DRIP_SECONDS)


async def large_body() -> Parts:
    """A body that is too large by a byte, and says so."""
    yield BEGINNING + b"content-length: %d\r\n\r\nx" % (BODY_LIMIT + 1)
    for _ in range(BODY_LIMIT // 2**16):
        yield b"x" * 2**16


async def endless_body() -> Parts:
    """A body in chunks, without an end."""
    yield BEGINNING + b"transfer-encoding: chunked\r\n\r\n"
    while True:
        yield b"10000\r\n" + b"x" * 2**16 + b"\r\n"


SLOW, GREEDY = (dripping_headers, dripping_body), (large_body, endless_body)


# --- clients -----------------------------------------------------------------------------------------------------


async def ask(port: int, parts: Parts) -> Answer:
    """Send a request on a connection of its own, and return the answer, which may come before all is sent.

    Raises:
        OSError, EOFError, ValueError: no whole answer came.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sending = asyncio.create_task(_send(writer, parts))
    try:
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = headers.get("content-length")
        body = await (reader.readexactly(int(length)) if length else reader.read())
        return int(status.split()[1]), headers, body
    finally:
        sending.cancel()
        writer.close()


async def _send(writer: asyncio.StreamWriter, parts: Parts) -> None:
    with suppress(OSError):  # the server has had enough; what it answers is what counts
        async for part in parts:
            writer.write(part)
            await writer.drain()


async def visit(load: Load, client: str, port: int, parts: Parts, expected: Any = None) -> float:
    """Ask once and record what came of it; return the seconds to wait before asking again."""
    begun = time.perf_counter()
    status, fault, wait = 0, "", 0.0
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await ask(port, parts)
    except (OSError, EOFError, ValueError) as error:
        fault = f"{client} client without an answer, {type(error).__name__}"
    else:
        status, fault = answer[0], find_fault(client, answer, expected)
        wait = float(answer[1].get("retry-after", 0))
    load.exchanges.append(Exchange(client, status, time.perf_counter() - begun, fault))
    return wait


async def read_again_and_again(load: Load, port: int, turn: Iterator[tuple[bytes, Any]], end: float) -> None:
    """Send one picture after the other, and wait where told to."""
    while time.perf_counter() < end:
        picture, expected = next(turn)
        await asyncio.sleep(await visit(load, "reader", port, whole(picture), expected))


async def be_a_nuisance(
    load: Load, client: str, port: int, turn: Iterator[Callable[[], Parts]], end: float, pause_seconds: float
) -> None:
    """Send one bad request after the other."""
    while time.perf_counter() < end:
        await visit(load, client, port, next(turn)())
        await asyncio.sleep(pause_seconds)


async def watch(load: Load, process: int) -> None:
    """Record the server's memory every half second."""
    while True:
        load.memory.append(resident_bytes(process))
        await asyncio.sleep(0.5)


async def put_under_load(port: int, process: int, known: list[tuple[bytes, Any]], seconds: float, clients: int) -> Load:
    """Have so many clients at a server for so long: a tenth of them slow, a twentieth greedy."""
    warm, load = Load(), Load()
    for picture, expected in known:
        await visit(warm, "reader", port, whole(picture), expected)
    load.memory.append(resident_bytes(process))
    watching = asyncio.create_task(watch(load, process))
    begun = time.perf_counter()
    end = begun + seconds
    slow, greedy, pictures = itertools.cycle(SLOW), itertools.cycle(GREEDY), itertools.cycle(known)
    others = [
        *(be_a_nuisance(load, "slow", port, slow, end, pause_seconds=0.0) for _ in range(clients // 10)),
        *(be_a_nuisance(load, "greedy", port, greedy, end, pause_seconds=1.0) for _ in range(clients // 20)),
    ]
    nuisances = asyncio.gather(*others)
    await asyncio.gather(*(read_again_and_again(load, port, pictures, end) for _ in range(clients - len(others))))
    load.seconds = time.perf_counter() - begun
    await nuisances
    watching.cancel()
    load.exchanges += [exchange for exchange in warm.exchanges if exchange.fault]
    load.memory.append(resident_bytes(process))
    return load


def main() -> int:
    """Print what the load came to; return 1 where something is wrong."""
    parser = argparse.ArgumentParser(description="Put under10k serve under load, and check every answer.")
    parser.add_argument("weights", nargs="?", default="robust")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pictures = draw_pictures(Path(folder))
        answers = ask_command_line(pictures, given.weights)
        known = [(path.read_bytes(), answer) for path, answer in zip(pictures, answers, strict=True)]
    with serve(given.weights) as (port, process):
        print(f"{given.clients} clients for {given.seconds:g} s, weights {given.weights}", flush=True)
        load = asyncio.run(put_under_load(port, process, known, given.seconds, given.clients))
    print(load.report())
    for fault in load.faults():
        print(f"error: {fault}", file=sys.stderr)
    return 1 if load.faults() else 0


if __name__ == "__main__":
    sys.exit(main())

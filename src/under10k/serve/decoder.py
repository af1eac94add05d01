"""Pictures of strangers, decoded in processes of their own, which have little time and memory and can be killed."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import weakref
from typing import IO

import numpy as np

from under10k.errors import Under10kError
from under10k.pictures import WORKING_SIDE, Picture, open_picture

MOST_PIXELS = 25_000_000
"""Most pixels that a picture may have."""


SECONDS = 5.0
"""Time that a picture has to be decoded."""


MEMORY_BYTES = 640 * 2**20
"""Memory that a process may take, its libraries included."""


_HEADER = 8


_LONGEST_ANSWER = WORKING_SIDE * WORKING_SIDE * 4 + 2**16


_PICTURE, _REFUSAL, _FAULT = b"P", b"R", b"F"


class Decoders:
    """Decodes pictures, as many at a time as it is called; a process is started where none is idle."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._idle: list[_Decoder] = []
        weakref.finalize(self, _end_all, self._idle)

    def __call__(self, content: bytes) -> Picture:
        """Decode a picture file.

        Raises:
            Under10kError: it cannot be read, or not in this time and memory.
        """
        decoder = self._take()
        try:
            return decoder.decode(content, self.seconds)
        finally:
            if decoder.is_well():
                self._idle.append(decoder)

    def _take(self) -> _Decoder:
        while self._idle:
            with contextlib.suppress(IndexError):  # another thread may have been faster
                if (decoder := self._idle.pop()).is_well():
                    return decoder
        return _Decoder()


class _Decoder:
    """A process that decodes one picture after the other; it ends with its standard input."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "under10k.serve.decoder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the server, which answers what is under way
        )
        self._is_well = True

    def is_well(self) -> bool:
        return self._is_well and self._process.poll() is None

    def decode(self, content: bytes, seconds: float) -> Picture:
        late = threading.Event()

        def kill() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(seconds, kill)
        timer.start()
        try:
            kind, answer = self._exchange(content)
        except (OSError, EOFError):
            self.end()
            if late.is_set():
                raise Under10kError(f"picture too much work: it takes more than {seconds:g} s. save it anew") from None
            raise Under10kError("damaged picture: its decoder has crashed. save it anew") from None
        finally:
            timer.cancel()
            self._is_well &= not late.is_set()
        if kind == _PICTURE:
            return _unpack(answer)
        if kind == _REFUSAL:
            raise Under10kError(answer.decode())
        raise RuntimeError(answer.decode())

    def _exchange(self, content: bytes) -> tuple[bytes, bytes]:
        to, back = self._process.stdin, self._process.stdout
        assert to
        assert back
        to.write(len(content).to_bytes(_HEADER))
        to.write(content)
        to.flush()
        kind, length = _read(back, 1), int.from_bytes(_read(back, _HEADER))
        if length > _LONGEST_ANSWER:
            raise EOFError
        return kind, _read(back, length)

    def end(self) -> None:
        """Kill the process, where it has not ended yet."""
        self._is_well = False
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # what was not written yet
                if pipe:
                    pipe.close()


def _end_all(decoders: list[_Decoder]) -> None:
    for decoder in decoders:
        decoder.end()


def _read(pipe: IO[bytes], count: int) -> bytes:
    content = pipe.read(count)
    if len(content) < count:
        raise EOFError
    return content


def _pack(picture: Picture) -> bytes:
    facts = {"shape": picture.grey.shape, "scale": picture.scale, "notes": picture.notes}
    return json.dumps(facts).encode() + b"\n" + np.ascontiguousarray(picture.grey).tobytes()


def _unpack(answer: bytes) -> Picture:
    """Take a picture from a process that a hostile file may have taken over: as numbers, and as nothing else."""
    line, _, pixels = answer.partition(b"\n")
    facts = json.loads(line)
    grey = np.frombuffer(pixels, dtype=np.float32).reshape(facts["shape"]).clip(0, 1)
    return Picture(grey, float(facts["scale"]), tuple(map(str, facts["notes"])))


# --- the process ---------------------------------------------------------------------------------------------------


def main() -> None:
    """Decode pictures that come on standard input, each after its length, until it ends."""
    _limit_memory()
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # nothing may come between answers
    while len(header := requests.read(_HEADER)) == _HEADER:
        kind, answer = _decode(requests.read(int.from_bytes(header)))
        answers.write(kind + len(answer).to_bytes(_HEADER) + answer)
        answers.flush()


def _limit_memory() -> None:
    if sys.platform == "win32":  # which has no such limits
        return
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _decode(content: bytes) -> tuple[bytes, bytes]:
    try:
        return _PICTURE, _pack(open_picture(content, most_pixels=MOST_PIXELS))
    except Under10kError as error:
        return _REFUSAL, str(error).encode()
    except Exception as error:
        return _FAULT, repr(error).encode()[: 2**12]


if __name__ == "__main__":
    main()

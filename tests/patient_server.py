"""A server that says when it reads a picture, and goes on when it is told to: run as a program."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from under10k.serve.answers import Reading
from under10k.serve.app import Limits, create_app
from under10k.serve.server import listen, run


def read(_: bytes, __: bool) -> Reading:
    os.write(1, b"reading\n")  # whole, whatever other threads write
    os.read(0, 1)  # each thread takes a letter of its own
    return Reading(
        digit=None, probability=None, runner_up=None, confident=False, warning="", probabilities=[0.1] * 10, box=None
    )


if __name__ == "__main__":
    page: Any = SimpleNamespace(text="page", policy="")  # no real one: without torch it starts in a moment
    listener = listen("127.0.0.1", 0)
    print(listener.getsockname()[1], flush=True)
    run(create_app(page, read, limits=Limits(threads=3)), listener)

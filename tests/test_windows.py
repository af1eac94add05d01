"""What is otherwise on Windows, told by stand-ins; mypy reads the source as Windows would (`make lint`)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from under10k.study import engines
from under10k.training.signals import StopSignals


def test_a_worker_whose_driver_is_gone_stops_saved_where_asking_the_pipe_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows a pipe whose other end is closed has no end to read: asking it is an error."""

    def broken() -> bool:
        raise BrokenPipeError

    asked: list[bool] = []
    monkeypatch.setattr(StopSignals, "request", lambda: asked.append(True))
    pipe: Any = SimpleNamespace(poll=broken)
    unused: Any = None
    engines._StopWhenAlone(pipe).step(unused, unused)
    assert asked == [True]

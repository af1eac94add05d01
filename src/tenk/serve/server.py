"""uvicorn, with a time limit on everything that a client can draw out, and a socket that is bound before it starts."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from types import FrameType
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from tenk.errors import TenkError, UsageError

ARRIVE_SECONDS = 10.0
"""Time that a request has to arrive whole."""

ANSWER_SECONDS = 30.0
"""Time that an answer has to be made and taken away."""

LINGER_SECONDS = 2.0
"""Time that a client, told that it was too slow, has to hear it, while what it still sends is thrown away."""

GRACE_SECONDS = 10
"""Time that requests under way have when the server is stopped."""


class DeadlineProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, but no connection stays open for long without getting on.

    uvicorn itself waits for ever for a request's headers and body.
    """

    arrive_seconds = ARRIVE_SECONDS
    answer_seconds = ANSWER_SECONDS
    linger_seconds = LINGER_SECONDS

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._deadline: asyncio.TimerHandle | None = None
        self._arriving: bool | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the first request its time."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Give a request its time from its first byte on; and its answer, from its last byte on."""
        if self._refused:
            return
        if self.timeout_keep_alive_task is not None:
            self._arriving = None
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Give the next request its time."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        super().connection_lost(exc)
        if self._deadline:
            self._deadline.cancel()

    def _watch(self) -> None:
        """Set the deadline anew where a request begins to arrive or to be answered."""
        arriving = self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
        if arriving != self._arriving:
            self._arriving = arriving
            self._set_deadline(self.arrive_seconds if arriving else self.answer_seconds)

    def _set_deadline(self, seconds: float) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self._expire)

    def _expire(self) -> None:
        if self.transport.is_closing() or not self._arriving or self._refused:
            self.transport.abort()
            return
        begun = self.conn.their_state is h11.SEND_BODY or self.conn.trailing_data[0]
        if begun and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._refuse()
        else:
            self.transport.close()
            self._set_deadline(self.arrive_seconds)

    def _refuse(self) -> None:
        """Answer with 408, and listen on for a while: a client that still sends would lose it to a reset."""
        self._refused = True
        if self.cycle:
            self.cycle.disconnected = True  # the application is not to wait for the rest, nor to answer as well
            self.cycle.message_event.set()
        self.transport.write(
            b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
            b'{"error": "request too slow. send it faster, or smaller"}'
        )
        self.transport.write_eof()
        self.flow.resume_reading()
        self._set_deadline(self.linger_seconds)


def listen(host: str, port: int) -> socket.socket:
    """Bind a socket, and listen; port 0 takes any that is free.

    Raises:
        UsageError: there is no such port.
        TenkError: the port is taken, or the address is not this machine's.
    """
    if not 0 <= port < 2**16:
        raise UsageError(f"port out of range: {port}. give one from 0 to 65,535")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:  # the latter of a name that no host could have
        reason = str(getattr(error, "strerror", "not a host's name")).partition(" (while")[0]  # the address is named
        raise TenkError(f"cannot listen: {host}, port {port} ({reason}). give another --port or --host") from None


def build_server(app: ASGIApp, protocol: type[DeadlineProtocol] = DeadlineProtocol) -> uvicorn.Server:
    """Make a server that answers for an application, and waits for requests under way when it is stopped."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )


def run(app: ASGIApp, listener: socket.socket) -> None:
    """Serve until a signal comes, answer what is under way, and end the process: 130 for SIGINT, 143 for SIGTERM."""

    def stop(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)  # uvicorn puts its own in place, and hands the signal on when all is answered
    build_server(app).run(sockets=[listener])

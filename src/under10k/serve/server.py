"""HTTP/1.1 for one application: h11 reads and writes it, and nothing that a client can draw out is without a limit."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
import sys
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from http.client import responses
from types import FrameType
from urllib.parse import unquote

import h11
from starlette.types import ASGIApp, Message, Scope

from under10k.errors import Under10kError, UsageError
from under10k.serve.guard import HEADERS

HEADER_BYTES = 2**16
"""Most bytes of a request's headers."""


LINGER_BYTES = 2**24
"""Most bytes that are thrown away of what a client still sends when it was told that it was refused."""


GRACE_SECONDS = 10.0
"""Time that requests under way have when the server is stopped."""


_CHUNK = 2**16


logger = logging.getLogger("under10k.serve")


@dataclass(frozen=True)
class Times:
    """What a client may take, in seconds."""

    arrive: float = 10.0
    """For a request to arrive whole, from its first byte; and for that byte to come."""
    answer: float = 30.0
    """For an answer to be made and taken away, from the request's last byte."""
    linger: float = 2.0
    """To hear that it was refused, while what it still sends is thrown away."""


class Server:
    """Answers for an application on one socket until it is stopped."""

    def __init__(self, app: ASGIApp, times: Times | None = None) -> None:
        self.app = app
        self.times = times or Times()
        self.is_stopping = False
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()

    async def serve(self, listener: socket.socket) -> None:
        """Answer whoever connects; when it is stopped, what is under way is still answered."""
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._connect, sock=listener, backlog=2048)
        if not self.is_stopping:
            await self._stopped.wait()
        server.close()
        for task, connection in self._connections.items():
            if connection.is_idle:
                task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=GRACE_SECONDS)
        for task in self._connections:
            task.cancel()

    def stop(self) -> None:
        """Take no more requests; may be called from another thread, and from a signal's handler."""
        self.is_stopping = True
        if self._loop:
            self._loop.call_soon_threadsafe(self._stopped.set)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        connection = self._connections[task] = _Connection(self, reader, writer)
        try:
            await connection.answer_all()
        except asyncio.CancelledError:
            pass  # the server ends
        except (OSError, TimeoutError):
            pass  # the client has gone, or was too slow
        finally:
            del self._connections[task]
            writer.transport.abort()


class _RefusedError(Exception):
    """What a client sends is no request, or comes too slowly."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Connection:
    """One client, and its requests one after the other."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.times = server.times
        self.reader = reader
        self.writer = writer
        self.writer.transport.set_write_buffer_limits(0)  # what is drained has been taken away
        self.http = h11.Connection(h11.SERVER, HEADER_BYTES)
        self.is_idle = True

    async def answer_all(self) -> None:
        """Answer requests until the client ends the connection, has to, or the server stops."""
        while await self._is_coming() and await self._answer():
            self.http.start_next_cycle()

    async def _is_coming(self) -> bool:
        """Wait for a request's first byte."""
        if self.http.trailing_data[0]:
            return True
        self.is_idle = True
        async with asyncio.timeout(self.times.arrive):
            data = await self.reader.read(_CHUNK)
        self.is_idle = False
        self.http.receive_data(data)
        return bool(data)

    async def _answer(self) -> bool:
        """Answer a request; return whether another may come."""
        exchange = _Exchange(self)
        try:
            async with asyncio.timeout(self.times.arrive) as exchange.deadline:
                await exchange.run()
        except _RefusedError as refusal:
            return await self._refuse(refusal.status, str(refusal))
        except TimeoutError:
            if exchange.has_arrived:
                raise
            return await self._refuse(HTTPStatus.REQUEST_TIMEOUT, "request too slow. send it faster, or smaller")
        if self.http.our_state is self.http.their_state is h11.DONE and not self.server.is_stopping:
            return True
        await self._linger()
        return False

    async def _refuse(self, status: HTTPStatus, reason: str) -> bool:
        """Say why there will be no other answer, unless one has begun, and that the connection ends."""
        if self.http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps({"error": reason}).encode()
            headers = [("content-type", "application/json"), ("content-length", str(len(body))), *HEADERS.items()]
            async with asyncio.timeout(self.times.linger):
                await self.write(start_answer(status, headers, close=True), h11.Data(data=body), h11.EndOfMessage())
            await self._linger()
        return False

    async def _linger(self) -> None:
        """Listen on for a while: a client that still sends would lose the answer to a reset."""
        self.writer.write_eof()
        left = LINGER_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.times.linger):
                while left > 0 and (data := await self.reader.read(_CHUNK)):
                    left -= len(data)

    async def next_event(self) -> object:
        """Return the next of h11's events, once enough of it has come."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.reader.read(_CHUNK))
        return event

    async def write(self, *events: h11.Event) -> None:
        self.writer.write(b"".join(self.http.send(event) or b"" for event in events))
        await self.writer.drain()


def start_answer(status: int, headers: list[tuple[str, str]], *, close: bool) -> h11.Response:
    """Make the beginning of an answer, after which the connection may be closed."""
    own = [("date", formatdate(usegmt=True)), *[("connection", "close")] * close]
    return h11.Response(status_code=status, headers=[*headers, *own], reason=responses.get(status, ""))


class _Exchange:
    """One request and its answer, between h11 and the application, in ASGI's words."""

    deadline: asyncio.Timeout

    def __init__(self, connection: _Connection) -> None:
        self.connection = connection
        self.http = connection.http
        self.method = b""
        self.has_arrived = False
        self._is_told = False
        self._broken: _RefusedError | None = None

    async def run(self) -> None:
        """Receive a request, and let the application answer it.

        Raises:
            _RefusedError: it is none.
        """
        try:
            request = await self.connection.next_event()
        except h11.RemoteProtocolError:
            raise _no_http() from None
        if not isinstance(request, h11.Request):
            raise ConnectionError  # closed in between
        self.method = request.method
        if not {b"content-length", b"transfer-encoding"} & {name for name, _ in request.headers}:
            self._throw_away()
        try:
            await self.connection.server.app(self._describe(request), self.receive, self.send)
        except ConnectionError:
            raise  # the client has gone, which is no fault
        except Exception as error:
            if not self._broken:
                logger.error("error: answering has failed: %r", error)
                raise _RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error. please report it") from None
        if self._broken:
            raise self._broken

    def _describe(self, request: h11.Request) -> Scope:
        path, _, query = request.target.partition(b"?")
        transport = self.connection.writer.transport
        addresses = {"server": transport.get_extra_info("sockname"), "client": transport.get_extra_info("peername")}
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": request.http_version.decode(),
            "method": request.method.decode(),
            "scheme": "http",
            "path": unquote(path.decode()),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": list(request.headers),
            **{name: address and tuple(address[:2]) for name, address in addresses.items()},
        }

    async def receive(self) -> Message:
        """Hand the next part of the request's body to the application."""
        if self._is_told:
            await asyncio.get_running_loop().create_future()  # till the deadline: nothing more will come
        if self.has_arrived:
            self._is_told = True
            return {"type": "http.request", "body": b"", "more_body": False}
        try:
            if self.http.they_are_waiting_for_100_continue:
                await self.connection.write(h11.InformationalResponse(status_code=100, headers=[], reason="Continue"))
            event = await self.connection.next_event()
        except h11.RemoteProtocolError:
            self._broken = _no_http()
            return {"type": "http.disconnect"}
        if isinstance(event, h11.Data):
            return {"type": "http.request", "body": bytes(event.data), "more_body": True}
        self._arrive()
        return await self.receive()

    async def send(self, message: Message) -> None:
        """Send the next part of the application's answer; of a request that has turned out to be none, nothing."""
        if self._broken:
            return
        if message["type"] == "http.response.start":
            self._throw_away()
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
            close = not self.has_arrived or self.connection.server.is_stopping
            await self.connection.write(start_answer(message["status"], headers, close=close))
            return
        body = b"" if self.method == b"HEAD" else message.get("body", b"")
        end = [] if message.get("more_body", False) else [h11.EndOfMessage()]
        await self.connection.write(h11.Data(data=body), *end)

    def _throw_away(self) -> None:
        """Take what has come of a body that nobody has asked for, if only its end: the next request can follow."""
        with contextlib.suppress(h11.RemoteProtocolError):
            while not self.has_arrived and (event := self.http.next_event()) is not h11.NEED_DATA:
                if not isinstance(event, h11.Data):
                    self._arrive()

    def _arrive(self) -> None:
        self.has_arrived = True
        if not self.deadline.expired():
            self.deadline.reschedule(asyncio.get_running_loop().time() + self.connection.times.answer)


def _no_http() -> _RefusedError:
    most = f"{HEADER_BYTES // 1024} KiB"
    return _RefusedError(
        HTTPStatus.BAD_REQUEST, f"no HTTP. send a request as RFC 9112 has it, with at most {most} of headers"
    )


def listen(host: str, port: int) -> socket.socket:
    """Bind a socket, and listen; port 0 takes any that is free.

    Raises:
        UsageError: there is no such port.
        Under10kError: the port is taken, or the address is not this machine's.
    """
    if not 0 <= port < 2**16:
        raise UsageError(f"port out of range: {port}. give one from 0 to 65,535")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:  # the latter of a name that no host could have
        reason = str(getattr(error, "strerror", "not a host's name")).partition(" (while")[0]  # the address is named
        raise Under10kError(f"cannot listen: {host}, port {port} ({reason}). give another port or host") from None


def run(app: ASGIApp, listener: socket.socket) -> None:
    """Serve until a signal comes, answer what is under way, and end the process: 130 for SIGINT, 143 for SIGTERM."""
    server = Server(app)
    received: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        if received:
            sys.exit(128 + number)  # whoever asks twice does not want to wait
        received.append(number)
        server.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    asyncio.run(server.serve(listener))
    sys.exit(128 + received[0])

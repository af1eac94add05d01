"""Who may ask, and what browsers are told with every answer."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NO_CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""Content Security Policy of all that is no page: nothing in it may be run or loaded."""


HEADERS = {
    "Content-Security-Policy": NO_CONTENT_POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Sent with every answer that does not set them itself."""


COSTLY = {"/misread", "/readyz"}
"""What may be asked with GET and still makes the server compute."""


class Guard:
    """Refuses requests that another site has made a browser send, and adds `HEADERS` to all answers.

    A page elsewhere can reach a server on this machine in two ways. It can let a name of its own lead here (DNS
    rebinding): so a request's host must be this machine's name, an address that it listens on, or what the server was
    told to listen on. Or it can send a request across: so what changes or computes something must come from the
    server's own page, or from no page at all. HEAD is answered as GET is, without the body.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app = app
        name = socket.gethostname().lower()
        self.names = {"localhost", name, f"{name}.local", host.lower()}
        self.is_everywhere = bool((address := _to_address(host)) and address.is_unspecified)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_head = scope["method"] == "HEAD"

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        refusal = self._refuse(scope, Headers(scope=scope))
        await (refusal or self.app)({**scope, "method": "GET"} if is_head else scope, receive, send_guarded)

    def _refuse(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if not self._is_ours(host, scope.get("server")):
            return JSONResponse({"error": "foreign host. ask for this machine's own name or address"}, 400)
        if scope["method"] in ("GET", "HEAD", "OPTIONS") and scope["path"] not in COSTLY:
            return None
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if (origin is not None and _host_of(origin) != host) or site not in ("same-origin", "none"):
            return JSONResponse({"error": "foreign origin. a page of another site may not use this server"}, 403)
        return None

    def _is_ours(self, host: str, server: tuple[str, int | None] | None) -> bool:
        """Tell whether a Host header names this server; any port will do, since a tunnel may begin at another."""
        try:
            parts = urlsplit(f"//{host}")
            name, _ = parts.hostname or "", parts.port  # one that is no number up to 65,535 is a ValueError
        except ValueError:
            return False
        if parts.netloc != host or "@" in host:
            return False
        if name in self.names:
            return True
        asked, own = _to_address(name), _to_address(server[0] if server else "")
        if not asked:
            return False
        return self.is_everywhere or asked == own or bool(own and asked.is_loopback and own.is_loopback)


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _to_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address

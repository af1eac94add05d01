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


class Guard:
    """Refuses requests that another site has made a browser send, and adds `HEADERS` to all answers.

    A page elsewhere can reach a server on this machine in two ways. It can let a name of its own lead here (DNS
    rebinding): so a request's host must be this machine's name, an address, or what the server was told to listen on.
    Or it can send a request across: so what changes or computes something must come from the server's own page, or from
    no page at all.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app = app
        name = socket.gethostname().lower()
        self.names = {"localhost", name, f"{name}.local", host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refuse(scope["method"], Headers(scope=scope))
        await (refusal or self.app)(scope, receive, send_guarded)

    def _refuse(self, method: str, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            return JSONResponse({"error": "foreign host. ask for this machine's own name or address"}, 400)
        if method in ("GET", "HEAD", "OPTIONS"):
            return None
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if (origin is not None and urlsplit(origin).netloc != host) or site not in ("same-origin", "none"):
            return JSONResponse({"error": "foreign origin. a page of another site may not use this server"}, 403)
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self.names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

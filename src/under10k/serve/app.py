"""The web application: the page, `POST /api/predict`, and two questions for whoever watches over it."""

from __future__ import annotations

import asyncio
import io
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from PIL import Image
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from under10k.errors import Under10kError
from under10k.machine import count_cores
from under10k.serve.decoder import Decoders
from under10k.serve.guard import Guard
from under10k.serve.readers import FullError, Readers
from under10k.version import __version__

if TYPE_CHECKING:
    from torch import nn

    from under10k.export import Page


IMAGE_TYPES = (
    *(f"image/{kind}" for kind in ("png", "jpeg", "webp", "gif", "bmp", "heic", "heif", "avif", "tiff")),
    "application/octet-stream",
)
"""Content types that a picture may be sent as; none of them can be sent by another site without being asked first."""


READY_SECONDS = 1.0
"""Time for which it is remembered whether the server is ready."""


logger = logging.getLogger("under10k.serve")


@dataclass(frozen=True)
class Limits:
    """How much may be asked of the server."""

    body_bytes: int = 10 * 2**20
    """Largest picture file."""
    threads: int = field(default_factory=count_cores)
    """Pictures read at a time."""
    waiting: int = 64
    """Pictures that may wait for a thread; more are sent away for the moment."""
    read_seconds: float = 10.0
    """Time for reading a picture, the waiting included."""


class Reading(BaseModel):
    """What a picture was read as: `under10k.pictures.prediction.Prediction` in JSON."""

    digit: int | None = Field(ge=0, le=9, description="the digit read; null where there is no ink")
    probability: float | None = Field(ge=0, le=1, description="that of the digit read")
    runner_up: int | None = Field(ge=0, le=9, description="the second most likely digit")
    confident: bool = Field(description="whether the digit can be relied on, as far as the network can tell")
    warning: str | None = Field(description="why not, or what of the picture was left out")
    probabilities: list[float] = Field(min_length=10, max_length=10, description="of each digit, 0 to 9")
    box: list[int] | None = Field(description="left, top, right and bottom of the digit, in pixels")


class Problem(BaseModel):
    """Why there is no answer."""

    error: str


class Health(BaseModel):
    """That all is well, and with whom."""

    status: Literal["ok"] = "ok"
    version: str = __version__


def reader(model: nn.Module) -> Callable[[bytes], Reading]:
    """Return the function that reads a picture file with a network, a picture a thread.

    Files are decoded in processes of their own: see `under10k.serve.decoder`.
    """
    import torch

    from under10k.pictures import predict

    torch.set_num_threads(1)  # for all that follows: pictures are read side by side
    decode = Decoders()
    return lambda picture: Reading(**predict(decode(picture), model).to_dict())


def create_app(
    page: Page, read: Callable[[bytes], Reading], *, host: str = "127.0.0.1", limits: Limits | None = None
) -> ASGIApp:
    """Build the application from a page and a function that reads a picture file.

    `read` raises a `Under10kError` where the picture is at fault. `host` is where the server listens.
    """
    limits = limits or Limits()
    desk = _Desk(Readers(read, limits.threads, limits.waiting), limits)
    readiness = _Readiness(desk)
    policy = f"{page.policy}; frame-ancestors 'none'"
    app = FastAPI(
        title="under10k",
        summary="Reads handwritten digits",
        version=__version__,
        docs_url=None,  # what it would show is loaded from another site
        redoc_url=None,
        exception_handlers={HTTPException: _explain, ClientDisconnect: _explain, Exception: _admit},
    )

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def show_page() -> HTMLResponse:
        return HTMLResponse(page.text, headers={"Content-Security-Policy": policy, "Cache-Control": "no-cache"})

    @app.post("/api/predict", openapi_extra=_PICTURE_BODY, responses=_PROBLEMS)
    async def predict(request: Request) -> Reading:
        """Read the digit in a picture, sent as it is: PNG, JPEG, WebP, GIF, BMP, HEIC, AVIF or TIFF."""
        return await desk.answer(await _receive(request, limits.body_bytes))

    @app.get("/healthz")
    async def tell_alive() -> Health:
        """Tell that the server answers."""
        return Health()

    @app.get("/readyz", responses={code: _PROBLEMS[code] for code in (403, 500, 503)})
    async def tell_ready() -> Health:
        """Tell whether a picture sent now would be read, by reading one, at most once a second."""
        await readiness.check()
        return Health()

    return Guard(app, host)


class _Desk:
    """Hands pictures to the readers, and says in HTTP's terms what has come of them."""

    def __init__(self, readers: Readers[Reading], limits: Limits) -> None:
        self.readers = readers
        self.limits = limits

    async def answer(self, picture: bytes) -> Reading:
        """Read a picture.

        Raises:
            HTTPException: it cannot be read, or not now.
        """
        try:
            return await self.readers.read(picture, self.limits.read_seconds)
        except Under10kError as error:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
        except FullError:
            raise _later("too many pictures at a time. try again in a second") from None
        except TimeoutError:
            raise _later("no answer in time. try again, or with a smaller picture") from None
        except Exception as error:
            logger.error("error: reading a picture has failed: %r", error)
            raise HTTPException(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error. please report it") from None


class _Readiness:
    """Whether a picture would be read now: found out by one reading at a time, however many ask."""

    def __init__(self, desk: _Desk) -> None:
        self._desk = desk
        self._lock = asyncio.Lock()
        self._until = -math.inf
        self._problem: HTTPException | None = None

    async def check(self) -> None:
        """Read a picture, unless that was done within the last second.

        Raises:
            HTTPException: it cannot be read, or not now.
        """
        asked = time.monotonic()
        async with self._lock:
            if asked >= self._until:  # and not only now: what was found while this one waited is news enough
                try:
                    await self._desk.answer(_sample_picture())
                    self._problem = None
                except HTTPException as problem:
                    self._problem = problem
                self._until = time.monotonic() + READY_SECONDS
        if self._problem:
            raise self._problem


async def _explain(_: Request, error: Exception) -> JSONResponse:
    """Say what is wrong, in the same form whoever found it; to a client that has gone, for nobody to see."""
    if not isinstance(error, HTTPException):
        return JSONResponse({"error": "gone"}, HTTPStatus.BAD_REQUEST)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _admit(_: Request, __: Exception) -> JSONResponse:
    return JSONResponse({"error": "internal error. please report it"}, HTTPStatus.INTERNAL_SERVER_ERROR)


async def _receive(request: Request, most_bytes: int) -> bytes:
    """Return a request's body, which must be a picture and not too large; it is never held beyond the limit.

    Raises:
        HTTPException: it is something else, empty, or too large.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in IMAGE_TYPES:
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"not sent as a picture. give a Content-Type of {', '.join(IMAGE_TYPES)}"
        )
    body = bytearray()
    length = request.headers.get("content-length", "")
    too_large = length.isdecimal() and int(length[:20]) > most_bytes
    if not too_large:
        async for chunk in request.stream():
            body += chunk
            if too_large := len(body) > most_bytes:
                break
    if too_large:
        raise HTTPException(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"picture too large. send at most {most_bytes:,} bytes"
        )
    return bytes(body)


def _later(reason: str) -> HTTPException:
    return HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, reason, {"Retry-After": "1"})


@cache
def _sample_picture() -> bytes:
    from under10k.data import draw_digits

    file = io.BytesIO()
    Image.fromarray(draw_digits(1, seed=0).images[0].numpy()).save(file, "PNG")
    return file.getvalue()


_PICTURE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in IMAGE_TYPES},
    }
}


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "description": description}
    for code, description in {
        400: "The request is no HTTP, or for a foreign host",
        403: "Sent by a page of another site",
        408: "The picture came too slowly",
        413: "The picture file is too large",
        415: "Not sent as a picture",
        422: "No picture that can be read",
        500: "Reading has failed",
        503: "Too many pictures at a time, or no answer in time: try again after the seconds in Retry-After",
    }.items()
}

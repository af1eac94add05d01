"""The web application: the page, `POST /api/predict`, and two questions for whoever watches over it."""

from __future__ import annotations

import asyncio
import io
import logging
import math
import time
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from PIL import Image
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from under10k.errors import Under10kError
from under10k.machine import count_cores
from under10k.serve.answers import (
    Health,
    Misread,
    NamedProblem,
    NamedReading,
    NamedRows,
    Problem,
    Read,
    Reading,
    Rows,
)
from under10k.serve.bodies import FORM_TYPE, IMAGE_TYPES, content_type, receive_form, receive_picture
from under10k.serve.decoder import Decoders
from under10k.serve.docs import write_docs
from under10k.serve.gallery import FindMisread, Gallery
from under10k.serve.guard import Guard
from under10k.serve.readers import FullError, Readers
from under10k.version import __version__

if TYPE_CHECKING:
    from torch import nn

    from under10k.export import Page


READY_SECONDS = 1.0
"""Time for which it is remembered whether the server is ready."""


logger = logging.getLogger("under10k.serve")


@dataclass(frozen=True)
class Limits:
    """How much may be asked of the server."""

    body_bytes: int = 10 * 2**20
    """Largest body: a picture file, or all files of a form."""
    pictures: int = 20
    """Most pictures in a form."""
    threads: int = field(default_factory=count_cores)
    """Pictures read at a time."""
    waiting: int = 64
    """Pictures that may wait for a thread; more are sent away for the moment."""
    read_seconds: float = 10.0
    """Time for reading a picture, the waiting included."""


def reader(model: nn.Module) -> Read:
    """Return the function that reads a picture file with a network, a picture a thread.

    Files are decoded in processes of their own: see `under10k.serve.decoder`.
    """
    import torch

    from under10k.pictures import describe_rows, predict, predict_all

    torch.set_num_threads(1)  # for all that follows: pictures are read side by side
    decode = Decoders()

    def read(picture: bytes, multi: bool) -> Reading | Rows:
        decoded = decode(picture)
        if multi:
            return Rows(**describe_rows(predict_all(decoded, model)))
        return Reading(**predict(decoded, model).to_dict())

    return read


def create_app(
    page: Page,
    read: Read,
    *,
    host: str = "127.0.0.1",
    limits: Limits | None = None,
    networks: str | None = None,
    find_misread: FindMisread | None = None,
) -> ASGIApp:
    """Build the application from a page and a function that reads a picture file.

    `read` raises a `Under10kError` where the picture is at fault. `host` is where the server listens. `networks` is the
    JSON that a page with networks asks for. `find_misread` returns what a page with a gallery asks for; it is called
    once, when that is first asked.
    """
    limits = limits or Limits()
    desk = _Desk(Readers(read, limits.threads, limits.waiting), limits)
    readiness = _Readiness(desk)
    policy = f"{page.policy}; frame-ancestors 'none'"
    app = FastAPI(
        title="under10k",
        summary="Reads handwritten digits",
        version=__version__,
        docs_url=None,  # FastAPI's is loaded from another site
        redoc_url=None,
        exception_handlers={HTTPException: _explain, ClientDisconnect: _explain, Exception: _admit},
    )

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def show_page() -> HTMLResponse:
        return HTMLResponse(page.text, headers={"Content-Security-Policy": policy, "Cache-Control": "no-cache"})

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def show_docs() -> HTMLResponse:
        text, docs_policy = write_docs(app.openapi())
        return HTMLResponse(text, headers={"Content-Security-Policy": docs_policy})

    if networks:

        @app.get("/networks", include_in_schema=False)
        async def show_networks() -> Response:
            return Response(networks, media_type="application/json")

    if find_misread:
        gallery = Gallery(find_misread)

        @app.get("/misread", include_in_schema=False)
        async def show_misread() -> Misread:
            return gallery.look()

    @app.post("/api/predict", openapi_extra=_REQUEST, responses=_PROBLEMS, response_description="What was read")
    async def predict(request: Request) -> Reading | Rows | list[NamedReading | NamedRows | NamedProblem]:
        """Read a picture, sent as it is, or several as a form: PNG, JPEG, WebP, GIF, BMP, HEIC, AVIF or TIFF.

        A form gets a list.

        curl --data-binary @x.png --header 'Content-Type: image/png' 'http://127.0.0.1:8000/api/predict?multi=1'
        curl -F file=@x.png -F file=@y.jpg http://127.0.0.1:8000/api/predict
        """
        multi = _wants_all(request)
        if content_type(request) != FORM_TYPE:
            return await desk.answer(await receive_picture(request, limits.body_bytes), multi)
        pictures = await receive_form(request, limits.body_bytes, limits.pictures)
        return [await desk.answer_by_name(name, picture, multi) for name, picture in pictures]

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

    def __init__(self, readers: Readers[Reading | Rows], limits: Limits) -> None:
        self.readers = readers
        self.limits = limits

    async def answer(self, picture: bytes, multi: bool = False) -> Reading | Rows:
        """Read a picture: one digit, or all that it holds.

        Raises:
            HTTPException: it cannot be read, or not now.
        """
        try:
            return await self.readers.read(picture, multi, self.limits.read_seconds)
        except Under10kError as error:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
        except FullError:
            raise _later("too many pictures at a time. try again in a second") from None
        except TimeoutError:
            raise _later("no answer in time. try again, or with a smaller picture") from None
        except Exception as error:
            logger.error("error: reading a picture has failed: %r", error)
            raise HTTPException(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error. please report it") from None

    async def answer_by_name(self, name: str, picture: bytes, multi: bool) -> NamedReading | NamedRows | NamedProblem:
        """Read one of several pictures, or say what is wrong with it, which does not stop the others.

        Raises:
            HTTPException: it cannot be read now.
        """
        try:
            found = await self.answer(picture, multi)
        except HTTPException as problem:
            if problem.status_code != HTTPStatus.UNPROCESSABLE_ENTITY:
                raise
            return NamedProblem(picture=name, error=problem.detail)
        named = NamedRows if isinstance(found, Rows) else NamedReading
        return named(picture=name, **found.model_dump())


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


def _wants_all(request: Request) -> bool:
    """Tell whether all digits are asked for.

    Raises:
        HTTPException: the query says neither yes nor no.
    """
    value = request.query_params.get("multi", "0").lower()
    if value not in _YES_OR_NO:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "multi is neither 1 nor 0. ask for /api/predict?multi=1")
    return _YES_OR_NO[value]


def _later(reason: str) -> HTTPException:
    return HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, reason, {"Retry-After": "1"})


@cache
def _sample_picture() -> bytes:
    from under10k.data import draw_digits

    file = io.BytesIO()
    Image.fromarray(draw_digits(1, seed=0).images[0].numpy()).save(file, "PNG")
    return file.getvalue()


_YES_OR_NO = {"": True, "1": True, "true": True, "0": False, "false": False}


_FILE = {"type": "string", "format": "binary"}


_REQUEST: dict[str, Any] = {
    "parameters": [
        {
            "name": "multi",
            "in": "query",
            "description": "1: read every digit in the picture, row by row; 0, the default: all ink is one digit",
            "schema": {"type": "string", "enum": list(_YES_OR_NO)},
            "allowEmptyValue": True,
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            **{kind: {"schema": _FILE} for kind in IMAGE_TYPES},
            FORM_TYPE: {"schema": {"type": "object", "properties": {"file": {"type": "array", "items": _FILE}}}},
        },
    },
}


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "description": description}
    for code, description in {
        400: "The request is no HTTP, or for a foreign host",
        403: "Sent by a page of another site",
        408: "The picture came too slowly",
        413: "The picture file, or the form, is too large",
        415: "Not sent as a picture or a form",
        422: "No picture that can be read, too many of them, or multi is neither 1 nor 0",
        500: "Reading has failed",
        503: "Too many pictures at a time, or no answer in time: try again after the seconds in Retry-After",
    }.items()
}

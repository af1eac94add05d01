"""Pictures out of the bodies of requests: one as it is, or several as a form."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus

from fastapi import Request
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.exceptions import HTTPException

IMAGE_TYPES = (
    *(f"image/{kind}" for kind in ("png", "jpeg", "webp", "gif", "bmp", "heic", "heif", "avif", "tiff")),
    "application/octet-stream",
)
"""Content types that a picture may be sent as by itself; a browser asks before it sends one to another site."""


FORM_TYPE = "multipart/form-data"
"""Content type of several pictures. Any site's form can send it: `guard` refuses those by where they come from."""


logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it warns of each form that is damaged


async def receive_picture(request: Request, most_bytes: int) -> bytes:
    """Return a request's body, a picture.

    Raises:
        HTTPException: it is something else, or too large.
    """
    if content_type(request) not in IMAGE_TYPES:
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"not sent as a picture. give a Content-Type of {', '.join((*IMAGE_TYPES, FORM_TYPE))}",
        )
    return await _receive(request, most_bytes)


async def receive_form(request: Request, most_bytes: int, most_pictures: int) -> list[tuple[str, bytes]]:
    """Return the name and content of each picture in a request's body, a form.

    Raises:
        HTTPException: it is none, holds anything else, too many pictures or none, or is too large.
    """
    _, options = parse_options_header(request.headers["content-type"])
    boundary = options.get(b"boundary", b"")
    body = await _receive(request, most_bytes)
    try:
        return await asyncio.to_thread(_split, body, boundary, most_pictures)
    except FormParserError:
        raise _wrong_form("not a form: it is damaged, or has no boundary") from None


def content_type(request: Request) -> str:
    """Return a request's content type, without what follows it."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _receive(request: Request, most_bytes: int) -> bytes:
    """Return a request's body, which is never held beyond the limit."""
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


def _split(body: bytes, boundary: bytes, most: int) -> list[tuple[str, bytes]]:
    form = _Form(most)
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": form.begin,
            "on_header_field": form.add_to_header_name,
            "on_header_value": form.add_to_header,
            "on_header_end": form.end_header,
            "on_part_data": form.add_content,
            "on_end": form.end,
        },
    )
    parser.write(body)
    parser.finalize()
    return form.finish()


class _Form:
    """Collects the parts of a form, as the parser finds them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: list[tuple[dict[bytes, bytes], bytearray]] = []
        self._name, self._header = b"", b""
        self._is_whole = False

    def begin(self) -> None:
        if len(self._parts) == self._most:
            raise _wrong_form(f"too many pictures: more than {self._most}")
        self._parts.append(({}, bytearray()))

    def add_to_header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def add_to_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._parts[-1][0].update(parse_options_header(self._header)[1])
        self._name, self._header = b"", b""

    def add_content(self, data: bytes, start: int, end: int) -> None:
        self._parts[-1][1].extend(data[start:end])

    def end(self) -> None:
        self._is_whole = True

    def finish(self) -> list[tuple[str, bytes]]:
        """Return the pictures.

        Raises:
            HTTPException: there is none, or something else.
        """
        if not self._is_whole or not self._parts:
            raise _wrong_form("no picture: the form is empty, or cut short")
        for options, _ in self._parts:
            if b"filename" not in options:
                name = options.get(b"name", b"").decode(errors="replace")
                raise _wrong_form(f"not a file: {name or 'a field without a name'}")
        return [(options[b"filename"].decode(errors="replace"), bytes(content)) for options, content in self._parts]


def _wrong_form(what: str) -> HTTPException:
    return HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"{what}. send picture files, as curl -F file=@x.png does")

"""The page and the API over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from under10k.lazy import lazy_door

if TYPE_CHECKING:
    from under10k.serve.app import create_app, reader
    from under10k.serve.gallery import misread_finder
    from under10k.serve.networks import networks_beside
    from under10k.serve.server import listen, run

__all__ = [
    "create_app",
    "listen",
    "misread_finder",
    "networks_beside",
    "reader",
    "run",
]

__getattr__, __dir__ = lazy_door(
    __name__,
    {
        "create_app": "app",
        "listen": "server",
        "misread_finder": "gallery",
        "networks_beside": "networks",
        "reader": "app",
        "run": "server",
    },
)

"""What the API answers, as its description has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, Field

from under10k.version import __version__


class Reading(BaseModel):
    """What a picture was read as: `under10k.pictures.prediction.Prediction` in JSON."""

    digit: int | None = Field(ge=0, le=9, description="the digit read; null where there is no ink")
    probability: float | None = Field(ge=0, le=1, description="that of the digit read")
    runner_up: int | None = Field(ge=0, le=9, description="the second most likely digit")
    confident: bool = Field(description="whether the digit can be relied on, as far as the network can tell")
    warning: str | None = Field(description="why not, or what of the picture was left out")
    probabilities: list[float] = Field(min_length=10, max_length=10, description="of each digit, 0 to 9")
    box: list[int] | None = Field(description="left, top, right and bottom of the digit, in pixels")


class RowDigit(Reading):
    """One of several digits."""

    row: int = Field(ge=0, description="the row that it stands in, from the top")


class Rows(BaseModel):
    """All digits of a picture, as `under10k predict --multi --json` prints them."""

    rows: list[str] = Field(description="each row's digits as they are written, from the top")
    digits: list[RowDigit] = Field(description="row by row, from left to right")
    warning: str | None = Field(description="why there is none")


class Problem(BaseModel):
    """Why there is no answer."""

    error: str


class _Named(BaseModel):
    picture: str = Field(description="the name that the picture was sent under")


class NamedReading(_Named, Reading):
    """What one of several pictures was read as."""


class NamedRows(_Named, Rows):
    """All digits of one of several pictures."""


class NamedProblem(_Named, Problem):
    """Why one of several pictures was not read."""


class MisreadDigit(BaseModel):
    """A digit of the test set that was read as another."""

    label: int
    digit: int
    probability: float
    levels: str
    """28x28 grey levels in base64, row by row."""


class Misread(BaseModel):
    """What a network misreads of a test set, as the page's gallery.js takes it."""

    ready: bool
    count: int = 0
    all: int = 0
    digits: list[MisreadDigit] = []


class Health(BaseModel):
    """That all is well, and with whom."""

    status: Literal["ok"] = "ok"
    version: str = __version__


Read = Callable[[bytes, bool], Reading | Rows]
"""Reads a picture file: its one digit, or, if the second argument is true, all its digits."""

"""The page's JavaScript run without a browser, by Node, and compared with Python."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from under10k.errors import Under10kError
from under10k.evaluation import predict_logits
from under10k.export.proof import TOLERANCE
from under10k.pictures import Prediction, open_picture, predict

OLDEST_NODE = 18
"""Oldest version of Node that runs the page's JavaScript."""


SECONDS = 60
"""Longest that Node may take."""


LEAST_ALIKE = 0.9
"""Least share of pictures that the page must read as Python does: rounding can move a pixel across a threshold."""


PIXEL_TOLERANCE = 1
"""Largest difference of a pixel of a frame, of 255 levels, between the page and Python."""


@dataclass(frozen=True)
class Reading:
    """What the page's program makes of one picture."""

    logits: list[float] | None
    """Of the picture as it is; None unless it is 28x28."""
    answer: dict[str, Any] | None
    """What `judge` in judge.js returns, and the frame's `levels`; None where no ink was found."""
    rows: list[list[dict[str, Any]]]
    """The same of every digit, row by row, each with its `box`."""

    def is_like(self, expected: Prediction) -> bool:
        """Tell whether Python finds the same frame, the same digit, and the same doubts."""
        if self.answer is None or expected.digit is None:
            return self.answer is None and expected.digit is None
        difference = np.abs(np.array(self.answer["levels"]) - expected.frame.ravel()).max()
        words = "" if expected.confident else expected.warning
        return bool(
            difference <= PIXEL_TOLERANCE
            and (self.answer["digit"], self.answer["confident"]) == (expected.digit, expected.confident)
            and (expected.confident or self.answer["words"] == words)
        )


def find_node() -> str | None:
    """Return the path of Node; None where there is none, or one that is too old."""
    path = shutil.which("node")
    if path is None:
        return None
    try:
        version = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=SECONDS).stdout  # noqa: S603
        return path if int(version.strip().removeprefix("v").partition(".")[0]) >= OLDEST_NODE else None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def run_in_node(node: str, program: str, network: str, pictures: Sequence[NDArray[np.uint8]]) -> list[Reading]:
    """Read pictures, uint8 (H, W) or (H, W, 4), with a page's program.

    Raises:
        Under10kError: the program fails, or takes too long.
    """
    script = (resources.files("under10k.export") / "page" / "replay.js").read_text(encoding="utf-8")
    given = {"program": program, "network": network, "pictures": list(map(_describe, pictures))}
    try:
        done = subprocess.run(  # noqa: S603
            [node, "-e", script],
            input=json.dumps(given),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Under10kError(f"Node does not answer: {error}. take it off PATH to export without it") from None
    if done.returncode:
        told = next((line for line in done.stderr.splitlines() if "Error" in line), "it says nothing")
        raise Under10kError(f"the page's program fails in Node: {told}. nothing was written: please report it")
    return [Reading(**each) for each in json.loads(done.stdout)]


def replay(program: str, network: str, model: nn.Module, images: Tensor) -> str:
    """Compare a page's program with Python on test images, uint8 (N, 28, 28), and return what was checked, in words.

    Raises:
        Under10kError: the program fails, or does not compute or read what Python does.
    """
    node = find_node()
    if node is None:
        return "not run: no Node here"
    readings = run_in_node(node, program, network, list(images.numpy()))
    logits = np.array([reading.logits for reading in readings])
    difference = float(np.abs(logits - predict_logits(model, images).numpy()).max())
    alike = sum(
        reading.is_like(predict(open_picture(image), model))
        for reading, image in zip(readings, images.numpy(), strict=True)
    )
    found = f"{len(images)} test images: a logit differs by at most {difference:.2g}, {alike} are read alike"
    if not difference <= TOLERANCE or alike < LEAST_ALIKE * len(images):
        raise Under10kError(f"the page's program is wrong: {found}. nothing was written: please report it")
    return found


def _describe(picture: NDArray[np.uint8]) -> dict[str, Any]:
    """Write a picture as the JavaScript takes it: RGBA, in base64."""
    rgba = picture
    if picture.ndim == 2:
        rgba = np.stack([picture] * 3 + [np.full_like(picture, 255)], axis=2)
    height, width = picture.shape[:2]
    return {"width": width, "height": height, "rgba": base64.b64encode(rgba.tobytes()).decode()}

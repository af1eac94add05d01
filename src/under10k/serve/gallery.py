"""The digits of the user's own MNIST that a network misreads, for the page that is served."""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from under10k.errors import Under10kError
from under10k.serve.answers import Misread, MisreadDigit

if TYPE_CHECKING:
    from torch import nn

MOST = 60
"""Most digits shown: those that the network is surest of."""


FindMisread = Callable[[], Misread]
"""Reads a test set and returns what is wrong; called once."""


logger = logging.getLogger("under10k.serve")


def misread_finder(model: nn.Module) -> FindMisread | None:
    """Return the function that reads MNIST's test set where it is on this machine, without a download; or None."""
    from under10k.data import find_dataset, load_digits
    from under10k.evaluation import evaluate

    if find_dataset("mnist") is None:
        return None

    def find() -> Misread:
        test = load_digits("mnist").test
        metrics = evaluate(model, test)
        probabilities = metrics.logits.softmax(dim=1)
        digits = [
            MisreadDigit(
                label=int(test.labels[index]),
                digit=int(metrics.predictions[index]),
                probability=float(probabilities[index].max()),
                levels=base64.b64encode(test.images[index].numpy().tobytes()).decode(),
            )
            for index in metrics.misread[:MOST].tolist()
        ]
        return Misread(ready=True, count=metrics.errors, all=len(test), digits=digits)

    return find


class Gallery:
    """What a network misreads, found once, in a thread that ends with the process, after it is first asked for."""

    def __init__(self, find: FindMisread) -> None:
        self._find = find
        self._found: Future[Misread] | None = None

    def look(self) -> Misread:
        """Return what was found; until then, that it is not ready."""
        if self._found is None:
            self._found = Future()
            threading.Thread(target=self._work, args=(self._found,), name="gallery", daemon=True).start()
        return self._found.result() if self._found.done() else Misread(ready=False)

    def _work(self, found: Future[Misread]) -> None:
        try:
            found.set_result(self._find())
        except Exception as error:  # a page without a gallery is better than none
            reason = str(error) if isinstance(error, Under10kError) else repr(error)
            logger.error("error: no gallery of misread digits: %s", reason)
            found.set_result(Misread(ready=True))

"""`python -m under10k` is `under10k`: the process around the command line, which signals end quietly."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line of this process; a run or a server under way puts its own handlers in place."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else a shell has told us to ignore it
        signal.signal(signal.SIGINT, _end_at_once)
    signal.signal(signal.SIGTERM, _end_at_once)

    from under10k.cli import main as run  # half a second, in which there is nothing to tidy up yet

    if signal.getsignal(signal.SIGINT) is _end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _end_tidily)
    run()


def _end_at_once(number: int, _frame: FrameType | None) -> None:
    if number == signal.SIGINT:
        os.write(2, b"stopped: interrupted.\n")
    os._exit(128 + number)


def _end_tidily(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)  # what is under way removes its temporary files


if __name__ == "__main__":
    main()

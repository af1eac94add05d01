"""The errors that under10k reports to people, each with the exit code of the command line."""

from __future__ import annotations

import difflib
import errno
import importlib.metadata
from collections.abc import Iterable


class Under10kError(Exception):
    """An error meant for a person: one line, `what: where. what to do`."""

    exit_code = 1


class UsageError(Under10kError, ValueError):
    """An option, a name or a value that under10k cannot work with."""

    exit_code = 2


class DataError(Under10kError):
    """A data set that is missing, damaged or not what it says it is."""

    exit_code = 3


class ModelError(Under10kError):
    """A checkpoint or weights file that is missing, damaged or belongs to something else."""

    exit_code = 4


class DivergedError(Under10kError):
    """A training whose loss or gradient is no longer finite."""

    exit_code = 5


class BusyError(Under10kError):
    """A run folder that another process is writing to."""

    exit_code = 6


def unknown_name(kind: str, name: object, known: Iterable[object]) -> UsageError:
    """Build the error for a name that is not in a list: the nearest ones first, then all of them."""
    names = sorted(map(str, known))
    near = difflib.get_close_matches(str(name).lower(), names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return UsageError(f"unknown {kind}: {name!r}. {hint}there are: {', '.join(names)}")


def wrong_type(what: str, value: object, remedy: str) -> UsageError:
    """Build the error for an argument of a type that cannot be used, such as a number where a name belongs."""
    return UsageError(f"wrong type of {what}: {type(value).__name__}. give {remedy}")


def missing_library(name: str, extra: str) -> UsageError:
    """Build the error for a library that is not installed: with what to install for the `extra` that it belongs to."""
    wanted = " ".join(f"'{requirement}'" for requirement in _requirements(extra))
    return UsageError(f"not installed: {name}. install it with: pip install {wanted or name}")


def _requirements(extra: str) -> list[str]:
    """Return what an extra adds, as this package's own metadata has it; nothing where it is not installed itself."""
    try:
        requirements = importlib.metadata.requires("under10k") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    conditions = (f"extra == '{extra}'", f'extra == "{extra}"')
    split = (requirement.partition(";") for requirement in requirements)
    return [what.strip() for what, _, condition in split if condition.strip() in conditions]


class StoppedError(Under10kError):
    """A training that a signal has stopped, after it was saved."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def explain_os_error(error: OSError) -> str:
    """Return what the operating system refused, where, and what to do about it, in one line."""
    where = error.filename or ("standard output" if error.errno in _FULL else "")
    remedy = _REMEDIES.get(error.errno or 0, "check that its folder is there, may be written and has room")
    return f"{error.strerror or error}{where and f': {where}'}. {remedy}"


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


_REMEDIES = {
    **dict.fromkeys(_FULL, "make room there, or choose another place"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "close some, or allow more: ulimit -n 1024"),
    errno.ENOMEM: "close other programs, or allow more: ulimit -v unlimited",
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it accessible, or choose another place"),
    **dict.fromkeys((errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EEXIST), "choose another name"),
}
"""What to do about an error of the operating system's, by its number."""

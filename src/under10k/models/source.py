"""Running the source of a user's network: once, from the bytes that were read, and without training anything."""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from under10k.errors import UsageError, unknown_name
from under10k.files import sha256


def find_module(name: str) -> Path:
    """Return the file of a module that Python can import.

    Raises:
        UsageError: there is none, or it is not written in Python.
    """
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        found = None
    if found is None or not found.origin or not found.origin.endswith(".py"):
        raise UsageError(f"no such module: {name}. give FILE.py:NAME, or a module that Python can import")
    return Path(found.origin)


def run_source(path: Path, content: bytes, name: str, module: str | None) -> Callable[..., Any]:
    """Run a source text and return what it calls `name`; a `module` is imported under its own name.

    `print` does nothing in it but warn once: a network is called thousands of times.

    Raises:
        UsageError: it is no Python, trains, fails, or has nothing of this name.
    """
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise UsageError(f"not Python: {path}{line} ({getattr(error, 'msg', error)}). correct it") from None
    for statement in _training_statements(tree):
        raise UsageError(
            f"{path} trains when it is imported: line {statement.lineno}. "
            'put everything below the network under: if __name__ == "__main__":'
        )
    try:
        with torch.random.fork_rng(devices=[]):  # a seed set in it is its own affair
            loaded = importlib.import_module(module) if module else _run(path, content)
    except (Exception, SystemExit) as error:
        raise UsageError(f"cannot import: {path} ({where_it_failed(error)}). correct it") from None
    make = getattr(loaded, name, None)
    if not callable(make):
        defined = [part.name for part in tree.body if isinstance(part, ast.ClassDef | ast.FunctionDef)]
        raise unknown_name(f"class or function of {path}", name, defined)
    return make  # type: ignore[no-any-return]


class _Bytes(importlib.abc.SourceLoader):
    """Loads a module from bytes that were read before: what runs is what was checked."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path, self._content = path, content

    def get_filename(self, fullname: str) -> str:
        return str(self._path)

    def get_data(self, path: str | bytes) -> bytes:
        return self._content


def _run(path: Path, content: bytes) -> ModuleType:
    name = f"{path.stem}@{sha256(str(path.resolve()).encode(), content)[:12]}"
    spec = importlib.util.spec_from_loader(name, _Bytes(path, content))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    vars(module)["print"] = _warn_once(path)
    sys.modules[name] = module  # dataclasses and inspect look there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _warn_once(path: Path) -> Callable[..., None]:
    told = False

    def print_nothing(*_: object, **__: object) -> None:
        nonlocal told
        if not told:
            told = True
            sys.stderr.write(f"warning: print in {path.name}: not shown, since it would be thousands of times\n")

    return print_nothing


def _training_statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements that train as soon as a file is imported: a backward pass, or a call of what makes one."""
    functions = {part.name: part for part in tree.body if isinstance(part, ast.FunctionDef)}
    training: set[str] = set()
    while grown := {name for name, part in functions.items() if name not in training and _trains(part, training)}:
        training |= grown
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or _is_guard(statement):
            continue
        if _trains(statement, training):
            yield statement


def _trains(part: ast.AST, training: set[str]) -> bool:
    called = [node.func for node in ast.walk(part) if isinstance(node, ast.Call)]
    return any(
        (isinstance(one, ast.Attribute) and one.attr == "backward")
        or (isinstance(one, ast.Name) and one.id in training)
        or ast.unparse(one) in ("under10k.train", "under10k.run_study", "trainer.fit")
        for one in called
    )


def _is_guard(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test)


_PACKAGE = Path(__file__).parent.parent
"""Not any folder called under10k: a clone is one, and the user's file may lie in it."""


def where_it_failed(error: BaseException) -> str:
    """Return the line of the user's that an error came from, its kind and the first line of its message."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_ours(frame.filename)]
    line = f"line {frames[0].lineno}: " if frames else ""
    text = str(error).strip().partition("\n")[0]
    return f"{line}{type(error).__name__}{f': {text:.200}' if text else ''}"


def _is_ours(filename: str) -> bool:
    path = Path(filename)
    return "site-packages" in path.parts or path.is_relative_to(_PACKAGE) or filename.startswith("<frozen")

"""Networks of the user's own: `my_net.py:Net`, `package.module:Net(width=8)`, or a class handed over in Python.

Code runs only from a file that the user names, or that a run names and that stands there unchanged: see
`require_recorded`.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from under10k.errors import ModelError, Under10kError, UsageError, unknown_name, wrong_type
from under10k.files import open_ordinary, sha256
from under10k.models.chance import DrawingFrom
from under10k.models.source import find_module, run_source, where_it_failed
from under10k.models.trial import try_out
from under10k.recipes import Recipe

MOST_BYTES = 2**20
"""Bytes that the file of a network may have."""

_SPELLING = re.compile(r"(?P<place>.+?\.py|[A-Za-z_][\w.]*):(?P<name>[A-Za-z_]\w*)(?P<arguments>\(.*\))?", re.DOTALL)

_made: dict[tuple[str, str | None], Callable[..., nn.Module]] = {}
"""What builds a network, by its name and the SHA-256 of its source: loaded, or handed over, in this process."""


def is_own(name: object) -> bool:
    """Tell whether a model's name is of a network of the user's own."""
    return isinstance(name, str) and ":" in name


@dataclass(frozen=True)
class OwnNetwork:
    """The parts of a name such as `my_net.py:Net(width=8)`."""

    place: str
    """A file that ends in .py, or a module."""
    name: str
    """The class or function in it."""
    call: str
    """The arguments as written, in brackets; empty where there are none."""
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]

    @property
    def is_file(self) -> bool:
        """Tell whether the place is a file."""
        return self.place.endswith(".py")

    @property
    def path(self) -> Path:
        """The file that the code is in.

        Raises:
            UsageError: the place is a module that is not there.
        """
        return Path(self.place) if self.is_file else find_module(self.place)


def parse_own(name: str) -> OwnNetwork:
    """Take the name of a network apart; arguments must be literals.

    Raises:
        UsageError: it is not written `FILE.py:NAME` or `MODULE:NAME`, or an argument is no literal.
    """
    found = _SPELLING.fullmatch(name)
    if not found:
        raise UsageError(f"not a network: {name!r:.200}. write FILE.py:NAME, MODULE:NAME or FILE.py:NAME(width=8)")
    call = found["arguments"] or ""
    try:
        parsed = ast.parse(f"f{call or '()'}", mode="eval").body
        if not isinstance(parsed, ast.Call) or not isinstance(parsed.func, ast.Name):
            raise ValueError("no call")
        if not all(keyword.arg for keyword in parsed.keywords):
            raise ValueError("a mapping with two stars")
        arguments = tuple(ast.literal_eval(one) for one in parsed.args)
        options = {str(one.arg): ast.literal_eval(one.value) for one in parsed.keywords}
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise UsageError(
            f"not arguments: {call:.200} of {found['place']}:{found['name']}. "
            "give literals, such as (width=8, norm=True)"
        ) from None
    return OwnNetwork(found["place"], found["name"], call, arguments, options)


def create_own(name: str, options: Mapping[str, Any], *, sha256: str | None = None) -> nn.Module:
    """Build a network of the user's own, and try it out; `options` are added to the arguments in its name.

    Raises:
        UsageError: its file, callable or an option is not there, its code fails, or what it builds reads no digits.
        ModelError: the file is not the one with this SHA-256.
    """
    parsed = parse_own(name)
    make = _find(name, parsed, sha256)
    known = inspect.signature(make).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    for option in options:
        if option not in known and not takes_all:
            raise unknown_name(f"option of {parsed.place}:{parsed.name}", option, known)
    try:
        with torch.inference_mode(False):  # the caller's would keep the weights from ever being trained
            model = make(*parsed.arguments, **{**options, **parsed.options})
    except Under10kError:
        raise
    except Exception as error:
        raise UsageError(f"cannot build the network: {name} ({where_it_failed(error)}). correct it") from None
    if not isinstance(model, nn.Module):
        raise UsageError(f"no network: {name} builds a {type(model).__name__}. return a torch.nn.Module")
    return try_out(model.float(), name)


def create_recorded(recipe: Recipe) -> nn.Module:
    """Build the own network of a recipe; its constructor is given the recipe's dropout if it takes one."""
    parsed = parse_own(recipe.model)
    make = _find(recipe.model, parsed, recipe.model_sha256)
    options = {"dropout": recipe.dropout} if "dropout" in inspect.signature(make).parameters else {}
    return create_own(recipe.model, options, sha256=recipe.model_sha256)


def pin(recipe: Recipe) -> Recipe:
    """Return a recipe whose own network is named by its whole path and the SHA-256 of its file; it is tried out once.

    Raises:
        UsageError: the network cannot be built, or reads no digits.
        ModelError: the recipe has another SHA-256: the file has changed, or is gone.
    """
    parsed = parse_own(recipe.model)
    if (recipe.model, recipe.model_sha256) not in _made:
        content = _read(parsed, recipe.model_sha256)
        model = f"{parsed.path.resolve()}:{parsed.name}{parsed.call}" if parsed.is_file else recipe.model
        recipe = replace(recipe, model=model, model_sha256=sha256(content))
    with DrawingFrom(torch.Generator()):  # the caller's chance is kept
        create_recorded(recipe)
    return recipe


def hand_over(network: object) -> tuple[str, str | None]:
    """Take a class or function that builds a network, and return its name and the SHA-256 of its source.

    The source is its file, where it was imported from one, else its own text: that of a notebook's cell.

    Raises:
        UsageError: it is no such thing, or has no name.
    """
    if isinstance(network, nn.Module) or not callable(network):
        raise wrong_type("model", network, "a class or function that builds a network, such as Net, not Net()")
    name, digest = name_source(network, "network")
    _made[name, digest] = network
    return name, digest


def with_network(recipe: Recipe, model: Callable[..., nn.Module] | str) -> Recipe:
    """Return a recipe with another network: by name, or handed over.

    Raises:
        UsageError: it is neither a name, nor a class or function that has one.
    """
    name, digest = (model, None) if isinstance(model, str) else hand_over(model)
    return replace(recipe, model=name, model_sha256=digest)


def lives_here(recipe: Recipe) -> bool:
    """Tell whether a recipe's network was written in a notebook's cell or at a prompt: no other process has it."""
    if not is_own(recipe.model) or not is_loaded(recipe):
        return False
    parsed = parse_own(recipe.model)
    try:
        return sha256(parsed.path.read_bytes()) != recipe.model_sha256
    except (UsageError, OSError):  # no such module
        return True


def name_source(code: Callable[..., Any], what: str) -> tuple[str, str | None]:
    """Return the name of a class or function, with its whole path where it has a file, and the SHA-256 of its source.

    Raises:
        UsageError: it has no name of its own.
    """
    qualified = getattr(code, "__qualname__", "")
    if not qualified.isidentifier():
        raise UsageError(f"a {what} without a name: {qualified or code!r:.200}. define it at the top of a module")
    try:
        file = Path(inspect.getsourcefile(code) or "")
    except (TypeError, OSError):
        file = Path()
    importable = getattr(sys.modules.get(code.__module__), qualified, None) is code
    if importable and file.suffix == ".py" and file.is_file():
        return f"{file.resolve()}:{qualified}", sha256(file.read_bytes())
    return f"{code.__module__}:{qualified}", _digest_of(code)


def is_loaded(recipe: Recipe) -> bool:
    """Tell whether the recipe's own network was loaded or handed over in this process: nothing more need run."""
    return (recipe.model, recipe.model_sha256) in _made


def require_recorded(recipe: Recipe, where: str) -> None:
    """Refuse to run the code that a run or study names, unless it is an unchanged file of the user's own.

    Whoever hands over a run folder writes what it names. So nothing is run but a class, in a file that stands at its
    whole path with the SHA-256 recorded, outside of run and study folders and of Python's own.

    Raises:
        ModelError: it is anything else; it says to name the network.
    """
    if not is_own(recipe.model) or is_loaded(recipe):
        return
    try:
        parsed = parse_own(recipe.model)
    except UsageError:
        raise ModelError(f"no network: {where} names {recipe.model!r:.200}. {_NAME_IT}") from None
    path = Path(parsed.place)
    if not parsed.is_file or not path.is_absolute() or recipe.model_sha256 is None:
        raise ModelError(f"not a file to trust: {where} names {recipe.network}. {_NAME_IT}")
    for folder in path.resolve().parents:
        if (folder / "recipe.json").exists() or (folder / "plan.json").exists() or folder in _library():
            raise ModelError(f"not a file to trust: {where} names {path}, in {folder}. {_NAME_IT}")
    tree = ast.parse(_read(parsed, recipe.model_sha256))
    if not any(isinstance(part, ast.ClassDef) and part.name == parsed.name and part.bases for part in tree.body):
        raise ModelError(f"not a class: {where} names {recipe.network}. {_NAME_IT}")


_NAME_IT = "name the network: model='FILE.py:NAME'"


def _library() -> set[Path]:
    return {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}


def _find(name: str, parsed: OwnNetwork, expected: str | None) -> Callable[..., nn.Module]:
    """Return what builds a network: as it was loaded or handed over before, else from its source."""
    return _made.get((name, expected)) or _load(parsed, expected)


def _load(parsed: OwnNetwork, expected: str | None) -> Callable[..., nn.Module]:
    """Run a network's source and return what builds it."""
    content = _read(parsed, expected)
    make = run_source(parsed.path, content, parsed.name, None if parsed.is_file else parsed.place)
    if inspect.isclass(make) and not issubclass(make, nn.Module):
        raise UsageError(f"no network: {parsed.place}:{parsed.name} is no torch.nn.Module. name a class that is one")
    where = f"{parsed.path.resolve()}" if parsed.is_file else parsed.place
    _made[f"{where}:{parsed.name}{parsed.call}", sha256(content)] = make
    return make


def _read(parsed: OwnNetwork, expected: str | None) -> bytes:
    """Return the source of a network, which must have the SHA-256 expected, if any is.

    Raises:
        ModelError: one is expected, and the file is another, or gone.
        UsageError: there is no such file.
    """
    path = parsed.path
    try:
        with open_ordinary(path, MOST_BYTES, UsageError) as file:
            content = file.read(MOST_BYTES)
    except OSError as error:
        if expected:
            raise ModelError(
                f"the network's file is gone: {path} ({error.strerror}). put it back, or {_NAME_IT}"
            ) from None
        raise UsageError(f"no such network: {path} ({error.strerror}). give FILE.py:NAME") from None
    if expected not in (None, sha256(content)):
        raise ModelError(f"the network's file has changed: {path}. put back what was trained, or {_NAME_IT}")
    return content


def _digest_of(network: Callable[..., Any]) -> str | None:
    """Return the SHA-256 of the text of a class or function; of a class, or of its forward."""
    for part in (network, getattr(network, "forward", network)):
        try:
            return sha256(inspect.getsource(part).encode())
        except (TypeError, OSError):  # typed at a prompt, say
            continue
    return None

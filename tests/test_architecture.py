"""The house rules: which room may import which, what stays at the rim, what is public."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import under10k

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
from run_on_cpus import NUMERIC, TESTS

SOURCE = Path(under10k.__file__).parent

ROOMS = [
    "errors",
    "version",
    "lazy",
    "text",
    "terminal",
    "typed",
    "files",
    "machine",
    "recipes",
    "data",
    "weights",
    "models",
    "evaluation",
    "runs",
    "pictures",
    "insight",
    "export",
    "plots",
    "assessment",
    "serve",
    "training",
    "study",
    "bench",
    "cli",
]
"""The files and folders of the package. Each imports only from those before it, and a folder only through its door."""

OUTSIDE = {"__init__", "__main__"}
"""The front doors, which open onto every room."""

RIM = {
    "cyclopts": "cli",
    "fastapi": "serve",
    "matplotlib": "plots",
    "onnx": "export",
    "onnxruntime": "export",
    "ray": "study",
    "h11": "serve",
    "python_multipart": "serve",
}
"""Heavy libraries, and the one room that may import each."""

FORBIDDEN = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "yaml",
    "runpy",
    "code",
}
"""Modules that run what they read, or may."""

UNPICKLING = {
    "torch.load",
    "torch.save",
    "torch.jit.load",
    "torch.export.load",
    "torch.hub.load",
    "np.load",
    "numpy.load",
}
"""Functions that read or write a pickle, or may."""

RUNNING = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
"""Functions that run a text."""


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1]) if len(parts) > 1 and parts[-1] == "__init__" else ".".join(parts)


FILES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
INSIDE = sorted(FILES.keys() - OUTSIDE)


def room_of(name: str) -> str:
    return name.partition(".")[0]


def running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a tree but those that only a type checker sees."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if isinstance(tree, ast.If) and ast.unparse(tree.test).endswith("TYPE_CHECKING") and child in tree.body:
            continue
        yield from running(child)


def imported(name: str, tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name) of all that a module imports, inside functions too; the name is empty for `import module`."""
    package = ["under10k", *name.split(".")]
    package = package if FILES[name].name == "__init__.py" else package[:-1]
    for node in running(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((origin, alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "under10k":
            yield "under10k", node.attr  # `import under10k; under10k.train` imports on use


def faults(name: str, tree: ast.AST) -> list[str]:
    """Imports that go against the order of the rooms, or past a room's door."""
    found = []
    own = room_of(name)
    for module, item in imported(name, tree):
        top, _, inner = module.partition(".")
        if top != "under10k":
            continue
        if not inner and not item:
            continue  # `import under10k`, which counts where it is used
        if not inner:  # `from under10k import x` and `under10k.x`
            inner = item if item in ROOMS else under10k._HOMES.get(item, item)
        room = room_of(inner)
        if room == own:
            continue
        if room not in ROOMS[: ROOMS.index(own)]:
            found.append(f"{name} imports {inner}: {room} is not before {own}")
        elif "." in inner or (f"{room}.{item}" in FILES and item not in door(room)):
            found.append(f"{name} imports {inner}: go through the door, under10k.{room}")
    return found


def door(room: str) -> set[str]:
    """What a folder hands out."""
    return set(dir(importlib.import_module(f"under10k.{room}")))


def siblings(name: str) -> set[str]:
    """The modules of its own room that a module imports."""
    found = set()
    for module, item in imported(name, TREES[name]):
        inner = module.removeprefix("under10k.")
        for candidate in (f"{inner}.{item}", inner):
            if candidate in FILES and candidate != name and room_of(candidate) == room_of(name) and "." in candidate:
                found.add(candidate)
                break
    return found


def libraries(name: str) -> set[str]:
    return {module.partition(".")[0] for module, _ in imported(name, TREES[name])}


# --- rooms and doors ---------------------------------------------------------------------------------------------


def test_the_folder_holds_the_rooms_and_nothing_else() -> None:
    entries = {path.stem for path in SOURCE.iterdir() if path.name != "__pycache__"}
    assert entries == {*ROOMS, *OUTSIDE, "py"}


def test_each_room_imports_only_from_those_before_it_and_through_their_doors() -> None:
    assert len(INSIDE) > 40
    assert [fault for name in INSIDE for fault in faults(name, TREES[name])] == []


def test_no_room_has_a_circle_in_it() -> None:
    graph = {name: siblings(name) for name in INSIDE if "." in name}
    assert sum(map(len, graph.values())) > 40, "the imports were found"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("circle: " + " -> ".join(error.args[1]))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("files", "from under10k.cli import main"),
        ("files", "import under10k.runs"),
        ("files", "from under10k import runs"),
        ("files", "from .training import train"),
        ("files", "def f():\n    from . import recipes"),
        ("files", "import under10k\ndef f():\n    under10k.train()"),
        ("models.gap", "from ..runs import Run"),
        ("errors", "from under10k import __main__"),
        ("training.trainer", "from under10k.runs.folder import Run"),
        ("training.trainer", "import under10k.data.digits"),
    ],
)
def test_an_import_against_the_rules_is_found_however_it_is_written(name: str, code: str) -> None:
    assert len(faults(name, ast.parse(code))) == 1


def test_imports_for_the_type_checker_alone_do_not_count() -> None:
    code = "if TYPE_CHECKING:\n    from under10k.cli import main\nelse:\n    from under10k.errors import Under10kError"
    assert faults("files", ast.parse(code)) == []


# --- the rim -----------------------------------------------------------------------------------------------------


def test_a_heavy_library_is_imported_in_its_own_room_only() -> None:
    for library, room in RIM.items():
        assert {room_of(name) for name in INSIDE if library in libraries(name)} == {room}


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_reads_or_writes_a_pickle(name: str) -> None:
    assert libraries(name) & FORBIDDEN == set()
    dotted = {".".join(filter(None, pair)) for pair in imported(name, TREES[name])}
    calls = {ast.unparse(node) for node in ast.walk(TREES[name]) if isinstance(node, ast.Attribute | ast.Name)}
    assert (calls | dotted) & UNPICKLING == set()
    assert [n for n in ast.walk(TREES[name]) if isinstance(n, ast.keyword) and n.arg == "allow_pickle"] == []


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_runs_a_text(name: str) -> None:
    calls = [node for node in ast.walk(TREES[name]) if isinstance(node, ast.Call)]
    assert {ast.unparse(call.func) for call in calls} & RUNNING == set()
    assert [call for call in calls for keyword in call.keywords if keyword.arg == "shell"] == []


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["nonsense"]])
def test_the_command_line_answers_without_torch_or_matplotlib(arguments: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "under10k", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == (2 if arguments == ["nonsense"] else 0)
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "under10k.cli" in modules
    assert {module for module in modules if module.partition(".")[0] in ("torch", "matplotlib", "scipy")} == set()


def test_importing_the_package_imports_no_library() -> None:
    code = "import sys, under10k; print(*sorted({'torch', 'numpy', 'rich', 'cyclopts'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


# --- what is public ----------------------------------------------------------------------------------------------


def test_public_names_are_sorted_and_all_there_are() -> None:
    assert under10k.__all__ == sorted(set(under10k.__all__))
    assert set(under10k.__all__) == under10k._HOMES.keys() | {"plots", "recipes"}
    assert set(under10k.__all__) <= set(dir(under10k))


@pytest.mark.parametrize("name", under10k.__all__)
def test_a_public_name_can_be_imported_and_says_what_it_is(name: str) -> None:
    value = getattr(under10k, name)
    assert (value.__doc__ or "").strip()
    assert not (value.__doc__ or "").startswith(f"{name}("), "dataclasses write such a docstring by themselves"


@pytest.mark.parametrize("name", under10k.__all__)
def test_a_type_checker_sees_each_public_name_where_it_comes_from(name: str) -> None:
    visible = {
        alias.name: node.module
        for block in ast.walk(TREES["__init__"])
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert visible[name] == ("under10k" if name in ("plots", "recipes") else f"under10k.{under10k._HOMES[name]}")


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = under10k.nonsense


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_module_says_what_it_is_for(name: str) -> None:
    assert ast.get_docstring(TREES[name])


def test_the_package_says_that_it_is_typed() -> None:
    assert (SOURCE / "py.typed").is_file()
    assert importlib.import_module("under10k").__version__ == under10k.__version__


@pytest.mark.parametrize("name", NUMERIC)
def test_each_test_that_other_processors_are_tried_with_is_there(name: str) -> None:
    file, _, test = name.partition("::")
    assert (TESTS / file).exists()
    assert not test or f"def {test}(" in (TESTS / file).read_text(encoding="utf-8")

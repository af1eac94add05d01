"""The house rules: who may import whom, what stays at the rim, what is public."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import tenk

SOURCE = Path(tenk.__file__).parent

LEVELS: dict[str, int] = {
    # leaves
    "errors": 0,
    "typed": 0,
    "files": 0,
    "digits": 0,
    "allocator": 0,
    "averaging": 0,
    "chance": 0,
    "bounds": 0,
    "ink": 0,
    "pictures": 0,
    "preprocess": 0,
    "resize": 0,
    "schedule": 0,
    "selection": 0,
    "sgd": 0,
    "stats": 0,
    "stroke": 0,
    "device": 0,
    "download": 0,
    "rearrange": 0,
    "tensors": 0,
    "terminal": 0,
    "weights": 0,
    "models": 0,
    "models.blocks": 0,
    "models.early": 0,
    "models.gap": 0,
    "models.transition": 0,
    # descriptions and measurements
    "datasets": 1,
    "synthetic": 1,
    "augment": 1,
    "corruptions": 1,
    "recipes": 1,
    "evaluation": 1,
    "summary": 1,
    # a run on disk
    "runs": 2,
    "plan": 2,
    # the work
    "report": 3,
    "plots": 3,
    "export": 3,
    "export.plain": 3,
    "export.layout": 3,
    "export.stages": 3,
    "export.int8": 3,
    "export.c_source": 3,
    "export.native": 3,
    "export.proof": 3,
    "export.c": 3,
    "export.html": 3,
    "export.onnx": 3,
    "prediction": 3,
    "training": 3,
    "scores": 3,
    # many runs
    "bench": 4,
    "engines": 4,
    "serve": 4,
    "serve.app": 4,
    "serve.decoder": 4,
    "serve.guard": 4,
    "serve.readers": 4,
    "serve.server": 4,
    "cluster": 4,
    "study": 4,
    "study_report": 4,
    "bench.inference": 4,
    "bench.loading": 4,
    "bench.plain": 4,
    "bench.timing": 4,
    "bench.training": 4,
    # the command line
    "cli": 5,
}
"""The level of each module: imports point down, or sideways where they make no circle."""

OUTSIDE = {"__init__", "__main__"}
"""The front doors, which open onto every level."""

RIM = {
    "fastapi": "serve.app",
    "h11": "serve.server",
    "matplotlib": "plots",
    "onnx": "export.onnx",
    "onnxruntime": "export.onnx",
    "ray": "cluster",
    "tyro": "cli",
}
"""Heavy libraries, and the one module that may import each."""

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

RUNNING = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
"""Functions that run a text."""


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1]) if len(parts) > 1 and parts[-1] == "__init__" else ".".join(parts)


FILES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
INSIDE = sorted(FILES.keys() - OUTSIDE)

of_each_module = pytest.mark.parametrize("name", INSIDE)


def running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a tree but those that only a type checker sees."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if isinstance(tree, ast.If) and ast.unparse(tree.test).endswith("TYPE_CHECKING") and child in tree.body:
            continue
        yield from running(child)


def imported(name: str, tree: ast.AST) -> Iterator[str]:
    """Absolute dotted names of all that a module imports, inside functions too; `from a import b` gives `a.b`."""
    package = ["tenk", *name.split(".")] if FILES[name].name == "__init__.py" else ["tenk", *name.split(".")[:-1]]
    for node in running(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "tenk":
            yield f"tenk.{node.attr}"  # `import tenk; tenk.train` imports on use


def module_of(dotted: str) -> str | None:
    """The module of ours that a dotted name lies in; None for the package itself and for libraries."""
    first, *parts = dotted.split(".")
    if first != "tenk" or not parts:
        return None
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in FILES:
            return ".".join(parts[:length])
    return tenk._HOMES.get(parts[0])


def neighbours(name: str, tree: ast.AST) -> set[str]:
    return {module for module in map(module_of, imported(name, tree)) if module is not None} - {name}


def faults(graph: dict[str, set[str]]) -> list[str]:
    """Imports that point up, and the first circle."""
    found = [
        f"{name} (level {LEVELS[name]}) imports {other} (level {LEVELS.get(other, 'outside')})"
        for name, others in sorted(graph.items())
        for other in sorted(others)
        if LEVELS.get(other, 99) > LEVELS[name]
    ]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append("circle: " + " -> ".join(error.args[1]))
    return found


# --- levels ------------------------------------------------------------------------------------------------------


def test_every_module_has_its_level() -> None:
    assert len(INSIDE) > 20
    assert set(INSIDE) <= LEVELS.keys(), "give a new module its place in LEVELS"


def test_imports_point_down_or_sideways_and_never_in_a_circle() -> None:
    graph = {name: neighbours(name, TREES[name]) for name in INSIDE}
    assert sum(map(len, graph.values())) > 40, "the imports were found"
    assert faults(graph) == []


@pytest.mark.parametrize(
    ("name", "code", "other"),
    [
        ("files", "from tenk.cli import main", "cli"),
        ("files", "import tenk.runs", "runs"),
        ("files", "from tenk import runs", "runs"),
        ("files", "from .training import train", "training"),
        ("files", "def f():\n    from . import recipes", "recipes"),
        ("files", "import tenk\ndef f():\n    tenk.train()", "training"),
        ("files", "import tenk\nclass A:\n    x = tenk.recipes", "recipes"),
        ("models.gap", "from ..summary import summarise", "summary"),
        ("errors", "from tenk import __main__", "__main__"),
    ],
)
def test_an_import_that_points_up_is_found_however_it_is_written(name: str, code: str, other: str) -> None:
    found = faults({name: neighbours(name, ast.parse(code))})
    assert len(found) == 1
    assert f" imports {other} " in found[0]


def test_a_circle_is_found() -> None:
    graph = {"errors": {"files"}, "files": {"digits"}, "digits": {"errors"}}
    assert len(faults(graph)) == 1
    assert faults(graph)[0].startswith("circle")


def test_imports_for_the_type_checker_alone_do_not_count() -> None:
    code = "if TYPE_CHECKING:\n    from tenk.cli import main\nelse:\n    from tenk.errors import TenkError"
    assert neighbours("files", ast.parse(code)) == {"errors"}


# --- the rim -----------------------------------------------------------------------------------------------------


@of_each_module
def test_a_heavy_library_is_imported_in_its_own_module_only(name: str) -> None:
    libraries = {dotted.partition(".")[0] for dotted in imported(name, TREES[name])}
    assert {library for library, home in RIM.items() if library in libraries and home != name} == set()


def test_heavy_libraries_are_imported_where_they_are_said_to_be() -> None:
    for library, home in RIM.items():
        assert library in {dotted.partition(".")[0] for dotted in imported(home, TREES[home])}


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_reads_or_writes_a_pickle(name: str) -> None:
    dotted = set(imported(name, TREES[name]))
    assert {library.partition(".")[0] for library in dotted} & FORBIDDEN == set()
    calls = {ast.unparse(node) for node in ast.walk(TREES[name]) if isinstance(node, ast.Attribute | ast.Name)}
    for call in (
        "torch.load",
        "torch.save",
        "torch.jit.load",
        "torch.export.load",
        "torch.hub.load",
        "np.load",
        "numpy.load",
    ):
        assert call not in calls | dotted
    permitting = [
        node for node in ast.walk(TREES[name]) if isinstance(node, ast.keyword) and node.arg == "allow_pickle"
    ]
    assert permitting == []


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_runs_a_text(name: str) -> None:
    calls = [node for node in ast.walk(TREES[name]) if isinstance(node, ast.Call)]
    assert {ast.unparse(call.func) for call in calls} & RUNNING == set()
    assert [call for call in calls for keyword in call.keywords if keyword.arg == "shell"] == []


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["nonsense"]])
def test_the_command_line_answers_without_torch_or_matplotlib(arguments: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "tenk", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == (2 if arguments == ["nonsense"] else 0)
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "tenk.cli" in modules
    assert {module for module in modules if module.partition(".")[0] in ("torch", "matplotlib", "scipy")} == set()


def test_importing_the_package_imports_no_library() -> None:
    code = "import sys, tenk; print(*sorted({'torch', 'numpy', 'rich', 'tyro'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


# --- what is public ----------------------------------------------------------------------------------------------


def test_public_names_are_sorted_and_all_there_are() -> None:
    assert tenk.__all__ == sorted(set(tenk.__all__))
    assert set(tenk.__all__) == tenk._HOMES.keys() | {"recipes"}
    assert set(tenk.__all__) <= set(dir(tenk))


@pytest.mark.parametrize("name", tenk.__all__)
def test_a_public_name_can_be_imported_and_says_what_it_is(name: str) -> None:
    value = getattr(tenk, name)
    assert (value.__doc__ or "").strip()
    assert not (value.__doc__ or "").startswith(f"{name}("), "dataclasses write such a docstring by themselves"


@pytest.mark.parametrize("name", tenk.__all__)
def test_a_type_checker_sees_each_public_name_where_it_comes_from(name: str) -> None:
    visible = {
        alias.name: node.module
        for block in ast.walk(TREES["__init__"])
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert visible[name] == ("tenk" if name == "recipes" else f"tenk.{tenk._HOMES[name]}")


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = tenk.nonsense


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_module_says_what_it_is_for(name: str) -> None:
    assert ast.get_docstring(TREES[name])


def test_the_package_says_that_it_is_typed() -> None:
    assert (SOURCE / "py.typed").is_file()
    assert importlib.import_module("tenk").__version__ == tenk.__version__

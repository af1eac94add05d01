"""The command line: a file a verb, whose function's parameters are its options."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence

from under10k.cli.bench import bench
from under10k.cli.completion import ASK, complete, completion
from under10k.cli.evaluate import evaluate
from under10k.cli.explain import explain
from under10k.cli.export import export
from under10k.cli.fields import spell_out_flags
from under10k.cli.help import describe_all, describe_verb
from under10k.cli.lists import datasets, models, recipes
from under10k.cli.output import complain, describe_error, prepare_output
from under10k.cli.parsing import Verb, parse
from under10k.cli.plot import plot
from under10k.cli.predict import predict, write_out_dashes
from under10k.cli.serve import serve
from under10k.cli.study import study
from under10k.cli.summary import summary
from under10k.cli.train import train
from under10k.errors import UsageError, unknown_name
from under10k.version import __version__

VERBS: dict[str, Verb] = {
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "explain": explain,
    "summary": summary,
    "plot": plot,
    "export": export,
    "serve": serve,
    "bench": bench,
    "study": study,
    "datasets": datasets,
    "models": models,
    "recipes": recipes,
    "completion": completion,
}


_PREPARATIONS: dict[str, Callable[[Sequence[str]], list[str]]] = {
    "train": spell_out_flags,
    "study": spell_out_flags,
    "predict": write_out_dashes,
}
"""What is done to a verb's words before they are parsed."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with a documented exit code, and one line where something failed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = given[: given.index("--")] if "--" in given else given
    prepare_output()
    try:
        _run([word for word in options if word != "--debug"] + given[len(options) :])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output, `head` say, has seen enough
        _drop_output()
    except (Exception, KeyboardInterrupt) as error:
        if "--debug" in options:
            traceback.print_exc()
        kind, message, code = describe_error(error)
        complain(message, kind)
        _drop_output()
        sys.exit(code)


def _drop_output() -> None:
    """Let go of what cannot be printed: Python would try once more at its end, complain, and change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run(arguments: list[str]) -> None:
    if not arguments or arguments in (["-h"], ["--help"], ["help"]):
        print(describe_all(VERBS))
        return
    if arguments[0] == "help":
        arguments = [arguments[1], "--help"]
    verb, rest = arguments[0], arguments[1:]
    if verb == ASK:
        print("".join(f"{word}\n" for word in complete(VERBS, rest)), end="")
    elif verb in ("-V", "--version", "version"):
        print(f"under10k {__version__}")
    elif verb not in VERBS:
        raise unknown_name("verb", verb, VERBS)
    elif {"-h", "--help"} & set(rest[: rest.index("--")] if "--" in rest else rest):
        print(describe_verb(VERBS[verb], verb))
    elif "" in rest:
        raise UsageError(f"empty argument after {verb}. give it a value, or leave it out")
    else:
        parse(VERBS[verb], verb, _PREPARATIONS.get(verb, list)(rest))()

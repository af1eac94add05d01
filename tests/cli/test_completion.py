"""Pressing Tab: what is offered, and that real shells put it on the line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from terminals import terminal
from under10k.cli import VERBS, main
from under10k.cli.completion import SCRIPTS, complete
from under10k.recipes import list_recipes
from under10k.weights.bundled import list_weights

READY = "re''ady"
"""A shell that is told to echo this shows it twice, and only the second time in one piece."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run, a study, and a file with a space in its name."""
    for record in "runs/default-s0/recipe.json", "studies/mine/plan.json", "studies/mine/runs/fast-s1/recipe.json":
        (tmp_path / record).parent.mkdir(parents=True)
        (tmp_path / record).write_text("{}")
    (tmp_path / "few digits.png").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("tr", ["train"]),
        ("help su", ["summary"]),
        ("train ", list_recipes()),
        ("train --epochs 3 fas", ["fast"]),
        ("train --qui", ["--quiet"]),
        ("train --optimizer.l", ["--optimizer.lr"]),
        ("train --model g", ["gap"]),
        ("train --data mni", ["mnist"]),
        ("train --data=mni", ["--data=mnist"]),
        ("train --data = mni", ["mnist"]),
        ("train --protocol ", ["watched", "held-out", "fixed"]),
        ("train --resume ", ["runs/default-s0", "studies/mine/runs/fast-s1"]),
        ("train fast ", []),
        ("train --epochs ", []),
        ("study fast d", ["default", "documented-gap", "documented-transition"]),
        ("study --out ", ["studies/mine"]),
        ("evaluate ", [*list_weights(), "runs/default-s0", "studies/mine/runs/fast-s1"]),
        ("predict few", []),
        ("predict --model rob", ["robust"]),
        ("summary tr", ["transition"]),
        ("plot a ", ["runs/default-s0", "studies/mine/runs/fast-s1", "studies/mine"]),
        ("export --to ", ["onnx", "c", "html"]),
        ("export --to c rob", ["robust"]),
        ("recipes -- fas", ["fast"]),
        ("completion f", ["fish"]),
        ("nonsense ", []),
    ],
)
@pytest.mark.usefixtures("place")
def test_what_may_stand_at_the_cursor_is_offered(line: str, offered: list[str]) -> None:
    assert complete(VERBS, line.split(" ")) == offered


def test_nothing_typed_yet_offers_every_verb() -> None:
    assert complete(VERBS, [""]) == complete(VERBS, []) == [*VERBS, "help"]


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_help_says_how_to_install_it_in_every_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["completion", "--help"])
    assert f"under10k completion {shell}" in capsys.readouterr().out
    main(["completion", shell])
    assert capsys.readouterr().out == SCRIPTS[shell]


def under10k_on_path(folder: Path) -> str:
    """A PATH on which `under10k` is this Python's."""
    folder.mkdir()
    (folder / "under10k").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m under10k "$@"\n')
    (folder / "under10k").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


TYPED = [
    ("under10k recipes docu\tg\t", "under10k recipes documented-gap"),
    ("under10k predict few\t", "under10k predict few digits.png"),
    ("under10k summary --mark\t", "under10k summary --markdown"),
    ("under10k evaluate runs/\t", "under10k evaluate runs/default-s0"),
    ("under10k train --data=mni\t", "under10k train --data=mnist"),
]
"""Keys, and what the line is then."""


@pytest.mark.parametrize(
    ("shell", "options", "setup"),
    [
        ("bash", ["--norc", "-i"], "source <(under10k completion bash)"),
        ("zsh", ["-f", "-i"], "source <(under10k completion zsh)"),
        ("fish", ["--no-config", "-i"], "under10k completion fish | source"),
    ],
)
def test_a_shell_completes(shell: str, options: list[str], setup: str, place: Path) -> None:
    program = shutil.which(shell)
    if not program:
        pytest.skip(f"{shell} is not installed")
    environment = {
        "PATH": under10k_on_path(place / ".bin"),
        "HOME": str(place),
        "PS1": "$ ",
        "INPUTRC": "/dev/null",
        "EDITOR": "",
    }
    with terminal([program, *options], 120, place, **environment) as opened:
        opened.write(f"{setup}; echo {READY}\r")
        opened.read_until("ready\r\n")
        for keys, line in TYPED:
            if shell == "fish":  # it draws the line in pieces: it is asked what it would offer
                opened.write(
                    f"complete --do-complete='{keys.rpartition(chr(9))[0].replace(chr(9), 'mented-')}'; echo {READY}\r"
                )
                assert line.split(" ", 2)[2] in opened.read_until("ready\r\n").splitlines()
            else:  # the line is not run but printed: to its beginning, `echo :`, to its end, `:end`, and Return
                opened.write(f"{keys}\x01echo :\x05:en''d\r")
                assert f":{line}:end" in opened.read_until(":end").replace(" :end", ":end")


def test_bash_offers_files_where_under10k_has_no_answer(place: Path) -> None:
    bash = shutil.which("bash")
    assert bash
    done = subprocess.run(
        [bash, "-c", "source <(under10k completion bash); complete -p under10k"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": under10k_on_path(place / ".bin")},
    )
    assert "-o default" in done.stdout

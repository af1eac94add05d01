"""What the command line promises: one line where something is wrong, the documented exit codes, JSON where asked."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import pty
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import termios
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import under10k
from conftest import write_digits
from short_runs import KilledError, StopAt, kill, small
from terminals import terminal
from under10k.cli import VERBS, main
from under10k.data.datasets import Dataset
from under10k.data.identity import DataIdentity
from under10k.errors import ModelError, UsageError
from under10k.evaluation.corruptions import CORRUPTIONS
from under10k.files import locked
from under10k.recipes import RECIPES, Optimizer, get_recipe
from under10k.runs.folder import Run
from under10k.training.start import train


@pytest.fixture(scope="module")
def finished_run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    train(small(protocol="watched"), dataset, folder, reports=[])
    return folder


def fails(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    """Run the command line, check that it ends with that exit code and one line on standard error, and return it."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    assert ended.value.code == code, captured.err
    said = [line for line in captured.out.splitlines() if not line.startswith("study ")]  # which a study says at once
    assert said == []
    lines = captured.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0]


# --- without work --------------------------------------------------------------------------------------------------


def test_no_verb_shows_every_verb_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    out = capsys.readouterr().out
    assert all(f"  {verb} " in out for verb in VERBS)
    assert "5 diverged" in out


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert capsys.readouterr().out == f"under10k {under10k.__version__}\n"


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_explains_itself_and_each_of_its_options(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([verb, "--help"])
    out = capsys.readouterr().out
    assert (VERBS[verb].__doc__ or "").partition(".")[0].split()[0] in out
    assert out.startswith(f"usage: under10k {verb}")


def test_python_m_under10k_is_under10k() -> None:
    done = subprocess.run([sys.executable, "-m", "under10k", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"under10k {under10k.__version__}\n"


def test_models_and_recipes_are_listed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    main(["models", "--json"])
    assert all(row["parameters"] < 10_000 for row in json.loads(capsys.readouterr().out))
    main(["recipes", "--json"])
    assert {row["name"] for row in json.loads(capsys.readouterr().out)} == set(RECIPES)
    main(["recipes", "default", "--json"])
    assert json.loads(capsys.readouterr().out) == json.loads(get_recipe("default").to_json())


def test_data_sets_are_listed_with_where_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    main(["datasets"])
    out = capsys.readouterr().out
    assert "mnist" in out
    assert "drawn when needed" in out


def test_a_data_set_is_looked_into(capsys: pytest.CaptureFixture[str], data_folder: Path, tmp_path: Path) -> None:
    main(["datasets", str(data_folder), "--sheet", str(tmp_path / "sheet.png"), "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert (facts["training"], facts["test"]) == (384, 96)
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("arguments", [["gap"], ["transition", "--head", "linear", "--residual"]])
def test_summary_shows_a_model_in_every_format(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(["summary", *arguments])
    assert "field" in capsys.readouterr().out
    main(["summary", *arguments, "--markdown"])
    assert capsys.readouterr().out.startswith("| layer |")
    main(["summary", *arguments, "--json"])
    assert json.loads(capsys.readouterr().out)["parameters"] < 10_000


# --- wrong usage ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["trian"], "did you mean train?"),
        (["train", "defualt"], "did you mean default?"),
        (["train", "--model", "gpa"], "did you mean gap?"),
        (["train", "--epohcs", "3"], "did you mean --epochs?"),
        (["train", "--epochs", "0"], "epochs out of range: 0. give at least 1"),
        (["train", "--epochs", "many"], "epochs: 'many' is not a whole number"),
        (["train", "--epochs", "3,5"], "to train with each: under10k study RECIPE --epochs 3,5"),
        (["train", "--optimizer", "3"], "write one of them, such as --optimizer.name"),
        (["train", "--json=3"], "unexpected value: --json=3"),
        (["train", "--data", "a", "--data", "b"], "given twice: --data"),
        (["train", "fast", "default"], "unexpected argument: 'default'"),
        (["train", "--", "-x"], "unknown recipe: '-x'"),
        (["train", "--out", "-x"], "write --out=FOLDER"),
        (["train", "--optimizer.lr", "-1"], "optimizer.lr out of range: -1.0"),
        (["train", "--batch-size", "-1"], "batch_size out of range"),
        (["train", "--optimizer.lr", "nan"], "optimizer.lr out of range"),
        (["train", "--optimizer.name", "lion"], "adam, adamw, sgd"),
        (["train", "--seed", str(2**64)], "seed out of range"),
        (["train", "--target-accuracy", "0.99"], "protocol fixed cannot stop early"),
        (["train", "--device", "tpu"], "unknown device"),
        (["train", "--epochs", "1", "documented-gpa"], "did you mean documented-gap?"),
        (["train", "default", "--resume", "runs/x"], "leave out default"),
        (["train", "--out", ""], "empty argument after train"),
        (["summary", "/", "--residual"], "leave out --residual"),
        (["train", "--name", "../up"], "not a recipe name"),
        (["summary", "gpa"], "did you mean gap?"),
        (["recipes", "defualt"], "did you mean default?"),
        (["evaluate"], "under10k evaluate"),
        (["plot"], "under10k plot"),
        (["bench", "--rounds", "0"], "rounds out of range"),
        (["datasets", "minst"], "did you mean mnist?"),
        (["study"], "write: under10k study default"),
        (["study", "defualt"], "did you mean default?"),
        (["study", "default", "--optimizer.rl", "0.1"], "did you mean --optimizer.lr?"),
        (["study", "default", "--optimizer.lr", "fast"], "optimizer.lr: 'fast' is not a number"),
        (["study", "default", "--epochs", "1,"], "epochs: '' is not a whole number"),
        (["study", "default", "--seed", "1"], "did you mean --seeds?"),
        (["study", "default", "--seeds", "0"], "seeds out of range: 0"),
        (["study", "default", "--engine", "slurm"], "processes"),
        (["study", "default", "--data", "minst"], "did you mean mnist?"),
        (["serve", "--port", "many"], "--port"),
        (["completion", "cmd"], "there are: bash, fish, zsh"),
        (["export", "run"], "--to"),
        (["export", "run", "--to", "rust"], "there are: c, html, onnx"),
    ],
)
def test_wrong_usage_is_one_line_with_a_remedy(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hint in fails(capsys, 2, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_names_with_control_characters_are_printed_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    line = fails(capsys, 4, "evaluate", "a\x1b[31m\nb")
    assert "\\x1b[31m\\nb" in line


def test_debug_shows_the_traceback_then_the_line_and_keeps_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    line = fails(capsys, 2, "train", "defualt")
    with pytest.raises(SystemExit) as ended:
        main(["train", "defualt", "--debug"])
    assert ended.value.code == 2
    first, *_, last = capsys.readouterr().err.splitlines()
    assert (first, last) == ("Traceback (most recent call last):", line)


def test_a_closed_pipe_is_quiet() -> None:
    script = '"$0" -m under10k recipes | head -n 1; exit ${PIPESTATUS[0]}'
    done = subprocess.run(["bash", "-c", script, sys.executable], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_locale_and_no_home_do_no_harm(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "LANG": "C", "LC_ALL": "C", "HOME": "/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-m", "under10k", "recipes"], capture_output=True, env=environment, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


# --- training ------------------------------------------------------------------------------------------------------


def test_train_alone_trains_the_default_recipe_on_whatever_data_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("under10k.training.train", lambda *given, **_: asked.extend(given))
    main(["train"])
    assert asked == [get_recipe("default"), "auto", None, False]


def test_any_field_of_a_recipe_is_an_option(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = "--epochs 1 --optimizer.lr 0.02 --residual --augment.shear 0 --seed 3 --head linear --averaging 0.5"
    main(["train", "default", *options.split(), "--data", str(data_folder), "--out", str(tmp_path / "run"), "--json"])
    printed = json.loads(capsys.readouterr().out)
    recipe = Run(tmp_path / "run").recipe()
    assert (recipe.epochs, recipe.optimizer.lr, recipe.residual, recipe.augment.shear) == (1, 0.02, True, 0)
    assert (recipe.seed, recipe.head, recipe.averaging) == (3, "linear", 0.5)
    assert recipe.optimizer.nesterov == get_recipe("default").optimizer.nesterov
    assert printed == json.loads((tmp_path / "run" / "result.json").read_text())


def test_plain_output_has_a_line_an_epoch_and_the_closing_facts(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["documented-gap", "--epochs", "2", "--data", str(data_folder), "--out", str(tmp_path / "run")]
    main(["train", *arguments])
    out = capsys.readouterr().out
    assert sum(line.startswith("epoch ") for line in out.splitlines()) == 2
    for fact in (
        "test accuracy",
        "95 % interval",
        "of 96",
        "watched",
        "9,720",
        "biased upward",
        "99.41% not reached",
        str(tmp_path),
    ):
        assert fact in out
    assert "\x1b" not in out


def test_an_interrupted_training_resumes_from_the_command_line(
    dataset: Dataset, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KilledError):
        train(small(), str(data_folder), tmp_path / "run", reports=[StopAt(1, 2, kill)])
    main(["train", "--resume", str(tmp_path / "run")])
    assert "resumed after epoch 1\n" in capsys.readouterr().out
    train(small(), str(data_folder), tmp_path / "whole", reports=[])
    assert (tmp_path / "run/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()
    assert "epochs was 2, is now 9" in fails_after_kill(dataset, data_folder, tmp_path, capsys)


def fails_after_kill(dataset: Dataset, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(KilledError):
        train(small(), str(data_folder), tmp_path / "other", reports=[StopAt(1, 2, kill)])
    return fails(capsys, 4, "train", "--resume", str(tmp_path / "other"), "--epochs", "9")


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (["--data", "{empty}"], 3, "no digits"),
        (["--data", "/nonexistent"], 2, "no such folder"),
        (["--optimizer.lr", "1e12", "--averaging", "0", "--data", "{data}"], 5, "lower optimizer.lr"),
        (["--out", "{file}", "--data", "{data}"], 1, "cannot make a run folder"),
        (["--out", "{empty}/..", "--data", "{data}"], 2, "not empty"),
        (["--resume", "{empty}"], 4, "not a run folder"),
        (["--resume", "{file}"], 4, "not a run folder"),
        (["--device", "cuda"], 2, "--device cpu"),
    ],
)
def test_a_training_that_cannot_be_says_why(
    arguments: list[str],
    code: int,
    hint: str,
    data_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    empty, file = tmp_path / "empty", tmp_path / "file"
    empty.mkdir()
    file.write_text("")
    filled = [argument.format(empty=empty, file=file, data=data_folder) for argument in arguments]
    out = [] if "--out" in filled or "--resume" in filled else ["--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as ended:
        main(["train", "--epochs", "2", *filled, *out] if "--resume" not in filled else ["train", *filled])
    error = capsys.readouterr().err
    assert ended.value.code == code
    assert error.count("\n") == 1
    assert hint in error


AS_NOBODY = """
import os, sys
import under10k.training.report, under10k.training.start
from under10k.cli import main
if os.geteuid() == 0:  # root may write anywhere
    os.setuid(65534)
main(sys.argv[1:])
"""


def is_open_to_others(folder: Path) -> bool:
    """Tell whether any user may enter a folder: `/root` and what `mktemp -d` makes are closed."""
    return all(part.stat().st_mode & stat.S_IXOTH for part in (folder, *folder.parents))


@pytest.mark.skipif(not is_open_to_others(Path(sys.prefix)), reason="others may not enter the virtual environment")
def test_a_read_only_folder_is_refused_before_training(dataset: Dataset) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_digits(folder / "data", dataset)
        folder.chmod(0o555)
        command = [sys.executable, "-c", AS_NOBODY, "train", "--data", f"{folder}/data", "--out", f"{folder}/run"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        folder.chmod(0o755)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: cannot make a run folder")
    assert done.stderr.count("\n") == 1


def test_running_out_of_device_memory_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("under10k.training.shards.augment", exhausted)
    with pytest.raises(SystemExit) as ended:
        main(["train", "--data", str(data_folder), "--out", str(tmp_path / "run")])
    assert ended.value.code == 1
    assert "lower --batch-size" in capsys.readouterr().err


def test_missing_mnist_falls_back_to_synthetic_digits_and_says_so_first_and_last(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    noted = replace(dataset, name="synthetic", note="MNIST is not there, so synthetic digits serve.")
    monkeypatch.setattr("under10k.data.own.load_digits", lambda name: noted)
    main(["train", "fast", "--epochs", "1", "--out", str(tmp_path / "run")])
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0] == lines[-1] == noted.note
    assert Run(tmp_path / "run").environment()["data"]["note"] == noted.note


def test_ctrl_c_in_a_terminal_saves_and_tells_how_to_resume(data_folder: Path, tmp_path: Path) -> None:
    """A person at a terminal sees a live bar, presses Ctrl-C, and is told the command that goes on."""
    master, slave = pty.openpty()
    arguments = ["train", "fast", "--epochs", "500", "--data", str(data_folder), "--out", str(tmp_path / "run")]
    process = subprocess.Popen(
        [sys.executable, "-m", "under10k", *arguments], stdout=slave, stderr=slave, stdin=slave, start_new_session=True
    )
    os.close(slave)
    seen = b""
    while b"epoch   2/500" not in seen:
        seen += os.read(master, 4096)
    os.killpg(process.pid, signal.SIGINT)
    while True:
        try:
            chunk = os.read(master, 4096)
        except OSError:  # the terminal closes with the process
            break
        if not chunk:
            break
        seen += chunk
    os.close(master)
    assert process.wait() == 130
    text = seen.decode()
    assert "images/s" in text
    assert f"resume with: under10k train --resume {tmp_path}" in text.replace("\r\n", "")
    assert Run(tmp_path / "run").load_checkpoint() is not None


@pytest.mark.parametrize(
    "words", ["--epochs 3 fast", "fast --epochs 3", "--epochs=3 -- fast", "--quiet fast --epochs=3"]
)
def test_options_stand_before_the_recipe_or_behind_it(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("under10k.training.train", lambda *given, **_: asked.append(given[0]))
    main(["train", *words.split()])
    assert asked == [get_recipe("fast", epochs=3)]


@pytest.mark.parametrize("shown", [["--quiet"], ["-q"], ["--json"]])
def test_a_quiet_training_says_nothing_but_warnings(
    shown: list[str],
    dataset: Dataset,
    data_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    main(["train", "fast", "--epochs", "1", f"--data={data_folder}", "--out", str(tmp_path / "run"), *shown])
    printed = capsys.readouterr()
    assert printed.err == ""
    assert bool(printed.out) == ("--json" in shown)
    monkeypatch.setattr("under10k.data.own.load_digits", lambda _: replace(dataset, note="not what you think"))
    main(["train", "fast", "--epochs", "1", "--out", str(tmp_path / "noted"), *shown])
    assert capsys.readouterr().err == "warning: not what you think\n"


def test_a_quiet_study_says_nothing(data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([*STUDY, "--seeds", "1", f"--data={data_folder}", "--out", str(tmp_path / "s"), "--quiet"])
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "s" / "study.json").is_file()


def test_resuming_a_finished_run_says_that_nothing_was_done(
    finished_run: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished_run.iterdir() if path.is_file()}
    main(["train", "--resume", str(finished_run), "--data", str(data_folder)])
    assert capsys.readouterr().out.startswith("finished already: nothing was done\n")
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_resuming_within_an_epoch_says_after_which_step(capsys: pytest.CaptureFixture[str]) -> None:
    from under10k.runs.records import Position
    from under10k.training.report import ConsoleReport

    data, environment = DataIdentity("few", "0"), {"device_name": "x", "threads": 1}
    ConsoleReport().start(small(), data, environment, 99, Position(epoch=3, step=17, total_steps=50), Path("run"))
    assert "resumed after epoch 3, step 17\n" in capsys.readouterr().out


def test_a_terminal_that_is_closed_ends_the_training_saved(data_folder: Path, tmp_path: Path) -> None:
    """The kernel sends SIGHUP, and all that is written from then on fails."""
    master, slave = pty.openpty()
    arguments = ["train", "fast", "--epochs", "5000", "--data", str(data_folder), "--out", str(tmp_path / "run")]
    not_as_under_nohup = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{not_as_under_nohup}; from under10k.__main__ import main; main()", *arguments],
        stdout=slave,
        stderr=slave,
        stdin=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # the terminal becomes the session's own
    )
    os.close(slave)
    seen = b""
    while b"epoch    2/5000" not in seen:
        seen += os.read(master, 4096)
    os.close(master)
    assert process.wait() == 129
    checkpoint = Run(tmp_path / "run").load_checkpoint()
    assert checkpoint is not None
    assert len(Run(tmp_path / "run").batches()) == checkpoint[1]["position"]["total_steps"]


def test_tensorboard_writes_event_files(data_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    main(
        ["train", "fast", "--epochs", "1", "--tensorboard", "--data", str(data_folder), "--out", str(tmp_path / "run")],
    )
    assert list((tmp_path / "run" / "tensorboard").glob("events.out.tfevents.*"))


# --- looking at runs -----------------------------------------------------------------------------------------------


def test_evaluate_reports_everything_and_draws_the_pictures(
    finished_run: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", str(finished_run), "--data", str(data_folder), "--out", str(tmp_path / "e")]
    main([*arguments, "--json"])
    figures = json.loads(capsys.readouterr().out)
    result = Run(finished_run).result()
    assert result is not None
    assert figures["accuracy"] == result.test_accuracy
    assert figures["errors"] == len(figures["misread"])
    assert sum(map(sum, figures["confusion"])) == 96
    assert figures["without_disputed"] is None
    assert figures["corruptions"] is None
    assert {path.name for path in (tmp_path / "e").iterdir()} == {"metrics.json", "confusion.png", "misread.png"}
    main(arguments)
    out = capsys.readouterr().out
    for fact in ("95 % interval", "expected calibration error", "precision", "confusion"):
        assert fact in out
    assert "corrupted" not in out


def test_python_evaluates_a_run_as_the_command_line_does(finished_run: Path, data_folder: Path, tmp_path: Path) -> None:
    found = under10k.evaluate_run(finished_run, data_folder, tmp_path / "python")
    main(["evaluate", str(finished_run), f"--data={data_folder}", "--out", str(tmp_path / "shell")])
    names = sorted(path.name for path in (tmp_path / "shell").iterdir())
    assert sorted(path.name for path in (tmp_path / "python").iterdir()) == names
    figures = json.loads((tmp_path / "shell" / "metrics.json").read_text())
    assert json.loads(json.dumps(found.to_dict())) == figures
    assert not (finished_run / "evaluation").exists()
    under10k.evaluate_run(finished_run, data_folder)
    assert not (finished_run / "evaluation").exists(), "without a folder nothing is written"


def test_without_a_home_the_pictures_are_drawn_and_nothing_is_said_of_it(
    finished_run: Path, data_folder: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "HOME": f"{os.devnull}/home", "TMPDIR": str(tmp_path / "tmp")}
    for name in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        environment.pop(name, None)
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-m", "under10k", "plot", str(finished_run), "--out", str(tmp_path / "curves.png")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "curves.png").is_file()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_an_evaluation_is_not_drawn_through_a_link_that_nobody_has_named(
    finished_run: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, outside = shutil.copytree(finished_run, tmp_path / "run"), tmp_path / "outside"
    shutil.rmtree(run / "evaluation", ignore_errors=True)
    outside.mkdir()
    (run / "evaluation").symlink_to(outside)
    main(["evaluate", str(run), "--data", str(data_folder)])
    assert (
        f"warning: no pictures saved: {run}/evaluation cannot be written. give --out FOLDER" in capsys.readouterr().err
    )
    with pytest.raises(UsageError, match="a link in the place of a folder"):
        under10k.evaluate_run(run, data_folder).save()
    assert list(outside.iterdir()) == []
    main(["evaluate", str(run), "--data", str(data_folder), "--out", str(run / "evaluation")])
    assert (outside / "metrics.json").is_file(), "named, it may be a link"


def test_weights_in_a_run_folder_are_not_read_through_a_link(finished_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished_run, tmp_path / "run")
    (run / "model.safetensors").rename(tmp_path / "outside")
    (run / "model.safetensors").symlink_to(tmp_path / "outside")
    with pytest.raises(ModelError, match=r"a link in a run folder: .*model\.safetensors"):
        under10k.load_model(run)
    assert under10k.load_model(run / "model.safetensors"), "named, it may be a link"


def test_evaluate_takes_a_weights_file_and_draws_even_a_perfect_score(
    finished_run: Path, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["evaluate", str(finished_run / "model.safetensors"), "--data", str(data_folder)])
    assert (tmp_path / "model-evaluation" / "misread.png").exists()


def test_evaluate_scores_corrupted_images_where_asked(
    finished_run: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", str(finished_run), "--data", str(data_folder), "--out", str(tmp_path), "--corruptions"]
    main([*arguments, "--json"])
    captured = capsys.readouterr()
    figures = json.loads(captured.out)
    assert captured.err == "", "no bar where there is no terminal"
    assert figures == json.loads((tmp_path / "metrics.json").read_text())
    assert [row["corruption"] for row in figures["corruptions"]] == list(CORRUPTIONS)
    means = [row["mean_accuracy"] for row in figures["corruptions"]]
    assert figures["mean_corruption_accuracy"] == pytest.approx(sum(means) / len(means))
    python = under10k.evaluate_run(finished_run, data_folder, corruptions=True)
    assert json.loads(json.dumps(python.to_dict()))["corruptions"] == figures["corruptions"]
    for name in "corruptions.png", "corruptions-examples.png":
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_the_table_of_corruptions_fits_80_columns(
    finished_run: Path, data_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("under10k.assessment.Evaluation.save", lambda *_: None)
    main(["evaluate", str(finished_run), "--data", str(data_folder), "--corruptions"])
    table = capsys.readouterr().out.partition("corrupted images")[2].splitlines()[3:]
    assert len(table) > len(CORRUPTIONS)
    for line, corruption in zip(table, CORRUPTIONS.values(), strict=False):
        name, rest = line[:10].strip(), line[10:]
        assert name == corruption.name, "a row is one line"
        assert corruption.unit in rest
        assert [float(strength) for strength in re.findall(r"([\d.]+):", rest)] == list(corruption.strengths)


EVALUATION = {"metrics.json", "confusion.png", "misread.png"}


def full_after(monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
    """Let so many files be written, and no more."""
    left, really_sync = [writes], os.fsync

    def sync(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        really_sync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)


@pytest.mark.parametrize(("writes", "is_asked_for"), [(0, True), (3, False), (5, True)])
def test_figures_that_cannot_be_saved_are_printed_and_those_of_before_stay_whole(
    writes: int,
    is_asked_for: bool,
    finished_run: Path,
    data_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits.safetensors").write_bytes((finished_run / "model.safetensors").read_bytes())
    (tmp_path / "digits-evaluation").mkdir()
    before = {name: f"the {name} of before".encode() for name in {*EVALUATION, "corruptions.png"}}
    for name, content in before.items():
        (tmp_path / "digits-evaluation" / name).write_bytes(content)
    full_after(monkeypatch, writes)
    out = ["--out", "digits-evaluation"] if is_asked_for else []
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "digits.safetensors", "--data", str(data_folder), *out, "--json"])
    captured = capsys.readouterr()
    assert ended.value.code == 1
    assert json.loads(captured.out)["images"] == 96
    assert captured.err == (
        "error: No space left on device: digits-evaluation. make room there, or choose another place\n"
    )
    assert {path.name: path.read_bytes() for path in (tmp_path / "digits-evaluation").iterdir()} == before


def test_pictures_of_another_evaluation_do_not_stay_beside_its_figures(
    finished_run: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("corruptions.png", "corruptions-examples.png", "notes.txt"):
        (tmp_path / name).write_text("of before")
    main(["evaluate", str(finished_run), "--data", str(data_folder), "--out", str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {*EVALUATION, "notes.txt"}


@pytest.mark.parametrize("streams", ["2>&1 | true", pytest.param("2>&- | true", marks=pytest.mark.slow)])
def test_evaluate_saves_its_pictures_though_nobody_reads_what_it_prints(
    streams: str, finished_run: Path, data_folder: Path, tmp_path: Path
) -> None:
    command = shlex.join(
        [sys.executable, "-m", "under10k", "evaluate", str(finished_run), f"--data={data_folder}", f"--out={tmp_path}"]
    )
    script = f"{command} {streams}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == EVALUATION
    assert json.loads((tmp_path / "metrics.json").read_text())["images"] == 96


def test_a_disk_that_is_full_is_an_error_though_nobody_reads_what_is_printed(
    finished_run: Path, data_folder: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "under10k", "evaluate", str(finished_run), f"--data={data_folder}"]
    script = f"ulimit -f 8; {shlex.join([*command, f'--out={tmp_path}/e'])} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        f"error: File too large: {tmp_path}/e. make room there, or choose another place\n",
    )
    assert not (tmp_path / "e").exists()


def test_plot_lays_runs_over_each_other(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["plot", str(finished_run), str(finished_run), "--out", str(tmp_path / "both.png")])
    assert "2 runs" in capsys.readouterr().out
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")


def test_plot_draws_the_batches_of_runs_and_not_of_studies(
    finished_run: Path, finished_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "batches.png"
    main(["plot", str(finished_run), "--batches", "--out", str(picture)])
    assert picture.read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    refused = fails(capsys, 2, "plot", str(finished_study), "--batches", "--out", str(tmp_path / "none.png"))
    assert "a study has no batches" in refused
    assert not (tmp_path / "none.png").exists()


def test_plot_lays_studies_side_by_side(
    finished_study: Path, finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["plot", str(finished_study), str(finished_study), "--out", str(tmp_path / "studies.png")])
    assert "2 studies drawn" in capsys.readouterr().out
    assert (tmp_path / "studies.png").read_bytes()[1:4] == b"PNG"
    main(["plot", "--frontier", str(finished_study), "--out", str(tmp_path / "frontier.png")])
    assert (tmp_path / "frontier.png").read_bytes()[1:4] == b"PNG"
    capsys.readouterr()
    refused = fails(capsys, 2, "plot", "--frontier", str(finished_run), "--out", str(tmp_path / "none.png"))
    assert "give studies' folders with --frontier" in refused
    mixed = ["plot", str(finished_study), str(finished_run), "--out", str(tmp_path / "mixed.png")]
    assert "runs and studies together" in fails(capsys, 2, *mixed)
    (tmp_path / "plan.json").write_text("{}")
    assert "no study to read" in fails(capsys, 4, "plot", str(tmp_path), "--out", str(tmp_path / "none.png"))


def test_plot_writes_over_the_picture_that_is_named_and_no_other(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("curves.png").write_text("mine", encoding="utf-8")
    assert "name the picture to write with: -o PICTURE" in fails(capsys, 2, "plot", str(finished_run))
    assert Path("curves.png").read_text(encoding="utf-8") == "mine"
    main(["plot", str(finished_run), "-o", "curves.png"])
    assert Path("curves.png").read_bytes().startswith(b"\x89PNG")


def test_plot_of_a_folder_that_is_no_run_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "not a run folder" in fails(capsys, 4, "plot", str(tmp_path), "--out", str(tmp_path / "x.png"))
    assert not (tmp_path / "x.png").exists()


STUDY = ["study", "fast", "--engine", "serial", "--epochs", "1", "--batch-size", "192"]


def test_study_prints_tables_for_people_and_json_for_programs(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--seeds", "2", "--data", str(data_folder), "--out", str(tmp_path / "s")]
    main([*STUDY, "--residual", "true,false", *options])
    out = capsys.readouterr().out
    for fact in (
        "2 recipes x 2 seeds",
        "(4 of 4)",
        "test accuracy, %, protocol fixed",
        "95 % interval",
        "std dev",
        "8,880",
        "MACs",
        "seconds a run",
        "each with batch_size=192 epochs=1\n",
        "\nfast residual=false ",
        "paired by seed",
        "the test set read once",
        f"files: {tmp_path}/s",
    ):
        assert fact in out
    assert "\x1b" not in out
    main(["study", "--out", str(tmp_path / "s"), "--json"])
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads((tmp_path / "s" / "study.json").read_text())
    assert printed.err == "", "only warnings and errors"


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_tables_of_a_study_fit_the_terminal(
    columns: str, finished_study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    main(["study", "--out", str(finished_study), "--engine", "serial"])
    tables, _, remarks = capsys.readouterr().out.partition("watched: ")
    assert max(map(len, tables.splitlines()[3:])) <= int(columns)
    figures = ("std dev", "95 % interval", "best", "worst", "median epoch", "0 of 2", "difference")
    assert all(figure in tables for figure in figures), tables
    assert "keeping the best epoch" in remarks


@pytest.fixture(scope="module")
def finished_study(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from rich.console import Console

    from under10k.study.report import StudyReport
    from under10k.study.study import run_study

    folder = tmp_path_factory.mktemp("study")
    recipes = [small(name=name, epochs=1, batch_size=192) for name in ("short", "documented-transition-as-it-is")]
    watched = [replace(recipe, protocol="watched", target_accuracy=0.9941) for recipe in recipes]
    data = Dataset(str(write_digits(folder / "data", dataset)), dataset.train, dataset.test)
    report = StudyReport(Console(file=io.StringIO()))
    overrides = {"optimizer.lr": [0.1], "augment.elastic_pixels": [0.5], "augment.rotation_degrees": [10.0]}
    study = folder / "study"
    run_study(watched, 2, data, study, overrides=overrides, engine="serial", report=report)
    return study


@pytest.mark.parametrize(
    ("words", "grid"),
    [
        ("--epochs 3,5 --optimizer.lr 0.1,0.3", {"epochs": [3, 5], "optimizer.lr": [0.1, 0.3]}),
        ("--epochs 3 --epochs=5", {"epochs": [3, 5]}),
        ("--residual true,false", {"residual": [True, False]}),
        ("--residual=false,true", {"residual": [False, True]}),
        ("--residual --no-residual", {"residual": [True, False]}),
        ("--optimizer.no-nesterov", {"optimizer.nesterov": [False]}),
        ("--target-accuracy none,0.99", {"target_accuracy": [None, 0.99]}),
        ("--model gap,early", {"model": ["gap", "early"]}),
    ],
)
@pytest.mark.parametrize("recipe_first", [True, False])
def test_any_field_of_a_recipe_is_an_option_of_a_study_and_a_list_makes_a_grid(
    words: str, grid: dict[str, list[Any]], recipe_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def ask(recipes: Any, *_: Any, overrides: Any, **__: Any) -> Any:
        asked.append((recipes, overrides))
        return type("Done", (), {"failures": []})

    monkeypatch.setattr("under10k.study.run_study", ask)
    main(["study", "fast", *words.split()] if recipe_first else ["study", *words.split(), "fast"])
    assert asked == [(("fast",), grid)]


def test_a_study_with_failed_runs_shows_its_table_and_ends_with_1(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = ["--averaging", "0", "--optimizer.lr", "1e12,0.1"]
    with pytest.raises(SystemExit) as ended:
        main([*STUDY, *wild, "--seeds", "1", "--data", str(data_folder), "--out", str(tmp_path / "s")])
    printed = capsys.readouterr()
    assert ended.value.code == 1
    assert "each with averaging=0 batch_size=192 epochs=1\n" in printed.out
    assert "failed: fast optimizer.lr=1000000000000 seed 0" in printed.out
    assert "lower optimizer.lr" in printed.out
    assert printed.err.startswith("error: 1 of 2 runs failed: ")
    assert printed.err.count("\n") == 1


def test_a_second_study_in_one_folder_is_refused(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s").mkdir()
    with locked(tmp_path / "s"):
        fails(capsys, 6, *STUDY, "--data", str(data_folder), "--out", str(tmp_path / "s"))


def test_a_study_in_a_terminal_shows_how_far_it_is(data_folder: Path, tmp_path: Path) -> None:
    command = [*STUDY, "--seeds", "30", "--data", str(data_folder), "--out", str(tmp_path / "s")]
    with terminal([sys.executable, "-m", "under10k", *command]) as opened:
        opened.read_until("0/30 runs, 1 running")
        opened.read_until(" left")
        opened.write("\x03")
        opened.read_all()
        assert opened.process.returncode == 130


def test_a_diverged_run_keeps_the_earlier_run_in_the_next_folder(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train(small(epochs=1), dataset, reports=[])
    before = (tmp_path / "runs/small-s0/model.safetensors").read_bytes()
    with pytest.raises(under10k.Under10kError):
        train(small(optimizer=Optimizer("sgd", lr=1e12), averaging=0.0), dataset, reports=[])
    assert (tmp_path / "runs/small-s0/model.safetensors").read_bytes() == before


# --- taking it elsewhere -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "name", "int8"),
    [
        ("onnx", "model.onnx", False),
        ("onnx", "model-int8.onnx", True),
        ("c", "model-c", False),
        ("c", "model-int8-c", True),
        ("html", "model.html", False),
    ],
)
def test_export_writes_beside_the_weights_and_says_how_well_it_agrees(
    to: str, name: str, int8: bool, finished_run: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", str(finished_run), "--to", to, "--data", str(data_folder), *(["--int8"] if int8 else [])]
    target = finished_run / name
    if not int8:
        main(arguments)
        out = capsys.readouterr().out
        for fact in (target.name, "bytes", "96 test images", "largest difference", "PyTorch:"):
            assert fact in out
    main([*arguments, "--json", *(["-o", str(target)] if not int8 else [])])
    found = json.loads(capsys.readouterr().out)
    assert found["path"] == str(target)
    assert found["notes"]["type"] == ("int8" if int8 else "float")
    assert (found["agreement"]["differing"] == 0) or int8
    assert sum(found["sizes"].values()) == sum(
        path.stat().st_size for path in ([target] if target.is_file() else target.iterdir())
    )


def test_export_refuses_a_folder_of_other_things(
    finished_run: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", str(finished_run), "--to", "c", "--data", str(data_folder), "--out"]
    assert "folder not empty" in fails(capsys, 2, *arguments, str(finished_run))
    assert "no such weights" in fails(capsys, 4, "export", str(tmp_path / "none"), "--to", "onnx")


def test_export_adds_framing_to_c_alone(data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["export", "early", "--frame", "--data", str(data_folder), "--out", str(tmp_path / "out"), "--to"]
    assert "framing in C for html" in fails(capsys, 2, *arguments, "html")
    main([*arguments, "c"])
    assert (tmp_path / "out" / "under10k_early_frame.c").is_file()

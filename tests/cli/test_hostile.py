"""The command line as a hostile newcomer or a hostile machine meets it: one true line each time, nothing spoilt."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from under10k.cli import VERBS, main
from under10k.weights.bundled import find_weights

HUGE = "x" * 100_000


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with one of each kind of thing that may be taken for another."""
    monkeypatch.chdir(tmp_path)
    Image.new("L", (28, 28)).save("digit.png")
    Path("few").mkdir()
    Path("study").mkdir()
    Path("study/plan.json").write_text("{}", encoding="utf-8")
    Path("loop").symlink_to("loop")
    os.mkfifo("pipe")
    Path("weights.safetensors").write_bytes(find_weights("early").read_bytes())
    return tmp_path


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


SWAPPED = [
    ("evaluate study", 4, "a study, not a run: study. give one of its runs, in study/runs"),
    ("evaluate few", 4, "not a run folder: few has no recipe.json"),
    ("evaluate digit.png", 4, "not a file of under10k's: digit.png"),
    ("evaluate pipe", 4, "not a file: pipe is a device or a pipe"),
    ("evaluate /dev/zero", 4, "not a file: /dev/zero is a device or a pipe"),
    ("predict digit.png --model /proc/self/maps", 4, "empty file: /proc/self/maps has no bytes"),
    ("evaluate fast", 4, "no such weights: fast. give a run folder, a weights file, or one of: best-10k"),
    (f"evaluate {'x' * 300}", 4, "(File name too long). give a run folder"),
    ("summary runs/typo", 4, "no such weights: runs/typo"),
    (f"summary {'x' * 300}", 2, "unknown model"),
    ("train --resume typo", 4, "no such run folder: typo. check its name"),
    ("train --resume loop", 4, "(Too many levels of symbolic links)"),
    ("train --data digit.png", 2, "not a data set: digit.png is a file of another kind"),
    ("train --data MNIS", 2, "did you mean mnist?"),
    ("plot study few", 2, "runs and studies together"),
    ("plot typo", 4, "no such run folder: typo"),
    ("study fast --data synthetic --out loop", 4, "(Too many levels of symbolic links). choose another folder"),
    ("predict typo.png", 1, "no such picture: typo.png"),
    (f"predict {'x' * 300}", 1, "(File name too long). check its name"),
    ("predict digit.png --explain digit.png", 2, "would overwrite its own input: digit.png"),
    ("predict digit.png --explain pipe.txt", 2, "not a kind of picture: pipe.txt"),
    ("datasets --sheet x.png", 2, "write: under10k datasets mnist --sheet x.png"),
    (f"serve weights.safetensors --port 0 --host {'x' * 300}", 1, "(not a host's name). give another port or host"),
    ("TRAIN", 2, "did you mean train?"),
    (HUGE, 2, "train"),
    (f"train {HUGE}", 2, "robust"),
    (f"evaluate {HUGE}", 4, "give a run folder"),
    (f"train --epochs {HUGE}", 2, "is not a whole number. correct it"),
    (f"train --epochs {'9' * 5000}", 2, "is not a whole number. correct it"),
]


@pytest.mark.parametrize(("line", "code", "hint"), SWAPPED, ids=[line[:40] for line, _, _ in SWAPPED])
def test_what_is_missing_swapped_or_huge_is_one_true_line_and_writes_nothing(
    line: str, code: int, hint: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(place)
    with pytest.raises(SystemExit) as ended:
        main(line.split(" "))
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (code, ""), printed.err
    assert re.fullmatch(r"error: .{1,2000}.{0,20}\n", printed.err), printed.err[:3000]
    assert hint in printed.err
    assert contents(place) == before


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "export",
            "missing: WEIGHTS. write: under10k export WEIGHTS --to onnx|c|html [OPTION...]. "
            "see: under10k export --help",
        ),
        ("evaluate --nonsense", "unknown option: --nonsense. check its name. see: under10k evaluate --help"),
        ("train --data", "missing value: --data. write --data=DATA. see: under10k train --help"),
        ("train --epochs 1e9", "epochs: '1e9' is not a whole number. correct it"),
        ("train --dropout 1.5.", "dropout: '1.5.' is not a number. correct it"),
        ("study --seeds many", "not a whole number: --seeds 'many'. correct it. see: under10k study --help"),
        ("train --epohcs 3", "unknown option: --epohcs. did you mean --epochs? see: under10k train --help"),
    ],
)
@pytest.mark.parametrize("columns", ["1", "40", "200"])
def test_wrong_usage_is_told_in_words_for_people_however_narrow_the_terminal(
    line: str, told: str, columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit):
        main(line.split())
    assert capsys.readouterr().err == f"error: {told}\n"


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_help_comes_to_an_end_on_the_narrowest_terminal(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1")
    main(["help", verb])
    out = capsys.readouterr().out
    assert " ".join(out.split()).startswith(f"usage: under10k {verb} ")
    assert "None" not in out.replace("None: those of", "")


def test_a_narrow_terminal_breaks_no_table_into_single_letters(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []
    for columns in "80", "40", "1":
        monkeypatch.setenv("COLUMNS", columns)
        main(["summary", "gap"])
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] == shown[2]


@pytest.mark.parametrize("option", ["--optimizer.nesterov", "--optimizer.no-nesterov", "--residual", "--no-residual"])
@pytest.mark.parametrize("recipe", ["fast", "documented-gap"])
def test_what_a_recipe_has_switched_on_or_off_may_be_said_either_way(
    option: str, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr("under10k.training.train", lambda recipe, *_, **__: asked.append(recipe))
    main(["train", recipe, option])
    found = asked[0].optimizer.nesterov if "nesterov" in option else asked[0].residual
    assert found == ("no-" not in option)


def test_an_export_never_replaces_its_weights_a_folder_or_a_pipe(
    data_folder: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(place)
    for out in "weights.safetensors", "few", "pipe":
        with pytest.raises(SystemExit) as ended:
            main(["export", "weights.safetensors", "--to", "html", "--data", str(data_folder), "-o", out])
        assert ended.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert contents(place) == before


OUTPUTS = [
    (["export", "weights.safetensors", "--to", "onnx", "--out"], True),
    (["export", "weights.safetensors", "--to", "html", "--out"], True),
    (["export", "weights.safetensors", "--to", "c", "--out"], False),
    (["evaluate", "weights.safetensors", "--out"], False),
    (["datasets", "synthetic", "--sheet"], True),
    (["predict", "digit.png", "--explain"], True),
]


@pytest.mark.parametrize(("line", "is_file"), OUTPUTS, ids=[" ".join(line) for line, _ in OUTPUTS])
def test_what_cannot_be_written_is_refused_before_the_work(
    line: list[str], is_file: bool, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("the work has begun")

    for function in (
        "under10k.data.load_digits",
        "under10k.data.own.load_digits",
        "under10k.pictures.prediction.read_pictures",
    ):
        monkeypatch.setattr(function, work)
    before = contents(place)
    for out in ("few" if is_file else "digit.png", "pipe", "digit.png/below.png", f"{'x' * 252}.png", "new/" + HUGE):
        with pytest.raises(SystemExit) as ended:
            main([*line, out])
        printed = capsys.readouterr()
        assert ended.value.code in (1, 2), printed.err
        assert re.fullmatch(
            r"error: (no file to write to|not a folder|Not a directory|File name too long): .*\n", printed.err
        )
    assert contents(place) == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--to html --int8", "int8 in a page"),
        ("--to onnx --name reader", "a name in C for onnx: reader"),
        ("--to c --name 2nd", "no name in C: '2nd'"),
        ("--to c --out few", "folder not empty: few"),
    ],
)
def test_an_export_that_cannot_be_is_refused_before_the_work(
    options: str, told: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for function in "under10k.data.load_digits", "under10k.data.own.load_digits":
        monkeypatch.setattr(function, lambda *_: pytest.fail("the work has begun"))
    Path("few/thesis.tex").write_text("mine", encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["export", "weights.safetensors", *options.split()])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OSError(errno.EMFILE, "Too many open files", "x"),
            "Too many open files: x. close some, or allow more: ulimit -n",
        ),
        (
            OSError(errno.ENOMEM, "Cannot allocate memory"),
            "Cannot allocate memory. close other programs, or allow more",
        ),
        (MemoryError(), "out of memory. close other programs, or allow more: ulimit -v"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory. close other programs"),
        (ImportError("libtorch.so: failed to map segment from shared object"), "out of memory. close other programs"),
        (RuntimeError("can't start new thread"), "out of memory. close other programs"),
        (OSError(errno.ENOSPC, "No space left on device", "tmp/x"), "No space left on device: tmp/x. make room there"),
    ],
)
def test_what_the_machine_lacks_is_told_with_what_helps(
    error: Exception, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("under10k.models.summarise", fail)
    with pytest.raises(SystemExit) as ended:
        main(["summary", "gap"])
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith(f"error: {told}")


def under10k(*arguments: str, script: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own; `script` is what the shell does with it."""
    return subprocess.run(
        ["bash", "-c", f'"$0" -m under10k "$@" {script}', sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


FULL = "error: No space left on device: standard output. make room there, or choose another place\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_output_that_has_no_room_is_an_error_and_never_silence() -> None:
    done = under10k("recipes", script="> /dev/full")
    assert (done.returncode, done.stderr) == (1, FULL)
    assert under10k("nosuch", script="2> /dev/full").returncode == 2


def test_closed_streams_change_no_exit_code() -> None:
    assert under10k("recipes", script="<&- >&- 2>&-").returncode == 0
    assert under10k("recipes", "nosuch", script="<&- >&- 2>&-").returncode == 2


def test_a_terminal_that_knows_only_ascii_is_told_all_in_ascii() -> None:
    done = under10k("export", PYTHONIOENCODING="ascii", TERM="dumb")
    assert (done.returncode, done.stderr) == (
        2,
        "error: missing: WEIGHTS. write: under10k export WEIGHTS --to onnx|c|html [OPTION...]. "
        "see: under10k export --help\n",
    )
    done = under10k("recipes", PYTHONIOENCODING="ascii", TERM="dumb")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "documented-gap" in done.stdout


STRUCK = """
import os, signal, sys

moment, number = sys.argv.pop(1), int(sys.argv.pop(1))

class Strike:
    def find_spec(self, name, *_):
        if name == moment:
            os.kill(os.getpid(), number)

sys.meta_path.insert(0, Strike())
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background has it ignored
from under10k.__main__ import main
main()
"""


@pytest.mark.parametrize("moment", ["cyclopts", "torch"])
@pytest.mark.parametrize(("number", "told"), [(2, "stopped: interrupted.\n"), (15, "")])
def test_a_signal_ends_every_verb_quietly_even_while_it_is_being_imported(moment: str, number: int, told: str) -> None:
    command = [sys.executable, "-c", STRUCK, moment, str(number), "summary", "gap"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (128 + number, told, "")

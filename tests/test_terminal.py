"""What a person at a terminal sees, however wide it is and whatever it can show."""

from __future__ import annotations

import re
import shlex
import sys
from functools import cache
from pathlib import Path

import pytest

from terminals import show, terminal
from under10k.cli import VERBS, main
from under10k.terminal import Part, duration, fit_bar

UNDER10K = [sys.executable, "-m", "under10k"]
WIDTHS = [40, 80, 115, 200]
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PARTS = (
    Part("epoch 12/14"),
    Part("train acc 97.25%", rank=2),
    Part("loss 0.1234", rank=3),
    Part("15,788 images/s", rank=4),
    Part("12:34 left", rank=1),
)


# --- help and errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [40, 200])
def test_a_usage_error_is_one_line_without_escape_codes(columns: int) -> None:
    code, shown = show([*UNDER10K, "train", "fast", "--foo"], columns)
    assert (code, shown) == (2, "error: unknown option: --foo. did you mean --out? see: under10k train --help\n")


HELP_OF_THREE = """
from under10k.cli import main
for words in ["--help"], ["train", "--help"], ["predict", "--help"]:
    main(words)
"""


@pytest.mark.parametrize("columns", WIDTHS)
def test_the_help_is_as_wide_as_the_terminal_and_cuts_no_word(columns: int) -> None:
    code, shown = show([sys.executable, "-c", HELP_OF_THREE], columns)
    assert code == 0
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= columns
    assert shown.split() == words_of_help()


@cache
def words_of_help() -> list[str]:
    return show([sys.executable, "-c", HELP_OF_THREE], 100)[1].split()


def test_the_help_of_all_fits_a_small_terminal() -> None:
    code, shown = show([*UNDER10K, "--help"], 80)
    assert code == 0
    assert len(shown.splitlines()) <= 24


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_table_has_no_colour_where_none_is_wanted_and_no_code_where_none_is_understood(
    environment: dict[str, str],
) -> None:
    code, shown = show([*UNDER10K, "recipes"], 80, None, **environment)
    assert code == 0
    assert "documented-gap" in shown
    codes = set(ESCAPE.findall(shown))
    assert codes <= ({"\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[3m"} if "NO_COLOR" in environment else set())


def names_in(help_text: str) -> set[str]:
    return set(re.findall(r"(?:^| )([A-Z][A-Z_:|-]+)\b", help_text))


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_value_has_a_proper_name(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([verb, "--help"])
    out = capsys.readouterr().out
    assert not names_in(out) & {"STR", "INT", "FLOAT", "PATH", "TEXT", "BOOL", "TUPLE", "LIST", "NONE"}
    for line in out.partition("options:")[2].splitlines():
        if option := re.match(r"  (-[\w.,\- ]+?)(?: ([A-Z][\w:.|-]*|[a-z-]+\|[\w|-]+))?(?:  |$)", line):
            assert option[2] or option[1].split(", ")[-1] in FLAGS | {"--help"}, line


FLAGS = {
    "--tensorboard", "--quiet", "--batches", "--json", "--corruptions", "--multi", "--invert", "--markdown", "--int8",
    "--no-open", "--watch", "--frontier", "--strict", "--frame", "--residual", "--no-residual",
    "--optimizer.no-nesterov",
}  # fmt: skip


def test_a_field_is_shown_with_its_unit_and_the_range_that_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "--dropout NUMBER Share of activations dropped in training; 0 to 0.99." in out
    assert "--augment.rotation-degrees DEGREES Largest rotation, in degrees; 0 to 180." in out
    assert "--optimizer.lr NUMBER Learning rate: the largest that the schedule takes; more than 0." in out
    assert "--patience-epochs EPOCHS Stop after this many epochs without a new best" in out
    assert "(`watched` and `held-out` only); 1 to 100,000." in out
    assert "--averaging NUMBER Decay of the running average" in out
    assert "; 0 to 0.999999." in out


@pytest.mark.parametrize("verb", ["train", "study"])
def test_every_field_of_a_recipe_is_an_option(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    from dataclasses import asdict

    from under10k.recipes import Recipe

    main([verb, "--help"])
    out = capsys.readouterr().out
    for name, value in asdict(Recipe()).items():
        unoffered = {"own_augment", "own_augment_sha256"}  # from Python alone
        given = {
            "model_sha256",
            "start_sha256",
            "teacher_sha256",
            *unoffered,
            *(("name", "seed") if verb == "study" else ()),
        }  # by the verb itself
        if name not in given:
            for field in [f"{name}.{inner}" for inner in value] if isinstance(value, dict) else [name]:
                assert f"--{field.replace('_', '-')}" in out


# --- the bar -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", range(0, 130))
def test_a_bar_is_never_longer_than_there_is_room(width: int) -> None:
    line = fit_bar(0.5, PARTS, width)
    assert len(line) <= width
    assert line == line.splitlines()[0] if line else width == 0
    assert line.startswith("epoch 12/14"[:width])


def test_a_bar_drops_its_parts_one_by_one_as_it_narrows() -> None:
    dropped = [
        tuple(part.text in fit_bar(0.5, PARTS, width) for part in PARTS) for width in range(len(PARTS[0].text), 120)
    ]
    assert list(dict.fromkeys(dropped)) == [
        (True, False, False, False, False),
        (True, False, False, False, True),
        (True, True, False, False, True),
        (True, True, True, False, True),
        (True, True, True, True, True),
    ]


def test_a_bar_shows_how_much_is_done() -> None:
    bars = [fit_bar(done, (Part("a"),), 40) for done in (0, 0.5, 1, 7, -1)]
    assert [bar.count("#") for bar in bars] == [0, 18, 35, 35, 0]
    assert {len(bar) for bar in bars} == {40}


def test_a_time_that_is_left_reads_like_a_clock() -> None:
    assert [duration(seconds) for seconds in (0.4, 7, 754, 3723)] == ["0:00", "0:07", "12:34", "1:02:03"]


def last_line(shown: str) -> str:
    """The line that the cursor is in, after all that a terminal was told: enough of a terminal for a bar."""
    return ESCAPE.sub("", shown.rpartition("\n")[2].rpartition("\r\x1b[J")[2])


def training(data_folder: Path, out: Path) -> list[str]:
    return ["train", "fast", "--epochs", "400", "--batch-size", "64", f"--data={data_folder}", f"--out={out}"]


@pytest.mark.parametrize("columns", WIDTHS[:2])  # too narrow for all of it, and just wide enough
def test_the_bar_of_a_training_takes_one_line_with_labels_and_ctrl_c_is_no_error(
    columns: int, data_folder: Path, tmp_path: Path
) -> None:
    with terminal([*UNDER10K, *training(data_folder, tmp_path / "run")], columns) as opened:
        opened.read_until(" left")
        opened.write("\x03")
        shown = opened.read_all()
        assert opened.process.returncode == 130
    assert "error:" not in shown
    assert re.search(r"\r\x1b\[Jstopped: epoch \d+, step \d+ is saved\. resume with: under10k train", shown)
    bars = [bar.removesuffix("^C") for bar in re.findall(r"\r\x1b\[J(epoch [^\r\x1b]* left[^\r\x1b]*)", shown)]
    assert bars
    assert all(len(bar) < columns for bar in bars), bars
    labels = ("train acc", "loss", "images/s", "left")
    there = [label for label in labels if label in bars[0]]
    assert there[-1] == "left"
    assert len(there) <= 2 if columns == 40 else there == list(labels)


def test_the_bar_is_whole_after_the_terminal_was_resized(data_folder: Path, tmp_path: Path) -> None:
    with terminal([*UNDER10K, *training(data_folder, tmp_path / "run")], 115) as opened:
        opened.read_until("images/s")
        opened.resize(40)
        shown = opened.read_until("\x1b[2A\r\x1b[J")  # the line of 114 letters has become three
        following = shown + opened.read_until("\r\x1b[J")
        bar = following.partition("\x1b[2A\r\x1b[J")[2].partition("\r\x1b[J")[0]
        assert (
            len(ESCAPE.sub("", bar.rpartition("\n")[2])) < 40
        )  # an epoch may have ended meanwhile, which prints a line
        opened.resize(200)
        opened.read_until("images/s")


def test_ctrl_z_leaves_a_visible_cursor_and_the_training_goes_on_with_fg(data_folder: Path, tmp_path: Path) -> None:
    with terminal(["bash", "--norc", "-i"], 80, PS1="$ ") as opened:
        opened.write(shlex.join([*UNDER10K, *training(data_folder, tmp_path / "run")]) + "\r")
        opened.read_until(" left")
        opened.write("\x1a")
        opened.read_until("Stopped")
        opened.write("fg\r")
        opened.read_until(" left")
        opened.write("\x03")
        opened.read_until("resume with: ")
        assert "\x1b[?25l" not in opened.seen, "what is never hidden need not be brought back"
        opened.write("exit\r")
        opened.read_all()


def test_a_terminal_that_knows_no_codes_gets_no_bar(data_folder: Path, tmp_path: Path) -> None:
    with terminal([*UNDER10K, *training(data_folder, tmp_path / "run")], 80, TERM="dumb") as opened:
        opened.read_until("  3/400")
        opened.write("\x03")
        shown = opened.read_all().replace("\r\n", "\n")
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert re.findall(r"^epoch +(\d+)/400 ", shown, re.MULTILINE)[:3] == ["1", "2", "3"]

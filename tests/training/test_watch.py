"""`under10k train --watch`: curves that grow in the terminal."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

import pytest

from short_runs import small
from terminals import terminal
from under10k.cli import main
from under10k.data.datasets import Dataset
from under10k.training import WatchReport
from under10k.training.start import train
from under10k.training.watch import plot_line

WATCHED = [sys.executable, "-m", "under10k", "train", "fast", "--batch-size", "64", "--watch"]
BRAILLE = re.compile("[\u2801-\u28ff]")


def dots(lines: list[str]) -> set[tuple[int, int]]:
    """Column and row of each dot that is set."""
    bits = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
    return {
        (2 * column + right, 4 * row + down)
        for row, line in enumerate(lines[1:])
        for column, letter in enumerate(line[8:])
        for right in (0, 1)
        for down in range(4)
        if ord(letter) - 0x2800 & bits[right][down]
    }


def test_a_falling_line_goes_from_the_upper_left_to_the_lower_right() -> None:
    lines = plot_line([10, 8, 6, 4, 2, 0], 6, 11, "loss")  # six columns of dots
    assert lines[0].strip() == "los"
    assert (lines[1][:7].strip(), lines[-1][:7].strip()) == ("10", "0")
    drawn = dots(lines)
    assert {(0, 0), (5, 31)} <= drawn
    assert all(any((column, row) in drawn for column in range(6)) for row in range(32)), "no gap"
    assert all(len(line) <= 11 for line in lines)


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0], [math.nan, math.inf, 1.0], [1.0] * 5000])
def test_a_line_of_any_values_is_drawn_in_its_room(values: list[float]) -> None:
    lines = plot_line(values, 100, 40, "t")
    assert len(lines) == 9
    assert all(len(line) <= 40 for line in lines)
    assert bool(dots(lines)) == bool(values)


def test_half_of_a_training_fills_half_of_the_width() -> None:
    assert {column for column, _ in dots(plot_line([1.0] * 50, 100, 48, "t"))} == set(range(40))


def test_curves_and_mistakes_are_shown_in_a_wide_terminal(data_folder: Path, tmp_path: Path) -> None:
    command = [*WATCHED, "--epochs", "400", f"--data={data_folder}", f"--out={tmp_path / 'run'}"]
    with terminal(command, 110) as opened:
        opened.read_until("most often misread, of 384 training images: ")
        opened.read_until("accuracy of the batches (%)")
        while not BRAILLE.search(opened.seen):  # the first curves are of one batch, and may be empty
            opened.read_until(" left")
        opened.write("\x03")
        opened.read_all()
        assert opened.process.returncode == 130
    assert "\x1b[9A\r\x1b[J" in opened.seen, "ten lines are taken away before they are drawn anew"
    assert "\x1b[?" not in opened.seen, "nothing is switched on that could be left on"


def test_a_narrow_terminal_gets_the_bar_alone_and_is_told_why(data_folder: Path, tmp_path: Path) -> None:
    command = [*WATCHED, "--epochs", "400", f"--data={data_folder}", f"--out={tmp_path / 'run'}"]
    with terminal(command, 90) as opened:
        opened.read_until("no curves: the terminal has 90 columns")
        opened.read_until(" left")
        assert not BRAILLE.search(opened.seen)


def test_without_a_terminal_it_is_an_ordinary_training(
    dataset: Dataset, tmp_path: Path, undrawn: None, capsys: pytest.CaptureFixture[str]
) -> None:
    train(small(epochs=1), dataset, tmp_path / "run", reports=[WatchReport()])
    out = capsys.readouterr().out
    assert "epoch 1/1" in out
    assert "misread" not in out
    assert not BRAILLE.search(out)


@pytest.mark.parametrize("silent", ["--quiet", "--json"])
def test_watch_and_silence_do_not_go_together(silent: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--watch", silent])
    assert f"--watch and {silent} together" in capsys.readouterr().err

"""Reports: told of each step, closed at any time, and never in the way of an error."""

from __future__ import annotations

import importlib
import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from short_runs import KilledError, StopAt, kill, small
from under10k.data.datasets import Dataset
from under10k.errors import DataError, ModelError, UsageError
from under10k.runs.records import Batch, Position
from under10k.runs.result import Result
from under10k.terminal import Bar
from under10k.training.report import ConsoleReport, Report, TensorBoardReport
from under10k.training.start import train


class Stubborn(Report):
    """Fails at every end; says that it was asked to close."""

    def __init__(self, *, when_finished: bool = False) -> None:
        self.closed, self.when_finished = False, when_finished

    def finish(self, result: Result) -> None:
        if self.when_finished:
            raise ValueError("cannot finish")

    def close(self) -> None:
        self.closed = True
        raise OSError("cannot close")


def create_tensorboard() -> TensorBoardReport:
    pytest.importorskip("tensorboard")
    return TensorBoardReport()


@pytest.mark.parametrize("create", [Report, ConsoleReport, create_tensorboard])
def test_a_report_can_be_closed_before_it_started_and_more_than_once(create: type[Report]) -> None:
    report = create()
    report.close()
    report.close()


def test_resuming_on_other_data_is_told_as_such_though_a_report_never_started(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(small(), dataset, tmp_path / "run", reports=[StopAt(1, 1, kill)])
    with pytest.raises(ModelError, match="data was"):
        train(
            small(),
            replace(dataset, test=dataset.test[:50]),
            tmp_path / "run",
            resume=True,
            reports=[create_tensorboard(), Stubborn()],
        )


def test_the_first_error_is_shown_and_every_report_closed(dataset: Dataset, tmp_path: Path) -> None:
    reports = [Stubborn(), Stubborn()]
    with pytest.raises(DataError, match="too few images"):
        train(small(), replace(dataset, train=dataset.train[:1]), tmp_path / "run", reports=reports)
    assert [report.closed for report in reports] == [True, True]
    reports = [Stubborn(when_finished=True), Stubborn()]
    with pytest.raises(ValueError, match="cannot finish"):
        train(small(epochs=1), dataset, tmp_path / "run", reports=reports)
    assert [report.closed for report in reports] == [True, True]
    with pytest.raises(OSError, match="cannot close"):  # of a finished run, it is the first
        train(small(epochs=1), dataset, tmp_path / "run", resume=True, reports=[Stubborn()])


def test_reports_are_closed_though_the_device_or_the_model_is_unknown(dataset: Dataset, tmp_path: Path) -> None:
    report = Stubborn()
    with pytest.raises(UsageError, match="unknown device"):
        train(small(), dataset, tmp_path / "run", device="abacus", reports=[report])
    assert report.closed


def test_a_bar_whose_terminal_is_gone_keeps_no_one_from_closing(dataset: Dataset, tmp_path: Path) -> None:
    class Gone(io.StringIO):
        gone = False

        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            if self.gone:
                raise OSError(5, "Input/output error")
            return super().write(text)

    terminal = Gone()
    report = ConsoleReport(Console(file=terminal, force_terminal=True))
    train(
        small(epochs=1),
        dataset,
        tmp_path / "run",
        reports=[report, StopAt(0, 5, lambda: setattr(terminal, "gone", True))],
    )
    assert (tmp_path / "run" / "result.json").exists()


def test_the_bar_shows_the_accuracy_of_the_images_seen(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bar, "INTERVAL_SECONDS", 0.0)
    terminal, shown = io.StringIO(), []
    report = ConsoleReport(Console(file=terminal, force_terminal=True, _environ={"TERM": "xterm"}))

    class Watch(Report):
        def step(self, position: Position, batch: Batch) -> None:
            bar = terminal.getvalue().rpartition("\r")[2]
            shown.append(f"  train acc {batch.accuracy:.2%}  " in bar)

    few = replace(dataset, train=dataset.train[:100])
    train(small(batch_size=100, skip_easy=0.45, epochs=3), few, tmp_path / "run", reports=[report, Watch()])
    assert shown == [True] * 3


def test_tensorboard_shows_each_batch_and_each_epoch_once_though_the_run_was_killed(
    dataset: Dataset, tmp_path: Path
) -> None:
    recipe = small(protocol="watched")
    with pytest.raises(KilledError):
        train(recipe, dataset, tmp_path / "run", reports=[create_tensorboard(), StopAt(1, 3, kill)])
    train(recipe, dataset, tmp_path / "run", resume=True, reports=[create_tensorboard()])
    accumulators = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")

    for place, count in ("tensorboard", 2), ("tensorboard/batches", 12):
        events = accumulators.EventAccumulator(str(tmp_path / "run" / place)).Reload()
        for tag in "loss/train", "accuracy/train", "learning_rate":
            assert [event.step for event in events.Scalars(tag)] == list(range(1, count + 1))

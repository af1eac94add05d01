"""Reports of a study: on the console while it runs, and at its end."""

from __future__ import annotations

import io
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from under10k.evaluation import FEWEST_PAIRS
from under10k.study.engines import Outcome
from under10k.study.scores import Comparison, Row, score
from under10k.terminal import Bar, Part, build_table, literal, open_console
from under10k.text import printable

if TYPE_CHECKING:
    from under10k.study.results import Study


SCORE_NOTES = {
    "watched": "test accuracy of the best epoch, which the test set chose: biased upward",
    "held-out": "validation accuracy after the last epoch",
    "fixed": "test accuracy of the last weights, the test set read once",
}


FOLLOW_SECONDS = 2.0
"""How often the bar is drawn anew while the runs go on."""


class StudyReport:
    """Prints a line a run and tables at the end, with a live progress bar where the output is a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or open_console()
        self._bar = Bar(self.console)
        self._slots = 0
        self._began = (0.0, 0.0)
        """When, in seconds, and how much was trained then, a fraction."""
        self._turn = threading.RLock()
        """Held by whoever draws or prints."""
        self._ended = threading.Event()

    def begin(self, folder: Path) -> None:
        """Say which study this is, before anything that takes time."""
        self.say(f"study [bold]{literal(str(folder))}[/]")

    def start(self, study: Study, note: str, slots: int) -> None:
        """Say what is studied, on what, and show the bar; `slots` runs are trained at a time, 0 if all are finished."""
        plan, done = study.plan, len(study.outcomes)
        self.say_note(note)
        size = f"{_count(len(plan.variants), 'recipe')} x {_count(plan.seeds, 'seed')}"
        share = f"{_count(plan.threads, 'thread')} a run" + (f", {slots} at a time" if slots else "")
        self.say(f"{size}, data [bold]{literal(plan.data.name)}[/]; {share}")
        if shared := _shared(study):
            self.say(f"each with {literal(' '.join(shared))}")
        if done:
            self.say(f"{done} of {study.planned} runs are finished already")
        self._slots = slots
        if slots and self._bar.is_live:
            self._began = (time.monotonic(), study.progress())
            self._move(study)
            threading.Thread(target=self._follow, args=(study,), daemon=True).start()

    def outcome(self, outcome: Outcome, study: Study) -> None:
        """Print the outcome of a run."""
        self.say_note(outcome.note)
        self.say(f"{_line(outcome, study)} ({len(study.outcomes)} of {study.planned})")
        self._move(study)

    def finish(self, study: Study, note: str) -> None:
        """Remove the bar and print the results."""
        self.close()
        for part in describe_study(study):
            self.say(part)
        self.say(f"\nfiles: {literal(str(study.folder))}")
        self.say_note(note)

    def close(self) -> None:
        """Remove the bar."""
        self._ended.set()
        with self._turn:
            self._bar.clear()

    def say_note(self, note: str) -> None:
        """Print a warning."""
        if note:
            self.say(f"[bold yellow]{literal(note)}[/]")

    def say(self, what: str | Table) -> None:
        """Print; where the output is gone, a closed pipe or a full disk, keep silent."""
        with self._turn:
            self._bar.clear()
            try:
                self.console.print(what, soft_wrap=isinstance(what, str))
            except OSError:
                self.console = Console(file=io.StringIO())

    def _follow(self, study: Study) -> None:
        """Draw the bar again and again: a run may take an hour."""
        while not self._ended.wait(FOLLOW_SECONDS):
            with self._turn:
                if not self._ended.is_set():
                    self._move(study)

    def _move(self, study: Study) -> None:
        if not self._bar.is_live:
            return
        ended, failed = len(study.outcomes), len(study.failures)
        running = min(self._slots, study.planned - ended)
        description = f"{ended}/{study.planned} runs, {running} running" + (f", {failed} failed" if failed else "")
        share = study.progress()
        self._bar.draw(share, Part(description), Part(self._estimate(share), rank=1))

    def _estimate(self, share: float) -> str:
        """Return how long the rest will take, by what was trained since the start."""
        moment, before = self._began
        if share <= before:
            return ""
        left = (time.monotonic() - moment) * (1 - share) / (share - before)
        return f"about {_duration(left)} left"


class WarningStudyReport(StudyReport):
    """Prints warnings on standard error, and nothing else."""

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO()))

    def say(self, what: str | Table) -> None:
        """Print nothing."""

    def say_note(self, note: str) -> None:
        """Print a warning."""
        if note:
            print(f"warning: {printable(note)}", file=sys.stderr)


def _line(outcome: Outcome, study: Study) -> str:
    run = f"{literal(_short_labels(study)[outcome.job.variant])} s{outcome.job.recipe.seed}"
    if outcome.result is None:
        return f"{run}: [bold red]failed[/]: {literal(outcome.error)}"
    return f"{run}: {score(outcome.result):.2%} in {outcome.result.seconds['total']:.0f} s"


def _shared(study: Study) -> list[str]:
    """Return the overridden fields that every recipe of a study has alike, such as `epochs=14`: said once."""
    labels = list(study.plan.variants)
    fields = [field for field in labels[0].split(" ")[1:] if re.fullmatch(r"[\w.]+=[^(),]+", field)]
    return [field for field in fields if len(labels) > 1 and all(field in label.split(" ") for label in labels)]


def _short_labels(study: Study) -> dict[str, str]:
    """Return each recipe's label without what all have alike."""
    shared = _shared(study)
    return {label: " ".join(part for part in label.split(" ") if part not in shared) for label in study.plan.variants}


def describe_study(study: Study) -> Iterator[str | Table]:
    """Yield the results of a study, tables and lines, readable on 80 columns."""
    rows, labels = study.rows, _short_labels(study)
    for protocol in dict.fromkeys(row.protocol for row in rows):
        yield _accuracy_table(protocol, [row for row in rows if row.protocol == protocol], labels)
    yield _effort_table(rows, labels)
    compared = [comparison for comparison in study.comparisons if comparison.difference is not None]
    if compared:
        yield _comparison_table(compared, labels)
    yield from _remarks(study, labels)


def _accuracy_table(protocol: str, rows: Sequence[Row], labels: Mapping[str, str]) -> Table:
    cells = [
        (
            labels[row.variant],
            str(row.n) if row.n == row.runs else f"{row.n}/{row.runs}",
            _percent(row.mean, 3),
            _percent(row.deviation, 3),
            f"{_percent(row.interval_95[0], 3)} to {_percent(row.interval_95[1], 3)}" if row.interval_95 else "",
            _percent(row.best, 2),
            _percent(row.worst, 2),
        )
        for row in rows
    ]
    columns = ("recipe", "n", "mean", "std dev", "95 % interval", "best", "worst")
    title = f"\n{rows[0].scored} accuracy, %, protocol {protocol}"
    return build_table(title, columns, cells, wrap_first=True)


def _effort_table(rows: Sequence[Row], labels: Mapping[str, str]) -> Table:
    columns = ["recipe", "parameters", "MACs", "seconds a run"]
    cells: list[list[object]] = [
        [labels[row.variant], row.parameters, row.macs, _tenths(row.mean_seconds)] for row in rows
    ]
    if any(row.target_accuracy is not None for row in rows):
        columns += ["target %", "median epoch"]
        for row, cell in zip(rows, cells, strict=True):
            cell += [_percent(row.target_accuracy, 2), _target_epoch(row)]
    return build_table("\nwhat it takes", columns, cells, wrap_first=True)


def _target_epoch(row: Row) -> str:
    if row.target_accuracy is None or not row.n:
        return ""
    epoch = "none" if row.median_target_epoch is None else f"{row.median_target_epoch:g}"
    return f"{epoch} ({row.reached} of {row.n})"


def _comparison_table(comparisons: Sequence[Comparison], labels: Mapping[str, str]) -> Table:
    cells = [
        (
            labels[found.variant],
            found.pairs,
            f"{100 * (found.difference or 0):+.3f}",
            f"{100 * found.interval_95[0]:+.3f} to {100 * found.interval_95[1]:+.3f}" if found.interval_95 else "",
            "" if found.p is None else "< 0.001" if found.p < 0.001 else f"{found.p:.3f}",
        )
        for found in comparisons
    ]
    title = "\ndifference to the first, in points, paired by seed"
    return build_table(title, ("recipe", "pairs", "difference", "95 % interval", "p"), cells, wrap_first=True)


def _remarks(study: Study, labels: Mapping[str, str]) -> Iterator[str]:
    yield ""
    for protocol in dict.fromkeys(row.protocol for row in study.rows):
        yield f"{protocol}: {SCORE_NOTES[protocol]}"
    if any(row.target_accuracy is not None for row in study.rows):
        yield "median epoch: of reaching the target, as so many runs did; one that did not counts as later than any"
    for row in study.rows:
        if row.best_minus_last is not None:
            gain = f"makes {100 * row.best_minus_last:+.3f} points of the mean"
            yield f"{literal(labels[row.variant])}: keeping the best epoch instead of the last {gain}"
    for row in study.rows:
        if row.n > 1 and row.interval_95 is None:
            yield f"{literal(labels[row.variant])}: no interval: all {row.n} runs have the same score"
    for comparison in study.comparisons:
        if comparison.pairs and comparison.p is None:
            alike = comparison.pairs > 1 and comparison.interval_95 is None
            reason = "all pairs differ alike" if alike else f"a test takes {FEWEST_PAIRS} pairs"
            yield f"{literal(labels[comparison.variant])}: no p: {reason}"
        if comparison.reason:
            yield f"{literal(labels[comparison.variant])}: not compared with the first: {comparison.reason}"
    for outcome in study.failures:
        run = f"{literal(labels[outcome.job.variant])} seed {outcome.job.recipe.seed}"
        yield f"[bold red]failed[/]: {run}: {literal(outcome.error)}"


def _percent(share: float | None, digits: int) -> str:
    return "" if share is None else f"{100 * share:.{digits}f}"


def _tenths(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:,.1f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"

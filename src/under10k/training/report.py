"""Reports of a training: on the console, and as TensorBoard event files."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from torch import nn

from under10k.data import DataIdentity, Digits
from under10k.errors import missing_library
from under10k.recipes import Recipe
from under10k.runs import Batch, Epoch, Position, Result
from under10k.terminal import Bar, Part, build_table, duration, literal, open_console
from under10k.text import printable


class Report:
    """Callbacks of a training; the base class ignores them."""

    def start(
        self,
        recipe: Recipe,
        data: DataIdentity,
        environment: dict[str, Any],
        steps: int,
        position: Position,
        folder: Path,
    ) -> None:
        """Training is about to start, or to resume, at `position`; `steps` is the number of all its steps."""

    def step(self, position: Position, batch: Batch) -> None:
        """A step has ended; `position` is after it."""

    def epoch(self, epoch: Epoch, best: bool) -> None:
        """An epoch has ended; `best` if it is the best so far on the scored set."""

    def weights(self, model: nn.Module, digits: Digits) -> None:
        """An epoch has ended with these weights; `digits` are those it is scored on, else those it is trained on."""

    def finish(self, result: Result) -> None:
        """The run is finished."""

    def close(self) -> None:
        """The training has ended, for whatever reason, perhaps before it started; may be called more than once."""


class ConsoleReport(Report):
    """Prints a line an epoch and a table at the end, with a live progress bar where the output is a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or open_console()
        self._bar = Bar(self.console)
        self._epochs = 0
        """Of the recipe; 0 where no training has begun."""

    def start(
        self,
        recipe: Recipe,
        data: DataIdentity,
        environment: dict[str, Any],
        steps: int,
        position: Position,
        folder: Path,
    ) -> None:
        """Say what is trained, on what, then show the bar."""
        self._epochs, self._steps = recipe.epochs, steps
        self._before, self._began = position.total_steps, time.monotonic()
        if data.note:
            self._say(f"[bold yellow]{literal(data.note)}[/]")
        begun = f" from {recipe.start}" if recipe.start else ""
        network = literal(recipe.network + begun + (f", taught by {recipe.teacher}" if recipe.teacher else ""))
        self._say(f"recipe [bold]{recipe.name}[/]: model {network}, {recipe.protocol} protocol, seed {recipe.seed}")
        self._say(f"data [bold]{literal(data.name)}[/]: {data.train:,} training images, {data.test:,} test images")
        threads = environment["threads"]
        self._say(f"device {literal(environment['device_name'])}, {threads} thread{'' if threads == 1 else 's'}")
        if data.beside:
            self._say(f"beside it: {data.beside}, so that nothing is forgotten")
        if position.epoch or position.step:
            step = f", step {position.step}" if position.step else ""
            self._say(f"resumed after epoch {position.epoch}{step}")
            for epoch in position.history:
                self._print_epoch(epoch, best=epoch.epoch == position.best_epoch)

    def step(self, position: Position, batch: Batch) -> None:
        """Move the bar."""
        taken = (time.monotonic() - self._began) / (position.total_steps - self._before)
        self._bar.draw(
            position.total_steps / self._steps,
            Part(f"epoch {position.epoch + 1}/{self._epochs}"),
            Part(f"train acc {position.correct / position.seen:.2%}", rank=2),
            Part(f"loss {position.loss_sum / position.step:.4f}", rank=3),
            Part(f"{position.seen / position.step / max(taken, 1e-9):,.0f} images/s", rank=4),
            Part(f"{duration(taken * (self._steps - position.total_steps))} left", rank=1),
            above=self._lines_above,
        )

    def epoch(self, epoch: Epoch, best: bool) -> None:
        """Print the epoch's line."""
        self._print_epoch(epoch, best)

    def finish(self, result: Result) -> None:
        """Remove the bar and print the closing table."""
        self.close()
        if not self._epochs:
            self._say("finished already: nothing was done")
        self._say(result_table(result))
        if result.data.note:
            self._say(f"[bold yellow]{literal(result.data.note)}[/]")

    def close(self) -> None:
        """Remove the bar."""
        self._bar.clear()

    def _lines_above(self, width: int) -> Sequence[str]:
        """Return what is drawn above the bar, in lines shorter than `width`."""
        return ()

    def _print_epoch(self, epoch: Epoch, best: bool) -> None:
        number = f"{epoch.epoch:>{len(str(self._epochs))}}/{self._epochs}"
        line = f"epoch {number}  {_score('train', epoch.train_accuracy, epoch.train_loss)}"
        if epoch.scored_set is not None and epoch.accuracy is not None and epoch.loss is not None:
            line += f"  {_score(epoch.scored_set, epoch.accuracy, epoch.loss)}"
        line += f"  {epoch.seconds:.1f} s" + ("  best" if best else "")
        self._say(line)

    def _say(self, what: str | Table) -> None:
        """Print; where the output is gone, a closed pipe or a full disk, keep training in silence."""
        self._bar.clear()
        try:
            self.console.print(what, soft_wrap=isinstance(what, str))
        except OSError:
            self.console = Console(file=io.StringIO())


class WarningReport(Report):
    """Prints warnings on standard error, and nothing else."""

    def start(
        self,
        recipe: Recipe,
        data: DataIdentity,
        environment: dict[str, Any],
        steps: int,
        position: Position,
        folder: Path,
    ) -> None:
        """Warn where the data may not be what was expected."""
        if data.note:
            print(f"warning: {printable(data.note)}", file=sys.stderr)


class TensorBoardReport(Report):
    """Writes loss, accuracy and learning rate as TensorBoard event files: epochs to `tensorboard`, batches below it."""

    def __init__(self) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise missing_library("tensorboard", "tensorboard") from None
        self._create_writer = SummaryWriter
        self._writers: list[Any] = []

    def start(
        self,
        recipe: Recipe,
        data: DataIdentity,
        environment: dict[str, Any],
        steps: int,
        position: Position,
        folder: Path,
    ) -> None:
        """Open the event files; what a killed process wrote beyond the checkpoint is hidden by TensorBoard's purge."""
        for place, done in ("tensorboard", position.epoch), ("tensorboard/batches", position.total_steps):
            self._writers.append(self._create_writer(str(folder / place), purge_step=done + 1))

    def step(self, position: Position, batch: Batch) -> None:
        """Add the batch's figures."""
        scalars = {"loss/train": batch.loss, "accuracy/train": batch.accuracy, "learning_rate": batch.learning_rate}
        self._add(1, scalars, position.total_steps)

    def epoch(self, epoch: Epoch, best: bool) -> None:
        """Add the epoch's figures."""
        scalars = {
            "loss/train": epoch.train_loss,
            "accuracy/train": epoch.train_accuracy,
            f"loss/{epoch.scored_set}": epoch.loss,
            f"accuracy/{epoch.scored_set}": epoch.accuracy,
            "learning_rate": epoch.learning_rate,
        }
        self._add(0, scalars, epoch.epoch)
        for writer in self._writers:
            writer.flush()

    def close(self) -> None:
        """Close the event files."""
        while self._writers:
            self._writers.pop().close()

    def _add(self, writer: int, scalars: Mapping[str, float | None], step: int) -> None:
        for name, value in scalars.items():
            if value is not None:
                self._writers[writer].add_scalar(name, value, step)


def result_table(result: Result) -> Table:
    """Build the closing table of a run."""
    low, high = result.test_interval_95
    seconds = result.seconds
    times = ", ".join(f"{part} {seconds[part]:.1f}" for part in ("load", "train", "evaluate"))
    rows = [
        ("test accuracy", f"{result.test_accuracy:.2%}  ({low:.2%} to {high:.2%}, 95 % interval)"),
        ("errors", f"{result.test_errors:,} of {result.test_images:,}"),
        ("protocol", f"{result.protocol}: {PROTOCOL_NOTES[result.protocol]}"),
        ("epochs", f"{result.epochs}, weights of epoch {result.kept_epoch} kept"),
        ("parameters", f"{result.parameters:,} ({result.model})"),
        ("time", f"{seconds['total']:.1f} s: {times}"),
        ("data", result.data.name),
        ("files", result.run_dir),
    ]
    if result.target_accuracy is not None:
        reached = f"reached in epoch {result.target_epoch}" if result.target_epoch else "not reached"
        rows.insert(3, ("target", f"{result.target_accuracy:.2%} {reached}"))
    if result.validation_accuracy is not None:
        rows.insert(1, ("validation accuracy", f"{result.validation_accuracy:.2%}"))
    return build_table(f"\n{result.recipe}, seed {result.seed}", (), rows)


PROTOCOL_NOTES = {
    "watched": "the test set chose the epoch, biased upward",
    "held-out": "validation images chose the epoch, test set read once",
    "fixed": "the last weights, the test set read once",
}


def _score(name: str, accuracy: float, loss: float) -> str:
    return f"{name} {accuracy:7.2%} loss {loss:.4f}"

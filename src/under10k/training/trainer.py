"""The training loop: from the first step, or a checkpoint, to weights and a result."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor, nn

from under10k.data import DataIdentity, Dataset, Digits, Rehearsal, mix, rehearse
from under10k.errors import DivergedError, StoppedError
from under10k.evaluation import Metrics
from under10k.machine import describe_environment
from under10k.models import count_parameters
from under10k.recipes import Recipe
from under10k.runs import Batch, Epoch, Position, Result, Run, ScoredSet, restore_start, resume_command
from under10k.training.checkpoint import require_equal, restore_checkpoint, save_checkpoint
from under10k.training.optimizers import Update
from under10k.training.report import Report
from under10k.training.shards import Shards
from under10k.training.signals import StopSignals
from under10k.training.state import first_state
from under10k.training.steps import count_steps, learning_rate, mix_seed, shuffle, skip_easy, steps_of, trained_count
from under10k.weights import Facts, Options, restore


class Trainer:
    """One training: its network, its images, and where it stands."""

    def __init__(
        self,
        recipe: Recipe,
        data: Dataset,
        device: torch.device,
        run: Run,
        reports: Sequence[Report] = (),
        started: float | None = None,
        rehearsal: Rehearsal | None = None,
        teacher: nn.Module | None = None,
    ) -> None:
        """Set everything to its first step.

        `started` is when the clock of the run began, by `time.perf_counter`; `rehearsal` is trained on beside the data;
        `teacher` is the network to learn from.
        """
        self.recipe, self.data, self.device, self.run, self.reports = recipe, data, device, run, reports
        self.rehearsal = rehearsal or Rehearsal()
        self.clock = time.perf_counter() if started is None else started
        images, self.scored_set, self.scored_images = self._split()
        images = rehearse(images, self.rehearsal, recipe.mix.own_share)
        self.images = mix(images, recipe.mix, mix_seed("mix", recipe.seed))
        self.steps = count_steps(recipe, len(self.images))
        self.state = first_state(recipe, len(self.images), device)
        self.shards = Shards(recipe, self.state.model, device, teacher)
        self.update = Update(self.state.optimizer, self.state.average, records=self.shards.records)

    def fit(self, signals: StopSignals | None = None) -> None:
        """Train until the last epoch, the target, or the end of patience."""
        recipe, state, at = self.recipe, self.state, self.state.at
        while at.epoch < recipe.epochs and not self._enough():
            state.model.train()
            order = self.order()
            while at.step < steps_of(recipe, len(self.images), at.epoch):
                batch = order[at.step * recipe.batch_size : (at.step + 1) * recipe.batch_size]
                rate = learning_rate(recipe, at.total_steps, self.steps)
                losses, right = self.shards.differentiate(self.images, batch, at.epoch, at.step)
                state.losses[batch] = losses
                gradient = nn.utils.get_total_norm([p.grad for p in state.model.parameters() if p.grad is not None])
                sums = torch.stack((losses.mean(), gradient, right.float()))
                loss, norm, correct = sums.tolist()  # one wait for CUDA
                recorded = self.record_step(loss, norm, int(correct), len(batch), rate)
                self.update.take(rate, first=self.is_first_step())

                self.book_time("train")
                for report in self.reports:
                    report.step(at, recorded)
                if signals and signals.received:
                    self.save_checkpoint()
                    raise stopped_at(at, self.run.folder, signals.received)
            self.finish_epoch()

    def begin(self, resume: bool, identity: DataIdentity | None = None, stacked: int = 1) -> None:
        """Open the run folder: record a new run, or resume a stopped one.

        `identity` is the data's, where known; `stacked` is how many runs are computed as one.
        """
        self.data_identity = self._identify_data(identity or self.data.identity())
        environment = describe_environment(self.device) | ({"stacked": stacked} if stacked > 1 else {})
        if resume:
            known, data = self.run.data(), self.data_identity
            before = {**self.run.environment(), "data": known.sha256, "what is trained on beside it": known.beside}
            threads = () if self.recipe.shards > 1 else ("threads",)  # then sums do not depend on them
            now = {key: environment[key] for key in ("under10k", "torch", "device", *threads)}
            now |= {"data": data.sha256, "what is trained on beside it": data.beside}
            require_equal(self.run.folder, before, now)
            restore_checkpoint(self.state, self.recipe, self.data_identity, self.run)
        else:
            self.run.begin(self.recipe, self.data_identity, environment)
        state = self.state
        if not state.at.total_steps:
            restore_start(self.recipe, state.model)
            if state.average:
                state.average.update(first=True)  # a copy
        self.run.write_history(state.at.history)
        self.run.write_batches(state.at.total_steps - len(state.batches), state.batches)
        state.batches = []
        self.book_time("load")
        for report in self.reports:
            report.start(self.recipe, self.data_identity, environment, self.steps, state.at, self.run.folder)

    def finish(self, *, draws: bool = True) -> Result:
        """Score the kept weights on the test set, write them and the result, and draw the curves if `draws`."""
        recipe, state = self.recipe, self.state
        if state.best:
            best = {name: tensor.to(self.device) for name, tensor in state.best.items()}
            restore(state.scored, best, "best weights")
        self.book_time("train")
        result = self._result(self._score(self.data.test))
        facts = Facts(
            model=recipe.network,
            model_sha256=recipe.model_sha256,
            options=Options(**recipe.model_options()),
            recipe=recipe.name,
            seed=recipe.seed,
            protocol=recipe.protocol,
            data_sha256=self.data_identity.sha256,
        )
        self.run.save_model(state.scored, facts)
        self.run.write_result(result)
        if draws:
            draw_curves(self.run)
        for report in self.reports:
            report.finish(result)
        return result

    def _result(self, metrics: Metrics) -> Result:
        recipe, at = self.recipe, self.state.at
        return Result(
            recipe=recipe.name,
            model=recipe.network,
            parameters=count_parameters(self.state.scored),
            protocol=recipe.protocol,
            seed=recipe.seed,
            epochs=at.epoch,
            kept_epoch=at.best_epoch or at.epoch,
            target_accuracy=recipe.target_accuracy,
            target_epoch=self._target_epoch(),
            validation_accuracy=at.best_accuracy if recipe.protocol == "held-out" else None,
            last_accuracy=at.history[-1].accuracy,
            test_accuracy=metrics.accuracy,
            test_interval_95=(metrics.interval.low, metrics.interval.high),
            test_errors=metrics.errors,
            test_images=len(metrics.labels),
            test_loss=metrics.loss,
            calibration_error=metrics.calibration_error,
            seconds={name: round(seconds, 3) for name, seconds in at.seconds.items()},
            data=self.data_identity,
            device=self.device.type,
            run_dir=str(self.run.folder),
        )

    def _split(self) -> tuple[Digits, ScoredSet | None, Digits | None]:
        """Return the images to train on, and name and images of the set that is scored after each epoch."""
        if self.recipe.protocol == "fixed":
            return self.data.train.to(self.device), None, None
        if self.recipe.protocol == "watched":
            return self.data.train.to(self.device), "test", self.data.test.to(self.device)
        cut = trained_count(self.recipe, len(self.data.train))
        return self.data.train[:cut].to(self.device), "validation", self.data.train[cut:].to(self.device)

    def _identify_data(self, identity: DataIdentity) -> DataIdentity:
        """Return what the run's records say of the data, and of what is trained on beside it."""
        note = " ".join(filter(None, (identity.note, self.rehearsal.note)))
        return replace(identity, note=note, beside=self.rehearsal.source)

    def _enough(self) -> bool:
        """Tell whether the target is reached or patience has run out."""
        recipe, at = self.recipe, self.state.at
        if recipe.target_accuracy is not None and at.best_accuracy >= recipe.target_accuracy:
            return True
        return recipe.patience_epochs is not None and at.epoch - at.best_epoch >= recipe.patience_epochs

    def _target_epoch(self) -> int | None:
        target = self.recipe.target_accuracy
        if target is None:
            return None
        return next((e.epoch for e in self.state.at.history if e.accuracy is not None and e.accuracy >= target), None)

    def order(self) -> Tensor:
        """Return the epoch's order of images: a pure function of seed, epoch and the losses at its beginning."""
        epoch = self.state.at.epoch
        order = shuffle(len(self.images), self.recipe.seed, epoch).to(self.device)
        return skip_easy(order, self.state.losses_before, self.recipe.skip_easy) if epoch > 0 else order

    def is_first_step(self) -> bool:
        """Tell whether the step just recorded is the first, before which the average is of untrained weights."""
        return self.state.at.total_steps == 1 and self.recipe.start is None

    def record_step(self, loss: float, norm: float, correct: int, count: int, rate: float) -> Batch:
        """Add a step to the epoch's sums; stop, before the update, where loss or gradient is not finite.

        `loss` is the mean over the batch of `count` images, `norm` its gradient's, `correct` how many were read right.
        """
        at, batches = self.state.at, self.state.batches
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._diverge(f"loss {loss}, gradient norm {norm}", at.step + 1)
        at.loss_sum += loss
        at.correct += correct
        at.seen += count
        at.step += 1
        at.total_steps += 1
        batches.append(Batch(at.epoch + 1, at.step, loss, correct / count, rate))
        return batches[-1]

    def book_time(self, what: str) -> None:
        """Add the time since the last call to `load`, `train` or `evaluate`."""
        at, now = self.state.at, time.perf_counter()
        if what == "train":
            at.epoch_seconds += now - self.clock
        at.seconds[what] += now - self.clock
        at.seconds["total"] += now - self.clock
        self.clock = now

    def finish_epoch(self) -> None:
        """Score the epoch where the protocol says so, keep the best weights, save, and record."""
        state, at = self.state, self.state.at
        rate = learning_rate(self.recipe, at.total_steps - 1, self.steps)
        steps = steps_of(self.recipe, len(self.images), at.epoch)
        self._refuse_broken_weights()
        metrics = self._score(self.scored_images) if self.scored_images else None
        at.epoch, at.step = at.epoch + 1, 0
        if metrics and metrics.accuracy > at.best_accuracy:
            at.best_accuracy, at.best_epoch = metrics.accuracy, at.epoch
            state.best = {name: tensor.detach().clone() for name, tensor in state.scored.state_dict().items()}
        epoch = Epoch(
            epoch=at.epoch,
            train_loss=at.loss_sum / steps,
            train_accuracy=at.correct / at.seen,
            scored_set=self.scored_set,
            loss=metrics.loss if metrics else None,
            accuracy=metrics.accuracy if metrics else None,
            learning_rate=rate,
            seconds=round(at.epoch_seconds, 3),
        )
        at.history.append(epoch)
        at.loss_sum, at.correct, at.seen, at.epoch_seconds = 0.0, 0, 0, 0.0
        state.losses_before = state.losses.clone()
        self.save_checkpoint()
        self.run.append_epoch(epoch)
        for report in self.reports:
            report.epoch(epoch, at.best_epoch == at.epoch)
            report.weights(state.scored, self.scored_images or self.data.train)
        self.book_time("evaluate")

    def _score(self, digits: Digits) -> Metrics:
        """Score the current weights; stop if the last update, which no later loss has judged, broke them."""
        metrics = self.shards.evaluate(self.state.scored, digits)
        if not math.isfinite(metrics.loss):
            self._diverge(f"loss {metrics.loss} on the images it is scored on", self.state.at.step)
        self.book_time("evaluate")
        return metrics

    def _refuse_broken_weights(self) -> None:
        for model in (self.state.model, self.state.scored):
            if not all(bool(torch.isfinite(tensor).all()) for tensor in model.state_dict().values()):
                self._diverge("weights that are not finite", self.state.at.step)

    def _diverge(self, what: str, step: int) -> NoReturn:
        at = self.state.at
        rate = learning_rate(self.recipe, at.total_steps - at.step + step - 1, self.steps)
        raise DivergedError(
            f"diverged: epoch {at.epoch + 1}, step {step}: {what}, learning rate {rate:g}. "
            f"train anew with a lower optimizer.lr; {self.run.folder} keeps what was saved before"
        )

    def save_checkpoint(self) -> None:
        save_checkpoint(self.state, self.recipe, self.data_identity, self.run)


def stopped_at(at: Position, folder: Path, signal_number: int) -> StoppedError:
    """Return the error of a training that was stopped and is saved."""
    return StoppedError(
        f"stopped: epoch {at.epoch + 1}, step {at.step} is saved. resume with: {resume_command(folder)}", signal_number
    )


def draw_curves(run: Run) -> None:
    """Draw the run's `curves.png`."""
    from under10k.plots import plot_curves, save_figure  # imported here: half a second that no training need wait for

    save_figure(plot_curves(run.folder), run.curves_file)

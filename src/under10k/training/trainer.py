"""The training itself: from a recipe and data to weights and a result, resumable at every step."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from under10k.data import Dataset, DataSource, Digits, as_dataset, augment, to_input, to_unit
from under10k.errors import DataError, DivergedError, ModelError, StoppedError, Under10kError, UsageError
from under10k.evaluation import Metrics, evaluate
from under10k.files import as_path, locked, sweep_temporaries
from under10k.machine import describe_environment, keep_freed_memory, pick_device, require_float32
from under10k.models import DrawingFrom, count_parameters, create_model, model_options
from under10k.recipes import Recipe, as_recipe
from under10k.runs import (
    Batch,
    Epoch,
    Position,
    Result,
    Run,
    ScoredSet,
    check_unused,
    create_run_folder,
    resume_command,
)
from under10k.training.layout import rearrange
from under10k.training.optimizers import Average, create_optimizer
from under10k.training.report import ConsoleReport, Report
from under10k.training.signals import StopSignals
from under10k.training.steps import mix_seed, one_cycle, shuffle, skip_easy
from under10k.typed import build
from under10k.weights import restore


def train(
    recipe: str | Recipe,
    data: DataSource = "auto",
    run_dir: str | Path | None = None,
    resume: bool = False,
    *,
    device: str = "auto",
    reports: Sequence[Report] | None = None,
) -> Result:
    """Train a recipe from its first step, or from where a stopped run stands, to its result.

    `recipe` is a `Recipe` or the name of one. `data` is a known name, a folder of four IDX files, a `Dataset`, or a
    pair (train, test): each a pair (images, labels) of arrays or tensors, or a torch data set of (image, label), with
    images (N, 28, 28) or (N, 1, 28, 28), uint8 or float from 0 to 1. `run_dir` is where everything is written, by
    default the first free `runs/<recipe>-s<seed>`; `resume` continues the run in `run_dir`. `reports` are told of each
    step and epoch, by default one that prints; an empty list keeps quiet.

    Raises:
        UsageError: a device or model that is not there, a run folder in use by another run, or a default type of
            torch's other than float32.
        DataError: the data is missing, damaged, or too little.
        ModelError: the run to resume is damaged, or was begun under another recipe, data, torch or thread count.
        DivergedError: loss or gradient ceased to be finite; the last checkpoint is kept.
        StoppedError: SIGINT, SIGTERM or SIGHUP arrived; the state is saved.
        BusyError: another process trains in `run_dir`.
        Under10kError: the disk is full, or not to be written; it says how to resume.

    Trainings in several threads of a process do not disturb each other: none draws from torch's global generator. Only
    the main thread hears signals.
    """
    started = time.perf_counter()
    reports = [ConsoleReport()] if reports is None else reports
    with _closing(reports):
        chosen = pick_device(device)
        with _undisturbed(chosen):
            return _train(
                as_recipe(recipe),
                data,
                None if run_dir is None else as_path(run_dir, "a folder"),
                resume,
                chosen,
                reports,
                started,
            )


def _train(
    recipe: Recipe,
    data: DataSource,
    asked: Path | None,
    resume: bool,
    device: torch.device,
    reports: Sequence[Report],
    started: float,
) -> Result:
    keep_freed_memory()
    _create_network(recipe)  # an unknown model is refused before anything is written
    if resume:
        finished = _finished(recipe, asked)
        if finished:
            for report in reports:
                report.finish(finished)
            return finished
    elif asked and not (asked / ".lock").exists():  # else another training may be at work there, as the lock will tell
        check_unused(asked)
    dataset = as_dataset(data)
    _check_enough(recipe, dataset)
    folder = asked if resume and asked else create_run_folder(recipe, asked)
    with locked(folder), StopSignals() as signals:
        if not resume:
            check_unused(folder)
        try:
            trainer = Trainer(recipe, dataset, device, Run(folder), reports, started)
            trainer.begin(resume)
            trainer.fit(signals)
            return trainer.finish()
        except OSError as error:
            if not Run.is_run(folder):
                raise
            where = f": {error.filename}" if error.filename else ""
            raise Under10kError(
                f"stopped: {error.strerror or error}{where}. put that right, then resume with: {resume_command(folder)}"
            ) from error


@contextmanager
def _closing(reports: Sequence[Report]) -> Iterator[None]:
    """Close every report in the end; of several errors the first is the one to show."""
    first: BaseException | None = None
    try:
        yield
    except BaseException as error:
        first = error
    for report in reports:
        try:
            report.close()
        except Exception as error:
            first = first or error
    if first:
        raise first


@contextmanager
def _undisturbed(device: torch.device) -> Iterator[None]:
    """Train as ever, whatever the caller has set torch to: no gradients, another precision, another device."""
    require_float32()
    on_cpu = torch.get_default_device().type == "cpu"  # then it needs no context, which would slow down each call
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
        nullcontext() if on_cpu else torch.device("cpu"),
    ):
        yield


def _create_network(recipe: Recipe) -> nn.Module:
    """Build a recipe's network, its weights drawn from its seed."""
    with DrawingFrom(torch.Generator().manual_seed(mix_seed("weights", recipe.seed))):
        return create_model(recipe.model, **model_options(recipe))


def _finished(recipe: Recipe, folder: Path | None) -> Result | None:
    """Return the result of the run to resume, if it has one; refuse what is no run, or not a run of this recipe."""
    if folder is None:
        raise UsageError("nothing to resume: no run folder was given. give one")
    run = Run(folder)
    run.refuse_links()
    _check_equal(folder, asdict(run.recipe()), asdict(recipe))
    result = run.result()
    if result and not run.curves_file.exists():
        with locked(folder):
            sweep_temporaries(folder)
            _draw_curves(run)
    return result


def _draw_curves(run: Run) -> None:
    from under10k.plots import save_curves  # imported here: half a second that a training need not wait for

    save_curves([run.folder], run.curves_file)


def _check_enough(recipe: Recipe, data: Dataset) -> None:
    """Refuse data that batch norm cannot be trained on: it needs two images in a batch."""
    left = len(data.train) - (_validation_count(data) if recipe.protocol == "held-out" else 0)
    if left < 2:
        raise DataError(f"too few images: {data.name} leaves {left} to train on. give at least 2")
    if left - _skipped(recipe, left, epoch=recipe.epochs - 1) < 2:
        raise DataError(
            f"too few images: {data.name} leaves {left} to train on, and skip_easy {recipe.skip_easy} only 1 of them. "
            "give more, or a smaller skip_easy"
        )


def _skipped(recipe: Recipe, count: int, epoch: int) -> int:
    """How many of the images to train on an epoch, counted from 0, leaves out."""
    return int(count * recipe.skip_easy) if epoch > 0 else 0


def _validation_count(data: Dataset) -> int:
    """The last sixth of the training images: 10,000 of MNIST's 60,000."""
    return max(1, len(data.train) // 6)


def _check_equal(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to resume under anything that would make the result another one; name the first that differs."""
    for key, value in now.items():
        if before.get(key) != value:
            remedies = {
                "threads": f"set OMP_NUM_THREADS={before.get(key)}",
                "under10k": "finish it with the under10k that began it",
            }
            remedy = remedies.get(key, "resume as it was begun")
            raise ModelError(
                f"cannot resume {folder}: {key} was {before.get(key)}, is now {value}. {remedy}, or train anew"
            )


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
    ) -> None:
        """Set everything to its first step; `started` is when the clock of the run began, by `time.perf_counter`."""
        self.recipe, self.data, self.device, self.run, self.reports = recipe, data, device, run, reports
        self.clock = time.perf_counter() if started is None else started
        self.at = Position()
        self.images, self.scored_set, self.scored_images = self._split()
        self.batch_size = min(recipe.batch_size, len(self.images))
        self.steps = sum(map(self._steps, range(recipe.epochs)))
        self.model = rearrange(_create_network(recipe).to(device))
        self.average = Average(self.model, recipe.averaging) if recipe.averaging else None
        self.scored: nn.Module = self.average.model if self.average else self.model
        self.best: dict[str, Tensor] = {}
        # by image, when it was last trained on: as the epoch under way began, and as it stands
        never = torch.finfo(torch.float32).max  # not infinity, which no checkpoint may hold
        self.losses_before = torch.full((len(self.images),), never, device=device)
        self.losses = self.losses_before.clone()
        self.optimizer = create_optimizer(recipe, self.model)
        self.generator = torch.Generator(device)  # the augmentation's
        self.drops = torch.Generator(device)  # dropout's
        self.batches: list[Batch] = []  # since the last checkpoint

    def fit(self, signals: StopSignals | None = None) -> None:
        """Train until the last epoch, the target, or the end of patience."""
        recipe, at = self.recipe, self.at
        while at.epoch < recipe.epochs and not self._enough():
            self.model.train()
            order = self._order()
            while at.step < self._steps(at.epoch):
                self._seed_step()
                batch = order[at.step * self.batch_size : (at.step + 1) * self.batch_size]
                pixels = augment(to_unit(self.images.images[batch]), self.generator, recipe.augment)
                labels = self.images.labels[batch]
                rate = self._learning_rate(at.total_steps)
                for group in self.optimizer.param_groups:
                    group["lr"] = rate

                with DrawingFrom(self.drops) if recipe.dropout else nullcontext():
                    logits = self.model(to_input(pixels))
                losses = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing, reduction="none")
                self.losses[batch] = losses.detach()
                loss = losses.mean()
                self.optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                recorded = self._record_step(loss, logits, labels, rate)
                self.optimizer.step()
                if self.average:
                    self.average.update(first=at.total_steps == 1)

                self._spend("train")
                for report in self.reports:
                    report.step(at, recorded)
                if signals and signals.received:
                    self._stop(signals.received)
            self._finish_epoch()

    def begin(self, resume: bool) -> None:
        """Open the run folder: record a new run, or return to where a stopped one stands."""
        self.data_sha256 = self.data.sha256()
        environment = describe_environment(self.device)
        environment["data"] = {
            "name": self.data.name,
            "sha256": self.data_sha256,
            "train": len(self.data.train),
            "test": len(self.data.test),
            "note": self.data.note,
        }
        if not resume:
            self.run.begin(self.recipe, environment)
        else:
            before = {**self.run.environment(), "data": self.run.data()["sha256"]}
            now = {key: environment[key] for key in ("under10k", "torch", "device", "threads")}
            _check_equal(self.run.folder, before, {**now, "data": self.data_sha256})
            checkpoint = self.run.load_checkpoint()
            if checkpoint:
                self._take_up(*checkpoint)
        self.run.write_history(self.at.history)
        self.run.write_batches(self.at.total_steps - len(self.batches), self.batches)
        self.batches = []
        self._spend("load")
        for report in self.reports:
            report.start(self.recipe, environment, self.steps, self.at, self.run.folder)

    def finish(self) -> Result:
        """Score the kept weights on the test set, write them and the result, and draw the curves."""
        if self.best:
            restore(self.scored, {name: tensor.to(self.device) for name, tensor in self.best.items()}, "best weights")
        self._spend("train")
        metrics = self._score(self.data.test)
        recipe, at = self.recipe, self.at
        result = Result(
            recipe=recipe.name,
            model=recipe.model,
            parameters=count_parameters(self.scored),
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
            data={"name": self.data.name, "sha256": self.data_sha256, "note": self.data.note},
            device=self.device.type,
            run_dir=str(self.run.folder),
        )
        self.run.save_model(
            self.scored,
            {
                "model": recipe.model,
                "options": model_options(recipe),
                "recipe": recipe.name,
                "seed": recipe.seed,
                "protocol": recipe.protocol,
                "data_sha256": self.data_sha256,
            },
        )
        self.run.write_result(result)
        _draw_curves(self.run)
        for report in self.reports:
            report.finish(result)
        return result

    def save_checkpoint(self) -> None:
        """Save everything that the rest of the training depends on, then record the batches since the last time.

        They are part of the checkpoint: where a kill comes between the two, they are recorded on resuming.
        """
        parts: dict[str, dict[str, Tensor]] = {"model": self.model.state_dict(), "best": self.best}
        if self.average:
            parts["average"] = self.average.model.state_dict()
        if self.recipe.skip_easy:
            parts["losses"] = {"before": self.losses_before, "now": self.losses}
        since = torch.tensor([batch[2:] for batch in self.batches], dtype=torch.float64).view(-1, 3)
        parts["batches"] = {"since": since}
        for index, state in self.optimizer.state_dict()["state"].items():
            parts[f"optimizer/{index}"] = state
        tensors = {
            f"{part}/{name}": tensor
            for part, named in parts.items()
            for name, tensor in named.items()
            if tensor is not None
        }
        facts = {"recipe": asdict(self.recipe), "data": self.data_sha256, "position": asdict(self.at)}
        self.run.save_checkpoint(self.at.epoch, self.at.step, tensors, facts)
        self.run.append_batches(self.batches)
        self.batches = []

    def _take_up(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Return to where a checkpoint stands; a seal tells that it is whole, not that its content makes sense."""
        try:
            self._restore(tensors, facts)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ModelError(f"no checkpoint to go on from: {self.run.folder} ({reason}). train anew") from None

    def _restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        saved = {**facts["recipe"], "data": facts["data"]}
        _check_equal(self.run.folder, saved, {**asdict(self.recipe), "data": self.data_sha256})
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            part, _, key = name.rpartition("/")
            parts.setdefault(part, {})[key] = tensor
        where = f"checkpoint of {self.run.folder}"
        restore(self.model, parts.pop("model", {}), where)
        if self.average:
            restore(self.average.model, parts.pop("average", {}), where)
        if self.recipe.skip_easy:
            losses = parts.pop("losses", {})
            for name, mine in ("before", self.losses_before), ("now", self.losses):
                mine.copy_(_require_shape(losses[name], mine))
        self.best = parts.pop("best", {})
        since = parts.pop("batches")["since"]
        state = {int(part.removeprefix("optimizer/")): named for part, named in parts.items()}
        parameters = list(self.model.parameters())
        if state and state.keys() != set(range(len(parameters))):
            raise ValueError("the optimizer's state is not of all parameters")
        for number, named in state.items():
            for tensor in named.values():
                _require_shape(tensor, parameters[number])
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.at = build(Position, facts["position"], "position")
        self._check_position()
        self.batches = self._number(since)

    def _check_position(self) -> None:
        """Refuse a position that no training of this recipe comes to: it could go on for ever."""
        at, epochs = self.at, self.recipe.epochs
        possible = 0 <= at.epoch <= epochs and 0 <= at.step <= self._steps(at.epoch) and 0 <= at.best_epoch <= at.epoch
        done = sum(map(self._steps, range(at.epoch))) + at.step if possible else -1
        seen = at.step * self._batch_size(at.epoch) if possible else -1
        if (
            (at.total_steps, at.seen) != (done, seen)
            or len(at.history) != at.epoch
            or at.seconds.keys() != Position().seconds.keys()
        ):
            raise ValueError(f"no such position: epoch {at.epoch}, step {at.step}, {at.total_steps} steps in all")

    def _number(self, since: Tensor) -> list[Batch]:
        """Return the batches that a checkpoint holds: those up to where it stands, all of one epoch."""
        at = self.at
        epoch, last = (at.epoch + 1, at.step) if at.step else (at.epoch, self._steps(at.epoch - 1))
        first = last - len(since)
        if since.dtype != torch.float64 or since.shape != (len(since), 3) or first < 0 or len(since) > at.total_steps:
            raise ValueError(f"batches are {since.dtype} {tuple(since.shape)}, at most {last} of them are possible")
        return [Batch(epoch, first + number, *row) for number, row in enumerate(since.tolist(), start=1)]

    def _split(self) -> tuple[Digits, ScoredSet | None, Digits | None]:
        """Return the images to train on, and the name and the images of the set that is scored on the way."""
        if self.recipe.protocol == "fixed":
            return self.data.train.to(self.device), None, None
        if self.recipe.protocol == "watched":
            return self.data.train.to(self.device), "test", self.data.test.to(self.device)
        cut = len(self.data.train) - _validation_count(self.data)
        return self.data.train[:cut].to(self.device), "validation", self.data.train[cut:].to(self.device)

    def _enough(self) -> bool:
        """Whether the target is reached or patience at its end."""
        recipe, at = self.recipe, self.at
        if recipe.target_accuracy is not None and at.best_accuracy >= recipe.target_accuracy:
            return True
        return recipe.patience_epochs is not None and at.epoch - at.best_epoch >= recipe.patience_epochs

    def _target_epoch(self) -> int | None:
        target = self.recipe.target_accuracy
        if target is None:
            return None
        return next((e.epoch for e in self.at.history if e.accuracy is not None and e.accuracy >= target), None)

    def _steps(self, epoch: int) -> int:
        """How many steps an epoch, counted from 0, has; what is left over waits for the next shuffle."""
        return max(1, (len(self.images) - _skipped(self.recipe, len(self.images), epoch)) // self.batch_size)

    def _batch_size(self, epoch: int) -> int:
        """How many images each step of an epoch, counted from 0, has: fewer only where it has no more."""
        return min(self.batch_size, len(self.images) - _skipped(self.recipe, len(self.images), epoch))

    def _order(self) -> Tensor:
        """In which order the epoch takes the images: a pure function of seed, epoch and the losses at its beginning."""
        order = shuffle(len(self.images), self.recipe.seed, self.at.epoch).to(self.device)
        return skip_easy(order, self.losses_before, self.recipe.skip_easy) if self.at.epoch > 0 else order

    def _seed_step(self) -> None:
        """Make all chance of a step, dropout's and the augmentation's, a pure function of seed, epoch and step."""
        chance = mix_seed("step", self.recipe.seed, self.at.epoch, self.at.step)
        self.generator.manual_seed(chance)
        self.drops.manual_seed(chance)

    def _learning_rate(self, step: int) -> float:
        schedule, peak = self.recipe.schedule, self.recipe.optimizer.lr
        return one_cycle(step, self.steps, peak=peak, warmup=schedule.warmup) if schedule.name == "one-cycle" else peak

    def _record_step(self, loss: Tensor, logits: Tensor, labels: Tensor, rate: float) -> Batch:
        """Add a step to the epoch's sums; stop, before the update, where loss or gradient is not finite."""
        gradient = nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        right = (logits.detach().argmax(dim=1) == labels).sum()
        loss_value, norm, correct = torch.stack((loss.detach(), gradient, right.float())).tolist()  # one wait for CUDA
        at = self.at
        if not (math.isfinite(loss_value) and math.isfinite(norm)):
            self._diverge(f"loss {loss_value}, gradient norm {norm}", at.step + 1)
        at.loss_sum += loss_value
        at.correct += int(correct)
        at.seen += len(labels)
        at.step += 1
        at.total_steps += 1
        self.batches.append(Batch(at.epoch + 1, at.step, loss_value, correct / len(labels), rate))
        return self.batches[-1]

    def _spend(self, what: str) -> None:
        """Book the time since the last call under `load`, `train` or `evaluate`."""
        now = time.perf_counter()
        if what == "train":
            self.at.epoch_seconds += now - self.clock
        self.at.seconds[what] += now - self.clock
        self.at.seconds["total"] += now - self.clock
        self.clock = now

    def _finish_epoch(self) -> None:
        """Score the epoch where the protocol says so, keep what is best, save, and record."""
        at = self.at
        rate, steps = self._learning_rate(at.total_steps - 1), self._steps(at.epoch)
        self._refuse_broken_weights()
        metrics = self._score(self.scored_images) if self.scored_images else None
        at.epoch, at.step = at.epoch + 1, 0
        if metrics and metrics.accuracy > at.best_accuracy:
            at.best_accuracy, at.best_epoch = metrics.accuracy, at.epoch
            self.best = {name: tensor.detach().clone() for name, tensor in self.scored.state_dict().items()}
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
        self.losses_before = self.losses.clone()
        self.save_checkpoint()
        self.run.append_epoch(epoch)
        for report in self.reports:
            report.epoch(epoch, at.best_epoch == at.epoch)

    def _score(self, digits: Digits) -> Metrics:
        """Score the weights as they stand; stop where the last update, which no later loss has judged, broke them."""
        metrics = evaluate(self.scored, digits)
        if not math.isfinite(metrics.loss):
            self._diverge(f"loss {metrics.loss} on the images it is scored on", self.at.step)
        self._spend("evaluate")
        return metrics

    def _refuse_broken_weights(self) -> None:
        for model in (self.model, self.scored):
            if not all(bool(torch.isfinite(tensor).all()) for tensor in model.state_dict().values()):
                self._diverge("weights that are not finite", self.at.step)

    def _diverge(self, what: str, step: int) -> NoReturn:
        rate = self._learning_rate(self.at.total_steps - self.at.step + step - 1)
        raise DivergedError(
            f"diverged: epoch {self.at.epoch + 1}, step {step}: {what}, learning rate {rate:g}. "
            f"train anew with a lower optimizer.lr; {self.run.folder} keeps what was saved before"
        )

    def _stop(self, signal_number: int) -> None:
        self.save_checkpoint()
        raise StoppedError(
            f"stopped: epoch {self.at.epoch + 1}, step {self.at.step} is saved. "
            f"resume with: {resume_command(self.run.folder)}",
            signal_number,
        )


def _require_shape(tensor: Tensor, like: Tensor) -> Tensor:
    """Return a tensor of the shape and type of another, or of a single number such as a count of steps."""
    if tensor.dtype != torch.float32 or tensor.shape not in (like.shape, torch.Size([])):
        raise ValueError(f"a tensor is {tensor.dtype} {tuple(tensor.shape)}, expected {like.dtype} {tuple(like.shape)}")
    return tensor

"""The beginning of a training: what is checked before the first step, and the one function that trains."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from under10k.data import Dataset, DataSource, Rehearsal, as_dataset, find_rehearsal
from under10k.errors import DataError, Under10kError, UsageError
from under10k.files import as_path, locked, sweep_temporaries
from under10k.machine import keep_freed_memory, pick_device, require_float32
from under10k.models import require_network, with_network
from under10k.recipes import Recipe, as_recipe
from under10k.runs import (
    WEIGHTS,
    Result,
    Run,
    check_unused,
    create_run_folder,
    load_teacher,
    pin_start,
    pin_teacher,
    recorded_data,
    resume_command,
)
from under10k.training.checkpoint import require_equal
from under10k.training.own_augment import OwnAugment, find_augment, hand_over_augment
from under10k.training.report import ConsoleReport, Report
from under10k.training.signals import StopSignals
from under10k.training.stack import Stack, require_stackable
from under10k.training.steps import images_of, mix_seed, trained_count
from under10k.training.trainer import Trainer, draw_curves


def train(
    recipe: str | Recipe,
    data: DataSource = "auto",
    run_dir: str | Path | None = None,
    resume: bool = False,
    *,
    model: Callable[..., nn.Module] | str | None = None,
    start: str | Path | None = None,
    augment: OwnAugment | None = None,
    device: str = "auto",
    reports: Sequence[Report] | None = None,
) -> Result:
    """Train a recipe to its result, from the first step or from where a stopped run stands.

    `recipe` is a `Recipe` or the name of one. `data` is a name, folder or file that `load_digits` takes, a `Dataset`,
    or a pair (train, test): each a pair (images, labels) of arrays or tensors, or a torch data set of (image, label);
    images are (N, 28, 28) or (N, 1, 28, 28), uint8 or float from 0 to 1. `auto` is what the run to resume was begun
    on, else MNIST, else synthetic digits. Everything is written to `run_dir`, by default
    the first free `runs/<recipe>-s<seed>`; `resume` continues the run there. `reports` are called at each step and
    epoch; by default one prints, and an empty list keeps quiet. `model` replaces the recipe's network: a name, or a
    class or function of your own that builds one; it is given the recipe's `dropout` if it takes that. To resume such a
    run, hand over the same again. `start` replaces the recipe's: trained weights to begin from, as `load_model` takes
    them; the network must be the one that they are of. `augment` deforms the training images, before the recipe's own
    amounts do: a pure function of images, uint8 (B, 28, 28), and a `torch.Generator`, handed over again to resume.

    Raises:
        UsageError: a device or model that is not there, a run folder in use by another run, bfloat16 on a GPU, or a
            default type of torch's other than float32.
        DataError: the data is missing, damaged, or too little.
        ModelError: the run to resume is damaged, or was begun under another recipe, data, torch or thread count; or
            `start` is damaged, or of another network.
        DivergedError: loss or gradient is no longer finite; the last checkpoint is kept.
        StoppedError: SIGINT, SIGTERM or SIGHUP arrived; the state is saved.
        BusyError: another process trains in `run_dir`, or may: its lock was removed.
        Under10kError: the disk is full or not writable; the error says how to resume.

    Trainings in several threads of a process do not disturb each other: none draws from torch's global generator. Only
    the main thread hears signals.
    """
    started = time.perf_counter()
    reports = [ConsoleReport()] if reports is None else reports
    with _closing(reports):
        given, chosen = as_recipe(recipe), pick_device(device)
        if given.precision == "bfloat16" and chosen.type != "cpu":
            raise UsageError(f"bfloat16 on {chosen}: only CPUs train in it. give device cpu, or precision float32")
        folder = None if run_dir is None else as_path(run_dir, "a folder")
        with _undisturbed(chosen):
            changed = _with_changes(given, model, start, augment)
            return _train(changed, data, folder, resume, chosen, reports, started)


def train_stacked(
    runs: Sequence[tuple[Recipe, Path, bool]], data: Dataset, *, device: str = "auto"
) -> list[Result | Under10kError]:
    """Train one recipe under several seeds as one network, and return each run's result, or why it has none.

    Of each run are given its recipe, its folder, and whether to resume what is there. Those that stand at the same step
    are computed together. Their curves are not drawn.

    Raises:
        UsageError: the recipe cannot be stacked, or the device is not there.
        StoppedError: a signal arrived; all runs under way are saved.
        Under10kError: the disk is full or not writable.
    """
    started, chosen = time.perf_counter(), pick_device(device)
    require_stackable(runs[0][0])
    with _undisturbed(chosen), ExitStack() as held, StopSignals() as signals:
        keep_freed_memory()
        identity = data.identity()
        data = replace(data, train=data.train.to(chosen), test=data.test.to(chosen))
        outcomes: dict[Path, Result | Under10kError] = {}
        standing: dict[tuple[int, int], list[Trainer]] = {}
        for recipe, folder, resume in runs:
            try:
                _, finished = _find_run(recipe, folder) if resume else (folder, None)
                if finished:
                    outcomes[folder] = finished
                    continue
                _, rehearsal = _load(recipe, data)
                lock = held.enter_context(locked(folder))
                trainer = Trainer(recipe, data, chosen, Run(folder, lock.require), (), started, rehearsal)
                held.enter_context(closing(trainer.shards))
                trainer.begin(resume, identity, len(runs))
                standing.setdefault((trainer.state.at.epoch, trainer.state.at.step), []).append(trainer)
            except Under10kError as error:
                outcomes[folder] = error
        for trainers in standing.values():
            stack = Stack(trainers, load_teacher(runs[0][0]))
            stack.fit(signals)
            outcomes |= {trainer.run.folder: error for trainer, error in stack.failed.items()}
            outcomes |= {trainer.run.folder: trainer.finish(draws=False) for trainer in stack.going}
    return [outcomes[folder] for _, folder, _ in runs]


def _with_changes(
    recipe: Recipe,
    model: Callable[..., nn.Module] | str | None,
    start: str | Path | None,
    augment: OwnAugment | None,
) -> Recipe:
    """Return a recipe with another network, other weights to begin from, and an augmentation, if they are given."""
    if model is not None:
        recipe = with_network(recipe, model)
    if start is not None:
        recipe = replace(recipe, start=str(as_path(start, WEIGHTS)), start_sha256=None)
    if augment is not None:
        name, sha256 = hand_over_augment(augment)
        recipe = replace(recipe, own_augment=name, own_augment_sha256=sha256)
    return recipe


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
    recipe = require_network(recipe)  # before anything is written
    find_augment(recipe)
    if not resume or recipe.start_sha256 is None:  # a run that has a checkpoint does without the weights it began from
        recipe = pin_start(recipe)
    if not resume or recipe.teacher_sha256 is None:  # one that is finished does without its teacher
        recipe = pin_teacher(recipe)
    if resume:
        folder, finished = _find_run(recipe, asked)
        if finished:
            for report in reports:
                report.finish(finished)
            return finished
        with locked(folder) as lock:  # before the data are read, which takes time
            images = _load(recipe, recorded_data(folder) if data == "auto" else data)
            return _fit(recipe, *images, Run(folder, lock.require), True, device, reports, started)
    if asked and not (asked / ".lock").exists():  # else another training may be at work there, as the lock will tell
        check_unused(asked)
    images = _load(recipe, data)
    folder = create_run_folder(recipe, asked)
    with locked(folder) as lock:
        check_unused(folder)
        return _fit(recipe, *images, Run(folder, lock.require), False, device, reports, started)


def _load(recipe: Recipe, data: DataSource) -> tuple[Dataset, Rehearsal]:
    """Read the data, and what is trained on beside it; refuse too little."""
    if recipe.mix.mnist and isinstance(data, str) and data in ("auto", "mnist"):
        raise UsageError(f"no data of your own: recipe {recipe.name} has MNIST beside it. give data=FOLDER, or a zip")
    dataset = as_dataset(data)
    _check_enough(recipe, dataset)
    return dataset, find_rehearsal(recipe.mix, mix_seed("mix", recipe.seed))


def _fit(
    recipe: Recipe,
    dataset: Dataset,
    rehearsal: Rehearsal,
    run: Run,
    resume: bool,
    device: torch.device,
    reports: Sequence[Report],
    started: float,
) -> Result:
    with StopSignals() as signals:
        try:
            trainer = Trainer(recipe, dataset, device, run, reports, started, rehearsal, load_teacher(recipe))
            with closing(trainer.shards):
                trainer.begin(resume)
                trainer.fit(signals)
                return trainer.finish()
        except OSError as error:
            if not Run.is_run(run.folder):
                raise
            where = f": {error.filename}" if error.filename else ""
            raise Under10kError(
                f"stopped: {error.strerror or error}{where}. "
                f"put that right, then resume with: {resume_command(run.folder)}"
            ) from error


@contextmanager
def _closing(reports: Sequence[Report]) -> Iterator[None]:
    """Close every report in the end; of several errors the first is raised."""
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
    """Train the same whatever the caller has set torch to: no gradients, another precision, another device."""
    require_float32()
    on_cpu = torch.get_default_device().type == "cpu"  # then it needs no context, which would slow down each call
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
        nullcontext() if on_cpu else torch.device("cpu"),
        _repeatable(device),
    ):
        yield


@contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """Have CUDA use the device, and algorithms that give the same result each time."""
    if device.type != "cuda":
        yield
        return
    with torch.cuda.device(device), torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        yield


def _find_run(recipe: Recipe, folder: Path | None) -> tuple[Path, Result | None]:
    """Return the run to resume, and its result where nothing is left to do; refuse what is not a run of this recipe."""
    if folder is None:
        raise UsageError("nothing to resume: no run folder was given. give one")
    run = Run(folder)
    run.refuse_links()
    require_equal(folder, run.recipe().flat(), recipe.flat())
    result = run.result()
    if result and not run.model_file.exists():
        return folder, None  # its weights are written again, from the last checkpoint
    if result and not run.curves_file.exists():
        with locked(folder):
            sweep_temporaries(folder)
            draw_curves(run)
    return folder, result


def _check_enough(recipe: Recipe, data: Dataset) -> None:
    """Refuse data that batch norm cannot be trained on: it needs two images in a batch."""
    left = trained_count(recipe, len(data.train))
    if left < 2:
        raise DataError(f"too few images: {data.name} leaves {left} to train on. give at least 2")
    if images_of(recipe, left, epoch=recipe.epochs - 1) < 2:
        raise DataError(
            f"too few images: {data.name} leaves {left} to train on, and skip_easy {recipe.skip_easy} only 1 of them. "
            "give more, or a smaller skip_easy"
        )

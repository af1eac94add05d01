"""Studies: recipes under many seeds, each run trained once, in a folder that can be resumed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from under10k.data import DataIdentity, Dataset, DataSource, as_dataset
from under10k.errors import StoppedError, Under10kError, UsageError, unknown_name
from under10k.files import Lock, locked, refuse_links, sweep_temporaries
from under10k.machine import count_cores, pick_device
from under10k.models import lives_here, require_recorded
from under10k.recipes import Recipe, as_recipe
from under10k.study.cluster import RayEngine, check_installed
from under10k.study.engines import Engine, ProcessEngine, SerialEngine, StackedEngine
from under10k.study.plan import SEEDS, Plan, expand, read_plan
from under10k.study.report import StudyReport
from under10k.study.results import Study
from under10k.training import StopSignals, require_stackable

_ENGINES = ("processes", "ray", "serial", "stacked")

LANES = 20
"""Runs that a stack has by default."""


def run_study(
    recipes: str | Recipe | Sequence[str | Recipe] = (),
    seeds: int | None = None,
    data: DataSource | None = None,
    folder: str | Path | None = None,
    *,
    overrides: Mapping[str, Sequence[Any]] | None = None,
    device: str = "auto",
    engine: str = "processes",
    workers: int | None = None,
    threads: int | None = None,
    address: str | None = None,
    report: StudyReport | None = None,
) -> Study:
    """Train every recipe, in every combination of overridden fields, under every seed, and return the study.

    Everything is kept in `folder`, by default `studies/<recipes>`. What is finished there is not trained again: the
    study is resumed, and grows by what is new. `seeds`, 20 by default, counts from seed 0. `overrides` maps fields,
    named as on the command line, to their values; a `model` may be a class of your own. `engine` is `processes` on this
    machine, `serial` in this process, `ray` on the cluster at `address`, or `stacked`: in this process, all seeds of a
    recipe as one network, for a GPU. `workers` runs are trained at a time, each on `threads` threads. A run that fails
    is listed in the study's `failures`, and is tried again next time.

    Raises:
        UsageError: a recipe, field, value, engine or device that is not there, or a folder of another study.
        DataError: the data is missing or damaged.
        ModelError: the folder's plan is damaged, or there is a link in the folder.
        StoppedError: SIGINT or SIGTERM arrived; the runs under way are saved.
        BusyError: another process is at work on the study, or may be: its lock was removed.
    """
    execution = Execution(engine, device, workers, threads, address)
    recipes = [recipes] if isinstance(recipes, str | Recipe) else recipes
    variants = expand(recipes, overrides or {})
    execution.require_reach(variants)
    place = Path(folder) if folder else Path("studies") / "-".join(as_recipe(given).name for given in recipes)
    report = report or StudyReport()
    known = read_plan(place)
    if not variants and known is None:
        raise UsageError(
            f"nothing to study: no recipe was given, and {place} holds none. write: under10k study default"
        )
    _refuse_foreign(place)
    refuse_links(place)
    if (place / ".lock").exists():  # refuse one in use before the data are read, which takes time
        with locked(place):
            pass
    chosen = seeds if seeds is not None else (known.seeds if known else SEEDS)
    wanted = Plan(variants, chosen, execution.choose_threads(known), DataIdentity("not read yet", ""))
    report.begin(place)
    dataset = as_dataset(data if data is not None else known.data.name if known else "auto")
    wanted = replace(wanted, data=dataset.identity())
    _make_folder(place)
    with locked(place) as lock:
        known = read_plan(place)
        study = Study(place, known.grown(wanted, place) if known else wanted)
        for label in study.plan.variants.keys() - variants.keys():  # the study's own, which nobody has named now
            require_recorded(study.plan.variants[label], f"{place / 'plan.json'}, {label},")
        _train_missing(study, dataset, execution, report, lock)
    return study


def _train_missing(study: Study, dataset: Dataset, execution: Execution, report: StudyReport, lock: Lock) -> None:
    """Train the unfinished runs, then save and show the results."""
    sweep_temporaries(study.folder)
    for note in study.take_finished():
        report.say_note(note)
    study.save_plan()
    jobs = [job for job in study.jobs(execution.run_device) if (job.variant, job.recipe.seed) not in study.outcomes]
    engine = execution.create_engine(study.plan.threads) if jobs else None
    try:
        with StopSignals() as signals:  # before anything is shown: whoever sees it may stop it
            report.start(study, dataset.note, engine.slots if engine else 0)
            if engine:
                with closing(engine.run(jobs, dataset, signals)) as outcomes:
                    for outcome in outcomes:
                        study.add(outcome)
                        lock.require()
                        study.save()
                        report.outcome(outcome, study)
        if signals.received and len(study.outcomes) < study.planned:
            raise StoppedError(
                f"stopped: {len(study.outcomes)} of {study.planned} runs have ended. "
                f"resume with: {execution.resume_command(study.folder)}",
                signals.received,
            )
        lock.require()
        study.save_all()
        report.finish(study, dataset.note)
    finally:
        report.close()


@dataclass(frozen=True)
class Execution:
    """Engine, device, workers and threads of a study."""

    engine: str = "processes"
    device: str = "auto"
    workers: int | None = None
    """Runs at a time; None for as many as there are cores for."""
    threads: int | None = None
    """Threads a run."""
    address: str | None = None
    """Of a Ray cluster; None starts one on this machine."""

    def __post_init__(self) -> None:
        if self.engine not in _ENGINES:
            raise unknown_name("engine", self.engine, _ENGINES)
        for name, count in ("workers", self.workers), ("threads", self.threads):
            if count is not None and not 1 <= count <= 1024:
                raise UsageError(f"{name} out of range: {count}. give at least 1 and at most 1,024")
        if self.address and self.engine != "ray":
            raise UsageError(f"address without Ray: {self.address}. give engine='ray'")
        if self.address and self.workers:
            raise UsageError(f"workers with address: {self.workers}. a cluster trains as many as it has room for")
        if self.engine == "ray":
            check_installed()
        else:
            pick_device(self.device)

    @property
    def run_device(self) -> str:
        """The device of each run; a Ray task has a GPU only if asked for."""
        return "cpu" if self.engine == "ray" and self.device == "auto" else self.device

    def require_reach(self, variants: Mapping[str, Recipe]) -> None:
        """Refuse networks that the processes of the engine cannot load, and recipes that cannot be stacked."""
        for recipe in variants.values():
            if self.engine == "stacked":
                require_stackable(recipe)
            if self.engine != "serial" and lives_here(recipe):
                raise UsageError(
                    f"a network that only this process has: {recipe.network}. "
                    "give engine='serial', or put it in a file and name that: my_net.py:Net"
                )

    def choose_threads(self, known: Plan | None) -> int:
        """Return the threads of each run: those asked for, else those of the study so far."""
        if self.threads or known:
            return self.threads or (known.threads if known else 1)
        return torch.get_num_threads() if self.engine in ("serial", "stacked") else 1

    def create_engine(self, threads: int) -> Engine:
        """Start the engine, for runs of `threads` threads each."""
        if self.engine == "serial":
            return SerialEngine(threads)
        if self.engine == "stacked":
            return StackedEngine(self.workers or LANES, threads)
        gpu = self.device.startswith("cuda") if self.engine == "ray" else pick_device(self.device).type != "cpu"
        workers = self.workers or (1 if gpu else max(1, count_cores() // threads))
        if self.engine == "processes":
            return ProcessEngine(workers, threads)
        return RayEngine(workers, threads, self.address, gpu)

    def resume_command(self, folder: Path) -> str:
        """Return the command that resumes a study, ready to paste into a shell."""
        options = [f"--{name} {value}" for name, value in asdict(self).items() if value != getattr(Execution, name)]
        return " ".join(["under10k study --out", shlex.quote(str(folder)), *options])


def _make_folder(folder: Path) -> None:
    """Make the folder of a study; refuse one that holds anything else."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Under10kError(f"cannot make a study folder: {folder} ({error.strerror}). choose another folder") from None
    _refuse_foreign(folder)


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder that exists and holds anything but a study."""
    try:
        found = [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.exists() else []
        foreign = [] if read_plan(folder) else found  # in this order: another study may be beginning here
    except OSError as error:
        raise Under10kError(f"cannot make a study folder: {folder} ({error.strerror}). choose another folder") from None
    if foreign:
        raise UsageError(f"not a study folder: {folder} holds {foreign[0].name}. choose another folder")

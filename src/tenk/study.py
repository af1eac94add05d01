"""Studies: recipes under many seeds, each run trained once, in one folder that can be gone on with."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

import tenk
from tenk.cluster import RayEngine, check_installed
from tenk.datasets import Dataset, load_digits
from tenk.device import pick_device
from tenk.engines import Engine, Job, Outcome, ProcessEngine, SerialEngine, set_aside
from tenk.errors import ModelError, StoppedError, TenkError, UsageError, unknown_name
from tenk.files import locked, sweep_temporaries, write_atomically, write_json
from tenk.plan import SEEDS, Plan, expand, parameters_of, read_plan, recipe_of
from tenk.recipes import Protocol, Recipe
from tenk.runs import Result, Run, load_model
from tenk.scores import Comparison, Row, compare, score, summarise_runs
from tenk.study_report import StudyReport
from tenk.training import StopSignals
from tenk.typed import Typed

_ENGINES = ("processes", "ray", "serial")


def run_study(
    recipes: Sequence[str | Recipe] = (),
    seeds: int | None = None,
    data: str | Path | Dataset | None = None,
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
    """Train every recipe, in every combination of overridden fields, under every seed, and return what came of it.

    Everything is kept in `folder`, by default `studies/<recipes>`. What is finished there is not trained again: the
    study goes on, and grows by what is new. `seeds`, 20 by default, counts from seed 0; `overrides` maps fields, named
    as on the command line, to their values. `engine` is `processes` on this machine, `serial` in this process, or `ray`
    on the cluster at `address`; `workers` runs are trained at a time, each on `threads` threads. A run that fails is
    among the study's `failures`, and is tried again the next time.

    Raises:
        UsageError: a recipe, field, value, engine or device that is not there, or a folder of another study.
        DataError: the data is missing or damaged.
        ModelError: the folder's plan is damaged.
        StoppedError: SIGINT or SIGTERM arrived; what was under way is saved.
        BusyError: another process goes on with the study.
    """
    means = Means(engine, device, workers, threads, address)
    variants = expand(recipes, overrides or {})
    place = Path(folder) if folder else Path("studies") / "-".join(recipe_of(given).name for given in recipes)
    report = report or StudyReport()
    known = read_plan(place)
    if not variants and known is None:
        raise UsageError(f"nothing to study: no recipe was given, and {place} holds none. write: tenk study default")
    _refuse_foreign(place)
    if (place / ".lock").exists():  # refuse one in use before the data are read, which takes its time
        with locked(place):
            pass
    report.begin(place)
    named = data or (known.data["name"] if known else "auto")
    dataset = named if isinstance(named, Dataset) else load_digits(named)
    wanted = Plan(
        variants,
        seeds if seeds is not None else (known.seeds if known else SEEDS),
        means.choose_threads(known),
        {"name": dataset.name, "sha256": dataset.sha256()},
    )
    _make_folder(place)
    with locked(place):
        known = read_plan(place)
        study = Study(place, known.grown(wanted, place) if known else wanted)
        _train_missing(study, dataset, means, report)
    return study


def _train_missing(study: Study, dataset: Dataset, means: Means, report: StudyReport) -> None:
    """Train what is not finished, and write and show what the whole comes to."""
    sweep_temporaries(study.folder)
    for note in study.take_finished():
        report.say_note(note)
    study.save_plan()
    jobs = [job for job in study.jobs(means.run_device) if (job.variant, job.recipe.seed) not in study.outcomes]
    engine = means.create_engine(study.plan.threads) if jobs else None
    try:
        with StopSignals() as signals:  # from before anything is shown: whoever sees it may stop it
            report.start(study, dataset.note, engine.slots if engine else 0)
            if engine:
                with closing(engine.run(jobs, dataset, signals)) as outcomes:
                    for outcome in outcomes:
                        study.add(outcome)
                        study.save()
                        report.outcome(outcome, study)
        if signals.received and len(study.outcomes) < study.planned:
            raise StoppedError(
                f"stopped: {len(study.outcomes)} of {study.planned} runs have ended. "
                f"resume with: {means.resume_command(study.folder)}",
                signals.received,
            )
        study.save_all()
        report.finish(study, dataset.note)
    finally:
        report.close()


@dataclass(frozen=True)
class Means:
    """Where and how the runs of a study are trained, whatever they are."""

    engine: str = "processes"
    device: str = "auto"
    workers: int | None = None
    """Runs at a time; None for as many as the cores have room for."""
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
            raise UsageError(f"--address without Ray: {self.address}. give --engine ray")
        if self.address and self.workers:
            raise UsageError(f"--workers with --address: {self.workers}. a cluster trains as many as it has room for")
        if self.engine == "ray":
            check_installed()
        else:
            pick_device(self.device)

    @property
    def run_device(self) -> str:
        """The device of each run; a Ray task has a GPU only where it was asked for."""
        return "cpu" if self.engine == "ray" and self.device == "auto" else self.device

    def choose_threads(self, known: Plan | None) -> int:
        """Return the threads of each run: those asked for, else those that the study was begun with."""
        if self.threads or known:
            return self.threads or (known.threads if known else 1)
        return torch.get_num_threads() if self.engine == "serial" else 1

    def create_engine(self, threads: int) -> Engine:
        """Start the engine, for runs of `threads` threads each."""
        if self.engine == "serial":
            return SerialEngine(threads)
        gpu = self.device.startswith("cuda") if self.engine == "ray" else pick_device(self.device).type != "cpu"
        workers = self.workers or (1 if gpu else max(1, _cores() // threads))
        if self.engine == "processes":
            return ProcessEngine(workers, threads)
        return RayEngine(workers, threads, self.address, gpu)

    def resume_command(self, folder: Path) -> str:
        """Return the command that goes on with a study, ready to be pasted into a shell."""
        options = [f"--{name} {value}" for name, value in asdict(self).items() if value != getattr(Means, name)]
        return " ".join(["tenk study --out", shlex.quote(str(folder)), *options])


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _make_folder(folder: Path) -> None:
    """Make the folder of a study; refuse one that holds anything else."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TenkError(f"cannot make a study folder: {folder} ({error.strerror}). choose another --out") from None
    _refuse_foreign(folder)


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder that is there and holds anything but a study."""
    try:
        found = [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.exists() else []
        foreign = [] if read_plan(folder) else found  # in this order: another study may be beginning here
    except OSError as error:
        raise TenkError(f"cannot make a study folder: {folder} ({error.strerror}). choose another --out") from None
    if foreign:
        raise UsageError(f"not a study folder: {folder} holds {foreign[0].name}. choose another --out")


class Study:
    """A study folder: its plan, and what has become of its runs so far."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan
        self.outcomes: dict[tuple[str, int], Outcome] = {}
        """By variant and seed."""
        self._parameters = {label: parameters_of(recipe) for label, recipe in plan.variants.items()}

    @property
    def planned(self) -> int:
        """How many runs the study has."""
        return len(self.plan.variants) * self.plan.seeds

    @property
    def failures(self) -> list[Outcome]:
        """The runs that failed."""
        return [outcome for outcome in self.outcomes.values() if outcome.result is None]

    @property
    def rows(self) -> list[Row]:
        """The table: what the finished runs of each variant come to."""
        failed = [outcome.job.variant for outcome in self.failures]
        return [
            summarise_runs(
                label, recipe, self._parameters[label], self.plan.seeds, failed.count(label), self.results(label)
            )
            for label, recipe in self.plan.variants.items()
        ]

    @property
    def comparisons(self) -> list[Comparison]:
        """Every other variant against the first, paired by seed."""
        reference, *others = self.plan.variants
        return [compare(reference, self.results(reference), other, self.results(other)) for other in others]

    def results(self, variant: str) -> dict[int, Result]:
        """Return the finished runs of a variant by their seeds."""
        found = ((seed, self.outcomes.get((variant, seed))) for seed in range(self.plan.seeds))
        return {seed: outcome.result for seed, outcome in found if outcome and outcome.result}

    def jobs(self, device: str = "auto") -> list[Job]:
        """Return every run, seed after seed, so that a table on the way compares like with like."""
        return [
            Job(label, replace(recipe, seed=seed), self.folder / "runs" / f"{_file_name(label)}-s{seed}", device)
            for seed in range(self.plan.seeds)
            for label, recipe in self.plan.variants.items()
        ]

    def add(self, outcome: Outcome) -> None:
        """Take in what has become of a run."""
        self.outcomes[outcome.job.variant, outcome.job.recipe.seed] = outcome

    def take_finished(self) -> Iterator[str]:
        """Take in the runs that are finished on disk; set aside what is damaged, and yield a sentence about it."""
        versions: Counter[str] = Counter()
        for job in self.jobs():
            try:
                result = _read_finished(job, self.plan.data["sha256"])
            except ModelError as error:
                yield set_aside(job.folder, str(error))
            else:
                if result:
                    self.add(Outcome(job, result))
                    versions[str(Run(job.folder).environment().get("tenk", "unknown"))] += 1
        del versions[tenk.__version__]
        for version, count in sorted(versions.items()):
            yield f"kept as they are: {count} finished runs of tenk {version}. to compare within one, begin anew"

    def to_dict(self) -> dict[str, Any]:
        """Return plan, runs, rows and comparisons as plain values, for JSON."""
        return {
            "plan": asdict(self.plan),
            "rows": [asdict(row) for row in self.rows],
            "comparisons": [asdict(comparison) for comparison in self.comparisons],
            "runs": [_describe(self.outcomes[key]) for key in self._ended()],
        }

    def save_plan(self) -> None:
        """Write `plan.json`, which makes the folder a study's."""
        write_json(self.folder / "plan.json", asdict(self.plan))

    def save(self) -> None:
        """Write `study.json`, so that the study can be watched."""
        write_json(self.folder / "study.json", self.to_dict())

    def save_all(self) -> None:
        """Write `study.json`, `study.csv` and the pictures."""
        self.save()
        text = io.StringIO()
        table = csv.DictWriter(text, _CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        for key in self._ended():
            described = _describe(self.outcomes[key])
            table.writerow({**(described["result"] or {}), **described})
        write_atomically(self.folder / "study.csv", text.getvalue())
        panels = _gather_points(_to_point(_describe(self.outcomes[key])) for key in self._ended())
        if panels:
            from tenk.plots import save_strip, save_tradeoff  # imported here: half a second that no run need wait for

            save_strip(panels, self.folder / "study.png")
            save_tradeoff(panels, self.folder / "tradeoff.png")

    def _ended(self) -> Iterator[tuple[str, int]]:
        """Variant and seed of the runs that have ended, in the order of the table."""
        every = itertools.product(self.plan.variants, range(self.plan.seeds))
        return (key for key in every if key in self.outcomes)


def read_points(studies: Sequence[Path]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Return seconds and score of each finished run of several studies: by kind of score, then by variant.

    Raises:
        ModelError: a folder holds no study, a damaged one, or one without a finished run.
    """
    points: list[_Point] = []
    for folder in studies:
        found = _read_runs(folder)
        if not any(point.is_finished for point in found):
            raise ModelError(
                f"no study to read: no run of {folder} is finished. "
                f"go on with it: tenk study --out {shlex.quote(str(folder))}"
            )
        points += found
    return _gather_points(points)


def _read_runs(folder: Path) -> list[_Point]:
    path = folder / "study.json"
    if not path.exists() and (folder / "plan.json").is_file():
        return []  # it has just begun
    try:
        return [_to_point(run) for run in json.loads(path.read_text(encoding="utf-8"))["runs"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = getattr(error, "strerror", error)
        raise ModelError(f"no study to read: {path} ({reason}). give a study's folder") from None


@dataclass(frozen=True)
class _Point(Typed):
    """What the pictures show of a run, as `study.json` has it."""

    variant: str
    protocol: Protocol
    score: float | None
    seconds: float | None

    @property
    def is_finished(self) -> bool:
        """Whether there is anything of it to show."""
        return self.score is not None and self.seconds is not None


def _to_point(run: Mapping[str, Any]) -> _Point:
    return _Point(run["variant"], run["protocol"], run["score"], run["seconds"])


def _gather_points(points: Iterable[_Point]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for point in points:
        if point.score is not None and point.seconds is not None:  # it is finished
            scored = "validation" if point.protocol == "held-out" else "test"
            panel = panels.setdefault(f"{scored} accuracy (%), protocol {point.protocol}", {})
            panel.setdefault(point.variant, []).append((point.seconds, point.score))
    return panels


_CSV_COLUMNS = (
    "variant",
    "seed",
    "protocol",
    "score",
    "test_accuracy",
    "validation_accuracy",
    "last_accuracy",
    "test_loss",
    "epochs",
    "kept_epoch",
    "target_epoch",
    "parameters",
    "seconds",
    "error",
)


def _describe(outcome: Outcome) -> dict[str, Any]:
    result = outcome.result
    return {
        "variant": outcome.job.variant,
        "seed": outcome.job.recipe.seed,
        "protocol": outcome.job.recipe.protocol,
        "score": score(result) if result else None,
        "seconds": result.seconds["total"] if result else None,
        "error": outcome.error or None,
        "result": result.to_dict() if result else None,
    }


def _read_finished(job: Job, data_sha256: str) -> Result | None:
    """Return the result of a finished run; None where it is not finished.

    Raises:
        ModelError: it is damaged, or not the run that is wanted.
    """
    run = Run(job.folder)
    result = run.result()
    if result is None:
        return None
    score(result)
    if run.recipe() != job.recipe or run.data()["sha256"] != data_sha256:
        raise ModelError(f"another run: {job.folder} has another recipe or other data than the study")
    load_model(job.folder)
    return result


def _file_name(label: str) -> str:
    return re.sub(r"[^\w.=+-]+", "-", label)

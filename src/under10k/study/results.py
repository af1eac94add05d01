"""A study folder: its plan, its finished runs, and their results."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from under10k.errors import ModelError, Under10kError
from under10k.files import read_inside, write_atomically, write_json
from under10k.models import MODELS, create_model, summarise
from under10k.recipes import Protocol, ViewCount
from under10k.runs import Epoch, Result, Run, load_model
from under10k.study.engines import Job, Outcome, set_aside
from under10k.study.plan import Plan, summary_of
from under10k.study.scores import Comparison, Row, compare_runs, score, summarise_runs
from under10k.study.verdict import Rules, Verdict, judge
from under10k.text import to_html
from under10k.typed import Typed
from under10k.version import __version__


class Study:
    """A study folder: its plan, and the outcomes of its runs so far."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan
        self.outcomes: dict[tuple[str, int], Outcome] = {}
        """By variant and seed."""
        self._networks = {label: summary_of(recipe) for label, recipe in plan.variants.items()}

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return (
            f"Study({str(self.folder)!r}, {len(self.outcomes)} of {self.planned} runs{failed}, "
            f"{', '.join(self.plan.variants)})"
        )

    def _repr_html_(self) -> str:
        """Return the rows as a table, for notebooks."""
        rows = [asdict(row) for row in self.rows]
        return to_html(repr(self), rows[0], [row.values() for row in rows])

    def _parameters_of(self, label: str) -> int:
        """Return what was counted; for a network that is not loaded, what its runs say, or 0 before the first."""
        if network := self._networks[label]:
            return network.parameters
        return next((result.parameters for result in self.results(label).values()), 0)

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
        """The table: the results of each variant."""
        failed = [outcome.job.variant for outcome in self.failures]
        return [
            summarise_runs(
                label,
                recipe,
                self._parameters_of(label),
                self.plan.seeds,
                failed.count(label),
                self.results(label),
                network.macs if (network := self._networks[label]) else None,
            )
            for label, recipe in self.plan.variants.items()
        ]

    @property
    def comparisons(self) -> list[Comparison]:
        """Every other variant against the first, paired by seed."""
        reference, *others = self.plan.variants
        return [compare_runs(reference, self.results(reference), other, self.results(other)) for other in others]

    @property
    def points(self) -> dict[str, dict[str, list[tuple[float, float]]]]:
        """Seconds and score (a fraction) of each finished run: by kind of score, then by variant; for `plots`."""
        return _gather_points(_to_point(_describe(self.outcomes[key])) for key in self._ended())

    def results(self, variant: str) -> dict[int, Result]:
        """Return the finished runs of a variant by their seeds."""
        found = ((seed, self.outcomes.get((variant, seed))) for seed in range(self.plan.seeds))
        return {seed: outcome.result for seed, outcome in found if outcome and outcome.result}

    def histories(self, variant: str) -> dict[int, list[Epoch]]:
        """Return the epochs of the finished runs of a variant by their seeds."""
        return {seed: Run(self.outcomes[variant, seed].job.folder).history() for seed in self.results(variant)}

    def judge(
        self, *, target: float | None = None, within: int | None = None, budget: int | None = None
    ) -> list[Verdict]:
        """Say of each network which rules hold, and compare it with the one before it.

        `target` is an accuracy, a fraction, to be reached by epoch `within` and held in the last five epochs; `budget`
        is the most parameters.

        Raises:
            UsageError: a rule is out of range.
        """
        return judge(self, Rules(target, within, budget))

    def jobs(self, device: str = "auto") -> list[Job]:
        """Return every run, seed after seed, so that an unfinished table compares like with like."""
        return [
            Job(label, replace(recipe, seed=seed), self.folder / "runs" / f"{_file_name(label)}-s{seed}", device)
            for seed in range(self.plan.seeds)
            for label, recipe in self.plan.variants.items()
        ]

    def progress(self) -> float:
        """Return how much is trained, a fraction: runs that have ended count whole, others by their epochs so far."""
        others = [job for job in self.jobs() if (job.variant, job.recipe.seed) not in self.outcomes]
        return (len(self.outcomes) + sum(map(_share_trained, others))) / self.planned

    def add(self, outcome: Outcome) -> None:
        """Add the outcome of a run."""
        self.outcomes[outcome.job.variant, outcome.job.recipe.seed] = outcome

    def take_finished(self) -> Iterator[str]:
        """Add the runs that are finished on disk; set aside what is damaged, and yield a sentence about each."""
        versions: Counter[str] = Counter()
        for job in self.jobs():
            try:
                result = _read_finished(job, self.plan.data.sha256)
            except ModelError as error:
                yield set_aside(job.folder, str(error))
            else:
                if result:
                    self.add(Outcome(job, result))
                    versions[str(Run(job.folder).environment().get("under10k", "unknown"))] += 1
        del versions[__version__]
        for version, count in sorted(versions.items()):
            yield (
                f"kept as they are: {count} finished runs of under10k {version}. "
                "to compare within one version, start a new study"
            )

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
        write_atomically(self.folder / "study.csv", text.getvalue(), follow=False)
        if self.points:
            from under10k.plots import plot_strip, plot_tradeoff, save_figure  # half a second that no run need wait for

            save_figure(plot_strip(self.points), self.folder / "study.png")
            save_figure(plot_tradeoff(self.points), self.folder / "tradeoff.png")

    def _ended(self) -> Iterator[tuple[str, int]]:
        """Yield variant and seed of the runs that have ended, in the order of the table."""
        every = itertools.product(self.plan.variants, range(self.plan.seeds))
        return (key for key in every if key in self.outcomes)


def read_points(studies: Sequence[Path]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Return seconds and score of each finished run of several studies: by kind of score, then by variant.

    Raises:
        ModelError: a folder holds no study, a damaged one, or one without a finished run.
    """
    return _gather_points(point for folder in studies for point in _read_runs(folder))


def read_networks(studies: Sequence[Path]) -> dict[str, tuple[int, int | None, list[float]]]:
    """Return of each variant of several studies its parameters, the multiply-accumulates of an image, and its scores.

    A network that is none of ours has None for the second, since nothing that a folder names is run.

    Raises:
        ModelError: a folder holds no study, a damaged one, or one without a finished run.
    """
    found: dict[str, tuple[int, int | None, list[float]]] = {}
    for folder in studies:
        for point in _read_runs(folder):
            if point.score is not None:
                label = f"{point.variant}, {point.protocol}"
                if label not in found:
                    found[label] = point.parameters, _macs_of(point.model, point.parameters, point.views), []
                found[label][2].append(point.score)
    return found


def _macs_of(model: str, parameters: int, views: ViewCount) -> int | None:
    """Return the multiply-accumulates of one of our networks in its plain form, in all its views of an image."""
    if model not in MODELS:
        return None
    summary = summarise(create_model(model, views=views))
    return summary.macs if summary.parameters == parameters else None


def _read_runs(folder: Path) -> list[_Point]:
    path = folder / "study.json"
    found: list[_Point] = []
    if path.exists() or not (folder / "plan.json").is_file():  # else it has just begun
        try:
            found = [_to_point(run) for run in json.loads(read_inside(path))["runs"]]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            reason = getattr(error, "strerror", error)
            raise ModelError(f"no study to read: {path} ({reason}). give a study's folder") from None
    if not any(point.is_finished for point in found):
        raise ModelError(
            f"no study to read: no run of {folder} is finished. "
            f"resume it: under10k study --out {shlex.quote(str(folder))}"
        )
    return found


@dataclass(frozen=True)
class _Point(Typed):
    """What the pictures show of a run, as `study.json` has it."""

    variant: str
    protocol: Protocol
    score: float | None
    seconds: float | None
    model: str = ""
    parameters: int = 0
    views: ViewCount = 1

    @property
    def is_finished(self) -> bool:
        """Whether there is anything to show."""
        return self.score is not None and self.seconds is not None


def _to_point(run: Mapping[str, Any]) -> _Point:
    result: Mapping[str, Any] = {"model": "", "parameters": 0} if run["score"] is None else run["result"]
    network = result["model"], result["parameters"], run.get("views", 1)
    return _Point(run["variant"], run["protocol"], run["score"], run["seconds"], *network)


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
        "views": outcome.job.recipe.views,
        "score": score(result) if result else None,
        "seconds": result.seconds["total"] if result else None,
        "error": outcome.error or None,
        "result": result.to_dict() if result else None,
    }


def _read_finished(job: Job, data_sha256: str) -> Result | None:
    """Return the result of a finished run; None where it is not finished.

    Raises:
        ModelError: it is damaged, or another run than planned.
    """
    run = Run(job.folder)
    result = run.result()
    if result is None:
        return None
    score(result)
    if run.recipe() != job.recipe or run.data().sha256 != data_sha256:
        raise ModelError(f"another run: {job.folder} has another recipe or other data than the study")
    load_model(job.folder)
    return result


def _share_trained(job: Job) -> float:
    """Return the share of a run's epochs that its folder tells of; 0 where there is none yet, or it is damaged."""
    try:
        return min(len(Run(job.folder).history()) / job.recipe.epochs, 1.0)
    except Under10kError:
        return 0.0


def _file_name(label: str) -> str:
    return re.sub(r"[^\w.=+-]+", "-", label)

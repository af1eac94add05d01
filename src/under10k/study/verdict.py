"""A study under a course's rules: what was asked of each network, what came of it, and why."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.table import Table

from under10k.errors import UsageError
from under10k.models import Summary
from under10k.recipes import Recipe
from under10k.runs import Epoch
from under10k.study.plan import summary_of
from under10k.study.scores import Comparison, Row, compare_runs
from under10k.terminal import build_table

if TYPE_CHECKING:
    from under10k.study.results import Study


HELD_EPOCHS = 5
"""Last epochs in which a target is to be held."""


MUCH_OVERFITTING = 0.005
"""From this difference on, a fraction, training images are read much better than new ones."""


SCORED_NOTES = {
    "watched": "watched: each epoch is scored on the test images, and the best one counts: biased upward",
    "held-out": "held-out: each epoch is scored on validation images; the test images decide nothing",
    "fixed": "fixed: the test images are read once, after the last epoch; no epoch before is scored",
}


@dataclass(frozen=True)
class Rules:
    """What is asked of a network; None of what is not."""

    target: float | None = None
    """Accuracy to reach and to hold, a fraction."""
    within: int | None = None
    """The last epoch by which to reach it; None for the last of the training."""
    budget: int | None = None
    """Most parameters."""

    def __post_init__(self) -> None:
        if self.target is not None and not 0 < self.target <= 1:
            raise UsageError(f"target out of range: {self.target:g}. give an accuracy, such as 99.4 %")
        if self.within is not None and self.target is None:
            raise UsageError(f"within {self.within} epochs of what: no target. give one, such as 99.4 %")
        for name, count in ("within", self.within), ("budget", self.budget):
            if count is not None and count < 1:
                raise UsageError(f"{name} out of range: {count}. give 1 or more")


@dataclass(frozen=True)
class Finding:
    """One rule, or one thing to know."""

    rule: str
    asked: str
    """Empty where nothing is asked."""
    found: str
    holds: bool | None = None
    """None where nothing is asked, or nothing is known yet."""


@dataclass(frozen=True)
class Verdict:
    """What a study says of one network."""

    variant: str
    """The network's name; the variant's, where several have the same network."""
    findings: tuple[Finding, ...]
    analysis: tuple[str, ...]
    """Sentences."""
    protocol: str

    def rows(self) -> list[tuple[str, ...]]:
        """Return rule, asked, found and whether it holds, as cells."""
        return [(f.rule, f.asked, f.found, {True: "yes", False: "no", None: ""}[f.holds]) for f in self.findings]

    def to_table(self) -> Table:
        """Return the findings as a table for a terminal."""
        return build_table(f"\n{self.variant}", COLUMNS, self.rows())

    def to_markdown(self) -> str:
        """Return target, result and analysis as Markdown."""
        asked = [f"{found.rule}: {found.asked}" for found in self.findings if found.asked]
        lines = [f"## {self.variant}", "", f"Target: {'; '.join(asked)}.", "", "Result:", ""]
        lines += [f"| {' | '.join(cells)} |" for cells in (COLUMNS, ("---",) * len(COLUMNS), *self.rows())]
        lines += ["", f"Protocol {SCORED_NOTES[self.protocol]}.", "", "Analysis:", ""]
        return "\n".join([*lines, *(f"- {sentence}." for sentence in self.analysis), ""])


COLUMNS = ("rule", "asked", "found", "holds")


def judge(study: Study, rules: Rules) -> list[Verdict]:
    """Say of each network of a study which rules hold, and compare it with the one before, paired by seed."""
    verdicts: list[Verdict] = []
    before = ""
    rows = study.rows
    distinct = len({row.model for row in rows}) == len(rows)  # then a network's name says enough
    names = {row.variant: row.model if distinct else row.variant for row in rows}
    for row in rows:
        results = study.results(row.variant)
        found = compare_runs(before, study.results(before), row.variant, results) if before else None
        against = replace(found, reference=names[before]) if found else None
        given = replace(row, variant=names[row.variant])
        verdicts.append(
            _judge_one(given, study.plan.variants[row.variant], study.histories(row.variant), rules, against)
        )
        before = row.variant
    return verdicts


def write_markdown(verdicts: Sequence[Verdict]) -> str:
    """Write verdicts as one page of Markdown."""
    return "\n".join(["# Verdict", "", *(verdict.to_markdown() for verdict in verdicts)])


def _judge_one(
    row: Row, recipe: Recipe, histories: Mapping[int, list[Epoch]], rules: Rules, against: Comparison | None
) -> Verdict:
    network = summary_of(recipe)
    findings = [*_parameters(row, rules), *_accuracy(row, histories, rules)]
    gap = _gap(row, histories)
    if gap:
        trained, scored = gap
        points = f"{100 * (trained - scored):+.2f} points"
        findings.append(Finding(f"training, {row.scored}", "", f"{trained:.2%}, {scored:.2%}: {points}"))
    if network:
        parts = {name: getattr(network.traits, name).found for name in ("norm", "dropout", "pooling")}
        findings += [Finding(name, "", found) for name, found in parts.items()]
    if against and against.difference is not None:
        findings.append(Finding("the one before", "", _difference(against)))
    analysis = tuple(_analyse(row, rules, findings, gap, network, against))
    return Verdict(row.variant, tuple(findings), analysis, row.protocol)


def _parameters(row: Row, rules: Rules) -> Iterator[Finding]:
    asked = "" if rules.budget is None else f"at most {rules.budget:,}"
    yield Finding("parameters", asked, f"{row.parameters:,}", row.parameters <= rules.budget if rules.budget else None)


def _accuracy(row: Row, histories: Mapping[int, list[Epoch]], rules: Rules) -> Iterator[Finding]:
    """Judge the accuracy: in the epochs up to the last that counts, where the protocol scores them; and its mean."""
    target = rules.target
    if target is None or not row.n or row.mean is None:
        return
    asked, seeds = f"{target:.2%}", f"{row.n} seed{'s' * (row.n > 1)}"
    scored = [_scores(epochs, rules.within) for epochs in histories.values()]
    if all(scored):
        firsts = [next((n for n, value in enumerate(one, 1) if value >= target), None) for one in scored]
        reached = [first for first in firsts if first is not None]
        last = f"by epoch {rules.within}" if rules.within else "in any epoch"
        when = f", first in epoch {_listed(sorted(reached))}" if reached else ""
        found = f"in {len(reached)} of {seeds}{when}"
        yield Finding("reached", f"{asked} {last}", found, len(reached) == row.n)
        count = min(HELD_EPOCHS, *map(len, scored))
        held = [sum(value >= target for value in one[-count:]) for one in scored]
        found = f"in {_listed(held)} of {count}"
        yield Finding("held", f"in the last {count} epochs", found, min(held) == count)
    interval = f" ({row.interval_95[0]:.2%} to {row.interval_95[1]:.2%})" if row.interval_95 else ""
    yield Finding(f"mean {row.scored}", asked, f"{row.mean:.2%}{interval}, n = {row.n}", row.mean >= target)


def _scores(epochs: Sequence[Epoch], within: int | None) -> list[float]:
    return [epoch.accuracy for epoch in epochs[:within] if epoch.accuracy is not None]


def _listed(numbers: Sequence[int]) -> str:
    """Write a few numbers one by one, and of many the range and the median."""
    if len(numbers) <= HELD_EPOCHS:
        return ", ".join(map(str, numbers))
    return f"{min(numbers)} to {max(numbers)} (median {statistics.median(numbers):g})"


def _gap(row: Row, histories: Mapping[int, list[Epoch]]) -> tuple[float, float] | None:
    """Return the mean accuracy on training images, as trained on in the last epoch, and on those that are scored."""
    trained = [epochs[-1].train_accuracy for epochs in histories.values() if epochs]
    return (statistics.fmean(trained), row.mean) if trained and row.mean is not None else None


def _difference(found: Comparison) -> str:
    interval = found.interval_95
    between = f" ({100 * interval[0]:+.3f} to {100 * interval[1]:+.3f})" if interval else ""
    p = "" if found.p is None else f", p {found.p:.3f}"
    points = f"{100 * (found.difference or 0):+.3f} points"
    return f"{points}{between}{p} against {found.reference}, {found.pairs} pair{'s' * (found.pairs > 1)}"


def _analyse(
    row: Row,
    rules: Rules,
    findings: Sequence[Finding],
    gap: tuple[float, float] | None,
    network: Summary | None,
    against: Comparison | None,
) -> Iterator[str]:
    """Yield a sentence on each thing that the numbers say."""
    broken = [found.rule for found in findings if found.holds is False]
    asked = [found for found in findings if found.holds is not None]
    if asked:
        yield f"Of {len(asked)} rules {len(asked) - len(broken)} hold" + (
            f"; not: {', '.join(broken)}" if broken else ""
        )
    if rules.budget and row.parameters > rules.budget and network:
        largest, over = network.costliest(1)[0].parameters, row.parameters - rules.budget
        yield f"It has {over:,} parameters too many; the largest layer has {largest:,}"
    if "held" in broken and "reached" not in broken:
        yield "It reaches the target and does not hold it in every seed: the margin is thin"
    if gap:
        yield _explain_gap(*gap, row.scored)
    if against and against.difference is not None:
        yield _explain_difference(against)
    if network:
        yield from (f"{one[:1].upper()}{one[1:]}" for one in network.traits.oddities)


def _explain_gap(trained: float, scored: float, name: str) -> str:
    if trained - scored >= MUCH_OVERFITTING:
        return f"It overfits: training images are read better than {name} images; augmentation or dropout may help"
    if trained < scored:
        return (
            f"It does not overfit: {name} images are read better than training images, which are deformed or dropped "
            "out; a larger network or more epochs would help more than dropout"
        )
    return f"It hardly overfits: training and {name} images are read alike"


def _explain_difference(found: Comparison) -> str:
    difference, than = found.difference or 0, f"than {found.reference}"
    if found.p is None:
        return f"Whether it is better {than} cannot be told from {found.pairs} pairs"
    if found.p >= 0.05:
        return f"It is not shown to be better or worse {than}: p is {found.p:.2f}"
    return f"It is {'better' if difference > 0 else 'worse'} {than} by {abs(100 * difference):.2f} points"

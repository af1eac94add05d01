"""Statistics of runs under many seeds: a row for each recipe, and paired comparisons."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from under10k.errors import ModelError
from under10k.evaluation import mean_interval, paired_difference
from under10k.recipes import Recipe
from under10k.runs import Result

Results = Mapping[int, Result]
"""Finished runs by their seeds."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """The results of one variant; accuracies are fractions, and None where no run is finished."""

    variant: str
    model: str
    parameters: int
    macs: int | None
    """Multiply-accumulates of an image; None where somebody's code would have to run to count them."""
    protocol: str
    scored: str
    """The images that the scores are of: `validation` under `held-out`, else `test`."""
    runs: int
    """Runs planned."""
    n: int
    """Runs finished; all that follows is about these."""
    failed: int
    mean: float | None
    deviation: float | None
    """Standard deviation over seeds; None for fewer than two runs."""
    interval_95: tuple[float, float] | None
    """None for fewer than two runs, or if all have the same score."""
    best: float | None
    worst: float | None
    target_accuracy: float | None
    reached: int
    """Runs that reached the target."""
    median_target_epoch: float | None
    """Median epoch of reaching it; a run that did not counts as later than any. None if that is the median."""
    mean_seconds: float | None
    """Of a whole run."""
    best_minus_last: float | None
    """Under `watched`, how much keeping the best epoch instead of the last adds to the mean."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How much better a variant is than the first one, over the seeds that both have finished."""

    variant: str
    reference: str
    pairs: int
    difference: float | None = None
    """Mean difference of the scores, a fraction."""
    interval_95: tuple[float, float] | None = None
    """None for a single pair, or if all differences are equal."""
    p: float | None = None
    """Of Student's paired test, two-sided; None for fewer than three pairs, or if all differences are equal."""
    reason: str = ""
    """Why there is no difference, if there is none."""


def score(result: Result) -> float:
    """Return what a run is judged by: its test accuracy; under `held-out`, validation accuracy after the last epoch.

    Raises:
        ModelError: the result lacks it.
    """
    found = result.last_accuracy if result.protocol == "held-out" else result.test_accuracy
    if not isinstance(found, float) or not math.isfinite(found):
        raise ModelError(f"damaged result: {result.run_dir} has no score. train again")
    return found


def summarise_runs(
    variant: str, recipe: Recipe, parameters: int, runs: int, failed: int, results: Results, macs: int | None = None
) -> Row:
    """Return the row of a variant, `runs` of which were planned and `failed` failed."""
    finished = list(results.values())
    scores = [score(result) for result in finished]
    mean = mean_interval(scores) if scores else None
    epochs = [math.inf if result.target_epoch is None else result.target_epoch for result in finished]
    median = statistics.median(epochs) if epochs else math.inf
    gains = [result.test_accuracy - result.last_accuracy for result in finished if result.last_accuracy is not None]
    return Row(
        variant=variant,
        model=recipe.network,
        parameters=parameters,
        macs=macs,
        protocol=recipe.protocol,
        scored="validation" if recipe.protocol == "held-out" else "test",
        runs=runs,
        n=len(scores),
        failed=failed,
        mean=mean.value if mean else None,
        deviation=statistics.stdev(scores) if len(scores) > 1 else None,
        interval_95=mean.bounds if mean else None,
        best=max(scores, default=None),
        worst=min(scores, default=None),
        target_accuracy=recipe.target_accuracy,
        reached=sum(map(math.isfinite, epochs)),
        median_target_epoch=median if math.isfinite(median) else None,
        mean_seconds=statistics.fmean(result.seconds["total"] for result in finished) if finished else None,
        best_minus_last=statistics.fmean(gains) if gains and recipe.protocol == "watched" else None,
    )


def compare_runs(reference: str, ours: Results, variant: str, theirs: Results) -> Comparison:
    """Compare the runs of a variant, `theirs`, with those of the reference that had the same seeds."""
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        reason = "no seed is finished for both"
        return Comparison(variant=variant, reference=reference, pairs=0, reason=reason)
    protocols = ours[seeds[0]].protocol, theirs[seeds[0]].protocol
    if protocols[0] != protocols[1]:
        reason = f"protocol {protocols[1]}, against {protocols[0]}"
        return Comparison(variant=variant, reference=reference, pairs=0, reason=reason)
    found = paired_difference([score(ours[seed]) for seed in seeds], [score(theirs[seed]) for seed in seeds])
    return Comparison(
        variant=variant,
        reference=reference,
        pairs=found.pairs,
        difference=found.mean.value,
        interval_95=found.mean.bounds,
        p=found.p,
    )

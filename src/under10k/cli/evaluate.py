"""`under10k evaluate`, and the tables it prints."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal

from under10k.cli.output import complain, show, show_json
from under10k.cli.parsing import DataName, Device, Flag, Folder, NetworkName, Weights, load_strictly
from under10k.errors import UsageError

if TYPE_CHECKING:
    from under10k.assessment import Evaluation
    from under10k.evaluation import Metrics


def evaluate(
    weights: Weights,
    /,
    *,
    model: NetworkName = None,
    views: Literal[1, 5] | None = None,
    data: DataName = None,
    strict: Flag = False,
    device: Device = "auto",
    out: Folder = None,
    corruptions: Flag = False,
    json: Flag = False,
) -> None:
    """Score a trained network: accuracy, calibration, misread digits.

    Saves the figures, and pictures of them, in a folder.

    Args:
        weights: A run folder, a weights file, or the name of bundled weights.
        model: Your own network, such as my_net.py:Net, where the file that the run names is gone or has changed.
        views: Views of an image over which logits are averaged; by default as many as its recipe had.
        data: A known name, or a folder or file of your own; by default the data that the run was trained on.
        strict: Refuse the data if one of its files cannot be read, rather than skip it.
        device: cpu, cuda or mps; auto picks cuda, else mps, else cpu.
        out: Folder for metrics.json and the pictures; by default RUN/evaluation, or WEIGHTS-evaluation.
        corruptions: Also score it on shifted, rotated, blurred, noisy and otherwise corrupted images.
        json: Print all figures as JSON.
    """
    from under10k.assessment import evaluate_run, require_evaluation_folder
    from under10k.terminal import literal, track

    refused = False
    try:
        require_evaluation_folder(weights, out)
    except (OSError, UsageError):
        if out:
            raise
        refused = True  # nobody has asked for pictures: the figures are printed all the same
    found = evaluate_run(
        weights,
        load_strictly(data) if strict else data,
        model=model,
        views=views,
        corruptions=corruptions,
        device=device,
        track=lambda kinds: track(kinds, "corruptions"),
    )
    trouble: OSError | None = None
    try:  # before anything is printed: `head` may close the pipe on us
        if not refused:
            found.save(out)
    except OSError as error:
        trouble = error
    with contextlib.suppress(BrokenPipeError) if trouble else contextlib.nullcontext():
        if json:
            show_json(found.to_dict())
        else:
            _show_metrics(found)
            _show_corruptions(found)
    if trouble:
        raise trouble
    if refused:
        complain(f"no pictures saved: {found.folder} cannot be written. give --out FOLDER", "warning")
    elif not json:
        show(f"\npictures and figures: {literal(str(out or found.folder))}")
        show(literal(found.data.note))


def _show_metrics(found: Evaluation) -> None:
    from under10k.terminal import build_table
    from under10k.training import PROTOCOL_NOTES

    metrics, disputed, protocol = found.metrics, found.without_disputed, found.protocol
    known = f"{protocol}: {PROTOCOL_NOTES[protocol]}" if protocol in PROTOCOL_NOTES else "none: trained on other data"
    facts = [("accuracy", _accuracy(metrics)), ("errors", f"{metrics.errors:,} of {len(metrics.labels):,}")]
    if disputed:
        set_aside = len(metrics.labels) - len(disputed.labels)
        facts.append((f"without the {set_aside} disputed labels", _accuracy(disputed)))
    facts += [
        ("loss", f"{metrics.loss:.4f}"),
        ("expected calibration error", f"{metrics.calibration_error:.2%}"),
        ("protocol", known),
    ]
    views = f", {found.views} views of each" if found.views > 1 else ""
    show(build_table(f"test images of {found.data.name}{views}", (), facts))
    rows = [
        (d["digit"], d["count"], d["errors"], _percent(d["recall"]), _percent(d["precision"]), d["most_often_read_as"])
        for d in metrics.per_digit()
    ]
    show(build_table("\nby digit", ("digit", "images", "errors", "recall %", "precision %", "read as"), rows))
    matrix = [(true, *(count or None for count in row)) for true, row in enumerate(metrics.confusion.tolist())]
    show(build_table("\nconfusion: true digits down, read digits across", ("", *map(str, range(10))), matrix))


def _show_corruptions(found: Evaluation) -> None:
    from under10k.evaluation import mean_corruption_accuracy
    from under10k.terminal import build_table

    if not found.corruptions:
        return
    rows = [
        (
            score.corruption.name,
            score.corruption.unit,
            *(
                f"{strength:>3g}: {100 * accuracy.value:4.1f}"
                for strength, accuracy in zip(score.corruption.strengths, score.accuracies, strict=True)
            ),
        )
        for score in found.corruptions
    ]
    mean = 100 * mean_corruption_accuracy(found.corruptions)
    title = f"\ncorrupted images, strength: accuracy %; mean of all {mean:.2f}"
    show(build_table(title, ("corruption", "unit", "mildest", "", "", "", "hardest"), rows))


def _accuracy(metrics: Metrics) -> str:
    interval = metrics.interval
    return f"{interval.value:.2%}  ({interval.low:.2%} to {interval.high:.2%}, 95 % interval)"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share

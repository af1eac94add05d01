"""Make bundled weights from a finished study: `python tools/publish_weights.py NAME STUDY VARIANT`.

Always seed 0, never the luckiest; the card's figures are read from the study, or measured here. The last layer of
`robust`, which reads people's pictures, is divided by a temperature, so that its probabilities hold for them.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from picture_maker import CONDITIONS
from picture_report import pictures
from under10k.data.datasets import load_digits
from under10k.data.digits import Digits
from under10k.evaluation.metrics import evaluate, evaluate_corruptions, mean_corruption_accuracy
from under10k.files import sha256, write_atomically
from under10k.pictures.prediction import predict
from under10k.recipes import Recipe, get_recipe
from under10k.runs.folder import Run
from under10k.runs.result import Result
from under10k.runs.weights import load_weights
from under10k.weights.bundled import FOLDER, TEACHERS, find_weights
from under10k.weights.sealed import hash_file, save_weights

CARD = """# {name}: trained weights

{article} `{model}` network of {parameters:,} parameters that reads one handwritten digit. Load it with
`under10k.load_model("{name}")`.

| | |
|---|---|
| recipe | `{recipe}`, {epochs} epochs, seed 0, protocol `{protocol}`: all 60,000 training images, the last weights |
| command | `{command} --data mnist` |
| MNIST, these weights | {accuracy:.2%} of the 10,000 test images (95 % Wilson interval {low:.2%} to {high:.2%}) |
| MNIST, the recipe | {mean} |
| calibration error | {calibration:.4f} (expected, 15 bins, on the test images) |
| corrupted images | {corrupted:.2%}, mean of 12 corruptions at 5 strengths (`under10k evaluate {name} --corruptions`) |
| trained with | torch {torch}, {device}, threads: {threads}; there {again} this file exactly |
| SHA-256 | `{digest}` |

**Input.** float32 (B, 1, 28, 28): a white digit on black, values in [0, 1], its longer side scaled to 20 pixels and its
centre of mass at the centre of the picture, as in MNIST; then `(x - 0.1307) / 0.3081`. `under10k.predict` does all this
for any picture. **Output.** Ten logits, for 0 to 9.

**Limits.** {limits} It is not made for decisions that matter, such as about money or medicine.
{more}
**Licence.** MIT, like under10k. Trained on MNIST (Y. LeCun, C. Cortes, C. J. C. Burges).
"""

LIMITS = """It knows the ten digits as people in the United States wrote them around 1990, and answers with one of them
whatever it is shown."""

ROBUST_LIMITS = """It answers with one of the ten digits whatever it is shown. It is hardly ever sure of a letter, a
scribble or a face, but may be sure of a sign that it has not seen. A 1 that leans right, with a long upstroke, may
still be read as a 7."""

ROBUST = """
It is trained on strokes thicker, thinner and more slanted than MNIST's, on bent, shifted, cut and noisy digits, on
digits drawn by strokes as other countries write them, and on letters, scribbles, faces and pairs of digits with labels
at random, so that it is sure of none of them. `under10k predict` and the page use it by default. Its last layer is
divided by {temperature:.2f}, the temperature (C. Guo and others, 2017, arXiv 1706.04599) that makes the right digits of
{pictures:,} pictures likeliest; `tests/picture_maker.py` made them from the last 10,000 training images. A
temperature of 1 leaves the weights as they were, and none changes an answer.
"""

PICTURES_A_CONDITION = 100

MOST_DIFFERENT = 3
"""Test images that a GPU, which computes with fewer digits, may read otherwise than the CPU here."""


def main(name: str, study: str, variant: str) -> None:
    """Copy the weights of seed 0 and write their card."""
    run = Run(Path(study) / "runs" / f"{variant.replace(' ', '-')}-s0")
    result = run.result()
    if result is None or result.seed != 0 or result.protocol != "fixed":
        raise SystemExit(f"not for publishing: {run.folder}. give a finished run of seed 0, protocol fixed")
    target = find_weights(name) if name in TEACHERS else FOLDER / f"{name}.safetensors"
    model, facts = load_weights(run.folder)
    data = load_digits("mnist")
    more, limits, again = "", LIMITS, "the command reproduces"
    if run.recipe().name == "robust":
        temperature = fit_temperature(model, data.train[50_000:])
        soften(model, temperature)
        more = ROBUST.format(temperature=temperature, pictures=PICTURES_A_CONDITION * len(CONDITIONS))
        limits = ROBUST_LIMITS
        again = "the command, followed by `tools/publish_weights.py`, reproduces"
    teacher = get_recipe(run.recipe().name).teacher
    if teacher and run.recipe().teacher_sha256 != hash_file(find_weights(teacher)):
        again = "its teacher was another, trained by the same recipe, so the command does not reproduce"
    metrics = evaluate(model, data.test)
    if abs(metrics.errors - result.test_errors) > (0 if result.device == "cpu" else MOST_DIFFERENT):
        raise SystemExit(f"not what was trained: {metrics.errors} errors, {run.folder} had {result.test_errors}")
    corrupted = mean_corruption_accuracy(evaluate_corruptions(model, data.test))
    save_weights(target, model, asdict(facts))
    row = next(row for row in json.loads((Path(study) / "study.json").read_text())["rows"] if row["variant"] == variant)
    about = {
        **describe(name, run, result, row),
        "accuracy": metrics.accuracy,
        "low": metrics.interval.low,
        "high": metrics.interval.high,
        "calibration": metrics.calibration_error,
        "corrupted": corrupted,
        "digest": sha256(target.read_bytes()),
        "more": more,
        "limits": limits,
        "again": again,
    }
    write_atomically(target.with_suffix(".md"), CARD.format(**about))


def fit_temperature(model: nn.Module, digits: Digits) -> float:
    """Return what logits must be divided by for the digits in pictures to be likeliest."""
    log_probabilities, labels = [], []
    for number, name in enumerate(CONDITIONS):
        for picture, label in pictures(name, digits, number * PICTURES_A_CONDITION, PICTURES_A_CONDITION):
            log_probabilities.append(np.log(predict(picture, model).probabilities))
            labels.append(label)
    logits, right = torch.tensor(np.array(log_probabilities)), torch.tensor(labels)
    found = minimize_scalar(lambda t: F.cross_entropy(logits / t, right).item(), bounds=(0.1, 10), method="bounded")
    return round(float(found.x), 2)


@torch.no_grad()
def soften(model: nn.Module, temperature: float) -> None:
    """Divide a network's logits by a temperature: its last layer is linear, as is the pooling behind it."""
    *_, last = (module for module in model.modules() if isinstance(module, (nn.Conv2d, nn.Linear)))
    for parameter in last.parameters():
        parameter.div_(temperature)


def describe(name: str, run: Run, result: Result, row: dict[str, Any]) -> dict[str, Any]:
    """Return what run and study say for the card."""
    environment, recipe = run.environment(), run.recipe()
    return {
        "name": name,
        "article": "An" if result.model[0] in "aeiou" else "A",
        "model": result.model,
        "parameters": result.parameters,
        "recipe": recipe.name,
        "protocol": result.protocol,
        "epochs": result.epochs,
        "command": command(recipe, result.device, environment),
        "threads": environment["threads"],
        "mean": mean(row),
        "torch": environment["torch"],
        "device": environment["device_name"],
    }


def command(recipe: Recipe, device: str, environment: dict[str, Any]) -> str:
    """Return the command that trained the run; it names network and precision where they are not the usual ones."""
    usual = get_recipe(recipe.name)
    changes = "".join(
        f" --{name} {getattr(recipe, name)}"
        for name in ("model", "precision")
        if getattr(recipe, name) != getattr(usual, name)
    )
    where = "" if device == "cpu" else f" --device {device}"
    if stacked := environment.get("stacked"):
        return f"under10k study {recipe.name}{changes} --seeds {stacked} --engine stacked{where}"
    return f"OMP_NUM_THREADS={environment['threads']} under10k train {recipe.name}{changes} --seed 0{where}"


def mean(row: dict[str, Any]) -> str:
    """Return what the study says of the recipe over its seeds."""
    if row["n"] < 2:
        return "one seed, no mean"
    bounds = row["interval_95"]  # none where all have the same score
    interval = f"95 % interval {bounds[0]:.3%} to {bounds[1]:.3%}, " if bounds else ""
    return f"mean {row['mean']:.3%} over {row['n']} seeds ({interval}worst {row['worst']:.2%})"


if __name__ == "__main__":
    main(*sys.argv[1:])

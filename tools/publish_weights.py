"""Make the weights that come along from a finished study: `python tools/publish_weights.py NAME STUDY VARIANT`.

Always seed 0, never the luckiest; the card's figures are read from the study, or measured here.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from tenk.datasets import load_digits
from tenk.evaluation import evaluate_corruptions, mean_corruption_accuracy
from tenk.files import sha256, write_atomically
from tenk.recipes import Recipe, get_recipe
from tenk.runs import Result, Run, load_model
from tenk.weights import FOLDER

CARD = """# {name}: trained weights

A network `{model}` of {parameters:,} parameters that reads one handwritten digit. `tenk.load_model("{name}")` loads it.

| | |
|---|---|
| recipe | `{recipe}`, {epochs} epochs, seed 0, protocol `{protocol}`: all 60,000 training images, the last weights |
| command | `OMP_NUM_THREADS={threads} tenk train {command} --data mnist` |
| MNIST, these weights | {accuracy:.2%} of the 10,000 test images (95 % Wilson interval {low:.2%} to {high:.2%}) |
| MNIST, the recipe | {mean} |
| calibration error | {calibration:.4f} (expected, 15 bins) |
| corrupted images | {corrupted:.2%}, mean of 12 corruptions at 5 strengths (`tenk evaluate {name} --corruptions`) |
| trained with | torch {torch}, {device}, threads: {threads}; there it gives this very file again |
| SHA-256 | `{digest}` |

**Input.** float32 (B, 1, 28, 28): a white digit on black, values in [0, 1], its longer side scaled to 20 pixels and its
centre of mass at the picture's centre, as MNIST's are; then `(x - 0.1307) / 0.3081`. `tenk.predict` does all this to
any picture. **Output.** Ten logits, 0 to 9.

**Limits.** It knows ten digits as people in the United States wrote them around 1990, and answers with one of them
whatever it is shown. It was not made to decide on anything that matters, such as money or medicine.
{more}
**Licence.** MIT, as tenk. Trained on MNIST (Y. LeCun, C. Cortes, C. J. C. Burges).
"""

ROBUST = """
It is trained on strokes thicker, thinner and more slanted than MNIST's, on bent, shifted, cut and noisy digits, and is
what `tenk predict` and the page use unless told otherwise.
"""


def main(name: str, study: str, variant: str) -> None:
    """Copy the weights of seed 0 and write their card."""
    run = Run(Path(study) / "runs" / f"{variant.replace(' ', '-')}-s0")
    result = run.result()
    if result is None or result.seed != 0 or result.protocol != "fixed":
        raise SystemExit(f"not for publishing: {run.folder}. give a finished run of seed 0, protocol fixed")
    FOLDER.mkdir(exist_ok=True)
    target = FOLDER / f"{name}.safetensors"
    shutil.copyfile(run.model_file, target)
    row = next(row for row in json.loads((Path(study) / "study.json").read_text())["rows"] if row["variant"] == variant)
    write_atomically(FOLDER / f"{name}.md", CARD.format(**describe(name, run, result, row, target)))


def describe(name: str, run: Run, result: Result, row: dict[str, Any], target: Path) -> dict[str, Any]:
    """Return what the card says."""
    environment, recipe = run.environment(), run.recipe()
    low, high = result.test_interval_95
    return {
        "name": name,
        "model": result.model,
        "parameters": result.parameters,
        "recipe": recipe.name,
        "protocol": result.protocol,
        "epochs": result.epochs,
        "command": command(recipe),
        "threads": environment["threads"],
        "accuracy": result.test_accuracy,
        "low": low,
        "high": high,
        "mean": mean(row),
        "calibration": result.calibration_error,
        "corrupted": mean_corruption_accuracy(evaluate_corruptions(load_model(target), load_digits("mnist").test)),
        "torch": environment["torch"],
        "device": environment["device_name"],
        "digest": sha256(target.read_bytes()),
        "more": ROBUST if recipe.name == "robust" else "",
    }


def command(recipe: Recipe) -> str:
    """Return the recipe and the network as the command line takes them."""
    network = "" if recipe.model == get_recipe(recipe.name).model else f" --model {recipe.model}"
    return f"{recipe.name}{network} --seed 0"


def mean(row: dict[str, Any]) -> str:
    """Return what the study says of the recipe over its seeds."""
    if row["n"] < 2:
        return "one seed, no mean"
    low, high = row["interval_95"]
    interval = f"95 % interval {low:.3%} to {high:.3%}, worst {row['worst']:.2%}"
    return f"mean {row['mean']:.3%} over {row['n']} seeds ({interval})"


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Print the table of docs/your-network.md: python tools/tabulate_own_networks.py.

Each network of tests/own_networks.py is trained for two epochs on few synthetic digits, and exported to whatever can
express it; the largest difference of a logit from PyTorch's is over 96 other digits.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from torch import nn

import under10k
from under10k.data import Dataset, draw_digits
from under10k.errors import UsageError
from under10k.evaluation import predict_logits
from under10k.export import OnnxModel, convert_to_onnx
from under10k.export.c.folder import build_c, check_c
from under10k.export.html import build_page, read_network
from under10k.export.plain import run_plain
from under10k.export.translation import without_log_softmax
from under10k.recipes import default
from under10k.weights import Facts

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from own_networks import NETWORKS, source

DIGITS = Dataset("few", draw_digits(384, seed=0), draw_digits(96, seed=1))
FACTS = Facts("my_net.py:Net")


def main() -> None:
    """Print a row a network."""
    print("| network | parameters | counted by hand | ONNX | page | C | int8 | largest difference |")
    print("|---|---:|---:|---|---|---|---|---:|")
    for name in NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            Path("my_net.py").write_text(source(name), encoding="utf-8")
            recipe = replace(default(), model="my_net.py:Net", epochs=2, batch_size=128)
            under10k.train(recipe, DIGITS, "run", reports=[])
            print(row(name, under10k.load_model("run", model="my_net.py:Net")), flush=True)


def row(name: str, model: nn.Module) -> str:
    """Export a network, and write its row."""
    found = under10k.summarise(model)
    differences = {target: differ(target, model) for target in ("ONNX", "page", "C", "int8")}
    targets = ["no" if difference is None else "yes" for difference in differences.values()]
    largest = max(value for target, value in differences.items() if target != "int8" and value is not None)
    cells = [
        name,
        f"{found.parameters:,}",
        f"{found.counted_by_hand:,}",
        *targets,
        f"{largest:.0e}" if largest else "0",
    ]
    return f"| {' | '.join(cells)} |"


def differ(target: str, model: nn.Module) -> float | None:
    """Return the largest difference of a logit between an export and PyTorch; None where it cannot be exported."""
    images, bare = DIGITS.test.images, comparable(model)
    try:
        match target:
            case "ONNX":
                content, bare = convert_to_onnx(model, {})
                logits = OnnxModel(content).run(images)
            case "page":
                logits = run_plain(read_network(build_page(model, FACTS).text), images / 255)
            case "C":
                return check_c(build_c(model, FACTS, "float"), bare, DIGITS).largest_difference
            case _:
                built = build_c(model, FACTS, "int8", DIGITS.train.images)
                return check_c(built, bare, DIGITS).largest_difference
    except UsageError:
        return None
    return float((logits - predict_logits(bare, images)).abs().max())


def comparable(model: nn.Module) -> nn.Module:
    """Return what the export is compared with; the model itself, where it cannot be followed."""
    try:
        return without_log_softmax(model)
    except UsageError:
        return model


if __name__ == "__main__":
    main()

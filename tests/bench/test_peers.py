"""What `tools/bench_peers.py` makes of runs; the peers themselves are not installed here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from bench_peers import reach, tabulate
from peers import with_fast


def make_run(peer: str, seed: int, *accuracies: float) -> dict[str, Any]:
    return {
        "peer": peer,
        "seed": seed,
        "accuracies": accuracies,
        "seconds": [10.0 * n for n in range(1, 11)][: len(accuracies)],
    }


def test_a_target_is_reached_at_the_first_epoch_that_has_its_accuracy() -> None:
    run = make_run("pytorch", 0, 0.98, 0.99, 0.97, 0.992)
    assert reach(0.99, run) == (20.0, 2)
    assert reach(0.994, run) is None


def test_the_table_has_images_a_second_mean_seconds_epochs_and_ratios_to_pytorch() -> None:
    runs = [
        make_run("pytorch", 0, 0.98, 0.99),
        make_run("pytorch", 1, 0.98, 0.98, 0.98, 0.991),
        make_run("flax", 0, 0.98, 0.98),
        make_run("flax", 1, 0.98, 0.99),
        make_run("under10k, fast", 0, 0.99, 0.994),
        make_run("under10k, fast", 1, 0.98, 0.99, 0.994),
    ]
    pytorch, flax, ours = tabulate(runs).splitlines()[2:]
    assert pytorch == "| pytorch | 5,000 | 30 | 2, 4 | 1.00 |  |  |", "the peers go no further than 99.0 %"
    assert flax == "| flax | 5,000 | - | -, 2 | - |  |  |", "a mean needs all runs"
    assert ours == "| under10k, fast | 5,000 | 15 | 1, 2 | 2.00 | 25 | 2, 3 |"


def test_ours_trained_an_epoch_at_a_time_reads_better_than_by_chance() -> None:
    labels = np.arange(2_560) % 10
    images = np.zeros((len(labels), 28, 28), np.uint8)
    images[np.arange(len(labels)), 2 * labels + 4] = 255  # a line, the lower the larger the digit
    training = with_fast(images, labels, 0)
    for _ in range(3):
        training.epoch()
    assert (training.read(images) == labels).mean() > 0.5

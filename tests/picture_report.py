"""Accuracy on pictures, condition by condition: python tests/picture_report.py --help."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

import under10k
from picture_maker import CONDITIONS, Condition
from under10k.data.digits import Digits
from under10k.evaluation.statistics import wilson_interval
from under10k.pictures.prediction import DEFAULT_MODEL


def pictures(name: str, digits: Digits, first: int, count: int) -> Iterator[tuple[object, int]]:
    """Draw digits, each with its own seed, under one condition: pictures with what they show."""
    make: Condition = CONDITIONS[name]
    for index in range(first, first + count):
        rng = np.random.default_rng([sum(map(ord, name)), index])
        yield make(digits.images[index].numpy(), rng), int(digits.labels[index])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="weights that come along, a run or a file")
    parser.add_argument("--count", type=int, default=200, help="digits a condition")
    parser.add_argument("--split", choices=("held-out", "test"), default="held-out")
    parser.add_argument("--only", default="", help="conditions whose names hold this")
    options = parser.parse_args()
    data = under10k.load_digits("mnist")
    digits = data.test if options.split == "test" else data.train[50_000:]
    model = under10k.load_model(options.model)
    print("| condition | digits | accuracy | 95 % interval | sure | accuracy where sure |")
    print("|---|---:|---:|---|---:|---:|")
    total: list[tuple[bool, bool]] = []
    for number, name in enumerate(name for name in CONDITIONS if options.only in name):
        first = number * options.count % (len(digits.labels) - options.count + 1)
        read = [(under10k.predict(p, model), label) for p, label in pictures(name, digits, first, options.count)]
        answers = [(found.digit == label, found.confident) for found, label in read]
        total += answers
        print(row(name, answers), flush=True)
    print(row("all", total))


def row(name: str, answers: list[tuple[bool, bool]]) -> str:
    """Write a line of the table: of each answer whether it was right and whether it was sure."""
    right = sum(good for good, _ in answers)
    sure = [good for good, certain in answers if certain]
    share = wilson_interval(right, len(answers))
    where_sure = f"{100 * sum(sure) / len(sure):.1f} %" if sure else ""
    return (
        f"| {name} | {len(answers):,} | {100 * share.value:.1f} % | {100 * share.low:.1f} to {100 * share.high:.1f} "
        f"| {100 * len(sure) / len(answers):.0f} % | {where_sure} |"
    )


if __name__ == "__main__":
    main()

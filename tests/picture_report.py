"""Accuracy on pictures, kind by kind: python tests/picture_report.py --help."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from torch import nn

import under10k
from hard_pictures import HARD, NO_DIGITS, written_by_another_hand
from picture_maker import CONDITIONS
from sheet_maker import SHEETS, Pool
from under10k.data.digits import Digits
from under10k.evaluation.statistics import wilson_interval
from under10k.pictures.prediction import DEFAULT_MODEL, row_text, split_rows

SINGLES = {**CONDITIONS, **HARD}
"""Every kind of picture of one of MNIST's digits."""

ROWS = {"a hundred digits": 10, "rows beside a bar": 4, "rows with a link": 4}
"""Rows of a sheet that has several: so many fewer are drawn."""

Answer = tuple[bool, bool]
"""Whether it was right, and whether it was sure."""


def seeded(name: str, index: int) -> np.random.Generator:
    return np.random.default_rng([sum(map(ord, name)), index])


def pictures(name: str, digits: Digits, first: int, count: int) -> Iterator[tuple[object, int]]:
    """Draw digits, each with its own seed, under one condition: pictures with what they show."""
    for index in range(first, first + count):
        picture = SINGLES[name](digits.images[index].numpy(), seeded(name, index))
        yield picture, int(digits.labels[index])


def read_singles(name: str, number: int, digits: Digits, count: int, model: nn.Module) -> list[Answer]:
    first = number * count % (len(digits.labels) - count + 1)
    read = [(under10k.predict(picture, model), label) for picture, label in pictures(name, digits, first, count)]
    return [(found.digit == label, found.confident) for found, label in read]


def read_hands(count: int, model: nn.Module) -> list[Answer]:
    answers = []
    for index in range(count):
        picture, label = written_by_another_hand(seeded("hand", index))
        found = under10k.predict(picture, model)
        answers.append((found.digit == label, found.confident))
    return answers


def read_sheet(name: str, index: int, digits: Digits, model: nn.Module) -> list[Answer]:
    """Draw a picture of several digits and read it: an answer for each row that is written, right if read exactly."""
    rng = seeded(name, index)

    def pool() -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], int]:
        place = int(rng.integers(len(digits)))
        return digits.images[place].numpy(), int(digits.labels[place])

    give: Pool = pool
    picture, rows = SHEETS[name](give, rng)
    found = under10k.predict_all(picture, model)
    read = {row_text(row): all(one.confident for one in row) for row in split_rows(found)}
    return [(row in read, read.get(row, all(read.values()))) for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="weights that come along, a run or a file")
    parser.add_argument("--count", type=int, default=200, help="pictures a kind")
    parser.add_argument("--split", choices=("held-out", "test"), default="held-out", help="which of MNIST's digits")
    parser.add_argument("--only", default="", help="kinds whose names hold this")
    options = parser.parse_args()
    data = under10k.load_digits("mnist")
    digits = data.test if options.split == "test" else data.train[50_000:]
    model = under10k.load_model(options.model)
    count, only = options.count, options.only

    heading("one digit")
    total: list[Answer] = []
    for number, name in enumerate(SINGLES):
        if only in name:
            total += say(name, read_singles(name, number, digits, count, model))
    if only in "another hand":
        total += say("another hand", read_hands(count, model))
    say("all", total)

    heading("a row of several digits")
    total = []
    for name in SHEETS:
        if only in name:
            pages = -(-count // ROWS.get(name, 1))
            total += say(name, [answer for page in range(pages) for answer in read_sheet(name, page, digits, model)])
    say("all", total)

    heading("no digit (right: not sure)")
    total = []
    for name, make in NO_DIGITS.items():
        if only in name:
            unsure = [not under10k.predict(make(seeded(name, index)), model).confident for index in range(count)]
            total += say(name, [(answer, not answer) for answer in unsure])
    say("all", total)


def heading(kind: str) -> None:
    print(f"\n| {kind} | pictures | right | 95 % interval | sure | right where sure |")
    print("|---|---:|---:|---|---:|---:|")


def say(name: str, answers: list[Answer]) -> list[Answer]:
    """Print a line of the table, and hand the answers on."""
    if answers:
        right = sum(good for good, _ in answers)
        sure = [good for good, certain in answers if certain]
        share = wilson_interval(right, len(answers))
        value, low, high = (f"{100 * part:.1f}" for part in (share.value, share.low, share.high))
        where_sure = f"{100 * sum(sure) / len(sure):.1f} %" if sure else ""
        print(
            f"| {name} | {len(answers):,} | {value} % | {low} to {high} "
            f"| {100 * len(sure) / len(answers):.0f} % | {where_sure} |",
            flush=True,
        )
    return answers


if __name__ == "__main__":
    main()

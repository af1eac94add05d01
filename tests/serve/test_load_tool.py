"""What `make load` takes for a fault of the server's."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from load_server import GROWTH_LIMIT, Exchange, Load, find_fault

SEVEN = {"digit": 7, "probability": 0.9}
ERROR = {"error": "what: where. what to do"}
LATER = {"retry-after": "1"}


@pytest.mark.parametrize(
    ("client", "status", "headers", "body"),
    [("reader", 200, {}, SEVEN), ("reader", 503, LATER, ERROR), ("slow", 408, {}, ERROR), ("greedy", 413, {}, ERROR)],
)
def test_answers_that_a_client_should_get_are_none(
    client: str, status: int, headers: dict[str, str], body: dict[str, Any]
) -> None:
    assert find_fault(client, (status, headers, json.dumps(body).encode()), SEVEN) == ""


@pytest.mark.parametrize(
    ("client", "status", "headers", "body", "fault"),
    [
        ("reader", 200, {}, {**SEVEN, "digit": 1}, "another answer than that of under10k predict"),
        ("reader", 200, {}, {**SEVEN, "probability": 0.90000001}, "another answer than that of under10k predict"),
        ("reader", 500, {}, ERROR, "reader client answered with 500"),
        ("reader", 422, {}, ERROR, "reader client answered with 422"),
        ("reader", 503, {}, ERROR, "503 without Retry-After"),
        ("reader", 503, LATER, SEVEN, "503 without its error"),
        ("slow", 200, {}, SEVEN, "slow client answered with 200"),
        ("greedy", 200, {}, SEVEN, "greedy client answered with 200"),
    ],
)
def test_every_other_answer_is_one(
    client: str, status: int, headers: dict[str, str], body: dict[str, Any], fault: str
) -> None:
    assert find_fault(client, (status, headers, json.dumps(body).encode()), SEVEN) == fault
    assert find_fault("slow", (408, {}, b"<html>"), None) == "408 without JSON"


def test_a_load_is_at_fault_where_an_answer_or_the_memory_is() -> None:
    well = Exchange("reader", 200, 0.1)
    load = Load(30.0, [well] * 99, [300 * 2**20, 400 * 2**20, 310 * 2**20])
    assert load.faults() == []
    load.exchanges += [Exchange("slow", 0, 0.1, "no answer")] * 2
    load.memory.append(300 * 2**20 + GROWTH_LIMIT + 2**20)
    assert load.faults() == ["2 x no answer", "memory has grown by 65 MiB; 64 MiB are allowed"]
    assert Load(30.0, [Exchange("reader", 503, 0.1)], [0]).faults() == ["no picture was read"]


def test_the_report_tells_answers_times_and_memory() -> None:
    exchanges = [Exchange("reader", 200, n / 1000) for n in range(101)] + [Exchange("slow", 0, 10.0, "no answer")]
    lines = Load(10.0, exchanges, [2**20, 3 * 2**20, 2 * 2**20]).report().splitlines()
    assert lines[1].split() == ["reader", "200", "101", "50.0", "99.0"]
    assert lines[2].split()[:3] == ["slow", "none", "1"]
    assert lines[3:] == [
        "readers' requests a second: 10.1",
        "wrong or missing answers: 1",
        "memory: 1 MiB before, 3 MiB at most, 2 MiB after",
    ]

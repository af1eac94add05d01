"""The cycles that `tools/count_cycles.py` takes from Arm's manuals."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
from count_cycles import cost, wait

SMALL, LARGE = "cortex-m0plus", "cortex-m4"


@pytest.mark.parametrize(
    ("chip", "kind", "what", "jumps", "cycles"),
    [
        (SMALL, "adds", "r3, #1", False, 1),
        (SMALL, "muls", "r3, r2", False, 1),
        (SMALL, "ldrsb", "r3, [r2, r1]", False, 2),
        (SMALL, "str", "r3, [r2, #4]", False, 2),
        (SMALL, "bne", "100 <f>", True, 2),
        (SMALL, "bne", "100 <f>", False, 1),
        (SMALL, "bl", "100 <f>", True, 3),
        (SMALL, "push", "{r4, r5, r6, lr}", False, 5),
        (SMALL, "pop", "{r4, r5, r6, pc}", True, 7),
        (LARGE, "mla", "r3, r2, r1, r3", False, 1),
        (LARGE, "smull", "r3, r2, r1, r0", False, 1),
        (LARGE, "ldr", "r3, [r2, #4]", False, 2),
        (LARGE, "str", "r3, [r2, #4]", False, 1),
        (LARGE, "str", "r3, [r2, r1]", False, 2),
        (LARGE, "ldrd", "r3, r4, [r2]", False, 3),
        (LARGE, "ldmia", "r3, {r0-r3}", False, 5),
        (LARGE, "sdiv", "r3, r2, r1", False, 12),
        (LARGE, "b", "100 <f>", True, 3),
        (LARGE, "tbb", "[pc, r3]", True, 4),
        (LARGE, "vldr", "s0, [r3]", False, 2),
        (LARGE, "vmul.f32", "s0, s1, s2", False, 1),
        (LARGE, "vfma.f32", "s0, s1, s2", False, 3),
        (LARGE, "vdiv.f32", "s0, s1, s2", False, 14),
    ],
)
def test_an_instruction_takes_the_cycles_of_arms_table(
    chip: str, kind: str, what: str, jumps: bool, cycles: int
) -> None:
    assert cost(chip, kind, what, jumps=jumps) == cycles


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        (("ldr", "r0, [r1]"), ("ldr", "r1, [r2]"), -1),
        (("ldr", "r0, [r1, r2]"), ("str", "r1, [r3, r2]"), -1),
        (("ldr", "r0, [r1, r2]"), ("str", "r0, [r3, #20]"), 0),
        (("ldr", "r0, [r1]"), ("ldr", "r1, [r0]"), 0),
        (("ldrd", "r0, r4, [r1]"), ("ldr", "r1, [r2]"), 0),
        (("add", "r0, r1"), ("ldr", "r1, [r0]"), 1),
        (("bic", "r0, r1"), ("vldr", "s1, [r0]"), 1),
        (("add", "r0, r1"), ("str", "r0, [r1]"), 0),
        (("cmp", "r0, r1"), ("ldr", "r1, [r0]"), 0),
        (("umull", "r0, r1, r2, r3"), ("ldr", "r4, [r1]"), 1),
        (("vmul.f32", "s0, s1, s2"), ("vadd.f32", "s3, s3, s0"), 1),
        (("vmul.f32", "s0, s1, s2"), ("vfma.f32", "s0, s1, s2"), 0),
        (("vfma.f32", "s0, s1, s2"), ("vstr", "s0, [r3]"), 1),
        (("vldr", "s0, [r3]"), ("vfma.f32", "s3, s1, s0"), 0),
    ],
)
def test_what_stands_before_an_instruction_of_the_m4_makes_it_faster_or_slower(
    before: tuple[str, str], after: tuple[str, str], more: int
) -> None:
    assert wait(before, after) == more

"""Run the numeric tests as other processors would: python tools/run_on_cpus.py [PYTEST OPTION...].

PyTorch picks its vector instructions from the processor, and adds up in another order with each; so it does with
another number of threads. What under10k promises must hold with all of them. Those that this processor lacks are left
out, and named. Ends with 1 where a test fails with any of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

TESTS = Path(__file__).resolve().parent.parent / "tests"

NUMERIC = [
    "augment", "averaging", "corruptions", "docs", "evaluation", "export_c", "export_onnx", "export_plain", "ink",
    "models", "pictures", "prediction", "framing", "layout", "resume", "schedule", "selection", "sgd", "statistics",
    "study", "synthetic", "training", "weights",
]  # fmt: skip
"""The test files that compute with numbers; all others are about files, words and processes."""

INSTRUCTIONS = {"default": "SSE41", "avx2": "AVX2", "avx512": "AVX512_CORE"}
"""What ATEN_CPU_CAPABILITY can be on x86, lowest first, and oneDNN's name for it."""


def main(options: list[str]) -> int:
    """Run the tests with each kind of instructions, on one thread and on two; return the exit code."""
    best = torch.backends.cpu.get_cpu_capability().lower()
    kinds = list(INSTRUCTIONS)
    known = kinds[: kinds.index(best) + 1] if best in kinds else ["default"]
    results = []
    for kind in known:
        for threads in "1", "2":
            asked = {"ATEN_CPU_CAPABILITY": kind, "ONEDNN_MAX_CPU_ISA": INSTRUCTIONS[kind], "TEST_THREADS": threads}
            files = [str(path) for name in NUMERIC for path in TESTS.rglob(f"test_{name}.py")]
            command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "--dist", "worksteal", *options, *files]
            print(f"\n{kind}, {threads} thread(s)", flush=True)
            done = subprocess.run(command, env=os.environ | asked)  # noqa: S603
            results.append((kind, threads, done.returncode))
    print()
    for kind, threads, code in results:
        print(f"{kind:8} {threads} thread(s)  {'passed' if code == 0 else 'failed'}")
    for kind in kinds[len(known) :]:
        print(f"{kind:8} left out: this processor has {best} at most")
    return int(any(code for _, _, code in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

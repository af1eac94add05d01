"""Check all that is installed beside under10k: python tools/audit.py.

First what the packages say of themselves: a licence that lets MIT software use them, a Python that they are for, and
dependencies that fit together. Then PyPI's list of known vulnerabilities, by way of pip-audit. Packages that the index
tells nothing about are named, and are no pass: a mirror often lacks the list. Ends with 1 where something is wrong or
was not answered.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import tempfile
from email.message import Message
from importlib import metadata
from pathlib import Path
from typing import cast

from packaging.specifiers import SpecifierSet

PERMISSIVE = re.compile(
    r"\b(MIT(-CMU)?|BSD|[0-9]-Clause|Apache|PSF|Python Software Foundation|PYTHON-2|ISC|MPL|Mozilla|HPND|0BSD|Zlib|"
    r"Unlicense|CC0|Public Domain|Matplotlib|LGPL|Historical Permission)", re.IGNORECASE
)  # fmt: skip
"""Names of licences, in whatever words they are given, that leave MIT software as it is."""


def main() -> int:
    """Check, print what was found, and return the exit code."""
    packages = sorted(
        {
            found.metadata["Name"]: found for found in metadata.distributions() if found.metadata["Name"] != "under10k"
        }.items()
    )
    faults = [fault for name, found in packages for fault in _find_faults(name, cast("Message", found.metadata))]
    fitting = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    faults += fitting.stdout.splitlines() if fitting.returncode else []
    print(f"metadata         {len(packages)} packages: {_sum_up(faults)}")

    vulnerable, unasked = _ask([(name, found.version) for name, found in packages])
    answered = len(packages) - len(unasked)
    print(f"vulnerabilities  {answered} packages: {_sum_up(vulnerable) if answered else 'none was answered about'}")
    if unasked:
        names = ", ".join(unasked) if answered else "all"
        print(f"not passed       this index tells nothing of the vulnerabilities of {len(unasked)} packages: {names}")
    return int(bool(faults or vulnerable or unasked))


def _sum_up(faults: list[str]) -> str:
    return "\n    ".join([f"{len(faults)} faults", *faults]) if faults else "no fault"


def _find_faults(name: str, said: Message) -> list[str]:
    """Return what is wrong with a package by its own metadata."""
    faults = []
    licences = [said["License-Expression"] or "", (said["License"] or "")[:200]]
    licences += [line for line in said.get_all("Classifier") or [] if line.startswith("License ::")]
    if not PERMISSIVE.search(" ".join(licences)):
        faults.append(f"{name}: its licence is not known to fit: {' '.join(filter(None, licences)) or 'none is told'}")
    python = said["Requires-Python"]
    if python and platform.python_version() not in SpecifierSet(python, prereleases=True):
        faults.append(f"{name}: is for Python {python}")
    return faults


def _ask(packages: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Return the known vulnerabilities, and the packages that there was no answer about."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "installed.txt")
        listed.write_text("".join(f"{name}=={version.partition('+')[0]}\n" for name, version in packages), "utf-8")
        command = [
            sys.executable,
            "-m",
            "pip_audit",
            "--no-deps",
            "--disable-pip",
            "--format",
            "json",
            "-r",
            str(listed),
        ]
        done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    try:
        answers = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print((done.stderr.strip().splitlines() or ["pip-audit has said nothing"])[-1], file=sys.stderr)
        return [], [name for name, _ in packages]
    vulnerable = [
        f"{answer['name']} {answer['version']}: {found['id']}"
        for answer in answers
        for found in answer.get("vulns", [])
    ]
    return vulnerable, [answer["name"] for answer in answers if "skip_reason" in answer]


if __name__ == "__main__":
    sys.exit(main())

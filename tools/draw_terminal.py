"""Record what the commands print at 80 columns: python tools/draw_terminal.py docs/terminal.svg.

tmux is the terminal. The commands are typed into a shell in a new folder, and what they leave on the screen is drawn
with its colours. Data is looked for where $UNDER10K_DATA says.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from under10k.data import draw_digits

COLUMNS = 80

COMMANDS = (
    "under10k train fast",
    "under10k predict digit.png",
    "under10k study fast --epochs 1,2 --seeds 3",
)

THEME = TerminalTheme(
    (29, 31, 40),
    (236, 234, 228),
    [
        (29, 31, 40), (240, 113, 120), (152, 200, 121), (229, 192, 123),
        (130, 170, 255), (199, 146, 234), (137, 221, 255), (200, 200, 196),
    ],
    [
        (110, 114, 130), (255, 139, 146), (181, 230, 146), (255, 213, 143),
        (156, 190, 255), (221, 170, 252), (163, 240, 255), (255, 255, 255),
    ],
)  # fmt: skip


def main(out: Path) -> None:
    """Type the commands, and draw the terminal as an SVG that refers to nothing else."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # tmux may end after it
        digits = draw_digits(200, seed=2)
        digit = 255 - digits.images[(digits.labels == 7).nonzero()[0, 0]].numpy()
        Image.fromarray(digit).resize((280, 280)).save(Path(folder, "digit.png"))
        shown = record(Path(folder))
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(shown.rstrip().removesuffix("$").rstrip()))
    plain = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)  # whose fonts lie on a server
    svg = console.export_svg(title="under10k", theme=THEME, code_format=plain, unique_id="terminal")
    out.write_text(re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE), encoding="utf-8")


def record(folder: Path) -> str:
    """Return all that a terminal shows of the commands, with the escapes that colour it."""
    socket = folder / "tmux"

    def tmux(*words: str) -> str:
        command = ["tmux", "-S", str(socket), "-f", "/dev/null", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603

    ready = f"tmux -S {shlex.quote(str(socket))} wait-for -S ready"
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    settings = {"PS1": "$ ", "PROMPT_COMMAND": ready, "PATH": path, "HOME": str(folder), "LANG": "C.UTF-8"}
    settings |= {"HISTFILE": "/dev/null", "UNDER10K_DATA": os.environ.get("UNDER10K_DATA", "")}
    shell = shlex.join(["env", "-u", "NO_COLOR", *(f"{name}={value}" for name, value in settings.items()), "bash"])
    size = ("-x", str(COLUMNS), "-y", "24")
    tmux("new-session", "-d", *size, "-c", str(folder), f"{shell} --norc --noprofile")

    def wait_for_prompt() -> None:
        """Wait until the shell reads keys: what is typed before would be shown twice."""
        tmux("wait-for", "ready")
        while not tmux("capture-pane", "-p").rstrip("\n").endswith("$"):
            pass

    try:
        wait_for_prompt()
        for command in COMMANDS:
            tmux("send-keys", "-l", command)
            tmux("send-keys", "Enter")
            wait_for_prompt()
        return tmux("capture-pane", "-e", "-p", "-S", "-")
    finally:
        tmux("kill-server")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

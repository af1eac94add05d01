"""Count what one picture takes on a Cortex-M0+ and M4: python tools/count_cycles.py FOLDER [FLAGS...].

FOLDER is an export to C, compiled with FLAGS, by default -O2. Debian's `qemu-system-arm`, `gcc-arm-none-eabi` and
`libnewlib-arm-none-eabi` are needed. QEMU runs the first picture of the exported test, and logs each instruction. It
knows no cycles: each instruction counts as many as Arm's manuals say (DDI 0484, table 3-1, for the M0+ with the fast
multiplier; DDI 0439, tables 3-1 and 7-1, for the M4), with memory that never lets the processor wait. On the M4 a load
counts two cycles, though one that follows another may take one, and a taken branch three, of two to four.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

CHIPS = {
    "cortex-m0plus": ("mps2-an385", ("-mcpu=cortex-m0plus",)),
    "cortex-m4": ("mps2-an386", ("-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")),
}
"""QEMU's board, whose core runs the chip's instructions, and the compiler's flags."""

LINK = "SECTIONS { .text 0 : { KEEP(*(.vectors)) *(.text* .rodata*) } .bss 0x20000000 (NOLOAD) : { *(.bss*) } }"

START = """
#include "@name@.h"
@picture@
static @logit@ logits[10];
__attribute__((noinline)) static void leave(void)
{
    for (;;)
        __asm volatile("");
}
static void start(void)
{
    *(volatile uint32_t *)0xe000ed88 = 0xf << 20; /* turns on the M4's floating point */
    __asm volatile("dsb\\n isb");
    @name@_predict(pixels[0], logits);
    leave();
}
__attribute__((section(".vectors"), used)) static void *const vectors[] = {(void *)0x20040000, (void *)start};
"""

Code = dict[int, tuple[int, str, str]]
"""For each instruction's address: the next one's, its name and its operands."""


def build(folder: Path, chip: str, flags: list[str], program: Path) -> None:
    """Compile and link an export with a start of its own."""
    header = next(path for path in folder.glob("*.h") if not path.stem.endswith("_frame"))
    test = (folder / "test.c").read_text()
    picture = re.search(r"static const uint8_t pixels\[COUNT\]\[784\] = .*?;", test, re.DOTALL)
    assert picture, "the exported test has pictures"
    text = START.replace("@name@", header.stem).replace("@picture@", picture.group().replace("COUNT", ""))
    text = text.replace("@logit@", "int32_t" if "int32_t logits" in test else "float")
    start, link = program.with_name("start.c"), program.with_name("link.ld")
    start.write_text(text)
    link.write_text(LINK)
    options = ["-std=gnu99", "-mthumb", *CHIPS[chip][1], "-ffp-contract=fast", *flags, "-nostartfiles", f"-I{folder}"]
    files = map(str, (link, "-o", program, start, header.with_suffix(".c")))
    command = ["arm-none-eabi-gcc", *options, "-T", *files]
    subprocess.run(command, check=True)  # noqa: S603


def run(folder: Path, chip: str, flags: list[str]) -> tuple[int, int]:
    """Return the instructions and the cycles of one picture."""
    with tempfile.TemporaryDirectory() as place:
        program = Path(place, "program.elf")
        build(folder, chip, flags, program)
        dump = ["arm-none-eabi-objdump", "-d", str(program)]
        listing = subprocess.run(dump, capture_output=True, text=True, check=True).stdout  # noqa: S603
        code: Code = {}
        for at, bits, kind, what in re.findall(
            r"^ +([0-9a-f]+):\t([0-9a-f ]+?) *\t(\S+)\t?(.*)$", listing, re.MULTILINE
        ):
            code[int(at, 16)] = int(at, 16) + len(bits.replace(" ", "")) // 2, re.sub(r"\.[nw]$", "", kind), what
        entries = {name: int(at, 16) for at, name in re.findall(r"^([0-9a-f]+) <(\w+)>:", listing, re.MULTILINE)}
        first = next(at for name, at in entries.items() if name.endswith("_predict"))
        steps = trace(program, CHIPS[chip][0], first, entries["leave"])
    cycles = sum(
        times * cost(chip, *code[before][1:], jumps=after != code[before][0])
        for (before, after), times in steps.items()
    )
    return steps.total(), cycles


def trace(program: Path, board: str, first: int, last: int) -> Counter[tuple[int, int]]:
    """Return how often each instruction was followed by which, from address `first` to `last`."""
    options = ["-nographic", "-singlestep", "-d", "exec,nochain", "-D", "/dev/stdout"]
    command = ["qemu-system-arm", "-M", board, "-kernel", str(program), *options]
    steps: Counter[tuple[int, int]] = Counter()
    before = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as machine:  # noqa: S603
        assert machine.stdout
        for line in machine.stdout:
            at = int(line.split("/")[1], 16)
            if before is not None:
                steps[before, at] += 1
            if before is not None or at == first:
                before = at
            if at == last:
                break
        machine.kill()
    return steps


def cost(chip: str, kind: str, what: str, *, jumps: bool) -> int:
    """Return the cycles of an instruction; `jumps` says whether another than the next follows."""
    small = chip == "cortex-m0plus"
    if re.match(r"v?(push|pop|ldm|stm)", kind):
        ranges = re.findall(r"([a-z]+)(\d*)(?:-[a-z]+(\d+))?", what[what.index("{") :])
        registers = sum(int(end) - int(begin) + 1 if end else 1 for _, begin, end in ranges)
        return 1 + registers + 2 * jumps
    if kind == "bl":
        return 3
    if jumps:
        return 2 if small else 3
    if re.match(r"ldrd|strd", kind):
        return 3
    if re.match(r"v?ldr", kind) or (re.match(r"str", kind) and small) or kind.startswith("vstr"):
        return 2
    if re.match(r"v(fma|mla|fms|mls)", kind):
        return 3
    if re.match(r"vdiv|vsqrt", kind):
        return 14
    return 12 if re.match(r"[su]div", kind) else 1


if __name__ == "__main__":
    for name in CHIPS:
        instructions, cycles = run(Path(sys.argv[1]), name, sys.argv[2:] or ["-O2"])
        print(f"{sys.argv[1]}, {name}: {instructions:,} instructions, {cycles:,} cycles", flush=True)

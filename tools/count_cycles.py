"""Count what one picture takes on a Cortex-M0+ and M4: python tools/count_cycles.py FOLDER [FLAGS...].

FOLDER is an export to C, compiled with FLAGS, by default -O2. Debian's `qemu-system-arm`, `gcc-arm-none-eabi` and
`libnewlib-arm-none-eabi` are needed. QEMU runs the first picture of the exported test, and logs each instruction. It
knows no cycles: each instruction counts as many as Arm's manuals say, with memory that never makes the processor wait.
For the M0+ this is DDI 0484, table 3-1: a load, a store and a taken branch take 2 cycles, a multiplication 1, or 32 on
a chip with the small multiplier. For the M4 it is DDI 0439, tables 3-1 and 7-1 and section 3.3.2: a load takes 2, a
load or store straight after a load 1; one whose address the instruction before it computed waits a cycle, and so does
floating-point arithmetic on the result of the one before. A taken branch takes 2 to 4, counted as 3; a division 2 to
12, counted as 12.
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


def run(folder: Path, chip: str, flags: list[str]) -> tuple[int, int, int]:
    """Return the instructions of one picture, its cycles, and how many of its instructions multiply."""
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
    cycles = multiplications = 0
    for (before, after), times in steps.items():
        following, kind, what = code[before]
        cycles += times * cost(chip, kind, what, jumps=after != following)
        if chip == "cortex-m4" and after in code:
            cycles += times * wait((kind, what), code[after][1:])
        multiplications += times * kind.startswith("mul")
    return steps.total(), cycles, multiplications


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
    """Return the cycles of an instruction by itself; `jumps` says whether another than the next follows."""
    small = chip == "cortex-m0plus"
    if re.match(r"v?(push|pop|ldm|stm)", kind):
        ranges = re.findall(r"([a-z]+)(\d*)(?:-[a-z]+(\d+))?", what[what.index("{") :])
        registers = sum(int(end) - int(begin) + 1 if end else 1 for _, begin, end in ranges)
        return 1 + registers + 2 * jumps
    if kind == "bl":
        return 3
    if jumps:
        return 2 if small else 3 + bool(re.match(r"tb|ldr", kind))
    if re.match(r"ldrd|strd", kind):
        return 3
    if re.match(r"v?ldr|vstr", kind) or (kind.startswith("str") and (small or _adds_registers(what))):
        return 2
    if re.match(r"v(fn?m[as]|n?ml[as])", kind):
        return 3
    if re.match(r"vdiv|vsqrt", kind):
        return 14
    return 12 if re.match(r"[su]div", kind) else 1


def wait(before: tuple[str, str], after: tuple[str, str]) -> int:
    """Return how many cycles more an instruction of the M4 takes because of the one before it; -1 is one fewer."""
    (kind, what), (next_kind, next_what) = before, after
    results = set(_registers(what)[: 2 if re.match(r"[us]m(ull|lal)", kind) else 1])
    address = set(_registers(next_what.partition("[")[2]))
    if _SINGLE_LOAD.match(kind):
        pipelined = _SINGLE_LOAD.match(next_kind) or (next_kind.startswith("str") and _adds_registers(next_what))
        return -1 if pipelined and not results & address else 0
    if _NO_RESULT.match(kind):
        return 0
    if not kind.startswith("v"):
        return int(bool(results & address))
    if not _ARITHMETIC.match(kind):
        return 0
    sources = _registers(next_what)
    if not re.match(r"vstr|vcmp", next_kind):  # all others write their first register; sums are added late
        sources = sources[1:]
    return int(next_kind.startswith("v") and not results.isdisjoint(sources))


_SINGLE_LOAD = re.compile(r"ldr(?!d)")

_NO_RESULT = re.compile(r"(ldr|str|ldm|stm|push|pop|b(?!ic|f)|cb|it|cmp|cmn|tst|teq|nop|tb|vstr|vldr|vcmp)")

_ARITHMETIC = re.compile(r"v(add|sub|n?mul|n?ml[as]|fn?m[as]|div|sqrt|cvt|abs|neg)")


def _registers(what: str) -> list[str]:
    return re.findall(r"\b(?:[rs]\d+|ip|sp|lr|fp|sl|pc)\b", what)


def _adds_registers(what: str) -> bool:
    """Tell whether an address is the sum of two registers."""
    return len(_registers(what.partition("[")[2])) > 1


if __name__ == "__main__":
    for name in CHIPS:
        instructions, cycles, multiplications = run(Path(sys.argv[1]), name, sys.argv[2:] or ["-O2"])
        print(f"{sys.argv[1]}, {name}: {instructions:,} instructions, {cycles:,} cycles", flush=True)
        if name == "cortex-m0plus":
            print(f"  with the small multiplier: {cycles + 31 * multiplications:,} cycles", flush=True)

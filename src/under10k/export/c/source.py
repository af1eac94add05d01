"""The C source of a network: one function a stage, one buffer, and every size a constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from textwrap import indent, wrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from under10k.data import CLASSES, SIDE
from under10k.export.c.layout import Maps, find_distance, lay_out
from under10k.export.int8 import IntegerStage
from under10k.export.plain import INPUT, AveragePool, MaxPool
from under10k.export.stages import Network, Stage

ABREAST = 5
"""In float, most neighbours computed at once: each weight is loaded once for all, their sums still fit in registers."""


LANES = 16
"""In float, filters of zeros fill up each convolution to a multiple of this: compilers then use vectors throughout."""


Table = tuple[str, str, NDArray[np.generic]]
"""Type, name and values of a constant array."""


@dataclass(frozen=True)
class Source:
    """The C code of a network, and what it takes."""

    code: str
    """Tables, buffers and functions."""
    logit: str
    """Type of a logit."""
    weight_bytes: int
    """All that convolutions multiply with."""
    other_bytes: int
    """The other constants: biases, scales."""
    ram_bytes: int
    """The buffer; the stack holds some hundred bytes besides."""


@dataclass(frozen=True)
class _Part:
    """A stage about to be written: what float and int8 do not have in common."""

    label: str
    """Network and number: what all names of the stage end in."""
    stage: Stage
    value: str
    """Type of what goes in."""
    total: str
    """Type of a sum."""
    result: str
    """Type of what comes out."""
    lowest: str
    """The least sum there is."""
    border: str
    """What stands around padded maps."""
    tables: tuple[Table, ...]
    finish: str
    """Statements that turn `value`, the sum of channel `o`, into a result, with `in`, the channels to add, if there are
    any; empty where the sum is the result."""

    @property
    def overlaps(self) -> bool:
        """Whether results may overwrite what is no longer needed of the input: in float, that would cost time."""
        return self.value != "float"

    def distance(self, before: Maps, after: Maps) -> int:
        """Return how far below the input the output must begin."""
        if not self.overlaps:
            return after.size
        return find_distance(before, after, self.stage.pool.side if self.stage.pool else 1)

    @property
    def abreast(self) -> tuple[int, int]:
        """Rows and columns of neighbours computed at once: as many as divide the maps, or a pool's windows, evenly."""
        if self.overlaps or not self.stage.convolution:
            return 1, 1  # what overlaps goes position by position, and in integers the code is to be small
        height, width = (self.stage.pool.side,) * 2 if self.stage.pool else self.stage.output[1:]
        rows = [1] if self.finish and not self.stage.pool else range(1, ABREAST + 1)
        blocks = [(y, x) for y in rows for x in range(1, ABREAST + 1) if height % y == 0 and width % x == 0]
        return max((block for block in blocks if prod(block) <= ABREAST), key=prod)

    @property
    def lanes(self) -> int:
        """How many sums a convolution makes at each position: one an output, and in float those that fill up."""
        return next(len(values) for _, name, values in self.tables if name.startswith("bias"))


def write_float(network: Network, name: str) -> Source:
    """Write a network in float, as a function `NAME_predict`."""
    parts = [_float_part(f"{name}_{number}", stage) for number, stage in enumerate(network.stages, 1)]
    source = _write(name, parts, f"(float){_PIXEL} * {_literal(network.scale)} + {_literal(network.offset)}")
    return replace(source, code=_WIDEST + source.code)


def write_int8(stages: Sequence[IntegerStage], name: str) -> Source:
    """Write a quantised network in integers, as a function `NAME_predict`."""
    parts = [_int8_part(f"{name}_{number}", stage) for number, stage in enumerate(stages, 1)]
    return _write(name, parts, _PIXEL)


_MACROS = """\
#if !defined(__cplusplus)
#define UNDER10K_RESTRICT restrict
#elif defined(__GNUC__) || defined(_MSC_VER)
#define UNDER10K_RESTRICT __restrict
#else
#define UNDER10K_RESTRICT
#endif

#if defined(__GNUC__) && !defined(__clang__)
/* A loop that gcc must not unroll: of what is left it would make worse code, larger and up to ten times slower. */
#define UNDER10K_AS_IT_IS _Pragma("GCC unroll 1")
#else
#define UNDER10K_AS_IT_IS
#endif

"""


_WIDEST = """\
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 && defined(__x86_64__) && defined(__gnu_linux__)
/* A function for each width of vector registers; the program takes the widest that its processor has. */
#define UNDER10K_WIDEST __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define UNDER10K_WIDEST
#endif

"""


_PIXEL = f"pixels[y * {SIDE} + x]"


# --- what differs ------------------------------------------------------------------------------------------------


def _float_part(label: str, stage: Stage) -> _Part:
    tables, lines = [], []
    if isinstance(stage.pool, AveragePool):
        lines.append(f"value *= {_literal(1 / stage.pool.side**2)};")
    if stage.affine:
        tables = [("float", f"scale_{label}", stage.affine.scale), ("float", f"offset_{label}", stage.affine.offset)]
        lines.append(f"value = value * scale_{label}[o] + offset_{label}[o];")
        lines += ["value = value > 0 ? value : 0;"] if stage.affine.relu else []
    if stage.skip:
        lines.append(f"value += {_skipped(stage)};")
    if stage.convolution:
        tables = [
            ("float", f"weights_{label}", _fill(_by_position(stage.convolution.weights))),
            ("float", f"bias_{label}", _fill(stage.convolution.bias)),
            *tables,
        ]
    single = tuple((kind, name, values.astype(np.float32)) for kind, name, values in tables)
    return _Part(
        label,
        stage,
        "float",
        "float",
        "float",
        "-3.4e38f",
        "0",
        single,
        "\n".join([*lines, "return value;"] if lines else []),
    )


def _int8_part(label: str, integer: IntegerStage) -> _Part:
    stage = integer.stage
    tables: tuple[Table, ...] = ()
    if stage.convolution is None:
        count = stage.pool.side**2 if isinstance(stage.pool, AveragePool) else 1
        finish = f"return (uint8_t)((value + {count // 2}) / {count});"
    else:
        tables = (
            ("int8_t", f"weights_{label}", _by_position(integer.weights)),
            ("int32_t", f"bias_{label}", integer.bias),
            ("int32_t", f"multiplier_{label}", integer.multiplier),
        )
        added = f"{integer.addend[0]}LL"
        if (integer.addend != integer.addend[0]).any():
            tables += (("int64_t", f"addend_{label}", integer.addend),)
            added = f"addend_{label}[o]"
        if stage.skip:
            added += f" + (int64_t){integer.skip_multiplier} * ({_skipped(stage)})"
        finish = f"const int64_t total = (int64_t)value * multiplier_{label}[o] + {added};\n"
        finish += _LOGIT.format(integer.shift) if integer.is_last else _ACTIVATION.format(integer.shift)
    result = "int32_t" if integer.is_last else "uint8_t"
    return _Part(label, stage, "uint8_t", "int32_t", result, "-2147483647 - 1", str(integer.border), tables, finish)


_LOGIT = "return (int32_t)(total < 0 ? -(-total >> {0}) : total >> {0});"


_ACTIVATION = "return (uint8_t)(total <= 0 ? 0 : total >> {0} > 255 ? 255 : total >> {0});"


def _skipped(stage: Stage) -> str:
    inputs, outputs = stage.input[0], stage.output[0]
    return "in[o]" if inputs == outputs else f"o < {inputs} ? in[o] : 0"


def _by_position(weights: NDArray[Any]) -> NDArray[Any]:
    """(outputs, inputs, height, width) -> (height, width * inputs, outputs): the order in which they are used."""
    outputs, inputs, height, width = weights.shape
    return weights.transpose(2, 3, 1, 0).reshape(height, width * inputs, outputs)


def _fill(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fill up the last axis with zeros to a multiple of the lanes."""
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, -values.shape[-1] % LANES)])


# --- what is shared ----------------------------------------------------------------------------------------------


def _write(name: str, parts: Sequence[_Part], pixel: str) -> Source:
    shapes = [INPUT, *(part.stage.output for part in parts)]
    borders = [*(part.stage.padding for part in parts), 0]
    maps = [Maps(shape, border) for shape, border in zip(shapes, borders, strict=True)]
    converts = pixel != _PIXEL or maps[0].border > 0  # else the first stage reads the pixels themselves
    first = 0 if converts else 1
    distances = [part.distance(*maps[number : number + 2]) for number, part in enumerate(parts)]
    starts, room = lay_out([one.size for one in maps[first:-1]], distances[first:-1])
    tables = [table for part in parts for table in part.tables]
    value = parts[0].value
    code = [_table(*table) for table in tables]
    code += [f"static {value} maps_{name}[{room}];\n"] if room else []
    code += [_load(name, value, maps[0], parts[0].border, pixel)] if converts else []
    for number, part in enumerate(parts, 1):
        border = parts[number].border if number < len(parts) else ""
        code.append(_stage(part, maps[number - 1], maps[number], border))
    code.append(_predict(name, parts, starts, converts))
    weights = sum(values.nbytes for _, table, values in tables if table.startswith("weights"))
    others = sum(values.nbytes for _, _, values in tables) - weights
    return Source(
        code=_MACROS + "\n".join(code),
        logit=parts[-1].result,
        weight_bytes=weights,
        other_bytes=others,
        ram_bytes=room * (4 if value == "float" else 1),
    )


def _load(name: str, value: str, maps: Maps, border: str, pixel: str) -> str:
    return f"""\
static void load_{name}(const uint8_t *pixels, {value} *out)
{{
    for (int y = 0; y < {SIDE}; y++)
        for (int x = 0; x < {SIDE}; x++)
            out[{maps.at("y", "x")}] = {pixel};
{indent(maps.frame(border), "    ")}}}
"""


def _stage(part: _Part, before: Maps, after: Maps, border: str) -> str:
    """Write the functions of a stage; `border` is the value around the maps it makes."""
    stage = part.stage
    skipped = f", const {part.value} *in" if stage.skip else ""
    apart = "" if part.overlaps else "UNDER10K_RESTRICT "
    code = _sums(part, before, after) if stage.convolution else _join(part)
    if part.finish:
        code += f"""
static {part.result} finish_{part.label}({part.total} value, int o{skipped})
{{
{"" if "o]" in part.finish else "    (void)o;" + chr(10)}\
{indent(part.finish, "    ")}
}}
"""
    body = _pooled(part, before, after) if stage.pool else _plain(part, before, after)
    return f"""{code}
/* {_describe(stage)} */
static void stage_{part.label}(const {part.value} *{apart}in, {part.result} *{apart}out)
{{
{indent(body + after.frame(border), "    ")}}}
"""


def _sums(part: _Part, before: Maps, after: Maps) -> str:
    """Write the function that computes neighbouring sums: stored one behind the other, or joined in one pool."""
    convolution, lanes, (rows, columns) = part.stage.convolution, part.lanes, part.abreast
    assert convolution is not None
    _, inputs, height, width = convolution.weights.shape
    block = [(y, x) for y in range(rows) for x in range(columns)]
    starts = [y * before.row + x * inputs for y, x in block]
    each = range(len(block))
    cast, widest = ("", "UNDER10K_WIDEST ") if part.value == "float" else (f"({part.total})", "")
    clear = " = ".join(f"sum_{n}[o]" for n in each)
    load = "\n".join(
        f"const {part.total} at_{n} = {cast}in[y * {before.row} + i + {start}];" for n, start in enumerate(starts)
    )
    add = "\n".join(f"sum_{n}[o] += at_{n} * weights_{part.label}[y][i][o];" for n in each)
    targets = [y * after.row + x * after.shape[0] for y, x in block]
    store = "\n".join(_store(part, f"sum_{n}[o]", target) for n, target in enumerate(targets))
    return f"""\
{widest}static void sums_{part.label}(const {part.value} *UNDER10K_RESTRICT in, {part.total} *UNDER10K_RESTRICT sums)
{{
    {part.total} {", ".join(f"sum_{n}[{lanes}]" for n in each)};
    UNDER10K_AS_IT_IS for (int o = 0; o < {lanes}; o++)
        {clear} = bias_{part.label}[o];
    for (int y = 0; y < {height}; y++)
        for (int i = 0; i < {width * inputs}; i++) {{
{indent(load, " " * 12)}
            UNDER10K_AS_IT_IS for (int o = 0; o < {lanes}; o++) {{
{indent(add, " " * 16)}
            }}
        }}
    UNDER10K_AS_IT_IS for (int o = 0; o < {part.stage.output[0]}; o++) {{
{indent(store, " " * 8)}
    }}
}}
"""


def _join(part: _Part) -> str:
    """Write the function that joins one position in a pool, where no convolution is computed along with it."""
    return f"""\
static void sums_{part.label}(const {part.value} *UNDER10K_RESTRICT in, {part.total} *UNDER10K_RESTRICT sums)
{{
    UNDER10K_AS_IT_IS for (int o = 0; o < {part.stage.output[0]}; o++)
        {_store(part, "in[o]", 0)}
}}
"""


def _store(part: _Part, value: str, target: int) -> str:
    """Return the statement that puts the value of channel `o` in its place, or joins it with others in a pool."""
    if isinstance(part.stage.pool, MaxPool):  # a ReLU is in the 0 that the largest is begun with
        return f"sums[o] = {value} > sums[o] ? {value} : sums[o];"
    if part.stage.convolution and part.stage.convolution.relu:
        value = f"({value} > 0 ? {value} : 0)"
    if isinstance(part.stage.pool, AveragePool):
        return f"sums[o] += {value};"
    return f"sums[{target} + o] = {value};"


def _plain(part: _Part, before: Maps, after: Maps) -> str:
    """Write the loops of a convolution without a pool."""
    convolution, (outputs, height, width) = part.stage.convolution, part.stage.output
    assert convolution is not None
    inputs, (rows, columns) = before.shape[0], part.abreast
    middle = convolution.weights.shape[-1] // 2 * (before.row + inputs)
    skipped = f", in + y * {before.row} + (x + n) * {inputs} + {middle}" if part.stage.skip else ""
    finish = f"""\
for (int n = 0; n < {columns}; n++)
    for (int o = 0; o < {outputs}; o++)
        out[{after.at("y", "(x + n)")} + o] = finish_{part.label}(sums[n * {outputs} + o], o{skipped});
"""
    return f"""\
for (int y = 0; y < {height}; y += {rows})
    for (int x = 0; x < {width}; x += {columns}) {{
        {_place(part, after, columns * outputs)}
        sums_{part.label}(in + y * {before.row} + x * {inputs}, sums);
{indent(finish if part.finish else "", " " * 8)}\
    }}
"""


def _pooled(part: _Part, before: Maps, after: Maps) -> str:
    """Write the loops of a pool, and of the convolution before it if there is one."""
    stage, (outputs, height, width) = part.stage, part.stage.output
    assert stage.pool is not None
    side, (rows, columns) = stage.pool.side, part.abreast
    relu = stage.convolution is not None and stage.convolution.relu
    start = part.lowest if isinstance(stage.pool, MaxPool) and not relu else "0"
    window = f"in + (y * {side} + v) * {before.row} + (x * {side} + u) * {before.shape[0]}"
    finish = f"""\
for (int o = 0; o < {outputs}; o++)
    out[{after.at("y", "x")} + o] = finish_{part.label}(sums[o], o);
"""
    return f"""\
for (int y = 0; y < {height}; y++)
    for (int x = 0; x < {width}; x++) {{
        {_place(part, after, outputs)}
        for (int o = 0; o < {outputs}; o++)
            sums[o] = {start};
        for (int v = 0; v < {side}; v += {rows})
            for (int u = 0; u < {side}; u += {columns})
                sums_{part.label}({window}, sums);
{indent(finish if part.finish else "", " " * 8)}\
    }}
"""


def _place(part: _Part, after: Maps, count: int) -> str:
    """Declare where sums are put: straight into the output if nothing is to be done with them."""
    return f"{part.total} sums[{count}];" if part.finish else f"{part.total} *sums = out + {after.at('y', 'x')};"


def _predict(name: str, parts: Sequence[_Part], starts: Sequence[int], converts: bool) -> str:
    buffers = [f"maps_{name} + {start}" if start else f"maps_{name}" for start in starts]
    places = ["pixels", *buffers, "logits"]
    steps = [*([f"load_{name}"] if converts else []), *(f"stage_{part.label}" for part in parts)]
    calls = [f"{step}({before}, {after});" for step, (before, after) in zip(steps, pairwise(places), strict=True)]
    return f"""\
int {name}_predict(const uint8_t pixels[{SIDE * SIDE}], {parts[-1].result} logits[{CLASSES}])
{{
{indent(chr(10).join(calls), "    ")}
    int digit = 0;
    for (int i = 1; i < {CLASSES}; i++)
        if (logits[i] > logits[digit])
            digit = i;
    return digit;
}}
"""


def _describe(stage: Stage) -> str:
    words = []
    if stage.convolution:
        _, _, height, width = stage.convolution.weights.shape
        words += [f"convolution {height}x{width}", *(["ReLU"] if stage.convolution.relu else [])]
    if stage.pool:
        words.append(f"{'max' if isinstance(stage.pool, MaxPool) else 'average'} pool {stage.pool.side}")
    if stage.affine:
        words += ["scale and offset", *(["ReLU"] if stage.affine.relu else [])]
    words += ["plus input"] if stage.skip else []
    shapes = ("x".join(map(str, (height, width, channels))) for channels, height, width in (stage.input, stage.output))
    return f"{', '.join(words)}: {' -> '.join(shapes)}"


def _table(kind: str, name: str, values: NDArray[np.generic]) -> str:
    sizes = "".join(f"[{size}]" for size in values.shape)
    return f"static const {kind} {name}{sizes} = {braces(values)};\n"


def braces(values: NDArray[np.generic]) -> str:
    """Write an array as C initialises one."""
    if values.ndim > 1:
        return "{\n" + ",\n".join(map(braces, values)) + "}"
    return "{" + "\n".join(wrap(", ".join(map(_literal, values)), 118)) + "}"


def _literal(value: float | np.generic) -> str:
    if isinstance(value, np.int64):
        return f"{value}LL"
    return str(value) if isinstance(value, np.integer) else f"{np.float32(value)}f"

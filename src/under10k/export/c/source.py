"""The C source of a network: one function a stage, one buffer, and every size a constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from textwrap import indent, wrap

import numpy as np
from numpy.typing import NDArray

from under10k.data import CLASSES, SIDE
from under10k.export.c.arithmetic import Arithmetic, Float, Int8, S, is_depthwise, literal
from under10k.export.c.layout import Maps, lay_out
from under10k.export.int8 import IntegerNetwork
from under10k.export.plain import INPUT, AveragePool, MaxPool
from under10k.export.stages import Network, Stage
from under10k.models import SHIFTS


@dataclass(frozen=True)
class Source:
    """The C code of a network, and what it takes."""

    code: str
    """Tables, buffers and functions."""
    logit: str
    """Type of a logit."""
    weight_bytes: int
    """The factors of convolutions."""
    other_bytes: int
    """The other constants: biases, scales."""
    ram_bytes: int
    """The buffer; the stack takes a few hundred bytes more."""


def write_float(network: Network, name: str) -> Source:
    """Write a network in float as a function `NAME_predict`."""
    pixel = f"(float){_pixel(name, network.views)} * {literal(network.scale)} + {literal(network.offset)}"
    source = _write(Float(name), network.stages, pixel, network.views)
    return replace(source, code=_WIDEST + source.code)


def write_int8(network: IntegerNetwork, name: str) -> Source:
    """Write a quantised network in integers as a function `NAME_predict`."""
    return _write(Int8(name), network.stages, _pixel(name, network.views), network.views)


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


def _pixel(name: str, views: int) -> str:
    """Return the pixel at (y, x), of a view that is shifted if there are several, as C."""
    return f"pixel_{name}(pixels, y - down, x - right)" if views > 1 else _PIXEL


def _write(kind: Arithmetic[S], stages: Sequence[S], pixel: str, views: int) -> Source:
    shapes = [INPUT, *(stage.output for stage in stages)]
    borders = [*(stage.padding for stage in stages), 0]
    maps = [Maps(shape, border) for shape, border in zip(shapes, borders, strict=True)]
    converts = pixel != _PIXEL or maps[0].border > 0  # else the first stage reads the pixels themselves
    first = 0 if converts else 1
    distances = [kind.distance(stage, *pair) for stage, pair in zip(stages, pairwise(maps), strict=True)]
    starts, room = lay_out([one.size for one in maps[first:-1]], distances[first:-1])
    tables = [table for stage in stages for table in kind.tables(stage)]
    code = [_table(*table) for table in tables]
    code += [f"static {kind.value} maps_{kind.name}[{room}];\n"] if room else []
    code += [_load(kind, maps[0], kind.border(stages[0]), pixel, views)] if converts else []
    around = [*(kind.border(stage) for stage in stages[1:]), ""]
    code += [
        _stage(kind, stage, *pair, border) for stage, pair, border in zip(stages, pairwise(maps), around, strict=True)
    ]
    code.append(_predict(kind, stages, starts, converts, views))
    weights = sum(values.nbytes for _, table, values in tables if table.startswith("weights"))
    others = sum(values.nbytes for _, _, values in tables) - weights
    return Source(
        code=_MACROS + "\n".join(code),
        logit=kind.result(stages[-1]),
        weight_bytes=weights,
        other_bytes=others,
        ram_bytes=room * (4 if kind.value == "float" else 1),
    )


def _load(kind: Arithmetic[S], maps: Maps, border: str, pixel: str, views: int) -> str:
    shift = ", int down, int right" if views > 1 else ""
    shifted = f"""\
static uint8_t pixel_{kind.name}(const uint8_t *pixels, int y, int x)
{{
    return y >= 0 && y < {SIDE} && x >= 0 && x < {SIDE} ? {_PIXEL} : 0;
}}

"""
    return f"""\
{shifted if views > 1 else ""}\
static void load_{kind.name}(const uint8_t *pixels, {kind.value} *out{shift})
{{
    for (int y = 0; y < {SIDE}; y++)
        for (int x = 0; x < {SIDE}; x++)
            out[{maps.at("y", "x")}] = {pixel};
{indent(maps.frame(border), "    ")}}}
"""


def _stage(kind: Arithmetic[S], stage: S, before: Maps, after: Maps, border: str) -> str:
    """Write the functions of a stage; `border` is the value around the maps it makes."""
    skipped = f", const {kind.value} *in" if stage.skip else ""
    code = _sums(kind, stage, before, after) if stage.convolution else _join(kind, stage)
    if kind.finish(stage):
        code += f"""
static {kind.result(stage)} finish_{kind.label(stage)}({kind.total} value, int o{skipped})
{{
{"" if "o]" in kind.finish(stage) else "    (void)o;" + chr(10)}\
{indent(kind.finish(stage), "    ")}
}}
"""
    body = _pooled(kind, stage, before, after) if stage.pool else _plain(kind, stage, before, after)
    return f"""{code}
/* {_describe(stage)} */
static void stage_{kind.label(stage)}(const {kind.value} *{kind.apart}in, {kind.result(stage)} *{kind.apart}out)
{{
{indent(body + after.frame(border), "    ")}}}
"""


def _sums(kind: Arithmetic[S], stage: S, before: Maps, after: Maps) -> str:
    """Write the function that computes neighbouring sums: stored one after the other, or joined in one pool."""
    convolution, lanes, (rows, columns) = stage.convolution, kind.lanes(stage), kind.abreast(stage)
    assert convolution is not None
    _, inputs, height, width = convolution.weights.shape
    block = [(y, x) for y in range(rows) for x in range(columns)]
    starts = [y * before.row + x * inputs for y, x in block]
    each = range(len(block))
    clear = " = ".join(f"sum_{n}[o]" for n in each)
    label, total = kind.label(stage), kind.total
    places = [f"{kind.cast}in[y * {before.row} + i + {start}]" for start in starts]
    if is_depthwise(stage):  # output o depends on input o alone
        count, factors = width, [at.replace("+ i", f"+ i * {inputs} + o") for at in places]
    else:
        count, factors = width * inputs, [f"at_{n}" for n in each]
    load = "" if is_depthwise(stage) else "".join(f"const {total} at_{n} = {at};\n" for n, at in enumerate(places))
    add = "\n".join(f"sum_{n}[o] += {factor} * weights_{label}[y][i][o];" for n, factor in enumerate(factors))
    targets = [y * after.row + x * after.shape[0] for y, x in block]
    store = "\n".join(_store(kind, stage, f"sum_{n}[o]", target) for n, target in enumerate(targets))
    return f"""\
{kind.widest}static void sums_{label}(const {kind.value} *UNDER10K_RESTRICT in, {total} *UNDER10K_RESTRICT sums)
{{
    {total} {", ".join(f"sum_{n}[{lanes}]" for n in each)};
    UNDER10K_AS_IT_IS for (int o = 0; o < {lanes}; o++)
        {clear} = bias_{label}[o];
    for (int y = 0; y < {height}; y++)
        for (int i = 0; i < {count}; i++) {{
{indent(load, " " * 12)}\
            UNDER10K_AS_IT_IS for (int o = 0; o < {lanes}; o++) {{
{indent(add, " " * 16)}
            }}
        }}
    UNDER10K_AS_IT_IS for (int o = 0; o < {stage.output[0]}; o++) {{
{indent(store, " " * 8)}
    }}
}}
"""


def _join(kind: Arithmetic[S], stage: S) -> str:
    """Write the function that joins one position in a pool that has no convolution before it."""
    return f"""\
static void sums_{kind.label(stage)}(const {kind.value} *UNDER10K_RESTRICT in, {kind.total} *UNDER10K_RESTRICT sums)
{{
    UNDER10K_AS_IT_IS for (int o = 0; o < {stage.output[0]}; o++)
        {_store(kind, stage, "in[o]", 0)}
}}
"""


def _store(kind: Arithmetic[S], stage: S, value: str, target: int) -> str:
    """Return the statement that puts the value of channel `o` in its place, or joins it with others in a pool."""
    if isinstance(stage.pool, MaxPool):  # a ReLU is in the 0 that the largest is begun with
        return f"sums[o] = {value} > sums[o] ? {value} : sums[o];"
    if stage.convolution and stage.convolution.relu:
        value = f"({value} > 0 ? {value} : 0)"
    if isinstance(stage.pool, AveragePool):
        return f"sums[o] += {value};"
    return f"sums[{target} + o] = {value};"


def _plain(kind: Arithmetic[S], stage: S, before: Maps, after: Maps) -> str:
    """Write the loops of a convolution without a pool."""
    convolution, (outputs, height, width) = stage.convolution, stage.output
    assert convolution is not None
    inputs, (rows, columns) = before.shape[0], kind.abreast(stage)
    middle = convolution.weights.shape[-1] // 2 * (before.row + inputs)
    skipped = f", in + y * {before.row} + (x + n) * {inputs} + {middle}" if stage.skip else ""
    finish = f"""\
for (int n = 0; n < {columns}; n++)
    for (int o = 0; o < {outputs}; o++)
        out[{after.at("y", "(x + n)")} + o] = finish_{kind.label(stage)}(sums[n * {outputs} + o], o{skipped});
"""
    return f"""\
for (int y = 0; y < {height}; y += {rows})
    for (int x = 0; x < {width}; x += {columns}) {{
        {_place(kind, stage, after, columns * outputs)}
        sums_{kind.label(stage)}(in + y * {before.row} + x * {inputs}, sums);
{indent(finish if kind.finish(stage) else "", " " * 8)}\
    }}
"""


def _pooled(kind: Arithmetic[S], stage: S, before: Maps, after: Maps) -> str:
    """Write the loops of a pool, and of the convolution before it if there is one."""
    outputs, height, width = stage.output
    assert stage.pool is not None
    side, (rows, columns) = stage.pool.side, kind.abreast(stage)
    relu = stage.convolution is not None and stage.convolution.relu
    start = kind.lowest if isinstance(stage.pool, MaxPool) and not relu else "0"
    window = f"in + (y * {side} + v) * {before.row} + (x * {side} + u) * {before.shape[0]}"
    finish = f"""\
for (int o = 0; o < {outputs}; o++)
    out[{after.at("y", "x")} + o] = finish_{kind.label(stage)}(sums[o], o);
"""
    return f"""\
for (int y = 0; y < {height}; y++)
    for (int x = 0; x < {width}; x++) {{
        {_place(kind, stage, after, outputs)}
        for (int o = 0; o < {outputs}; o++)
            sums[o] = {start};
        for (int v = 0; v < {side}; v += {rows})
            for (int u = 0; u < {side}; u += {columns})
                sums_{kind.label(stage)}({window}, sums);
{indent(finish if kind.finish(stage) else "", " " * 8)}\
    }}
"""


def _place(kind: Arithmetic[S], stage: S, after: Maps, count: int) -> str:
    """Declare where sums go: straight into the output if nothing else is done with them."""
    return f"{kind.total} sums[{count}];" if kind.finish(stage) else f"{kind.total} *sums = out + {after.at('y', 'x')};"


def _predict(kind: Arithmetic[S], stages: Sequence[S], starts: Sequence[int], converts: bool, views: int) -> str:
    buffers = [f"maps_{kind.name} + {start}" if start else f"maps_{kind.name}" for start in starts]
    places = ["pixels", *buffers, "logits" if views == 1 else "view"]
    steps = [*([f"load_{kind.name}"] if converts else []), *(f"stage_{kind.label(stage)}" for stage in stages)]
    calls = [f"{step}({before}, {after});" for step, (before, after) in zip(steps, pairwise(places), strict=True)]
    logit = kind.result(stages[-1])
    return f"""\
int {kind.name}_predict(const uint8_t pixels[{SIDE * SIDE}], {logit} logits[{CLASSES}])
{{
{indent(chr(10).join(calls) if views == 1 else _look_again(calls, logit), "    ")}
    int digit = 0;
    for (int i = 1; i < {CLASSES}; i++)
        if (logits[i] > logits[digit])
            digit = i;
    return digit;
}}
"""


def _look_again(calls: Sequence[str], logit: str) -> str:
    """Write a loop that makes the calls for each view: float logits are averaged, integers added up."""
    first, *others = calls
    run = "\n".join([first.replace(");", ", shifts[n][0], shifts[n][1]);"), *others])
    return f"""\
static const signed char shifts[{len(SHIFTS)}][2] = {{{", ".join(f"{{{down}, {right}}}" for down, right in SHIFTS)}}};
for (int i = 0; i < {CLASSES}; i++)
    logits[i] = 0;
for (int n = 0; n < {len(SHIFTS)}; n++) {{
    {logit} view[{CLASSES}];
{indent(run, "    ")}
    for (int i = 0; i < {CLASSES}; i++)
        logits[i] += view[i]{f" / {len(SHIFTS)}" if logit == "float" else ""};
}}"""


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
    """Write an array as an initialiser in C."""
    if values.ndim > 1:
        return "{\n" + ",\n".join(map(braces, values)) + "}"
    return "{" + "\n".join(wrap(", ".join(map(literal, values)), 118)) + "}"

"""What people who design small networks look for in one, a sentence each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from under10k.models.layers import NORMS, UNUSED, Layer, is_of_whole_maps, side_of
from under10k.models.tracing import DROPOUTS, Call, Trace

DIGIT_PIXELS = 20
"""Side of the box that MNIST's digits are scaled to."""


MUCH_DROPOUT = 0.1
"""From this rate on, dropout is much for a network of ten thousand parameters."""


_WEIGHTED = frozenset(("conv2d", "linear"))


_RESHAPING = frozenset(("flatten", "view", "reshape", "squeeze", "contiguous"))


_ENDS = {
    "log_softmax": "log_softmax at the end changes nothing: the loss applies it again",
    "softmax": "softmax at the end harms: the loss takes logits, and learns slowly from probabilities. leave it out",
    **{
        name: f"{name} at the end bends the logits, which the loss takes as they are. leave it out"
        for name in ("relu", "sigmoid", "tanh", "leaky_relu", "hardtanh")
    },
}


@dataclass(frozen=True)
class Remark:
    """What a network has, in a few words, and what to think of it, if anything."""

    found: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.found}: {self.advice}" if self.advice else self.found


@dataclass(frozen=True)
class Traits:
    """Which of the usual parts a network has, and what is unusual about it."""

    norm: Remark
    """What normalises where."""
    dropout: Remark
    pooling: Remark
    oddities: tuple[str, ...]
    """A sentence each on what costs accuracy, or parameters that do nothing."""

    @property
    def remarks(self) -> list[str]:
        """All of it, a sentence each."""
        return [*map(str, (self.norm, self.dropout, self.pooling)), *self.oddities]


def find_traits(traced: Trace, layers: Sequence[Layer]) -> Traits:
    """Look through a network's calls and rows."""
    graph = _Graph(traced)
    oddities = (*_pools_near_the_end(graph), *_small_field(layers), *_idle_biases(graph), *_end(graph), *_waste(layers))
    return Traits(_norms(graph), _dropout(traced), _pooling(layers), oddities)


class _Graph:
    """Which calls take what another returned, and which is the last of all."""

    def __init__(self, traced: Trace) -> None:
        parents, self.last = traced.follow()
        self.calls = traced.calls
        self.after: list[list[int]] = [[] for _ in parents]
        for number, taken in enumerate(parents):
            for one in set(taken) - {-1}:  # not of the images
                self.after[one].append(number)

    def next_of(self, number: int, names: frozenset[str]) -> set[str]:
        """Return the names of the first calls after one that are among `names`, on all ways; empty at the end."""
        found: set[str] = set()
        ways = list(self.after[number])
        while ways:
            one = ways.pop()
            if self.calls[one].name in names:
                found.add(self.calls[one].name)
            else:
                ways += self.after[one]
        return found

    def weighted(self) -> list[int]:
        return [number for number, call in enumerate(self.calls) if call.name in _WEIGHTED]


def _norms(graph: _Graph) -> Remark:
    convolutions = [number for number in graph.weighted() if graph.calls[number].name == "conv2d"]
    inner = [number for number in convolutions if graph.next_of(number, _WEIGHTED | NORMS)]  # the last gives logits
    kinds = sorted({call.name.replace("_", " ") for call in graph.calls if call.name in NORMS})
    if not kinds:
        return Remark(
            "no batch norm", "nn.BatchNorm2d(channels) after each convolution but the last makes training faster"
        )
    bare = [_label(graph.calls[number]) for number in inner if not graph.next_of(number, _WEIGHTED | NORMS) & NORMS]
    if bare:
        return Remark(f"no {kinds[0]} after {_listed(bare)}")
    every = "each convolution" if len(inner) == len(convolutions) else "each convolution but the last"
    return Remark(f"{_listed(kinds)} after {every}" if convolutions else f"{_listed(kinds)} is there")


def _dropout(traced: Trace) -> Remark:
    rates = [float(call.arguments.get("p", 0.5)) for call in traced.calls if call.name in DROPOUTS]
    rate = max(rates, default=0.0)
    if not rate:
        return Remark("no dropout", "our best recipes for networks this small have none either")
    much = "much for so small a network; our best recipes have none"
    return Remark(f"dropout of {rate:g}", much if rate >= MUCH_DROPOUT else "")


def _pooling(layers: Sequence[Layer]) -> Remark:
    names = [layer.name for layer in layers if "pool" in layer.name]
    counted = [f"{names.count(name)} {name}{'s' * (names.count(name) > 1)}" for name in dict.fromkeys(names)]
    return Remark(_listed(counted)) if counted else Remark("no pool", "strides, or large maps to the end")


def _pools_near_the_end(graph: _Graph) -> Iterator[str]:
    weighted = graph.weighted()
    for number, call in enumerate(graph.calls):
        small = call.name in ("max_pool2d", "avg_pool2d") and not is_of_whole_maps(call, call.inputs[0])
        if small and call.output.shape[-1] > 1 and sum(later > number for later in weighted) == 1:
            side = side_of(call.arguments["kernel_size"])
            yield (
                f"a pool of {side}x{side} right before the last layer, {_label(graph.calls[weighted[-1]])}: "
                "it loses where things are; put it earlier"
            )


def _small_field(layers: Sequence[Layer]) -> Iterator[str]:
    """Say so where values that are averaged over whole maps have seen less than a digit."""
    for before, layer in itertools.pairwise(layers):
        if len(layer.input) == 3 and layer.input[-1] > 1 and ("global" in layer.name or layer.output[1:] == (1, 1)):
            if "pool" in layer.name and 0 < before.receptive_field < DIGIT_PIXELS:
                yield (
                    f"the maps before the {layer.name} see {before.receptive_field} pixels: "
                    f"less than a digit, which has {DIGIT_PIXELS}"
                )
            return


def _idle_biases(graph: _Graph) -> Iterator[str]:
    idle = [
        call
        for number, call in enumerate(graph.calls)
        if call.name in _WEIGHTED and call.arguments.get("bias") is not None
        if graph.after[number] and _is_normalised(graph, number)
    ]
    if idle:
        count = sum(call.arguments["bias"].numel() for call in {id(call.module): call for call in idle}.values())
        names = _listed(list(dict.fromkeys(map(_label, idle))))
        yield f"biases that do nothing, {count} parameters: of {names}; batch norm subtracts them. give bias=False"


def _is_normalised(graph: _Graph, number: int) -> bool:
    """Tell whether nothing but batch norm takes what a call returns, or the largest of it."""
    after = graph.after[number]
    return bool(after) and all(
        graph.calls[one].name == "batch_norm"
        or (graph.calls[one].name in ("max_pool2d", "avg_pool2d") and _is_normalised(graph, one))
        for one in after
    )


def _end(graph: _Graph) -> Iterator[str]:
    calls = graph.calls[: (graph.last if graph.last is not None else -1) + 1]
    last = next((call for call in reversed(calls) if call.name not in _RESHAPING), None)
    if last and last.name in _ENDS:
        yield _ENDS[last.name]


def _waste(layers: Sequence[Layer]) -> Iterator[str]:
    unused = [layer for layer in layers if layer.name.startswith(UNUSED)]
    if unused:
        names = _listed([layer.name.removeprefix(UNUSED) for layer in unused])
        yield f"made and never used, {sum(one.parameters for one in unused):,} parameters: {names}. remove it"
    total = sum(layer.parameters for layer in layers)
    for before, layer in itertools.pairwise(layers):
        if layer.name == "fully connected" and len(before.output) == 3 and 2 * layer.weights > total:
            yield (
                f"the fully connected layer has {layer.weights:,} of {total:,} parameters: "
                "a global average pool in its place has none"
            )


def _label(call: Call) -> str:
    if call.part:
        return call.part
    outputs, inputs = call.arguments["weight"].shape[:2]
    return f"{call.name} {inputs} to {outputs}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"

"""CUDA graphs: a step's forward and backward as one launch, where Python would launch a hundred kernels one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

Work = Callable[..., tuple[Tensor, ...]]

REHEARSALS = 3
"""How often work is rehearsed, so that all libraries have set themselves up and everything cached is there."""

_one_at_a_time = threading.Lock()


class Recording:
    """Work on a GPU that is recorded once, then replayed on other inputs of the same shapes.

    Each replay draws new random numbers, as its generators then stand.
    """

    def __init__(
        self, work: Work, *inputs: Tensor, rehearse: Work | None = None, generators: Sequence[Generator] = ()
    ) -> None:
        """Record `work` without doing it; nothing in it may wait for the GPU.

        `rehearse` is the same work on things that may change; without it, `work` has been done once before.
        """
        self._inputs = [tensor.clone() for tensor in inputs]
        self._graph = torch.cuda.CUDAGraph()
        with _one_at_a_time:
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(REHEARSALS if rehearse else 0):
                    rehearse(*self._inputs)  # type: ignore[misc]
            torch.cuda.current_stream().wait_stream(stream)
            for generator in generators:
                self._graph.register_generator_state(generator)
            # other threads may use the GPU meanwhile
            with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
                self._results = work(*self._inputs)

    def replay(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Do the work on inputs; the next replay overwrites what this one returns."""
        for mine, given in zip(self._inputs, inputs, strict=True):
            mine.copy_(given)
        self._graph.replay()
        return self._results

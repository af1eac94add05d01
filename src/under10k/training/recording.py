"""CUDA graphs: a step's forward and backward as one launch, where Python would launch a hundred kernels one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

Work = Callable[[Tensor], tuple[Tensor, ...]]

REHEARSALS = 3
"""How often work is done before it is recorded, so that all libraries have set themselves up and all is cached."""

_one_at_a_time = threading.Lock()


class Recording:
    """Work on a GPU that was recorded once, and is replayed on other images of the same number.

    Each replay draws new random numbers, as its generators then stand.
    """

    def __init__(self, work: Work, rehearse: Work, batch: Tensor, generators: Sequence[Generator]) -> None:
        """Record `work` on a batch of indices without doing it. Nothing in it may wait for the GPU.

        `rehearse` is the same work on things that may change.
        """
        self._batch = batch.clone()
        self._graph = torch.cuda.CUDAGraph()
        with _one_at_a_time:
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(REHEARSALS):
                    rehearse(self._batch)
            torch.cuda.current_stream().wait_stream(stream)
            for generator in generators:
                self._graph.register_generator_state(generator)
            # other threads may use the GPU meanwhile
            with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
                self._results = work(self._batch)

    def replay(self, batch: Tensor) -> tuple[Tensor, ...]:
        """Do the work on a batch; the next replay overwrites what this one returns."""
        self._batch.copy_(batch)
        self._graph.replay()
        return self._results

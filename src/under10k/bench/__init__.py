"""Timings of training and of reading digits, as ratios to the plain way in the same run."""

from under10k.bench.inference import bench_inference
from under10k.bench.training import bench_training

__all__ = [
    "bench_inference",
    "bench_training",
]

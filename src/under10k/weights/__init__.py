"""Weights in sealed files, and the bundled ones with their cards."""

from under10k.weights.bundled import TEACHERS, Facts, Options, find_weights, is_bundled, list_weights
from under10k.weights.sealed import hash_file, load_plain_tensors, load_tensors, restore, save_tensors, save_weights

__all__ = [
    "TEACHERS",
    "Facts",
    "Options",
    "find_weights",
    "hash_file",
    "is_bundled",
    "list_weights",
    "load_plain_tensors",
    "load_tensors",
    "restore",
    "save_tensors",
    "save_weights",
]

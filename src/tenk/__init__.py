"""Handwritten digits, read by neural networks of under ten thousand parameters."""

__version__ = "0.1.0"

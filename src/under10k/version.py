"""The version, which records of runs and studies hold."""

__version__ = "0.4.0.dev0"

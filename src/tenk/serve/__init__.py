"""Serves the page to draw a digit on, and an API beside it."""

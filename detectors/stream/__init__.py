"""Metrics of how events came, from the stream cells of a window: one function a file."""

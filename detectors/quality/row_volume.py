"""How much traffic there is."""

from __future__ import annotations


def row_volume(rows: float, reference_rows: float) -> float:
    """Rows of the window over the mean rows of a reference window; 1 is the usual traffic, nan without a reference.

    >>> row_volume(500, 1000)
    0.5
    """
    return rows / reference_rows if reference_rows > 0 else float("nan")

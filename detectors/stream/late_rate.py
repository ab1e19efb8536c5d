"""Share of late events."""

from __future__ import annotations

from detectors.arrivals import StreamCounts


def late_rate(window: StreamCounts, reference: StreamCounts) -> float:
    """Share of events of the window's time that came too late to be counted in it, 0 to 1; nan without events.

    Ignores the reference. Late events are those before the greatest earlier event time of their partition less
    `out_of_orderness` and `allowed_lateness`.

    >>> late_rate(StreamCounts(rows=30, late=10), StreamCounts(rows=0))
    0.25
    """
    events = window.rows + window.late
    return window.late / events if events else float("nan")

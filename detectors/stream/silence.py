"""How long a source partition has been silent."""

from __future__ import annotations

from detectors.arrivals import StreamCounts


def silence(window: StreamCounts, reference: StreamCounts) -> float:
    """Seconds of event time from the last event of the most silent source partition to the window's end, from 0 up.

    nan where that is not known: in a reference, or before a partition's first event. Ignores the reference. As of when
    the window was closed, so a replay of a file, which is one partition, says less.

    >>> silence(StreamCounts(rows=4, silence=90.0), StreamCounts(rows=0))
    90.0
    """
    return window.silence

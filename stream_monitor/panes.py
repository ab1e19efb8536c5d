"""Columns -> counts: the events of one block, grouped by (version, segment, pane).

Everything here is a pure function of the block's events, its layout and the configuration, and any cut of the events
into blocks adds up to the same counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.layouts import Layout
from stream_monitor.batches import Batch
from stream_monitor.config import Model, Time
from stream_monitor.entries import PaneRecord
from stream_monitor.interfaces import Joined


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCounts:
    """What a block adds. Late events are in `late` and in records of their own with rows 0 and late > 0."""

    panes: list[PaneRecord]  # sorted by (version, segment, start_ms), the late ones last
    max_time_ms: int | None  # greatest event time of the source so far, None before its first event
    rows: int  # events counted
    late: int


def late_bounds(times_ms: NDArray[np.int64], max_time_ms: int | None, time: Time) -> NDArray[np.int64]:
    """Per event, in offset order, the time below which it is late; `max_time_ms` is the greatest time before them."""
    raise NotImplementedError


def count_block(
    batch: Batch, layout: Layout | None, name: str, model: Model, time: Time, max_time_ms: int | None
) -> BlockCounts:
    """Counts of the valid events of one block of one source, in offset order; `layout` None is the raw layout."""
    raise NotImplementedError


def segments_of(batch: Batch, layout: Layout | None, model: Model) -> list[tuple[str, ...]]:
    """Per event its segments, "all" not among them: what a later label is counted under."""
    raise NotImplementedError


def count_joined(
    joined: Sequence[Joined],
    offsets: Sequence[int],
    layout: Layout | None,
    name: str,
    model: Model,
    late: Sequence[bool] | None = None,
) -> list[PaneRecord]:
    """Outcome counts of labels with their predictions: in the pane of the label's time, rows 0.

    `offsets` are those of the events that completed the pairs, in their own source. A pair marked late is counted
    late only.
    """
    raise NotImplementedError


def raw_pane_ms(model: Model) -> int:
    """The pane of the raw layout: a function of the configuration alone."""
    raise NotImplementedError


def choose_pane(model: Model, times_ms: NDArray[np.int64]) -> int:
    """The pane for a reference with these event times."""
    raise NotImplementedError

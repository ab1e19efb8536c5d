"""Windows: sums of units of event time over [start, end), and which of them an event belongs to.

    size 20, slide 10      0    10    20    30
                           [---------)              window 0
                                [---------)         window 10
                      units |  0  | 10  | 20  |     the greatest time that divides size and slide

A window over counts of different layouts, or of the raw one, carries its rows and labels but no column counts: the
cells of one layout mean nothing in another. What labels say of the errors is counted alike in all layouts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.arrivals import StreamCounts, feature_rows, stream_counts
from detectors.counts import ColumnCounts, Counts, OutcomeCounts, columns, merge, outcome
from detectors.layouts import FEATURE_ROWS, LABEL_CELLS, LABELS, RAW_ID, Layout, NumericLayout
from stream_monitor.config import Model
from stream_monitor.moments import rfc3339
from stream_monitor.state.memories import Key, KeyState, Pane, VersionState

ByLayout = Mapping[str, Counts]

QUIET: Final = 100  # empty windows in a row after which a key sleeps
LEVELS: Final = 40  # of partial sums; a window of 2**40 units is not one


def unit_ms(model: Model) -> int:
    """Length of the units that a model's windows are sums of; 0 for windows by rows, whose units are the panes.

    >>> from stream_monitor.config import WindowSpec
    >>> unit_ms(Model(topic=("t",), window=WindowSpec(size=3_600_000, slide=1_500_000)))
    300000
    """
    return 0 if model.window.rows else math.gcd(model.window.size, model.slide_ms)


def first_start(unit_start_ms: int, size_ms: int, slide_ms: int) -> int:
    """Start of the first window that holds the unit.

    >>> first_start(20, 20, 10), first_start(20, 10, 10)
    (10, 20)
    """
    return (unit_start_ms - size_ms) // slide_ms * slide_ms + slide_ms


def starts_of(unit_start_ms: int, size_ms: int, slide_ms: int) -> range:
    """Starts of all windows that hold the unit.

    >>> list(starts_of(20, 20, 10))
    [10, 20]
    """
    return range(first_start(unit_start_ms, size_ms, slide_ms), unit_start_ms + 1, slide_ms)


def next_start(own: KeyState, panes: Iterable[int], model: Model, *, retired: bool) -> int | None:
    """Start of the window that a key with closed windows closes next; None while it sleeps.

    A key sleeps, that is, closes no more empty windows, after QUIET of them in a row, or `retire_after` when its
    version is `retired`: a newer one has events. Its next event (`panes` are starts of units) wakes it. So a gap of
    fifty years costs QUIET windows.
    """
    assert own.closed_ms is not None
    slide = model.slide_ms
    following = own.closed_ms + slide
    if own.empties < (min(QUIET, model.alerts.retire_after) if retired else QUIET):
        return following
    later = [u for u in panes if u // slide * slide >= following]
    return max(following, first_start(min(later), model.window.size, slide)) if later else None


def is_retired(versions: Mapping[str, VersionState], version: str, at_ms: int) -> bool:
    """Whether a newer version had events before `at_ms`."""
    mine = versions.get(version)
    return mine is not None and any(mine.first_ms < v.first_ms < at_ms for v in versions.values())


def add_up(parts: Iterable[ByLayout]) -> dict[str, Counts]:
    """The sum of counts, by layout."""
    gathered: dict[str, list[Counts]] = {}
    for part in parts:
        for layout, counts in part.items():
            gathered.setdefault(layout, []).append(counts)
    return {layout: merge(gathered[layout]) for layout in sorted(gathered)}


class Sums:
    """Sums of runs of units of one key, each sum found from O(log n) kept partial sums.

    Node i of level k is the sum of units [i 2**k, (i + 1) 2**k). Why not subtract the unit that leaves: the least and
    greatest values cannot be subtracted.
    """

    def __init__(self, panes: Mapping[int, Pane], unit_ms: int) -> None:
        self._panes, self._unit_ms = panes, unit_ms
        self._nodes: dict[tuple[int, int], ByLayout] = {}

    def changed(self, unit_start_ms: int) -> None:
        """Forget the sums that hold this unit."""
        i = unit_start_ms // self._unit_ms
        for level in range(1, LEVELS):
            self._nodes.pop((level, i >> level), None)

    def total(self, start_ms: int, end_ms: int) -> dict[str, Counts]:
        """The sum of all units in [start, end)."""
        i, stop, level = start_ms // self._unit_ms, end_ms // self._unit_ms, 0
        parts = []
        while i < stop:
            if i & 1:
                parts.append(self._node(level, i))
                i += 1
            if stop & 1:
                stop -= 1
                parts.append(self._node(level, stop))
            i, stop, level = i >> 1, stop >> 1, level + 1
        return add_up(parts)

    def _node(self, level: int, i: int) -> ByLayout:
        if level == 0:
            pane = self._panes.get(i * self._unit_ms)
            return {} if pane is None else pane.counts()
        known = self._nodes.get((level, i))
        if known is None:
            known = add_up((self._node(level - 1, 2 * i), self._node(level - 1, 2 * i + 1)))
            self._nodes[level, i] = known
        return known


@dataclass(frozen=True, kw_only=True)
class Window:
    """Counts of one key over [start_ms, end_ms)."""

    key: Key
    start_ms: int
    end_ms: int
    revision: int
    late_rows: int
    counts: ByLayout
    layout: Layout | None  # of its column counts; None: it has none

    @cached_property
    def rows(self) -> int:
        return sum(c.rows for c in self.counts.values())

    @cached_property
    def outcome(self) -> OutcomeCounts:
        """What labels say, over all layouts."""
        cells: NDArray[np.int64] = np.zeros(LABEL_CELLS, np.int64)
        for counts in self.counts.values():
            cells += outcome(counts).cells
        return OutcomeCounts(rows=self.rows, cells=cells)

    @property
    def labels(self) -> int:
        return int(self.outcome.cells[LABELS])

    @property
    def feature_rows(self) -> int:
        """Events of the feature stream, where features come in one of their own: the rows of their columns."""
        return self.stream.count(FEATURE_ROWS)

    @cached_property
    def stream(self) -> StreamCounts:
        """How its events came, over all layouts."""
        return stream_counts(self.counts.values(), late=self.late_rows, seconds=(self.end_ms - self.start_ms) / 1000)

    @cached_property
    def columns(self) -> dict[tuple[str, str], ColumnCounts]:
        """Column counts by (place, name); {} without a layout."""
        if self.layout is None:
            return {}
        return columns(self.counts[self.layout.id], self.layout)

    @cached_property
    def start(self) -> str:
        """In RFC 3339."""
        return rfc3339(self.start_ms)

    @cached_property
    def end(self) -> str:
        """In RFC 3339."""
        return rfc3339(self.end_ms)

    @cached_property
    def name(self) -> str:
        """Where it stands among the model's windows, whatever its revision."""
        return f"{self.start}|{self.key[1]}|{self.key[2]}"

    def body(self) -> dict[str, Any]:
        """The public shape."""
        model, version, segment = self.key
        served: dict[str, dict[str, Any]] = {"features": {}, "predictions": {}}
        for (place, name), counts in self.columns.items():
            assert self.layout is not None
            served[place][name] = _served(counts, self.layout.id)
        return {
            "model": model,
            "version": version,
            "segment": segment,
            "start": self.start,
            "end": self.end,
            "revision": self.revision,
            "rows": self.rows,
            "late_rows": self.late_rows,
            "labels": self.labels,
            "feature_rows": self.feature_rows,
            "columns": served["features"],
            "predictions": served["predictions"],
        }


def layout_of(counts: ByLayout) -> str:
    """Id of the one layout that all rows were counted under, or ""; counts of labels alone need none."""
    used = [layout for layout, c in counts.items() if c.rows or feature_rows(c)]
    return used[0] if len(used) == 1 and used[0] != RAW_ID else ""


def _served(counts: ColumnCounts, layout: str) -> dict[str, Any]:
    numeric = isinstance(counts.layout, NumericLayout)
    valid = int(counts.counts.sum())
    some = numeric and valid > 0
    kind: dict[str, Any] = (
        {"edges": list(counts.layout.edges)}
        if isinstance(counts.layout, NumericLayout)
        else {"categories": list(counts.layout.categories)}
    )
    return {
        "type": counts.layout.kind,
        "layout": layout,
        **kind,
        "counts": counts.counts.tolist(),
        "missing": counts.missing,
        "invalid": counts.invalid,
        "other": int(counts.other.sum()),
        "sum": _finite(counts.sum) if some else None,
        "mean": _finite(counts.sum / valid) if some else None,
        "min": counts.low if some else None,
        "max": counts.high if some else None,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

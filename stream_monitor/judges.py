"""What a reference says of one segment: its totals, and the thresholds that its own windows give.

    reference panes   | | | | | | | | | | | | | |
    cut as windows    [      )[      )[      )     as long as those that are judged, not overlapping

A reference that holds fewer than LEAST of such windows is cut into shorter ones (by rows) instead: they vary more, so
thresholds learnt from them are wider, which is on the safe side. Everything here follows from the reference, the layout
and the configuration; it is kept in memory and found again after a restart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Final

from detectors import Baseline, baseline
from detectors.arrivals import StreamCounts, stream_counts
from detectors.counts import ColumnCounts, Counts, OutcomeCounts, columns, merge, outcome
from detectors.layouts import Layout
from stream_monitor.config import Model
from stream_monitor.monitors import Monitor, monitors_of
from stream_monitor.references import Reference
from stream_monitor.trailing import touched

LEAST: Final = 8  # windows of the reference from which their spread is learnt
SHORTER: Final = 20  # windows that a short reference is cut into
UNTIMED_WINDOWS: Final = 1000.0  # windows between false alarms, where neither windows nor reference tell of time

Place = tuple[str, str]  # ("features" or "predictions", name)


class Judge:
    """One segment of a reference, for one model's monitors."""

    def __init__(
        self, model: Model, reference: Reference, layout: Layout, segment: str, reference_id: str = ""
    ) -> None:
        self.model, self.reference, self.layout, self.segment = model, reference, layout, segment
        self.reference_id = reference_id
        self._panes = tuple(reference.series.get(segment, ()))
        self._whole = True  # whether the reference's windows are as long as those that are judged
        self._baselines: dict[tuple[str, Place | None], Baseline] = {}

    @property
    def empty(self) -> bool:
        """Whether the reference has no events of the segment."""
        return not self._panes

    @cached_property
    def total(self) -> Counts:
        """All of the segment's counts."""
        return merge(c for _, c in self._panes)

    @cached_property
    def columns(self) -> dict[Place, ColumnCounts]:
        """The same by column."""
        return columns(self.total, self.layout)

    @cached_property
    def outcome(self) -> OutcomeCounts:
        """What labels said in the reference."""
        return outcome(self.total)

    def baseline(self, monitor: Monitor, place: Place | None) -> Baseline:
        """The values of a monitor's metric over the reference's windows, and its thresholds."""
        known = self._baselines.get((monitor.name, place))
        if known is None:
            metric = monitor.metric
            windows: Sequence[ColumnCounts] | Sequence[OutcomeCounts] | Sequence[StreamCounts] | Sequence[float]
            if metric.needs == "window":
                windows = self._volumes
            elif metric.needs == "outcome":
                windows = [outcome(c) for c in self._windows]
            elif metric.needs == "stream":
                windows = [stream_counts([c], seconds=self._seconds) for c in self._windows]
            else:
                assert place is not None
                windows = [w[place] for w in self._columns]
            known = self._baselines[monitor.name, place] = baseline(
                metric,
                windows,
                windows_between_false_alarms=self._budget,
                share=1 / self._tests,
                min_rows=0 if metric.needs == "window" else self.model.min_rows,
            )
        return known

    @cached_property
    def stream(self) -> StreamCounts:
        """How the events of the reference came."""
        return stream_counts([self.total])

    @cached_property
    def _seconds(self) -> float:
        """Length of the windows; nan where they are of different lengths."""
        of_time = not self.model.window.rows and self.reference.ordered_by == "time"
        whole = of_time and len(self._windows) > 0 and self._whole
        return self.model.window.size / 1000 if whole else math.nan

    @cached_property
    def _columns(self) -> list[dict[Place, ColumnCounts]]:
        return [columns(c, self.layout) for c in self._windows]

    @cached_property
    def _windows(self) -> list[Counts]:
        rows, size = self.model.window.rows, self.model.window.size
        if rows:
            whole = cut_by_rows(self._panes, rows)
        elif self.reference.ordered_by == "time":
            whole = [c for c in cut_by_time(self._panes, size) if c.rows >= self.model.min_rows]
        else:
            whole = []
        self._whole = len(whole) >= LEAST
        if self._whole:
            return whole
        shorter = cut_by_rows(self._panes, max(self.model.min_rows, -(-self.total.rows // SHORTER)))
        self._whole = len(shorter) <= len(whole)
        return whole if self._whole else shorter

    @cached_property
    def _volumes(self) -> list[float]:
        """Rows of the windows that the reference covers wholly, in the segment."""
        everything = self.reference.series.get("all", ())
        if self.model.window.rows or self.reference.ordered_by != "time" or not everything:
            return []
        size = self.model.window.size
        begin, end = everything[0][0], everything[-1][0] + self.reference.pane_ms
        first, last = -(-begin // size), end // size
        volumes = [0.0] * max(0, last - first)
        for start, counts in self._panes:
            if first <= start // size < last:
                volumes[start // size - first] += counts.rows
        holes = self.reference.holes
        return [v for i, v in enumerate(volumes, first) if not touched(i * size, size, holes)]

    @cached_property
    def _budget(self) -> float:
        """Windows in which one false alarm is tolerable."""
        budget = self.model.false_alarms
        length = float(self.model.slide_ms)
        if self.model.window.rows:
            if self.reference.ordered_by != "time" or not self._windows:
                return UNTIMED_WINDOWS
            length = (self._panes[-1][0] - self._panes[0][0] + self.reference.pane_ms) / len(self._windows)
        return max(1.0, budget.per_ms / length / budget.alarms)

    @cached_property
    def _tests(self) -> int:
        """How many values share the budget: columns, metrics and segments."""
        return max(1, sum(self._tests_of(m) for m in monitors_of(self.model) if m.detector is None))

    def _tests_of(self, monitor: Monitor) -> int:
        places = self.places(monitor) if monitor.metric.needs in ("column", "scan") else [None]
        return len(places) * sum(1 for s in self.reference.series if monitor.watches(s))

    def panes_between_false_alarms(self, pane_ms: int) -> float:
        """Panes of this length in which one false alarm of all scans together is tolerable."""
        budget = self.model.false_alarms
        scans = [m for m in monitors_of(self.model) if m.detector is None and m.metric.needs == "scan"]
        share = sum(map(self._tests_of, scans)) / self._tests
        return max(1.0, budget.per_ms / pane_ms / budget.alarms / share)

    def places(self, monitor: Monitor) -> list[Place]:
        """Columns that a monitor of columns looks at."""
        return places_of(monitor, self.layout)


def places_of(monitor: Monitor, layout: Layout) -> list[Place]:
    """Columns of a layout that a monitor looks at, in the order of the layout."""
    wanted = monitor.spec.columns
    names = None if wanted == "all" else {wanted} if isinstance(wanted, str) else set(wanted)
    return [
        (place, name)
        for place, name, column in layout.columns
        if column.kind in monitor.metric.kinds
        and (names is None or name in names)
        and (not monitor.metric.only or name in monitor.metric.only)
    ]


def cut_by_time(panes: Sequence[tuple[int, Counts]], size_ms: int) -> list[Counts]:
    """Sums over [0, size), [size, 2 size), ... since 1970, those with panes, in order."""
    cut: dict[int, list[Counts]] = {}
    for start, counts in panes:
        cut.setdefault(start // size_ms, []).append(counts)
    return [merge(cut[i]) for i in sorted(cut)]


def cut_by_rows(panes: Sequence[tuple[int, Counts]], rows: int) -> list[Counts]:
    """Sums over consecutive panes of at least so many rows each; what is left at the end is left out."""
    cut, part, have = [], [], 0
    for _, counts in panes:
        part.append(counts)
        have += counts.rows
        if have >= rows:
            cut.append(merge(part))
            part, have = [], 0
    return cut

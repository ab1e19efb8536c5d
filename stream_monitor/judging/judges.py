"""What a reference says of one segment: its totals, and the thresholds that its own windows give.

    reference panes   | | | | | | | | | | | | | |
    cut as windows    [      )[      )[      )     as long as those that are judged, not overlapping

A reference that holds fewer than LEAST of such windows is cut into shorter ones (by rows) instead: they vary more, so
thresholds learnt from them are wider, which is on the safe side. Everything here follows from the reference, the layout
and the configuration; what is small is kept in memory, what is large found again when somebody asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import lcm
from typing import Any, Final, NamedTuple

import numpy as np

from detectors import DETECTORS, Baseline, baseline
from detectors.arrivals import StreamCounts, stream_counts
from detectors.baselines import Windows
from detectors.change.rescaled import Rescaled, scale_for
from detectors.change.single_errors import MOST, SingleErrors, clustering
from detectors.counts import ColumnCounts, Counts, OutcomeCounts, columns, merge, outcome, same
from detectors.families import FamilyCounts
from detectors.joint_counts import JointCounts, joint_counts
from detectors.layouts import Layout
from stream_monitor.config import Model
from stream_monitor.config.monitors import Monitor, monitors_of, stated_detector
from stream_monitor.figures import figure
from stream_monitor.judging.families import FAMILIES, Place, families_of, family, products
from stream_monitor.judging.references import Reference
from stream_monitor.judging.trailing import touched
from stream_monitor.packing import pack_counts, squeeze, unpack_counts
from stream_monitor.state.traces import trace_ms

LEAST: Final = 8  # windows of the reference from which their spread is learnt
SHORTER: Final = 20  # windows that a short reference is cut into
UNTIMED_WINDOWS: Final = 1000.0  # windows between false alarms, where neither windows nor reference tell of time

LEAST_OF_PANE: Final = 25  # rows (labels) of a pane whose value a detector sees, at most


class Learnt(NamedTuple):
    """A change detector, the state it starts from, and the reference that made it ("": it is as stated).

    Of a reference that trails its lineage: a series goes on, by new limits, when it is found anew.
    """

    detector: Any  # a Detector; of single errors its values are (events, errors)
    start: Mapping[str, Any]
    reference: str
    note: str  # for the reasons of verdicts


class Judge:
    """One segment of a reference, for one model's monitors."""

    def __init__(
        self, model: Model, recall: Callable[[], Reference], layout: Layout, segment: str, reference_id: str = ""
    ) -> None:
        self.model, self.layout, self.segment = model, layout, segment
        self.reference_id = reference_id
        self._recall = recall
        self._baselines: dict[tuple[str, Place | None], Baseline] = {}
        self._detectors: dict[tuple[str, Place | None], Learnt] = {}
        self._totals: dict[Place, list[ColumnCounts]] = {}  # all different: metrics of a column have the same ones
        self._packed = b""  # `total`, at rest

    @cached_property
    def reference(self) -> Reference:
        """The reference with all its panes."""
        return self._recall()

    def rest(self) -> None:
        """Let go of the reference's panes and windows: what has been read of them stays known."""
        if "total" in self.__dict__ and not self._packed:
            self._packed = squeeze(pack_counts(self.total))
        for large in ("reference", "_panes", "_cut", "_columns", "_fine", "_fine_columns", "total"):
            self.__dict__.pop(large, None)

    @cached_property
    def _panes(self) -> tuple[tuple[int, Counts], ...]:
        return tuple(self.reference.series.get(self.segment, ()))

    @cached_property
    def empty(self) -> bool:
        """Whether the reference has no events of the segment."""
        return not self._panes

    @cached_property
    def total(self) -> Counts:
        """All of the segment's counts."""
        return unpack_counts(self._packed) if self._packed else merge(c for _, c in self._panes)

    @cached_property
    def rows(self) -> int:
        """Its events."""
        return self.total.rows

    @cached_property
    def columns(self) -> dict[Place, ColumnCounts]:
        """The same by column."""
        return {place: _apart(of) for place, of in columns(self.total, self.layout).items()}

    @cached_property
    def joint(self) -> JointCounts:
        """All numeric features together."""
        return joint_counts(self.total, self.layout)

    @cached_property
    def outcome(self) -> OutcomeCounts:
        """What labels said in the reference."""
        return outcome(self.total)

    def baseline(self, monitor: Monitor, place: Place | None) -> Baseline:
        """The values of a monitor's metric over the reference's windows (or panes), and its thresholds."""
        known = self._baselines.get((monitor.name, place))
        if known is None:
            metric, panes = monitor.metric, monitor.by_pane
            cut = self._windows if not panes else self._fine[1]
            least = self.model.min_rows if not panes else min(self.model.min_rows, LEAST_OF_PANE)
            least = 1 if monitor.reads == "errors" else least  # they are shown every event, of whatever pane
            windows: Windows
            if metric.needs == "window":
                windows = self._volumes
            elif metric.needs == "joint":
                windows = [joint_counts(c, self.layout) for c in cut]
            elif metric.needs == "family":
                assert place is not None
                members = families_of(monitor, self.model, self.layout)[place[1]]
                windows = [
                    family(c, products(counts, self.layout), members)
                    for c, counts in zip(self._columns, cut, strict=True)
                ]
            elif metric.needs == "outcome":
                windows = [outcome(c) for c in cut]
            elif metric.needs == "stream":
                windows = [stream_counts([c], seconds=self._seconds) for c in cut]
            else:
                assert place is not None
                windows = [w[place] for w in (self._columns if not panes else self._fine_columns)]
            known = baseline(
                metric,
                windows,
                windows_between_false_alarms=self._between(monitor),
                share=1 / self._tests,
                min_rows=0 if metric.needs == "window" else least,
            )
            if place is not None and isinstance(known.total, ColumnCounts):
                known = replace(known, total=self._once(place, known.total))
            self._baselines[monitor.name, place] = known
        return known

    def _once(self, place: Place, total: ColumnCounts) -> ColumnCounts:
        """The same counts of a column, kept once however many metrics have them."""
        kept = self._totals.setdefault(place, [self.columns[place]] if place in self.columns else [])
        found = next((k for k in kept if same(k, total)), None)
        if found is None:
            kept.append(total)
        return found or total

    def detector(self, monitor: Monitor, place: Place | None) -> Learnt:
        """A monitor's change detector, its limit from the budget and the reference's series of values.

        Where the reference has too few of them (its labels had not come, say) it is as the monitor states it, and
        learns what is usual from the first values that it sees.
        """
        known = self._detectors.get((monitor.name, place))
        if known is None:
            kind: Any = DETECTORS[monitor.spec.detector]
            what = "panes" if monitor.by_pane else "windows"
            values: tuple[float, ...] = ()
            if not self.empty and self.knows(monitor, place):
                values = self.baseline(monitor, place).values
            between, worse = self._between(monitor) * self._tests, monitor.metric.worse
            updates, more = between, {}  # of the detector, between two false alarms
            if monitor.reads != "values":
                values, worse = tuple(monitor.shown(v) for v in values), "above"
            count = len(values)
            if monitor.reads == "errors" and values:
                events = self.baseline(monitor, place).sizes
                wrong = [share * of for share, of in zip(values, events, strict=True)]
                more = {"clusters": clustering(wrong, events)}
                updates = between * sum(min(of, MOST) for of in events) / count
                values = ((sum(wrong) + 1) / sum(events),) * count  # without a single error it still allows for one
            if not monitor.by_pane:
                values = tuple(v for v in values for _ in range(self._overlap))
            lineage = self.reference.lineage or self.reference_id or "?"
            scale = scale_for(kind, values, monitor.metric.limits, monitor.spec.parameters)
            values = tuple(scale.there(np.array(values)).tolist())
            try:
                made = kind.calibrated(
                    values,
                    worse=worse,
                    windows_between_false_alarms=updates,
                    **more,
                    **monitor.spec.parameters,
                )
                made = SingleErrors.of(made) if monitor.reads == "errors" else made
                start = made.prime(values) if hasattr(made, "prime") else made.start()
                if scale.kind != "same":
                    made, lineage = Rescaled(detector=made, scale=scale), f"{lineage}/{scale.kind}"
                often = f"one false alarm in {figure(between, 3)} {what}"
                note = f"; {often}, learnt from {count} {what} of the reference"
            except ValueError as error:
                made = stated_detector(monitor.spec)
                start, note = made.start(), f"; not from the reference: {error}"
            known = self._detectors[monitor.name, place] = Learnt(made, start, lineage, note)
        return known

    def family(self, monitor: Monitor, place: Place) -> FamilyCounts:
        """All of a family's counts."""
        members = families_of(monitor, self.model, self.layout)[place[1]]
        return family(self.columns, self.joint if self.layout.joint_pairs else None, members)

    def knows(self, monitor: Monitor, place: Place | None) -> bool:
        """Whether the reference has what a monitor looks at."""
        return place is None or place in (self.places(monitor) if place[0] == FAMILIES else self.columns)

    def _between(self, monitor: Monitor) -> float:
        """Values of a monitor's series in which one false alarm of the whole model is tolerable."""
        budget = self.model.false_alarms
        if not monitor.by_pane:
            return self._budget
        return max(1.0, budget.per_ms / self.pane_ms / budget.alarms)

    @cached_property
    def _overlap(self) -> int:
        """How often a detector sees an event. The reference's windows do not overlap; each so often in a row resemble
        their neighbours as windows that slide do, by 1 - slide / size."""
        return -(-self.model.window.size // self.model.slide_ms) if not self.model.window.rows else 1

    @cached_property
    def pane_ms(self) -> int:
        """Length of the panes that a detector with `every: pane` sees: those of the reference and the traces alike."""
        return self._fine[0]

    @cached_property
    def _fine(self) -> tuple[int, list[Counts]]:
        pane_ms, series = series_of(self.model, self.reference, self.layout)
        return pane_ms, [counts for _, counts in series.get(self.segment, ())]

    @cached_property
    def _fine_columns(self) -> list[dict[Place, ColumnCounts]]:
        return [columns(c, self.layout) for c in self._fine[1]]

    @cached_property
    def stream(self) -> StreamCounts:
        """How the events of the reference came."""
        return stream_counts([self.total])

    @cached_property
    def _seconds(self) -> float:
        """Length of the windows; nan where they are of different lengths."""
        windows, long = self._cut
        whole = not self.model.window.rows and self.reference.ordered_by == "time" and long and bool(windows)
        return self.model.window.size / 1000 if whole else math.nan

    @cached_property
    def _columns(self) -> list[dict[Place, ColumnCounts]]:
        return [columns(c, self.layout) for c in self._windows]

    @property
    def _windows(self) -> list[Counts]:
        return self._cut[0]

    @cached_property
    def _cut(self) -> tuple[list[Counts], bool]:
        """The reference's windows, and whether they are as long as those that are judged."""
        rows, size = self.model.window.rows, self.model.window.size
        if rows:
            whole = cut_by_rows(self._panes, rows)
        elif self.reference.ordered_by == "time":
            whole = [c for c in cut_by_time(self._panes, size) if c.rows >= self.model.min_rows]
        else:
            whole = []
        if len(whole) >= LEAST:
            return whole, True
        shorter = cut_by_rows(self._panes, max(self.model.min_rows, -(-self.total.rows // SHORTER)))
        return (whole, True) if len(shorter) <= len(whole) else (shorter, False)

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
        places = self.places(monitor) if monitor.metric.needs in ("column", "scan", "family") else [None]
        return len(places) * sum(1 for s in self.reference.series if monitor.watches(s))

    def panes_between_false_alarms(self, pane_ms: int) -> float:
        """Panes of this length in which one false alarm of all scans together is tolerable."""
        budget = self.model.false_alarms
        scans = [m for m in monitors_of(self.model) if m.detector is None and m.metric.needs == "scan"]
        share = sum(map(self._tests_of, scans)) / self._tests
        return max(1.0, budget.per_ms / pane_ms / budget.alarms / share)

    def places(self, monitor: Monitor) -> list[Place]:
        """Columns that a monitor of columns looks at."""
        return places_of(monitor, self.model, self.layout)


def _apart(of: ColumnCounts) -> ColumnCounts:
    """The same, without holding on to the counts of all columns."""
    return replace(of, counts=of.counts.copy(), other=of.other.copy())


def places_of(monitor: Monitor, model: Model, layout: Layout) -> list[Place]:
    """Columns of a layout (or families of them) that a monitor looks at, in the order of the layout."""
    if monitor.metric.needs == "family":
        return [(FAMILIES, name) for name in families_of(monitor, model, layout)]
    wanted = monitor.spec.columns
    names = None if wanted == "all" else {wanted} if isinstance(wanted, str) else set(wanted)
    return [
        (place, name)
        for place, name, column in layout.columns
        if column.kind in monitor.metric.kinds
        and (names is None or name in names)
        and (not monitor.metric.only or name in monitor.metric.only)
    ]


def series_of(model: Model, reference: Reference, layout: Layout) -> tuple[int, dict[str, list[tuple[int, Counts]]]]:
    """The reference's series in panes that the traces, or the units of windows, can be added up to; their length."""
    live = trace_ms(model, layout.pane_ms)
    if reference.ordered_by != "time":  # panes of equal numbers of rows: any length of time may stand for them
        places = {start: i * live for i, (start, _) in enumerate(reference.series.get("all", ()))}
        return live, {s: [(places[t], c) for t, c in panes if t in places] for s, panes in reference.series.items()}
    pane_ms = lcm(live, reference.pane_ms)
    return pane_ms, {s: _together(panes, pane_ms) for s, panes in reference.series.items()}


def _together(panes: Iterable[tuple[int, Counts]], pane_ms: int) -> list[tuple[int, Counts]]:
    parts: dict[int, list[Counts]] = {}
    for start, counts in panes:
        parts.setdefault(start // pane_ms * pane_ms, []).append(counts)
    return [(start, merge(parts[start])) for start in sorted(parts)]


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

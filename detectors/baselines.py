"""A metric over the reference's own windows, and the thresholds that follow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from detectors.arrivals import StreamCounts, together_streams, without
from detectors.base import Metric
from detectors.calibration import Bounds, calibrate, exceedance
from detectors.counts import ColumnCounts, OutcomeCounts
from detectors.families import FamilyCounts
from detectors.joint_counts import JointCounts, together_joint, without_joint
from detectors.laws import by_law
from detectors.layouts import LABEL_CELLS, LABELS

Total = ColumnCounts | OutcomeCounts | StreamCounts | JointCounts | FamilyCounts | float | None
Windows = (
    Sequence[ColumnCounts]
    | Sequence[OutcomeCounts]
    | Sequence[StreamCounts]
    | Sequence[JointCounts]
    | Sequence[FamilyCounts]
    | Sequence[float]
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Baseline:
    """What a metric was like in the reference, window by window.

    `values` has one value per window that had enough rows, each compared with the rest of the reference; `sizes` has
    the rows (outcome: labels) of each, and `rows` is their median; `total` is all of them together (window metrics:
    their mean rows; column metrics without a window: None). `lawful`: the windows keep to the law of the metric's noise
    (laws.py), so that its p-value holds.
    """

    metric: Metric
    values: tuple[float, ...]
    rows: float
    total: Total
    bounds: Bounds
    p: float
    lawful: bool
    sizes: tuple[float, ...]

    def at(self, rows: float) -> Bounds:
        """The bounds for a window of `rows` rows (outcome: labels): wider when it has fewer than the reference's had.

        What sampling noise has more at so few rows is added; of a metric whose noise is not known, all spread counts as
        sampling noise, which is on the safe side. A window with more rows gets no narrower bounds: what varied between
        the reference's windows was not noise alone.
        """
        if rows >= self.rows or self.metric.needs == "window":
            return self.bounds
        above, below = self.bounds.above, self.bounds.below
        least, most = self.metric.limits
        if self.metric.noise is not None and self.total is not None:
            low, high = self.metric.noise(self.total, rows, self.p)
            usual_low, usual_high = self.metric.noise(self.total, self.rows, self.p)
            up, down = _less(high, usual_high), _less(usual_low, low)
        else:
            factor = math.sqrt(self.rows / rows) - 1 if rows > 0 else math.inf
            centre = float(np.median(self.values)) if self.values else 0.0
            up = (above - centre) * factor if above is not None else 0.0
            down = (centre - below) * factor if below is not None else 0.0
        return replace(
            self.bounds,
            above=None if above is None or not math.isfinite(above + up) else min(above + max(up, 0.0), most),
            below=None if below is None or not math.isfinite(below - down) else max(below - max(down, 0.0), least),
            reason=f"{self.bounds.reason}; widened for {rows:.0f} rows, the reference's windows had {self.rows:.0f}",
        )


def baseline(
    metric: Metric,
    windows: Windows,
    *,
    windows_between_false_alarms: float,
    share: float = 1.0,
    min_rows: float = 1,
) -> Baseline:
    """Measure `metric` in each of the reference's windows and learn its thresholds.

    `windows` do not overlap, are in order of time, as long as the windows that will be judged, and counted under one
    layout: ColumnCounts, OutcomeCounts or numbers of rows, by what the metric needs. Those with fewer than `min_rows`
    rows (outcome: labels) are left out, as they would be UNKNOWN in service. Leave out a first or last one that the
    reference covers in part: it says nothing of the volume.

    Why each window is compared with the rest: it is part of the whole, and would look more like it than any later one.
    """
    p = exceedance(metric.worse, windows_between_false_alarms, share)
    enough = [w for w in windows if size(w) >= min_rows]
    rows = float(np.median([size(w) for w in enough])) if enough else 0.0
    total: Total
    if metric.needs == "window":
        numbers = [float(w) for w in enough if isinstance(w, int | float)]
        total = math.fsum(numbers) / len(numbers) if numbers else 0.0
        values = [metric.function(n, _rest(total, n, len(numbers))) for n in numbers]
    elif metric.needs == "outcome":
        outcomes = [w for w in enough if isinstance(w, OutcomeCounts)]
        total = together_outcomes(outcomes)
        values = [metric.function(w) for w in outcomes]
    elif metric.needs == "stream":
        streams = [w for w in enough if isinstance(w, StreamCounts)]
        total = together_streams(streams)
        found = [metric.function(w, w if metric.reference_free else without(total, w)) for w in streams]
        values = [v for v in found if math.isfinite(v)]
    elif metric.needs == "joint":
        joints = [w for w in enough if isinstance(w, JointCounts)]
        total = together_joint(joints) if joints else None
        values = [] if total is None else [metric.function(w, without_joint(total, w)) for w in joints]
    elif metric.needs == "family":
        families = [w for w in enough if isinstance(w, FamilyCounts)]
        total = together_families(families) if families else None
        found = [] if total is None else list(map(metric.function, families, family_rests(families, total)))
        values = [v for v in found if math.isfinite(v)]
    else:
        columns = [w for w in enough if isinstance(w, ColumnCounts)]
        total = together(columns) if columns else None
        values = []
        if total is not None:
            others = columns if metric.reference_free else rests(columns, total)
            values = [metric.function(w, rest) for w, rest in zip(columns, others, strict=True)]
    known = enough and not (metric.needs == "stream" and not values)
    floor = metric.noise(total, rows, p) if metric.noise is not None and known else None
    bounds = calibrate(
        values,
        worse=metric.worse,
        windows_between_false_alarms=windows_between_false_alarms,
        share=share,
        floor=floor,
        limits=metric.limits,
    )
    lawful = _lawful(metric, values, total, rows, p) if metric.lawful and known else None
    return Baseline(
        metric=metric,
        values=tuple(values),
        rows=rows,
        total=total,
        bounds=lawful or bounds,
        p=p,
        lawful=lawful is not None,
        sizes=tuple(float(size(w)) for w in enough),
    )


def _lawful(metric: Metric, values: Sequence[float], total: Total, rows: float, p: float) -> Bounds | None:
    """The bounds of a metric whose values keep to the law of its noise; those of both sides lie about 1, by factors."""
    noise = metric.noise
    assert noise is not None
    above, below = None, None
    if metric.worse == "both":
        factors = [abs(math.log(v)) if v > 0 else math.inf for v in values]
        found = by_law(factors, lambda q: math.log(noise(total, rows, q / 2)[1]), 2 * p)
        if found is not None:
            above, below = math.exp(found), math.exp(-found)
    else:
        above = by_law(values, lambda q: noise(total, rows, q)[1], p)
    if above is None or above >= metric.limits[1]:
        return None
    reason = f"by its own noise, which {len(values)} windows of the reference keep to, {p:.2g} false crossings a window"
    return Bounds(above=above, below=below, reason=reason)


def size(window: ColumnCounts | OutcomeCounts | StreamCounts | JointCounts | FamilyCounts | float) -> float:
    """Rows of a window; of an outcome, its labels."""
    if isinstance(window, ColumnCounts | StreamCounts | JointCounts | FamilyCounts):
        return window.rows
    return int(window.cells[LABELS]) if isinstance(window, OutcomeCounts) else window


def together(windows: Sequence[ColumnCounts]) -> ColumnCounts:
    """One column of several windows that do not overlap, added up; ValueError without a window."""
    if not windows:
        raise ValueError("no window to add up: a column's layout is not known")
    return ColumnCounts(
        layout=windows[0].layout,
        rows=sum(w.rows for w in windows),
        counts=np.sum([w.counts for w in windows], axis=0),
        other=np.sum([w.other for w in windows], axis=0),
        missing=sum(w.missing for w in windows),
        nonfinite=sum(w.nonfinite for w in windows),
        unparseable=sum(w.unparseable for w in windows),
        sum=_sum(windows),
        low=min(w.low for w in windows),
        high=max(w.high for w in windows),
        labels=together_outcomes([w.labels for w in windows if w.labels is not None]) if windows[0].labels else None,
    )


def together_families(windows: Sequence[FamilyCounts]) -> FamilyCounts:
    """One family of several windows that do not overlap, added up; ValueError without a window."""
    if not windows:
        raise ValueError("no window to add up: the columns are not known")
    joints = [w.joint for w in windows if w.joint is not None]
    return FamilyCounts(
        columns={name: together([w.columns[name] for w in windows]) for name in windows[0].columns},
        joint=together_joint(joints) if len(joints) == len(windows) else None,
    )


def family_rests(windows: Sequence[FamilyCounts], total: FamilyCounts) -> list[FamilyCounts]:
    """For each window the sum of all others."""
    by_name = {name: rests([w.columns[name] for w in windows], of) for name, of in total.columns.items()}
    return [
        FamilyCounts(
            columns={name: of[i] for name, of in by_name.items()},
            joint=without_joint(total.joint, w.joint) if total.joint is not None and w.joint is not None else None,
        )
        for i, w in enumerate(windows)
    ]


def together_outcomes(windows: Sequence[OutcomeCounts]) -> OutcomeCounts:
    """Outcomes of several windows that do not overlap, added up."""
    cells = np.sum([w.cells for w in windows], axis=0) if windows else np.zeros(LABEL_CELLS, np.int64)
    return OutcomeCounts(rows=sum(w.rows for w in windows), cells=cells)


def rests(windows: Sequence[ColumnCounts], total: ColumnCounts) -> list[ColumnCounts]:
    """For each window the sum of all others."""
    low, second_low = _two_least([w.low for w in windows])
    high, second_high = _two_least([-w.high for w in windows])
    return [
        ColumnCounts(
            layout=total.layout,
            rows=total.rows - w.rows,
            counts=total.counts - w.counts,
            other=total.other - w.other,
            missing=total.missing - w.missing,
            nonfinite=total.nonfinite - w.nonfinite,
            unparseable=total.unparseable - w.unparseable,
            sum=total.sum - w.sum,
            low=second_low if w.low == low else low,
            high=-second_high if -w.high == high else -high,
            labels=_without(total.labels, w.labels),
        )
        for w in windows
    ]


def _without(total: OutcomeCounts | None, part: OutcomeCounts | None) -> OutcomeCounts | None:
    if total is None or part is None:
        return None
    return OutcomeCounts(rows=total.rows - part.rows, cells=total.cells - part.cells)


def _rest(mean: float, rows: float, windows: int) -> float:
    return (mean * windows - rows) / (windows - 1) if windows > 1 else 0.0


def _sum(windows: Sequence[ColumnCounts]) -> float:
    try:
        return math.fsum(w.sum for w in windows)
    except (OverflowError, ValueError):  # beyond the doubles, or inf - inf
        return float("nan")


def _two_least(values: Sequence[float]) -> tuple[float, float]:
    """The least value and the least of the others."""
    least = [*sorted(values)[:2], math.inf, math.inf]
    return least[0], least[1]


def _less(a: float, b: float) -> float:
    """a - b, 0 where there is no end to either."""
    return 0.0 if a == b else a - b

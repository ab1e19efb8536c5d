"""A metric's value over a window, with its p-value and interval, or why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

from detectors import Metric
from detectors.counts import ColumnCounts
from detectors.families import FamilyCounts
from detectors.joint_counts import joint_counts
from stream_monitor.config import Model
from stream_monitor.config.monitors import Monitor
from stream_monitor.counting.panes import pane_ms_of
from stream_monitor.judging.fairness import outcomes_of
from stream_monitor.judging.families import FAMILIES, Place, families_of, family, products
from stream_monitor.judging.judges import Judge
from stream_monitor.state.concerns import silence_of
from stream_monitor.state.states import State
from stream_monitor.state.units import keys_of
from stream_monitor.state.windows import Window, unit_ms

CUT_SHORT: Final = "the events end within this window"
CONFIDENCE: Final = 0.025  # probability at each end of a value's interval


@dataclass(frozen=True, slots=True)
class Measured:
    """A monitor's value for one column, or why there is none."""

    value: float = math.nan
    why: str = ""
    p_value: float | None = None
    effect: float | None = None
    reference_rows: int = 0
    interval: tuple[float, float] | None = None


def measure(
    state: State, monitor: Monitor, place: Place | None, judge: Judge | None, window: Window, learning: str
) -> Measured:
    metric, least = monitor.metric, state.model(window.key[0]).min_rows
    if metric.needs == "window":
        return _measure_volume(state, monitor, judge, window, learning)
    if metric.needs == "segments":
        assert place is not None
        return _measure_segments(state, metric, place[1], window)
    if metric.needs == "stream":
        return _measure_stream(state, monitor, judge, window, learning)
    if metric.needs == "outcome":
        enough = window.rows if metric.group == "stream" else window.labels
        if enough < least:
            return Measured(why=f"{enough} {'rows' if metric.group == 'stream' else 'labels'}, at least {least} needed")
        value = metric.function(window.outcome)
        interval = _interval(metric, value, window.outcome)
        if judge is None or judge.empty:
            return Measured(value, "" if math.isfinite(value) else "undefined here", interval=interval)
        usual = metric.function(judge.outcome)
        effect = value - usual if math.isfinite(usual) else None
        return Measured(value, "" if math.isfinite(value) else "undefined here", None, effect, judge.rows, interval)
    if metric.needs == "joint":
        return _measure_joint(monitor, judge, window, learning, least)
    assert place is not None
    if metric.needs == "family":
        return _measure_family(monitor, place, judge, window, learning, state.model(window.key[0]))
    rows = rows_of(monitor, place, window, state.model(window.key[0]))
    if rows < least:
        return Measured(why=f"{rows} rows, at least {least} needed" if rows else "no data")
    if window.layout is None:
        return Measured(why="counted under several layouts, or under none yet")
    return _measure_column(monitor, window.columns[place], place, judge, window, learning)


def _interval(metric: Metric, value: float, *counts: Any) -> tuple[float, float] | None:
    """Where the true value lies with 95 % confidence, as far as the window alone tells."""
    if metric.interval is None or not math.isfinite(value):
        return None
    low, high = metric.interval(*counts, CONFIDENCE)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def rows_of(monitor: Monitor, place: Place | None, window: Window, model: Model) -> int:
    """How many events a value of the window is of."""
    if monitor.metric.needs in ("outcome", "segments"):
        return window.labels
    if place is not None and place[0] == FAMILIES:
        return _family_of(monitor, place, window, model).rows if window.layout is not None else window.rows
    column = window.columns.get(place) if place is not None else None
    return window.rows if column is None else column.rows


def _measure_stream(state: State, monitor: Monitor, judge: Judge | None, window: Window, learning: str) -> Measured:
    metric, least = monitor.metric, state.model(window.key[0]).min_rows
    if window.key[1] not in state.models[window.key[0]].versions:
        return Measured(why="no predictions of this version")
    if window.rows + window.late_rows < least and not metric.empty_tells:
        return Measured(why=f"{window.rows} rows, at least {least} needed" if window.rows else "no data")
    if metric.empty_tells and _cut_short(state, window):
        return Measured(why=CUT_SHORT)
    now = replace(window.stream, silence=silence_of(state, window.key[0], window.end_ms))
    usual = judge.stream if judge is not None and not judge.empty else None
    if usual is None and not metric.reference_free:
        return Measured(why=learning if judge is None else "the reference has no events of this segment")
    value = metric.function(now, usual or now)
    effect = value - metric.function(usual, usual) if usual is not None else math.nan
    why = "" if math.isfinite(value) else "not counted here, or not known"
    rows = judge.rows if judge is not None else 0
    return Measured(value, why, None, effect if math.isfinite(effect) else None, rows)


def _measure_column(
    monitor: Monitor, now: ColumnCounts, place: Place, judge: Judge | None, window: Window, learning: str
) -> Measured:
    metric = monitor.metric
    if judge is None or judge.empty or judge.layout.id != (window.layout.id if window.layout else ""):
        if metric.reference_free:
            value = metric.function(now, now)
            return Measured(value, "" if math.isfinite(value) else "undefined here")
        if judge is None:
            return Measured(why=learning)
        return Measured(
            why="the reference has no events of this segment"
            if judge.empty
            else "the reference was counted under another layout"
        )
    usual = judge.columns[place]
    value = metric.function(now, usual)
    if not math.isfinite(value):
        return Measured(why="undefined here", reference_rows=usual.rows)
    p_value = metric.p_value(now, usual) if metric.p_value is not None else None
    effect = value
    if metric.reference_free or metric.group == "performance":
        effect = value - metric.function(usual, usual)
    interval = _interval(metric, value, now, usual)
    return Measured(value, "", p_value, effect if math.isfinite(effect) else None, usual.rows, interval)


def _family_of(monitor: Monitor, place: Place, window: Window, model: Model) -> FamilyCounts:
    """The counts of a family in a window that was counted under one layout."""
    assert window.layout is not None
    members = families_of(monitor, model, window.layout)[place[1]]
    return family(window.columns, products(window.counts[window.layout.id], window.layout), members)


def _measure_family(
    monitor: Monitor, place: Place, judge: Judge | None, window: Window, learning: str, model: Model
) -> Measured:
    metric, least = monitor.metric, model.min_rows
    if window.layout is None:
        return Measured(why="counted under several layouts, or under none yet")
    now = _family_of(monitor, place, window, model)
    if now.rows < least:
        return Measured(why=f"{now.rows} rows with values, at least {least} needed" if window.rows else "no data")
    if judge is None:
        return Measured(why=learning)
    if judge.empty or judge.layout.id != window.layout.id:
        why = "the reference has no events of this segment" if judge.empty else "the reference is of another layout"
        return Measured(why=why)
    usual = judge.family(monitor, place)
    value = metric.function(now, usual)
    if not math.isfinite(value):
        return Measured(why="undefined here", reference_rows=usual.rows)
    p_value = metric.p_value(now, usual) if metric.p_value is not None and _holds(monitor, place, judge) else None
    effect = value - metric.function(usual, usual)
    return Measured(value, "", p_value, effect if math.isfinite(effect) else None, usual.rows)


def _measure_joint(monitor: Monitor, judge: Judge | None, window: Window, learning: str, least: int) -> Measured:
    metric = monitor.metric
    if window.rows + window.feature_rows < least:
        return Measured(why=f"{window.rows} rows, at least {least} needed" if window.rows else "no data")
    if window.layout is None:
        return Measured(why="counted under several layouts, or under none yet")
    if judge is None:
        return Measured(why=learning)
    if judge.empty or judge.layout.id != window.layout.id:
        why = "the reference has no events of this segment" if judge.empty else "the reference is of another layout"
        return Measured(why=why)
    now = joint_counts(window.counts[window.layout.id], window.layout)
    value = metric.function(now, judge.joint)
    if not math.isfinite(value):
        few = not window.layout.joint_pairs
        why = "pairs are counted for 2 to 25 numeric features" if few else "undefined here"
        return Measured(why=why, reference_rows=judge.joint.rows)
    p_value = metric.p_value(now, judge.joint) if metric.p_value is not None and _holds(monitor, None, judge) else None
    return Measured(value, "", p_value, value - metric.function(judge.joint, judge.joint), judge.joint.rows)


def _holds(monitor: Monitor, place: Place | None, judge: Judge) -> bool:
    """Whether a metric's p-value holds for this reference: several columns' hangs on a law that its windows keep to."""
    return not monitor.metric.lawful or judge.baseline(monitor, place).lawful


def _measure_segments(state: State, metric: Metric, dimension: str, window: Window) -> Measured:
    if state.model(window.key[0]).window.rows:
        return Measured(why="windows by rows do not cover the same time in every segment")
    found = outcomes_of(state, window, dimension)
    if len(found) < 2:
        return Measured(why=f"{len(found)} segments of {dimension} with enough labels, at least 2 needed")
    value = metric.function([one for _, one in found])
    return Measured(value, "" if math.isfinite(value) else "undefined here")


def _cut_short(state: State, window: Window) -> bool:
    """Whether the files of a replay end within the window: what would have come until its end, nobody knows."""
    pane = pane_ms_of(window.layout, state.model(window.key[0]))
    return state.ended and silence_of(state, window.key[0], window.end_ms) * 1000 > pane


def _measure_volume(state: State, monitor: Monitor, judge: Judge | None, window: Window, learning: str) -> Measured:
    if judge is None:
        return Measured(why=learning)
    name, version, segment = window.key
    if version not in state.models[name].versions and window.feature_rows:
        return Measured(why="no predictions of this version")
    began = min((v.first_ms for v in state.models[name].versions.values()), default=window.end_ms)
    if window.start_ms < began:
        return Measured(why="the model's first events came within this window")
    if _cut_short(state, window):
        return Measured(why=CUT_SHORT)
    mean = judge.baseline(monitor, None).total
    assert isinstance(mean, int | float)
    if not mean:
        return Measured(why="the reference does not tell how many rows are usual")
    rows = 0  # of all versions: one that takes over the traffic of another is no change of volume
    for key in keys_of(state, name):
        if key[2] == segment:
            panes = state.panes.get(key, {})
            units = range(window.start_ms, window.end_ms, unit_ms(state.model(name)))
            rows += sum(panes[u].rows for u in units if u in panes)
    value = monitor.metric.function(rows, mean)
    return Measured(value, "", None, value - 1, judge.rows)

"""A window and a reference -> verdicts: one per monitor and column, each with its reason.

Detectors with a memory: series.py.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import msgspec

from detectors import Judgement, Level, Metric, Threshold
from detectors.counts import ColumnCounts
from detectors.joint_counts import joint_counts
from stream_monitor.config.monitors import Monitor, monitors_of, stated, warning_bounds
from stream_monitor.interfaces import Catalog
from stream_monitor.judging.fairness import outcomes_of
from stream_monitor.judging.judges import Judge, Place, places_of
from stream_monitor.judging.packed_references import unpack_reference
from stream_monitor.judging.references import Reference
from stream_monitor.judging.scans import Found, calibrated, judge_by_scan
from stream_monitor.judging.series import judge_series
from stream_monitor.moments import rfc3339
from stream_monitor.state.concerns import silence_of
from stream_monitor.state.memories import Key
from stream_monitor.state.states import State
from stream_monitor.state.units import keys_of
from stream_monitor.state.windows import Window, unit_ms

Verdict = dict[str, Any]  # in the public shape
CONFIDENCE: Final = 0.025  # probability at each end of a value's interval

_ENCODE = msgspec.json.Encoder(order="deterministic").encode


@dataclass(slots=True)
class Judged:
    """The verdicts of a window. `moved`: a memory's value changed, so that later windows must be judged again."""

    verdicts: list[Verdict] = field(default_factory=list)
    values: list[tuple[str, str, float]] = field(default_factory=list)  # (metric, column, value)
    moved: bool = False


@dataclass(frozen=True, slots=True)
class _Measured:
    """A monitor's value for one column, or why there is none."""

    value: float = math.nan
    why: str = ""
    p_value: float | None = None
    effect: float | None = None
    reference_rows: int = 0
    interval: tuple[float, float] | None = None


def monitors(state: State, name: str) -> tuple[Monitor, ...]:
    """The monitors of a model."""
    known: tuple[Monitor, ...] | None = state.derived.get(("monitors", name))
    if known is None:
        known = state.derived["monitors", name] = monitors_of(state.model(name))
    return known


def judge_of(state: State, key: Key, catalog: Catalog) -> Judge | None:
    """What the reference of a key's version says of its segment; None without a reference."""
    model = state.models[key[0]]
    reference_id = model.references.get(key[1], model.reference)
    if not reference_id:
        return None
    known: Judge | None = state.derived.get(("judge", key[0], reference_id, key[2]))
    if known is None:
        reference = _recalled(state, reference_id, catalog)
        layout, recall = catalog.layout(reference.layout), partial(_recalled, state, reference_id, catalog)
        known = Judge(state.model(key[0]), recall, layout, key[2], reference_id)
        state.derived["judge", key[0], reference_id, key[2]] = known
    return known


def _recalled(state: State, id: str, catalog: Catalog) -> Reference:
    """A reference. Only the last one is kept: its panes are large, and what judges need of them is soon read."""
    last: tuple[str, Reference] | None = state.derived.get(("reference",))
    if last is None or last[0] != id:
        last = state.derived["reference",] = id, unpack_reference(catalog.blob(id))
    return last[1]


def judge_window(state: State, window: Window, catalog: Catalog, learning: str) -> Judged:
    """Judge a window by all monitors of its model; memories in the state are moved on. `learning`: why there is no
    reference yet."""
    judge, judged = judge_of(state, window.key, catalog), Judged()
    for monitor in monitors(state, window.key[0]):
        if not monitor.watches(window.key[2]):
            continue
        if monitor.metric.needs == "scan":
            _scan(state, monitor, judge, window, learning, judged)
            continue
        for place in _places(state, monitor, judge, window, catalog):
            measured = _measure(state, monitor, place, judge, window, learning)
            onset_ms = None
            if monitor.sequential:
                series = judge_series(state, monitor, place, judge, window, measured.value, measured.why)
                judgement, onset_ms = series.judgement, series.onset_ms
                judged.moved = judged.moved or series.moved
            else:
                judgement = _by_threshold(monitor, place, judge, window, measured, learning)
            judged.verdicts.append(_verdict(monitor, place, window, measured, judgement, onset_ms=onset_ms))
            if math.isfinite(measured.value):
                judged.values.append((monitor.metric.name, "" if place is None else place[1], measured.value))
    if judge is not None:
        judge.rest()
    return judged


def _scan(state: State, monitor: Monitor, judge: Judge | None, window: Window, learning: str, judged: Judged) -> None:
    """The verdicts of a scan, one per column and one for all together."""
    name, least = window.key[0], state.model(window.key[0]).min_rows
    why = learning
    if judge is not None and judge.empty:
        why = "the reference has no events of this segment"
    elif window.rows < least:
        why = f"{window.rows} rows, at least {least} needed" if window.rows else "no data"
    if judge is None or why:
        layout = window.layout or (judge.layout if judge is not None else None)
        columns = [] if layout is None else [c for _, c in places_of(monitor, layout)]
        unknown = Judgement(level=Level.UNKNOWN, reason=why)
        found = [Found(column=c, judgement=unknown) for c in dict.fromkeys(columns)]
    else:
        key = ("scan", name, judge.reference_id)
        known = state.derived.get(key)
        if known is None:
            known = state.derived[key] = calibrated(judge)
        found = judge_by_scan(state, monitor, judge, known, window)
        judged.moved = judged.moved or window.revision > 0  # the looks of later windows reach back into this one
    rows = judge.total.rows if judge is not None and not judge.empty else 0
    for one in found:
        measured = _Measured(one.value, one.judgement.reason, one.p_value, one.effect, rows)
        place = None if one.column is None else ("", one.column)
        judged.verdicts.append(_verdict(monitor, place, window, measured, one.judgement, onset_ms=one.onset_ms))
        if math.isfinite(one.value):
            judged.values.append((monitor.metric.name, one.column or "", one.value))


def _places(
    state: State, monitor: Monitor, judge: Judge | None, window: Window, catalog: Catalog
) -> list[Place | None]:
    if monitor.metric.needs == "segments":  # once for every dimension, with the windows of all events
        dimensions = state.model(window.key[0]).segments if window.key[2] == "all" else ()
        return [("segments", dimension) for dimension in dimensions]
    if monitor.metric.needs != "column":
        return [None]
    layout = window.layout or (judge.layout if judge is not None else None)
    if layout is None and (known := state.models[window.key[0]].layout):
        layout = catalog.layout(known)
    return [] if layout is None else [*places_of(monitor, layout)]


def _measure(
    state: State, monitor: Monitor, place: Place | None, judge: Judge | None, window: Window, learning: str
) -> _Measured:
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
            return _Measured(
                why=f"{enough} {'rows' if metric.group == 'stream' else 'labels'}, at least {least} needed"
            )
        value = metric.function(window.outcome)
        interval = _interval(metric, value, window.outcome)
        if judge is None or judge.empty:
            return _Measured(value, "" if math.isfinite(value) else "undefined here", interval=interval)
        usual = metric.function(judge.outcome)
        effect = value - usual if math.isfinite(usual) else None
        return _Measured(
            value, "" if math.isfinite(value) else "undefined here", None, effect, judge.total.rows, interval
        )
    if metric.needs == "joint":
        return _measure_joint(monitor, judge, window, learning, least)
    assert place is not None
    rows = _rows_of(monitor, place, window)
    if rows < least:
        return _Measured(why=f"{rows} rows, at least {least} needed" if rows else "no data")
    if window.layout is None:
        return _Measured(why="counted under several layouts, or under none yet")
    return _measure_column(monitor, window.columns[place], place, judge, window, learning)


def _interval(metric: Metric, value: float, *counts: Any) -> tuple[float, float] | None:
    """Where the true value lies with 95 % confidence, as far as the window alone tells."""
    if metric.interval is None or not math.isfinite(value):
        return None
    low, high = metric.interval(*counts, CONFIDENCE)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def _rows_of(monitor: Monitor, place: Place | None, window: Window) -> int:
    """How many events a value of the window is of."""
    if monitor.metric.needs in ("outcome", "segments"):
        return window.labels
    column = window.columns.get(place) if place is not None else None
    return window.rows if column is None else column.rows


def _measure_stream(state: State, monitor: Monitor, judge: Judge | None, window: Window, learning: str) -> _Measured:
    metric, least = monitor.metric, state.model(window.key[0]).min_rows
    if window.key[1] not in state.models[window.key[0]].versions:
        return _Measured(why="no predictions of this version")
    if window.rows + window.late_rows < least and not metric.empty_tells:
        return _Measured(why=f"{window.rows} rows, at least {least} needed" if window.rows else "no data")
    now = replace(window.stream, silence=silence_of(state, window.key[0], window.end_ms))
    usual = judge.stream if judge is not None and not judge.empty else None
    if usual is None and not metric.reference_free:
        return _Measured(why=learning if judge is None else "the reference has no events of this segment")
    value = metric.function(now, usual or now)
    effect = value - metric.function(usual, usual) if usual is not None else math.nan
    why = "" if math.isfinite(value) else "not counted here, or not known"
    rows = judge.total.rows if judge is not None else 0
    return _Measured(value, why, None, effect if math.isfinite(effect) else None, rows)


def _measure_column(
    monitor: Monitor, now: ColumnCounts, place: Place, judge: Judge | None, window: Window, learning: str
) -> _Measured:
    metric = monitor.metric
    if judge is None or judge.empty or judge.layout.id != (window.layout.id if window.layout else ""):
        if metric.reference_free:
            value = metric.function(now, now)
            return _Measured(value, "" if math.isfinite(value) else "undefined here")
        if judge is None:
            return _Measured(why=learning)
        return _Measured(
            why="the reference has no events of this segment"
            if judge.empty
            else "the reference was counted under another layout"
        )
    usual = judge.columns[place]
    value = metric.function(now, usual)
    if not math.isfinite(value):
        return _Measured(why="undefined here", reference_rows=usual.rows)
    p_value = metric.p_value(now, usual) if metric.p_value is not None else None
    effect = value
    if metric.reference_free or metric.group == "performance":
        effect = value - metric.function(usual, usual)
    interval = _interval(metric, value, now, usual)
    return _Measured(value, "", p_value, effect if math.isfinite(effect) else None, usual.rows, interval)


def _measure_joint(monitor: Monitor, judge: Judge | None, window: Window, learning: str, least: int) -> _Measured:
    metric = monitor.metric
    if window.rows + window.feature_rows < least:
        return _Measured(why=f"{window.rows} rows, at least {least} needed" if window.rows else "no data")
    if window.layout is None:
        return _Measured(why="counted under several layouts, or under none yet")
    if judge is None:
        return _Measured(why=learning)
    if judge.empty or judge.layout.id != window.layout.id:
        why = "the reference has no events of this segment" if judge.empty else "the reference is of another layout"
        return _Measured(why=why)
    now = joint_counts(window.counts[window.layout.id], window.layout)
    value = metric.function(now, judge.joint)
    if not math.isfinite(value):
        few = not window.layout.joint_pairs
        why = "pairs are counted for 2 to 25 numeric features" if few else "undefined here"
        return _Measured(why=why, reference_rows=judge.joint.rows)
    p_value = metric.p_value(now, judge.joint) if metric.p_value is not None else None
    return _Measured(value, "", p_value, value - metric.function(judge.joint, judge.joint), judge.joint.rows)


def _measure_segments(state: State, metric: Metric, dimension: str, window: Window) -> _Measured:
    if state.model(window.key[0]).window.rows:
        return _Measured(why="windows by rows do not cover the same time in every segment")
    found = outcomes_of(state, window, dimension)
    if len(found) < 2:
        return _Measured(why=f"{len(found)} segments of {dimension} with enough labels, at least 2 needed")
    value = metric.function([one for _, one in found])
    return _Measured(value, "" if math.isfinite(value) else "undefined here")


def _measure_volume(state: State, monitor: Monitor, judge: Judge | None, window: Window, learning: str) -> _Measured:
    if judge is None:
        return _Measured(why=learning)
    name, version, segment = window.key
    if version not in state.models[name].versions and window.feature_rows:
        return _Measured(why="no predictions of this version")
    began = min((v.first_ms for v in state.models[name].versions.values()), default=window.end_ms)
    if window.start_ms < began:
        return _Measured(why="the model's first events came within this window")
    mean = judge.baseline(monitor, None).total
    assert isinstance(mean, int | float)
    if not mean:
        return _Measured(why="the reference does not tell how many rows are usual")
    rows = 0  # of all versions: one that takes over the traffic of another is no change of volume
    for key in keys_of(state, name):
        if key[2] == segment:
            panes = state.panes.get(key, {})
            units = range(window.start_ms, window.end_ms, unit_ms(state.model(name)))
            rows += sum(panes[u].rows for u in units if u in panes)
    value = monitor.metric.function(rows, mean)
    return _Measured(value, "", None, value - 1, judge.total.rows)


def _by_threshold(
    monitor: Monitor, place: Place | None, judge: Judge | None, window: Window, measured: _Measured, learning: str
) -> Judgement:
    if not math.isfinite(measured.value):
        return Judgement(level=Level.UNKNOWN, reason=measured.why)
    if monitor.detector is not None:
        return monitor.detector.update({}, measured.value)[1]
    otherwise = monitor.metric.otherwise
    if otherwise is not None and (judge is None or judge.baseline(monitor, place).bounds.above is None):
        return Threshold(above=otherwise, **warning_bounds(monitor.spec)).update({}, measured.value)[1]
    if judge is None:
        return Judgement(level=Level.UNKNOWN, reason=learning)
    if judge.empty:
        return Judgement(level=Level.UNKNOWN, reason="the reference has no events of this segment")
    if place is not None and place not in judge.columns:
        return Judgement(level=Level.UNKNOWN, reason="the reference was counted under another layout")
    learnt = judge.baseline(monitor, place)
    bounds = learnt.bounds
    if monitor.metric.group != "stream" or monitor.metric.needs == "stream":
        bounds = learnt.at(_rows_of(monitor, place, window))
    if bounds.above is None and bounds.below is None:
        return Judgement(level=Level.UNKNOWN, reason=bounds.reason)
    above, below = bounds.above, bounds.below
    if above is not None and below is not None and below > above:
        above = below = (above + below) / 2
    _, judgement = Threshold(above=above, below=below, **warning_bounds(monitor.spec)).update({}, measured.value)
    return replace(judgement, reason=f"{judgement.reason}; {bounds.reason}")


def _verdict(
    monitor: Monitor,
    place: Place | None,
    window: Window,
    measured: _Measured,
    judgement: Judgement,
    *,
    onset_ms: int | None = None,
) -> Verdict:
    model, version, segment = window.key
    threshold, direction = judgement.threshold, judgement.direction
    if threshold is None:
        above, below = stated(monitor.spec) if not monitor.sequential else (None, None)
        threshold = above if above is not None else below
        direction = None if threshold is None else "above" if above is not None else "below"
    body: Verdict = {
        "model": model,
        "version": version,
        "segment": segment,
        "monitor": monitor.name,
        "group": monitor.metric.group,
        "metric": monitor.metric.name,
        "column": None if place is None else place[1],
        "detector": "scan" if monitor.metric.needs == "scan" else monitor.spec.detector,
        "start": rfc3339(window.start_ms),
        "end": rfc3339(window.end_ms),
        "revision": window.revision,
        "level": judgement.level.label,
        "value": measured.value if math.isfinite(measured.value) else None,
        "threshold": threshold,
        "direction": direction,
        "p_value": measured.p_value,
        "effect": measured.effect,
        "interval": list(measured.interval) if measured.interval is not None else None,
        "rows": _rows_of(monitor, place, window),
        "reference_rows": measured.reference_rows,
        "reason": judgement.reason,
        **({} if onset_ms is None else {"onset": rfc3339(onset_ms)}),
    }
    return {"id": hashlib.sha256(_ENCODE(body)).hexdigest()[:24], **body}

"""A window and a reference -> verdicts: one per monitor and column, each with its reason.

Detectors with a memory: series.py.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec

from detectors import Judgement, Level, Threshold
from stream_monitor.config.monitors import Monitor, monitors_of, stated, warning_bounds
from stream_monitor.interfaces import Catalog
from stream_monitor.judging.families import Place
from stream_monitor.judging.judges import Judge, places_of
from stream_monitor.judging.measures import Measured, measure, rows_of
from stream_monitor.judging.packed_references import unpack_reference
from stream_monitor.judging.references import Reference
from stream_monitor.judging.scans import Found, calibrated, judge_by_scan
from stream_monitor.judging.series import judge_series
from stream_monitor.judging.tails import UNCOMPUTABLE, uncomputable
from stream_monitor.moments import rfc3339
from stream_monitor.state.memories import Key
from stream_monitor.state.states import State
from stream_monitor.state.traces import LET_GO, let_go
from stream_monitor.state.windows import Window

Verdict = dict[str, Any]  # in the public shape

_ENCODE = msgspec.json.Encoder(order="deterministic").encode


@dataclass(slots=True)
class Judged:
    """The verdicts of a window. `moved`: a memory's value changed, so that later windows must be judged again."""

    verdicts: list[Verdict] = field(default_factory=list)
    values: list[tuple[str, str, float]] = field(default_factory=list)  # (metric, column, value)
    moved: bool = False


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
            rows, onset_ms = rows_of(monitor, place, window, state.model(window.key[0])), None
            try:
                measured = measure(state, monitor, place, judge, window, learning)
                if monitor.sequential:
                    series = judge_series(state, monitor, place, judge, window, measured.value, measured.why)
                    judgement, onset_ms = series.judgement, series.onset_ms
                    judged.moved = judged.moved or series.moved
                else:
                    judgement = _by_threshold(monitor, place, judge, rows, measured, learning)
            except UNCOMPUTABLE as error:
                measured = Measured(why=uncomputable(error))
                judgement = Judgement(level=Level.UNKNOWN, reason=measured.why)
            judged.verdicts.append(_verdict(monitor, place, window, rows, measured, judgement, onset_ms=onset_ms))
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
    gone = window.revision > 0 and let_go(state, window.key, window.end_ms)
    why = why or (LET_GO if gone else "")
    found: list[Found] = []
    if judge is not None and not why:
        key = ("scan", name, judge.reference_id)
        try:
            known = state.derived.get(key)
            if known is None:
                known = state.derived[key] = calibrated(judge)
            found = judge_by_scan(state, monitor, judge, known, window)
        except UNCOMPUTABLE as error:
            why = uncomputable(error)
    if judge is None or why:
        layout = window.layout or (judge.layout if judge is not None else None)
        columns = [] if layout is None else [c for _, c in places_of(monitor, state.model(name), layout)]
        unknown = Judgement(level=Level.UNKNOWN, reason=why)
        found = [Found(column=c, judgement=unknown) for c in dict.fromkeys(columns)]
    # The looks of later windows reach back into this one, though it may have too few rows for verdicts of its own.
    judged.moved = judged.moved or (judge is not None and not judge.empty and not gone)
    reference_rows = judge.rows if judge is not None and not judge.empty else 0
    for one in found:
        measured = Measured(one.value, one.judgement.reason, one.p_value, one.effect, reference_rows)
        place = None if one.column is None else ("", one.column)
        judged.verdicts.append(
            _verdict(monitor, place, window, window.rows, measured, one.judgement, onset_ms=one.onset_ms)
        )
        if math.isfinite(one.value):
            judged.values.append((monitor.metric.name, one.column or "", one.value))


def _places(
    state: State, monitor: Monitor, judge: Judge | None, window: Window, catalog: Catalog
) -> list[Place | None]:
    if monitor.metric.needs == "segments":  # once for every dimension, with the windows of all events
        dimensions = state.model(window.key[0]).segments if window.key[2] == "all" else ()
        return [("segments", dimension) for dimension in dimensions]
    if monitor.metric.needs not in ("column", "family"):
        return [None]
    layout = window.layout or (judge.layout if judge is not None else None)
    if layout is None and (known := state.models[window.key[0]].layout):
        layout = catalog.layout(known)
    return [] if layout is None else [*places_of(monitor, state.model(window.key[0]), layout)]


def _by_threshold(
    monitor: Monitor, place: Place | None, judge: Judge | None, rows: int, measured: Measured, learning: str
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
    if not judge.knows(monitor, place):
        return Judgement(level=Level.UNKNOWN, reason="the reference was counted under another layout")
    learnt = judge.baseline(monitor, place)
    bounds = learnt.bounds
    if monitor.metric.group != "stream" or monitor.metric.needs == "stream":
        bounds = learnt.at(rows)
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
    rows: int,
    measured: Measured,
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
        "start": window.start,
        "end": window.end,
        "revision": window.revision,
        "level": judgement.level.label,
        "value": measured.value if math.isfinite(measured.value) else None,
        "threshold": threshold,
        "direction": direction,
        "p_value": measured.p_value,
        "effect": measured.effect,
        "interval": list(measured.interval) if measured.interval is not None else None,
        "rows": rows,
        "reference_rows": measured.reference_rows,
        "reason": judgement.reason,
        **({} if onset_ms is None else {"onset": rfc3339(onset_ms)}),
    }
    return {"id": hashlib.sha256(_ENCODE(body)).hexdigest()[:24], **body}

"""The scan over a model's traces: one look per pane of a window, and the most telling of them for each column.

A window's verdicts are those of its looks: DRIFT if any look within it finds drift. A look sees up to LONGEST panes
back, so that a slow drift is found that no single window could show; a drift that is over by then is OK, and the reason
says from when to when it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from detectors.base import Judgement, Level
from detectors.drift.scan import scan as evidence
from detectors.scan import Result, Scan, Unit, look, needed
from stream_monitor.config.monitors import Monitor, monitors_of
from stream_monitor.figures import figure, lasting
from stream_monitor.judging.judges import Judge, series_of
from stream_monitor.moments import rfc3339
from stream_monitor.state.states import State
from stream_monitor.state.traces import trace
from stream_monitor.state.windows import Window

DIGITS: Final = 9  # of a number in a verdict: the last bits depend on the processor's arithmetic


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the looks of a window say of one column; None: of the columns together."""

    column: str | None
    judgement: Judgement
    value: float = math.nan
    p_value: float | None = None
    effect: float | None = None
    onset_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibrated:
    """A scan of one reference, and the length of the panes that it is for."""

    scan: Scan
    pane_ms: int


def calibrated(judge: Judge) -> Calibrated:
    """Learn a scan from a judge's reference; its budget is the scan's share of the model's."""
    reference, layout = judge.reference, judge.layout
    pane_ms, series = series_of(judge.model, reference, layout)
    scans = [m for m in monitors_of(judge.model) if m.metric.needs == "scan"]
    series = {s: panes for s, panes in series.items() if s == "all" or any(m.watches(s) for m in scans)}
    return Calibrated(
        scan=Scan.calibrated(
            layout, series, panes_between_false_alarms=judge.panes_between_false_alarms(pane_ms), pane_ms=pane_ms
        ),
        pane_ms=pane_ms,
    )


def judge_by_scan(state: State, monitor: Monitor, judge: Judge, of: Calibrated, window: Window) -> list[Found]:
    """Look at every pane of a window, and say of each column what the most telling look says."""
    wanted = monitor.spec.columns
    columns = [name for _, name in judge.places(monitor)]
    unit = of.scan.units.get(window.key[2])
    if unit is None:
        panes = len({start for start, _ in judge.reference.series.get(window.key[2], ())})
        return _unknown(columns, wanted == "all", f"the reference has too few panes to learn from: {panes}")
    best: dict[str | None, Result] = {}
    seen = set(columns)
    for result in _results(state, judge, of, unit, window):
        column = result.subject if result.subject in seen else None
        if column is None and wanted != "all":
            continue
        if column not in best or _rank(result) < _rank(best[column]):
            best[column] = result
    subjects = [c for c in dict.fromkeys(columns) if c in unit.subjects]
    found = [_found(c, best[c], of.pane_ms) for c in subjects if c in best]
    missing = [c for c in subjects if c not in best]
    if missing:
        found += _unknown(missing, False, f"fewer panes than the shortest look needs, {unit.scales[0]}")
    if None in best:
        found.append(_found(None, best[None], of.pane_ms))
    return found


def _unknown(columns: Iterable[str], together: bool, why: str) -> list[Found]:
    judgement = Judgement(level=Level.UNKNOWN, reason=why)
    return [Found(column=c, judgement=judgement) for c in [*dict.fromkeys(columns), *([None] if together else [])]]


def _results(state: State, judge: Judge, of: Calibrated, unit: Unit, window: Window) -> list[Result]:
    back = needed(unit) - 1
    begin, end = -(-window.start_ms // of.pane_ms), window.end_ms // of.pane_ms
    since = min(begin, end - 1)
    first = since - back
    counts = trace(state, window.key, judge.layout.id, of.pane_ms, first * of.pane_ms, end * of.pane_ms)
    vectors = np.zeros((len(counts), unit.components.entries))
    there = [i for i, c in enumerate(counts) if c is not None]
    if there:
        vectors[there] = unit.components.vectors([c for c in counts if c is not None])
    begun = there[0] if there else len(counts)  # before it is no silence, but nothing kept
    return list(look(unit, first + begun, vectors[begun:], since=since).results)


def _rank(result: Result) -> tuple[bool, bool, float]:
    """The most telling first: drift, then a glitch, then the least p-value relative to its bound."""
    p = math.inf if result.p_value is None else result.p_value / result.alpha
    return not result.drift, not result.glitch, p


def _found(column: str | None, result: Result, pane_ms: int) -> Found:
    if result.p_value is None:
        why = f"{result.effective:.0f} events' worth in the longest look, at least 25 needed"
        return Found(column=column, judgement=Judgement(level=Level.UNKNOWN, reason=why))
    value, bound = _short(evidence(result.p_value)), _short(evidence(result.alpha))
    level = Level.DRIFT if result.drift else Level.WARNING if result.glitch else Level.OK
    return Found(
        column=column,
        judgement=Judgement(level=level, reason=_reason(result, pane_ms), threshold=bound, direction="above"),
        value=value,
        p_value=_short(result.p_value),
        effect=_short(result.size) if math.isfinite(result.size) else None,
        onset_ms=result.onset * pane_ms if result.drift else None,
    )


def _reason(result: Result, pane_ms: int) -> str:
    size = f"{figure(result.size, 3, sign=True)}{'' if result.unit == 'units' else ' ' + result.unit}"
    if result.over is not None:
        was = f"{rfc3339(result.onset * pane_ms)} to {rfc3339(result.over * pane_ms)}"
        return f"{result.component} ({size}) was drift from {was}; since then p {result.p_value:.2g}"
    said = (
        f"{result.component} ({size}) over the last {lasting(result.panes * pane_ms)}; "
        f"p {result.p_value:.2g}, bound {result.alpha:.2g}"
    )
    if result.glitch:
        return f"{said}; two panes alone make it: a burst of outliers, no drift"
    if not result.drift:
        return f"nothing beyond its bound; the most telling: {said}"
    since = rfc3339(result.onset * pane_ms)
    return f"{said}; since about {since}" + (f"; {result.sooner}" if result.sooner else "")


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")

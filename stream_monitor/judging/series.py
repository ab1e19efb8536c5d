"""The series of a monitor's values that a change detector judges: one value a window, or one a pane (`every: pane`).

    windows      |   9:00   |   9:05   |   9:10   |
    every window      0.11       0.12       0.31
    every pane     .1 .1 .12  .1 .1 .1  .3 .3 .34      one verdict a window still: that of its worst pane
    single errors  4/40 ...   4/40 ...  12/40 ...      of each pane, in an order drawn for it (single_errors.py)

A detector sees each value once, in the order of time. Its state after the values that are final is kept; those of
windows that may still re-open stand in a tail behind it. A window that closes again replaces its values, and it and
those after it are judged anew from the state: the last revision of every verdict is what it would have been without the
delay.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, NamedTuple

from detectors import Judgement, Level
from detectors.counts import Counts, columns, outcome
from detectors.layouts import LABELS
from stream_monitor.config import Model
from stream_monitor.config.monitors import Monitor
from stream_monitor.judging.families import Place
from stream_monitor.judging.judges import LEAST_OF_PANE, Judge, Learnt
from stream_monitor.judging.tails import Judged, Value, updated
from stream_monitor.state.memories import Key, KeyState, SeriesState
from stream_monitor.state.states import State
from stream_monitor.state.traces import KEPT, LET_GO, LOOKS, let_go, trace
from stream_monitor.state.windows import Window

LEARNING: Final = "the reference, which the detector's limit is learnt from, is still being learnt"
_WORST: Final = (Level.DRIFT, Level.WARNING, Level.OK, Level.UNKNOWN)


class Sequel(NamedTuple):
    """What the series up to a window's end says of the window. `moved`: later windows must be judged again."""

    judgement: Judgement
    moved: bool = False
    onset_ms: int | None = None


def judge_series(
    state: State, monitor: Monitor, place: Place | None, judge: Judge | None, window: Window, value: float, why: str
) -> Sequel:
    """Put the values of a window in their places in the series, and judge the series up to its end.

    `value` is that of the whole window, nan where it has none; `why` says why.
    """
    own = state.keys[window.key]
    learnt = _learnt(monitor, place, judge)
    if learnt is None:
        return Sequel(Judgement(level=Level.UNKNOWN, reason=why if not math.isfinite(value) else LEARNING))
    series = _series(own, monitor, place, learnt)
    if monitor.by_pane:
        width = _width(state, monitor, judge, window.key)
        values = _of_panes(state, monitor, place, judge, window, width)
    else:
        width, values = 0, {window.start_ms: monitor.shown(value) if monitor.reads == "rates" else value}
    within = {start for start, _ in series.tail if _inside(start, width, window)} | values.keys()
    forgotten = min(state.traces.get(window.key, {}), default=window.start_ms) if width else -math.inf
    before = dict(series.tail)
    after = {s: v for s, v in before.items() if s not in within or (s not in values and s < forgotten)}
    after |= {start: v for start, v in values.items() if isinstance(v, tuple) or math.isfinite(v)}
    moved = False
    if after != before:
        series.tail = sorted(after.items())
        moved = any(start > window.start_ms and start not in within for start in after)
    if not math.isfinite(value) or not any(start in within for start in after):
        if width and window.revision and let_go(state, window.key, window.end_ms):
            why = why or LET_GO
        return Sequel(Judgement(level=Level.UNKNOWN, reason=why or "no pane of it has enough rows"), moved)
    known = _known(state, window.key).setdefault(_name(monitor, place), Judged())
    model = state.model(window.key[0])
    apart = width or (window.end_ms - window.start_ms if model.window.rows else model.slide_ms)
    return _judged(known, _in_panes(learnt, model, width), series, window, width, apart, within, moved)


def _known(state: State, key: Key) -> dict[str, Judged]:
    known: dict[str, Judged] = state.derived.setdefault(("judged", key), {})
    return known


def _name(monitor: Monitor, place: Place | None) -> str:
    return f"{monitor.name}|{place[1] if place else ''}"


def _in_panes(learnt: Learnt, model: Model, width: int) -> Learnt:
    """With the detector's `hold`, which is of windows, in panes of this length: alerts wait for windows."""
    if not width:
        return learnt
    panes = LOOKS if model.window.rows else -(-model.window.size // width)
    return learnt._replace(detector=_held(learnt.detector, panes))


@lru_cache(maxsize=1024)
def _held(detector: Any, times: int) -> Any:
    return replace(detector, hold=detector.hold * times) if getattr(detector, "hold", 0) else detector


def _judged(
    known: Judged, learnt: Learnt, series: SeriesState, window: Window, width: int, apart: int, within: set[int],
    moved: bool,
) -> Sequel:  # fmt: skip
    """`apart`: from a value of the series to the next, in ms."""
    end = window.end_ms - width if width else window.end_ms - 1  # of the last value that may be seen
    tail = series.tail[: bisect_right(series.tail, end, key=itemgetter(0))]
    judgements = known.along(learnt.detector, series.state, tail)
    found = [(start, judged) for (start, _), judged in zip(tail, judgements, strict=True) if start in within]
    start, judgement = min(reversed(found), key=lambda f: _WORST.index(f[1].level))
    onset = None
    if judgement.level is Level.DRIFT and judgement.onset is not None:
        onset = _onset(series, start, judgement.onset, apart)
    reason = judgement.reason
    if width:
        reason = f"pane of {width / 1000:g} s, {len(found)} in this window: {reason}"
    return Sequel(replace(judgement, reason=reason + learnt.note), moved, onset)


def _onset(series: SeriesState, start: int, updates: int, step: int) -> int:
    """The start of the window or pane in which the update so many before the last one of `start` was."""
    fed = [(s, value[0] if isinstance(value, tuple) else 1) for s, value in series.tail if s <= start]
    back = updates
    for s, count in reversed(fed):
        if back < count:
            return s
        back -= count
    mean = sum(count for _, count in fed) / len(fed)
    return max(0, fed[0][0] - (1 + int(back // mean)) * step)


def settle(state: State, key: Key, watched: tuple[Monitor, ...], judge: Judge | None) -> None:
    """Move values of windows that can re-open no more from the tails into the memories."""
    own = state.keys[key]
    if not own.series:
        return
    by_name = {m.name: m for m in watched}
    final = min(own.windows, default=None)
    for name, series in list(own.series.items()):
        monitor = by_name.get(name.rpartition("|")[0])
        if monitor is None or not monitor.sequential:
            del own.series[name]
            continue
        if not series.tail:
            continue
        learnt = _learnt(monitor, _place(judge, monitor, name.rpartition("|")[2]), judge)
        if learnt is None or not _continues(series, learnt):
            continue
        width = _width(state, monitor, judge, key) if monitor.by_pane else 0
        learnt = _in_panes(learnt, state.model(key[0]), width)
        ready = sum(final is None or start + (width or 1) <= final for start, _ in series.tail)
        first = series.tail[: max(ready, len(series.tail) - KEPT)]
        if not first:
            continue
        memory: Mapping[str, Any] = series.state
        for _, value in first:
            memory, _ = updated(learnt.detector, memory, value)
        series.state, series.tail = dict(memory), series.tail[len(first) :]
        _known(state, key).setdefault(name, Judged()).settled(series.state, first)


def _learnt(monitor: Monitor, place: Place | None, judge: Judge | None) -> Learnt | None:
    """The detector as it is stated, or as the reference makes it; None while there is no reference yet."""
    if monitor.detector is not None:
        return _sized(Learnt(monitor.detector, monitor.detector.start(), "", ""))
    if judge is None:
        return None
    return _sized(judge.detector(monitor, place))


def _sized(learnt: Learnt) -> Learnt:
    """With the size of its memory beside the reference: what is in a memory of another size stands elsewhere."""
    size = getattr(getattr(learnt.detector, "detector", learnt.detector), "size", None)
    return learnt if size is None else learnt._replace(reference=f"{learnt.reference}/{size()}")


def _series(own: KeyState, monitor: Monitor, place: Place | None, learnt: Learnt) -> SeriesState:
    """The series so far; begun anew when the reference is another, or the memory is of another release."""
    name = _name(monitor, place)
    series = own.series.get(name)
    if series is None or not _continues(series, learnt):
        series = own.series[name] = SeriesState(dict(learnt.start), [], learnt.reference)
    return series


def _continues(series: SeriesState, learnt: Learnt) -> bool:
    return series.reference == learnt.reference and series.state.keys() == learnt.start.keys()


def _place(judge: Judge | None, monitor: Monitor, column: str) -> Place | None:
    if not column or judge is None:
        return None
    return next((p for p in judge.places(monitor) if p[1] == column), None)


def _width(state: State, monitor: Monitor, judge: Judge | None, key: Key) -> int:
    """Length of the panes whose values the detector sees."""
    if judge is not None and monitor.detector is None:
        return judge.pane_ms
    return state.models[key[0]].trace_ms


def _inside(start: int, width: int, window: Window) -> bool:
    """Whether a value is the window's: a pane belongs to the window that it ends in."""
    if not width:
        return start == window.start_ms
    return window.start_ms < start + width <= window.end_ms


def _of_panes(
    state: State, monitor: Monitor, place: Place | None, judge: Judge | None, window: Window, width: int
) -> dict[int, Value]:
    """The metric of every pane that ends in the window and has enough rows (labels) to say anything.

    For a detector of single errors, how many events and errors it has: one event says what it has to say.
    """
    if window.layout is None or not width:
        return {}
    first = (window.start_ms // width) * width
    counts = trace(state, window.key, window.layout.id, width, first, window.end_ms // width * width)
    least = min(state.model(window.key[0]).min_rows, LEAST_OF_PANE)
    found: dict[int, Value] = {}
    for i, some in enumerate(counts):
        start = first + i * width
        if some is None or not _inside(start, width, window):
            continue
        if monitor.reads == "errors":
            events = _events(monitor, place, window, some)
            if events[0]:
                found[start] = events
            continue
        value = _value(monitor, place, judge, window, some, least)
        if math.isfinite(value):
            found[start] = monitor.shown(value) if monitor.reads == "rates" else value
    return found


def _events(monitor: Monitor, place: Place | None, window: Window, counts: Counts) -> tuple[int, int]:
    """How many events a pane has for the metric, and how many of them were for the worse."""
    metric = monitor.metric
    assert metric.events is not None
    if metric.needs == "outcome":
        return metric.events(outcome(counts))
    assert window.layout is not None
    assert place is not None
    now = columns(counts, window.layout)[place]
    return metric.events(now, now)


def _value(
    monitor: Monitor, place: Place | None, judge: Judge | None, window: Window, counts: Counts, least: int
) -> float:
    metric = monitor.metric
    if metric.needs == "outcome":
        told = outcome(counts)
        enough = told.rows if metric.group == "stream" else int(told.cells[LABELS])
        return metric.function(told) if enough >= least else math.nan
    assert window.layout is not None
    assert place is not None
    now = columns(counts, window.layout)[place]
    if now.rows < least:
        return math.nan
    if metric.reference_free:
        return metric.function(now, now)
    if judge is None or judge.empty or judge.layout.id != window.layout.id:
        return math.nan
    return metric.function(now, judge.columns[place])

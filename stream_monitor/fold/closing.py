"""Which windows of a model are due, in the order of their ends, and what closing one of them looks like.

A window closes when the model's watermark has passed its end. Late events re-open it: it closes again at once, with the
next revision.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from detectors.layouts import RAW_ID
from stream_monitor.config import Model
from stream_monitor.counting.panes import raw_pane_ms
from stream_monitor.interfaces import Catalog
from stream_monitor.state.memories import Key, Pane, WindowState
from stream_monitor.state.states import State
from stream_monitor.state.units import keys_of
from stream_monitor.state.windows import Sums, Window, add_up, is_retired, layout_of, next_start, unit_ms

REMEMBERED: Final = 16  # starts of last windows kept per key, at least what `retire_after` asks for

Due = tuple[int, Key, int]  # end, key, start


def due_windows(state: State, name: str, limit_ms: int | None, catalog: Catalog) -> Iterator[list[Due]]:
    """Windows of a model that end by `limit_ms`, those of one end at a time; None: all that hold events.

    Each must be closed by `close` before the next are asked for.
    """
    model = state.model(name)
    last = max((max(state.panes[k]) for k in keys_of(state, name) if state.panes.get(k)), default=None)
    while True:
        found: list[Due] = []
        for key in keys_of(state, name):
            next_ = _next(state, key, model, limit_ms, last, catalog)
            if next_ is not None and (not found or next_[0] <= found[0][0]):
                found = [f for f in found if f[0] == next_[0]] + [next_]
        if not found:
            return
        yield found


def _next(state: State, key: Key, model: Model, limit_ms: int | None, last: int | None, catalog: Catalog) -> Due | None:
    own = state.keys[key]
    if own.next_ms is None or last is None:
        return None
    if model.window.rows:
        end = _end_by_rows(state, key, model, limit_ms, catalog)
        return None if end is None else (end, key, own.next_ms)
    end = own.next_ms + model.window.size
    if own.next_ms > last if limit_ms is None else end > limit_ms:
        return None
    return end, key, own.next_ms


def _end_by_rows(state: State, key: Key, model: Model, limit_ms: int | None, catalog: Catalog) -> int | None:
    """End of the open window by rows: of the pane in which it has enough of them, once that pane is complete."""
    own, panes = state.keys[key], state.panes.get(key, {})
    pending = state.derived.get(("pending", key))
    if pending is not None and pending < model.window.rows and limit_ms is not None:
        return None
    assert own.next_ms is not None
    rows, end = 0, None
    for unit in sorted(u for u in panes if u >= own.next_ms):
        rows += panes[unit].rows
        end = unit + pane_ms(panes[unit], model, catalog)
        if rows >= model.window.rows:
            return end if limit_ms is None or end <= limit_ms else None
    state.derived["pending", key] = rows
    return end if limit_ms is None else None


def pane_ms(pane: Pane, model: Model, catalog: Catalog) -> int:
    """Length of a unit of windows by rows: of the longest pane counted in it."""
    return max(raw_pane_ms(model) if i == RAW_ID else catalog.layout(i).pane_ms for i in pane.layouts)


def window_of(state: State, key: Key, start_ms: int, end_ms: int, catalog: Catalog) -> Window:
    """The window as its counts are now, with the revision that it would close with."""
    model, panes = state.model(key[0]), state.panes.get(key, {})
    unit = unit_ms(model)
    if unit and unit < model.window.size:
        sums = state.derived.get(("sums", key))
        if not isinstance(sums, Sums):
            sums = state.derived["sums", key] = Sums(state.panes.setdefault(key, {}), unit)
        units: list[Pane] = [panes[u] for u in range(start_ms, end_ms, unit) if u in panes]
        counts = sums.total(start_ms, end_ms)
    else:
        starts = [start_ms] if unit else sorted(panes)
        units = [panes[u] for u in starts if start_ms <= u < end_ms and u in panes]
        counts = add_up(p.counts() for p in units)
    before = state.keys[key].windows.get(start_ms)
    layout = layout_of(counts)
    return Window(
        key=key,
        start_ms=start_ms,
        end_ms=end_ms,
        revision=0 if before is None else before.revision + 1,
        late_rows=sum(p.late for p in units),
        counts=counts,
        layout=catalog.layout(layout) if layout else None,
    )


def close(state: State, window: Window) -> None:
    """Note that a window has closed, for the first time or again; what its key closes next."""
    key, own, model = window.key, state.keys[window.key], state.model(window.key[0])
    own.windows[window.start_ms] = WindowState(window.end_ms, window.revision)
    state.touch("k", *key)
    if own.closed_ms is not None and window.start_ms <= own.closed_ms:
        return
    own.closed_ms = window.start_ms
    own.starts = [*own.starts, window.start_ms][-max(REMEMBERED, model.alerts.retire_after) :]
    if model.window.rows:
        own.next_ms = window.end_ms
        state.derived.pop(("pending", key), None)
        return
    own.empties = 0 if window.rows or window.labels else own.empties + 1
    retired = is_retired(state.models[key[0]].versions, key[1], window.end_ms)
    own.next_ms = next_start(own, state.panes.get(key, {}), model, retired=retired)

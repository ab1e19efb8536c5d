"""Panes of a block -> units of event time of the state; which closed windows they re-open; which units may go.

    ... | history, for spans to promote | units of windows that may still re-open | watermark | open ...
                                        ^ watermark - allowed lateness - window

Bounded: per key the units of windows that may still change, and for the segment `all` the last HISTORY units as well,
which lie on a shelf; of the last VERSIONS versions, and none of one that has been silent for the last HISTORY units of
its model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from detectors.arrivals import feature_rows
from detectors.counts import Counts
from detectors.layouts import LABELS, RAW_ID
from stream_monitor.config import Model
from stream_monitor.config.roles import matches
from stream_monitor.counting.panes import NULL, OTHER, raw_pane_ms
from stream_monitor.entries import PaneRecord, Source
from stream_monitor.interfaces import Catalog
from stream_monitor.packing import packed_rows, unpack_counts
from stream_monitor.state.memories import Key, KeyState, ModelState, Pane, VersionState
from stream_monitor.state.states import State
from stream_monitor.state.windows import Sums, first_start, is_retired, next_start, starts_of, unit_ms

HISTORY: Final = 1024  # units of the segment `all` kept per version
VERSIONS: Final = 32  # versions kept of a model


Gather = Callable[[State, Source, PaneRecord, Catalog], None]


def apply(state: State, source: Source, record: PaneRecord, catalog: Catalog, gather: Gather) -> set[tuple[Key, int]]:
    """Count a pane in. Starts of windows of its key that had been closed and must be closed again.

    `gather` is told of every pane that was counted.
    """
    name, model, known = record.model, state.model(record.model), state.models[record.model]
    key = (name, record.version, _segment(state, model, record))
    rows = packed_rows(record.counts) if record.counts else 0
    _count(state, model, source, record, rows)
    pane_ms = raw_pane_ms(model) if record.layout == RAW_ID else catalog.layout(record.layout).pane_ms
    length = unit_ms(model) or pane_ms
    unit = record.start_ms // length * length if unit_ms(model) else record.start_ms
    panes = state.panes.setdefault(key, {})
    if not (rows or (record.counts and len(unpack_counts(record.counts).cells))):
        if record.late and unit in panes:
            panes[unit].add_late(record.late)
            state.touch("p", *key, unit)
        return set()
    lateness = state.config.time.allowed_lateness if state.config is not None else 0
    if known.watermark_ms is not None and unit + length <= known.watermark_ms - lateness:
        _gone(state, name, rows, record)
        return set()
    own = state.keys.get(key)
    if own is None:
        own = state.keys[key] = KeyState()
        state.derived.pop(("keys", name), None)
    again = (
        _place_by_time(own, model, unit)
        if unit_ms(model)
        else _place_by_rows(own, unit)
    )  # fmt: skip
    if again is None:
        _gone(state, name, rows, record)
        return set()
    _put(state, key, unit, source, record, rows)
    state.touch("k", *key)
    if rows and record.segment == "all":
        _note_version(known, record)
    if unit_ms(model) and own.closed_ms is not None:
        retired = is_retired(known.versions, record.version, own.closed_ms + model.window.size)
        own.next_ms = next_start(own, panes, model, retired=retired)
    if record.layout == RAW_ID:
        known.raw_until_ms = max(record.start_ms + pane_ms, known.raw_until_ms or 0)
    state.touch("m", name)
    gather(state, source, record, catalog)
    return {(key, start) for start in again}


def _segment(state: State, model: Model, record: PaneRecord) -> str:
    """The segment it is counted under: its own, or `other` once its dimension has `max_segments` values.

    Why first come, first kept: what is kept must be bounded whatever values come, and a value must not change its
    segment while its windows are open. A block alone never brings more values than that either (panes.admitted).
    """
    dimension, equals, value = record.segment.partition("=")
    if not equals or value in (NULL, OTHER) or (record.model, record.version, record.segment) in state.keys:
        return record.segment
    own = (record.model, record.version)
    apart = (f"{dimension}={NULL}", f"{dimension}={OTHER}")
    kept = sum(k[:2] == own and k[2].startswith(f"{dimension}=") and k[2] not in apart for k in state.keys)
    return record.segment if kept < model.max_segments else f"{dimension}={OTHER}"


def _count(state: State, model: Model, source: Source, record: PaneRecord, rows: int) -> None:
    if record.segment != "all":
        return
    counters = state.head_state.counters
    if (rows or record.late) and matches(model.topic, source.topic):
        versions = counters.events.setdefault(record.model, {})
        versions[record.version] = versions.get(record.version, 0) + rows + record.late
    if record.late:
        counters.late[record.model] = counters.late.get(record.model, 0) + record.late


def _gone(state: State, name: str, rows: int, record: PaneRecord) -> None:
    late, events = state.head_state.counters.late_after_idle, rows
    if not events:
        counts = unpack_counts(record.counts)
        events = feature_rows(counts) or labels_in(counts)
    late[name] = late.get(name, 0) + events


def _put(state: State, key: Key, unit: int, source: Source, record: PaneRecord, rows: int) -> None:
    panes = state.panes[key]
    pane = panes.get(unit)
    if pane is None:
        pane = panes[unit] = Pane()
    pane.add(record.layout, record.counts)
    pane.cover(f"{source.topic}/{source.partition}", *record.offsets)
    if record.late:
        pane.add_late(record.late)
    sums = state.derived.get(("sums", key))
    if isinstance(sums, Sums):
        sums.changed(unit)
    pending = state.derived.get(("pending", key))
    if pending is not None:
        state.derived["pending", key] = pending + rows
    state.touch("p", *key, unit)


def _note_version(known: ModelState, record: PaneRecord) -> None:
    version = known.versions.get(record.version)
    if version is None:
        known.versions[record.version] = VersionState(record.start_ms, record.start_ms)
    else:
        version.first_ms = min(version.first_ms, record.start_ms)
        version.last_ms = max(version.last_ms, record.start_ms)
    if known.trained_ms is None:
        known.trained_ms = record.start_ms


def _place_by_time(own: KeyState, model: Model, unit: int) -> list[int]:
    """Make sure that every window of the unit will be closed; starts of those that were, to be closed again."""
    size, slide = model.window.size, model.slide_ms
    first = first_start(unit, size, slide)
    if own.closed_ms is None:
        own.next_ms = first if own.next_ms is None else min(own.next_ms, first)
        own.first_ms = own.next_ms
        return []
    assert own.first_ms is not None
    begin = own.first_ms if own.begin_ms is None else own.begin_ms
    first = first if own.begin_ms is None else max(first, begin)
    again = [s for s in starts_of(unit, size, slide) if s <= own.closed_ms and (own.begin_ms is None or s >= begin)]
    if first < own.first_ms:  # windows between, which had not begun to exist
        again = sorted({*again, *range(first, own.first_ms, slide)})
        own.first_ms = first
    last = unit // slide * slide
    if last <= own.closed_ms:  # what was closed as empty is not
        own.empties = min(own.empties, (own.closed_ms - last) // slide)
    return again


def _place_by_rows(own: KeyState, unit: int) -> list[int] | None:
    """The window that holds the unit, if it was closed; None if no window ever will hold it."""
    if own.closed_ms is None:
        own.next_ms = unit if own.next_ms is None else min(own.next_ms, unit)
        return []
    assert own.next_ms is not None
    if unit >= own.next_ms:
        return []
    held = [s for s, w in own.windows.items() if s <= unit < w.end_ms]
    return held or None


def forget(state: State, name: str) -> None:
    """Let go of units and windows of a model that nothing can change or need any more."""
    model, known = state.model(name), state.models[name]
    assert state.config is not None
    if known.watermark_ms is None:
        return
    forget_versions(state, name)
    final, floor = known.watermark_ms - state.config.time.allowed_lateness, _history_begins(state, name)
    for key in keys_of(state, name):
        own, panes = state.keys[key], state.panes.get(key, {})
        for start in [s for s, w in own.windows.items() if w.end_ms <= final]:
            del own.windows[start]
            state.touch("k", *key)
        horizon = min([final - model.window.size, own.next_ms if own.next_ms is not None else final, *own.windows])
        old = sorted(u for u in panes if u < horizon)
        kept = HISTORY if key[2] == "all" and (floor is None or max(panes, default=floor) >= floor) else 0
        for unit in old[: max(0, len(old) - kept)]:
            del panes[unit]
            state.touch("p", *key, unit)
            sums = state.derived.get(("sums", key))
            if isinstance(sums, Sums):
                sums.changed(unit)
        state.put_away(key, old[-kept:] if kept else ())


def _history_begins(state: State, name: str) -> int | None:
    """Start of the last HISTORY units of a model with several versions, of all of them; None: it has no more."""
    of = [state.panes.get(key, {}) for key in keys_of(state, name) if key[2] == "all"]
    if len(of) < 2 or sum(map(len, of)) <= HISTORY:
        return None
    starts = sorted(set().union(*of))
    return starts[-HISTORY] if len(starts) > HISTORY else None


def forget_versions(state: State, name: str) -> None:
    """Let go of all that is kept of the oldest versions, once there are too many and they have no alert."""
    known = state.models[name]
    excess = len(known.versions) - VERSIONS
    for version in sorted(known.versions, key=lambda v: (known.versions[v].last_ms, v)):
        keys = [k for k in keys_of(state, name) if k[1] == version]
        if excess <= 0 or any(g.alert for k in keys for g in state.keys[k].groups.values()):
            continue
        excess -= 1
        del known.versions[version]
        known.references.pop(version, None)
        state.disuse(name)
        for key in keys:
            del state.keys[key]
            state.touch("k", *key)
            for unit in state.panes.pop(key, {}):
                state.touch("p", *key, unit)
            state.derived.pop(("sums", key), None)
            state.derived.pop(("pending", key), None)
        state.derived.pop(("keys", name), None)
        state.touch("m", name)


def unit_ends(state: State, key: Key, model: Model) -> int | None:
    """End of the last unit counted of a key, whose windows were those of `model`."""
    panes = state.panes.get(key)
    if not panes:
        return None
    return max(panes) + (unit_ms(model) or raw_pane_ms(model))


def keys_of(state: State, name: str) -> list[Key]:
    """Keys of a model, sorted."""
    keys: list[Key] | None = state.derived.get(("keys", name))
    if keys is None:
        keys = state.derived["keys", name] = sorted(k for k in state.keys if k[0] == name)
    return keys


def labels_in(counts: Counts) -> int:
    """How many labels are counted in."""
    i = int(counts.cells.searchsorted(LABELS))
    return int(counts.values[i]) if i < len(counts.cells) and counts.cells[i] == LABELS else 0

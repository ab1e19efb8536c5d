"""The fold: what one entry of the log does to the state, and what is put out because of it.

`step` is pure but for changing the state it is given: no clock, no random number, no store. Time is the time in the
entries. So state and outputs are a function of a prefix of the log, and whoever folds it again puts out the same bytes.
"""

from __future__ import annotations

from typing import Final

from detectors.layouts import RAW_ID
from stream_monitor.entries import Bundle, Entry, PaneRecord, Source, partition_of
from stream_monitor.fold import alerts
from stream_monitor.fold.commands import obey
from stream_monitor.fold.lives import alert_output, go_on
from stream_monitor.fold.removals import is_watched
from stream_monitor.fold.summaries import counters_output, model_output
from stream_monitor.interfaces import Catalog
from stream_monitor.judging.learning import gather, progress
from stream_monitor.judging.verdicts import monitors
from stream_monitor.outputs import Output
from stream_monitor.state import traces
from stream_monitor.state.concerns import concerned, configured_models
from stream_monitor.state.memories import Early, Key
from stream_monitor.state.sources import arrive
from stream_monitor.state.states import State
from stream_monitor.state.units import apply

__all__ = ["State", "finish", "step"]

EARLY: Final = 5_000  # panes kept of models that no configuration has named yet
LATE: Final = ("labels_late", "features_late")  # what is told of events that are late and have no pane to say so

Again = dict[str, set[tuple[Key, int]]]


def step(state: State, entry: Entry, catalog: Catalog) -> tuple[State, list[Output]]:
    """Fold one entry in. The state given is changed and returned; the outputs come in the order to publish them.

    When `state.stopped` is set, the blocks contradict each other: publish the outputs, then leave with StateError. A
    KeyError of the catalog (a layout or a reference it has not read yet) leaves the state half changed: derive it anew.
    """
    if state.stopped:
        return state, []
    head = state.head_state
    head.entries += 1
    head.now_ms = max(head.now_ms, entry.at_ms)
    if isinstance(entry, Bundle):
        outputs = _bundle(state, entry, catalog)
    else:
        outputs = obey(state, entry, catalog)
        if entry.kind == "config":
            outputs += _apply_early(state, catalog)
    if outputs or head.now_ms // 1_000 > head.counters_second:
        head.counters_second = head.now_ms // 1_000
        outputs += _learning(state, {o.model for o in outputs})
        outputs.append(counters_output(state))
    return state, outputs


def finish(state: State, catalog: Catalog) -> list[Output]:
    """The end of the files: no event will come any more, so every window closes."""
    state.ended = True
    outputs = [o for name in configured_models(state) for o in go_on(state, name, set(), catalog, end=True)]
    return [*outputs, counters_output(state)]


def _bundle(state: State, bundle: Bundle, catalog: Catalog) -> list[Output]:
    arrival = arrive(state, bundle)
    here = concerned(state, bundle.source.topic)
    place = f"{bundle.source.topic}/{bundle.source.partition}"
    outputs: list[Output] = []
    if arrival.impossible:
        state.head_state.counters.overlap_blocks += 1
        state.head_state.stopped = arrival.impossible
        return _alarm(state, here, place, f"stopped: {arrival.impossible}")
    if not arrival.block:
        return []
    if arrival.alarm:
        outputs += _alarm(state, here, place, f"{place}: {arrival.alarm}")
    again: Again = {}
    for part in arrival.block:
        _count(state, part)
        for record in part.panes:
            _take(state, part.source, record, catalog, again, counted_under=part.config)
    for name in here:
        outputs += go_on(state, name, again.get(name, set()), catalog)
    return outputs


def _count(state: State, part: Bundle) -> None:
    """What has no panes: dead letters and what is told of a model, each to one worker partition; gaps, to every one."""
    counters, topic, partition = state.head_state.counters, part.source.topic, str(part.source.partition)
    for reason, events in part.dead.items():
        _add(counters.dead_letters, topic, reason, events)
    if part.holes:
        _add(counters.offset_gaps, topic, partition, part.holes)
    for model, told in part.told.items():
        for what, events in told.items():
            _add(counters.told, model, what, events)
            if what in LATE:
                counters.late[model] = counters.late.get(model, 0) + events


def _add(counts: dict[str, dict[str, int]], first: str, second: str, events: int) -> None:
    of = counts.setdefault(first, {})
    of[second] = of.get(second, 0) + events


def _take(
    state: State, source: Source, record: PaneRecord, catalog: Catalog, again: Again, counted_under: str = ""
) -> None:
    """Count a pane in, or keep it until its model is configured. What was configured once and is no more is gone."""
    head = state.head_state
    if partition_of(record.model, head.partitions) != head.partition:
        return
    old = state.configured is not None and counted_under in state.configured.before
    if state.config is None or record.model not in state.config.models:
        if not old and len(state.early) < EARLY:
            i = max(state.early, default=-1) + 1
            state.early[i] = Early(source, record)
            state.touch("e", i)
        else:
            head.counters.dropped_panes += 1
        return
    if old and not is_watched(state, record.model, record.segment):
        return
    known = state.models[record.model]
    if not known.layout and record.layout != RAW_ID:  # of before it was removed, or its state was lost: taps go on
        known.layout = record.layout
    again.setdefault(record.model, set()).update(apply(state, source, record, catalog, _kept))


def _kept(state: State, source: Source, record: PaneRecord, catalog: Catalog) -> None:
    """A pane was counted: what else is made of it."""
    gather(state, source, record, catalog)
    if any(m.metric.needs == "scan" or m.by_pane for m in monitors(state, record.model)):
        traces.keep(state, source, record, catalog)


def _apply_early(state: State, catalog: Catalog) -> list[Output]:
    """Panes that waited for the configuration of their models."""
    waiting, again = dict(state.early), Again()
    for i in waiting:
        state.touch("e", i)
    state.early.clear()
    for i in sorted(waiting):
        _take(state, waiting[i].source, waiting[i].record, catalog, again)
    return [o for name in sorted(again) for o in go_on(state, name, again[name], catalog)]


def _alarm(state: State, names: list[str], place: str, reason: str) -> list[Output]:
    outputs: list[Output] = []
    for name in names:
        known = state.models[name]
        newest = max(known.versions, key=lambda v: (known.versions[v].first_ms, v), default="")
        key, now = (name, newest, alerts.SOURCES), state.head_state.now_ms
        made = alerts.alarm(known.stream, key, state.model(name).alerts, place, reason, now)
        state.touch("m", name)
        outputs += [alert_output(state, a) for a in made]
        outputs.append(model_output(state, name))
    return outputs


def _learning(state: State, told: set[str]) -> list[Output]:
    """Documents of models that are still learning, so that one sees how far they are."""
    return [model_output(state, n) for n in configured_models(state) if n not in told and progress(state, n)]

"""What goes when the configuration names it no more: a model, or a segment of one. Alerts end first, with a reason."""

from __future__ import annotations

from typing import Any

from stream_monitor.config import Model
from stream_monitor.fold import alerts
from stream_monitor.fold.lives import alert_output
from stream_monitor.moments import rfc3339
from stream_monitor.outputs import Output
from stream_monitor.state.memories import GroupState, Key
from stream_monitor.state.states import State
from stream_monitor.state.units import keys_of


def remove(state: State, name: str, reason: str) -> list[Output]:
    """Let go of all that is kept of a model, which is in the configuration no more; its last outputs."""
    known = state.models[name]
    known.documents += 1
    outputs = [o for key in keys_of(state, name) for o in _end_alerts(state, state.keys[key].groups, reason)]
    outputs += _end_alerts(state, {"stream": known.stream}, reason)
    for key in list(keys_of(state, name)):
        _forget(state, key)
    for key in [k for k in state.gathered if k[0] == name]:
        for start in state.gathered.pop(key):
            state.touch("l", *key, start)
    counters = state.head_state.counters
    for totals in (counters.events, counters.late, counters.late_after_idle, counters.retrain_requests):
        totals.pop(name, None)
    known.reference, known.references = "", {}
    state.disuse(name)
    del state.models[name]
    state.touch("m", name)
    now = state.head_state.now_ms
    body: dict[str, Any] = {"model": name, "removed": rfc3339(now), "note": reason, "firing": []}
    outputs.append(
        Output(kind="model", model=name, id=name, order=name, revision=known.documents, time_ms=now, body=body)
    )
    return outputs


def forget_segments(state: State, name: str, before: Model) -> list[Output]:
    """Let go of the segments of a model that were dimensions of its configuration `before` and are no more."""
    dimensions = set(before.segments) - set(state.model(name).segments)
    gone = [k for k in keys_of(state, name) if k[2].partition("=")[0] in dimensions]
    outputs = [o for key in gone for o in _end_alerts(state, state.keys[key].groups, "no longer a segment")]
    for key in gone:
        _forget(state, key)
    return outputs


def is_watched(state: State, name: str, segment: str) -> bool:
    """Whether a segment is one of the model's configuration."""
    return segment == "all" or any(segment.startswith(f"{d}=") for d in state.model(name).segments)


def _end_alerts(state: State, groups: dict[str, GroupState], reason: str) -> list[Output]:
    now = state.head_state.now_ms
    made = [alerts.move(groups[g], "resolved", reason, "", now) for g in sorted(groups) if groups[g].alert]
    return [alert_output(state, alert) for alert in made]


def _forget(state: State, key: Key) -> None:
    state.touch("k", *key)
    del state.keys[key]
    for unit in state.panes.pop(key, {}):
        state.touch("p", *key, unit)
    for start in state.traces.pop(key, {}):
        state.touch("f", *key, start)
    for what in ("sums", "pending", "judged"):
        state.derived.pop((what, key), None)
    state.derived.pop(("keys", key[0]), None)

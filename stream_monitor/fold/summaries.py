"""Status documents of the fold: what a model's state comes to, and the counters of a worker partition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from stream_monitor.config import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Budget
from stream_monitor.fold.alerts import LEVELS
from stream_monitor.fold.retrains import ACTIVE
from stream_monitor.judging.learning import progress
from stream_monitor.moments import rfc3339
from stream_monitor.outputs import Output
from stream_monitor.state.memories import GroupState, Key
from stream_monitor.state.states import State
from stream_monitor.state.units import keys_of

WORST: Final = 10  # columns in a model's document
BREAKDOWN: Final = 200  # versions x segments in it
SERIES: Final = 5_000  # metric values in a counters document
NAMES: Final = {level: name for name, level in LEVELS.items()}
NOTE: Final = "thresholds come from the reference's own windows; the false-alarm budget is aimed at, not yet guaranteed"


def model_output(state: State, name: str) -> Output:
    """The document of a model, as it stands now."""
    known = state.models[name]
    known.documents += 1
    state.touch("m", name)
    return Output(
        kind="model",
        model=name,
        id=name,
        order=name,
        revision=known.documents,
        time_ms=state.head_state.now_ms,
        body=_model_body(state, name),
    )


def _model_body(state: State, name: str) -> dict[str, Any]:
    model, known = state.model(name), state.models[name]
    keys = keys_of(state, name)
    awake = [k for k in keys if state.keys[k].last and (state.keys[k].next_ms is not None or len(keys) == 1)] or [
        k for k in keys if state.keys[k].last
    ]
    events = state.head_state.counters.events.get(name, {})
    latest = max((str(state.keys[k].last["end"]) for k in awake), default="")
    last = [state.keys[k].last for k in awake if k[2] == "all" and state.keys[k].last["end"] == latest]
    rows, labels = sum(w["rows"] for w in last), sum(w["labels"] for w in last)
    return {
        "model": name,
        "task": model.task,
        "levels": _levels([state.keys[k].groups for k in awake] + [{"stream": known.stream}]),
        "versions": [
            {
                "version": version,
                "rows": events.get(version, 0),
                "first": rfc3339(seen.first_ms),
                "last": rfc3339(seen.last_ms),
                "levels": _levels(state.keys[k].groups for k in keys if k[1] == version),
                "reference": known.references.get(version, known.reference) or None,
            }
            for version, seen in sorted(known.versions.items(), key=lambda v: (v[1].first_ms, v[0]))
        ],
        "segments": sorted({k[2] for k in keys}),
        "breakdown": [_breakdown(state, k) for k in keys[:BREAKDOWN]],
        "last_window": {"start": last[0]["start"], "end": last[0]["end"], "rows": rows} if last else None,
        "worst": _worst(state, awake),
        "rows": sum(events.values()),
        "label_coverage": labels / rows if rows else None,
        "firing": sorted(a["id"] for a in alerts_of(state, name) if a["state"] in ACTIVE),
        "layout": known.layout or None,
        "reference": {"id": known.reference, **known.reference_facts} if known.reference else None,
        "learning": progress(state, name) or None,
        "retrain": {
            "waiting": known.waiting or None,
            "last": None if known.requested_ms is None else rfc3339(known.requested_ms),
        },
        "watermark": None if known.watermark_ms is None else rfc3339(known.watermark_ms),
        "budget": {"stated": _budget(model.false_alarms), "guaranteed": False, "note": NOTE},
        "note": known.note or None,
    }


def _breakdown(state: State, key: Key) -> dict[str, Any]:
    own = state.keys[key]
    return {"version": key[1], "segment": key[2], "levels": _levels([own.groups]), "last_window": own.last or None}


def _worst(state: State, keys: Iterable[Key]) -> list[dict[str, Any]]:
    found = [
        {**w, "group": group, "version": k[1], "segment": k[2]}
        for k in keys
        for group, it in sorted(state.keys[k].groups.items())
        for w in it.worst
    ]
    found.sort(key=lambda w: (-LEVELS[w["level"]], w["segment"] != "all"))
    return found[:WORST]


def _levels(groups: Iterable[dict[str, GroupState]]) -> dict[str, str]:
    worst: dict[str, int] = {}
    for of in groups:
        for name, group in of.items():
            if name == "stream" and not group.runs and group.level < 0 and not group.alert:
                continue
            level = 2 if group.alert and group.alert["state"] in ACTIVE and group.level < 0 else group.level
            worst[name] = max(worst.get(name, -1), level)
    return {name: NAMES[worst[name]] for name in sorted(worst)}


def alerts_of(state: State, name: str) -> list[dict[str, Any]]:
    """Alerts of a model that are not resolved."""
    groups = [g for k in keys_of(state, name) for _, g in sorted(state.keys[k].groups.items())]
    return [g.alert for g in [*groups, state.models[name].stream] if g.alert]


def counters_output(state: State) -> Output:
    """The counters of this worker partition."""
    head = state.head_state
    counters = head.counters
    body = {
        "partition": head.partition,
        "at_ms": head.now_ms,
        "entries": head.entries,
        "stopped": head.stopped or None,
        "events": counters.events,
        "dead_letters": counters.dead_letters,
        "late": counters.late,
        "late_after_idle": counters.late_after_idle,
        "duplicate_blocks": counters.duplicate_blocks,
        "overlap_blocks": counters.overlap_blocks,
        "dropped_panes": counters.dropped_panes,
        "offset_gaps": counters.offset_gaps,
        "told": counters.told,
        "silence": _silence(state),
        "watermarks": _watermarks(state),
        "retrain_requests": counters.retrain_requests,
        "alerts_firing": _firing(state),
        "levels": [
            [*k, group, it.level] for k in sorted(state.keys) for group, it in sorted(state.keys[k].groups.items())
        ],
        "metrics": list(islice(_metrics(state), SERIES)),
    }
    return Output(
        kind="counters",
        model="",
        id=str(head.partition),
        order=f"{head.partition:05}",
        revision=head.entries,
        time_ms=head.now_ms,
        body=_copied(body),
    )


def tallies(state: State) -> dict[str, Any]:
    """Of the counters, those that a worker counts of its own partitions."""
    counters = state.head_state.counters
    body = {
        "events": counters.events,
        "duplicate_blocks": counters.duplicate_blocks,
        "overlap_blocks": counters.overlap_blocks,
        "retrain_requests": counters.retrain_requests,
    }
    return dict(_copied(body))


def _metrics(state: State) -> Iterator[list[Any]]:
    """Values of the last windows, those of whole models first."""
    for key in sorted(state.keys, key=lambda k: (k[2] != "all", k)):
        for metric, column, value in state.keys[key].values:
            yield [*key, metric, column, value]


def _watermarks(state: State) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for place, source in sorted(state.head_state.sources.items()):
        if source.watermark_ms is not None:
            topic, _, partition = place.rpartition("/")
            found.setdefault(topic, {})[partition] = source.watermark_ms
    return found


def _silence(state: State) -> dict[str, dict[str, float]]:
    """Seconds since the last record of each partition, as of its last block."""
    found: dict[str, dict[str, float]] = {}
    for place, source in sorted(state.head_state.sources.items()):
        topic, _, partition = place.rpartition("/")
        found.setdefault(topic, {})[partition] = (source.at_ms - source.spoke_ms) / 1000
    return found


def _firing(state: State) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for name in sorted(state.models):
        for alert in alerts_of(state, name):
            if alert["state"] in ACTIVE:
                of = found.setdefault(name, {})
                of[alert["group"]] = of.get(alert["group"], 0) + 1
    return found


def _copied(value: Any) -> Any:
    """The state goes on changing; what was put out must not."""
    if isinstance(value, dict):
        return {k: _copied(value[k]) for k in sorted(value)}
    return list(value) if isinstance(value, list) else value


def _budget(budget: Budget) -> str:
    for unit, ms in (("d", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS), ("s", SECOND_MS)):
        if budget.per_ms % ms == 0:
            return f"{budget.alarms:g} per {budget.per_ms // ms}{unit}"
    return f"{budget.alarms:g} per {budget.per_ms}ms"

"""A model goes on: its watermark moves, windows close in the order of their ends, and what follows from each of them.

watermark -> learn -> [re-opened windows] -> windows of one end -> verdicts -> alerts -> superseded -> retrain request
                                                ^------------------- the next end --------------------------v
"""

from __future__ import annotations

from typing import Any

from stream_monitor.fold import alerts, retrains
from stream_monitor.fold.closing import close, due_windows, window_of
from stream_monitor.fold.retrainings import retrain
from stream_monitor.fold.summaries import model_output
from stream_monitor.interfaces import Catalog
from stream_monitor.judging.learning import learn, progress
from stream_monitor.judging.series import settle
from stream_monitor.judging.trailing import exclude_alerts
from stream_monitor.judging.verdicts import Judged, judge_of, judge_window, monitors
from stream_monitor.moments import rfc3339
from stream_monitor.outputs import Output
from stream_monitor.state import traces
from stream_monitor.state.concerns import topics_of
from stream_monitor.state.memories import GroupState, Key, KeyState
from stream_monitor.state.states import State
from stream_monitor.state.units import forget, keys_of
from stream_monitor.state.watermarks import model_watermark
from stream_monitor.state.windows import Window


def go_on(state: State, name: str, again: set[tuple[Key, int]], catalog: Catalog, *, end: bool = False) -> list[Output]:
    """Close what is due and draw the conclusions. `end`: no event will come any more."""
    known = state.models[name]
    mark = model_watermark(state.head_state.sources, topics_of(state, name))
    if mark is not None and (known.watermark_ms is None or mark > known.watermark_ms):
        known.watermark_ms = mark
        state.touch("m", name)
    outputs = learn(state, name, catalog)
    learnt = bool(outputs)
    outputs += _close_again(state, name, again, catalog)
    if known.watermark_ms is not None or end:
        for due in due_windows(state, name, None if end else known.watermark_ms, catalog):
            for stop, key, start in due:
                outputs += _close(state, window_of(state, key, start, stop, catalog), catalog)
            outputs += _conclude(state, name, due[0][0])
    if any(o.kind == "window" for o in outputs):
        forget(state, name)
        traces.forget(state, name)
        for key in keys_of(state, name):
            settle(state, key, monitors(state, name), judge_of(state, key, catalog))
    if outputs or learnt:
        outputs.append(model_output(state, name))
    return outputs


def _close_again(state: State, name: str, again: set[tuple[Key, int]], catalog: Catalog) -> list[Output]:
    """Close re-opened windows once more, and those whose verdicts depend on them."""
    outputs: list[Output] = []
    size = state.model(name).window.size
    waiting = {(s, k) for k, s in again} | _of_other_versions(state, name, again)
    while waiting:
        start, key = min(waiting)
        waiting.remove((start, key))
        known = state.keys[key].windows.get(start)
        window = window_of(state, key, start, start + size if known is None else known.end_ms, catalog)
        judged = judge_window(state, window, catalog, progress(state, name))
        if judged.moved:
            waiting |= {(s, key) for s in state.keys[key].windows if s > start}
        outputs += _put_out(state, window, judged)
    return outputs


def _of_other_versions(state: State, name: str, again: set[tuple[Key, int]]) -> set[tuple[int, Key]]:
    """The volume of a window is that of all versions, so theirs are judged again too."""
    if not any(m.metric.needs == "window" for m in monitors(state, name)):
        return set()
    return {
        (start, other)
        for key, start in again
        for other in keys_of(state, name)
        if other[2] == key[2] and start in state.keys[other].windows
    }


def _close(state: State, window: Window, catalog: Catalog) -> list[Output]:
    """Close a window for the first time: its verdicts move the alerts of its key."""
    judged = judge_window(state, window, catalog, progress(state, window.key[0]))
    outputs = _put_out(state, window, judged)
    own, model = state.keys[window.key], state.model(window.key[0])
    by_group: dict[str, list[dict[str, Any]]] = {}
    for verdict in judged.verdicts:
        by_group.setdefault(verdict["group"], []).append(verdict)
    severities = {m.name: m.spec.severity for m in monitors(state, window.key[0])}
    for name in sorted(by_group):
        group = own.groups.setdefault(name, GroupState())
        alerts.observe(group, by_group[name], window.start_ms)
        made = alerts.advance(
            group, name, window.key, model.alerts, by_group[name], severities, state.head_state.now_ms
        )
        if group.alert:
            _cover(state, window, group)
        outputs += [alert_output(state, a) for a in made]
    return outputs


def _put_out(state: State, window: Window, judged: Judged) -> list[Output]:
    own = state.keys[window.key]
    newest = own.closed_ms is None or window.start_ms >= own.closed_ms
    close(state, window)
    if newest:
        _remember(own, window, judged)
    outputs = [
        Output(
            kind="window",
            model=window.key[0],
            id=window.name,
            order=window.name,
            revision=window.revision,
            time_ms=window.end_ms,
            body=window.body(),
        )
    ]
    for verdict in judged.verdicts:
        order = f"{window.name}|{verdict['monitor']}|{verdict['column'] or ''}"
        outputs.append(
            Output(
                kind="verdict",
                model=window.key[0],
                id=verdict["id"],
                order=order,
                revision=window.revision,
                time_ms=window.end_ms,
                body=verdict,
            )
        )
    return outputs


def _remember(own: KeyState, window: Window, judged: Judged) -> None:
    own.last = {
        "start": rfc3339(window.start_ms),
        "end": rfc3339(window.end_ms),
        "rows": window.rows,
        "labels": window.labels,
        "revision": window.revision,
    }
    own.values = judged.values


def _cover(state: State, window: Window, group: GroupState) -> None:
    """Add the offsets of the version's events of this window to those the alert covers."""
    panes = state.panes.get((window.key[0], window.key[1], "all"), {})
    begin = window.start_ms if group.offsets else min(group.onset_ms, window.start_ms)
    group.offsets = retrains.union(
        [group.offsets, *(panes[u].offsets for u in sorted(panes) if begin <= u < window.end_ms)]
    )


def alert_output(state: State, alert: dict[str, Any]) -> Output:
    """The message of an alert's transition."""
    now = state.head_state.now_ms
    known = state.models[alert["model"]]
    held = alerts.silenced(alert, known.silences, now)
    return Output(
        kind="alert",
        model=alert["model"],
        id=alerts.message_id(alert),
        order=f"{alert['started_at']}|{alert['version']}|{alert['segment']}|{alert['group']}",
        revision=len(alert["transitions"]),
        time_ms=now,
        body={**alert, "silenced": held},
    )


def _conclude(state: State, name: str, end_ms: int) -> list[Output]:
    """After all windows of one end: alerts of versions that were superseded, the quiet of the sources, retraining."""
    known, rules = state.models[name], state.model(name).alerts
    now = state.head_state.now_ms
    exclude_alerts(state, name, end_ms)
    made = _supersede(state, name)
    made += alerts.quieten(known.stream, rules, now)
    known.closed_end_ms = end_ms if known.closed_end_ms is None else max(known.closed_end_ms, end_ms)
    state.touch("m", name)
    return [alert_output(state, a) for a in made] + retrain(state, name, end_ms)


def _supersede(state: State, name: str) -> list[alerts.Alert]:
    known, rules = state.models[name], state.model(name).alerts
    made: list[alerts.Alert] = []
    for key in keys_of(state, name):
        mine = known.versions.get(key[1])
        for group_name, group in sorted(state.keys[key].groups.items()):
            if not group.alert or mine is None:
                continue
            for version, newer in sorted(known.versions.items(), key=lambda v: (v[1].first_ms, v[0])):
                other = state.keys.get((name, version, key[2]))
                if newer.first_ms <= mine.first_ms or other is None or len(other.starts) < rules.retire_after:
                    continue
                silent = other.starts[-rules.retire_after] > mine.last_ms
                fine = other.groups.get(group_name)
                if silent and fine is not None and fine.ok_windows >= rules.resolve_after:
                    reason = f"superseded by {version}"
                    made.append(alerts.move(group, "resolved", reason, "", state.head_state.now_ms))
                    group.runs = {}
                    state.touch("k", *key)
                    break
    return made

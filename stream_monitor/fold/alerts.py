"""The life of an alert: what a window's verdicts do to the one alert of a (model, version, segment, monitor group).

           DRIFT         `for` windows in a row          told by a person
    (none) -----> pending ----------------> firing ------------------> acknowledged
                     | not DRIFT any more      | everything it is about OK | `resolve_after` windows in a row
                     +-----------------------> resolved <------------------+

One thing (a monitor's column) must persist for `for` windows: noise that hops from column to column is not drift.
UNKNOWN windows neither count nor break a row, so too little data can neither fire nor resolve anything. A window that
is re-opened by late events is judged anew but moves no alert: an alert that was sent cannot be unsent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stream_monitor.config import Alerts
from stream_monitor.figures import figure
from stream_monitor.moments import epoch_ms, rfc3339
from stream_monitor.state.memories import GroupState, Key, Run, Silence

ALERT_NAMES: Final[Mapping[str, str]] = {
    "drift": "ModelDrift",
    "performance": "ModelPerformance",
    "quality": "DataQuality",
    "stream": "StreamHealth",
    "fairness": "ModelFairness",
}
WORST: Final = 10  # columns named in an alert
SOURCES: Final = "sources"  # in place of a segment: what makes the alert of `alarm` another one than a window's
EVIDENCE: Final = 50  # verdict ids kept in an alert
LEVELS: Final[Mapping[str, int]] = {"unknown": -1, "ok": 0, "warning": 1, "drift": 2}

Verdict = Mapping[str, Any]  # in the public shape
Alert = dict[str, Any]  # in the public shape


@dataclass(frozen=True, slots=True)
class Transition:
    """Where an alert goes next, and why."""

    to: str
    reason: str


def decide(state: str, *, persisting: int, ok: int, rules: Alerts) -> Transition | None:
    """The next state of an alert in `state` ("" for none), or None if it stays.

    `persisting`: for how many windows in a row one thing has been DRIFT, at the most. `ok`: for how many windows in a
    row everything the alert is about has been OK.

    >>> decide("pending", persisting=2, ok=0, rules=Alerts(for_=2))
    Transition(to='firing', reason='drift for 2 windows')
    """
    if state == "":
        return Transition("pending", "drift") if persisting else None
    if state == "pending":
        if persisting >= rules.for_:
            return Transition("firing", f"drift for {_windows(persisting)}")
        if not persisting:
            return Transition("resolved", f"did not last {_windows(rules.for_)}")
        return None
    return Transition("resolved", f"ok for {_windows(ok)}") if ok >= rules.resolve_after else None


def observe(group: GroupState, verdicts: Sequence[Verdict], start_ms: int) -> None:
    """Take the verdicts of one closed window of one group into its rows of windows. No transition is made here."""
    levels = {series(v): LEVELS[v["level"]] for v in verdicts}
    onsets = {series(v): epoch_ms(v["onset"]) for v in verdicts if "onset" in v}
    known = [level for level in levels.values() if level >= 0]
    group.level = max(known, default=-1)
    if known:
        group.ok_windows = group.ok_windows + 1 if group.level == 0 else 0
    for name, level in levels.items():
        if level == 2:
            run = group.runs.setdefault(name, Run(0, min(start_ms, onsets.get(name, start_ms))))
            run.windows += 1
        elif level >= 0:
            group.runs.pop(name, None)
    for name in [n for n in group.runs if n not in levels]:  # no longer monitored
        del group.runs[name]
    group.worst = worst(verdicts)
    if group.alert:
        _observe_alert(group, levels)


def _observe_alert(group: GroupState, levels: Mapping[str, int]) -> None:
    drifting = {name for name, level in levels.items() if level == 2}
    group.about = sorted({n for n in group.about if n in levels} | drifting)
    about = [levels[n] for n in group.about]
    if any(level > 0 for level in about):
        group.alert_ok = 0
    elif all(level == 0 for level in about):
        group.alert_ok += 1


def advance(
    group: GroupState, name: str, key: Key, rules: Alerts, verdicts: Sequence[Verdict], severities: Mapping[str, str],
    now_ms: int,
) -> list[Alert]:  # fmt: skip
    """Make the transitions that are due after `observe`; the alert after each of them.

    `severities` are by monitor. The alert in `group` is gone once it is resolved.
    """
    made: list[Alert] = []
    persisting = max((r.windows for r in group.runs.values()), default=0)
    while (
        next_ := decide(group.alert.get("state", ""), persisting=persisting, ok=group.alert_ok, rules=rules)
    ) is not None:
        if not group.alert:
            _begin(group, name, key, rules, now_ms)
        _describe(group, key, name, verdicts, severities, rules)
        made.append(move(group, next_.to, _because(next_, group), "", now_ms))
    return made


def _begin(group: GroupState, name: str, key: Key, rules: Alerts, now_ms: int) -> None:
    model, version, segment = key
    group.onset_ms = min(r.since_ms for r in group.runs.values())
    group.about = sorted(group.runs)
    group.alert_ok = 0
    group.alert = {
        "id": _digest("alert", *key, name, str(group.onset_ms), str(now_ms)),
        "model": model,
        "version": version,
        "segment": segment,
        "group": name,
        "state": "",
        "severity": "warning",
        "started_at": rfc3339(now_ms),
        "updated_at": rfc3339(now_ms),
        "onset": rfc3339(group.onset_ms),
        "resolved_at": None,
        "reason": "",
        "transitions": [],
        "worst": [],
        "verdicts": [],
        "labels": dict(rules.labels),
        "annotations": {},
    }


def _describe(
    group: GroupState, key: Key, name: str, verdicts: Sequence[Verdict], severities: Mapping[str, str], rules: Alerts
) -> None:
    alert = group.alert = dict(group.alert)  # bodies already put out stay as they were
    if any(v["level"] == "drift" for v in verdicts):  # what a resolved alert was about stays in it
        alert["worst"] = group.worst[:WORST]
        alert["verdicts"] = [v["id"] for v in verdicts if v["level"] == "drift"][:EVIDENCE]
    monitors = {n.rpartition("|")[0] for n in group.about}
    if alert["state"] in ("", "pending"):  # from then on it is part of what the alert is known by outside
        alert["severity"] = "critical" if any(severities.get(m) == "critical" for m in monitors) else "warning"
    columns = [w["column"] or w["metric"] for w in alert["worst"]]
    of = f"{key[0]} {key[1]}".strip() + ("" if key[2] in ("all", SOURCES) else f" ({key[2]})")
    alert["annotations"] = {
        "summary": f"{of}: {name}" + (f" in {', '.join(columns[:3])}" if columns else ""),
        "description": "; ".join(map(_line, alert["worst"])),
        **({"runbook": rules.runbook} if rules.runbook else {}),
    }


def move(group: GroupState, to: str, reason: str, by: str, now_ms: int) -> Alert:
    """Put the alert into another state; the alert as it is then."""
    alert = group.alert
    step = {"at": rfc3339(now_ms), "from": alert["state"], "to": to, "reason": reason, "by": by}
    group.alert = {
        **alert,
        "state": to,
        "reason": reason,
        "updated_at": rfc3339(now_ms),
        "resolved_at": rfc3339(now_ms) if to == "resolved" else None,
        "transitions": [*alert["transitions"], step],
    }
    made = group.alert
    if to == "resolved":
        group.alert, group.alert_ok, group.about = {}, 0, []
    return made


def alarm(group: GroupState, key: Key, rules: Alerts, place: str, reason: str, now_ms: int) -> list[Alert]:
    """Something happened to a model's source that must be told at once; `group` is the model's own, of no window."""
    group.worst = [{"column": place, "metric": "source", "value": None, "threshold": None, "level": "drift"}]
    group.about = ["source|" + place]
    made = []
    if not group.alert:
        group.runs = {group.about[0]: Run(1, now_ms)}
        _begin(group, "stream", key, rules, now_ms)
        group.runs = {}
        made.append(move(group, "pending", reason, "", now_ms))
    group.alert_ok = 0
    group.alert = {**group.alert, "worst": group.worst}
    _describe(group, key, "stream", [], {"source": "critical"}, rules)
    made.append(move(group, "firing", reason, "", now_ms))
    return made


def quieten(group: GroupState, rules: Alerts, now_ms: int) -> list[Alert]:
    """A window closed without another alarm: the alert of `alarm` resolves after `resolve_after` of them."""
    if not group.alert:
        return []
    group.alert_ok += 1
    if group.alert_ok < rules.resolve_after:
        return []
    return [move(group, "resolved", f"nothing more for {_windows(group.alert_ok)}", "", now_ms)]


def message_id(alert: Alert) -> str:
    """ce_id of an alert's message: of the alert and its transition."""
    return _digest("transition", alert["id"], str(len(alert["transitions"])), alert["state"])


def silenced(alert: Alert, silences: Sequence[Silence], now_ms: int) -> list[str]:
    """Ids of the silences that hold an alert back.

    >>> silenced({"group": "drift", "model": "m", "labels": {}}, [Silence("s1", {"group": "drift"}, 10, "", "")], 9)
    ['s1']
    """
    labels = {**alert["labels"], "alertname": ALERT_NAMES.get(alert["group"], "")}
    labels.update({n: alert[n] for n in ("model", "version", "segment", "group", "severity", "id") if n in alert})
    return [
        s.id for s in silences if s.until_ms > now_ms and all(labels.get(n) == value for n, value in s.matchers.items())
    ]


def series(verdict: Verdict) -> str:
    """What a verdict is about, whatever the window: its monitor and column."""
    return f"{verdict['monitor']}|{verdict['column'] or ''}"


def worst(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """The verdicts past their threshold, by level and then by how far: value against threshold."""

    def far(verdict: Verdict) -> float:
        value, threshold = verdict["value"], verdict["threshold"]
        if value is None or threshold is None:
            return 0.0
        beyond: float = threshold - value if verdict["direction"] == "below" else value - threshold
        return float(beyond / (abs(threshold) + 1e-12))

    past = [v for v in verdicts if LEVELS[v["level"]] > 0]
    # Single columns before all together: they say where to look.
    past.sort(key=lambda v: (-LEVELS[v["level"]], v["column"] is None, -far(v), series(v)))
    return [
        {n: v[n] for n in ("column", "metric", "value", "threshold", "level")}
        | ({"words": v["reason"].partition(";")[0]} if v["metric"] == "scan" else {})
        for v in past[:WORST]
    ]


def _because(transition: Transition, group: GroupState) -> str:
    if transition.to not in ("pending", "firing") or not group.worst:
        return transition.reason
    return f"{transition.reason}: {_line(group.worst[0])}"


def _line(worst: Mapping[str, Any]) -> str:
    """One of the worst, for people."""
    if "words" in worst:
        return str(worst["words"])
    what = f"{worst['column'] or 'model'}: {worst['metric']} {figure(worst['value'])}"
    return what if worst["threshold"] is None else f"{what}, threshold {figure(worst['threshold'])}"


def _windows(n: int) -> str:
    return f"{n} window" if n == 1 else f"{n} windows"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:24]

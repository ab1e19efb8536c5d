"""Which notice goes to whom, and when: pure decisions that take the present as an argument.

A notice is one alert transition, or one retrain request, on its way to one target. `pending` tells nobody; firing,
acknowledged and resolved do. Transitions of an alert that a silence covers wait until it ends and are then dropped,
should anything newer have happened. A target that resends (Alertmanager) is told states, not transitions, so an
overtaken transition is not delivered to it at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from stream_monitor.config import DAY_MS, MINUTE_MS, SECOND_MS, Target
from stream_monitor.deliveries.wordings import Alert, alert_labels, instant
from stream_monitor.errors import DeliveryError
from stream_monitor.interfaces import Notice

GIVE_UP_MS: Final = DAY_MS
LONGEST_WAIT_MS: Final = 5 * MINUTE_MS
RESEND_RESOLVED_MS: Final = 5 * MINUTE_MS
LOOK_AGAIN_MS: Final = MINUTE_MS  # during a silence, which can be ended before its time
TRIGGER: Final = "trigger:"  # begins the names of triggers
NOTIFIES: Final = ("firing", "acknowledged", "resolved")
ACTIVE: Final = ("firing", "acknowledged")

Identity = tuple[str, str, str, str]  # model, version, segment, group: of which one alert at a time is active
Action = Literal["deliver", "hold", "drop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Labels that an alert must have for nobody to be told of it before `until_ms`."""

    id: str
    matchers: Mapping[str, str]
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do with a notice now, and why."""

    action: Action
    reason: str = ""
    due_ms: int = 0  # hold: until when


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterFailure:
    """What to do with a notice that was not taken: `due_ms` None means give up."""

    due_ms: int | None
    reason: str


# -- names and texts


def target_names(targets: Sequence[Target], prefix: str = "") -> list[str]:
    """The name of each target: its kind, from the second of a kind on with a number. One added at the end renames none.

    >>> target_names([Target(kind="slack"), Target(kind="webhook"), Target(kind="webhook")])
    ['slack', 'webhook', 'webhook[1]']
    """
    seen: dict[str, int] = {}
    names = []
    for target in targets:
        n = seen[target.kind] = seen.get(target.kind, -1) + 1
        names.append(f"{prefix}{target.kind}[{n}]" if n else f"{prefix}{target.kind}")
    return names


def body_bytes(body: Mapping[str, Any]) -> bytes:
    """The bare message as it goes out, keys in the order they came in.

    >>> body_bytes({"b": 1, "a": 2})
    b'{"b":1,"a":2}'
    """
    return msgspec.json.encode(body)


# -- what becomes a notice


def alert_notices(
    id: str, body: Alert, sinks: Iterable[str], now_ms: int, origin: tuple[str, int, int] = ("", -1, -1)
) -> list[Notice]:
    """The notices of one alert message; `id` is its ce_id. None while nobody is to be told.

    >>> [n.target for n in alert_notices("m1", {"state": "firing"}, ["slack", "webhook"], 0)]
    ['slack', 'webhook']
    >>> alert_notices("m0", {"state": "pending"}, ["slack"], 0)
    []
    """
    if body.get("state") not in NOTIFIES or not has_fired(body):
        return []
    return [_notice("alert", id, body, name, now_ms, origin) for name in sinks]


def retrain_notices(
    id: str,
    body: Mapping[str, Any],
    triggers: Iterable[str],
    now_ms: int,
    origin: tuple[str, int, int] = ("", -1, -1),
) -> list[Notice]:
    """The notices of one retrain request. None for a dry run, or while it waits for the approval it needs.

    >>> retrain_notices("r1", {"approval": True, "approved_by": None}, ["trigger:webhook"], 0)
    []
    """
    if body.get("dry_run") or (body.get("approval") and not body.get("approved_by")):
        return []
    return [_notice("retrain-request", id, body, name, now_ms, origin) for name in triggers]


def _notice(
    kind: Literal["alert", "retrain-request"],
    id: str,
    body: Mapping[str, Any],
    target: str,
    now_ms: int,
    origin: tuple[str, int, int],
) -> Notice:
    return Notice(id=id, kind=kind, target=target, body=body, first_ms=now_ms, due_ms=now_ms, origin=origin)


def has_fired(body: Alert) -> bool:
    """Whether the alert has ever been firing: what never was is not reported as resolved either."""
    return body.get("state") == "firing" or any(t.get("to") == "firing" for t in body.get("transitions") or ())


# -- what to do with a notice that is due


def decide(
    notice: Notice,
    now_ms: int,
    *,
    silences: Iterable[Silence] = (),
    newest: Mapping[Identity, Alert] | None = None,
    tells_states: bool = False,
) -> Decision:
    """Deliver, hold or drop. `newest`: the newest alert of each identity; `tells_states`: of the target."""
    if notice.kind != "alert":
        return Decision(action="deliver")
    latest = (newest or {}).get(identity(notice.body))
    if (tells_states or notice.held) and latest is not None and _newer(latest, notice.body):
        return Decision(action="drop", reason=f"overtaken: the alert is {latest.get('state')}")
    silence = silenced(notice.body, silences, now_ms)
    if silence is not None:
        due_ms = min(silence.until_ms, now_ms + LOOK_AGAIN_MS)
        return Decision(action="hold", reason=f"silence {silence.id}", due_ms=due_ms)
    return Decision(action="deliver")


def silenced(body: Alert, silences: Iterable[Silence], now_ms: int) -> Silence | None:
    """The silence that covers the alert longest, if any does. No matchers cover nothing."""
    labels = {**alert_labels(body), "group": str(body["group"]), "id": str(body.get("id") or "")}
    covering = [
        s
        for s in silences
        if now_ms < s.until_ms and s.matchers and all(labels.get(k) == v for k, v in s.matchers.items())
    ]
    return max(covering, key=lambda s: s.until_ms, default=None)


def held(notice: Notice, until_ms: int) -> Notice:
    """The notice as `Outbox.retry` is to keep it for a silence, which counts neither as an attempt nor as delay."""
    return msgspec.structs.replace(notice, held=True, first_ms=until_ms, attempts=-1)


def wait_ms(failures: int) -> int:
    """How long to wait after so many failures in a row: 1 s, doubled each time, at most 5 min.

    >>> [wait_ms(n) for n in (1, 2, 3, 9, 10, 1_000)]
    [1000, 2000, 4000, 256000, 300000, 300000]
    """
    return min(SECOND_MS << min(failures - 1, 20), LONGEST_WAIT_MS)


def after_failure(notice: Notice, error: DeliveryError, now_ms: int) -> AfterFailure:
    """When to try again: by the schedule, no sooner than the target asks, and for the last time after 24 h."""
    if error.permanent:
        return AfterFailure(due_ms=None, reason=str(error))
    last_ms = notice.first_ms + GIVE_UP_MS
    if now_ms >= last_ms:
        return AfterFailure(due_ms=None, reason=f"given up after 24 h: {error}")
    wait = max(wait_ms(notice.attempts + 1), int((error.retry_after or 0.0) * 1000))
    return AfterFailure(due_ms=min(now_ms + wait, last_ms), reason=str(error))


def dead_letter(notice: Notice, detail: str) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers of the record in `dead-letters` for a notice that was given up."""
    topic, partition, offset = notice.origin
    headers = {
        "ce_id": notice.id,
        "content-type": "application/json",
        "reason": "undeliverable",
        "detail": f"{notice.target}: {detail}",
        "topic": topic,
        "partition": str(partition),
        "offset": str(offset),
    }
    key = str(notice.body.get("model", "")).encode()
    return key, body_bytes(notice.body), [(k, v.encode()) for k, v in headers.items()]


# -- alerts as they stand


def identity(body: Alert) -> Identity:
    """Of the alerts with one identity, at most one is active at a time."""
    model, version, segment, group = (str(body.get(k) or "") for k in ("model", "version", "segment", "group"))
    return model, version, segment, group


def newest_of(alerts: Iterable[Alert]) -> dict[Identity, Alert]:
    """The newest alert of each identity: an old one that is resolved must not speak for the one that fires now."""
    found: dict[Identity, Alert] = {}
    for alert in alerts:
        key = identity(alert)
        if key not in found or _newer(alert, found[key]):
            found[key] = alert
    return found


def _newer(a: Alert, b: Alert) -> bool:
    if a.get("id") == b.get("id"):  # its worst columns may be newer too, but that is no other state
        return len(a.get("transitions") or ()) > len(b.get("transitions") or ())
    return _began(a) > _began(b)


def _began(body: Alert) -> float:
    started = instant(body.get("started_at"))
    return started.timestamp() if started else 0.0


def resends(
    newest: Iterable[Alert], seen: Mapping[str, int | None], silences: Sequence[Silence], now_ms: int
) -> tuple[list[Alert], dict[str, int | None]]:
    """The alerts to send again now, and what to pass as `seen` next time.

    Firing ones as long as they fire; resolved ones for 5 minutes since this process first saw it (`seen`: alert id ->
    that time, None while active), by its own clock, since the times of an alert are those of its events.
    """
    due: list[Alert] = []
    after: dict[str, int | None] = {}
    for body in newest:
        id, state = str(body["id"]), body.get("state")
        if not has_fired(body) or state not in NOTIFIES:
            continue
        if state == "resolved":
            if id not in seen:
                resolved = instant(body.get("resolved_at"))
                since = int(resolved.timestamp() * 1000) if resolved else 0
            else:
                since = now_ms if (known := seen[id]) is None else known
            if not 0 <= now_ms - since < RESEND_RESOLVED_MS:
                continue
            after[id] = since
        else:
            after[id] = None
        if silenced(body, silences, now_ms) is None:
            due.append(body)
    return due, after


def silences_of(bodies: Iterable[bytes]) -> list[Silence]:
    """The silences in their status documents. One that cannot be read silences nothing."""
    found = []
    for data in bodies:
        try:
            body = json.loads(data)
            until = instant(body["until"])
            matchers = {str(k): str(v) for k, v in (body.get("matchers") or {}).items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if body.get("model"):
            matchers.setdefault("model", str(body["model"]))
        if until is not None:
            found.append(Silence(id=str(body.get("id", "")), matchers=matchers, until_ms=int(until.timestamp() * 1000)))
    return found

"""When a model should be trained anew, and the request that says so.

    firing alert of a group in `on` -> not yet answered? -> cooldown over? -> labels enough? -> data sound? -> request
    older than `max_age` ------------------------------------^

An alert is answered by one request; a pipeline that failed is not asked again for the same alert, but for the next one,
by age, or by hand. All times here are event times, so that a replay decides alike. A request by hand waits for nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stream_monitor.config import Retrain
from stream_monitor.moments import rfc3339

ACTIVE: Final = ("firing", "acknowledged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """An alert that asks for a retraining: its body, when its drift began, and the monitors that saw it."""

    alert: Mapping[str, Any]
    onset_ms: int
    monitors: Sequence[str]
    offsets: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the decision for one version depends on. `labels` are those since the earliest onset."""

    now_ms: int
    causes: Sequence[Cause]
    labels: int
    requested_ms: int | None
    trained_ms: int | None
    unsound: str = ""  # what is wrong with the data itself


@dataclass(frozen=True, slots=True)
class Decision:
    """Ask now; or wait, and why; or neither."""

    ask: bool
    reason: str


def decide(policy: Retrain, it: Situation) -> Decision:
    """Whether to ask for a retraining now.

    >>> decide(Retrain(max_age=10), Situation(now_ms=15, causes=(), labels=0, requested_ms=None, trained_ms=0))
    Decision(ask=True, reason='older than max_age')
    """
    since = max((t for t in (it.trained_ms, it.requested_ms) if t is not None), default=None)
    old = bool(policy.max_age) and since is not None and it.now_ms - since >= policy.max_age
    if not it.causes and not old:
        return Decision(False, "")
    if it.requested_ms is not None and it.now_ms - it.requested_ms < policy.cooldown:
        return Decision(False, f"cooldown until {rfc3339(it.requested_ms + policy.cooldown)}")
    if it.causes and it.labels < policy.min_labels:
        return Decision(False, f"{it.labels} of {policy.min_labels} labels since the onset")
    if it.unsound:
        return Decision(False, f"the data is unsound: {it.unsound}")
    if it.causes:
        return Decision(True, "; ".join(f"{c.alert['group']}: {c.alert['reason']}" for c in it.causes))
    return Decision(True, "older than max_age")


def request(
    *,
    model: str,
    version: str,
    causes: Sequence[Cause],
    reason: str,
    from_ms: int,
    to_ms: int,
    offsets: Mapping[str, tuple[int, int]],
    reference: str,
    now_ms: int,
    dry_run: bool,
    approved_by: str | None,
    approval: bool,
    command: str = "",
) -> dict[str, Any]:
    """The request in the public shape. Its id, which is its idempotency key, is of what it asks for."""
    body: dict[str, Any] = {
        "model": model,
        "version": version,
        "cause": {
            "alerts": [c.alert["id"] for c in causes],
            "monitors": sorted({m for c in causes for m in c.monitors}),
            "reason": reason,
        },
        "evidence": [
            {
                "alert": c.alert["id"],
                "group": c.alert["group"],
                "segment": c.alert["segment"],
                "onset": rfc3339(c.onset_ms),
                "worst": c.alert["worst"],
                "verdicts": c.alert["verdicts"],
            }
            for c in causes
        ],
        "range": {"from": rfc3339(from_ms), "to": rfc3339(to_ms), "offsets": by_topic(offsets)},
        "reference": reference or None,
        "requested_at": rfc3339(now_ms),
        "dry_run": dry_run,
        "approval": approval,
        "approved_by": approved_by,
    }
    asked = (model, version, rfc3339(from_ms), rfc3339(to_ms), command, *body["cause"]["alerts"])
    id = hashlib.sha256("\x00".join(asked).encode()).hexdigest()[:24]
    return {"id": id, **body, "idempotency_key": id}


def by_topic(offsets: Mapping[str, tuple[int, int]]) -> dict[str, dict[str, list[int]]]:
    """Offsets as requests name them.

    >>> by_topic({"a/1": (3, 9), "a/0": (0, 5)})
    {'a': {'0': [0, 5], '1': [3, 9]}}
    """
    found: dict[str, dict[str, list[int]]] = {}
    for place in sorted(offsets):
        topic, _, partition = place.rpartition("/")
        found.setdefault(topic, {})[partition] = list(offsets[place])
    return found


def union(offsets: Iterable[Mapping[str, tuple[int, int]]]) -> dict[str, tuple[int, int]]:
    """The least range per source partition that covers all.

    >>> union([{"a/0": (3, 9)}, {"a/0": (1, 4), "b/0": (0, 1)}])
    {'a/0': (1, 9), 'b/0': (0, 1)}
    """
    found: dict[str, tuple[int, int]] = {}
    for part in offsets:
        for place, (start, stop) in part.items():
            low, high = found.get(place, (start, stop))
            found[place] = (min(low, start), max(high, stop))
    return found

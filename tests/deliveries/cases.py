"""Messages for the tests, and a case for each sink and trigger: how to make one that talks to a given address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from connectors.sinks import SINKS
from connectors.triggers import TRIGGERS
from stream_monitor.interfaces import Notice, Sink, Trigger

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TIMES = {"pending": "01:00", "firing": "01:05", "acknowledged": "01:10", "resolved": "02:00"}


def at(clock: str) -> str:
    return f"2026-01-01T{clock}:00Z"


def alert(
    state: str = "firing", *, id: str = "a1", path: tuple[str, ...] | None = None, **changes: Any
) -> dict[str, Any]:
    """An alert that came to `state` by `path`."""
    full = ("pending", "firing", "acknowledged", "resolved")
    path = path or full[: full.index(state) + 1]
    transitions = [
        {"at": at(TIMES[to]), "from": before, "to": to, "reason": f"now {to}", "by": ""}
        for before, to in zip(("", *path), path, strict=False)
    ]
    body = {
        "id": id,
        "model": "fraud",
        "version": "3",
        "segment": "country=de",
        "group": "drift",
        "state": path[-1],
        "severity": "critical",
        "started_at": at(TIMES["pending"]),
        "updated_at": transitions[-1]["at"],
        "onset": at("00:45"),
        "resolved_at": at(TIMES["resolved"]) if path[-1] == "resolved" else None,
        "reason": "psi of amount is 0.41, above 0.2, in 2 windows in a row",
        "transitions": transitions,
        "worst": [
            {"column": "amount", "metric": "psi", "value": 0.4123, "threshold": 0.2},
            {"column": "country", "metric": "psi", "value": 0.31, "threshold": 0.2},
        ],
        "verdicts": ["v1", "v2"],
        "labels": {"team": "risk"},
        "annotations": {"runbook": "https://example.org/runbook"},
    }
    return {**body, **changes}


def retrain(**changes: Any) -> dict[str, Any]:
    body = {
        "id": "r1",
        "model": "fraud",
        "version": "3",
        "cause": {"alerts": ["a1"], "monitors": ["drift:psi:amount"]},
        "evidence": [{"verdict": "v1", "value": 0.4123}],
        "range": {"from": at("00:45"), "to": at("01:05"), "offsets": {"fraud.predictions": {"0": [0, 1000]}}},
        "reference": "sha256:ab",
        "requested_at": at("01:05"),
        "idempotency_key": "r1",
        "dry_run": False,
        "approval": False,
        "approved_by": None,
    }
    return {**body, **changes}


def notice(body: dict[str, Any], target: str = "x", **changes: Any) -> Notice:
    kind = "retrain-request" if "idempotency_key" in body else "alert"
    fields = {"id": f"ce-{body['id']}-{body.get('state', '')}", "kind": kind, "target": target, "body": body}
    return Notice(**{**fields, "first_ms": 0, **changes})


@dataclass(frozen=True)
class Case:
    """One kind of target. `path`: where it posts to, below the address it is given."""

    make: Callable[..., Sink | Trigger]
    body: dict[str, Any]
    path: str
    secret: bool = False  # whether it signs


CASES = {
    "alertmanager": Case(SINKS["alertmanager"], alert(), "/api/v2/alerts"),
    "slack": Case(SINKS["slack"], alert(), ""),
    "webhook": Case(SINKS["webhook"], alert(), "", secret=True),
    "trigger:webhook": Case(TRIGGERS["webhook"], retrain(), "", secret=True),
}

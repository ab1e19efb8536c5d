"""What alerts are called outside, and how they read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from stream_monitor.figures import figure
from stream_monitor.fold.alerts import ALERT_NAMES

Alert = Mapping[str, Any]  # the body of an alert message


def alert_name(body: Alert) -> str:
    """The alertname of an alert's group.

    >>> alert_name({"group": "quality"})
    'DataQuality'
    """
    return ALERT_NAMES.get(str(body["group"]), "StreamMonitor")


def alert_labels(body: Alert) -> dict[str, str]:
    """The labels that are an alert's identity outside: the model's own, then ours, which no label of a user replaces.

    >>> alert_labels({"model": "fraud", "group": "drift", "labels": {"team": "risk", "model": "x"}})["model"]
    'fraud'
    """
    own = {str(k): str(v) for k, v in (body.get("labels") or {}).items()}
    ours = {name: str(body.get(name) or "") for name in ("model", "version", "segment", "severity")}
    return {**own, "alertname": alert_name(body), **ours}


def worst_lines(body: Alert, most: int) -> list[str]:
    """The worst columns, a line each.

    >>> worst_lines({"worst": [{"column": "amount", "metric": "psi", "value": 0.4123, "threshold": 0.2}]}, 5)
    ['amount: psi 0.412 (threshold 0.2)']
    """
    lines = []
    for item in (body.get("worst") or [])[:most]:
        if "words" in item:
            lines.append(str(item["words"]))
            continue
        name = f"{item['column']}: {item['metric']}" if item.get("column") else str(item.get("metric"))
        value, threshold = item.get("value"), item.get("threshold")
        shown = f"{name} {figure(value, 3)}" if isinstance(value, int | float) else f"{name} {value}"
        lines.append(f"{shown} (threshold {figure(threshold, 3)})" if isinstance(threshold, int | float) else shown)
    more = len(body.get("worst") or []) - most
    return [*lines, f"and {more} more"] if more > 0 else lines


def instant(text: Any) -> datetime | None:
    """The aware time in an RFC 3339 text; None if it is none.

    >>> instant("2026-01-01T00:00:00Z").timestamp() == 1767225600, instant(None)
    (True, None)
    """
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else None


def short_time(text: Any) -> str:
    """A time for people.

    >>> short_time("2026-01-01T03:00:12.5Z"), short_time(None)
    ('2026-01-01 03:00 UTC', 'unknown')
    """
    at = instant(text)
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else "unknown"


def lasted(body: Alert) -> str:
    """How long a resolved alert lasted, as an addition to a text.

    >>> lasted({"started_at": "2026-01-01T00:00:00Z", "resolved_at": "2026-01-02T03:04:00Z"})
    ' after 27 h 4 min'
    """
    started, resolved = instant(body.get("started_at")), instant(body.get("resolved_at"))
    if started is None or resolved is None or resolved < started:
        return ""
    hours, minutes = divmod(int((resolved - started).total_seconds()) // 60, 60)
    return f" after {hours} h {minutes} min" if hours else f" after {minutes} min"

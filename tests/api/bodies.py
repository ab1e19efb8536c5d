"""Documents as the fold makes them, small."""

from __future__ import annotations

from typing import Any

import msgspec

from stream_monitor.interfaces import Document
from stream_monitor.moments import rfc3339


def document(kind: str, scope: str, body: dict[str, Any], *, order: str = "", revision: int = 1) -> Document:
    id = str(body.get("id") or body.get("model") or order)
    return Document(kind=kind, scope=scope, id=id, order=order or id, revision=revision, body=msgspec.json.encode(body))


def window(
    n: int,
    *,
    model: str = "fraud",
    version: str = "3",
    segment: str = "all",
    revision: int = 1,
    layout: str = "l1",
) -> Document:
    start = rfc3339(n * 60_000)
    column = {
        "type": "numeric",
        "layout": layout,
        "edges": [10.0, 100.0],
        "counts": [50 + n, 30, 20],
        "missing": 1,
        "invalid": 0,
        "other": 0,
        "sum": 5000.0,
        "mean": 50.0,
        "min": 0.5,
        "max": 400.0,
    }
    country = {
        **column,
        "type": "categorical",
        "categories": ["de", "fr<script>"],
        "counts": [70, 31],
        "sum": None,
        "mean": None,
        "min": None,
        "max": None,
    }
    del country["edges"]
    body = {
        "model": model,
        "version": version,
        "segment": segment,
        "start": start,
        "end": rfc3339((n + 1) * 60_000),
        "revision": revision,
        "rows": 101 + n,
        "late_rows": 0,
        "labels": 40,
        "columns": {"amount": column, "country": country},
        "predictions": {},
    }
    order = f"{start}|{version}|{segment}"
    return Document(
        kind="window", scope=model, id=order, order=order, revision=revision, body=msgspec.json.encode(body)
    )


def verdict(n: int, *, level: str = "ok", column: str | None = "amount", group: str = "drift", **more: Any) -> Document:
    start = rfc3339(n * 60_000)
    body = {
        "id": f"v{n}{column}",
        "model": "fraud",
        "version": "3",
        "segment": "all",
        "monitor": "psi",
        "group": group,
        "metric": "psi",
        "column": column,
        "detector": "threshold",
        "start": start,
        "end": rfc3339((n + 1) * 60_000),
        "revision": 1,
        "level": level,
        "value": 0.1 * n,
        "threshold": 0.2,
        "direction": "above",
        "p_value": None,
        "effect": None,
        "rows": 100,
        "reference_rows": 10_000,
        "reason": "psi 0.1",
        **more,
    }
    return document("verdict", "fraud", body, order=f"{start}|3|all")


def alert(
    id: str, *, model: str = "fraud", state: str = "firing", at_ms: int = 0, revision: int = 1, **more: Any
) -> Document:
    body = {
        "id": id,
        "model": model,
        "version": "3",
        "segment": "all",
        "group": "drift",
        "state": state,
        "severity": "critical",
        "started_at": rfc3339(at_ms),
        "updated_at": rfc3339(at_ms),
        "onset": rfc3339(at_ms),
        "resolved_at": rfc3339(at_ms) if state == "resolved" else None,
        "reason": "drift for 2 windows: amount: psi 0.41, threshold 0.2",
        "transitions": [{"at": rfc3339(at_ms), "from": "pending", "to": state, "reason": "", "by": ""}],
        "worst": [{"column": "amount", "metric": "psi", "value": 0.41, "threshold": 0.2, "level": "drift"}],
        "verdicts": ["v1"],
        "labels": {"team": "risk"},
        "annotations": {"summary": "fraud 3: drift in amount"},
        **more,
    }
    return document("alert", model, body, order=f"{rfc3339(at_ms)}|{id}", revision=revision)


def model(name: str = "fraud", *, revision: int = 1, **more: Any) -> Document:
    body = {
        "model": name,
        "levels": {"drift": "drift", "performance": "ok", "quality": "warning", "stream": "unknown"},
        "versions": [{"version": "3", "rows": 1000, "levels": {"drift": "drift"}}],
        "segments": ["all", "country=de"],
        "last_window": {"start": rfc3339(60_000), "end": rfc3339(120_000), "rows": 102, "labels": 40, "version": "3"},
        "worst": [
            {
                "column": "amount",
                "metric": "psi",
                "value": 0.41,
                "threshold": 0.2,
                "level": "drift",
                "group": "drift",
                "version": "3",
                "segment": "all",
            }
        ],
        "rows": 102,
        "label_coverage": 0.39,
        "firing": ["a1"],
        **more,
    }
    return document("model", name, body, revision=revision)


def counters(partition: int = 0, **more: Any) -> Document:
    body = {
        "partition": partition,
        "events": {"fraud": {"3": 1000}},
        "dead_letters": {"fraud.predictions": {"not_json": 3}},
        "late": {"fraud": 2},
        "late_after_idle": {},
        "duplicate_blocks": 1,
        "overlap_blocks": 0,
        "watermarks": {"fraud.predictions": {"0": 90_000}},
        "retrain_requests": {"fraud": 1},
        "alerts_firing": {"fraud": {"drift": 1}},
        "levels": [["fraud", "3", "all", "drift", 2]],
        "metrics": [["fraud", "3", "all", "psi", "amount", 0.41]],
        **more,
    }
    return document("counters", "", body, order=f"{partition}")


TAP = {
    "assigned": [
        {
            "topic": "fraud.predictions",
            "partition": 0,
            "epoch": 0,
            "n": 5,
            "position": 500,
            "committed": 480,
            "lag": 20,
            "watermark_ms": 95_000,
            "idle": False,
        }
    ],
    "events": {"fraud": 1000},
    "dead_letters": {"fraud.predictions": {"not_json": 3}},
    "late": {"fraud": 2},
    "healthy": True,
    "reason": "",
}
WORKER = {"partitions": [{"partition": 0, "at": 77, "lag": 0}], "healthy": True, "reason": ""}

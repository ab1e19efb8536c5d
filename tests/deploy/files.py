"""The files under test, read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DEPLOY = ROOT / "deploy"
KUBERNETES = sorted(
    f for f in (DEPLOY / "kubernetes").glob("*.yaml") if f.name not in ("kustomization.yaml", "monitor.yaml")
)

PREFIX = "stream_monitor_"
# What the contract names and what rules need beside it, without the prefix: counters end in _total, histograms have
# _bucket, _sum and _count.
GAUGES = {
    "ready": set[str](),
    "taps": set[str](),
    "workers": set[str](),
    "consumer_lag_events": {"topic", "partition"},
    "watermark_delay_seconds": {"topic", "partition"},
    "worker_lag_entries": {"partition"},
    "level": {"model", "version", "segment", "group"},
    "metric_value": {"model", "version", "segment", "metric", "column"},
    "alerts_firing": {"model", "group"},
    "build_info": {"version"},
}
COUNTERS = {
    "events_total": {"model", "version"},
    "dead_letters_total": {"topic", "reason"},
    "late_events_total": {"model"},
    "duplicate_blocks_total": set[str](),
    "overlap_blocks_total": set[str](),
    "deliveries_total": {"sink", "outcome"},
    "retrain_requests_total": {"model"},
}
HISTOGRAMS = ("window_close_delay_seconds", "event_to_verdict_seconds")
METRICS: dict[str, set[str]] = {
    **GAUGES,
    **COUNTERS,
    **{f"{h}_{part}": {"le"} if part == "bucket" else set() for h in HISTOGRAMS for part in ("bucket", "sum", "count")},
}


def compose() -> dict[str, Any]:
    """docker-compose.yml with its merges."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return found


def documents(file: Path) -> list[dict[str, Any]]:
    """All documents of a YAML file."""
    return list(yaml.safe_load_all(file.read_text()))


def metrics_in(expression: str) -> set[str]:
    """Names of our metrics in a PromQL expression, without the prefix.

    >>> sorted(metrics_in('rate(stream_monitor_events_total{model="a"}[5m]) > stream_monitor_level'))
    ['events_total', 'level']
    """
    return {m.removeprefix(PREFIX) for m in re.findall(rf"\b{PREFIX}\w+", expression)}

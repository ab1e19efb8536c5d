"""What the checks of a configuration share: the tables of names, what a topic or a time looks like."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from detectors.base import Metric
from stream_monitor.config import Fields

TOPIC_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
OWN_TOPICS: Final = (
    "panes", "verdicts", "alerts", "retrain-requests", "dead-letters", "layouts", "references", "configs",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The tables that names are looked up in. An empty table is not checked against."""

    metrics: Mapping[str, Metric] = field(default_factory=dict)
    detectors: Mapping[str, type] = field(default_factory=dict)
    formats: Mapping[str, Collection[str]] = field(default_factory=dict)  # name -> keys that it takes beside it
    presets: Mapping[str, Fields] = field(default_factory=dict)  # format -> where it puts the parts of an event
    sinks: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    triggers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    schema_registry: Callable[[str, Mapping[str, Any]], object] | None = None  # makes a client, or raises ValueError


def instant(text: str) -> datetime | None:
    """The aware time of an RFC 3339 text; None for anything else.

    >>> instant("2026-01-01T00:00:00Z").isoformat()
    '2026-01-01T00:00:00+00:00'
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None and "T" in text.upper().replace(" ", "T") else None

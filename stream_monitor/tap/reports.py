"""What a tap says of itself: what it has published, what it waits for, what does not work.

Counts are of this process alone; the service's own counters come from the log and are exact through crashes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from stream_monitor.brokers import Partition
from stream_monitor.tap.blocks import Assigned, Counted
from stream_monitor.troubles import Troubles


@dataclass(slots=True)
class Report:
    """Totals of what was published and the troubles of now."""

    bundles: int = 0
    counting_seconds: float = 0.0
    events: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    details: Counter[str] = field(default_factory=Counter)
    dead: dict[str, Counter[str]] = field(default_factory=dict)
    trouble: Troubles = field(default_factory=Troubles)
    waiting: set[str] = field(default_factory=set)  # topics

    def add(self, topic: str, counted: Counted) -> None:
        """A block was published."""
        self.bundles += 1
        self.events.update(counted.events)
        self.late.update(counted.late)
        self.details.update(counted.details)
        self.dead.setdefault(topic, Counter()).update(reason for _, reason, _ in counted.dead)

    def works(self, what: str) -> None:
        """It works, again or still."""
        self.trouble.works(what)

    def fails(self, what: str, why: object) -> None:
        """It does not work now. Logged once until it works, however often it fails."""
        self.trouble.fails(what, why)

    def waits(self, assigned: Iterable[Assigned]) -> None:
        """Tell of the topics that wait, and of those that do no more."""
        now = {a.partition[0]: a.waiting for a in assigned if a.waiting}
        for topic in self.waiting - now.keys():
            self.works(f"topic {topic} waits")
        for topic, why in now.items():
            self.fails(f"topic {topic} waits", why)
        self.waiting = set(now)

    def status(self, assigned: Iterable[Assigned], high: Callable[[Partition], int | None]) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "assigned": [_partition(a, high(a.partition)) for a in sorted(assigned, key=lambda a: a.partition)],
            "events": dict(self.events),
            "late": dict(self.late),
            "dead_letters": {topic: dict(reasons) for topic, reasons in self.dead.items() if reasons},
            "labels": dict(self.details),
            "bundles": self.bundles,
            "decode_seconds": round(self.counting_seconds, 6),
            "healthy": not self.trouble.reason,
            "reason": self.trouble.reason,
        }


def _partition(a: Assigned, high: int | None) -> dict[str, Any]:
    return {
        "topic": a.partition[0],
        "partition": a.partition[1],
        "epoch": a.epoch,
        "n": a.n,
        "position": a.position,
        "committed": a.committed,
        "lag": max(0, max(a.position if high is None else high, a.end) - a.to),
        "watermark_ms": a.watermark_ms,
        "idle": a.idle,
        "waiting": a.waiting,
    }

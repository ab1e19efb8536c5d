"""A small Counting for tests of the protocol: an event is the text `TIME` (epoch ms), all else a dead letter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detectors.counts import Counts
from stream_monitor.brokers import Message, Partition
from stream_monitor.entries import PaneRecord
from stream_monitor.intents import Intent
from stream_monitor.packing import pack_counts
from stream_monitor.tap.blocks import Counted, is_idle

PANE_MS = 1_000
IDLE_AFTER_MS = 4_000
OUT_OF_ORDERNESS_MS = 500


class TinyCounting:
    """Counts events by second; the layout's id is the first cell, so that bundles show which layout was used."""

    def __init__(self, layout: int = 1, config: str = "c1", each: float = 1.0) -> None:
        self.layout, self.config, self.each = layout, config, each

    def config_id(self) -> str:
        return self.config

    def layouts(self, topic: str) -> dict[str, str]:
        return {f"model-{topic}": str(self.layout)}

    def events_a_record(self, topic: str) -> float:
        return self.each

    def count(self, intent: Intent, partition: Partition, messages: Sequence[Message]) -> Counted:
        topic, _ = partition
        by_pane: dict[int, list[int]] = {}
        dead: list[tuple[int, str, str]] = []
        greatest = intent.max_event_ms
        for index, message in enumerate(messages):
            try:
                time_ms = int(message.value() or b"")
            except ValueError:
                dead.append((index, "null_value" if message.value() is None else "not_json", "no number"))
                continue
            greatest = time_ms if greatest is None else max(greatest, time_ms)
            by_pane.setdefault(time_ms // PANE_MS * PANE_MS, []).append(message.offset())
        layout = intent.layouts[f"model-{topic}"]
        events = sum(map(len, by_pane.values()))
        return Counted(
            panes=[
                PaneRecord(
                    f"model-{topic}", "", "all", start, layout, (min(at), max(at) + 1), 0, _counts(int(layout), len(at))
                )
                for start, at in sorted(by_pane.items())
            ],
            dead=dead,
            events={f"model-{topic}": events} if events else {},
            max_event_ms=greatest,
            watermark_ms=None if greatest is None else greatest - OUT_OF_ORDERNESS_MS,
            idle=is_idle(intent, events, IDLE_AFTER_MS),
            home=f"model-{topic}",
        )


def _counts(cell: int, rows: int) -> bytes:
    none = np.zeros(0)
    return pack_counts(
        Counts(rows=rows, cells=np.array([cell], np.int32), values=np.array([rows], np.int64), low=none, high=none)
    )

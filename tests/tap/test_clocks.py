"""Wrong clocks: what is far ahead is a dead letter and no watermark; late is what lies behind what came before."""

from __future__ import annotations

import json

from connectors.memory import MemoryLabelStore
from stream_monitor.catalogs import MemoryCatalog
from stream_monitor.config import Config, Fields, Model, Time
from stream_monitor.intents import FIRST_BLOCK, Intent
from stream_monitor.tap.blocks import Counted
from stream_monitor.tap.counting import BlockCounting
from tests.tap.twin import Record

SECOND, HOUR = 1_000, 3_600_000
NOW = 1_700_000_000_000
CONFIG = Config(
    models={"m": Model(topic=("t",), fields=Fields(time="ts", features="f"), columns={"x": "numeric"})},
    time=Time(out_of_orderness=5 * SECOND, allowed_lateness=60 * SECOND, max_future=HOUR),
)


def count(*ahead_ms: int, before: int | None = None) -> Counted:
    """A block at NOW with events so far ahead of it, `before` being the greatest event time of the blocks before."""
    counting = BlockCounting(CONFIG, catalog=MemoryCatalog(), label_store=MemoryLabelStore())
    records = [
        Record(at=i, body=json.dumps({"ts": (NOW + ms) / 1000, "f": {"x": 1}}).encode())
        for i, ms in enumerate(ahead_ms)
    ]
    intent = Intent(
        topic_id="id", epoch=1, n=FIRST_BLOCK, from_=0, to=len(records), at_ms=NOW, max_event_ms=before, active_ms=NOW,
        partitions=1, partitions_first=1, part_bytes=900_000, config=counting.config_id(),
    )  # fmt: skip
    return counting.count(intent, ("t", 0), records)


def test_a_clock_far_ahead_moves_no_watermark() -> None:
    """
    block's `at` |--------------- 1 h ---------------|
    events       0 s    10 s                    1 h  | 1 h + 1 ms       a year
                 counted                             | dead letters: future_time
    watermark                        1 h - 5 s: of what counts alone
    """
    counted = count(0, 10 * SECOND, HOUR, HOUR + 1, 365 * 24 * HOUR)
    assert [(i, reason) for i, reason, _ in counted.dead] == [(3, "future_time"), (4, "future_time")]
    assert (counted.max_event_ms, counted.watermark_ms) == (NOW + HOUR, NOW + HOUR - 5 * SECOND)
    assert counted.events == {"m": 3}


def test_only_the_future_in_a_block_leaves_the_watermark_where_it_was() -> None:
    counted = count(2 * HOUR, before=NOW - SECOND)
    assert (counted.watermark_ms, counted.events) == (NOW - 6 * SECOND, {})


def test_late_is_what_lies_behind_the_highest_time_before_it() -> None:
    """
    greatest before   0 s                  late before 0 - 5 - 60 = -65 s
    events       -66 s  -65 s   +1 s  -65 s  -64 s       the border moves with the third one: to -64 s
                 late   counted       late   counted
    """
    counted = count(-66 * SECOND, -65 * SECOND, SECOND, -65 * SECOND, -64 * SECOND, before=NOW)
    assert sum(p.late for p in counted.panes if p.segment == "all") == 2
    assert counted.max_event_ms == NOW + SECOND

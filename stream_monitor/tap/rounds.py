"""The announced blocks of a tap's partitions: counted side by side, published, acknowledged; then the next ones.

    begin: of each partition whose announced block has been read whole -> the executor counts it
    counted -> its messages are sent, if the partition is still this tap's
    all counted -> wait for all acknowledgements -> applied

A block that cannot be counted now, as a schema or a store of labels does not answer, waits alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, wait
from typing import Final

from stream_monitor.brokers import Logs, Partition, Publisher
from stream_monitor.errors import Unreachable
from stream_monitor.failpoints import reach
from stream_monitor.tap.announced import Announced, Made, dead_letter, make
from stream_monitor.tap.blocks import Assigned, Counting
from stream_monitor.tap.reports import Report
from stream_monitor.tap.rules import Limits

SETTLE_SECONDS: Final = 30.0


class Round:
    """Announced blocks under way. Used by the tap's thread alone; `assigned` are the partitions it owns now."""

    def __init__(
        self,
        assigned: Mapping[Partition, Assigned],
        *,
        prefix: str,
        logs: Logs,
        publisher: Publisher,
        counting: Counting,
        worker_partitions: int,
        limits: Limits,
        executor: Executor,
        report: Report,
        clock: Callable[[], float],
    ) -> None:
        self._assigned, self._prefix, self._workers, self._limits = assigned, prefix, worker_partitions, limits
        self._logs, self._publisher, self._counting = logs, publisher, counting
        self._executor, self._report, self._clock = executor, report, clock
        self._blocks: list[Announced] = []

    def __bool__(self) -> bool:
        return bool(self._blocks)

    def wait(self, seconds: float) -> None:
        """Until all are counted, at most so long."""
        wait([block.future for block in self._blocks], seconds)

    def drop(self) -> None:
        """Let go of all of them: they stay announced, and are counted again."""
        self._blocks = []

    def advance(self, stop: threading.Event) -> float | None:
        """Begin to count, publish what is counted; when all is acknowledged, the seconds that took. Or Unreachable."""
        if not self._blocks:
            now = self._clock()
            some = self._assigned.values()
            self._blocks = [self._begin(a) for a in some if a.complete() and not (a.waiting and now < a.again_at)]
            if not self._blocks:
                return None
            self.wait(self._limits.short_seconds)
        for block in list(self._blocks):
            if block.counted is None and block.future.done():
                self._take(block)
        if any(block.counted is None for block in self._blocks):
            return None
        began, done, self._blocks = self._clock(), self._blocks, []
        self._publisher.settle(SETTLE_SECONDS, stop)
        reach("tap.acknowledged")
        for block in done:
            if self._owns(block) and block.counted is not None:
                block.of.applied(block.counted)
                self._report.add(block.of.partition[0], block.counted)
        return self._clock() - began

    def _begin(self, a: Assigned) -> Announced:
        """Have the announced block counted."""
        intent, partition, messages = a.intent, a.partition, a.block()
        assert intent is not None
        began = self._clock()
        future = self._executor.submit(
            make, self._counting, intent, partition, messages, workers=self._workers, clock=self._clock
        )
        return Announced(a, intent, messages, began, future)

    def _take(self, block: Announced) -> None:
        """Send what counting it gave."""
        try:
            made = block.future.result()
        except Unreachable as error:
            self._blocks.remove(block)
            self._postpone(block, error)
            return
        block.counted, block.of.waiting = made.counted, ""
        self._report.counting_seconds += made.seconds
        reach("tap.counted")
        if self._owns(block):
            self._send(block, made)
            reach("tap.sent")

    def _postpone(self, block: Announced, why: Unreachable) -> None:
        """Count it again after a while; at most half of the time goes into such trials."""
        a, now = block.of, self._clock()
        a.waiting, a.again_at = str(why), now + max(self._limits.backoff_seconds, now - block.began)
        try:
            found = self._logs.look([a.partition]).get(a.partition)  # a client hears nothing of a log that is not read
        except Unreachable:
            return  # polls tell
        a.end = found.high if found is not None else a.end

    def _owns(self, block: Announced) -> bool:
        """Whether its partition was not taken away since, not even to come back."""
        return self._assigned.get(block.of.partition) is block.of

    def _send(self, block: Announced, made: Made) -> None:
        for partition, data in made.messages:
            self._publisher.send(f"{self._prefix}panes", partition, data)
        for index, reason, detail in made.counted.dead:
            message = block.messages[index]
            letter, shorter = dead_letter(block.of.partition, message, reason, detail)
            self._publisher.send(f"{self._prefix}dead-letters", None, *letter, shorter=shorter)

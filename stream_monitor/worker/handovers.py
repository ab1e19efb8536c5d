"""Alerts and retrain requests on their way from their topics into the outbox, at the outbox's pace.

Nothing here may hold up detection: what has come is put aside at once, a partition that has too much waiting is not
read on, and an outbox that fails is tried again while everything else goes its way.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from stream_monitor.messages import read
from stream_monitor.worker.buses import Arrival

log = logging.getLogger(__name__)

HIGH: Final = 1_000  # waiting of one partition: read no more of it
LOW: Final = 100  # read on
LONGEST_WAIT_SECONDS: Final = 15.0

# (kind, ce_id, body, (topic, partition, offset)); returns once the outbox has it.
Deliver = Callable[[str, str, Mapping[str, Any], tuple[str, int, int]], Awaitable[None]]


class Valve(Protocol):
    """The part of the bus that this needs."""

    @property
    def generation(self) -> int:
        """Of the group, now."""

    def ack(self, arrival: Arrival) -> None:
        """It need not come again; in offset order."""

    def pause(self, topic: str, partition: int) -> None:
        """Read no more of a partition."""

    def resume(self, topic: str, partition: int) -> None:
        """Read on."""


class Handover:
    """At least once: a message is acknowledged when `deliver` has returned."""

    def __init__(self, deliver: Deliver, valve: Valve) -> None:
        self.error = ""
        self.delivered_total = 0
        self.foreign_total = 0
        self._deliver = deliver
        self._valve = valve
        self._queues: dict[tuple[str, int], deque[Arrival]] = {}
        self._paused: set[tuple[str, int]] = set()
        self._something = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Messages not handed over yet."""
        return sum(len(queue) for queue in self._queues.values())

    def take(self, arrivals: Sequence[Arrival]) -> None:
        """Put aside what has come; never waits."""
        for arrival in arrivals:
            place = (arrival.topic, arrival.partition)
            queue = self._queues.setdefault(place, deque())
            queue.append(arrival)
            if len(queue) >= HIGH and place not in self._paused:
                self._paused.add(place)
                self._valve.pause(*place)
        self._something.set()

    async def run(self) -> None:
        """Hand over whatever comes, until cancelled."""
        while True:
            await self._something.wait()
            self._something.clear()
            for place, queue in list(self._queues.items()):
                while queue:
                    await self._one(queue[0])
                    queue.popleft()
                    if len(queue) <= LOW and place in self._paused:
                        self._paused.discard(place)
                        self._valve.resume(*place)

    async def _one(self, arrival: Arrival) -> None:
        wait = 0.5
        while arrival.generation == self._valve.generation:  # else it comes again, to whoever has it now
            try:
                kind, id, body = read(arrival.value, arrival.headers)
            except ValueError as error:
                self.foreign_total += 1
                log.error("%s/%d offset %d: %s", arrival.topic, arrival.partition, arrival.offset, error)
                self._valve.ack(arrival)
                return
            try:
                await self._deliver(kind, id, body, (arrival.topic, arrival.partition, arrival.offset))
            except Exception as error:  # of whatever outbox: it is kept here and tried again
                self.error = f"{type(error).__name__}: {error}"
                log.warning("the outbox does not take %s %s: %s", kind, id, self.error)
                await asyncio.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT_SECONDS)
            else:
                self.error = ""
                self.delivered_total += 1
                self._valve.ack(arrival)
                return

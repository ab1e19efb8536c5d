"""A bus in memory that notes what happens, a store that may be away, and a worker on them that folds the toy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from connectors.memory import MemoryStatusStore
from stream_monitor.entries import pack
from stream_monitor.errors import Unreachable
from stream_monitor.interfaces import Document
from stream_monitor.worker.buses import Arrival, Outgoing, Pace
from stream_monitor.worker.owners import Span
from stream_monitor.worker.workers import Worker
from tests.worker.process import NoCatalog
from tests.worker.toy import FOLD, ToyState, entry, totals

LOG = [pack(entry("s", n, f"k{n % 3}", n)) for n in range(1, 61)]


class Bus:
    """Notes what happens, in order."""

    def __init__(self) -> None:
        self.generation = 1
        self.happened: list[str] = []
        self.topics: dict[str, list[Outgoing]] = {}
        self.confirms = True
        self.failures = 0
        self.forgotten: list[bytes] = []
        self.before_send: Callable[[], None] = lambda: None

    async def send(self, messages: Sequence[Outgoing]) -> None:
        self.before_send()
        if self.failures:
            self.failures -= 1
            raise Unreachable("gone")
        for m in messages:
            self.topics.setdefault(m.topic, []).append(m)
            self.happened.append(f"{m.topic} {'tombstone' if m.value is None else 'write'}")

    def ack(self, arrival: Arrival) -> None:
        self.happened.append(f"ack {arrival.offset}")

    async def commit(self, partition: int, offset: int) -> bool:
        self.happened.append(f"commit {offset}")
        return self.confirms

    def forget(self, keys: Sequence[bytes]) -> None:
        self.forgotten += keys

    async def seek(self, partition: int, offset: int) -> None:
        self.happened.append(f"seek {offset}")

    def checkpoints(self) -> dict[bytes, bytes]:
        kept: dict[bytes, bytes] = {}
        for m in self.topics.get("checkpoints", []):
            if m.value is None:
                kept.pop(m.key)
            else:
                kept[m.key] = m.value
        return kept


class AwayStore(MemoryStatusStore):
    away = False

    async def put(self, documents: Sequence[Document]) -> None:
        if self.away:
            raise ConnectionError("no store")
        await super().put(documents)


def worker_on(
    bus: Bus, store: MemoryStatusStore | None = None, catalog: NoCatalog | None = None, **pace: Any
) -> Worker[ToyState]:
    return Worker(
        fold=FOLD,
        catalog=catalog or NoCatalog(),
        store=store or AwayStore(),
        bus=bus,
        checkpoints_topic="checkpoints",
        prefix="p.",
        pace=Pace(**{"checkpoint_entries": 10, "full_every": 2, **pace}),
    )


async def assigned(worker: Worker[ToyState], bus: Bus, committed: int | None = None) -> None:
    span = Span(begin=0, end=len(LOG), committed=committed)
    await worker.assigned(bus.generation, "id", 1, bus.checkpoints(), {0: span})


def arrivals(start: int, stop: int, generation: int = 1) -> list[Arrival]:
    return [
        Arrival(topic="p.panes", partition=0, offset=i, generation=generation, value=LOG[i]) for i in range(start, stop)
    ]


def totals_of(worker: Worker[ToyState]) -> dict[str, int]:
    return worker.holds[0].owner.state.totals


def expected(entries: int) -> dict[str, int]:
    return totals(entry("s", n, f"k{n % 3}", n) for n in range(1, entries + 1))


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def runs() -> None:
        asyncio.run(test())

    runs.__name__, runs.__doc__ = test.__name__, test.__doc__
    return runs

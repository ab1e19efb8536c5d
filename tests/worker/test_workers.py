"""The worker on a bus in memory: order of writes, repetition, holes, generations, stores that are away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from itertools import pairwise
from typing import Any

import pytest

from connectors.memory import MemoryStatusStore
from stream_monitor.entries import Entry, pack
from stream_monitor.errors import Unreachable
from stream_monitor.interfaces import Catalog, Document
from stream_monitor.outputs import Output
from stream_monitor.worker import checkpoints, workers
from stream_monitor.worker.buses import Arrival, Outgoing, Pace
from stream_monitor.worker.owners import Fold, Span
from stream_monitor.worker.workers import Worker
from tests.worker.process import NoCatalog
from tests.worker.toy import FOLD, ToyState, entry, step, totals

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


def _worker(
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


async def _assigned(worker: Worker[ToyState], bus: Bus, committed: int | None = None) -> None:
    span = Span(begin=0, end=len(LOG), committed=committed)
    await worker.assigned(bus.generation, "id", 1, bus.checkpoints(), {0: span})


def _arrivals(start: int, stop: int, generation: int = 1) -> list[Arrival]:
    return [
        Arrival(topic="p.panes", partition=0, offset=i, generation=generation, value=LOG[i]) for i in range(start, stop)
    ]


def _totals(worker: Worker[ToyState]) -> dict[str, int]:
    return worker.holds[0].owner.state.totals


def _expected(entries: int) -> dict[str, int]:
    return totals(entry("s", n, f"k{n % 3}", n) for n in range(1, entries + 1))


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def runs() -> None:
        asyncio.run(test())

    runs.__name__, runs.__doc__ = test.__name__, test.__doc__
    return runs


@run
async def test_a_long_fold_lets_the_group_the_api_and_the_clock_live_on() -> None:
    """A block of weeks closes thousands of windows at once. What lives in the same event loop would be thought dead."""

    def slow(state: ToyState, of: Entry, catalog: Catalog) -> tuple[ToyState, Sequence[Output]]:
        time.sleep(1.3 if state.head_state.entries == 3 else 0)
        return step(state, of, catalog)

    bus = Bus()
    worker = _worker(bus)
    worker._fold = Fold(empty=ToyState.empty, step=slow, restore=ToyState.restore)
    await _assigned(worker, bus)
    beats: list[float] = []

    async def beat() -> None:
        while True:
            beats.append(time.monotonic())
            await asyncio.sleep(0.01)

    beating = asyncio.create_task(beat())
    taking = asyncio.create_task(worker.take(_arrivals(0, 10)))
    await asyncio.sleep(0.1)
    begun = worker.progress
    await asyncio.sleep(1.1)
    assert worker.progress > begun  # no standstill
    await worker.finish()  # waits for it
    await taking
    beating.cancel()
    assert max(b - a for a, b in pairwise(beats)) < 1.0
    assert _totals(worker) == _expected(10)


@run
async def test_a_state_between_two_entries_is_no_checkpoint() -> None:
    bus = Bus()
    worker = _worker(bus, checkpoint_entries=100)
    await _assigned(worker, bus)
    await worker.take(_arrivals(0, 5))
    worker.holds[0].stepping = True  # whoever folded was cancelled, and the thread goes on
    await worker.finish()
    assert not bus.checkpoints()
    worker.holds[0].stepping = False
    await worker.finish()
    assert bus.checkpoints()


@run
async def test_what_is_tombstoned_is_forgotten_of_the_table_too() -> None:
    """By the owner of this generation alone: another one may be reading the table."""
    for later in (False, True):
        before, bus = Bus(), Bus()
        worker = _worker(before)
        await _assigned(worker, before)
        await worker.take(_arrivals(0, 10))
        found = before.checkpoints()
        bus.topics = {"checkpoints": [Outgoing(topic="checkpoints", key=k, value=v) for k, v in found.items()]}
        worker = _worker(bus)
        await _assigned(worker, bus, 10)

        def rebalance(bus: Bus = bus, later: bool = later) -> None:
            bus.generation += later and bus.happened[-1:] == ["commit 20"]

        bus.before_send = rebalance
        await worker.take(_arrivals(10, 20))
        assert found.keys() - bus.checkpoints().keys() == found.keys()
        assert set(bus.forgotten) == (set() if later else found.keys())


def test_segments_are_sent_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of one before its head, which names them all."""
    monkeypatch.setattr(checkpoints, "MESSAGE_BYTES", 10)
    monkeypatch.setattr(workers, "AT_ONCE", 2)
    bus, sizes = Bus(), []
    honest = bus.send

    async def send(messages: Sequence[Outgoing]) -> None:
        sizes.append(len([m for m in messages if m.topic == "checkpoints"]))
        await honest(messages)

    async def work() -> None:
        worker, other = _worker(bus), _worker(bus)
        await _assigned(worker, bus)
        await worker.take(_arrivals(0, 10))
        await _assigned(other, bus, 10)
        assert _totals(other) == _expected(10)

    monkeypatch.setattr(bus, "send", send)
    asyncio.run(work())
    assert len(bus.topics["checkpoints"]) > 4
    assert max(sizes) == 2


class FineStore(MemoryStatusStore):
    """Takes only a few documents in the time that a write has."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[str] = []

    async def put(self, documents: Sequence[Document]) -> None:
        if len(documents) > 4:
            raise TimeoutError
        self.taken += [document.id for document in documents]
        await super().put(documents)


def test_what_a_block_gives_is_written_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block after a long silence may close thousands of windows: the way of their outputs is no standstill."""

    async def test() -> None:
        monkeypatch.setattr(workers, "PORTION", 4)
        bus, store = Bus(), FineStore()
        worker = _worker(bus, store)
        await _assigned(worker, bus)
        seen: list[float] = []

        def slow() -> None:
            seen.append(worker.progress)
            time.sleep(0.002)

        bus.before_send = slow
        await worker.take(_arrivals(0, 60))
        written = [m.key for topic in ("verdicts", "alerts") for m in bus.topics[f"p.{topic}"]]
        assert len(written) == 60 // 5 + 60 // 20
        assert len(seen) >= len(written) / 4
        assert sorted(set(seen)) == seen
        assert not worker.store_error
        assert len(store.taken) == len(set(store.taken)) >= 60

    asyncio.run(test())


@run
async def test_the_order() -> None:
    """Outputs, segment, head, entries; a full one also commits and then tombstones what it supersedes."""
    bus = Bus()
    worker = _worker(bus)
    await _assigned(worker, bus)
    for start in (0, 10, 20):
        await worker.take(_arrivals(start, start + 10))
    acks = [f"ack {i}" for i in range(30)]
    outputs, written = ["p.verdicts write"] * 2, ["checkpoints write"] * 2
    assert bus.happened == [
        *outputs,
        *written,
        *acks[:10],
        "commit 10",
        *outputs,
        "p.alerts write",
        *written,
        *acks[10:20],
        *outputs,
        *written,
        *acks[20:],
        "commit 30",
        *["checkpoints tombstone"] * 4,
    ]
    assert len(bus.checkpoints()) == 2
    assert _totals(worker) == _expected(30)


@run
async def test_an_unconfirmed_full_checkpoint_deletes_nothing() -> None:
    bus = Bus()
    bus.confirms = False
    worker = _worker(bus)
    await _assigned(worker, bus)
    for start in range(0, 60, 10):
        await worker.take(_arrivals(start, start + 10))
    assert not any("tombstone" in what for what in bus.happened)


class Withdrawing(NoCatalog):
    """It notes what is withdrawn."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    async def withdraw(self, ids: Sequence[str]) -> None:
        self.bus.happened.append(f"withdraw {' '.join(ids)}")


@run
async def test_references_are_withdrawn_behind_a_checkpoint_that_the_group_has_confirmed() -> None:
    """A full one or not; what is not confirmed is kept in mind."""
    bus = Bus()
    worker = _worker(bus, catalog=Withdrawing(bus))
    await _assigned(worker, bus)
    await worker.take(_arrivals(0, 10))
    state = worker.holds[0].owner.state
    state.disused = ("a", "b")
    bus.confirms = False
    await worker.take(_arrivals(10, 20))
    assert bus.happened[-1] == "commit 20"
    bus.confirms, bus.happened = True, []
    await worker.take(_arrivals(20, 30))
    await worker.take(_arrivals(30, 40))
    written = [what for what in bus.happened if what.startswith(("commit", "withdraw", "checkpoints"))]
    assert written == [
        *["checkpoints write"] * 2,
        "commit 30",
        *["checkpoints tombstone"] * 4,
        "withdraw a b",
        *["checkpoints write"] * 2,
    ]


@run
async def test_what_comes_again_is_acknowledged_and_not_folded() -> None:
    bus = Bus()
    worker = _worker(bus)
    await _assigned(worker, bus)
    await worker.take(_arrivals(0, 8))
    await worker.take([*_arrivals(3, 8), *_arrivals(8, 12)])
    assert _totals(worker) == _expected(12)
    assert worker.totals["repeated_entries"] == 5
    assert bus.happened.count("p.verdicts write") == 2


@run
async def test_a_hole_is_read_again() -> None:
    bus = Bus()
    worker = _worker(bus)
    await _assigned(worker, bus)
    await worker.take([*_arrivals(0, 3), *_arrivals(5, 9)])
    assert bus.happened == ["seek 3"]
    await worker.take(_arrivals(3, 12))
    assert _totals(worker) == _expected(12)


@run
async def test_entries_of_an_old_generation_are_dropped() -> None:
    bus = Bus()
    worker = _worker(bus)
    await _assigned(worker, bus)
    await worker.take(_arrivals(0, 5))
    bus.generation = 2  # the broker has moved on; nobody has told the worker yet
    await worker.take(_arrivals(5, 20, generation=1) + _arrivals(5, 20, generation=2))
    assert _totals(worker) == _expected(5)
    assert not any("ack" in what for what in bus.happened)
    await _assigned(worker, bus)
    await worker.take(_arrivals(0, 20, generation=2))
    assert _totals(worker) == _expected(20)


@run
async def test_a_generation_that_is_overtaken_while_it_is_derived_changes_nothing() -> None:
    """Its partitions may be another's by now, so that it says of none that it is rebuilt."""
    bus = Bus()
    worker = _worker(bus)
    await _assigned(worker, bus)
    await worker.take(_arrivals(0, 10))
    of = Span(begin=0, end=len(LOG), committed=10)
    bus.generation = 2
    older = asyncio.ensure_future(worker.assigned(2, "id", 2, {}, {1: of, 2: of}))
    await asyncio.sleep(0)
    bus.generation = 3
    assert await worker.assigned(3, "id", 2, bus.checkpoints(), {0: of})
    assert not await older
    assert {p: h.generation for p, h in worker.holds.items()} == {0: 3}
    assert worker.holds[0].owner.at == 10
    assert not worker.alarms


@run
async def test_an_owner_that_wakes_late_writes_keys_and_acknowledges_nothing() -> None:
    """The generation changes between its segment and its head."""
    bus = Bus()
    worker = _worker(bus)
    await _assigned(worker, bus)
    sends = 0

    def moved_on() -> None:
        nonlocal sends
        sends += 1
        if sends == 3:
            bus.generation = 2

    bus.before_send = moved_on
    await worker.take(_arrivals(0, 10))
    assert bus.happened == ["p.verdicts write"] * 2 + ["checkpoints write"] * 2


@run
async def test_a_store_that_is_away_stops_acknowledgements_and_nothing_else() -> None:
    bus, store = Bus(), AwayStore()
    worker = _worker(bus, store)
    await _assigned(worker, bus)
    store.away = True
    await worker.take(_arrivals(0, 20))
    assert "ConnectionError" in worker.store_error
    assert bus.happened == ["p.verdicts write"] * 4 + ["p.alerts write"]
    store.away = False
    await worker.tick()
    assert worker.store_error == ""
    assert bus.happened[-1] == "commit 20"
    assert len(await store.page("window", "s", limit=100)) == 20
    assert await store.get("alert", "s", "s-20") is not None


def test_a_store_that_stays_away_holds_up_what_cannot_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "HELD_ENTRIES", 15)

    async def test() -> None:
        bus, store = Bus(), AwayStore()
        worker = _worker(bus, store)
        await _assigned(worker, bus)
        store.away = True
        taking = asyncio.create_task(worker.take(_arrivals(0, 20)))
        while not worker.store_error:  # noqa: ASYNC110 - a plain attribute
            await asyncio.sleep(0.01)
        assert not taking.done()
        store.away = False
        await taking
        assert bus.happened[-1] == "commit 20"

    asyncio.run(test())


def test_a_broker_that_is_away_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        bus = Bus()
        bus.failures = 2
        worker = _worker(bus)
        await _assigned(worker, bus)
        await worker.take(_arrivals(0, 10))
        assert bus.happened.count("p.verdicts write") == 2

    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: sleep(0))
    asyncio.run(test())


@run
async def test_a_contradiction_stops_its_partition_and_is_not_checkpointed() -> None:
    bus = Bus()
    worker = _worker(bus)
    await _assigned(worker, bus)
    bad = Arrival(topic="p.panes", partition=0, offset=2, generation=1, value=pack(entry("s", 9, "k", 1)))
    await worker.take([*_arrivals(0, 2), bad, *_arrivals(3, 20)])
    assert worker.holds[0].stopped == "s: block 9 from 8 after block 2 to 2"
    await worker.finish()
    assert bus.happened == []
    assert "stopped" in worker.alarms[0]


@run
async def test_finish_leaves_nothing_to_fold_again() -> None:
    bus = Bus()
    worker = _worker(bus)
    await _assigned(worker, bus)
    await worker.take(_arrivals(0, 7))
    await worker.finish()
    again = _worker(bus)
    await _assigned(again, bus, committed=7)
    assert again.holds[0].owner.at == 7
    assert _totals(again) == _expected(7)

"""The worker on a bus in memory: order of writes, repetition, holes, generations, stores that are away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from stream_monitor.entries import pack
from stream_monitor.worker import workers
from stream_monitor.worker.buses import Arrival, Outgoing
from stream_monitor.worker.owners import Span
from tests.worker.memory_bus import LOG, AwayStore, Bus, arrivals, assigned, expected, run, totals_of, worker_on
from tests.worker.process import NoCatalog
from tests.worker.toy import entry


@run
async def test_what_is_tombstoned_is_forgotten_of_the_table_too() -> None:
    """By the owner of this generation alone: another one may be reading the table."""
    for later in (False, True):
        before, bus = Bus(), Bus()
        worker = worker_on(before)
        await assigned(worker, before)
        await worker.take(arrivals(0, 10))
        found = before.checkpoints()
        bus.topics = {"checkpoints": [Outgoing(topic="checkpoints", key=k, value=v) for k, v in found.items()]}
        worker = worker_on(bus)
        await assigned(worker, bus, 10)

        def rebalance(bus: Bus = bus, later: bool = later) -> None:
            bus.generation += later and bus.happened[-1:] == ["commit 20"]

        bus.before_send = rebalance
        await worker.take(arrivals(10, 20))
        assert found.keys() - bus.checkpoints().keys() == found.keys()
        assert set(bus.forgotten) == (set() if later else found.keys())


@run
async def test_the_order() -> None:
    """Outputs, segment, head, entries; a full one also commits and then tombstones what it supersedes."""
    bus = Bus()
    worker = worker_on(bus)
    await assigned(worker, bus)
    for start in (0, 10, 20):
        await worker.take(arrivals(start, start + 10))
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
    assert totals_of(worker) == expected(30)


@run
async def test_an_unconfirmed_full_checkpoint_deletes_nothing() -> None:
    bus = Bus()
    bus.confirms = False
    worker = worker_on(bus)
    await assigned(worker, bus)
    for start in range(0, 60, 10):
        await worker.take(arrivals(start, start + 10))
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
    worker = worker_on(bus, catalog=Withdrawing(bus))
    await assigned(worker, bus)
    await worker.take(arrivals(0, 10))
    state = worker.holds[0].owner.state
    state.disused = ("a", "b")
    bus.confirms = False
    await worker.take(arrivals(10, 20))
    assert bus.happened[-1] == "commit 20"
    bus.confirms, bus.happened = True, []
    await worker.take(arrivals(20, 30))
    await worker.take(arrivals(30, 40))
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
    worker = worker_on(bus)
    await assigned(worker, bus)
    await worker.take(arrivals(0, 8))
    await worker.take([*arrivals(3, 8), *arrivals(8, 12)])
    assert totals_of(worker) == expected(12)
    assert worker.totals["repeated_entries"] == 5
    assert bus.happened.count("p.verdicts write") == 2


@run
async def test_a_hole_is_read_again() -> None:
    bus = Bus()
    worker = worker_on(bus)
    await assigned(worker, bus)
    await worker.take([*arrivals(0, 3), *arrivals(5, 9)])
    assert bus.happened == ["seek 3"]
    await worker.take(arrivals(3, 12))
    assert totals_of(worker) == expected(12)


def test_a_new_entry_has_its_time_to_come_before_the_log_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it was quiet before."""
    monkeypatch.setattr(workers, "WAIT_SECONDS", 0.5)

    async def test() -> None:
        bus = Bus()
        worker = worker_on(bus)
        await assigned(worker, bus)
        hold = worker.holds[0]
        hold.reaches(0)
        await asyncio.sleep(0.6)
        hold.reaches(5)
        await worker.tick()
        assert bus.happened == []
        await asyncio.sleep(0.4)
        hold.reaches(6)
        await asyncio.sleep(0.2)
        await worker.tick()
        assert bus.happened == ["seek 0"]

    asyncio.run(test())


@run
async def test_entries_of_an_old_generation_are_dropped() -> None:
    bus = Bus()
    worker = worker_on(bus)
    await assigned(worker, bus)
    await worker.take(arrivals(0, 5))
    bus.generation = 2  # the broker has moved on; nobody has told the worker yet
    await worker.take(arrivals(5, 20, generation=1) + arrivals(5, 20, generation=2))
    assert totals_of(worker) == expected(5)
    assert not any("ack" in what for what in bus.happened)
    await assigned(worker, bus)
    await worker.take(arrivals(0, 20, generation=2))
    assert totals_of(worker) == expected(20)


@run
async def test_a_generation_that_is_overtaken_while_it_is_derived_changes_nothing() -> None:
    """Its partitions may be another's by now, so that it says of none that it is rebuilt."""
    bus = Bus()
    worker = worker_on(bus)
    await assigned(worker, bus)
    await worker.take(arrivals(0, 10))
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
    worker = worker_on(bus)
    await assigned(worker, bus)
    sends = 0

    def moved_on() -> None:
        nonlocal sends
        sends += 1
        if sends == 3:
            bus.generation = 2

    bus.before_send = moved_on
    await worker.take(arrivals(0, 10))
    assert bus.happened == ["p.verdicts write"] * 2 + ["checkpoints write"] * 2


@run
async def test_a_store_that_is_away_stops_acknowledgements_and_nothing_else() -> None:
    bus, store = Bus(), AwayStore()
    worker = worker_on(bus, store)
    await assigned(worker, bus)
    store.away = True
    await worker.take(arrivals(0, 20))
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
        worker = worker_on(bus, store)
        await assigned(worker, bus)
        store.away = True
        taking = asyncio.create_task(worker.take(arrivals(0, 20)))
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
        worker = worker_on(bus)
        await assigned(worker, bus)
        await worker.take(arrivals(0, 10))
        assert bus.happened.count("p.verdicts write") == 2

    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: sleep(0))
    asyncio.run(test())


@run
async def test_what_is_no_entry_is_passed_over_and_counted() -> None:
    bus = Bus()
    worker = worker_on(bus)
    await assigned(worker, bus)
    bad = Arrival(topic="p.panes", partition=0, offset=3, generation=1, value=b"no entry")
    await worker.take([*arrivals(0, 3), bad])
    assert (worker.holds[0].owner.at, worker.totals["unreadable"]) == (4, 1)
    assert totals_of(worker) == expected(3)


@run
async def test_a_contradiction_stops_its_partition_and_is_not_checkpointed() -> None:
    bus = Bus()
    worker = worker_on(bus)
    await assigned(worker, bus)
    bad = Arrival(topic="p.panes", partition=0, offset=2, generation=1, value=pack(entry("s", 9, "k", 1)))
    await worker.take([*arrivals(0, 2), bad, *arrivals(3, 20)])
    assert worker.holds[0].stopped == "s: block 9 from 8 after block 2 to 2"
    await worker.finish()
    assert bus.happened == []
    assert "stopped" in worker.alarms[0]


@run
async def test_finish_leaves_nothing_to_fold_again() -> None:
    bus = Bus()
    worker = worker_on(bus)
    await assigned(worker, bus)
    await worker.take(arrivals(0, 7))
    await worker.finish()
    again = worker_on(bus)
    await assigned(again, bus, committed=7)
    assert again.holds[0].owner.at == 7
    assert totals_of(again) == expected(7)

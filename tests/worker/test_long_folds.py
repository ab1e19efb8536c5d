"""Blocks that take long to fold, to write and to checkpoint, and workers that are cut short in them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from connectors.memory import MemoryStatusStore
from stream_monitor.entries import Entry
from stream_monitor.interfaces import Catalog, Document
from stream_monitor.outputs import Output
from stream_monitor.worker import checkpoints, publishing, workers
from stream_monitor.worker.buses import Outgoing
from stream_monitor.worker.owners import Fold, Owner
from stream_monitor.worker.segments import Records
from tests.worker.memory_bus import Bus, arrivals, assigned, expected, run, totals_of, worker_on
from tests.worker.toy import ToyState, step


def slow(seconds: float, at: int) -> Fold[ToyState]:
    """A fold whose entry `at` takes so long."""

    def slow_step(state: ToyState, of: Entry, catalog: Catalog) -> tuple[ToyState, Sequence[Output]]:
        time.sleep(seconds if state.head_state.entries == at else 0)
        return step(state, of, catalog)

    return Fold(empty=ToyState.empty, step=slow_step, restore=ToyState.restore)


class Beating:
    """Beats in this event loop; `longest` is the time between two beats, at most."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._task = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        before = time.monotonic()
        while True:
            await asyncio.sleep(0.01)
            before, now = time.monotonic(), before
            self.longest = max(self.longest, before - now)


@run
async def test_a_long_fold_lets_the_group_the_api_and_the_clock_live_on() -> None:
    """A block of weeks closes thousands of windows at once. What lives in the same event loop would be thought dead."""
    bus = Bus()
    worker = worker_on(bus)
    worker._fold = slow(1.3, at=3)
    await assigned(worker, bus)
    beating = Beating()
    taking = asyncio.create_task(worker.take(arrivals(0, 10)))
    await asyncio.sleep(0.1)
    begun = worker.progress
    await asyncio.sleep(1.1)
    assert worker.progress > begun  # no standstill
    await worker.finish()  # waits for it
    await taking
    assert beating.longest < 1.0
    assert totals_of(worker) == expected(10)


def test_reading_and_writing_a_large_state_do_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a thousand models takes minutes."""

    async def test() -> None:
        bus = Bus()
        worker = worker_on(bus)
        await assigned(worker, bus)
        await worker.take(arrivals(0, 10))

        def restore(head: bytes, records: Records, catalog: Catalog) -> ToyState:
            time.sleep(1.3)
            return ToyState.restore(head, records, catalog)

        beating = Beating()
        worker._fold = Fold(empty=ToyState.empty, step=step, restore=restore)
        await assigned(worker, bus, 10)
        written = Owner.checkpoint

        def checkpoint(owner: Owner[ToyState]) -> checkpoints.Checkpoint:
            time.sleep(1.3)
            return written(owner)

        monkeypatch.setattr(Owner, "checkpoint", checkpoint)
        taking = asyncio.create_task(worker.take(arrivals(10, 20)))
        await asyncio.sleep(0.1)
        begun = worker.progress
        await asyncio.sleep(1.1)
        assert worker.progress > begun
        await taking
        assert beating.longest < 1.0
        assert totals_of(worker) == expected(20)

    asyncio.run(test())


@run
async def test_a_state_is_looked_at_between_folds_only() -> None:
    """Else what is read in one thread changes in another."""
    worker = worker_on(bus := Bus())
    worker._fold = slow(0.5, at=3)
    await assigned(worker, bus)

    def entries(state: ToyState) -> int:
        return state.head_state.entries

    taking = asyncio.create_task(worker.take(arrivals(0, 10)))
    await asyncio.sleep(0.1)
    assert await worker.at_rest(entries, 0.1) is None
    assert await worker.at_rest(entries, 5.0) == [10]
    await taking


@run
async def test_a_fold_that_is_cut_short_is_neither_checkpointed_nor_acknowledged_nor_gone_on_with() -> None:
    """Its thread goes on, so that the state gets ahead of what was published."""
    bus = Bus()
    worker = worker_on(bus, checkpoint_entries=100)
    worker._fold = slow(0.5, at=3)
    await assigned(worker, bus)
    taking = asyncio.create_task(worker.take(arrivals(0, 5)))
    await asyncio.sleep(0.2)
    taking.cancel()
    await asyncio.wait([taking])
    await worker.tick()
    await asyncio.sleep(0.5)
    await worker.take(arrivals(4, 10))
    await worker.finish()
    assert "interrupted" in worker.holds[0].stopped
    assert not worker.saved
    assert bus.happened == []


@run
async def test_outputs_that_are_cut_short_on_their_way_are_written_by_whoever_folds_again() -> None:
    bus = Bus()
    worker = worker_on(bus)
    await assigned(worker, bus)
    bus.failures = 1
    taking = asyncio.create_task(worker.take(arrivals(0, 10)))
    await asyncio.sleep(0.2)  # until the next attempt
    taking.cancel()
    await asyncio.wait([taking])
    await worker.finish()
    assert bus.happened == []
    again = worker_on(bus)
    await assigned(again, bus)
    await again.take(arrivals(0, 10))
    assert bus.happened[:2] == ["p.verdicts write"] * 2
    assert totals_of(again) == expected(10)


def test_a_fold_that_never_ends_is_a_standstill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "STEP_SECONDS", 0.5)

    async def test() -> None:
        bus = Bus()
        worker = worker_on(bus)
        worker._fold = slow(2.5, at=0)
        await assigned(worker, bus)
        begun = worker.progress
        taking = asyncio.create_task(worker.take(arrivals(0, 1)))
        await asyncio.sleep(2.2)
        assert worker.progress == begun
        await taking
        assert worker.progress > begun

    asyncio.run(test())


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
        worker, other = worker_on(bus), worker_on(bus)
        await assigned(worker, bus)
        await worker.take(arrivals(0, 10))
        await assigned(other, bus, 10)
        assert totals_of(other) == expected(10)

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
        monkeypatch.setattr(publishing, "PORTION", 4)
        bus, store = Bus(), FineStore()
        worker = worker_on(bus, store)
        await assigned(worker, bus)
        seen: list[float] = []

        def slow() -> None:
            seen.append(worker.progress)
            time.sleep(0.002)

        bus.before_send = slow
        await worker.take(arrivals(0, 60))
        written = [m.key for topic in ("verdicts", "alerts") for m in bus.topics[f"p.{topic}"]]
        assert len(written) == 60 // 5 + 60 // 20
        assert len(seen) >= len(written) / 4
        assert sorted(set(seen)) == seen
        assert not worker.store_error
        assert len(store.taken) == len(set(store.taken)) >= 60

    asyncio.run(test())

"""What stands still is ended, what is away is waited for, and a stop comes to an end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from stream_monitor.errors import StateError
from stream_monitor.worker import supervision
from stream_monitor.worker.buses import Pace, TopicInfo
from stream_monitor.worker.owners import Span
from stream_monitor.worker.supervision import Supervision
from stream_monitor.worker.workers import Worker
from tests.worker.memory_bus import Bus, arrivals, worker_on
from tests.worker.toy import ToyState

FAST = Pace(stall_seconds=0.3, start_seconds=0.6, probe_seconds=0.02, stop_seconds=0.3, die_seconds=0.6)
UNHURRIED = replace(FAST, die_seconds=60)  # a hard end comes too late for any test


class Member:
    def __init__(self, worker: Worker[ToyState], bus: Bus) -> None:
        self.failure: BaseException | None = None
        self.generation = 1
        self.ready = False
        self.recovered = 0
        self.end = 0
        self.leaves_something = False
        self.stopping: Callable[[], Awaitable[None]] | None = None
        self._worker, self._bus = worker, bus

    async def start(self) -> None:
        await self._worker.assigned(1, "id", 1, {}, {0: Span(begin=0, end=0, committed=None)})
        self.ready = True

    async def stop(self) -> bool:
        if self.stopping is not None:
            await self.stopping()
        return not self.leaves_something

    async def ends(self) -> dict[int, int]:
        return {0: self.end}


class Case:
    """A supervision over a member that does what a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pace: Pace = FAST) -> None:
        monkeypatch.setattr(supervision, "LOOK_SECONDS", 0.01)
        self.bus = Bus()
        self.worker = worker_on(self.bus)
        self.member = Member(self.worker, self.bus)
        self.topics: dict[str, TopicInfo | None] = {name: TopicInfo(id="1", partitions=4) for name in ("panes", "cp")}
        self.away = False
        self.died, self.code = threading.Event(), -1
        self.supervision = Supervision(
            self.member,
            self.worker,
            describe=self._describe,
            panes_topic="panes",
            checkpoints_topic="cp",
            pace=pace,
            die=self._die,
        )
        self.stop = asyncio.Event()

    def _die(self, code: int) -> None:
        self.code = code
        self.died.set()

    async def _describe(self, topic: str) -> TopicInfo | None:
        if self.away:
            raise ConnectionError("nobody there")
        return self.topics[topic]

    async def ends_with(self, *words: str) -> None:
        async with asyncio.timeout(100):
            with pytest.raises(StateError, match=".*".join(words)):
                await self.supervision.run(self.stop)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(100):
            while not condition():  # noqa: ASYNC110 - any condition
                await asyncio.sleep(0.01)

    @property
    def reason(self) -> str:
        return str(self.supervision.status()["reason"])


def test_an_orderly_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ready, folds, makes its last checkpoint, and nothing is left to end the process."""

    async def test() -> None:
        case = Case(monkeypatch)
        running = asyncio.create_task(case.supervision.run(case.stop))
        await case.until(lambda: case.supervision.status()["healthy"])
        await case.worker.take(arrivals(0, 7))
        case.stop.set()
        await running
        assert case.bus.happened[-1] == "commit 7"
        case.died.wait(1)
        assert not case.died.is_set()

    asyncio.run(test())


def test_topics_are_looked_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        case = Case(monkeypatch)
        case.topics["cp"] = None
        await case.ends_with("no such topic: cp")
        case.topics["cp"] = TopicInfo(id="2", partitions=3)
        await case.ends_with("panes has 4 partitions, cp 3")

    asyncio.run(test())


def test_lag_without_progress_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        case = Case(monkeypatch)
        case.member.end = 5
        await case.ends_with("no progress for", "with 5 entries to fold")

    asyncio.run(test())


def test_a_start_that_comes_to_nothing_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        case = Case(monkeypatch)
        monkeypatch.setattr(case.member, "start", lambda: asyncio.sleep(100))
        await case.ends_with("no progress for", "no assignment, or recovering")
        case = Case(monkeypatch)
        monkeypatch.setattr(case.member, "start", _refuse)
        await case.ends_with("the start ended", "refused")

    asyncio.run(test())


async def _refuse() -> None:
    raise ConnectionError("refused")


@pytest.mark.parametrize("said", [True, False])
def test_a_start_that_is_cut_short_ends_with_why(monkeypatch: pytest.MonkeyPatch, said: bool) -> None:
    """Faust cancels what runs in it as it crashes, its own start among them; why it crashed is known besides."""

    async def test() -> None:
        case = Case(monkeypatch)

        async def start() -> None:
            case.member.failure = RuntimeError("poison") if said else None
            raise asyncio.CancelledError

        monkeypatch.setattr(case.member, "start", start)
        await case.ends_with("poison" if said else "the start was cut short, and nothing says why")

    asyncio.run(test())


def test_what_fails_inside_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        case = Case(monkeypatch)
        case.member.failure = RuntimeError("poison")
        await case.ends_with("poison")

    asyncio.run(test())


def test_a_topic_made_anew_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        case = Case(monkeypatch)
        running = asyncio.create_task(case.ends_with("deleted and made again"))
        await case.until(lambda: case.member.ready)
        case.topics["panes"] = TopicInfo(id="2", partitions=4)
        await running

    asyncio.run(test())


def test_a_broker_that_is_away_is_said_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than a stall may last; but once it is back, standing still counts."""

    async def test() -> None:
        case = Case(monkeypatch)
        running = asyncio.create_task(case.ends_with("no progress for"))
        await case.until(lambda: case.supervision.status()["healthy"])
        case.away = True
        await case.until(lambda: "nobody there" in case.reason)
        case.member.end = 5
        await asyncio.sleep(3 * FAST.stall_seconds)
        assert not running.done()
        case.away = False
        await running

    asyncio.run(test())


def test_a_store_that_is_away_is_said_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        case = Case(monkeypatch)
        running = asyncio.create_task(case.supervision.run(case.stop))
        await case.until(lambda: case.supervision.status()["healthy"])
        case.worker._out.store_error = "no store"
        assert case.reason == "store: no store"
        case.member.end = 5
        await asyncio.sleep(2 * FAST.stall_seconds)
        assert not running.done()
        case.stop.set()
        await running

    asyncio.run(test())


@pytest.mark.parametrize("how", ["hangs", "leaves a thread", "fails"])
def test_a_stop_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """In the time of an orderly stop: what is left behind has nothing that is not saved, so none need wait longer."""

    async def fails() -> None:
        raise RuntimeError("on the way out")

    async def test() -> None:
        case = Case(monkeypatch, UNHURRIED)
        case.member.leaves_something = how == "leaves a thread"
        stopping: dict[str, Any] = {"hangs": lambda: asyncio.sleep(100), "fails": fails}
        case.member.stopping = stopping.get(how)
        running = asyncio.create_task(case.supervision.run(case.stop))
        await case.until(lambda: case.supervision.status()["healthy"])
        case.stop.set()
        await running
        assert await asyncio.to_thread(case.died.wait, 20)
        assert case.code == 0

    asyncio.run(test())


@pytest.mark.parametrize("given_away", [False, True])
def test_a_stop_while_the_group_rebalances(monkeypatch: pytest.MonkeyPatch, given_away: bool) -> None:
    """What is still ours is saved, what others have by now is theirs: so it ends in the time of an orderly stop."""

    async def test() -> None:
        case = Case(monkeypatch, UNHURRIED)
        case.member.stopping = lambda: asyncio.sleep(100)
        running = asyncio.create_task(case.supervision.run(case.stop))
        await case.until(lambda: case.supervision.status()["healthy"])
        await case.worker.take(arrivals(0, 7))
        case.member.ready = False
        case.bus.generation += given_away
        case.stop.set()
        await running
        assert ("commit 7" in case.bus.happened) != given_away
        assert await asyncio.to_thread(case.died.wait, 20)
        assert case.code == 0

    asyncio.run(test())


def test_the_stops_that_are_promised() -> None:
    """An orderly one within 10 s, a hard one within 20, with time for what else a process has to close."""
    assert Pace().stop_seconds < 10
    assert Pace().die_seconds < 20


def test_a_stop_that_could_not_save_and_does_not_end_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        case = Case(monkeypatch)
        case.member.stopping = lambda: asyncio.sleep(100)
        running = asyncio.create_task(case.supervision.run(case.stop))
        await case.until(lambda: case.supervision.status()["healthy"])
        await case.worker.take(arrivals(0, 7))
        case.away = True
        await case.until(lambda: case.reason.startswith("broker"))
        case.stop.set()
        await running
        assert await asyncio.to_thread(case.died.wait, 20)
        assert case.code == 1

    asyncio.run(test())


def test_a_stopped_partition_is_not_healthy_and_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        case = Case(monkeypatch)
        running = asyncio.create_task(case.supervision.run(case.stop))
        await case.until(lambda: case.supervision.status()["healthy"])
        case.worker.holds[0].stopped = "a gap"
        case.member.end = 5
        await asyncio.sleep(2 * FAST.stall_seconds)
        assert case.reason == "partition 0 stopped: a gap"
        assert not running.done()
        case.stop.set()
        await running

    asyncio.run(test())

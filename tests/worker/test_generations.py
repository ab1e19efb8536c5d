"""Rebalances that come while the states of a generation are derived: nothing of one is taken for the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from stream_monitor.worker import agents
from stream_monitor.worker.buses import TopicInfo
from stream_monitor.worker.owners import Span
from tests.worker.process import config

CHANGELOG = "t-worker-checkpoints-changelog"
FOUND = {b"head of 0": b"0", b"head of 1": b"1"}


class Rebalancing:
    """A bus whose group may rebalance while it is asked for spans; both partitions are ours before that."""

    def __init__(self) -> None:
        self.generation = 1
        self.assigned = {0, 1}
        self.rebalance: Callable[[], None] = lambda: None

    def partitions(self, topic: str) -> set[int]:
        return self.assigned

    async def ends(self, topic: str) -> dict[int, int]:
        return dict.fromkeys(self.assigned, 10)

    async def spans(self) -> dict[int, Span]:
        self.rebalance()
        return {p: Span(begin=0, end=20, committed=5) for p in self.assigned}


class Derived:
    """A worker that notes what it is given."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, dict[bytes, bytes], set[int]]] = []
        self.overtaken = False

    async def assigned(
        self, generation: int, topic_id: str, partitions: int, messages: Mapping[bytes, bytes], spans: dict[int, Span]
    ) -> bool:
        self.calls.append((generation, dict(messages.items()), set(spans)))
        return not self.overtaken


def in_loop(test: Callable[[Any, Rebalancing, Derived], Coroutine[Any, Any, None]]) -> Callable[..., None]:
    async def with_member() -> None:
        async def describe(topic: str) -> TopicInfo:
            return TopicInfo(id="id", partitions=2)

        derived: Any = Derived()
        member: Any = agents.FaustMember(
            config("t", 2), brokers="127.0.0.1:1", embedded=False, describe=describe, worker=lambda bus: derived,
            deliver=None,
        )  # fmt: skip
        bus = member._bus = Rebalancing()
        member._app = SimpleNamespace(
            rebalancing=False,
            tables=SimpleNamespace(recovery=SimpleNamespace(active_offsets={TP(CHANGELOG, p): 9 for p in (0, 1)})),
        )
        member._table.data.data.update(FOUND)
        await member._on_assigned(None, set())
        await test(member, bus, derived)

    def runs() -> None:
        asyncio.run(with_member())

    runs.__name__, runs.__doc__ = test.__name__, test.__doc__
    return runs


@in_loop
async def test_states_are_derived_of_a_table_that_is_whole(member: Any, bus: Rebalancing, derived: Derived) -> None:
    recovery = member._app.tables.recovery
    recovery.active_offsets[TP(CHANGELOG, 1)] = 8
    await member._on_recovered()
    assert derived.calls == []
    recovery.active_offsets[TP(CHANGELOG, 1)] = 9
    await member._on_recovered()
    assert derived.calls == [(1, FOUND, {0, 1})]
    assert member.ready


@in_loop
async def test_what_faust_drops_meanwhile_was_read_before(member: Any, bus: Rebalancing, derived: Derived) -> None:
    """Faust has dropped of its table what the next generation does not need, and that is not told yet."""
    bus.rebalance = lambda: member._table.data.data.pop(b"head of 0", None)
    await member._on_recovered()
    assert derived.calls == [(1, FOUND, {0, 1})]


@pytest.mark.parametrize("known", [False, True])
def test_the_next_generation_is_waited_for(known: bool) -> None:
    """Its partitions may be there before its number is."""

    @in_loop
    async def test(member: Any, bus: Rebalancing, derived: Derived) -> None:
        def rebalance() -> None:
            bus.assigned = {1}
            if known:
                bus.generation = 2

        bus.rebalance = rebalance
        await asyncio.wait_for(member._on_recovered(), 10)
        assert derived.calls == []
        assert not member.ready
        bus.generation = 2
        await member._on_assigned(None, set())
        await member._on_recovered()
        assert derived.calls == [(2, FOUND, {1})]
        assert member.ready

    test()


@in_loop
async def test_a_worker_that_was_overtaken_is_not_ready(member: Any, bus: Rebalancing, derived: Derived) -> None:
    derived.overtaken = True
    await member._on_recovered()
    assert len(derived.calls) == 1
    assert not member.ready

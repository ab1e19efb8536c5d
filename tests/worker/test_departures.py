"""A member that the group keeps waiting leaves it all the same, and the group goes on without it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.kafka.node import Node
from stream_monitor.worker import agents, departures


class Slow(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Gives its partitions back only when it may, and meanwhile the group waits for it."""

    def __init__(self) -> None:
        self.may, self.asked, self.assigned = asyncio.Event(), asyncio.Event(), set[int]()
        self.may.set()

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self.asked.set()
        await self.may.wait()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self.assigned = {place.partition for place in assigned}


async def _until(condition: Any) -> None:
    async with asyncio.timeout(100):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0.02)


def test_a_join_that_waits_for_others_is_given_up(kafka: Node) -> None:
    """Within the time of an orderly stop, where others may take a minute; and they go on without us."""
    topic = f"departures{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for created in admin.create_topics([NewTopic(topic, 2, 1)]).values():
        created.result(120)

    async def member(listener: Slow | None = None) -> Any:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka.bootstrap, group_id=topic, rebalance_timeout_ms=60_000, session_timeout_ms=45_000,
            heartbeat_interval_ms=100, enable_auto_commit=False,
        )  # fmt: skip
        await consumer.start()
        consumer.subscribe([topic], listener=listener)
        return consumer

    async def test() -> None:
        slow = Slow()
        other = await member(slow)
        ours = None
        try:
            await _until(lambda: slow.assigned == {0, 1})
            slow.may.clear()
            slow.asked.clear()
            ours = await member()
            await slow.asked.wait()
            leaving = asyncio.create_task(departures.leave(ours))
            async with asyncio.timeout(10):  # as the contract promises
                await ours.stop()
            leaving.cancel()
            slow.assigned.clear()
            slow.may.set()
            await _until(lambda: slow.assigned == {0, 1})
        finally:
            slow.may.set()
            await other.stop()
            if ours is not None:
                await ours.stop()

    asyncio.run(test())


def test_a_stop_asks_the_client_to_leave(monkeypatch: Any) -> None:
    """In the client's own loop, while Faust stops; and if there is no client yet, Faust alone stops."""
    happened: list[str] = []

    async def leave(consumer: Any) -> None:
        happened.append(consumer)

    class App:
        _consumer: Any = None

        async def stop(self) -> None:
            if self._consumer is not None:
                await _until(lambda: "client" in happened)
            happened.append("stopped")

    monkeypatch.setattr(departures, "leave", leave)

    async def test() -> None:
        member: Any = object.__new__(agents.FaustMember)
        member._app = App()
        assert await member.stop()
        thread = SimpleNamespace(_consumer="client", thread_loop=asyncio.get_running_loop())
        member._app._consumer = SimpleNamespace(_thread=thread)
        assert await member.stop()
        assert happened == ["stopped", "client", "stopped"]

    asyncio.run(test())
    assert hasattr(faust.App, "_on_rebalance_when_stopped")  # what closes the client under its last commit
    assert agents._App._on_rebalance_when_stopped is not faust.App._on_rebalance_when_stopped

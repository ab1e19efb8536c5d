"""Alerts on their way into the outbox: at least once, at the outbox's pace."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from stream_monitor.messages import message
from stream_monitor.outputs import Output
from stream_monitor.worker import handovers
from stream_monitor.worker.buses import Arrival
from stream_monitor.worker.handovers import Handover


class Valve:
    def __init__(self) -> None:
        self.generation = 1
        self.acked: list[int] = []
        self.happened: list[str] = []

    def ack(self, arrival: Arrival) -> None:
        self.acked.append(arrival.offset)

    def pause(self, topic: str, partition: int) -> None:
        self.happened.append("pause")

    def resume(self, topic: str, partition: int) -> None:
        self.happened.append("resume")


class Outbox:
    def __init__(self) -> None:
        self.taken: list[tuple[str, str, Mapping[str, Any], tuple[str, int, int]]] = []
        self.failures = 0

    async def __call__(self, kind: str, id: str, body: Mapping[str, Any], origin: tuple[str, int, int]) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("full")
        self.taken.append((kind, id, body, origin))


def arrival(offset: int, generation: int = 1) -> Arrival:
    body = {"id": f"a{offset}", "state": "firing"}
    output = Output(kind="alert", model="m", id=f"id{offset}", order="", revision=1, time_ms=1_500, body=body)
    sent = message(output, "/test")
    assert sent is not None
    return Arrival(
        topic="alerts", partition=0, offset=offset, generation=generation, value=sent.value, headers=sent.headers
    )


async def _until(handover: Handover, condition: Any) -> None:
    task = asyncio.create_task(handover.run())
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_what_is_taken_is_acknowledged_in_order() -> None:
    async def test() -> None:
        valve, outbox = Valve(), Outbox()
        handover = Handover(outbox, valve)
        junk = Arrival(topic="alerts", partition=0, offset=2, generation=1, value=b"{}", headers=[("ce_id", b"x")])
        handover.take([arrival(0), arrival(1), junk, arrival(3)])
        await _until(handover, lambda: handover.waiting == 0)
        assert valve.acked == [0, 1, 2, 3]
        assert [id for _, id, _, _ in outbox.taken] == ["id0", "id1", "id3"]
        assert outbox.taken[0] == ("alert", "id0", {"id": "a0", "state": "firing"}, ("alerts", 0, 0))
        assert (handover.delivered_total, handover.foreign_total) == (3, 1)

    asyncio.run(test())


def test_an_outbox_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        valve, outbox = Valve(), Outbox()
        outbox.failures = 3
        handover = Handover(outbox, valve)
        handover.take([arrival(0)])
        await _until(handover, lambda: handover.waiting == 0)
        assert (valve.acked, len(outbox.taken), handover.error) == ([0], 1, "")

    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: sleep(0.0))
    asyncio.run(test())


def test_an_old_generation_is_left_to_the_next_owner() -> None:
    async def test() -> None:
        valve, outbox = Valve(), Outbox()
        valve.generation = 2
        handover = Handover(outbox, valve)
        handover.take([arrival(0, generation=1), arrival(0, generation=2)])
        await _until(handover, lambda: handover.waiting == 0)
        assert (valve.acked, len(outbox.taken)) == ([0], 1)

    asyncio.run(test())


def test_a_full_queue_is_not_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handovers, "HIGH", 10)
    monkeypatch.setattr(handovers, "LOW", 2)

    async def test() -> None:
        valve, outbox = Valve(), Outbox()
        handover = Handover(outbox, valve)
        handover.take([arrival(i) for i in range(12)])
        assert valve.happened == ["pause"]
        await _until(handover, lambda: handover.waiting == 0)
        assert valve.happened == ["pause", "resume"]

    asyncio.run(test())

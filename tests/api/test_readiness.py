"""/readyz tells the truth."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from connectors.memory import MemoryStatusStore
from stream_monitor.interfaces import Document
from stream_monitor.status.statuses import heartbeat
from tests.api import bodies
from tests.api.conftest import House


def beats(tap: dict[str, Any] | None = None, worker: dict[str, Any] | None = None) -> list[Document]:
    return [
        heartbeat("tap", "t", 0, 0, {**bodies.TAP, **(tap or {})}),
        heartbeat("worker", "w", 0, 0, {**bodies.WORKER, **(worker or {})}),
    ]


def test_ready_when_all_is_there(house: House) -> None:
    house.put(*beats())
    answer = house.ask("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "reasons": []})


@pytest.mark.parametrize(
    ("documents", "reason"),
    [
        (beats()[:1], "no worker is alive"),
        (beats()[1:], "no tap is alive"),
        (beats(tap={"healthy": False, "reason": "broker: gone"}), "no tap is healthy: broker: gone"),
        (beats(worker={"healthy": False, "reason": "stalled"}), "no worker is healthy: stalled"),
        (beats(tap={"assigned": []}), "no tap has a partition yet"),
        (beats(worker={"partitions": []}), "no worker has a partition yet"),
        (
            beats(worker={"partitions": [{"partition": 2, "stopped": "overlap"}, {"partition": 3, "stopped": ""}]}),
            "worker partition 2 has stopped: overlap",
        ),
        ([*beats(), bodies.counters(1, stopped="gap")], "worker partition 1 has stopped: gap"),
    ],
)
def test_not_ready_says_why(house: House, documents: list[Document], reason: str) -> None:
    house.put(*documents)
    answer = house.ask("/readyz")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["reasons"] == [reason]


def test_one_healthy_process_of_a_kind_is_enough(house: House) -> None:
    house.put(*beats(), heartbeat("tap", "sick", 0, 0, {**bodies.TAP, "healthy": False}))
    assert house.ask("/readyz").status_code == 200


def test_a_broker_that_is_gone(house: House) -> None:
    house.put(*beats())
    house.broker_error = ConnectionError("no answer from kafka:9092")
    assert house.ask("/readyz").json()["reasons"] == ["broker: no answer from kafka:9092"]


def test_a_store_that_is_gone_or_hangs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.put(*beats())
    monkeypatch.setattr("stream_monitor.api.services.PROBE_SECONDS", 0.05)

    async def hang() -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(house.store, "ping", hang)
    assert house.ask("/readyz").json()["reasons"] == ["store: no answer within 0.05 s"]

    async def gone() -> None:
        raise ConnectionError("redis: refused")

    monkeypatch.setattr(house.store, "ping", gone)
    assert house.ask("/readyz").json()["reasons"] == ["store: redis: refused"]
    assert house.ask("/healthz").status_code == 200


def test_a_process_that_ended_is_missed_when_its_heartbeat_runs_out(house: House) -> None:
    now = [1000.0]
    house.store = MemoryStatusStore(clock=lambda: now[0])
    house.put(*beats())
    assert house.ask("/readyz").status_code == 200
    now[0] += 9
    house.put(beats()[1])
    assert house.ask("/readyz").status_code == 200
    now[0] += 2
    assert house.ask("/readyz").json()["reasons"] == ["no tap is alive"]


def test_those_who_ask_at_once_share_one_look(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes: else everybody who waits for a broker that hangs waits for all before him too."""
    house.put(*beats())
    looks = 0

    async def ping() -> None:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0.02)
        house.now += 4.0  # it took that long

    monkeypatch.setattr(house.store, "ping", ping)

    async def talk(client: httpx.AsyncClient) -> list[int]:
        answers = await asyncio.gather(*(client.get("/readyz") for _ in range(5)))
        return [a.status_code for a in answers]

    assert house.run(talk) == [200] * 5
    assert looks == 1
    house.now += 1.0
    assert house.ask("/readyz").status_code == 200
    assert looks == 2

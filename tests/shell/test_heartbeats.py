"""What a process says of itself while its status store is away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from stream_monitor.interfaces import Document
from stream_monitor.shell import heartbeats
from stream_monitor.shell.heartbeats import STATUS_STORE, Alive, Heartbeats

HEALTHY = {"healthy": True, "reason": "", "partitions": []}


class Store:
    """Takes what it is given, raises `error`, or never answers."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.silent = False
        self.taken: list[Document] = []

    async def put(self, documents: Sequence[Document]) -> None:
        if self.silent:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        self.taken += documents


def test_a_worker_is_not_ready_while_its_status_store_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(heartbeats, "STORE_SECONDS", 0.01)
    caplog.set_level("INFO")
    store: Any = Store()
    beats = Heartbeats("host:1")
    beats.alive["worker"] = alive = Alive(status=lambda: beats.store.into(HEALTHY), families=list)

    def reason() -> str:
        asyncio.run(beats.beat(store, "redis://me:secret@db:6379/0", "kafka:9092"))
        assert alive.status()["healthy"] == (not alive.status()["reason"])
        return str(alive.status()["reason"])

    assert reason() == ""
    store.error = ConnectionError("redis: Error 111 connecting to db:6379. Connection refused.")
    for _ in range(3):
        assert reason() == f"{STATUS_STORE}: redis: Error 111 connecting to db:6379. Connection refused."
    store.silent = True
    assert reason() == f"{STATUS_STORE}: no answer within 0.01 s from db:6379"
    store.error, store.silent = None, False
    assert reason() == ""
    lines = [r.getMessage() for r in caplog.records]
    assert lines == [
        f"{STATUS_STORE}: redis: Error 111 connecting to db:6379. Connection refused.",
        f"{STATUS_STORE}: works",
    ]
    assert len(store.taken) == 2

"""What a process says of itself while its status store is away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stream_monitor.config import Config
from stream_monitor.interfaces import Document
from stream_monitor.shell import services
from stream_monitor.shell.services import STATUS_STORE, Alive, Process

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


class Outside:
    brokers = "kafka:9092"

    def __init__(self) -> None:
        self.store = Store()


def test_a_worker_is_not_ready_while_its_status_store_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(services, "STORE_SECONDS", 0.01)
    caplog.set_level("INFO")
    outside: Any = Outside()
    config = Config(store="redis://me:secret@db:6379/0")
    process = Process(config, "worker", lambda _: outside, None, Path())
    process._ports = outside
    process._alive["worker"] = alive = Alive(status=lambda: process._troubles.into(HEALTHY), families=list)

    def reason() -> str:
        asyncio.run(process._beat())
        assert alive.status()["healthy"] == (not alive.status()["reason"])
        return str(alive.status()["reason"])

    assert reason() == ""
    outside.store.error = ConnectionError("redis: Error 111 connecting to db:6379. Connection refused.")
    for _ in range(3):
        assert reason() == f"{STATUS_STORE}: redis: Error 111 connecting to db:6379. Connection refused."
    outside.store.silent = True
    assert reason() == f"{STATUS_STORE}: no answer within 0.01 s from db:6379"
    outside.store.error, outside.store.silent = None, False
    assert reason() == ""
    lines = [r.getMessage() for r in caplog.records]
    assert lines == [
        f"{STATUS_STORE}: redis: Error 111 connecting to db:6379. Connection refused.",
        f"{STATUS_STORE}: works",
    ]
    assert len(outside.store.taken) == 2

"""A worker process of the toy fold: `python -m tests.worker.process BOOTSTRAP NAME [SECONDS BETWEEN CHECKPOINTS]`.

Prints its status as a JSON line every half second. Exits with 0 when told to stop, with 1 when it cannot go on.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import signal
import sys
from collections.abc import Mapping
from typing import Any

from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

from connectors.memory import MemoryStatusStore
from detectors.layouts import Layout
from stream_monitor import logs
from stream_monitor.agents import FaustWorker, TopicInfo
from stream_monitor.config import Config, Kafka
from stream_monitor.errors import StateError
from stream_monitor.workers import Pace
from tests.worker.toy import FOLD, ToyState


class NoCatalog:
    """The toy fold needs none."""

    def layout(self, id: str) -> Layout:
        raise KeyError(id)

    def blob(self, id: str) -> bytes:
        raise KeyError(id)

    def add_layout(self, layout: Layout) -> str:
        raise NotImplementedError

    def add_blob(self, data: bytes) -> str:
        raise NotImplementedError

    async def catch_up(self) -> None:
        pass

    async def announce(self, kind: str, id: str, model: str = "") -> None:
        raise NotImplementedError


class Topics:
    """Asks the broker about topics."""

    def __init__(self, bootstrap: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    async def __call__(self, name: str) -> TopicInfo | None:
        return await asyncio.to_thread(self._ask, name)

    def _ask(self, name: str) -> TopicInfo | None:
        future = self._admin.describe_topics(TopicCollection([name]), request_timeout=4)[name]
        try:
            found = future.result(5)
        except Exception as error:
            if "UNKNOWN_TOPIC" in str(error):
                return None
            raise
        return TopicInfo(id=str(found.topic_id), partitions=len(found.partitions))


def config(name: str, partitions: int, options: Mapping[str, Any] | None = None) -> Config:
    return Config(
        kafka=Kafka(
            prefix=f"{name}.",
            group=name,
            partitions=partitions,
            options=options or {"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000},
        )
    )


def shell(bootstrap: str, name: str, partitions: int, pace: Pace, **more: Any) -> FaustWorker[ToyState]:
    return FaustWorker(
        config(name, partitions),
        brokers=bootstrap,
        fold=FOLD,
        catalog=NoCatalog(),
        store=more.pop("store", None) or MemoryStatusStore(),
        describe=more.pop("describe", None) or Topics(bootstrap),
        pace=pace,
        **more,
    )


async def main(bootstrap: str, name: str, seconds: float) -> None:
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    pace = Pace(
        checkpoint_seconds=seconds, checkpoint_entries=400, full_every=4, probe_seconds=1, stop_seconds=4, die_seconds=9
    )
    handed: list[str] = []

    async def deliver(kind: str, id: str, body: Mapping[str, Any], origin: tuple[str, int, int]) -> None:
        handed.append(id)

    worker = shell(bootstrap, name, 4, pace, deliver=deliver)

    async def tell() -> None:
        while True:
            states = {p: h.owner.state.totals for p, h in worker.worker.holds.items()}
            print(json.dumps({**worker.status(), "states": states, "handed": len(handed)}), flush=True)
            await asyncio.sleep(0.5)

    telling = asyncio.create_task(tell())
    try:
        await worker.run(stop)
    finally:
        telling.cancel()


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)
    logs.setup()
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else 1.0))
    except StateError as error:
        print(f"cannot go on: {error}", file=sys.stderr)
        sys.exit(1)

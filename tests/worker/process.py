"""A worker process of the toy fold: `python -m tests.worker.process BOOTSTRAP NAME [embedded]`.

Prints its status as a JSON line every half second. Exits with 0 when told to stop, with 1 when it cannot go on.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.kafka_clients import Connection
from connectors.kafka_topics import Topics
from connectors.memory import MemoryStatusStore
from detectors.layouts import Layout
from stream_monitor.config import Config, Kafka
from stream_monitor.errors import StateError
from stream_monitor.shell import logs
from stream_monitor.worker.assembly import FaustWorker
from stream_monitor.worker.buses import Describe, Pace, TopicInfo
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

    def forget_blob(self, id: str) -> None:
        pass

    async def catch_up(self) -> None:
        pass

    async def announce(self, kind: str, id: str, model: str = "") -> None:
        raise NotImplementedError

    async def withdraw(self, ids: Sequence[str]) -> None:
        pass


def describing(bootstrap: str, embedded: bool) -> Describe:
    """Asks the broker about topics, as the service does."""
    topics = Topics(Connection(brokers=bootstrap, embedded=embedded))

    async def describe(name: str) -> TopicInfo | None:
        found = (await asyncio.to_thread(topics.identify, [name])).get(name)
        return None if found is None else TopicInfo(id=found[0], partitions=found[1])

    return describe


def config(name: str, partitions: int) -> Config:
    """Quick to notice a member that is gone."""
    options = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000}
    return Config(kafka=Kafka(prefix=f"{name}.", group=name, partitions=partitions, options=options))


async def main(bootstrap: str, name: str, embedded: bool) -> None:
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    pace = Pace(checkpoint_seconds=0.5, checkpoint_entries=400, full_every=4, probe_seconds=1)
    handed: list[str] = []

    async def deliver(kind: str, id: str, body: Mapping[str, Any], origin: tuple[str, int, int]) -> None:
        handed.append(id)

    worker: FaustWorker[ToyState] = FaustWorker(
        config(name, 4),
        brokers=bootstrap,
        fold=FOLD,
        catalog=NoCatalog(),
        store=MemoryStatusStore(),
        describe=describing(bootstrap, embedded),
        deliver=deliver,
        embedded=embedded,
        pace=pace,
    )

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
    logs.setup()
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:] == ["embedded"]))
    except StateError as error:
        print(f"cannot go on: {error}", file=sys.stderr)
        sys.exit(1)

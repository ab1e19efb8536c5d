"""The delivering loop in a world whose time a test lets pass."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from connectors.memory import MemoryOutbox, MemoryStatusStore
from connectors.sinks.memory import Memory
from stream_monitor.deliveries.deliveries import deliver_forever
from stream_monitor.deliveries.lanes import Undeliverable
from stream_monitor.deliveries.notices import alert_notices
from stream_monitor.errors import DeliveryError
from stream_monitor.interfaces import Document, Notice, Outbox, Sink
from stream_monitor.troubles import Troubles

MINUTE = 60_000
START = 1_767_236_400_000  # 2026-01-01T03:00:00Z
DOWN = DeliveryError("answered 500")


class World:
    """The loop running, and everything around it."""

    def __init__(self, targets: Mapping[str, Sink]) -> None:
        self.now_ms = START
        self.outbox: Outbox = MemoryOutbox(clock=lambda: self.now_ms / 1000)
        self.store = MemoryStatusStore(clock=lambda: self.now_ms / 1000)
        self.targets = targets
        self.counted: Counter[tuple[str, str]] = Counter()
        self.letters: list[tuple[Notice, str]] = []
        self.stop = asyncio.Event()
        self.troubles = Troubles()
        self.undeliverable: Undeliverable = self._keep_letter

    async def forever(self) -> None:
        await deliver_forever(
            self.outbox,
            self.targets,
            self.store,
            clock=lambda: self.now_ms,
            count=lambda sink, outcome: self.counted.update([(sink, outcome)]),
            undeliverable=self.undeliverable,
            stop=self.stop,
            troubles=self.troubles,
            poll_seconds=0.001,
        )

    async def _keep_letter(self, notice: Notice, detail: str) -> None:
        self.letters.append((notice, detail))

    async def tell(self, body: dict[str, Any]) -> None:
        """What the agent does with an alert message."""
        await self.outbox.add(alert_notices(f"ce-{body['id']}-{body['state']}", body, self.targets, self.now_ms))

    async def keep(self, kind: str, body: dict[str, Any], revision: int = 0) -> None:
        data = json.dumps(body).encode()
        document = Document(kind=kind, scope="", id=body["id"], order=body["id"], revision=revision, body=data)
        await self.store.put([document])

    async def until(
        self, condition: Callable[[], bool], step_ms: int = 1_000, steps: int = 5_000, pause: float = 0.002
    ) -> None:
        """Let time pass until it holds; between two steps a store may take `pause` seconds to answer."""
        for _ in range(steps):
            if condition():
                return
            self.now_ms += step_ms
            await asyncio.sleep(pause)
        raise AssertionError("it never happened")

    async def pass_time(self, minutes: int) -> None:
        for _ in range(minutes):
            self.now_ms += MINUTE
            await asyncio.sleep(0.004)


def play(targets: Mapping[str, Sink], script: Callable[[World], Awaitable[None]]) -> World:
    """Run the script while the loop runs, then stop it."""

    async def run() -> World:
        world = World(targets)
        loop = asyncio.create_task(world.forever())
        try:
            await script(world)
        finally:
            world.stop.set()
            await loop
        return world

    return asyncio.run(run())


def states(sink: Memory) -> list[str]:
    return [n.body["state"] for n in sink.taken]

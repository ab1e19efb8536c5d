"""Alerts and retrain requests on their way out: into the outbox, and from there to the targets configured now."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from stream_monitor.brokers import Publisher
from stream_monitor.config import Config
from stream_monitor.deliveries.deliveries import deliver_forever
from stream_monitor.deliveries.lanes import Count
from stream_monitor.deliveries.notices import TRIGGER, alert_notices, dead_letter, retrain_notices, target_names
from stream_monitor.interfaces import Notice, Outbox, Sink, StatusStore, Trigger
from stream_monitor.shell.processes import now_ms, set_after
from stream_monitor.troubles import Troubles

UNDELIVERABLE_SECONDS: Final = 30.0


class Dispatch:
    """Hands over and delivers by the configuration in force, which may change while it runs."""

    def __init__(
        self,
        *,
        config: Callable[[], Config],
        outbox: Outbox,
        targets: Callable[[Config], Mapping[str, Sink | Trigger]],
        store: StatusStore,
        publisher: Publisher,
        count: Count,
        troubles: Troubles,
    ) -> None:
        """`publisher` is for what cannot be delivered, and for nothing else; `count` takes target and outcome.

        `troubles` are told whether the outbox can be read.
        """
        self._config, self._outbox, self._targets, self._store = config, outbox, targets, store
        self._publisher, self._count, self._troubles = publisher, count, troubles
        self._retarget = asyncio.Event()

    def retarget(self) -> None:
        """Deliver to the targets of the configuration as it is by now. To be called in the event loop."""
        self._retarget.set()

    async def hand_over(self, kind: str, id: str, body: Mapping[str, Any], origin: tuple[str, int, int]) -> None:
        """Put an alert's transition or a retrain request into the outbox, once for each of its targets."""
        config = self._config()
        if kind == "alert":
            await self._outbox.add(alert_notices(id, body, target_names(config.sinks), now_ms(), origin))
        else:
            triggers = target_names(config.triggers, TRIGGER)
            await self._outbox.add(retrain_notices(id, body, triggers, now_ms(), origin))

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop`."""
        while not stop.is_set():  # once for every set of targets
            self._retarget.clear()
            end = asyncio.Event()
            ending = asyncio.create_task(set_after(end, self._retarget, stop))
            try:
                await deliver_forever(
                    self._outbox,
                    self._targets(self._config()),
                    self._store,
                    clock=now_ms,
                    count=self._count,
                    undeliverable=self._undeliverable,
                    stop=end,
                    troubles=self._troubles,
                )
            finally:
                ending.cancel()

    async def _undeliverable(self, notice: Notice, detail: str) -> None:
        topic = f"{self._config().kafka.prefix}dead-letters"

        def publish() -> None:
            key, value, headers = dead_letter(notice, detail)
            self._publisher.send(topic, None, value, key, headers)
            self._publisher.settle(UNDELIVERABLE_SECONDS, threading.Event())

        await asyncio.to_thread(publish)

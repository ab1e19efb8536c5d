"""What comes of folding on its way out: to the service's topics, acknowledged, and then to the status store."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import islice
from typing import Final

from stream_monitor.entries import Bundle, Entry
from stream_monitor.errors import Unreachable
from stream_monitor.interfaces import Document, StatusStore
from stream_monitor.messages import document, message
from stream_monitor.moments import epoch_ms
from stream_monitor.outputs import Output
from stream_monitor.worker.buses import Announcing, Bus, Outgoing, Watching

log = logging.getLogger(__name__)

STORE_SECONDS: Final = 10.0  # how long one write to the store may take
PORTION: Final = 1_000  # messages or documents of one write: what a block gives may take longer than nothing may happen


class Publishing:
    """A broker that is away is tried until it is back; documents wait for a store that is.

    `store_error` says why they wait, or is "". `progress` is when (monotonic seconds) something last went forward.
    """

    def __init__(
        self,
        *,
        bus: Bus,
        store: StatusStore,
        catalog: Announcing,
        watching: Watching,
        prefix: str,
        clock: Callable[[], float],
    ) -> None:
        self.store_error = ""
        self.progress = time.monotonic()
        self._bus, self._store, self._catalog, self._watching = bus, store, catalog, watching
        self._prefix, self._clock = prefix, clock
        self._documents: dict[tuple[str, str, str], Document] = {}

    @property
    def waiting(self) -> int:
        """Documents that the store has not taken yet."""
        return len(self._documents)

    async def publish(self, outputs: Sequence[tuple[Output, Entry | None]]) -> None:
        """All outputs, each with the entry that it came of; documents stay here while the store is away."""
        for i in range(0, len(outputs), PORTION):
            await self._publish_some(outputs[i : i + PORTION])
            await asyncio.sleep(0)
        await self.store_documents()
        now = self._clock()
        for output, _ in outputs:
            if output.kind == "window":
                self._watching.window_closed(output.model, now - epoch_ms(str(output.body["end"])) / 1000)

    async def _publish_some(self, outputs: Sequence[tuple[Output, Entry | None]]) -> None:
        outgoing = []
        for output, _ in outputs:
            if output.kind in ("layout", "reference"):
                id = str(output.body[output.kind])
                await self.until_reached(partial(self._catalog.announce, output.kind, id, output.model))
            if (m := message(output, self._source)) is not None:
                outgoing.append(Outgoing(topic=self._prefix + m.topic, key=m.key, value=m.value, headers=m.headers))
            if (d := document(output)) is not None:
                kept = self._documents.get((d.kind, d.scope, d.id))
                if kept is None or kept.revision <= d.revision:
                    self._documents[d.kind, d.scope, d.id] = d
        await self.send(outgoing)
        now = self._clock()
        for output, entry in outputs:
            if output.kind == "verdict" and isinstance(entry, Bundle):
                self._watching.verdict_given(output.model, now - entry.at_ms / 1000)

    @property
    def _source(self) -> str:
        return f"/{self._prefix.rstrip('.') or 'stream-monitor'}"

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Until the broker has acknowledged them."""
        if messages:  # after a failure all of them again: their ids and bytes are the same
            await self.until_reached(partial(self._bus.send, messages))

    async def until_reached(self, call: Callable[[], Awaitable[None]]) -> None:
        """Again and again until the broker is there for it."""
        while True:
            try:
                await call()
            except Unreachable as error:
                log.warning("trying again: %s", error)
                await asyncio.sleep(1)
            else:
                self.progress = time.monotonic()
                return

    async def store_documents(self) -> None:
        """What waits, as far as the store takes it."""
        while self._documents:
            portion = dict(islice(self._documents.items(), PORTION))
            try:
                async with asyncio.timeout(STORE_SECONDS):
                    await self._store.put(list(portion.values()))
            except Exception as error:  # of whichever store: the documents wait, detection goes on
                self.store_error = f"{type(error).__name__}: {error}"
                log.warning("the status store does not take %d documents: %s", len(self._documents), self.store_error)
                return
            self.store_error = ""
            self.progress = time.monotonic()
            for key, put in portion.items():
                if self._documents.get(key) is put:  # not a newer one that came meanwhile
                    del self._documents[key]
            await asyncio.sleep(0)  # a store in memory never waits

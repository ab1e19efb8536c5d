"""What the roles of a process tell of themselves: documents in the status store, and `--http`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from stream_monitor.errors import StateError
from stream_monitor.interfaces import StatusStore
from stream_monitor.shell.processes import now_ms
from stream_monitor.status.process_server import ProcessServer
from stream_monitor.status.statuses import heartbeat
from stream_monitor.status.telemetry import Telemetry
from stream_monitor.troubles import Troubles, said

STORE_SECONDS: Final = 4.0  # for the store to take a heartbeat
STATUS_STORE: Final = "status store"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """What a role tells of itself."""

    status: Callable[[], Mapping[str, Any]]
    families: Callable[[], Iterable[Any]]


class Heartbeats:
    """Of one process. `alive` are its roles that have one, `store` tells whether they reach the status store."""

    def __init__(self, id: str) -> None:
        self.alive: dict[Literal["tap", "worker"], Alive] = {}
        self.telemetry = Telemetry()
        self.store = Troubles()
        self._id = id
        self._started_ms = now_ms()

    async def beat(self, store: StatusStore, address: str, brokers: str) -> None:
        """Write what they tell now. A store that does not take it is a trouble until it does; `address` is where."""
        told = self.telemetry.snapshot()
        documents = [
            heartbeat(kind, self._id, self._started_ms, now_ms(), {**alive.status(), "brokers": brokers}, told)
            for kind, alive in self.alive.items()
        ]
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await store.put(documents)
        except TimeoutError:
            self.store.fails(STATUS_STORE, f"no answer within {STORE_SECONDS:g} s from {_host(address)}")
        except Exception as error:  # of whichever store: it is tried again with the next one
            self.store.fails(STATUS_STORE, said(error))
        else:
            self.store.works(STATUS_STORE)

    def served(self, host: str, port: int) -> ProcessServer:
        """Tell it over HTTP from now on; StateError if nothing can listen there."""

        def ready() -> str:
            return "; ".join(str(r) for a in self.alive.values() if (r := a.status().get("reason")))

        def families() -> Iterable[Any]:
            return [family for alive in self.alive.values() for family in alive.families()]

        try:
            return ProcessServer(host, port, self.telemetry, families, ready)
        except OSError as error:
            raise StateError(f"nothing can listen on port {port}: {error.strerror}") from error


def _host(store: str) -> str:
    """Where a store is, without its password."""
    return urlsplit(store).netloc.rpartition("@")[2] or store

"""The api with its page on a port of this machine, over a store that the test fills while it is served."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import uvicorn

from connectors.memory import MemoryStatusStore
from deploy.kafka.node import free_port
from detectors.counts import Counts
from detectors.layouts import HEAD, CategoricalLayout, Layout, NumericLayout
from stream_monitor.api import create_api
from stream_monitor.catalogs import MemoryCatalog
from stream_monitor.config import Config, Model, Target
from stream_monitor.entries import Command
from stream_monitor.interfaces import Document
from stream_monitor.judging.packed_references import pack_reference
from stream_monitor.judging.references import Reference
from stream_monitor.status.statuses import heartbeat
from tests.api import bodies

HOSTILE = "<img src=x onerror=document.title='owned'>"
LAYOUT = Layout(
    pane_ms=60_000,
    features={
        "amount": NumericLayout(edges=(10.0, 100.0)),
        "country": CategoricalLayout(categories=("de", "fr<script>")),
    },
    predictions={},
)


def reference(catalog: MemoryCatalog) -> str:
    """Id of a reference in which `amount` is 25, 50 and 25 % in its bins."""
    catalog.add_layout(LAYOUT)
    amount = LAYOUT.offsets["features", "amount"] + HEAD
    country = LAYOUT.offsets["features", "country"] + HEAD
    counts = Counts(
        rows=100,
        cells=np.array([amount, amount + 1, amount + 2, country, country + 1], np.int32),
        values=np.array([25, 50, 25, 60, 40]),
        low=np.array([1.0, np.inf]),
        high=np.array([500.0, -np.inf]),
    )
    made = Reference(
        model="fraud",
        version="",
        layout=LAYOUT.id,
        pane_ms=60_000,
        rows=100,
        series={"all": ((0, counts),)},
        source="train.parquet",
    )
    return catalog.add_blob(pack_reference(made))


class NoLog:
    async def append(self, model: str, command: Command) -> None:
        raise AssertionError("the page orders nothing")


class Scene:
    """Serves until `stop`. `put` may be called from any thread."""

    def __init__(self, config: Config) -> None:
        self.store = MemoryStatusStore()
        self.catalog = MemoryCatalog()
        self.reference = reference(self.catalog)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._config = config
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None

    async def _serve(self) -> None:
        async def probe() -> None:
            """The broker is there."""

        self._loop = asyncio.get_running_loop()
        app = create_api(self._config, self.store, NoLog(), probe=probe, catalog=self.catalog)
        settings = uvicorn.Config(app, host="127.0.0.1", port=self.port, log_level="warning", ws="websockets-sansio")
        self._server = uvicorn.Server(settings)
        await self._server.serve()

    def start(self) -> None:
        self._thread.start()

    def put(self, *documents: Document) -> None:
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self.store.put(documents), self._loop).result(120)

    def alive(self) -> None:
        """Taps and workers say that they live, and keep saying so for ten minutes."""
        now_ms = int(time.time() * 1000) + 600_000
        roles: dict[Literal["tap", "worker"], Any] = {"tap": bodies.TAP, "worker": bodies.WORKER}
        for kind, status in roles.items():
            beat = heartbeat(kind, f"{kind}-1", 0, now_ms, status, {"deliveries": {"slack": {"delivered": 4}}})
            self.put(Document(**{**{f: getattr(beat, f) for f in beat.__struct_fields__}, "ttl_seconds": 1200}))

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join()


def config(models: Sequence[str] = ("fraud",)) -> Config:
    return Config(
        models={name: Model(topic=(f"{name}.predictions",)) for name in models}, sinks=(Target(kind="slack"),)
    )


def busy(scene: Scene) -> None:
    """A model in trouble, one that is well, and one with a hostile name."""
    scene.alive()
    held = {"id": scene.reference, "rows": 100}
    scene.put(
        bodies.counters(),
        bodies.model(reference=held, breakdown=[]),
        bodies.model("churn", levels={"drift": "ok", "quality": "ok"}, worst=[], firing=[], breakdown=[]),
        bodies.model(HOSTILE, levels={"drift": "warning"}, firing=[], breakdown=[]),
        bodies.alert("a1"),
        bodies.alert("a0", state="resolved", model="churn", reason=HOSTILE),
        *[bodies.window(n, layout=LAYOUT.id) for n in range(14)],
        *[bodies.verdict(n, level="drift" if n > 2 else "ok", value=0.05 * n) for n in range(14)],
    )

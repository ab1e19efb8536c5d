"""An api over a store in memory, asked without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import httpx
import pytest

from connectors.memory import MemoryStatusStore
from stream_monitor.api import create_api
from stream_monitor.config import Api, Config, Model
from stream_monitor.entries import Command
from stream_monitor.interfaces import Document, StatusStore

T = TypeVar("T")
NOW = 1_000.0  # what the api's clock says, in seconds

KEYS = """
# who may do what
reader-key read
operator-key operate
admin-key
sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 read
"""  # the last is the hash of "test"


class Log:
    """A CommandLog that keeps what it was told, or fails."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Command]] = []
        self.error: Exception | None = None

    async def append(self, model: str, command: Command) -> None:
        if self.error is not None:
            raise self.error
        self.told.append((model, command))


class House:
    """The api with everything around it in memory."""

    def __init__(self) -> None:
        self.store: StatusStore = MemoryStatusStore(clock=lambda: NOW)
        self.log = Log()
        self.broker_error: Exception | None = None
        self.api = Api(keys=KEYS)
        self.now = NOW
        self.prepared: list[tuple[str, str, str]] = []

    def config(self) -> Config:
        return Config(api=self.api, models={"fraud": Model(topic=("fraud.predictions",))})

    def put(self, *documents: Document) -> None:
        asyncio.run(self.store.put(documents))

    def run(self, talk: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
        """Let `talk` speak to a fresh application."""

        async def probe() -> None:
            if self.broker_error is not None:
                raise self.broker_error

        async def prepare_file(model: str, version: str, file: str) -> str:
            if file != "good.parquet":
                raise FileNotFoundError(f"no such file: {file}")
            self.prepared.append((model, version, file))
            return "ref-1"

        async def run() -> T:
            app = create_api(
                self.config(),
                self.store,
                self.log,
                probe=probe,
                prepare_file=prepare_file,
                dashboard=False,
                clock=lambda: self.now,
            )
            # Whether FastAPI is what httpx takes for an ASGI application differs between their releases.
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type, unused-ignore]
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
                return await talk(client)

        return asyncio.run(run())

    def ask(self, path: str, *, key: str | None = None, method: str = "GET", **more: Any) -> httpx.Response:
        headers = {**more.pop("headers", {}), **({"authorization": f"Bearer {key}"} if key is not None else {})}
        return self.run(lambda client: client.request(method, path, headers=headers, **more))

    def tell(self, path: str, body: Any = None, *, key: str | None = "operator-key", **more: Any) -> httpx.Response:
        if body is not None:
            more["content"] = json.dumps(body).encode()
            more["headers"] = {"content-type": "application/json", **more.get("headers", {})}
        return self.ask(path, key=key, method="POST", **more)

    def items(self, path: str) -> Iterable[dict[str, Any]]:
        answer = self.ask(path)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items


@pytest.fixture
def house() -> House:
    return House()

"""The team's training pipeline: answers retrain requests that arrive as signed webhooks.

It trains a new version on the range that the request names, promotes the version's reference through the API, and lets
the version take over the traffic.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import queue
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pandas as pd

from deploy.demo.traffic import Traffic


class Pipeline:
    """A webhook receiver and one worker thread; `say` gets a line for people for everything that happens."""

    def __init__(
        self,
        traffic: Mapping[str, Traffic],
        *,
        api: str,
        key: str,
        secret: str,
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self._traffic = traffic
        self._api = api
        self._key = key
        self._secret = base64.b64decode(secret.removeprefix("whsec_"))
        self._folder = folder
        self._say = say
        self._requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._seen: set[str] = set()
        self._open: list[str] = []  # a model for each of its requests that has no answer yet
        self._lock = threading.Lock()
        self.failures: list[str] = []
        pipeline = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if not pipeline._signed(self.headers, body):
                    self.send_response(401)
                else:
                    pipeline._accept(self.headers["webhook-id"], json.loads(body))
                    self.send_response(202)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass  # the demo prints what matters

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/retrain"
        self._threads = [
            threading.Thread(target=self._server.serve_forever, daemon=True),
            threading.Thread(target=self._work, daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the request at hand and end."""
        self._requests.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._threads[1].join(20)

    def is_open(self, model: str) -> bool:
        """Whether a request of the model has come that has no answer yet."""
        with self._lock:
            return model in self._open

    def _signed(self, headers: Any, body: bytes) -> bool:
        signed = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode() + body
        expected = "v1," + base64.b64encode(hmac.new(self._secret, signed, hashlib.sha256).digest()).decode()
        return any(hmac.compare_digest(expected, s) for s in (headers.get("webhook-signature") or "").split())

    def _accept(self, id: str, request: dict[str, Any]) -> None:
        with self._lock:
            if id in self._seen:  # a webhook is delivered at least once
                return
            self._seen.add(id)
            self._open.append(request["model"])
        self._requests.put(request)

    def _work(self) -> None:
        while (request := self._requests.get()) is not None:
            try:
                self._answer(request)
            except Exception as error:  # whatever it is: the model must not be held back for ever, nor the next request
                self.failures.append(str(error))
                self._say(f"{request['model']}: retraining failed: {error}")
            finally:
                with self._lock:
                    self._open.remove(request["model"])

    def _answer(self, request: dict[str, Any]) -> None:
        name, span = request["model"], request["range"]
        self._say(f"{name}: retrain request for {span['from'][:10]} to {span['to'][:10]}")
        traffic = self._traffic[name]
        file = self._folder / f"{name}-reference-{traffic.version + 1}.parquet"
        version = traffic.train(pd.Timestamp(span["from"]), pd.Timestamp(span["to"]), file)
        answer = httpx.post(
            f"{self._api}/v1/models/{name}/references",
            json={"version": version, "file": str(file)},
            headers={"authorization": f"Bearer {self._key}"},
            timeout=60,
            trust_env=False,
        )
        answer.raise_for_status()
        self._say(f"{name}: version {version} is trained, its reference promoted, and it takes over")

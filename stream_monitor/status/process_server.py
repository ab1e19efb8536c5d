"""What a tap or a worker says of itself over HTTP: /metrics, /healthz and /readyz, with `--http PORT`."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client.metrics_core import Metric

from stream_monitor.status.telemetry import Telemetry, exposition

Families = Callable[[], Iterable[Metric]]
Ready = Callable[[], str]  # why the process cannot do its work, "" if it can


class ProcessServer:
    """/metrics, /healthz and /readyz of a tap or a worker, in threads of its own. `port` is the one it got."""

    def __init__(self, host: str, port: int, telemetry: Telemetry, families: Families, ready: Ready) -> None:
        """Listen at once; OSError if that is not possible. Port 0: any free one."""

        class Handler(BaseHTTPRequestHandler):
            timeout = 10  # seconds that a slow client may hold a thread
            server_version = "stream-monitor"
            sys_version = ""

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    body, content_type = exposition(self.headers.get("Accept", ""), families(), telemetry)
                    self._answer(200, body, content_type)
                elif path == "/healthz":
                    self._answer(200, b'{"status":"ok"}', "application/json")
                elif path == "/readyz":
                    reason = ready()
                    self._answer(503 if reason else 200, _ready_body(reason), "application/json")
                else:
                    self._answer(404, b"try /metrics, /healthz or /readyz\n", "text/plain")

            def _answer(self, code: int, body: bytes, content_type: str) -> None:
                self.send_response(code)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Scrapes are not worth a line each."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _ready_body(reason: str) -> bytes:
    return json.dumps({"ready": not reason, "reasons": [reason] if reason else []}).encode()

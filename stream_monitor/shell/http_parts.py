"""The HTTP server as a part of a process. Apart from processes.py, since FastAPI takes a second to import."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI

from stream_monitor.errors import StateError
from stream_monitor.shell.processes import Part


class _Server(uvicorn.Server):
    """Leaves signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def http(app: FastAPI, host: str, port: int, ready: Callable[[int], None]) -> Part:
    """A part that serves the application; `ready` is told the port that it listens on."""

    async def part(stop: asyncio.Event) -> None:
        settings = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=3
        )
        server = _Server(settings)
        with _listen(host.strip("[]"), port) as listening:
            ready(listening.getsockname()[1])
            serving = asyncio.create_task(server.serve([listening]))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            server.should_exit = True
            stopping.cancel()
            await serving

    return part


def _listen(host: str, port: int) -> socket.socket:
    # Why not uvicorn's own: it ends the process when the port is taken.
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind)
    except OSError as error:
        raise StateError(f"nothing can listen on {host}:{port}: {error.strerror}") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise StateError(f"nothing can listen on {host}:{port}: {error.strerror}") from error
    return listening

"""Real servers for the tests: each starts on a free loopback port and stops by its own process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.kafka.node import end, free_port

IN_CI = os.environ.get("CI") == "true"
# Limits in seconds are what an idle machine never needs; a slow and busy one is given so many times as long. A wait
# ends with what it waits for, so patience costs nothing where nothing is wrong. It is 1 where the service promises a
# time, as of stopping and of readiness.
PATIENCE = 5.0


def need(found: bool, what: str, remedy: str) -> None:
    """Go on if it is there. In CI a missing service is a failure; elsewhere the test is skipped with the remedy."""
    if found:
        return
    if IN_CI:
        pytest.fail(f"{what} is missing: {remedy}")
    pytest.skip(f"{what} is missing: {remedy}")


def need_program(program: str, package: str) -> str:
    """The path of a program that a Debian package brings."""
    path = shutil.which(program)
    need(path is not None, program, f"apt-get install {package} (or `make test` as root)")
    assert path is not None
    return path


def wait_until(
    condition: Callable[[], bool],
    seconds: float = 30.0,
    what: str = "it",
    every: float = 0.05,
    patience: float = PATIENCE,
) -> None:
    """Until `condition()` holds; AssertionError after `patience` times `seconds`."""
    end = time.monotonic() + patience * seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(every)
    raise AssertionError(f"{what} did not happen within {patience:g} times {seconds} s")


def await_end(process: subprocess.Popen[Any], seconds: float = 30.0) -> int:
    """The exit code of a process that ends by itself; subprocess.TimeoutExpired after PATIENCE times `seconds`."""
    return process.wait(PATIENCE * seconds)


def handles(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler of its own for a signal by now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def await_handler(pid: int, number: signal.Signals) -> None:
    """Until the process has a handler of its own for the signal."""

    def there() -> bool:
        return handles(pid, number)

    wait_until(there, 60, f"a handler of {number.name}", every=0.001)


class Server:
    """A program with one HTTP or TCP port, its output in `folder`/NAME.log."""

    def __init__(self, folder: Path, name: str, command: list[str], port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._name = name
        self._command = command
        self._log = folder / f"{name}.log"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, ready: Callable[[], bool], seconds: float = 30.0) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=self._folder)

        def up() -> bool:
            assert self._process is not None
            if self._process.poll() is not None:
                raise AssertionError(f"{self._name} ended at once:\n{self._log.read_text()[-2000:]}")
            return ready()

        wait_until(up, seconds, f"{self._name} listening on {self.port}")

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on, if it was frozen."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            end(self._process, how, 15)
            self._process = None


def answers(url: str) -> bool:
    """Whether an HTTP GET gives 200."""
    try:
        return httpx.get(url, timeout=60, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def redis_server(folder: Path) -> Server:
    """An empty Redis, in memory; not started yet."""
    port = free_port()
    program = need_program("redis-server", "redis-server")
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    return Server(folder, "redis", command, port)


def redis_ready(server: Server) -> Callable[[], bool]:
    """A check that the server answers PING."""

    def ready() -> bool:
        import socket

        try:
            with socket.create_connection(("127.0.0.1", server.port), 1) as s:
                s.sendall(b"PING\r\n")
                return s.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    return ready


def alertmanager_server(folder: Path, config: str | None = None) -> Server:
    """An Alertmanager that groups at once and sends nowhere unless `config` says so; not started yet."""
    port = free_port()
    program = need_program("prometheus-alertmanager", "prometheus-alertmanager")
    file = folder / "alertmanager.yml"
    file.write_text(
        config or "route: {receiver: none, group_by: [alertname, model], group_wait: 0s}\nreceivers: [{name: none}]\n"
    )
    command = [
        program,
        f"--config.file={file}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        f"--storage.path={folder / 'alertmanager'}",
    ]
    return Server(folder, "alertmanager", command, port)


def prometheus_server(folder: Path, targets: list[str], rules: Path | None = None) -> Server:
    """A Prometheus that scrapes `targets` (HOST:PORT) every second; not started yet."""
    port = free_port()
    program = need_program("prometheus", "prometheus")
    file = folder / "prometheus.yml"
    quoted = ", ".join(f"'{t}'" for t in targets)
    file.write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        + (f"rule_files: ['{rules}']\n" if rules else "")
        + f"scrape_configs: [{{job_name: stream-monitor, static_configs: [{{targets: [{quoted}]}}]}}]\n"
    )
    command = [
        program,
        f"--config.file={file}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
    ]
    return Server(folder, "prometheus", command, port)

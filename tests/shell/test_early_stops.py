"""A process of the service that is told to stop while it still starts ends at once, with exit code 0."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import await_end, await_handler, wait_until

CONFIG = """\
kafka: {{brokers: "127.0.0.1:{port}"}}
store: redis://127.0.0.1:1/0
models:
  m: {{topic: t, task: none, fields: {{features: f}}}}
"""


def start(folder: Path, verb: str, port: int) -> subprocess.Popen[bytes]:
    file = folder / f"{verb}.yaml"
    file.write_text(CONFIG.format(port=port))
    with (folder / f"{verb}.log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-m", "stream_monitor", verb, str(file)], stdout=log, stderr=log)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_before_it_has_read_its_configuration(tmp_path: Path, number: signal.Signals) -> None:
    """As soon as it can be heard: long before the service is imported, which takes seconds."""
    started = {verb: start(tmp_path, verb, 1) for verb in ("tap", "worker", "api", "run")}
    for process in started.values():
        await_handler(process.pid, signal.SIGTERM)
        process.send_signal(number)
    for verb, process in started.items():
        assert await_end(process, 60) == 0, verb
        assert (tmp_path / f"{verb}.log").read_text() == ""


def test_while_its_broker_does_not_answer(tmp_path: Path) -> None:
    """A broker that takes connections and says nothing: what is asked of it cannot be called off."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = start(tmp_path, "worker", silent.getsockname()[1])
        log = tmp_path / "worker.log"
        try:
            wait_until(lambda: "trying again" in log.read_text(), 120, "a question without an answer")
            process.terminate()
            assert await_end(process, 60) == 0
        finally:
            process.kill()
        assert "does not end by itself" not in log.read_text()

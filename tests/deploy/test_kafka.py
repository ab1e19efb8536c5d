"""`python -m deploy.kafka run` as a script starts it in the background: a signal ends it, and the node with it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest

from deploy.kafka.node import Node, free_port


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for a background job of a script


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_background_job_ends_with_its_node(kafka: Node, how: signal.Signals) -> None:
    port = free_port()
    command = [sys.executable, "-m", "deploy.kafka", "run", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=_ignore_interrupts)
    assert process.stdout is not None
    with process.stdout as said:
        try:
            assert f"127.0.0.1:{port}" in said.readline()
            process.send_signal(how)
            assert process.wait(60) == 0
            with socket.socket() as s:
                assert s.connect_ex(("127.0.0.1", port)) != 0
        finally:
            process.terminate()
            process.wait(60)

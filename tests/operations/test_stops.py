"""A process that is told to stop ends, whatever its broker does."""

from __future__ import annotations

import signal
from pathlib import Path

from deploy.kafka.node import Node, free_port
from tests.exactness.service import create_topics
from tests.operations.test_reloads import HEAD, MODEL, traffic
from tests.servers import answers, wait_until
from tests.shell.test_service import get, process

SOON = 25  # seconds; promised are 20: the hard end comes 18 s after the signal


def test_a_process_under_load_ends_although_its_broker_is_frozen(own_kafka: Node, tmp_path: Path) -> None:
    """A frozen broker keeps its connections and answers nothing: what hurts a client most. All roles in one process."""
    port, file = free_port(), tmp_path / "monitor.yaml"
    (tmp_path / "normal.csv").write_text("amount\n" + "\n".join(str(90 + i % 20) for i in range(1_000)))
    text = HEAD.format(brokers=own_kafka.bootstrap, name="stops", group="stops", port=port, sinks="[]", idle="60s")
    file.write_text(text + MODEL.format(model="m", topic="stops-events", threshold=0.5))
    create_topics(own_kafka.bootstrap, {"stops-events": 2})
    url = f"http://127.0.0.1:{port}"
    with process(tmp_path, "run", str(file)) as running:
        wait_until(lambda: answers(f"{url}/readyz"), 200, "readiness")
        with traffic(own_kafka.bootstrap, "stops-events", 1_700_000_000):
            wait_until(lambda: bool(get(url, "/v1/models/m/windows")["items"]), 90, "windows")
        own_kafka.freeze()
        try:
            running.send_signal(signal.SIGTERM)
            assert running.wait(SOON) in (0, 1)
        finally:
            own_kafka.thaw()

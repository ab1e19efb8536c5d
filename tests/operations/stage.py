"""A monitor.yaml on the secured node, with a way in for each role, and the traffic of its one model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka.admin import NewTopic

from deploy.kafka.node import free_port
from stream_monitor.config.files import read_config
from stream_monitor.shell.acls import acls
from stream_monitor.shell.tables import known_tables
from tests.operations.secured import Secured
from tests.shell.fraud import FRAUD, KEY, publish, write_normal

CONFIG = (
    """\
kafka:
  brokers: "{brokers}"
  prefix: "{name}."
  group: {name}
  partitions: 2
  options: {options}
store: "{store}"
"""
    + FRAUD
)
SESSION = {"session.timeout.ms": "6000"}


class Stage:
    """Files of one service under a name of its own, its source topic made, its users with the rights of their roles."""

    def __init__(self, folder: Path, secured: Secured, name: str, store: str) -> None:
        self.folder, self.secured, self.name, self.store = folder, secured, name, store
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.topic = f"{name}-events"
        write_normal(folder)
        for future in secured.admin.create_topics([NewTopic(self.topic, 2, 1)]).values():
            future.result(120)

    def file(self, how: str, user: str, **changes: str) -> str:
        """A monitor.yaml by which a user comes in; returns its path."""
        options = {**SESSION, **self.secured.options(how, user), **changes}
        path = self.folder / f"{user}.yaml"
        path.write_text(
            CONFIG.format(
                brokers=self.secured.brokers(how),
                name=self.name,
                options=json.dumps(options),
                store=self.store,
                port=self.port,
            )
        )
        return str(path)

    def allow(self, role: str, user: str, file: str, *, without: tuple[str, str] | None = None) -> None:
        """Give the user the rights of a role: all of them, or all but (the end of a resource's name, operation)."""
        found = []
        for acl in acls(read_config(file, known_tables(), environ={"API_KEY": KEY}).config, role):
            left = acl.operations
            if without is not None and acl.name.endswith(without[0]):
                left = tuple(o for o in left if o != without[1])
            found.append(type(acl)(resource=acl.resource, name=acl.name, operations=left, prefixed=acl.prefixed))
        self.secured.allow(user, found)

    def publish(self, *, shift: float, seconds: int, start: float | None = None) -> float:
        """Forty events a second of event time; when they end."""
        start = (time.time() - 120) // 5 * 5 if start is None else start
        publish(self.secured.node.bootstrap, self.topic, shift=shift, start=start, seconds=seconds)
        return start + seconds


def command(*arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "stream_monitor", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "API_KEY": KEY, **(environ or {})},
    )

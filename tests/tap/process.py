"""A tap in a process of its own, to be killed and frozen: `python -m tests.tap.process BROKERS PREFIX TOPIC...`.

Further options for Kafka come as JSON in KAFKA_OPTIONS.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading

if __name__ == "__main__":  # before what takes its time to import
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())

from connectors.kafka import KafkaGroup, KafkaPublisher
from connectors.kafka_clients import Connection
from stream_monitor.tap.rules import Limits, Rules
from stream_monitor.tap.tap import Tap
from tests.tap.counting import IDLE_AFTER_MS, TinyCounting

WORKERS = 2
OPTIONS = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000}


def main(stop: threading.Event) -> None:
    brokers, prefix, *topics = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options = {**OPTIONS, **json.loads(os.environ.get("KAFKA_OPTIONS", "{}"))}
    connection = Connection(brokers=brokers, options=options)
    group, publisher = KafkaGroup(connection, prefix + "group"), KafkaPublisher(connection)
    tap = Tap(
        rules=Rules(topics=tuple(topics), prefix=prefix, idle_after_ms=IDLE_AFTER_MS),
        group=group,
        logs=group,
        publisher=publisher,
        counting=TinyCounting(),
        worker_partitions=WORKERS,
        limits=Limits(events=500, flush_seconds=(0.2, 1.0), silence_seconds=1),
    )
    tap.run(stop)
    group.close()
    publisher.close()


if __name__ == "__main__":
    main(told)

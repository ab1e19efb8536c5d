"""A broker inside the process: librdkafka's mock cluster, for demos and fast tests. Nothing to install.

One broker; topics come up by themselves with 4 partitions when somebody asks for them, and a topic's id is its name;
commits keep their metadata; the last 5 MiB of a partition are kept, in memory. No transactions, no controller.
"""

from __future__ import annotations

import logging
from typing import Final

from confluent_kafka import KafkaException, Producer

from stream_monitor.errors import StateError

PARTITIONS: Final = 4  # of every topic


class EmbeddedBroker:
    """Listens on a free loopback port (`address`) until `close`; any Kafka client may use it."""

    def __init__(self) -> None:
        quiet = logging.getLogger("kafka.embedded")
        quiet.addFilter(lambda record: record.levelno >= logging.ERROR)
        settings = {"bootstrap.servers": "embedded", "test.mock.num.brokers": 1}
        self._producer: Producer | None = Producer(settings, logger=quiet)
        try:
            brokers = self._producer.list_topics(timeout=10).brokers.values()
        except KafkaException as error:
            raise StateError(f"the embedded broker did not start: {error.args[0].str()}") from None
        self.address = ",".join(f"{b.host}:{b.port}" for b in brokers)

    def close(self) -> None:
        """Gone, with everything in it."""
        self._producer = None

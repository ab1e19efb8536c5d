"""The service on a Kafka and a Redis of its own, with both models' topics and reference."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.kafka.node import Node
from tests.exactness import streams
from tests.exactness.scenes import SEED
from tests.exactness.service import SOURCES, Service, create_topics
from tests.servers import redis_ready, redis_server


@pytest.fixture
def service(own_kafka: Node, tmp_path: Path) -> Iterator[Service]:
    redis = redis_server(tmp_path)
    redis.start(redis_ready(redis))
    create_topics(own_kafka.bootstrap, SOURCES)
    streams.write_reference(tmp_path / "reference.csv", SEED)
    service = Service(tmp_path, brokers=own_kafka.bootstrap, redis=f"redis://127.0.0.1:{redis.port}/0", name="exact")
    yield service
    service.stop()
    redis.stop()

"""The service's own topics: how they are kept, and what is said of one that is kept or cut otherwise."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.kafka_catalog import KafkaCatalog
from connectors.kafka_clients import Connection
from connectors.kafka_topics import Topics, checkpoint_topic, markdown, service_topics
from deploy.kafka.node import Node
from stream_monitor.app import Wires
from stream_monitor.config import Config, Kafka, Model
from stream_monitor.errors import ConfigError, StateError
from stream_monitor.shell.services import Process
from tests.servers import wait_until

README = Path(__file__).parents[2] / "README.md"


def make(brokers: str, topics: list[NewTopic]) -> None:
    admin = AdminClient({"bootstrap.servers": brokers})
    for future in admin.create_topics(topics).values():
        future.result(120)
    known = Topics(Connection(brokers=brokers))
    names = [topic.topic for topic in topics]
    wait_until(lambda: set(known.identify(names)) == set(names), what="topics made")


def prepare(config: Config) -> None:
    """What a process does before it works."""
    process = Process(config, "api", Wires, None, Path())
    process._ports = Wires(config)

    async def body() -> None:
        assert await process._connect(asyncio.Event())
        await process._closing.aclose()

    asyncio.run(body())


def test_a_topic_that_forgets_what_must_stay_is_refused(kafka: Node, caplog: pytest.LogCaptureFixture) -> None:
    prefix = f"kept-{time.time_ns()}."
    compacted = {"cleanup.policy": "compact"}
    make(kafka.bootstrap, [NewTopic(f"{prefix}panes", 2, 1, config=compacted)])
    topics, specs = Topics(Connection(brokers=kafka.bootstrap)), service_topics(Kafka(prefix=prefix, partitions=2))
    with pytest.raises(StateError, match=r"panes has cleanup\.policy=compact, and must have delete .*--add-config"):
        topics.check([s for s in specs if s.name.endswith("panes")])
    make(kafka.bootstrap, [NewTopic(f"{prefix}checkpoints", 2, 1)])
    with pytest.raises(StateError, match=r"must have compact \(the fold's state"):
        topics.check([checkpoint_topic(f"{prefix}checkpoints", 2)])
    make(kafka.bootstrap, [NewTopic(f"{prefix}alerts", 2, 1, config={"retention.ms": "3600000"})])
    with caplog.at_level(logging.WARNING):
        topics.check([s for s in specs if s.name.endswith("alerts")])
    assert "retention.ms=3600000, less than the 2592000000 it is made with" in caplog.text


def test_topics_as_the_service_makes_them_pass(kafka: Node, caplog: pytest.LogCaptureFixture) -> None:
    kept = Kafka(prefix=f"made-{time.time_ns()}.", partitions=2)
    topics, specs = Topics(Connection(brokers=kafka.bootstrap)), service_topics(kept)
    topics.create(specs)
    with caplog.at_level(logging.INFO):
        topics.check(specs)
    assert "topic" not in caplog.text


def test_another_number_of_partitions_is_refused_with_the_way_out(kafka: Node) -> None:
    """Stated otherwise in the file: a mistake at its line. Changed under the service: it would count models apart."""
    name = f"moved-{time.time_ns()}"
    config = Config(
        kafka=Kafka(brokers=kafka.bootstrap, prefix=f"{name}.", partitions=2), models={"m": Model(topic=("t",))}
    )
    prepare(config)
    with pytest.raises(ConfigError) as caught:
        prepare(Config(kafka=Kafka(brokers=kafka.bootstrap, prefix=f"{name}.", partitions=3), models=config.models))
    [mistake] = caught.value.mistakes
    assert mistake.path == "kafka.partitions"
    assert "panes has 2 partitions: every model has its partition by their number" in mistake.message
    assert "a new kafka.prefix and kafka.group, and kafka.start" in mistake.message

    catalog = KafkaCatalog(Connection(brokers=kafka.bootstrap), f"{name}.")
    catalog.publish_config(Config(kafka=Kafka(partitions=5), models=config.models))  # as a tap did, when there were 5
    catalog.close()
    with pytest.raises(StateError, match=r"panes has 2 partitions, and had 5: every model"):
        prepare(config)


def test_the_manual_has_the_table() -> None:
    assert markdown() in README.read_text()

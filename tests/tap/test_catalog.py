"""The compacted topics: what one process publishes another one knows, in pieces and out of order too."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from connectors.embedded import EmbeddedBroker
from connectors.kafka_catalog import KafkaCatalog, KafkaCommandLog
from connectors.kafka_clients import Connection
from connectors.kafka_topics import Topics, service_topics
from deploy.kafka.node import Node
from detectors.layouts import Layout, NumericLayout
from stream_monitor.config import Config, Kafka
from stream_monitor.config.plain import config_id
from stream_monitor.entries import FORMAT, Command, partition_of, unpack
from stream_monitor.errors import Unreachable
from stream_monitor.publications import Publications, blob_messages, config_blob, config_of, layout_messages
from tests.servers import wait_until

_NUMBERS = itertools.count()
LAYOUT = Layout(pane_ms=1_000, features={"a": NumericLayout(edges=(0.1, 2.0))}, predictions={})


def test_messages_may_come_in_any_order_and_again() -> None:
    data = random.Random(1).randbytes(10_000)
    messages = blob_messages(data, limit=999)
    random.Random(2).shuffle(messages)
    id = messages[0][0].decode().partition("/")[0]
    catalog = Publications()
    for key, value in messages[:-1]:
        catalog.take("references", key, value)
    with pytest.raises(KeyError):
        catalog.blob(id)
    for key, value in messages:
        catalog.take("references", key, value)
    assert catalog.blob(id) == data


def test_a_reference_that_is_withdrawn_is_gone_once_its_tombstones_are_read() -> None:
    """Whoever wrote them may have died between two: then all that still stands there is withdrawn again."""
    data = random.Random(1).randbytes(10_000)
    messages = blob_messages(data, limit=999)
    id = messages[0][0].decode().partition("/")[0]
    catalog = Publications()
    for key, value in messages:
        catalog.take("references", key, value)
    tombstones = catalog.tombstones(id)
    assert {key for key, _ in messages} <= set(tombstones)
    catalog.take("references", tombstones[0], None)
    assert (catalog.knows_blob(id), catalog.blobs) == (False, 0)

    late = Publications()  # it reads what compaction has left of it
    for key, value in messages[3:]:
        late.take("references", key, value)
    assert late.tombstones(id) == sorted(key for key, _ in messages[3:])
    for key, _ in messages:
        late.take("references", key, None)
    assert late.tombstones(id) == []
    for key, value in messages:  # a worker that slept publishes it again
        late.take("references", key, value)
    assert late.blob(id) == data


def test_a_model_has_the_layout_it_was_given_last() -> None:
    catalog, other = Publications(), Layout(pane_ms=2_000, features={}, predictions={})
    for layout in (LAYOUT, other):
        for key, value in layout_messages(layout, "fraud"):
            catalog.take("layouts", key, value)
    assert catalog.model_layouts() == {"fraud": other.id}
    assert catalog.layout(LAYOUT.id) == LAYOUT
    catalog.take("layouts", b"model/churn", b"unknown")  # its layout is on its way
    catalog.take("layouts", b"model/fraud", None)
    assert catalog.model_layouts() == {"fraud": other.id}


def test_a_configuration_comes_back_under_its_id() -> None:
    config = Config(kafka=Kafka(prefix="é."), store="redis://:secret@host/0")
    data = config_blob(config)
    assert b"secret" not in data
    assert Publications().add_blob(data) == config_id(config)
    assert config_blob(config_of(data)) == data


@pytest.fixture(params=["embedded", "kafka"])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    if request.param == "embedded":
        broker = EmbeddedBroker()
        yield Connection(brokers=broker.address, embedded=True)
        broker.close()
    else:
        yield Connection(brokers=request.getfixturevalue("kafka").bootstrap)


def fresh(connection: Connection) -> Kafka:
    kafka = Kafka(prefix=f"catalog-{next(_NUMBERS)}-{time.time_ns() // 1_000_000}.", partitions=3)
    topics = Topics(connection)
    topics.create(service_topics(kafka), kafka.replication)
    topics.create(service_topics(kafka), kafka.replication)  # again: nothing to do
    return kafka


def test_what_one_process_publishes_another_knows(connection: Connection) -> None:
    kafka = fresh(connection)
    ours = KafkaCatalog(connection, kafka.prefix)
    ours.load()
    reference = random.Random(3).randbytes(2_500_000)  # in three messages
    ours.add_blob(reference)
    layout = ours.add_layout(LAYOUT)
    ours.publish_layout(layout, "fraud")
    asyncio.run(ours.announce("reference", ours.add_blob(reference)))
    config = ours.publish_config(Config())

    theirs = KafkaCatalog(connection, kafka.prefix)
    theirs.load()
    assert theirs.layout(layout) == LAYOUT
    assert theirs.model_layouts() == {"fraud": layout}
    assert theirs.blob(ours.add_blob(reference)) == reference
    assert config_of(theirs.blob(config)) == Config()

    theirs.follow()
    other = Layout(pane_ms=2_000, features={}, predictions={})
    asyncio.run(ours.announce("layout", ours.add_layout(other), "fraud"))
    wait_until(lambda: theirs.model_layouts() == {"fraud": other.id}, 20, "followed")
    asyncio.run(theirs.catch_up())

    other_id = ours.add_blob(b"in force")
    asyncio.run(ours.announce("reference", other_id))
    id = ours.add_blob(reference)
    asyncio.run(ours.withdraw([id, "never heard of"]))
    for catalog in (ours, theirs):
        asyncio.run(catalog.catch_up())
        assert not catalog.knows_blob(id)
        assert catalog.blob(other_id) == b"in force"
    asyncio.run(theirs.withdraw([other_id]))  # by another one than it was published by
    asyncio.run(ours.catch_up())
    assert not ours.knows_blob(other_id)
    ours.close()
    theirs.close()


def test_a_command_goes_to_its_models_partition_or_to_all(connection: Connection) -> None:
    kafka = fresh(connection)
    panes = f"{kafka.prefix}panes"
    partitions = Topics(connection).identify([panes])[panes][1]
    log = KafkaCommandLog(connection, kafka.prefix, partitions)
    one = Command("1", "acknowledge", 5, "me", {"alert": "x"}, format=FORMAT)
    everywhere = Command("2", "config", 6, "me", {}, format=FORMAT)
    asyncio.run(log.append("fraud", one))
    asyncio.run(log.append("", everywhere))
    log.close()
    found: dict[int, list[object]] = {p: [] for p in range(partitions)}
    reader = connection.consumer({"group.id": "r", "auto.offset.reset": "earliest"})
    reader.assign([TopicPartition(panes, p, 0) for p in range(partitions)])

    def read() -> bool:
        for message in reader.consume(10, 0.2):
            found[message.partition()].append(unpack(message.value()))
        return sum(map(len, found.values())) == partitions + 1

    wait_until(read, 20, "read")
    reader.close()
    mine = partition_of("fraud", partitions)
    assert found == {p: [one, everywhere] if p == mine else [everywhere] for p in range(partitions)}


def test_service_topics_are_kept_as_they_must_be(kafka: Node) -> None:
    connection = Connection(brokers=kafka.bootstrap)
    ours = fresh(connection)
    names = [s.name for s in service_topics(ours)]
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    wanted = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    policies = {r.name: f.result(120)["cleanup.policy"].value for r, f in admin.describe_configs(wanted).items()}
    compacted = {ours.prefix + name for name in ("layouts", "references", "configs")}
    assert {name for name, policy in policies.items() if policy == "compact"} == compacted
    assert set(policies) - compacted == {
        ours.prefix + n for n in ("panes", "verdicts", "alerts", "retrain-requests", "dead-letters")
    }
    found = Topics(connection).identify(names)
    assert found[f"{ours.prefix}panes"][1] == 3
    assert len({id for id, _ in found.values()}) == len(names)


def test_without_a_broker_it_says_so() -> None:
    nowhere = Connection(brokers="127.0.0.1:1")
    with pytest.raises(Unreachable):
        Topics(nowhere).identify(["x"])

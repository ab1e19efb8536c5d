"""The brokers that the tap can run on, and a member that keeps what it reads."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import pytest

from connectors.embedded import EmbeddedBroker
from connectors.kafka import KafkaGroup, KafkaPublisher
from connectors.kafka_clients import Connection
from connectors.kafka_topics import Topics, TopicSpec
from stream_monitor.brokers import Partition, Polled
from tests.servers import wait_until
from tests.tap.twin import Cluster, Member, Post

_NUMBERS = itertools.count()


class Kind(Protocol):
    """A broker under test; every topic has 4 partitions."""

    def member(self, group: str) -> Any: ...
    def post(self) -> Any: ...
    def create(self, topic: str) -> None: ...
    def close(self) -> None: ...


class Twin:
    def __init__(self) -> None:
        self.cluster = Cluster()

    def member(self, group: str) -> Member:
        return Member(self.cluster)

    def post(self) -> Post:
        return Post(self.cluster)

    def create(self, topic: str) -> None:
        self.cluster.create(topic, 4)

    def close(self) -> None:
        pass


class Real:
    def __init__(self, connection: Connection, broker: EmbeddedBroker | None = None) -> None:
        self.connection, self.broker = connection, broker
        self.topics = Topics(connection)
        self.open: list[Any] = []

    def member(self, group: str) -> KafkaGroup:
        member = KafkaGroup(self.connection, group)
        self.open.append(member)
        return member

    def post(self) -> KafkaPublisher:
        post = KafkaPublisher(self.connection)
        self.open.append(post)
        return post

    def create(self, topic: str) -> None:
        self.topics.create([TopicSpec(name=topic, partitions=4)])

    def close(self) -> None:
        for client in self.open:
            client.close()
        if self.broker is not None:
            self.broker.close()


TWIN, EMBEDDED, KAFKA, KIP_848 = "twin", "embedded", "kafka", "kafka, KIP-848"


def of(*kinds: str) -> pytest.MarkDecorator:
    """For what only some brokers can do."""
    return pytest.mark.parametrize("kind", kinds, indirect=True)


def fresh(kind: Kind) -> str:
    topic = f"brokers-{next(_NUMBERS)}-{int(time.time())}"
    kind.create(topic)
    return topic


class Reader:
    """A member that keeps what it reads."""

    def __init__(self, kind: Kind, topic: str, start: int = 0) -> None:
        self.member = kind.member(f"g-{topic}")
        self.assigned: dict[Partition, int] = {}
        self.values: list[tuple[int, int, bytes | None]] = []
        self.ends: dict[Partition, int] = {}
        self.lost: set[Partition] = set()
        self.revoked: list[Partition] = []
        self.start = start
        self.member.join([topic], self._take, self._drop)

    def _take(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        self.assigned = dict.fromkeys(partitions, self.start)
        return self.assigned

    def _drop(self, partitions: Sequence[Partition]) -> None:
        self.revoked += partitions
        for p in partitions:
            self.assigned.pop(p, None)

    def poll(self) -> Polled:
        polled: Polled = self.member.poll(1000, 0.1)
        for (_, number), messages in polled.records.items():
            self.values += [(number, m.offset(), m.value()) for m in messages]
        self.ends.update(polled.ends)
        self.lost |= polled.lost
        return polled

    def until(self, condition: Callable[[], bool], what: str) -> None:
        def so() -> bool:
            self.poll()
            return condition()

        wait_until(so, 40, what)


def write(post: Any, topic: str, partition: int, *values: bytes | None) -> None:
    for value in values:
        post.send(topic, partition, value, b"k", [("h", b"1")])
    post.settle(120, threading.Event())

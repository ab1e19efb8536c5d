"""Topics: those of the service are created with the right cleanup; any is identified by id and number of partitions."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import NewTopic

from connectors.kafka_clients import ANSWER_SECONDS, Connection
from stream_monitor.config import DAY_MS, Kafka
from stream_monitor.errors import StreamMonitorError, Unreachable

CREATE_SECONDS: Final = 30.0
MORE_THAN_EVENT: Final = 1 << 20  # for the key and headers of a dead letter


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """A topic the service needs. An existing one is left as it is."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def compacted(cls, name: str, partitions: int) -> TopicSpec:
        """The last message of every key stays."""
        return cls(name=name, partitions=partitions, config={"cleanup.policy": "compact"})


def service_topics(kafka: Kafka) -> list[TopicSpec]:
    """All topics of the contract. Those kept by time are never compacted: their records are no last words of a key."""

    def kept(name: str, days: int, most_bytes: int) -> TopicSpec:
        config = {
            "cleanup.policy": "delete",
            "retention.ms": str(days * DAY_MS),
            "max.message.bytes": str(most_bytes),
        }
        return TopicSpec(name=kafka.prefix + name, partitions=kafka.partitions, config=config)

    return [
        kept("panes", 14, 2 << 20),
        kept("verdicts", 30, 2 << 20),
        kept("alerts", 30, 2 << 20),
        kept("retrain-requests", 30, 2 << 20),
        kept("dead-letters", 30, kafka.max_event + MORE_THAN_EVENT),
        *(TopicSpec.compacted(kafka.prefix + name, 1) for name in ("layouts", "references", "configs")),
    ]


class Topics:
    """What the broker says of topics. The embedded broker has no controller: a topic's id is its name there."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._embedded = connection, connection.embedded
        self._admin = connection.admin()

    def identify(self, names: Sequence[str]) -> dict[str, tuple[str, int]]:
        """(id, number of partitions) of each topic that exists. Raises Unreachable."""
        if self._embedded:
            return {name: (name, n) for name in names if (n := self._count(name))}
        with self._connection.asking("identifying topics", self._admin):
            futures = self._admin.describe_topics(TopicCollection(list(names)), request_timeout=ANSWER_SECONDS)
            out = {}
            for name, future in futures.items():
                try:
                    found = future.result(ANSWER_SECONDS + 1)
                except TimeoutError:
                    raise Unreachable("identifying topics: no answer") from None
                except KafkaException as error:
                    if error.args[0].code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
                        continue
                    raise
                out[name] = (str(found.topic_id), len(found.partitions))
        return out

    def names(self) -> set[str]:
        """All topics. Raises Unreachable."""
        with asking("listing topics"):
            return set(self._admin.list_topics(timeout=ANSWER_SECONDS).topics)

    def create(self, specs: Iterable[TopicSpec], replication: int = 1) -> None:
        """Create those that do not exist, and wait until all are known. Raises Unreachable or StateError."""
        specs = list(specs)
        if self._embedded:
            end = time.monotonic() + CREATE_SECONDS
            while missing := [s.name for s in specs if not self._count(s.name)]:
                if time.monotonic() > end:
                    raise Unreachable(f"the embedded broker did not create {missing[0]}")
            return
        known = self.identify([s.name for s in specs])
        new = [s for s in specs if s.name not in known]
        if not new:
            return
        with self._connection.asking("creating topics", self._admin):
            futures = self._admin.create_topics(
                [NewTopic(s.name, s.partitions, replication, config=dict(s.config)) for s in new],
                request_timeout=ANSWER_SECONDS,
            )
        for name, future in futures.items():
            try:
                future.result(CREATE_SECONDS)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self._refused(name, error.args[0]) from None
        end = time.monotonic() + CREATE_SECONDS
        while len(self.identify([s.name for s in specs])) < len(specs):
            if time.monotonic() > end:
                raise Unreachable("topics were created and do not show")
            time.sleep(0.1)

    def _refused(self, name: str, error: KafkaError) -> StreamMonitorError:
        return self._connection.in_our_words(error, f"creating topic {name}")

    def _count(self, name: str) -> int:
        with self._connection.asking("identifying topics", self._admin):
            found = self._admin.list_topics(name, timeout=ANSWER_SECONDS).topics.get(name)
        return len(found.partitions) if found is not None and found.error is None else 0

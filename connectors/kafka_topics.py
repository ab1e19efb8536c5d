"""Topics: those of the service are created with the right cleanup; any is identified by id and number of partitions."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import ConfigResource, NewTopic

from connectors.kafka_clients import ANSWER_SECONDS, HOPELESS, Connection
from stream_monitor.config import DAY_MS, Kafka
from stream_monitor.errors import StateError, StreamMonitorError, Unreachable

log = logging.getLogger(__name__)

CREATE_SECONDS: Final = 30.0
REPLACE_SECONDS: Final = 20.0  # how old an admin client must be to be replaced where it gave no answer
TURN_SECONDS: Final = 0.5  # how long an answer is waited for before the consumer is asked what is amiss
MORE_THAN_EVENT: Final = 1 << 20  # for the key and headers of a dead letter


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """A topic the service needs. An existing one is left as it is."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    why: str = ""

    @classmethod
    def compacted(cls, name: str, partitions: int, why: str = "") -> TopicSpec:
        """The last message of every key stays."""
        return cls(name=name, partitions=partitions, config={"cleanup.policy": "compact"}, why=why)


def service_topics(kafka: Kafka) -> list[TopicSpec]:
    """All topics of the contract. Those kept by time are never compacted: their records are no last words of a key."""

    def kept(name: str, days: int, most_bytes: int, why: str) -> TopicSpec:
        config = {
            "cleanup.policy": "delete",
            "retention.ms": str(days * DAY_MS),
            "max.message.bytes": str(most_bytes),
        }
        return TopicSpec(name=kafka.prefix + name, partitions=kafka.partitions, config=config, why=why)

    def last(name: str, why: str) -> TopicSpec:
        return TopicSpec.compacted(kafka.prefix + name, 1, why)

    return [
        kept("panes", 14, 2 << 20, "counts and commands; how far back the state can be rebuilt"),
        kept("verdicts", 30, 2 << 20, "for whoever reads them"),
        kept("alerts", 30, 2 << 20, "each transition; must outlast the 24 h of a delivery"),
        kept("retrain-requests", 30, 2 << 20, "must outlast the 24 h of a delivery"),
        kept("dead-letters", 30, kafka.max_event + MORE_THAN_EVENT, "to look at, mend and send again"),
        last("layouts", "blocks and windows name layouts by id"),
        last("references", "the state names references by id; one that was replaced is deleted by tombstones"),
        last("configs", "blocks name the configuration that they are counted under"),
    ]


def checkpoint_topic(name: str, partitions: int) -> TopicSpec:
    """The topic of the fold's state."""
    return TopicSpec.compacted(name, partitions, "the fold's state; old checkpoints are deleted by tombstones")


def markdown() -> str:
    """The table of the README."""
    lines = ["| topic | cleanup | kept | why |", "|---|---|---|---|"]
    specs = service_topics(Kafka(prefix="PREFIX"))
    for spec in [*specs, checkpoint_topic("GROUP-worker-checkpoints-changelog", 1)]:
        age = spec.config.get("retention.ms")
        kept = f"{int(age) // DAY_MS} d" if age else "last of each key"
        lines.append(f"| `{spec.name}` | {spec.config['cleanup.policy']} | {kept} | {spec.why} |")
    return "\n".join(lines)


def _compare(spec: TopicSpec, found: Mapping[str, str]) -> None:
    policy, wanted = found.get("cleanup.policy", ""), spec.config["cleanup.policy"]
    if policy and policy != wanted:
        raise StateError(
            f"topic {spec.name} has cleanup.policy={policy}, and must have {wanted} ({spec.why}): kafka-configs.sh "
            f"--alter --topic {spec.name} --add-config cleanup.policy={wanted}"
        )
    for name in ("retention.ms", "max.message.bytes"):
        if name in spec.config and 0 <= int(found.get(name) or -1) < int(spec.config[name]):
            log.warning(
                "topic %s has %s=%s, less than the %s it is made with (%s)",
                spec.name, name, found[name], spec.config[name], spec.why,
            )  # fmt: skip


def _offset(consumer: Consumer, partition: TopicPartition) -> None:
    """Ask for a group's offset. Raises KafkaException."""
    end = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            consumer.committed([partition], timeout=TURN_SECONDS)
            return
        except KafkaException as error:
            said = consumer.poll(0)  # where the group's broker is not told to us, that is no answer to this question
            if said is not None and said.error() is not None and said.error().code() in HOPELESS:
                raise KafkaException(said.error()) from None
            if error.args[0].code() != KafkaError._TIMED_OUT or time.monotonic() > end:
                raise


class Topics:
    """What the broker says of topics. The embedded broker has no controller: a topic's id is its name there."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._embedded = connection, connection.embedded
        self._made, self._admin = time.monotonic(), connection.admin()

    def identify(self, names: Sequence[str]) -> dict[str, tuple[str, int]]:
        """(id, number of partitions) of each topic that exists. Raises Unreachable."""
        if self._embedded:
            return {name: (name, n) for name in names if (n := self._count(name))}
        with self._asking("identifying topics"):
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
        with self._asking("listing topics"):
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
        with self._asking("creating topics"):
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

    def check(self, specs: Iterable[TopicSpec]) -> None:
        """Look at how existing topics are kept: StateError if what must stay would go, a warning if too soon."""
        if self._embedded:
            return
        wanted = {s.name: s for s in specs if s.config}
        asked = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in wanted]
        for resource, future in self._admin.describe_configs(asked, request_timeout=ANSWER_SECONDS).items():
            try:
                found = {name: entry.value for name, entry in future.result(ANSWER_SECONDS + 1).items()}
            except (KafkaException, TimeoutError) as error:
                log.info("how %s is kept is not known: %s", resource.name, error)
                continue
            _compare(wanted[resource.name], found)

    def check_group(self, group: str, topic: str) -> None:
        """StateError if we may not ask for a group's offsets, as its members must. Raises Unreachable too."""
        if self._embedded:
            return
        # Why not the admin client, which has a question for it: librdkafka 2.16 ends the whole process when what an
        # admin client has asked of a group's broker is answered, or the connection breaks, after it was given up.
        asking = self._connection.reader(group=group)
        try:
            with self._connection.asking(f"group {group}", asking):
                _offset(asking, TopicPartition(topic, 0))
        finally:
            asking.close()

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Errors in our words. A client that gave no answer is replaced, unless it is new.

        Why: librdkafka 2.16, seldom, looks for the controller for ever once its broker has been away.
        """
        try:
            with self._connection.asking(what, self._admin):
                yield
        except Unreachable:
            if time.monotonic() - self._made > REPLACE_SECONDS:
                self._made, self._admin = time.monotonic(), self._connection.admin()
            raise

    def _refused(self, name: str, error: KafkaError) -> StreamMonitorError:
        return self._connection.in_our_words(error, f"creating topic {name}")

    def _count(self, name: str) -> int:
        with self._asking("identifying topics"):
            found = self._admin.list_topics(name, timeout=ANSWER_SECONDS).topics.get(name)
        return len(found.partitions) if found is not None and found.error is None else 0

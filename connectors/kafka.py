"""The tap's side of Kafka: a member of its group, a look at logs, a publisher. See stream_monitor/brokers.py."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.kafka_clients import ANSWER_SECONDS, HOPELESS, Connection
from connectors.kafka_reading import Read, reading
from connectors.kafka_topics import Topics
from stream_monitor.brokers import Letter, Partition, Polled
from stream_monitor.errors import CommitUnknown, Fenced, StateError, Unreachable
from stream_monitor.intents import Look
from stream_monitor.runs import Runs

log = logging.getLogger(__name__)

# The broker said no before it wrote anything: this member's generation is over, or about to be.
REFUSALS: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError._ASSIGNMENT_LOST,
    }
)
FIXED: Final = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # a gap in the data must be seen
    "enable.partition.eof": True,  # holes at the end of a log have no records to show the position
    "isolation.level": "read_committed",
}
TURN_SECONDS: Final = 0.1  # how long messages are waited for before the consumer is asked what else there is
FETCHING: Final = {
    "fetch.wait.max.ms": 100,
    "fetch.queue.backoff.ms": 10,  # a full queue is tried again after so long, not after a second
    "queued.max.messages.kbytes": 16 << 10,  # read ahead, of all partitions together: what bounds the memory
}
CLASSIC: Final = {
    "session.timeout.ms": 10_000,
    "heartbeat.interval.ms": 3_000,
    "partition.assignment.strategy": "range",
}


class KafkaGroup:
    """Group and Logs by one consumer at a time.

    Why joining anew takes another consumer: while a commit waits for a lost coordinator, librdkafka answers no other
    question of the same consumer, and its Python binding holds the interpreter's lock while it asks.
    """

    def __init__(self, connection: Connection, group: str) -> None:
        incremental = connection.incremental
        defaults = {**FETCHING, "allow.auto.create.topics": connection.embedded}
        self._settings = ({**FIXED, "group.id": group}, defaults if incremental else {**defaults, **CLASSIC})
        self._incremental = incremental or "cooperative" in str(
            connection.options.get("partition.assignment.strategy", "")
        )
        self._connection = connection
        self._consumer: Consumer = connection.consumer(*self._settings)
        self._reading = reading(self._consumer)
        self._topics = Topics(connection)
        self._held: frozenset[Partition] = frozenset()
        self._mine: set[Partition] = set()
        self._member = ""

    # Group

    def join(
        self,
        topics: Sequence[str],
        assigned: Callable[[Sequence[Partition]], Mapping[Partition, int]],
        revoked: Callable[[Sequence[Partition]], None],
    ) -> None:
        def take(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            if consumer is not self._consumer:
                return
            new = [(p.topic, p.partition) for p in partitions]
            starts = assigned(new) if new else {}
            self._held = frozenset()
            self._mine.update(new)
            self._member = consumer.memberid()
            placed = [TopicPartition(t, p, starts[t, p]) for t, p in new]
            if self._reading is not None:
                self._reading.lead(new)
            if self._incremental:
                consumer.incremental_assign(placed)
            else:
                consumer.assign(placed)
            if placed:
                consumer.resume(placed)  # a pause outlives the assignment it was made in

        def drop(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            if consumer is self._consumer:
                self._forget([(p.topic, p.partition) for p in partitions])
                revoked([(p.topic, p.partition) for p in partitions])

        self._subscription = (list(topics), {"on_assign": take, "on_revoke": drop, "on_lost": drop})
        with self._connection.asking("joining the group"):
            self._consumer.subscribe(self._subscription[0], **self._subscription[1])

    def follow(self, topics: Sequence[str]) -> None:
        self._subscription = (list(topics), self._subscription[1])
        with self._connection.asking("following topics"):
            self._consumer.subscribe(self._subscription[0], **self._subscription[1])

    def _forget(self, partitions: Sequence[Partition]) -> None:
        self._mine.difference_update(partitions)
        self._held = frozenset()

    def rejoin(self) -> None:
        self.close()
        self._forget(list(self._mine))
        with self._connection.asking("joining the group"):
            self._consumer = self._connection.consumer(*self._settings)
            self._reading = reading(self._consumer)
            self._consumer.subscribe(self._subscription[0], **self._subscription[1])

    def poll(self, records: int, seconds: float) -> Polled:
        """As Group says. The consumer's own queue is asked first, and again while nothing else comes."""
        end = time.monotonic() + seconds
        while True:
            left = max(0.0, end - time.monotonic())
            direct = self._reading is not None and bool(self._mine)
            with self._connection.asking("reading"):
                messages = self._consumer.consume(records, 0 if direct else left)
            polled, trouble = _sorted(messages)
            if direct and self._reading is not None:
                left = 0.0 if messages else min(TURN_SECONDS, left)
                with self._connection.asking("reading"):
                    read = self._reading.read(records, left)
                polled, amiss = _with(polled, read)
                trouble = amiss or trouble
            if polled.records or polled.ends or polled.lost or time.monotonic() >= end:
                break
            if trouble is not None:
                break
        if trouble is not None and not polled.records:
            raise self._connection.in_our_words(trouble, "reading")
        return polled

    def hold(self, partitions: frozenset[Partition]) -> None:
        held = partitions & self._mine
        with self._connection.asking("pausing"):
            if held - self._held:
                self._consumer.pause([TopicPartition(*p) for p in held - self._held])
            if self._held - held:
                self._consumer.resume([TopicPartition(*p) for p in (self._held - held) & self._mine])
        self._held = held

    def commit(self, offsets: Mapping[Partition, tuple[int, str]]) -> None:
        if self._consumer.memberid() != self._member:
            # librdkafka would commit without a generation, which a broker accepts for a group without members.
            raise Fenced("no member of the group any more")
        wanted = [TopicPartition(t, p, offset, metadata) for (t, p), (offset, metadata) in offsets.items()]
        answer = _Answer(lambda: self._consumer.commit(offsets=wanted, asynchronous=False))
        if not answer.done.wait(ANSWER_SECONDS):
            raise CommitUnknown(f"no answer to a commit within {ANSWER_SECONDS:g} s")
        errors = answer.errors()
        if not errors:
            return
        text = f"commit: {errors[0].str()}"
        if all(e.code() in REFUSALS for e in errors):
            raise Fenced(text)
        if any(e.fatal() or e.code() in HOPELESS for e in errors):
            raise StateError(text)
        raise CommitUnknown(text)

    # Logs

    def look(self, partitions: Sequence[Partition]) -> Mapping[Partition, Look]:
        facts = self.identify(sorted({topic for topic, _ in partitions}))
        some = [p for p in partitions if p[0] in facts and p[1] < facts[p[0]][1]]
        if not some:
            return {}
        out = {}
        with self._connection.asking("reading commits"):
            for c in self._consumer.committed([TopicPartition(*p) for p in some], timeout=ANSWER_SECONDS):
                if c.error is not None:
                    raise KafkaException(c.error)
                low, high = self._consumer.get_watermark_offsets(
                    TopicPartition(c.topic, c.partition), timeout=ANSWER_SECONDS
                )
                topic_id, count = facts[c.topic]
                committed = c.offset >= 0
                out[c.topic, c.partition] = Look(
                    topic_id=topic_id,
                    partitions=count,
                    low=low,
                    high=high,
                    committed=c.offset if committed else None,
                    metadata=c.metadata if committed else None,
                )
        return out

    def identify(self, names: Sequence[str]) -> Mapping[str, tuple[str, int]]:
        return self._topics.identify(names)

    def names(self) -> set[str]:
        return self._topics.names()

    def at(self, partition: Partition, time_ms: int) -> int | None:
        with self._connection.asking("looking up a time"):
            found = self._consumer.offsets_for_times([TopicPartition(*partition, time_ms)], timeout=ANSWER_SECONDS)
        return found[0].offset if found[0].offset >= 0 else None

    def high(self, partition: Partition) -> int | None:
        if partition not in self._mine:
            return None
        try:
            known = self._consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
        except (KafkaException, RuntimeError):
            return None
        return known[1] if known is not None and known[1] != OFFSET_INVALID else None

    def close(self, seconds: float = 2.0) -> None:
        """Leave the group. Without a broker it is left to the session timeout after so many seconds."""
        if self._reading is not None:
            self._reading.close()
        old, self._consumer, self._reading = self._consumer, None, None
        closing = threading.Thread(target=old.close, daemon=True)
        closing.start()
        closing.join(seconds)


def _sorted(messages: Sequence[Message]) -> tuple[Polled, KafkaError | None]:
    """What came as Messages, and what is amiss."""
    if not any(map(Message.error, messages)):
        return Polled(_by_partition(messages), {}, frozenset()), None
    good = [m for m in messages if m.error() is None]
    bad = [((m.topic(), m.partition()), m.offset(), e) for m in messages if (e := m.error()) is not None]
    ends, lost, trouble = _told(bad)
    return Polled(_by_partition(good), ends, lost), trouble


def _with(polled: Polled, read: Read) -> tuple[Polled, KafkaError | None]:
    """And what was read beside it, which is newer; what is amiss there. Nothing that came is dropped for it."""
    ends, lost, trouble = _told(read.errors)
    records = {**polled.records}
    for partition, runs in read.records.items():
        before = Runs.of(records[partition]).parts if partition in records else []
        records[partition] = Runs([*before, *runs.parts])
    return Polled(records, {**polled.ends, **ends}, polled.lost | lost), trouble


def _told(
    errors: Sequence[tuple[Partition, int, KafkaError]],
) -> tuple[dict[Partition, int], frozenset[Partition], KafkaError | None]:
    """Where logs end, which positions are not in their logs any more, and any other error."""
    ends: dict[Partition, int] = {}
    lost: set[Partition] = set()
    trouble: KafkaError | None = None
    for partition, offset, error in errors:
        if error.code() == KafkaError._PARTITION_EOF:
            ends[partition] = offset
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            lost.add(partition)
        elif error.code() != KafkaError._MAX_POLL_EXCEEDED:
            trouble = error
    return ends, frozenset(lost), trouble


def _by_partition(messages: Sequence[Message]) -> dict[Partition, list[Any]]:
    """The messages of each partition, in their order; they come in long runs of one partition."""
    found: dict[Partition, list[Any]] = {}
    n = len(messages)
    if not n:
        return found
    numbers = np.fromiter(map(Message.partition, messages), np.int64, n)
    names = list(map(Message.topic, messages))
    cuts = (np.flatnonzero(numbers[1:] != numbers[:-1]) + 1).tolist()
    if names.count(names[0]) != n:
        cuts = sorted({*cuts, *(i for i in range(1, n) if names[i] != names[i - 1])})
    for first, last in zip([0, *cuts], [*cuts, n], strict=True):
        run = list(messages[first:last])
        partition = (names[first], int(numbers[first]))
        if partition in found:
            found[partition] += run
        else:
            found[partition] = run
    return found


class _Answer:
    """A call that has no timeout of its own, made in a thread that may be left behind."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.done = threading.Event()
        self._errors: list[KafkaError] = []

        def run() -> None:
            try:
                self._errors = [p.error for p in call() or () if p.error is not None]
            except KafkaException as error:
                self._errors = [error.args[0]]
            finally:
                self.done.set()

        threading.Thread(target=run, daemon=True).start()

    def errors(self) -> list[KafkaError]:
        """Of the partitions, or of the call as a whole."""
        return self._errors


class KafkaPublisher:
    """Publisher with an idempotent producer: in order per partition, acknowledged by all replicas."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._producer = connection.producer()
        self._failed: list[tuple[KafkaError, str]] = []  # and the topic
        self._refused: list[tuple[str, int | None, Letter]] = []  # too large; what to send in their place

    def send(
        self,
        topic: str,
        partition: int | None,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        shorter: Letter | None = None,
    ) -> None:
        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE and shorter is not None:
                self._refused.append((topic, partition, shorter))
            elif error is not None:
                self._failed.append((error, topic))

        more: dict[str, Any] = {} if partition is None else {"partition": partition}
        while True:
            try:
                self._producer.produce(topic, value, key, headers=list(headers), on_delivery=delivered, **more)
                return
            except BufferError:
                self._producer.poll(0.1)  # until there is room
            except KafkaException as error:
                if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE and shorter is not None:
                    self.send(topic, partition, *shorter)
                    return
                raise self._connection.in_our_words(error.args[0], f"writing to {topic}") from None

    def settle(self, seconds: float, stop: threading.Event) -> None:
        end = time.monotonic() + seconds
        while (waiting := self._producer.flush(0.2) + self._shortened()) and not self._failed:
            if stop.is_set() or time.monotonic() > end:
                self._producer.purge(in_flight=False)
                self._producer.poll(0)
                self._failed.clear()
                raise Unreachable(f"{waiting} messages are not acknowledged")
        if self._failed:
            failed, self._failed = self._failed, []
            hopeless = [(e, topic) for e, topic in failed if e.fatal() or e.code() in HOPELESS]
            error, topic = (hopeless or failed)[0]
            raise self._connection.in_our_words(error, f"writing to {topic}")

    def _shortened(self) -> int:
        """Send what is to be sent in place of messages that were too large; how many these were."""
        refused, self._refused = self._refused, []
        for topic, partition, letter in refused:
            log.warning("%s takes no message of this size: it is cut short; raise its max.message.bytes", topic)
            self.send(topic, partition, *letter)
        return len(refused)

    def close(self, seconds: float = 1.0) -> None:
        """Let go of it; what is not acknowledged by then may or may not be written."""
        self._producer.flush(seconds)
        self._producer.purge()

"""One suite for every broker the tap can run on: the twin in memory, the embedded one, Apache Kafka."""

from __future__ import annotations

import ctypes
import gc
import itertools
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from connectors import kafka as kafka_side
from connectors import kafka_reading, kafka_topics
from connectors.embedded import EmbeddedBroker
from connectors.kafka import KafkaGroup, KafkaPublisher
from connectors.kafka_clients import Connection
from connectors.kafka_reading import Read, Reading
from connectors.kafka_topics import Topics, TopicSpec
from stream_monitor.brokers import Partition, Polled
from stream_monitor.errors import Fenced, Unreachable
from stream_monitor.formats.machine import COMPILED
from stream_monitor.intents import METADATA_BYTES
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


@pytest.fixture(params=[TWIN, EMBEDDED, KAFKA, KIP_848])
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    kind: Kind
    if request.param == TWIN:
        kind = Twin()
    elif request.param == EMBEDDED:
        broker = EmbeddedBroker()
        kind = Real(Connection(brokers=broker.address, options={"session.timeout.ms": 6000}, embedded=True), broker)
    else:
        node = request.getfixturevalue("kafka")
        classic = request.param == KAFKA
        options = {"session.timeout.ms": 6000} if classic else {"group.protocol": "consumer"}
        kind = Real(Connection(brokers=node.bootstrap, options=options))
    yield kind
    kind.close()


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


def test_reads_in_order_from_where_it_is_told_and_sees_the_end(kind: Kind) -> None:
    topic = fresh(kind)
    write(kind.post(), topic, 1, b"a", b"b", None, b"d")
    reader = Reader(kind, topic)
    reader.until(lambda: len(reader.values) == 4 and reader.ends.get((topic, 1)) == 4, "all read")
    assert sorted(reader.assigned) == [(topic, p) for p in range(4)]
    assert reader.values == [(1, 0, b"a"), (1, 1, b"b"), (1, 2, None), (1, 3, b"d")]
    assert reader.ends[topic, 0] == 0
    assert reader.member.high((topic, 1)) == 4


class Whole(Reader):
    """Keeps all that a record has."""

    def poll(self) -> Polled:
        polled = super().poll()
        for (_, number), messages in polled.records.items():
            self.found += [(number, m.value(), m.key(), list(m.headers() or ()), m.timestamp()) for m in messages]
        return polled

    found: list[tuple[Any, ...]]


@of(EMBEDDED, KAFKA)
@pytest.mark.parametrize("direct", [True, False], ids=["arrays", "messages"])
def test_a_record_is_read_with_its_key_headers_and_time(
    kind: Real, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In arrays, and where that cannot be as messages: the same."""
    if not direct:
        monkeypatch.setattr(kafka_side, "reading", lambda consumer: None)
    topic = fresh(kind)
    producer = kind.connection.producer()
    wide: list[tuple[str, bytes | None]] = [("a", b""), ("a", b"1\x00"), ("é", None)]
    written = [
        (0, b"x\x00y", b"k", wide, 1_700_000_000_001),
        (1, None, b"", [], 1_700_000_000_002),
        (1, b"", None, [("h", b"z" * 3000)], 1_700_000_000_003),
        (0, b"v" * 70_000, None, [], 1_700_000_000_004),
    ]
    for number, value, key, headers, ms in written:
        producer.produce(topic, value, key, number, headers=headers, timestamp=ms)
    assert producer.flush(120) == 0
    reader = Whole(kind, topic)
    reader.found = []
    assert (reader.member._reading is not None) == (direct and COMPILED)
    reader.until(lambda: len(reader.found) == 4, "all read")
    assert sorted(reader.found, key=lambda r: str(r[-1])) == [(*w[:4], (1, w[4])) for w in written]


@of(EMBEDDED, KAFKA)
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_headers_are_found_wherever_they_stand(kind: Real, codec: str) -> None:
    """Whatever a producer compresses with, however many of its records have headers: of each its own."""
    topic = fresh(kind)
    servers = kind.connection.brokers
    producer = Producer({"bootstrap.servers": servers, "compression.type": codec, "linger.ms": 20})
    r, written = random.Random(5), []
    for i in range(2_000):
        headers = [(f"h{k}", r.randbytes(r.choice((0, 3, 200)))) for k in range(r.choice((0, 0, 0, 1, 3)))]
        value = r.choice((None, b"", b"\x00", r.randbytes(r.randrange(600)), b"\x00" * r.randrange(600)))
        written.append((value, headers))
        producer.produce(topic, value, str(i).encode(), 1, headers=headers)
    assert producer.flush(120) == 0
    reader = Whole(kind, topic)
    reader.found = []
    reader.until(lambda: len(reader.found) == len(written), "all read")
    assert [(value, headers) for _, value, _, headers, _ in reader.found] == written


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled here, so nothing is read in arrays")
@pytest.mark.parametrize(("found", "asked"), [(False, [0, 0]), (True, [0, 1, 2, 0, 1, 2])])
def test_a_client_that_keeps_headers_elsewhere_is_asked_for_them(found: bool, asked: list[int]) -> None:
    """Of three records with a zero behind their values, the first tells whether the zero counts headers."""
    values = [ctypes.create_string_buffer(b"value") for _ in range(3)]  # each ends with a zero
    words = np.zeros((3, 10), np.int64)  # rd_kafka_message_t
    for row, value in zip(words, values, strict=True):
        row[[3, 4]] = ctypes.addressof(value), len(value.value)
    places = words.ctypes.data + np.arange(3) * words.strides[0]
    questions: list[int] = []

    def answer(message: int, into: int) -> int:
        questions.append((message - words.ctypes.data) // words.strides[0])
        return 0 if found else -156  # _NOENT

    question = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
    header = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 5)(lambda *_: -156)
    functions = [question(lambda *_: -1), question(answer), header]
    at = np.array([*(ctypes.cast(f, ctypes.c_void_p).value for f in functions), 0], np.int64)
    facts, scratch = np.zeros((kafka_reading.HEADER_BYTES + 1, 3), np.int64), np.zeros(5, np.int64)
    for _ in range(2):
        kafka_reading._look(places, facts, at, scratch)
    assert questions == asked


def test_no_record_is_dropped_for_an_error_that_comes_with_it() -> None:
    """Were it dropped, the next poll would go on behind it, and its offset would look like a hole."""
    came, _ = kafka_side._sorted([Message(topic="t", partition=0, offset=3, value=b"x")])
    down = KafkaError(KafkaError._ALL_BROKERS_DOWN)
    polled, trouble = kafka_side._with(came, Read({}, [(("t", 1), -1, down)]))
    assert [m.offset() for m in polled.records["t", 0]] == [3]
    assert trouble is down


def test_a_reading_that_fails_says_so() -> None:
    functions = {name: lambda *_: -1 for name in ("queue_new", "consume_batch_queue")}
    dummy: Any = ctypes.CDLL(None).free  # any function: none of them is called
    more = dict.fromkeys(("message_timestamp", "message_headers", "header_get_all", "message_destroy"), dummy)
    with pytest.raises(KafkaException, match="no batch"):
        Reading(0, {**functions, **more}).read(10, 0.0)


def test_what_cannot_be_read_in_arrays_is_told_why(caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    monkeypatch.setattr(kafka_reading, "KNOWN", 1)
    consumer = Consumer({"bootstrap.servers": "127.0.0.1:1", "group.id": "g"})
    try:
        with caplog.at_level("WARNING", "kafka"):
            assert kafka_reading.reading(consumer) is None
    finally:
        consumer.close()
    assert "records are read one at a time" in caplog.text
    assert ("confluent-kafka 1.x only" if COMPILED else "nothing is compiled") in caplog.text


def test_what_is_committed_is_looked_up_with_its_metadata(kind: Kind) -> None:
    topic = fresh(kind)
    write(kind.post(), topic, 2, b"a", b"b", b"c")
    reader = Reader(kind, topic)
    reader.until(lambda: bool(reader.assigned), "assigned")
    text = "é" + "x" * (METADATA_BYTES - 2)
    reader.member.commit({(topic, 2): (3, text), (topic, 3): (0, "y")})
    look = reader.member.look([(topic, p) for p in range(4)])
    assert (look[topic, 2].committed, look[topic, 2].metadata) == (3, text)
    assert (look[topic, 3].committed, look[topic, 3].metadata) == (0, "y")
    assert (look[topic, 1].committed, look[topic, 1].metadata) == (None, None)
    assert (look[topic, 2].low, look[topic, 2].high, look[topic, 2].partitions) == (0, 3, 4)
    assert look[topic, 2].topic_id == reader.member.identify([topic])[topic][0]


@of(TWIN, KAFKA, KIP_848)  # the embedded broker creates every topic it is asked for
def test_a_topic_that_is_not_there_is_left_out(kind: Kind) -> None:
    topic = fresh(kind)
    member = kind.member("g")
    assert set(member.identify([topic, "nowhere"])) == {topic}
    assert set(member.look([(topic, 0), ("nowhere", 0)])) == {(topic, 0)}


def test_an_admin_client_that_gives_no_answer_is_replaced_and_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before its time, or each question to a broker that is away would make one."""
    made: list[weakref.ref[AdminClient]] = []

    def noted(client: AdminClient) -> AdminClient:
        made.append(weakref.ref(client))
        return client

    admin = Connection.admin
    monkeypatch.setattr(Connection, "admin", lambda connection: noted(admin(connection)))
    monkeypatch.setattr(kafka_topics, "ANSWER_SECONDS", 0.1)
    topics = Topics(Connection(brokers="127.0.0.1:1"))
    gc.disable()  # what stays only until it is collected stays for long: the service seldom collects
    try:
        for seconds, count in ((1e9, 1), (-1.0, 2), (1e9, 2), (-1.0, 3)):
            monkeypatch.setattr(kafka_topics, "REPLACE_SECONDS", seconds)
            with pytest.raises(Unreachable, match="identifying topics"):
                topics.identify(["t"])
            assert len(made) == count
        assert [client() is not None for client in made] == [False, False, True]
    finally:
        gc.enable()


def test_a_held_partition_gives_nothing_until_it_is_let_go(kind: Kind) -> None:
    topic = fresh(kind)
    post = kind.post()
    write(post, topic, 0, b"a")
    reader = Reader(kind, topic)
    reader.until(lambda: len(reader.values) == 1, "first read")
    reader.member.hold(frozenset({(topic, 0)}))
    write(post, topic, 0, b"b")
    write(post, topic, 1, b"c")
    reader.until(lambda: (1, 0, b"c") in reader.values, "the other partition read")
    assert (0, 1, b"b") not in reader.values
    reader.member.hold(frozenset())
    reader.until(lambda: (0, 1, b"b") in reader.values, "the held partition read")
    assert len(reader.values) == 3


def test_an_offset_out_of_the_log_is_lost(kind: Kind) -> None:
    topic = fresh(kind)
    write(kind.post(), topic, 0, b"a")
    reader = Reader(kind, topic, start=17)
    reader.until(lambda: (topic, 0) in reader.lost, "lost")
    assert reader.values == []


def test_after_rejoining_everything_is_assigned_anew(kind: Kind) -> None:
    topic = fresh(kind)
    write(kind.post(), topic, 0, b"a")
    reader = Reader(kind, topic)
    reader.until(lambda: len(reader.values) == 1, "read")
    reader.member.rejoin()
    reader.until(lambda: len(reader.values) == 2, "read again")
    reader.member.commit({(topic, 0): (1, "z")})


@of(TWIN, KAFKA, KIP_848)  # the embedded broker is for one process
def test_a_second_member_takes_its_share(kind: Kind) -> None:
    topic = fresh(kind)
    one = Reader(kind, topic)
    one.until(lambda: len(one.assigned) == 4, "all assigned")
    two = Reader(kind, topic)

    def shared() -> bool:
        one.poll()
        two.poll()
        return len(one.assigned) == 2 and len(two.assigned) == 2

    wait_until(shared, 40, "shared")
    assert not set(one.assigned) & set(two.assigned)


@of(TWIN)  # a real session ends with its process: test_tap_on_brokers.py freezes one
def test_a_member_that_was_thought_dead_commits_nothing(kind: Twin) -> None:
    """It did not poll while its session ended and another took over."""
    topic = fresh(kind)
    one, two = Reader(kind, topic), Reader(kind, topic)
    one.until(lambda: bool(one.assigned), "assigned")
    two.until(lambda: bool(two.assigned), "assigned")
    one.member.cluster.expel(one.member)
    with pytest.raises(Fenced):
        one.member.commit({(topic, 0): (0, "late")})
    assert one.member.look([(topic, 0)])[topic, 0].committed is None


@of(KAFKA, KIP_848)  # the others do not keep the times that are asked for
def test_a_time_is_looked_up(kind: Real) -> None:
    topic = fresh(kind)
    producer = Producer({"bootstrap.servers": kind.connection.brokers, "enable.idempotence": True})
    for time_ms in (1_000_000, 2_000_000):
        producer.produce(topic, b"x", partition=0, timestamp=time_ms)
    assert producer.flush(120) == 0
    member = kind.member("g")
    assert [member.at((topic, 0), t) for t in (0, 1_500_000, 3_000_000)] == [0, 1, None]


@of(TWIN, EMBEDDED, KAFKA)
def test_topics_that_come_up_later_are_followed(kind: Kind) -> None:
    first = fresh(kind)
    reader = Reader(kind, first)
    reader.until(lambda: len(reader.assigned) == 4, "the first topic")
    second = fresh(kind)
    assert {first, second} <= set(reader.member.names())
    reader.member.follow([first, second])
    reader.until(lambda: len(reader.assigned) == 8, "both topics")
    write(kind.post(), second, 2, b"new")
    reader.until(lambda: (2, 0, b"new") in reader.values, "the new topic's event")

"""One suite for every broker the tap can run on: the twin in memory, the embedded one, Apache Kafka."""

from __future__ import annotations

import gc
import weakref

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from connectors import kafka_topics
from connectors.kafka_clients import Connection
from connectors.kafka_topics import Topics
from stream_monitor.errors import Fenced, Unreachable
from stream_monitor.intents import METADATA_BYTES
from tests.servers import wait_until
from tests.tap.kinds import EMBEDDED, KAFKA, KIP_848, TWIN, Kind, Reader, Real, Twin, fresh, of, write


def test_reads_in_order_from_where_it_is_told_and_sees_the_end(kind: Kind) -> None:
    topic = fresh(kind)
    write(kind.post(), topic, 1, b"a", b"b", None, b"d")
    reader = Reader(kind, topic)
    reader.until(lambda: len(reader.values) == 4 and reader.ends.get((topic, 1)) == 4, "all read")
    assert sorted(reader.assigned) == [(topic, p) for p in range(4)]
    assert reader.values == [(1, 0, b"a"), (1, 1, b"b"), (1, 2, None), (1, 3, b"d")]
    assert reader.ends[topic, 0] == 0
    assert reader.member.high((topic, 1)) == 4


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

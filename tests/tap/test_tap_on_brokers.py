"""The tap on real brokers: a topic made anew, partitions added, a dead broker, processes killed and frozen."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from connectors.embedded import EmbeddedBroker
from connectors.kafka import KafkaGroup, KafkaPublisher
from connectors.kafka_clients import Connection
from connectors.kafka_topics import Topics, TopicSpec
from deploy.kafka.node import Node
from stream_monitor.brokers import Partition
from stream_monitor.entries import Bundle, unpack
from stream_monitor.errors import Unreachable
from stream_monitor.intents import EXPIRED, FOREIGN, RECREATED, Look
from stream_monitor.packing import unpack_counts
from stream_monitor.tap.rules import Limits, Rules
from stream_monitor.tap.tap import Tap
from tests.servers import await_end, await_handler, wait_until
from tests.tap.counting import IDLE_AFTER_MS, TinyCounting
from tests.tap.process import OPTIONS, WORKERS
from tests.tap.test_protocol import fold

_NUMBERS = itertools.count()


class Place:
    """A fresh prefix and source topic on a broker, and one tap in a thread."""

    def __init__(self, connection: Connection, partitions: int = 3) -> None:
        self.connection = connection
        self.name = f"tap-{next(_NUMBERS)}-{time.time_ns() // 1_000_000}"
        self.prefix, self.source = f"{self.name}.", f"{self.name}.source"
        self.topics = Topics(connection)
        self.topics.create(
            [
                TopicSpec(name=self.source, partitions=partitions),
                TopicSpec(name=f"{self.prefix}panes", partitions=WORKERS),
                TopicSpec(name=f"{self.prefix}dead-letters", partitions=1),
            ]
        )
        self.workers = self.topics.identify([f"{self.prefix}panes"])[f"{self.prefix}panes"][1]
        settings = {
            "linger.ms": 5,
            "log_level": 0,
            "enable.idempotence": True,
            "topic.metadata.refresh.interval.ms": 500,
        }
        self.producer = Producer({"bootstrap.servers": connection.brokers, **settings})
        self.truth: Counter[int] = Counter()
        self.stop = threading.Event()
        self.tap: Tap | None = None
        self._thread: threading.Thread | None = None

    def start(self, start: str = "earliest", **limits: Any) -> Tap:
        self.stop = threading.Event()
        group, publisher = KafkaGroup(self.connection, f"{self.prefix}group"), KafkaPublisher(self.connection)
        tap = Tap(
            rules=Rules(topics=(self.source,), prefix=self.prefix, idle_after_ms=IDLE_AFTER_MS, start=start),
            group=group,
            logs=group,
            publisher=publisher,
            counting=TinyCounting(),
            worker_partitions=self.workers,
            limits=Limits(**{"flush_seconds": (0.1, 0.5), "silence_seconds": 0.5, **limits}),
            executor=ThreadPoolExecutor(1),
        )

        def run() -> None:
            tap.run(self.stop)
            group.close()
            publisher.close()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        self.tap = tap
        return tap

    def end(self) -> None:
        self.stop.set()
        if self._thread is not None:
            self._thread.join(10)
            assert not self._thread.is_alive(), "the tap did not stop within 10 s"
        self._thread = None

    def write(self, events: int, *, counted: bool = True, partitions: int = 3) -> None:
        now = time.time_ns() // 1_000_000
        for i in range(events):
            time_ms = now - random.randrange(5_000)
            self.producer.produce(self.source, b"%d" % time_ms, partition=i % partitions)
            if counted:
                self.truth[time_ms // 1_000 * 1_000] += 1
        assert self.producer.flush(120) == 0

    def read(self, topic: str, partition: int) -> list[Any]:
        consumer = Consumer(
            {"bootstrap.servers": self.connection.brokers, "group.id": "reader", "enable.partition.eof": True,
             "auto.offset.reset": "earliest", "enable.auto.commit": False}
        )  # fmt: skip
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), 60)
        consumer.assign([TopicPartition(topic, partition, low)])
        out: list[Any] = []
        # As far as it went when asked: a tap that goes on writing can keep the end of the log from ever being reported.
        while not (out and out[-1].offset() + 1 >= high) and low < high:
            message = consumer.poll(120)
            assert message is not None
            if message.error() is not None:
                assert message.error().code() == KafkaError._PARTITION_EOF
                break
            out.append(message)
        consumer.close()
        return out

    def bundles(self, worker: int) -> list[Bundle]:
        found = [unpack(m.value()) for m in self.read(f"{self.prefix}panes", worker)]
        return [b for b in found if isinstance(b, Bundle)]

    def counted(self) -> Counter[int]:
        out: Counter[int] = Counter()
        for worker in range(self.workers):
            for bundle in fold(self.bundles(worker))[0]:
                for pane in bundle.panes:
                    out[pane.start_ms] += unpack_counts(pane.counts).rows
        return out

    def assigned(self) -> list[dict[str, Any]]:
        assert self.tap is not None
        return list(self.tap.status()["assigned"])

    def settled(self) -> bool:
        some = self.assigned()
        return bool(some) and all(a["lag"] == 0 and a["committed"] == a["position"] for a in some)

    def wait_counted(self, seconds: float = 60) -> None:
        events = self.truth.total()
        wait_until(lambda: self.settled() and self.counted().total() >= events, seconds, "all counted", every=0.3)
        assert self.counted() == self.truth


@pytest.fixture(params=["embedded", "kafka"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    broker = EmbeddedBroker() if request.param == "embedded" else None
    if broker is not None:
        connection = Connection(brokers=broker.address, options=OPTIONS, embedded=True)
    else:
        connection = Connection(brokers=request.getfixturevalue("kafka").bootstrap, options=OPTIONS)
    place = Place(connection)
    yield place
    place.end()
    if broker is not None:
        broker.close()


@pytest.fixture
def on_kafka(kafka: Node) -> Iterator[Place]:
    place = Place(Connection(brokers=kafka.bootstrap, options=OPTIONS))
    yield place
    place.end()


def test_events_dead_letters_restart_and_silence(place: Place) -> None:
    place.write(500)
    bad = [(None, b"k"), (b"\xff\x00", None), (b"nonsense", b"")]
    for value, key in bad:
        place.producer.produce(place.source, value, key, partition=1, headers=[("trace", b"1"), ("reason", b"theirs")])
    assert place.producer.flush(120) == 0
    tap = place.start()
    place.wait_counted()
    topic = f"{place.prefix}dead-letters"
    letters = [m for p in range(place.topics.identify([topic])[topic][1]) for m in place.read(topic, p)]
    assert sorted((m.value() or b"", m.key() or b"") for m in letters) == sorted((v or b"", k or b"") for v, k in bad)
    for m in letters:
        headers = m.headers()
        assert headers[:2] == [("trace", b"1"), ("reason", b"theirs")]
        ours = dict(headers[2:])
        assert set(ours) == {"reason", "detail", "topic", "partition", "offset"}
        assert (ours["topic"], ours["partition"]) == (place.source.encode(), b"1")
        assert ours["reason"] == (b"null_value" if m.value() is None else b"not_json")
    status = tap.status()
    assert status["healthy"], status["reason"]
    assert status["dead_letters"] == {place.source: {"null_value": 1, "not_json": 2}}
    assert status["events"] == {f"model-{place.source}": 500}
    place.end()

    place.write(300)
    place.start()
    place.wait_counted()
    assert all(not b.alarm for w in range(place.workers) for b in place.bundles(w))
    assert len({b.source for w in range(place.workers) for b in place.bundles(w)}) == len(place.assigned())
    wait_until(lambda: all(a["idle"] for a in place.assigned()), 20, "idle")
    assert any(b.idle and not b.panes for b in place.bundles(0))


def test_a_client_that_answers_nothing_is_replaced(on_kafka: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status says what is amiss; another client is assigned the partitions, and asks."""
    clients, look = list[Any](), KafkaGroup.look

    def answer(group: KafkaGroup, partitions: Sequence[Partition]) -> Mapping[Partition, Look]:
        clients.extend([] if group._consumer in clients else [group._consumer])
        if len(clients) == 1:
            raise Unreachable("no answer")
        return look(group, partitions)

    monkeypatch.setattr(KafkaGroup, "look", answer)
    tap = on_kafka.start(answer_seconds=0.2)
    on_kafka.write(300)
    on_kafka.wait_counted()
    assert (len(clients), tap.status()["healthy"]) == (2, True)


def test_a_topic_made_anew_begins_an_epoch_with_an_alarm(on_kafka: Place) -> None:
    place = on_kafka
    place.write(300)
    place.start()
    place.wait_counted()
    admin = AdminClient({"bootstrap.servers": place.connection.brokers})
    admin.delete_topics([place.source])[place.source].result(120)
    wait_until(lambda: not place.topics.identify([place.source]), what="deleted")
    place.topics.create([TopicSpec(name=place.source, partitions=3)])
    place.write(900)  # beyond the old positions
    place.wait_counted()
    alarms = Counter(b.alarm for b in place.bundles(0) if b.alarm)
    assert alarms == {RECREATED: 3}
    assert {b.n for b in place.bundles(0) if b.alarm} == {1}


def test_an_offset_moved_by_an_admin_tool_begins_an_epoch_with_an_alarm(on_kafka: Place) -> None:
    place = on_kafka
    place.write(300)
    place.start()
    place.wait_counted()
    place.end()
    tool = Consumer({"bootstrap.servers": place.connection.brokers, "group.id": f"{place.prefix}group"})
    tool.commit(offsets=[TopicPartition(place.source, 0, 90)], asynchronous=False)
    tool.close()
    place.start()
    wait_until(place.settled, 30)
    wait_until(lambda: any(b.alarm for b in place.bundles(0)), 20, "the alarm", every=0.3)
    assert [(b.alarm, b.from_, b.n) for b in place.bundles(0) if b.alarm] == [(FOREIGN, 90, 1)]
    wait_until(lambda: place.counted().total() == 310, 20, "counted again, as it was told", every=0.3)


def test_expired_offsets_begin_an_epoch_with_an_alarm(on_kafka: Place) -> None:
    place = on_kafka
    place.write(300)
    place.start()
    place.wait_counted()
    place.end()
    place.write(300, counted=False)
    admin = AdminClient({"bootstrap.servers": place.connection.brokers})
    for future in admin.delete_records([TopicPartition(place.source, p, 150) for p in range(3)]).values():
        future.result(120)
    place.truth.update({0: 150})
    place.start()
    wait_until(place.settled, 30)
    wait_until(lambda: place.counted().total() == 450, 20, "the rest counted", every=0.3)
    assert Counter(b.alarm for b in place.bundles(0) if b.alarm) == {EXPIRED: 3}


def test_partitions_that_are_added_are_read_from_their_beginning(on_kafka: Place) -> None:
    place = on_kafka
    place.write(30, counted=False)
    place.start(start="latest")
    wait_until(lambda: place.settled() and len(place.bundles(0)) >= 3, 30, "begun", every=0.3)
    place.write(300)
    place.wait_counted()
    admin = AdminClient({"bootstrap.servers": place.connection.brokers})
    admin.create_partitions([NewPartitions(place.source, 5)])[place.source].result(120)
    wait_until(lambda: place.topics.identify([place.source])[place.source][1] == 5, what="added")
    wait_until(lambda: len(place.producer.list_topics(place.source, 60).topics[place.source].partitions) == 5)
    place.write(500, partitions=5)
    wait_until(lambda: len(place.assigned()) == 5, 40, "assigned")
    place.wait_counted()
    assert place.bundles(0)[-1].partitions == 5


def test_holes_at_the_end_of_a_log_are_passed(on_kafka: Place) -> None:
    """Markers of transactions take offsets and are no records; records of an aborted one are never seen."""
    place = on_kafka
    place.start()
    settings = {"bootstrap.servers": place.connection.brokers, "transactional.id": place.name, "log_level": 0}
    transactional = Producer(settings)
    transactional.init_transactions(120)
    for i in range(6):
        transactional.begin_transaction()
        for p in range(3):
            transactional.produce(place.source, b"1000", partition=p)
        assert transactional.flush(120) == 0
        if i % 2:
            transactional.abort_transaction()
        else:
            transactional.commit_transaction()
            place.truth[1_000] += 3
    place.wait_counted()
    place.end()
    place.start()  # the committed offset lies behind the last marker
    place.write(30)
    place.wait_counted()
    assert max(b.to for b in place.bundles(0)) >= 12 + 10


EARLY = """
import sys
from connectors.kafka_clients import Connection
from connectors.kafka_topics import Topics
from stream_monitor.errors import Unreachable

topics = Topics(Connection(brokers=sys.argv[1]))
while True:
    try:
        topics.check_group("early", "early")
        topics.identify(["early"])
        break
    except Unreachable:
        print("asked", flush=True)
"""


def test_a_broker_restart_is_survived_and_told(own_kafka: Node) -> None:
    place = Place(Connection(brokers=own_kafka.bootstrap, options=OPTIONS))
    try:
        tap = place.start()
        place.write(300)
        place.wait_counted()
        own_kafka.kill()
        wait_until(lambda: not tap.status()["healthy"], 25, "unhealthy")
        assert tap.status()["reason"]
        command = [sys.executable, "-c", EARLY, own_kafka.bootstrap]
        for comes in (own_kafka.start, own_kafka.thaw):  # asks before a broker is there, or while it does not answer
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as early:
                assert early.stdout is not None
                assert early.stdout.readline() == "asked\n"
                comes()
                assert await_end(early, 60) == 0
            own_kafka.freeze()
        own_kafka.thaw()
        place.write(300)
        place.wait_counted()
        wait_until(lambda: bool(tap.status()["healthy"]), 20, "healthy")
        own_kafka.stop()
        wait_until(lambda: not tap.status()["healthy"], 25, "unhealthy")
        place.end()  # asserts that it stops in time without a broker
    finally:
        place.stop.set()


@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_processes_killed_and_frozen_lose_and_double_nothing(on_kafka: Place, fault: str, tmp_path: Path) -> None:
    place = on_kafka
    command = [sys.executable, "-m", "tests.tap.process", place.connection.brokers, place.prefix, place.source]
    logs = (tmp_path / "taps.log").open("wb")

    def spawn() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, stderr=logs)

    taps = [spawn(), spawn()]
    try:
        for round_ in range(5 if fault == "kill" else 2):
            for _ in range(8):
                place.write(300)
                time.sleep(0.2)
            i = round_ % 2
            if fault == "kill":
                taps[i].kill()
                taps[i].wait()
                taps[i] = spawn()
            else:
                taps[i].send_signal(signal.SIGSTOP)
                for _ in range(9):  # past the session timeout
                    place.write(300)
                    time.sleep(0.9)
                taps[i].send_signal(signal.SIGCONT)
        place.write(300)
        events = place.truth.total()
        wait_until(lambda: place.counted().total() >= events, 60, "all counted", every=0.5)
        time.sleep(1)
        assert place.counted() == place.truth
    finally:
        for tap in taps:
            await_handler(tap.pid, signal.SIGTERM)
            tap.terminate()
        codes = [tap.wait(15) for tap in taps]
        logs.close()
    assert codes == [0, 0], (tmp_path / "taps.log").read_text()[-3000:]

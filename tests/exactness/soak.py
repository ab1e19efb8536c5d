"""`make soak`: the long fault runs, each on a Kafka and a Redis of its own; EXACT_EVENTS is 1,000,000 there.

Each prints what it did as one line, so that the last result can be quoted.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from deploy.kafka.node import Node
from stream_monitor.failpoints import TAP, WORKER
from stream_monitor.intents import EXPIRED, FOREIGN, RECREATED, Intent, from_metadata
from tests.exactness import streams
from tests.exactness.scenes import (
    SEED,
    TIMEOUT,
    assert_committed,
    assert_exact,
    at_work,
    closed,
    play,
    share_out,
    spent,
)
from tests.exactness.service import SOURCES, Service, create_topics, publish
from tests.exactness.streams import EVENTS
from tests.servers import redis_ready, redis_server, wait_until

pytestmark = pytest.mark.timeout(3 * TIMEOUT)
CLASSIC = "{session.timeout.ms: 6000, heartbeat.interval.ms: 1000}"
KIP_848 = "{group.protocol: consumer}"
SHORT_SESSIONS = "group.consumer.session.timeout.ms=6000\ngroup.consumer.heartbeat.interval.ms=1000\n"
SHORT_SESSIONS += "group.consumer.min.session.timeout.ms=3000\ngroup.consumer.min.heartbeat.interval.ms=500\n"
EAGER_CLEANER = "log.cleaner.backoff.ms=200\n"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A broker with short sessions for KIP-848 groups and a cleaner that does not wait."""
    node = Node(tmp_path / "kafka", properties=SHORT_SESSIONS + EAGER_CLEANER)
    node.start()
    yield node
    node.stop()


Make = Callable[..., Service]


@pytest.fixture
def make(node: Node, tmp_path: Path) -> Iterator[Make]:
    """Makes the service; everything is stopped at the end."""
    redis = redis_server(tmp_path)
    redis.start(redis_ready(redis))
    create_topics(node.bootstrap, SOURCES)
    streams.write_reference(tmp_path / "reference.csv", SEED)
    made: list[Service] = []

    def service(**options: Any) -> Service:
        url = f"redis://127.0.0.1:{redis.port}/0"
        made.append(Service(tmp_path, brokers=node.bootstrap, redis=url, name="exact", **options))
        return made[-1]

    yield service
    for service_ in made:
        service_.stop()
    redis.stop()


def report(scenario: str, service: Service, began: float) -> None:
    """One line that says what a run went through."""
    line = {
        "soak": scenario,
        "events": EVENTS,
        "kills": sum(r.restarts for r in service.roles),
        "freezes": sum(r.freezes for r in service.roles),
        "seconds": round(time.monotonic() - began),
        "result": "exact",
    }
    print(json.dumps(line))


def finish(scenario: str, service: Service, began: float) -> None:
    """What must hold at the end of every run."""
    closed(service, 900)
    assert_exact(service)
    assert_committed(service)
    report(scenario, service, began)


@pytest.mark.parametrize("options", [CLASSIC, KIP_848], ids=["classic", "consumer"])
def test_thirty_kills_at_failpoints(make: Make, options: str) -> None:
    """Three of each role; every failpoint kills several times, at its first to third pass."""
    began, r = time.monotonic(), random.Random(SEED)
    service = make(taps=3, workers=3, options=options)
    share_out(service.taps, [f"{TAP[i % len(TAP)]}:{r.randint(1, 3)}:kill" for i in range(15)])
    share_out(service.workers, [f"{WORKER[i % len(WORKER)]}:{r.randint(1, 3)}:kill" for i in range(15)])
    service.start()
    play(service, seconds=300, faults=lambda: spent(service, 1800))
    finish(f"30 kills at failpoints, {'KIP-848' if options == KIP_848 else 'classic'} groups", service, began)


def test_frozen_in_mid_batch(make: Make) -> None:
    """Each role freezes at each of its failpoints past its session timeout, and goes on."""
    began = time.monotonic()
    service = make()
    share_out(service.taps, [f"{name}:2:freeze" for name in TAP])
    share_out(service.workers, [f"{name}:1:freeze" for name in WORKER])
    service.start()
    play(service, seconds=200, faults=lambda: spent(service, 1800))
    finish("frozen at every failpoint", service, began)


def test_rebalance_storm(make: Make) -> None:
    """Three of each; every few seconds one is killed, or ends in good order and comes back."""
    began, r = time.monotonic(), random.Random(SEED)
    service = make(taps=3, workers=3)

    def storm() -> None:
        for role in (*service.taps, *service.workers):
            at_work(service, role)
        for _ in range(40):
            role = r.choice([*service.taps, *service.workers])
            role.kill() if r.random() < 0.5 else role.terminate()
            time.sleep(r.uniform(1, 5))

    service.start()
    play(service, seconds=200, faults=storm)
    finish("rebalance storm, three of each role", service, began)


def test_broker_restarts_during_recovery(make: Make, node: Node) -> None:
    """Ten times a worker and a tap die, and the broker goes away while their successors start."""
    began, r = time.monotonic(), random.Random(SEED)
    service = make()

    def restarts() -> None:
        for i in range(10):
            at_work(service, service.workers[i % 2])
            service.workers[i % 2].kill()
            service.taps[i % 2].kill()
            time.sleep(r.uniform(1, 8))  # somewhere in its start or recovery
            node.restart()

    service.start()
    play(service, seconds=250, faults=restarts)
    finish("10 broker restarts during recovery", service, began)


def test_frozen_broker(make: Make, node: Node) -> None:
    """A broker that keeps its connections and answers nothing, for shorter and longer than any answer is waited for.

    Every third time it dies in that state; processes start and end meanwhile.
    """
    began, r = time.monotonic(), random.Random(SEED)
    service = make()

    def freezes() -> None:
        for i, seconds in enumerate([2, 5, 9, 13, 20, 35] * 2):
            at_work(service, service.workers[i % 2])
            at_work(service, service.taps[i % 2])
            if r.random() < 0.5:
                r.choice([*service.taps, *service.workers]).kill()
                time.sleep(r.uniform(0, 6))  # somewhere in its start or recovery
            node.freeze()
            if r.random() < 0.5:
                r.choice([*service.taps, *service.workers]).kill()
            time.sleep(seconds)
            if i % 3 == 2:
                node.kill()
                node.start()
            else:
                node.thaw()

    service.start()
    play(service, seconds=250, faults=freezes)
    finish("12 times a frozen broker", service, began)


def test_compaction_while_a_frozen_worker_wakes(make: Make) -> None:
    """The checkpoints are compacted as fast as the broker can while a worker sleeps between segment and head."""
    began = time.monotonic()
    service = make()
    admin = AdminClient({"bootstrap.servers": service.brokers})
    eager = {"segment.ms": "500", "min.cleanable.dirty.ratio": "0.001", "max.compaction.lag.ms": "500"}
    eager |= {"min.compaction.lag.ms": "0", "delete.retention.ms": "0"}

    def compact() -> None:
        for role in service.workers:
            at_work(service, role)
        topics = [t for t in admin.list_topics(timeout=10).topics if t.startswith("exact") and "checkpoint" in t]
        assert topics, "no topic of checkpoints"
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in eager.items()
        ]
        resources = [ConfigResource(ResourceType.TOPIC, t, incremental_configs=entries) for t in topics]
        for future in admin.incremental_alter_configs(resources).values():
            future.result(20)
        spent(service, 1800)

    share_out(service.workers, [f"worker.{at}:{n}:freeze" for n in (1, 2) for at in ("segment", "head", "committed")])
    service.start()
    play(service, seconds=200, faults=compact)
    finish("compaction while frozen workers wake", service, began)


def test_lost_positions_open_an_epoch_and_say_so(make: Make) -> None:
    """Offsets reset by hand, records that expired unread, a topic deleted and made again: counted on, and alarmed."""
    began = time.monotonic()
    service = make(taps=1, workers=1)
    admin = AdminClient({"bootstrap.servers": service.brokers})
    places = [TopicPartition("fraud.predictions", p) for p in range(SOURCES["fraud.predictions"])]
    tap = service.taps[0]
    go_on = threading.Event()
    go_on.set()

    def reader() -> Consumer:
        return Consumer({"bootstrap.servers": service.brokers, "group.id": service.name, "enable.auto.commit": False})

    def intents() -> dict[int, Intent]:
        consumer = reader()
        try:
            found = {p.partition: from_metadata(p.metadata) for p in consumer.committed(places, timeout=10)}
            return {p: intent for p, intent in found.items() if intent is not None}
        finally:
            consumer.close()

    def more() -> None:
        """Some events in every partition, counted to the last one."""
        publish(service.brokers, list(streams.fraud(SEED, 2_000)), seconds=1, go_on=go_on)
        wait_until(lambda: len(intents()) == len(places), 60, "intents of all partitions")
        assert_committed(service, ("fraud.predictions",))

    def alarmed(before: dict[int, Intent], why: str) -> None:
        def newer() -> bool:
            return all(i.epoch > before[p].epoch for p, i in intents().items())

        def said() -> bool:
            return why in json.dumps(service.get("/v1/alerts?limit=1000"))

        wait_until(newer, 120, f"new epochs: {why}", every=0.5)
        wait_until(said, 120, f"an alert that says: {why}", every=0.5)

    service.start()
    at_work(service, tap)
    more()

    before = intents()
    tap.stop()
    consumer = reader()
    consumer.commit(offsets=[TopicPartition(p.topic, p.partition, 1) for p in places], asynchronous=False)
    consumer.close()
    tap.start()
    alarmed(before, FOREIGN)

    more()
    before = intents()
    tap.stop()
    publish(service.brokers, list(streams.fraud(SEED + 1, 2_000)), seconds=1, go_on=go_on)
    ends = {p.partition: intents()[p.partition].to + 5 for p in places}
    for future in admin.delete_records(
        [TopicPartition(p.topic, p.partition, ends[p.partition]) for p in places]
    ).values():
        future.result(20)
    tap.start()
    alarmed(before, EXPIRED)

    more()
    before = intents()
    for future in admin.delete_topics(["fraud.predictions"]).values():
        future.result(20)
    wait_until(lambda: "fraud.predictions" not in admin.list_topics(timeout=10).topics, 30, "the topic gone")
    create_topics(service.brokers, {"fraud.predictions": SOURCES["fraud.predictions"]})
    more()
    alarmed(before, RECREATED)
    assert service.get("/v1/status")["overlap_blocks"] == 0
    print(
        json.dumps(
            {"soak": "positions lost in three ways", "seconds": round(time.monotonic() - began), "result": "alarmed"}
        )
    )

"""Every window's counts are those of one thread that read everything once, whatever crashes meanwhile.

On a real Kafka with three source partitions, two taps and two workers; EXACT_EVENTS sets the length of the stream.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from deploy.kafka.node import Node
from tests.exactness import oracle, streams
from tests.exactness.service import SOURCES, Service, create_topics, publish, read_all, records
from tests.servers import redis_ready, redis_server, wait_until

EVENTS = int(os.environ.get("EXACT_EVENTS", "200000"))
END = streams.START + streams.SPAN  # every window before it must have closed
SEED = 7
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def service(own_kafka: Node, tmp_path: Path) -> Iterator[Service]:
    redis = redis_server(tmp_path)
    redis.start(redis_ready(redis))
    create_topics(own_kafka.bootstrap, SOURCES)
    streams.write_reference(tmp_path / "reference.csv", SEED)
    service = Service(tmp_path, brokers=own_kafka.bootstrap, redis=f"redis://127.0.0.1:{redis.port}/0", name="exact")
    yield service
    service.stop()
    redis.stop()


def play(service: Service, events: int, seconds: float, faults: Callable[[], None] | None = None) -> None:
    """Publish both models' streams over `seconds` while `faults` goes on."""
    predictions, labels = streams.churn(SEED, events // 10)
    jobs = [
        threading.Thread(target=publish, args=(service.brokers, s), kwargs={"per_second": n / seconds})
        for s, n in (
            (streams.fraud(SEED, events), events),
            (predictions, len(predictions)),
            (labels, len(labels)),
        )
    ]
    for job in jobs:
        job.start()
    if faults:
        faults()
    for job in jobs:
        job.join()


def closed(service: Service, seconds: float) -> None:
    """Wait until every window before END has closed in both models."""
    last = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(END - 60))

    def done() -> bool:
        try:
            models = [service.get(f"/v1/models/{m}/windows?from={last}Z&limit=1") for m in ("fraud", "churn")]
            lag = service.get("/v1/status")["lag"]
        except Exception:  # the api may be starting or waiting for its store
            return False
        return all(m["items"] for m in models) and bool(lag) and not any(n for t in lag.values() for n in t.values())

    try:
        wait_until(done, seconds, "closing of all windows", every=1.0)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{service.logs()}") from None
    time.sleep(3)  # revisions of the last reopened windows


def assert_exact(service: Service) -> None:
    """Windows, labels, dead letters, outputs and counters against the oracle."""
    raws = records(service.brokers, "fraud.predictions")
    truth = oracle.fraud_truth(raws, now=time.time())
    wrong = oracle.differences(service.everything("/v1/models/fraud/windows"), truth, END)
    assert not wrong, f"{len(wrong)} differences, the first: {wrong[:3]}\n{service.logs()}"

    rows, told = oracle.churn_truth(
        records(service.brokers, "churn.predictions"), records(service.brokers, "churn.labels")
    )
    got_rows: Counter[float] = Counter()
    got_labels: Counter[float] = Counter()
    for window in service.everything("/v1/models/churn/windows"):
        start = datetime.fromisoformat(window["start"]).timestamp()
        if window["segment"] == "all" and start + 60 <= END:
            got_rows[start] += window["rows"]
            got_labels[start] += window["labels"]
    assert +got_rows == Counter({s: n for s, n in rows.items() if s + 60 <= END})
    assert +got_labels == Counter({s: n for s, n in told.items() if s + 60 <= END})

    by_origin: dict[tuple[str, int, int], list[tuple[str, bytes | None]]] = defaultdict(list)
    for message in read_all(service.brokers, f"{service.name}.dead-letters"):
        h = {k: v.decode() for k, v in message.headers()}
        by_origin[h["topic"], int(h["partition"]), int(h["offset"])].append((h["reason"], message.value()))
    assert {o: c[0][0] for o, c in by_origin.items()} == truth.dead
    values = {(r.topic, r.partition, r.offset): r.value for r in raws}
    for origin, copies in by_origin.items():
        assert set(copies) == {(truth.dead[origin], values[origin])}

    for topic in ("verdicts", "alerts", "retrain-requests"):
        contents: dict[str, set[bytes]] = defaultdict(set)
        for message in read_all(service.brokers, f"{service.name}.{topic}"):
            contents[dict(message.headers())["ce_id"].decode()].add(message.value())
        assert all(len(c) == 1 for c in contents.values()), f"an id of {topic} with two contents"

    status = service.get("/v1/status")
    assert status["overlap_blocks"] == 0
    assert sum(status["late_events"].values()) == truth.late
    assert Counter(status["dead_letters"]["fraud.predictions"]) == Counter(truth.dead.values())


def test_exact_without_faults(service: Service) -> None:
    service.start()
    play(service, EVENTS, seconds=20)
    closed(service, 240)
    assert_exact(service)


def test_exact_through_kills_freezes_and_a_broker_restart(service: Service, own_kafka: Node) -> None:
    r = random.Random(SEED)

    def faults() -> None:
        victims = [*service.taps, *service.workers] * 3  # at least five of each role
        r.shuffle(victims)
        for victim in victims:
            time.sleep(r.uniform(2, 8))
            victim.kill()
        for frozen in (service.taps[0], service.workers[0]):
            frozen.freeze()
            time.sleep(10)  # past its session timeout
            frozen.thaw()
            time.sleep(4)
        own_kafka.restart()

    service.start()
    play(service, EVENTS, seconds=110, faults=faults)
    closed(service, 400)
    assert_exact(service)
    assert all(role.restarts >= 3 for role in (*service.taps, *service.workers))

"""Every window's counts are those of one thread that read everything once, whatever crashes meanwhile.

On a real Kafka with three source partitions, two taps and two workers; EXACT_EVENTS sets the length of the stream.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.kafka.node import Node
from tests.exactness import oracle, streams
from tests.exactness.service import SOURCES, Role, Service, create_topics, publish, read_all, records
from tests.servers import redis_ready, redis_server, wait_until

EVENTS = int(os.environ.get("EXACT_EVENTS", "200000"))
END = streams.START + streams.SPAN  # every window before it must have closed
SEED = 7
pytestmark = pytest.mark.timeout(900 + EVENTS / 200)  # soak streams are longer


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


def play(service: Service, seconds: float, faults: Callable[[], None] | None = None) -> None:
    """Publish both models' streams over `seconds`, the last tenth when `faults` has done its worst."""
    go_on = threading.Event()
    jobs = [
        threading.Thread(
            target=publish, args=(service.brokers, stream), kwargs={"seconds": seconds, "go_on": go_on}, daemon=True
        )
        for stream in (list(streams.fraud(SEED, EVENTS)), *streams.churn(SEED, EVENTS // 10))
    ]
    for job in jobs:
        job.start()
    try:
        if faults:
            faults()
    finally:
        go_on.set()
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
        reason, value = truth.dead[origin], values[origin]
        if reason == "too_large":  # of which only the beginning must be kept
            assert value is not None
            assert all(copy and len(copy) >= 64 << 10 and value.startswith(copy) for _, copy in copies)
        else:
            assert set(copies) == {(reason, value)}

    for topic in ("verdicts", "alerts", "retrain-requests"):
        contents: dict[str, set[bytes]] = defaultdict(set)
        for message in read_all(service.brokers, f"{service.name}.{topic}"):
            contents[dict(message.headers())["ce_id"].decode()].add(message.value())
        assert all(len(c) == 1 for c in contents.values()), f"an id of {topic} with two contents"

    status = service.get("/v1/status")
    assert status["overlap_blocks"] == 0
    assert sum(status["late_events"].values()) == truth.late
    assert Counter(status["dead_letters"]["fraud.predictions"]) == Counter(truth.dead.values())


def replayed(service: Service, model: str, **files: Iterable[streams.Raw]) -> Path:
    """The folder that `replay` writes for the same events, in the order in which they were published."""
    output = service.folder / f"replay-{model}"
    options = []
    for option, raws in files.items():
        file = service.folder / f"{model}-{option}.jsonl"
        file.write_bytes(b"".join(raw.value + b"\n" for raw in raws if raw.value is not None))
        options += [f"--{option}", str(file)]
    command = [sys.executable, "-m", "stream_monitor", "replay", str(service.config), "--model", model]
    subprocess.run([*command, *options, "--output", str(output)], check=True, capture_output=True)
    return output


def assert_replay_agrees(service: Service, model: str, folder: Path) -> None:
    """Windows before END and the verdicts of their last revisions are those of the service, id for id."""

    def windows(items: Iterable[dict[str, Any]]) -> dict[tuple[str, str, str], dict[str, Any]]:
        some = [w for w in items if datetime.fromisoformat(w["end"]).timestamp() <= END]
        loose = {"revision", "late_rows"}  # how often a window was reopened depends on arrival
        return {(w["version"], w["segment"], w["start"]): {k: v for k, v in w.items() if k not in loose} for w in some}

    def verdicts(items: Iterable[dict[str, Any]]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        last: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        for v in sorted(items, key=lambda v: int(v["revision"])):
            if datetime.fromisoformat(v["end"]).timestamp() <= END:
                key = tuple(v[k] for k in ("version", "segment", "start", "metric", "column", "detector"))
                last[key] = tuple(v[k] for k in ("revision", "id", "level", "value", "threshold", "rows"))
        return last

    def lines(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (folder / name).read_text().splitlines()]

    served = windows(service.everything(f"/v1/models/{model}/windows"))
    written = windows(lines("windows.jsonl"))
    assert written.keys() == served.keys()
    assert [k for k in served if written[k] != served[k]] == []
    judged = verdicts(service.everything(f"/v1/models/{model}/verdicts"))
    again = verdicts(lines("verdicts.jsonl"))
    assert again.keys() == judged.keys()
    assert [k for k in judged if again[k][2:] != judged[k][2:]] == []
    as_often = [k for k in judged if again[k][0] == judged[k][0]]  # an id is a function of the revision too
    assert as_often
    assert [k for k in as_often if again[k][1] != judged[k][1]] == []


def test_exact_without_faults_and_in_replay(service: Service) -> None:
    service.start()
    play(service, seconds=15)
    closed(service, 240)
    assert_exact(service)
    assert_replay_agrees(service, "fraud", replayed(service, "fraud", events=streams.fraud(SEED, EVENTS)))
    predictions, labels = streams.churn(SEED, EVENTS // 10)
    # The layout of `churn` is learnt from the stream, so its columns may differ, not its rows and labels.
    folder = replayed(service, "churn", events=predictions, labels=labels)
    told = {
        (w["version"], w["segment"], w["start"]): (w["rows"], w["labels"])
        for w in service.everything("/v1/models/churn/windows")
    }
    written = [json.loads(line) for line in (folder / "windows.jsonl").read_text().splitlines()]
    for w in written:
        if datetime.fromisoformat(w["end"]).timestamp() <= END:
            assert told[w["version"], w["segment"], w["start"]] == (w["rows"], w["labels"])


def test_exact_through_kills_freezes_and_a_broker_restart(service: Service, own_kafka: Node) -> None:
    r = random.Random(SEED)

    def at_work(role: Role) -> None:
        try:
            wait_until(lambda: service.works(role), 90, f"{role.name} at work", every=0.3)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{service.logs()}") from None
        time.sleep(r.uniform(0, 3))

    def faults() -> None:
        victims = [*service.taps, *service.workers] * 3  # six kills of each role
        r.shuffle(victims)
        for i, victim in enumerate(victims):
            at_work(victim)
            victim.kill()
            if i == len(victims) // 2:
                own_kafka.restart()
        for frozen in (service.taps[0], service.workers[0]):
            at_work(frozen)
            frozen.freeze()
            time.sleep(10)  # past its session timeout: its partitions go to the other
            frozen.thaw()

    service.start()
    play(service, seconds=120, faults=faults)
    closed(service, 300)
    assert_exact(service)

"""What the exactness tests do with the service, and what must hold afterwards.

EXACT_EVENTS sets the length of the stream (streams.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from tests.exactness import oracle, streams
from tests.exactness.service import SOURCES, Role, Service, publish, read_all, records
from tests.exactness.streams import EVENTS
from tests.servers import wait_until

END = streams.START + streams.SPAN  # every window before it must have closed
SEED = 7
TIMEOUT = 900 + EVENTS / 200  # soak streams are longer


def play(service: Service, seconds: float, faults: Callable[[], None] | None = None) -> None:
    """Publish both models' streams over `seconds`, the last tenth when `faults` has done its worst."""
    go_on = threading.Event()
    jobs = [
        threading.Thread(
            target=publish, args=(service.brokers, stream), kwargs={"seconds": seconds, "go_on": go_on}, daemon=True
        )
        for stream in (streams.whole(SEED, EVENTS), *streams.churn(SEED, EVENTS // 10))
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
    """Windows, labels, dead letters, outputs and counters against the oracle.

    And no process has crashed, and no worker has missed a checkpoint that there was: what is rebuilt is the same, as
    long as the log is there.
    """
    crashed = {r.name: r.crashes for r in service.roles if r.crashes}
    assert not crashed, f"{crashed}\n{service.logs()}"
    rebuilt = [line for r in service.workers for line in r.log().splitlines() if "is rebuilt from offset" in line]
    assert not rebuilt, f"{rebuilt}\n{service.logs()}"
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


def assert_withdrawn(service: Service, *, left: int = 0) -> None:
    """Of the references that were found, the topic keeps those in force, and at most so many that a worker which slept
    through its replacement may have published again."""
    kept: dict[bytes, bytes] = {}

    def settled() -> bool:
        kept.clear()
        for message in read_all(service.brokers, f"{service.name}.references"):
            id = message.key().partition(b"/")[0]
            kept[id] = message.value()
        return sum(value is not None for value in kept.values()) <= 2 + left

    wait_until(settled, 60, "references withdrawn", every=1.0)
    assert None in kept.values(), f"none was withdrawn of {sorted(kept)}"
    in_force = service.get("/v1/models/churn")["reference"]["id"].encode()
    assert kept[in_force] is not None


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


def at_work(service: Service, role: Role) -> None:
    """Wait until the role's process has partitions and says that it is well."""
    try:
        wait_until(lambda: service.works(role), 120, f"{role.name} at work", every=0.3)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{service.logs()}") from None


def spent(service: Service, seconds: float) -> None:
    """Wait until every role has met all its failpoints, and all are at work again."""
    try:
        wait_until(lambda: not any(r.failpoints for r in service.roles), seconds, "all failpoints", every=0.5)
    except AssertionError as error:
        left = {r.name: r.failpoints for r in service.roles if r.failpoints}
        raise AssertionError(f"{error}: {left}\n{service.logs()}") from None
    for role in (*service.taps, *service.workers):
        wait_until(partial(_thawed, role), 60, f"{role.name} thawed")


def _thawed(role: Role) -> bool:
    return not role.frozen()


def share_out(roles: Sequence[Role], failpoints: Iterable[str]) -> None:
    """Give each failpoint to one of the roles, in turn."""
    for i, failpoint in enumerate(failpoints):
        roles[i % len(roles)].failpoints.append(failpoint)


def assert_committed(service: Service, topics: Iterable[str] = tuple(SOURCES)) -> None:
    """When idle, the taps' group has committed where the logs end, within two of the longest flush intervals."""
    reader = Consumer({"bootstrap.servers": service.brokers, "group.id": service.name, "enable.auto.commit": False})
    try:
        places = [TopicPartition(t, p) for t in topics for p in range(SOURCES[t])]
        ends = {(p.topic, p.partition): reader.get_watermark_offsets(p, timeout=60)[1] for p in places}

        def arrived() -> bool:
            return {(p.topic, p.partition): p.offset for p in reader.committed(places, timeout=60)} == ends

        wait_until(arrived, 10, "commits at the ends of the logs", every=0.5, patience=1)
    finally:
        reader.close()

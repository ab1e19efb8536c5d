"""Every window's counts are those of one thread that read everything once, whatever crashes meanwhile.

On a real Kafka with three source partitions, two taps and two workers. The long runs are soak.py's.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from deploy.kafka.node import Node
from stream_monitor.failpoints import TAP, WORKER
from tests.exactness import streams
from tests.exactness.scenes import (
    END,
    SEED,
    TIMEOUT,
    assert_committed,
    assert_exact,
    assert_replay_agrees,
    assert_withdrawn,
    at_work,
    closed,
    play,
    replayed,
    share_out,
    spent,
)
from tests.exactness.service import Service
from tests.exactness.streams import EVENTS

pytestmark = pytest.mark.timeout(TIMEOUT)


def test_exact_without_faults_and_in_replay(service: Service) -> None:
    service.start()
    play(service, seconds=15)
    closed(service, 240)
    assert_exact(service)
    predictions, labels = streams.churn(SEED, EVENTS // 10)
    with ThreadPoolExecutor(2) as both:
        fraud = both.submit(replayed, service, "fraud", events=streams.whole(SEED, EVENTS))
        churn = both.submit(replayed, service, "churn", events=predictions, labels=labels)
    assert_replay_agrees(service, "fraud", fraud.result())
    # The layout of `churn` is learnt from the stream, so its columns may differ, not its rows and labels.
    folder = churn.result()
    told = {
        (w["version"], w["segment"], w["start"]): (w["rows"], w["labels"])
        for w in service.everything("/v1/models/churn/windows")
    }
    written = [json.loads(line) for line in (folder / "windows.jsonl").read_text().splitlines()]
    for w in written:
        if datetime.fromisoformat(w["end"]).timestamp() <= END:
            assert told[w["version"], w["segment"], w["start"]] == (w["rows"], w["labels"])
    assert_withdrawn(service)


def test_exact_through_kills_freezes_and_a_broker_restart(service: Service, own_kafka: Node) -> None:
    """Every failpoint kills once; then a tap freezes in the midst of a batch, and a worker in that of a checkpoint."""
    share_out(service.taps, [f"{name}:{1 + i % 3}:kill" for i, name in enumerate(TAP)])
    share_out(service.workers, [f"{name}:{1 + i % 2}:kill" for i, name in enumerate(WORKER)])
    service.taps[0].failpoints.append("tap.sent:2:freeze")
    service.workers[0].failpoints.append("worker.segment:1:freeze")

    def faults() -> None:
        for role in (*service.taps, *service.workers):
            at_work(service, role)
        time.sleep(5)
        own_kafka.restart()
        spent(service, 400)

    service.start()
    play(service, seconds=90, faults=faults)
    closed(service, 300)
    assert_exact(service)
    assert_committed(service)
    assert_withdrawn(service, left=1)
    assert sum(r.restarts for r in service.roles) >= len(TAP) + len(WORKER)
    assert service.taps[0].freezes == service.workers[0].freezes == 1

"""The worker's shell on a real Kafka, with the toy fold: killed, frozen, doubled, cut off; never a wrong total."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.embedded import EmbeddedBroker
from deploy.kafka.node import Node
from tests.servers import wait_until
from tests.worker.fleet import PARTITIONS, Fleet, eventually, pause


@pytest.fixture
def fleet(kafka: Node, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, kafka.bootstrap)
    yield fleet
    fleet.stop()


def test_two_workers_killed_and_frozen(fleet: Fleet) -> None:
    """Kills -9 of either and a freeze past the session timeout in mid-batch: states and outputs are the oracle's."""
    one, two = fleet.start(), fleet.start()
    fleet.send(300)
    eventually(fleet, one)
    random_ = random.Random(7)
    for _ in range(3):
        fleet.send(200)
        pause(random_.uniform(0.1, 1.5))
        random_.choice([one, two]).kill()
    fleet.settle()
    fleet.send(300)
    frozen = one if one.status.get("partitions") else two
    frozen.freeze()
    pause(9)  # the session is 6 s
    fleet.send(200)
    frozen.thaw()
    fleet.send(100)
    fleet.settle()
    codes = fleet.stop()
    fleet.check_outputs()
    assert codes == [0, 0], fleet.logs()
    assert -9 in one.exits + two.exits


def test_a_restart_goes_on_from_the_checkpoint(fleet: Fleet) -> None:
    """Even when the group's offset is beyond it, as after a slip with an admin tool, and no new entry comes.

    After an orderly stop nothing is folded twice; the notices were handed over once.
    """
    first = fleet.start()
    fleet.send(100)
    fleet.settle()
    wait_until(lambda: first.status["handed"] == 5 * PARTITIONS, what=f"notices handed over\n{fleet.logs()}")
    assert fleet.stop() == [0]
    fleet.workers.clear()
    fleet.send(50)
    fleet.commit_ends()
    second = fleet.start()
    fleet.settle()
    assert second.status["totals"]["entries"] <= PARTITIONS * 53  # the 50, of which three came twice
    assert second.status["totals"]["rebuilds"] == 0
    fleet.check_outputs()


def test_a_broker_that_comes_back(own_kafka: Node, tmp_path: Path) -> None:
    """Without a broker the worker says so and lives, with one it goes on; and without one it can be stopped."""
    fleet = Fleet(tmp_path, own_kafka.bootstrap)
    worker = fleet.start()
    try:
        fleet.send(200)
        fleet.settle()
        own_kafka.kill()
        wait_until(lambda: "broker" in worker.status.get("reason", ""), 25, "an unhealthy worker")
        own_kafka.start()
        fleet.send(200)
        fleet.settle(90)
        fleet.check_outputs()
        wait_until(lambda: bool(worker.status.get("healthy")), 60, f"a healthy worker\n{fleet.logs()}")
        own_kafka.kill()
        worker.terminate()
        assert worker.end(25) in (0, 1), fleet.logs()
    finally:
        fleet.stop()


def test_the_embedded_broker(tmp_path: Path) -> None:
    """One worker on librdkafka's mock cluster: folds, is killed, goes on from its checkpoint, stops."""
    broker = EmbeddedBroker()
    fleet = Fleet(tmp_path, broker.address, embedded=True)
    worker = fleet.start()
    try:
        fleet.send(200)
        fleet.settle()
        pause(1)
        worker.kill()
        fleet.send(100)
        fleet.settle()
        assert worker.status["totals"]["rebuilds"] == 0
        assert worker.status["totals"]["entries"] - worker.status["totals"]["repeated_entries"] < 4 * 300
        assert fleet.stop() == [0]
        fleet.check_outputs()
    finally:
        fleet.stop()
        broker.close()


def test_the_checkpoints_topic_is_missing(kafka: Node, tmp_path: Path) -> None:
    """Said at once, not found out a minute later."""
    fleet = Fleet(tmp_path, kafka.bootstrap)
    fleet.name += "x"
    worker = fleet.start()
    worker._wanted = False
    assert worker.end(30) == 1
    assert f"no such topic: {fleet.name}.panes, {fleet.name}-worker-checkpoints-changelog" in worker.log()

"""Taps under KIP-848 (`group.protocol: consumer`): the broker assigns, and nothing is lost or doubled by it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException

from connectors.kafka_clients import Connection
from stream_monitor.config import Config, Kafka
from stream_monitor.worker.agents import settings
from tests.operations.secured import Secured
from tests.servers import wait_until
from tests.tap.process import OPTIONS
from tests.tap.test_tap_on_brokers import Place

# Sessions and assignors are the broker's business then; librdkafka refuses a consumer that states them.
KIP_848 = {**OPTIONS, "group.protocol": "consumer", "partition.assignment.strategy": "range"}


@pytest.fixture
def place(secured: Secured) -> Iterator[Place]:
    place = Place(Connection(brokers=secured.node.bootstrap, options=KIP_848))
    yield place
    place.end()


def test_two_taps_share_freeze_and_die(place: Place, tmp_path: Path) -> None:
    """
    a   |== all ==|== some ==|..... frozen past its session .....|== back ==|==========|
    b              |== some ==|============ all =================|== some ==| kill -9, another one
    """
    command = [sys.executable, "-m", "tests.tap.process", place.connection.brokers, place.prefix, place.source]
    logs = (tmp_path / "taps.log").open("wb")
    environ = {**os.environ, "KAFKA_OPTIONS": json.dumps(KIP_848)}

    def spawn() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, stderr=logs, env=environ)

    admin = place.connection.admin()

    def members() -> int:
        try:
            found = admin.describe_consumer_groups([f"{place.prefix}group"])[f"{place.prefix}group"].result(120)
        except KafkaException:  # no coordinator yet
            return 0
        return sum(bool(m.assignment.topic_partitions) for m in found.members)

    def write_on(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            place.write(200)
            time.sleep(0.3)

    taps = [spawn(), spawn()]
    try:
        place.write(600)
        wait_until(lambda: members() == 2, 60, "two members with partitions", every=0.3)
        write_on(1)
        taps[0].send_signal(signal.SIGSTOP)
        write_on(8)
        wait_until(lambda: members() == 1, 40, "the frozen one thrown out", every=0.3)
        write_on(1)
        taps[0].send_signal(signal.SIGCONT)
        wait_until(lambda: members() == 2, 40, "the frozen one back", every=0.3)
        write_on(1)
        taps[1].kill()
        taps[1].wait()
        taps[1] = spawn()
        write_on(2)
        events = place.truth.total()
        wait_until(lambda: place.counted().total() >= events, 90, "all counted", every=0.5)
        assert place.counted() == place.truth
        assert not any(b.alarm for w in range(place.workers) for b in place.bundles(w))
    finally:
        for tap in taps:
            tap.terminate()
        codes = [tap.wait(15) for tap in taps]
        logs.close()
    assert codes[0] == 0, (tmp_path / "taps.log").read_text()[-3000:]


def test_workers_stay_with_the_classic_protocol() -> None:
    """Their client knows no other; sessions stated for them are theirs."""
    config = Config(kafka=Kafka(options=KIP_848))
    made = settings(config, "localhost:9092", embedded=False)
    assert made["broker_session_timeout"] == 6.0
    assert not any("protocol" in name for name in made)

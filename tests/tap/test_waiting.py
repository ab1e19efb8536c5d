"""A block that cannot be counted now waits alone.

topic a   1 ... 30 | 31 ... 90 (its schema does not come)          | it comes: all counted, in order
topic b   1 ... 30 | 31 ... 300: counted while `a` waits           |
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stream_monitor.brokers import Message, Partition
from stream_monitor.errors import Unreachable
from stream_monitor.intents import Intent
from stream_monitor.tap.blocks import Counted
from stream_monitor.tap.rules import Limits, Rules
from stream_monitor.tap.tap import Tap
from tests.tap.counting import TinyCounting
from tests.tap.test_protocol import PREFIX, WORKERS, World, fold, nothing_lost_or_doubled
from tests.tap.twin import Member, Post

WHY = "schema registry http://registry: no answer yet to what schema 7 is"


class Waits(TinyCounting):
    """Cannot count any event of topic `a` while it is `silent`."""

    silent = False
    tries = 0

    def count(self, intent: Intent, partition: Partition, messages: Sequence[Message]) -> Counted:
        if self.silent and partition[0] == "a" and len(messages):
            self.tries += 1
            raise Unreachable(WHY)
        return super().count(intent, partition, messages)


class Alone(World):
    """One tap, over topics `a` and `b` of two partitions each, that holds at most 40 events."""

    def __init__(self, counting: type[Waits] = Waits) -> None:
        super().__init__(0, faults=0.0, taps=1)
        member, self.counting = Member(self.cluster), counting()
        self.members[0] = member
        self.executors[0] = None
        self.tap = self.taps[0] = Tap(
            rules=Rules(topics=("a", "b"), prefix=PREFIX, idle_after_ms=4_000),
            group=member,
            logs=member,
            publisher=Post(self.cluster),
            counting=self.counting,
            worker_partitions=WORKERS,
            limits=Limits(events=40, flush_seconds=(0.1, 0.1), silence_seconds=1, backoff_seconds=1, short_seconds=0),
            now_ms=lambda: self.now,
            clock=lambda: self.now / 1000,
        )

    def write(self, topic: str, events: int) -> None:
        for i in range(events):
            time_ms = self.now - i % 3 * 1_000
            self.cluster.log((topic, i % 2)).append(b"%d" % time_ms)
            self.truth[topic, time_ms // 1_000 * 1_000] += 1

    def counted(self, topic: str) -> int:
        return int(self.tap.status()["events"].get(f"model-{topic}", 0))

    def lag(self, topic: str) -> int:
        return sum(a["lag"] for a in self.tap.status()["assigned"] if a["topic"] == topic)


def test_a_topic_that_cannot_be_counted_waits_alone_and_says_so() -> None:
    world = Alone()
    for topic in "ab":
        world.write(topic, 30)
    world.run(20)
    assert (world.counted("a"), world.counted("b"), world.tap.status()["healthy"]) == (30, 30, True)

    world.counting.silent = True
    world.write("a", 60)  # more than the tap may hold of all topics
    for _ in range(9):
        world.write("b", 30)
        world.run(10)
    assert (world.counted("a"), world.counted("b")) == (30, 300)
    assert (world.lag("a"), world.lag("b")) == (60, 0)
    world.write("a", 20)
    world.run(20)
    assert world.lag("a") == 80  # what comes meanwhile is seen, too
    status = world.tap.status()
    assert not status["healthy"]
    assert status["reason"] == f"topic a waits: {WHY}"
    assert {a["topic"]: a["waiting"] for a in status["assigned"]} == {"a": WHY, "b": ""}
    seconds = (9 * 10 + 20) * 0.15
    assert world.counting.tries <= 2 * seconds + 2  # each partition once a second, not at every turn

    world.counting.silent = False
    world.run(200)
    assert (world.counted("a"), world.lag("a"), world.tap.status()["healthy"]) == (110, 0, True)
    nothing_lost_or_doubled(world)
    for worker in range(WORKERS):
        assert fold(world.bundles(worker))[1] == 0  # no block of the others was published again for its sake


def test_a_partition_that_waited_is_not_idle_with_events_still_to_read() -> None:
    world = Alone()
    world.counting.silent = True
    world.write("a", 2)
    world.run(20)
    world.write("a", 60)
    world.now += 60_000  # far beyond what makes a partition idle
    world.run(20)
    world.counting.silent = False
    world.run(100)
    of_a = [b for b in fold(world.bundles(0))[0] if b.source.topic == "a" and b.source.partition == 0]
    read = next(i for i, b in enumerate(of_a) if b.to == 31)
    assert not any(b.idle for b in of_a[: read + 1])


def test_a_partition_that_waits_may_be_taken_away() -> None:
    world = Alone()
    world.counting.silent = True
    world.write("a", 30)
    world.run(20)
    assert world.tap.status()["reason"]
    world.cluster.expel(world.members[0])
    world.tap._on_revoked([("a", 0), ("a", 1), ("b", 0), ("b", 1)])
    world.tap._note()
    assert "waits" not in world.tap.status()["reason"]


def test_other_errors_of_counting_end_the_tap() -> None:
    class Broken(Waits):
        def count(self, intent: Intent, partition: Partition, messages: Sequence[Message]) -> Counted:
            raise ValueError("a mistake of ours")

    world = Alone(Broken)
    with pytest.raises(ValueError, match="a mistake of ours"):
        world.run(20)

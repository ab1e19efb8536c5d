"""Crashes, frozen owners, lost answers and rebalances at every point of the protocol: no event lost, none doubled.

A seeded schedule moves three taps over a broker in memory. At every call a fault may strike: the tap dies, it freezes
while others take over and goes on afterwards, an answer is lost. At the end the bundles are folded as the worker does,
`applied = (n, to)` per source, and must be the counts of an oracle that read the topics once.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from stream_monitor.entries import Bundle, Source, unpack
from stream_monitor.errors import CommitUnknown, Unreachable
from stream_monitor.intents import FIRST_BLOCK
from stream_monitor.packing import unpack_counts
from stream_monitor.tap.rules import Limits, Rules
from stream_monitor.tap.tap import Tap
from tests.tap.counting import PANE_MS, TinyCounting
from tests.tap.twin import Cluster, Later, Member, Post

pytestmark = pytest.mark.usefixtures("quiet")

PREFIX = "sm."
WORKERS = 3
TOPICS = ("a", "b")


class Crash(BaseException):
    """The process is gone."""


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


class World:
    """Taps over one cluster, a clock that moves with every call, and faults."""

    def __init__(self, seed: int, *, faults: float, taps: int = 3, growing: bool = False) -> None:
        """`growing`: the second topic and more that come up in between are found by a pattern."""
        self.growing = growing
        self.topics = list(TOPICS)
        self.random = random.Random(seed)
        self.faults = faults
        self.now = 1_000_000
        self.cluster = Cluster()
        for topic in TOPICS:
            self.cluster.create(topic, 2)
        self.cluster.create(f"{PREFIX}panes", WORKERS)
        self.cluster.create(f"{PREFIX}dead-letters", 1)
        self.layout = 1
        self.truth: Counter[tuple[str, int]] = Counter()
        self.bad: Counter[tuple[str, int, int]] = Counter()
        self.struck: Counter[str] = Counter()
        self.frozen: set[int] = set()
        self.members: list[Member] = []
        self.executors: list[Later | None] = [None] * taps
        self.taps: list[Tap] = []
        for i in range(taps):
            self.members.append(Member(self.cluster))
            self.taps.append(self.born(i))

    def born(self, i: int) -> Tap:
        member = Member(self.cluster, self.hook(i))
        self.members[i] = member
        counting = TinyCounting(self.layout, f"c{self.layout}", self.random.choice((1.0, 9.0)))
        executor = self.executors[i] = self.random.choice((None, Later()))  # in the tap's thread, or in its own time
        return Tap(
            rules=Rules(
                topics=TOPICS[:1] if self.growing else TOPICS,
                patterns=("^b",) if self.growing else (),
                prefix=PREFIX,
                idle_after_ms=4_000,
            ),
            group=member,
            logs=member,
            publisher=Post(self.cluster, self.hook(i)),
            counting=counting,
            worker_partitions=WORKERS,
            limits=Limits(
                events=20,
                flush_seconds=(0.2, 0.2),
                silence_seconds=1,
                backoff_seconds=0,
                part_bytes=200,
                short_seconds=0,
            ),
            executor=executor,
            now_ms=lambda: self.now,
            clock=lambda: self.now / 1000,
        )

    def hook(self, i: int) -> Callable[[str], None]:
        mine: list[Member] = []  # set below: a frozen process stays the member it was

        def strike(call: str) -> None:
            self.now += self.random.randrange(40)
            if not mine:
                mine.append(self.members[i])
            if self.random.random() >= self.faults:
                return
            fault = self.random.choice(("crash", "freeze", "lost answer", "unreachable", "rebalance"))
            self.struck[f"{fault} at {call}"] += 1
            if fault == "crash":
                raise Crash
            if fault == "rebalance":
                self.cluster.rebalance()
            elif fault == "freeze":
                self.cluster.expel(mine[0])
                self.frozen.add(i)
                self.now += 10_000
                for _ in range(self.random.randrange(12)):
                    self.happen()
                    self.move(self.random.randrange(len(self.taps)))
                self.frozen.remove(i)
            elif "commit" in call:
                raise CommitUnknown("no answer")
            elif call != "assign":
                raise Unreachable("no answer")

        return strike

    def move(self, i: int) -> None:
        if i in self.frozen:
            return
        executor = self.executors[i]
        if executor is not None:
            executor.work(self.random.randrange(3))
        try:
            self.taps[i].step(0)
        except Crash:
            self.cluster.expel(self.members[i])
            self.taps[i] = self.born(i)

    def happen(self) -> None:
        """Events, holes, a new layout or silence."""
        what = self.random.random()
        if self.growing and self.random.random() < 0.03:
            self.topics.append(f"b{len(self.topics)}")
            self.cluster.create(self.topics[-1], 2)
        topic, number = self.random.choice(self.topics), self.random.randrange(2)
        log = self.cluster.log((topic, number))
        if what < 0.6:
            for _ in range(self.random.randrange(1, 8)):
                if self.random.random() < 0.1:
                    self.bad[topic, number, log.append(self.random.choice((None, b"x")))] += 1
                else:
                    time_ms = self.now - self.random.randrange(3_000)
                    log.append(b"%d" % time_ms)
                    self.truth[topic, time_ms // PANE_MS * PANE_MS] += 1
        elif what < 0.75:
            log.skip(self.random.randrange(1, 4))
        elif what < 0.8:
            self.layout += 1
            for tap in self.taps:  # they hear of it at different times in life; here within the same block at most
                tap._counting = TinyCounting(self.layout, f"c{self.layout}")
        elif what < 0.85:
            self.now += 5_000

    def play(self, rounds: int) -> None:
        for _ in range(rounds):
            self.happen()
            self.move(self.random.randrange(len(self.taps)))
        self.faults = 0.0
        self.run(200)

    def run(self, rounds: int) -> None:
        """Every tap in turn, and nothing happens."""
        for _ in range(rounds):
            self.now += 150
            for i in range(len(self.taps)):
                self.move(i)

    def bundles(self, worker: int) -> list[Bundle]:
        out = [unpack(r.body or b"") for r in self.cluster.log((f"{PREFIX}panes", worker)).records]
        assert all(isinstance(b, Bundle) for b in out)
        return [b for b in out if isinstance(b, Bundle)]


def fold(bundles: list[Bundle]) -> tuple[list[Bundle], int]:
    """The bundles of every block once, in the order they were applied, and how many were repetitions.

    The rule of the worker: block n + 1 must begin where block n ended; anything else is an error.
    """
    applied: dict[Source, tuple[int, int]] = {}
    parts: dict[tuple[Source, int], dict[int, Bundle]] = {}
    out: list[Bundle] = []
    repeated = 0
    for bundle in bundles:
        n, to = applied.get(bundle.source, (FIRST_BLOCK - 1, bundle.from_))
        if bundle.n <= n:
            repeated += 1
            continue
        assert (bundle.n, bundle.from_) == (n + 1, to), f"gap or overlap: {bundle} after {(n, to)}"
        mine = parts.setdefault((bundle.source, bundle.n), {})
        mine[bundle.part] = bundle
        if len(mine) == bundle.parts:
            applied[bundle.source] = (bundle.n, bundle.to)
            out += mine.values()
    return out, repeated


@pytest.mark.parametrize("seed", range(100))
def test_no_event_is_lost_or_doubled(seed: int) -> None:
    world = World(seed, faults=(0.01, 0.03)[seed % 2])
    world.play(rounds=80)
    nothing_lost_or_doubled(world)


@pytest.mark.parametrize("seed", range(8))
def test_topics_that_come_up_are_read_from_their_beginning(seed: int) -> None:
    world = World(seed, faults=0.02 * (seed % 2), growing=True)
    world.play(rounds=80)
    nothing_lost_or_doubled(world)


def test_a_group_that_starts_with_the_latest_reads_topics_that_come_up_whole() -> None:
    """Also when they came up while no tap was there: they are read from when the group began."""
    world = World(0, faults=0.0, taps=1, growing=True)
    rules = replace(world.taps[0]._rules, start="latest")
    world.cluster.log(("b", 0)).append(b"%d" % world.now, time_ms=world.now - 60_000)  # before the group began
    for created in ("b1", "b2"):
        world.taps[0] = world.born(0)
        world.taps[0]._rules = rules
        world.run(20)
        world.cluster.create(created, 2)
        world.cluster.log((created, 1)).append(b"%d" % world.now, time_ms=world.now)
        if created == "b1":
            world.run(100)
        world.cluster.expel(world.members[0])
    world.taps[0] = world.born(0)
    world.taps[0]._rules = rules
    world.run(100)
    once, _ = fold(world.bundles(0))
    seen = {(b.source.topic, b.source.partition): b.to for b in once if b.to > b.from_}
    assert seen == {("b1", 1): 1, ("b2", 1): 1}


def nothing_lost_or_doubled(world: World) -> None:
    counted: Counter[tuple[str, int]] = Counter()
    dead: Counter[str] = Counter()
    contents: dict[tuple[Source, int, int, int], Bundle] = {}
    ends = []
    for worker in range(WORKERS):
        bundles = world.bundles(worker)
        for bundle in bundles:  # whoever makes a block makes it the same, byte for byte
            assert contents.setdefault((bundle.source, bundle.n, bundle.part, worker), bundle) == bundle
        once, _ = fold(bundles)
        for bundle in once:
            dead.update(bundle.dead)
            for pane in bundle.panes:
                counted[bundle.source.topic, pane.start_ms] += unpack_counts(pane.counts).rows
        ends.append({(b.source, b.n): b.to for b in once})
    assert counted == world.truth
    assert ends[0] == ends[1] == ends[2]  # every worker partition has heard of the same blocks
    assert dead.total() == world.bad.total()
    letters = {
        (dict(r.heads)["topic"], dict(r.heads)["partition"], dict(r.heads)["offset"])
        for r in world.cluster.log((f"{PREFIX}dead-letters", 0)).records
    }
    assert letters == {(t.encode(), b"%d" % p, b"%d" % o) for t, p, o in world.bad}
    for (topic, number), (offset, _) in world.cluster.committed.items():  # idle: committed = position
        assert offset == world.cluster.log((topic, number)).high


def test_the_faults_strike_everywhere() -> None:
    struck: Counter[str] = Counter()
    repeated = 0
    for seed in range(10):
        world = World(seed, faults=0.03)
        world.play(rounds=80)
        struck.update(world.struck)
        repeated += sum(fold(world.bundles(w))[1] for w in range(WORKERS))
    points = {
        "poll",
        "assign",
        "look",
        "identify",
        "before commit",
        "after commit",
        "before send",
        "after send",
        "settle",
    }
    assert {s.split(" at ")[1] for s in struck} == points
    assert {s.split(" at ")[0] for s in struck} == {"crash", "freeze", "lost answer", "unreachable", "rebalance"}
    assert repeated > 100  # the schedules do make blocks again


def test_without_faults_nothing_is_repeated() -> None:
    world = World(1, faults=0.0)
    world.taps = world.taps[:1]
    world.play(rounds=100)
    for worker in range(WORKERS):
        assert fold(world.bundles(worker))[1] == 0
    offsets = [dict(r.heads)["offset"] for r in world.cluster.log((f"{PREFIX}dead-letters", 0)).records]
    assert len(offsets) == world.bad.total()  # one for one

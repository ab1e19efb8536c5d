"""Taps, the panes topic, workers and their checkpoints, in one thread and with every bad moment there is.

Processes are generators that stop between any two things they do to the outside. A schedule picks, at random, who does
the next thing; who dies, freezes or wakes; which partition moves. Commits are fenced by generation, as the broker does;
the checkpoints topic is compacted without lag; the panes topic loses what lies before the committed offset.

The workers are the real owners and checkpoints; taps follow the intent commits of stream_monitor/intents.py in a few
lines; the fold is the toy one, whose outputs are a function of the log as the real one's are.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from stream_monitor.entries import pack
from stream_monitor.messages import message
from stream_monitor.owners import Owner, Span
from tests.worker.process import NoCatalog
from tests.worker.toy import FOLD, ToyState, block

CATALOG = NoCatalog()
TOPIC_ID = "panes-1"


class WrongError(AssertionError):
    """What must never happen."""


@dataclass(frozen=True, slots=True)
class Intent:
    n: int
    start: int
    to: int


@dataclass(slots=True)
class Source:
    """A source partition, and what the taps' group has committed for it."""

    name: str
    events: list[tuple[str, int]] = field(default_factory=list)
    committed: Intent | None = None
    generation: int = 0


@dataclass(slots=True)
class Partition:
    """A partition of the panes topic, its checkpoints, and what the workers' group has committed for it."""

    number: int
    log: list[bytes] = field(default_factory=list)
    begin: int = 0
    committed: int | None = None
    generation: int = 0
    checkpoints: dict[bytes, bytes] = field(default_factory=dict)
    owner: Owner[ToyState] | None = None


Steps = Iterator[None]
WorkerOf = Callable[["World", Partition, int], Steps]
TapOf = Callable[["World", Source, int], Steps]
WorldOf = Callable[[int], "World"]


class World:
    """Everything that survives a process, and the processes."""

    def __init__(self, seed: int, worker: WorkerOf | None = None, tap: TapOf | None = None) -> None:
        self.random = random.Random(seed)
        self.sources = [Source(f"s{i}") for i in range(2)]
        self.partitions = [Partition(i) for i in range(2)]
        self.published: dict[str, set[bytes]] = defaultdict(set)
        self._worker: WorkerOf = worker or honest_worker
        self._tap: TapOf = tap or honest_tap
        self._places: list[Source | Partition] = [*self.sources, *self.partitions]
        self._holders: dict[int, Steps] = {}
        self._frozen: list[Steps] = []
        self._zombies: list[Steps] = []

    # -- what the broker does

    def write(self, partition: Partition, key: bytes, value: bytes | None) -> None:
        if value is None:
            partition.checkpoints.pop(key, None)
        else:
            partition.checkpoints[key] = value

    def publish(self, id: str, value: bytes) -> None:
        self.published[id].add(value)
        if len(self.published[id]) > 1:
            raise WrongError(f"{id} has two contents")

    # -- the schedule

    def run(self, steps: int) -> None:
        """So many random things, then as many orderly ones as it takes; WrongError if the result is not the oracle."""
        for _ in range(steps):
            self._anything()
        self._settle()
        self._check()

    def _anything(self) -> None:
        dice = self.random.random()
        place = self.random.choice(self._places)
        at = id(place)
        if dice < 0.06:
            key = f"k{self.random.randrange(5)}"
            source = self.random.choice(self.sources)
            source.events += [(key, self.random.randint(-3, 3))] * self.random.randint(1, 3)
        elif dice < 0.08:
            self._holders.pop(at, None)  # kill -9
        elif dice < 0.095 and at in self._holders:
            self._frozen.append(self._holders.pop(at))  # and its partition goes to somebody else
        elif dice < 0.12 and self._frozen:
            self._zombies.append(self._frozen.pop(self.random.randrange(len(self._frozen))))
        elif dice < 0.13 and isinstance(place, Partition):
            place.begin = max(place.begin, self.random.randint(0, place.committed or 0))  # retention
        elif dice < 0.35 and self._zombies:
            zombie = self.random.choice(self._zombies)
            if not _goes_on(zombie):
                self._zombies.remove(zombie)
        else:
            self._one(place)

    def _one(self, place: Source | Partition) -> None:
        holder = self._holders.get(id(place))
        if holder is None:
            place.generation += 1
            made = (
                self._tap(self, place, place.generation)
                if isinstance(place, Source)
                else self._worker(self, place, place.generation)
            )
            self._holders[id(place)] = made
        elif not _goes_on(holder):
            del self._holders[id(place)]

    def _settle(self) -> None:
        self._frozen.clear()
        self._zombies.clear()
        self._holders.clear()  # everything dies once more, and comes back
        read: dict[str, int] = {}  # source -> number of the first block after its last event
        for _ in range(10_000):
            for source in self.sources:
                if source.committed is None or source.committed.n <= read.get(source.name, source.committed.n):
                    self._one(source)  # the next intent says that the last block is published
                if source.committed is not None and source.committed.to == len(source.events):
                    read.setdefault(source.name, source.committed.n)
            for partition in self.partitions:
                self._one(partition)
            if self._quiet(read):
                return
        raise WrongError("it never comes to rest")

    def _quiet(self, read: dict[str, int]) -> bool:
        taps = all(s.committed is not None and s.committed.n > read.get(s.name, s.committed.n) for s in self.sources)
        return taps and all(p.owner is not None and p.owner.at == len(p.log) for p in self.partitions)

    def _check(self) -> None:
        oracle: dict[str, int] = defaultdict(int)
        for source in self.sources:
            for key, value in source.events:
                oracle[key] += value
        expected = {k: v for k, v in oracle.items() if v}
        for partition in self.partitions:
            assert partition.owner is not None
            state = partition.owner.state
            if state.stopped:
                raise WrongError(f"partition {partition.number} stopped: {state.stopped}")
            if state.totals != expected:
                raise WrongError(f"partition {partition.number} says {state.totals}, the oracle {expected}")


def _goes_on(process: Steps) -> bool:
    return next(process, "ended") is None


# -- processes


def honest_tap(world: World, source: Source, generation: int) -> Steps:
    """Reads its intent back, makes that block again, then goes on: intent first, then the block."""
    intent = source.committed
    yield
    if intent is not None:
        yield from publish_block(world, source, intent)
    else:
        intent = Intent(0, 0, 0)
    while True:
        to = min(len(source.events), intent.to + world.random.randint(0, 4))
        intent = Intent(intent.n + 1, intent.to, to)
        yield
        if source.generation != generation:
            return  # fenced: it publishes nothing
        source.committed = intent
        if world.random.random() < 0.03:
            return  # the answer was lost: rejoin and read back
        yield
        yield from publish_block(world, source, intent)


def publish_block(world: World, source: Source, intent: Intent) -> Steps:
    """To every worker partition; it may die between any two of them."""
    adds: dict[str, int] = defaultdict(int)
    for key, value in source.events[intent.start : intent.to]:
        adds[key] += value
    data = pack(block(source.name, intent.n, intent.start, intent.to, adds))
    for partition in world.random.sample(world.partitions, len(world.partitions)):
        partition.log.append(data)
        yield


def honest_worker(world: World, partition: Partition, generation: int) -> Steps:
    """The order of workers.py: outputs, segment, head, commit, tombstones."""
    owner = new_owner(partition)
    partition.owner = owner
    folded = 0
    while True:
        yield
        if folded and world.random.random() < 0.25:
            folded = 0
            checkpoint = owner.checkpoint()
            for key, value in checkpoint.segment:
                yield
                world.write(partition, key, value)
            yield
            world.write(partition, *checkpoint.head)
            owner.written(checkpoint)
            yield
            if partition.generation != generation:
                return  # the commit is refused: it rejoins
            partition.committed = max(partition.committed or 0, checkpoint.at)
            if checkpoint.full:
                for key in owner.superseded():
                    yield
                    world.write(partition, key, None)
        elif owner.at < len(partition.log):
            folded += 1
            yield from fold_one(world, partition, owner)


def new_owner(partition: Partition) -> Owner[ToyState]:
    """As after an assignment: from what is in the topics now."""
    owner = Owner(
        FOLD,
        CATALOG,
        partition=partition.number,
        partitions=2,
        topic_id=TOPIC_ID,
        messages=dict(partition.checkpoints),
        span=Span(begin=partition.begin, end=len(partition.log), committed=partition.committed),
        every=3,
    )
    if owner.alarm:
        raise WrongError(owner.alarm)
    return owner


def fold_one(world: World, partition: Partition, owner: Owner[ToyState]) -> Steps:
    """One entry, and its outputs one by one."""
    if owner.at < partition.begin:
        return  # a zombie whose log has gone on without it
    for output in owner.step(owner.at, owner.read(partition.log[owner.at])):
        sent = message(output, "/test")
        if sent is not None:
            yield
            world.publish(f"{partition.number}/{output.id}", sent.value)

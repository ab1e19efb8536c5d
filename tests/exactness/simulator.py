"""Taps, the panes topic, workers and their checkpoints, in one thread and with every bad moment there is.

Processes are generators that stop between any two things they do to the outside. A schedule picks, at random, who does
the next thing; who dies, freezes or wakes; which partition moves. Commits are fenced by generation, as the broker does;
the checkpoints topic is compacted without lag; the panes topic loses what lies before the committed offset.

The workers are the real owners and checkpoints; taps follow the intent commits of stream_monitor/intents.py in a few
lines; the fold is the toy one or the real one, as the world's matter says.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from stream_monitor.entries import Entry, pack
from stream_monitor.interfaces import Catalog
from stream_monitor.outputs import Output
from stream_monitor.worker.owners import Fold, Owner, Span
from tests.worker.process import NoCatalog
from tests.worker.toy import FOLD, block

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

    number: int
    events: list[Any] = field(default_factory=list)
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
    owner: Owner[Any] | None = None


class Matter(Protocol):
    """What flows: events, the blocks they are counted into, the fold, and what its state must be at the end."""

    fold: Fold[Any]
    catalog: Catalog

    def first(self) -> list[Entry]:
        """What every log begins with."""

    def events(self, random: random.Random, source: Source) -> list[Any]:
        """The next few events of a source."""

    def block(self, source: Source, intent: Intent) -> Entry:
        """The block of an intent: a function of that and of the events."""

    def check(self, world: World, partition: Partition) -> str:
        """What is wrong with a partition whose owner has folded everything; ""."""


class Sums:
    """The toy fold: numbers added up by key."""

    fold = FOLD
    catalog: Catalog = NoCatalog()

    def first(self) -> list[Entry]:
        return []

    def events(self, random: random.Random, source: Source) -> list[Any]:
        return [(f"k{random.randrange(5)}", random.randint(-3, 3))] * random.randint(1, 3)

    def block(self, source: Source, intent: Intent) -> Entry:
        adds: dict[str, int] = defaultdict(int)
        for key, value in source.events[intent.start : intent.to]:
            adds[key] += value
        return block(f"s{source.number}", intent.n, intent.start, intent.to, adds)

    def check(self, world: World, partition: Partition) -> str:
        oracle: dict[str, int] = defaultdict(int)
        for source in world.sources:
            for key, value in source.events:
                oracle[key] += value
        expected = {k: v for k, v in oracle.items() if v}
        assert partition.owner is not None
        totals = partition.owner.state.totals
        return "" if totals == expected else f"the totals are {totals}, the oracle's {expected}"


Steps = Iterator[None]
WorkerOf = Callable[["World", Partition, int], Steps]
TapOf = Callable[["World", Source, int], Steps]
WorldOf = Callable[[int], "World"]


class World:
    """Everything that survives a process, and the processes."""

    def __init__(
        self, seed: int, worker: WorkerOf | None = None, tap: TapOf | None = None, matter: Matter | None = None
    ) -> None:
        self.random = random.Random(seed)
        self.matter: Matter = matter or Sums()
        self.sources = [Source(i) for i in range(2)]
        self.partitions = [Partition(i, log=[pack(e) for e in self.matter.first()]) for i in range(2)]
        self.published: dict[tuple[int, str, str, int], Output] = {}
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

    def publish(self, partition: Partition, output: Output) -> None:
        """One id and revision, one content, whoever puts it out."""
        place = (partition.number, output.kind, output.id, output.revision)
        before = self.published.setdefault(place, output)
        if before is not output and msgspec.json.encode(before) != msgspec.json.encode(output):
            raise WrongError(f"{place} has two contents")

    def catalog(self) -> Catalog:
        """That of a process that begins now."""
        return self.matter.catalog

    def withdraw(self, id: str) -> None:
        """A reference is taken back from all processes."""

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
            source = self.random.choice(self.sources)
            source.events += self.matter.events(self.random, source)
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
        read: dict[int, int] = {}  # source -> number of the first block after its last event
        for _ in range(10_000):
            for source in self.sources:
                if source.committed is None or source.committed.n <= read.get(source.number, source.committed.n):
                    self._one(source)  # the next intent says that the last block is published
                if source.committed is not None and source.committed.to == len(source.events):
                    read.setdefault(source.number, source.committed.n)
            for partition in self.partitions:
                self._one(partition)
            if self._quiet(read):
                for partition in self.partitions * 50:
                    self._one(partition)  # the outputs of the last entries
                return
        raise WrongError("it never comes to rest")

    def _quiet(self, read: dict[int, int]) -> bool:
        taps = all(s.committed is not None and s.committed.n > read.get(s.number, s.committed.n) for s in self.sources)
        return taps and all(p.owner is not None and p.owner.at == len(p.log) for p in self.partitions)

    def _check(self) -> None:
        for partition in self.partitions:
            assert partition.owner is not None
            stopped = partition.owner.state.stopped
            wrong = f"stopped: {stopped}" if stopped else self.matter.check(self, partition)
            if wrong:
                raise WrongError(f"partition {partition.number}: {wrong}")


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
    data = pack(world.matter.block(source, intent))
    for partition in world.random.sample(world.partitions, len(world.partitions)):
        partition.log.append(data)
        yield


def honest_worker(world: World, partition: Partition, generation: int) -> Steps:
    """The order of workers.py: outputs, segment, head, commit, tombstones."""
    owner = new_owner(world, partition)
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
            disused = owner.state.disused
            if checkpoint.full:
                for key in owner.superseded():
                    yield
                    world.write(partition, key, None)
            for id in disused:
                yield
                world.withdraw(id)
            owner.state.withdrawn(disused)
        elif owner.at < len(partition.log):
            folded += 1
            yield from fold_one(world, partition, owner)


def new_owner(world: World, partition: Partition) -> Owner[Any]:
    """As after an assignment: from what is in the topics now."""
    owner = Owner(
        world.matter.fold,
        world.catalog(),
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


def fold_one(world: World, partition: Partition, owner: Owner[Any]) -> Steps:
    """One entry, and its outputs one by one."""
    if owner.at < partition.begin:
        return  # a zombie whose log has gone on without it
    for output in owner.step(owner.at, owner.read(partition.log[owner.at])):
        yield
        world.publish(partition, output)

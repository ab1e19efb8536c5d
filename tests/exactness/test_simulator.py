"""Thousands of bad days, and proof that the simulator would have noticed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from stream_monitor.config import Model
from stream_monitor.entries import Bundle, Entry, partition_of
from stream_monitor.entries import Source as Origin
from stream_monitor.fold.fold import State, step
from stream_monitor.interfaces import Catalog
from stream_monitor.moments import epoch_ms
from stream_monitor.outputs import Output
from stream_monitor.worker import checkpoints
from stream_monitor.worker.owners import Fold
from tests.exactness import simulator
from tests.exactness.simulator import Intent, Partition, Source, Steps, World, WrongError
from tests.fold.makers import MODEL, Event, Run, panes
from tests.worker.toy import Head, ToyState

SCHEDULES = 2_400
REAL_SCHEDULES = 100
STEPS = 350


@pytest.mark.parametrize("part", range(3))
def test_every_schedule_gives_the_oracle(part: int) -> None:
    """Crashes, frozen owners that wake and write, retention and compaction without lag: states equal, overlaps 0."""
    for seed in range(part * SCHEDULES // 3, (part + 1) * SCHEDULES // 3):
        try:
            World(seed).run(STEPS)
        except WrongError as wrong:
            raise AssertionError(f"schedule {seed}: {wrong}") from wrong


def test_every_schedule_gives_the_oracle_s_windows() -> None:
    """The same with the real fold: the last revision of every window counts each event once."""
    for seed in range(REAL_SCHEDULES):
        try:
            World(seed, matter=Windows()).run(STEPS)
        except WrongError as wrong:
            raise AssertionError(f"schedule {seed}: {wrong}") from wrong


class Windows:
    """The real fold over a model with one column, in windows of 10 s; events come about one a second."""

    def __init__(self, model: Model = MODEL) -> None:
        self.fold: Fold[Any] = Fold(empty=State.empty, step=step, restore=State.restore)
        self._run = Run(model=model)
        self.catalog: Catalog = self._run.catalog

    def first(self) -> list[Entry]:
        return [self._run.config()]

    def events(self, random: random.Random, source: Source) -> list[Any]:
        now = len(source.events) * 1_000
        return [Event(at=now + random.randint(0, 3_000), right=random.random() < 0.5, partition=source.number)]

    def block(self, source: Source, intent: Intent) -> Entry:
        events = source.events[intent.start : intent.to]
        return Bundle(
            source=Origin("t", "id", source.number, 1),
            n=intent.n,
            from_=intent.start,
            to=intent.to,
            part=0,
            parts=1,
            watermark_ms=max((e.at for e in source.events[: intent.to]), default=None),
            idle=False,
            partitions=2,
            config="c",
            at_ms=intent.n * 1_000,
            panes=panes(events, {i: intent.start + i for i in range(len(events))}),
            dead={},
        )

    def check(self, world: World, partition: Partition) -> str:
        times = [[e.at for e in source.events] for source in world.sources]
        if not all(times) or partition.number != partition_of("m", len(world.partitions)):
            return ""
        until = min(map(max, times))
        expected = Counter(at // 10_000 * 10_000 for of in times for at in of)
        last: dict[str, Output] = {}
        for (number, kind, _, _), output in world.published.items():
            if number == partition.number and kind == "window":
                start = output.body["start"]
                if start not in last or last[start].revision < output.revision:
                    last[start] = output
        found = {epoch_ms(start): output.body["rows"] for start, output in last.items()}
        closed = {start: n for start, n in expected.items() if start + 10_000 <= until}
        return "" if found == {**dict.fromkeys(found, 0), **closed} else f"the windows are {found}, not {closed}"


def test_schedules_are_bad_enough() -> None:
    """They contain what they are for: zombies that write, owners that take over from others' checkpoints."""
    worlds = [World(seed) for seed in range(30)]
    for world in worlds:
        world.run(STEPS)
    generations = [p.generation for w in worlds for p in w.partitions]
    owners = [len({msgspec.msgpack.decode(k)[2] for k in p.checkpoints}) for w in worlds for p in w.partitions]
    assert sum(generations) / len(generations) > 4
    assert sum(o > 1 for o in owners) > 10


# -- versions that are wrong


def recutting_tap(world: World, source: Source, generation: int) -> Steps:
    """Remembers where it was, not how it had cut: what it makes again may be longer."""
    last = source.committed
    intent = Intent(last.n - 1, last.start, last.start) if last else Intent(0, 0, 0)
    while True:
        to = min(len(source.events), intent.to + world.random.randint(0, 4))
        intent = Intent(intent.n + 1, intent.to, to)
        yield
        if source.generation != generation:
            return
        source.committed = intent
        yield
        yield from simulator.publish_block(world, source, intent)


def publishing_first_tap(world: World, source: Source, generation: int) -> Steps:
    """Publishes the block, then commits."""
    intent = source.committed or Intent(0, 0, 0)
    while True:
        to = min(len(source.events), intent.to + world.random.randint(0, 4))
        intent = Intent(intent.n + 1, intent.to, to)
        yield
        yield from simulator.publish_block(world, source, intent)
        if source.generation != generation:
            return
        source.committed = intent


def head_first_worker(world: World, partition: Partition, generation: int) -> Steps:
    """Commits before the checkpoint is there."""
    owner = simulator.new_owner(world, partition)
    partition.owner = owner
    while True:
        yield
        if owner.at < len(partition.log):
            yield from simulator.fold_one(world, partition, owner)
        if world.random.random() < 0.25:
            checkpoint = owner.checkpoint()
            if partition.generation != generation:
                return
            partition.committed = max(partition.committed or 0, checkpoint.at)
            for key, value in (*checkpoint.segment, checkpoint.head):
                yield
                world.write(partition, key, value)
            owner.written(checkpoint)


def sweeping_worker(world: World, partition: Partition, generation: int) -> Steps:
    """Tombstones everything that is older than its full checkpoint, known to it or not, confirmed or not."""
    owner = simulator.new_owner(world, partition)
    partition.owner = owner
    folded = 0
    while True:
        yield
        if folded and world.random.random() < 0.25:
            folded = 0
            checkpoint = owner.checkpoint()
            for key, value in (*checkpoint.segment, checkpoint.head):
                yield
                world.write(partition, key, value)
            owner.written(checkpoint)
            if checkpoint.full:
                mine = {checkpoint.head[0], *(key for key, _ in checkpoint.segment)}
                for key in [k for k in partition.checkpoints if k not in mine]:
                    yield
                    world.write(partition, key, None)
            if partition.generation != generation:
                return
            partition.committed = max(partition.committed or 0, checkpoint.at)
        elif owner.at < len(partition.log):
            folded += 1
            yield from simulator.fold_one(world, partition, owner)


class Latest:
    """One record per key, rewritten in place; each says of which offset it is."""

    def __init__(self, partition: Partition) -> None:
        self.state = ToyState.empty(partition.number, 2)
        self.at = 0
        records: dict[bytes, bytes] = {}
        for key, value in partition.checkpoints.items():
            at, data = msgspec.msgpack.decode(value, type=tuple[int, bytes])
            if key == b"head":
                self.state.head_state = msgspec.msgpack.decode(data, type=Head)
            else:
                records[key] = data
            self.at = max(self.at, at)  # the highest offset wins
        self.state.totals = {k.decode(): msgspec.msgpack.decode(d, type=int) for k, d in records.items()}


def last_write_wins_worker(world: World, partition: Partition, generation: int) -> Steps:
    """State without segments and heads: whatever was written last under a key is its value."""
    latest = Latest(partition)
    owner = simulator.new_owner(world, Partition(partition.number, log=partition.log))
    owner.state, owner.at = latest.state, latest.at
    partition.owner = owner
    while True:
        yield
        if owner.at < len(partition.log):
            yield from simulator.fold_one(world, partition, owner)
        if world.random.random() < 0.25:
            state = owner.state
            for key, value in {**state.changed(), b"head": state.head()}.items():
                yield
                world.write(partition, key, None if value is None else msgspec.msgpack.encode((owner.at, value)))
            state.mark()
            if partition.generation != generation:
                return
            partition.committed = max(partition.committed or 0, owner.at)


@pytest.mark.parametrize(
    "worker", [head_first_worker, sweeping_worker, last_write_wins_worker], ids=lambda worker: str(worker.__name__)
)
def test_a_wrong_worker_is_found_out(worker: simulator.WorkerOf) -> None:
    assert _found_out(lambda seed: World(seed, worker=worker))


@pytest.mark.parametrize("tap", [recutting_tap, publishing_first_tap], ids=lambda tap: str(tap.__name__))
def test_a_wrong_tap_is_found_out(tap: simulator.TapOf) -> None:
    assert _found_out(lambda seed: World(seed, tap=tap))


def test_torn_heads_would_be_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recovery that takes a head without looking whether its segments are there."""

    class Careless(checkpoints.Merged):
        def items(self) -> Iterator[tuple[bytes, bytes]]:
            return super().items() if super().are_whole() else iter(())

        def are_whole(self) -> bool:
            return True

    monkeypatch.setattr(checkpoints, "Merged", Careless)
    assert _found_out(World)


def _found_out(world: simulator.WorldOf) -> bool:
    for seed in range(300):
        try:
            world(seed).run(STEPS)
        except WrongError:
            return True
    return False

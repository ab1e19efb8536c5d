"""The broker in memory: topics, one consumer group and publishers, with a hook at every call for faults.

It passes the same tests as connectors/kafka.py (test_brokers.py). Membership is harsher than a real group's: a new
generation is valid at once, whether or not the old members have heard of it.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from stream_monitor.brokers import Letter, Partition, Polled
from stream_monitor.errors import Fenced, Unreachable
from stream_monitor.intents import METADATA_BYTES, Look

Hook = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Record:
    """A message as confluent-kafka gives it."""

    at: int
    body: bytes | None
    name: bytes | None = None
    heads: tuple[tuple[str, bytes | None], ...] = ()
    time_ms: int = 0

    def __len__(self) -> int:
        return len(self.body or b"")

    def value(self) -> bytes | None:
        return self.body

    def key(self) -> bytes | None:
        return self.name

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return list(self.heads) or None

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return (1, self.time_ms)


@dataclass(slots=True)
class Log:
    """One partition. Offsets may have holes; `high` is the next offset to be given."""

    records: list[Record] = field(default_factory=list)
    low: int = 0
    high: int = 0

    def append(
        self,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        time_ms: int = 0,
    ) -> int:
        self.records.append(Record(self.high, value, key, tuple(headers), time_ms))
        self.high += 1
        return self.high - 1

    def skip(self, offsets: int = 1) -> None:
        """Offsets without a record, as transaction markers and compaction leave them."""
        self.high += offsets

    def expire(self, low: int) -> None:
        self.low = low
        self.high = max(self.high, low)
        self.records = [r for r in self.records if r.at >= low]


class Cluster:
    """Topics and what one group has committed in them."""

    def __init__(self) -> None:
        self.logs: dict[str, list[Log]] = {}
        self.ids: dict[str, str] = {}
        self.committed: dict[Partition, tuple[int, str]] = {}
        self.generation = 0
        self.members: list[Member] = []
        self.plan: dict[Member, list[Partition]] = {}
        self.made = 0

    def create(self, topic: str, partitions: int) -> None:
        self.made += 1
        self.logs[topic] = [Log() for _ in range(partitions)]
        self.ids[topic] = f"id{self.made}"

    def delete(self, topic: str) -> None:
        del self.logs[topic], self.ids[topic]

    def log(self, partition: Partition) -> Log:
        return self.logs[partition[0]][partition[1]]

    def rebalance(self) -> None:
        """A new generation, by turns in order of the partitions."""
        self.generation += 1
        self.plan = {m: [] for m in self.members}
        for i, p in enumerate(sorted((t, n) for t, logs in self.logs.items() for n in range(len(logs)))):
            takers = [m for m in self.members if p[0] in m.topics]
            if takers:
                self.plan[takers[i % len(takers)]].append(p)

    def expel(self, member: Member) -> None:
        """Its session timed out. It hears of it when it polls."""
        if member in self.members:
            self.members.remove(member)
            self.rebalance()


class Member:
    """Group and Logs over a Cluster."""

    def __init__(self, cluster: Cluster, hook: Hook = lambda call: None) -> None:
        self.cluster, self.hook = cluster, hook
        self.topics: tuple[str, ...] = ()
        self.generation = -1
        self.positions: dict[Partition, int] = {}
        self.ended: dict[Partition, int] = {}
        self.held: frozenset[Partition] = frozenset()
        self.heard: dict[Partition, int] = {}  # the ends of logs; nothing is heard of one that is held

    # Group

    def join(
        self,
        topics: Sequence[str],
        assigned: Callable[[Sequence[Partition]], Mapping[Partition, int]],
        revoked: Callable[[Sequence[Partition]], None],
    ) -> None:
        self.topics, self._assigned, self._revoked = tuple(topics), assigned, revoked
        self.cluster.members.append(self)
        self.cluster.rebalance()

    def follow(self, topics: Sequence[str]) -> None:
        self.topics = tuple(topics)
        self.cluster.rebalance()

    def names(self) -> set[str]:
        self.hook("names")
        return set(self.cluster.logs)

    def poll(self, records: int, seconds: float) -> Polled:
        self.hook("poll")
        if self.generation != self.cluster.generation or self not in self.cluster.members:
            self._revoked(list(self.positions))
            self.positions, self.ended, self.held = {}, {}, frozenset()
            if self not in self.cluster.members:
                self.cluster.members.append(self)
                self.cluster.rebalance()
            self.generation = self.cluster.generation
            mine = self.cluster.plan[self]
            self.hook("assign")
            if mine and self.generation == self.cluster.generation:
                self.positions = dict(self._assigned(mine))
            return Polled()
        found: dict[Partition, list[Record]] = defaultdict(list)
        ends, lost = {}, set()
        for p, position in self.positions.items():
            if p[0] not in self.cluster.logs or p in self.held:
                continue
            log = self.cluster.log(p)
            self.heard[p] = log.high
            if not log.low <= position <= log.high:
                lost.add(p)
                continue
            room = records - sum(map(len, found.values()))
            some = [r for r in log.records if r.at >= position][:room]
            if some:
                found[p] = some
                self.positions[p] = some[-1].at + 1
            if not log.records or log.records[-1].at < self.positions[p]:
                self.positions[p] = log.high
                if self.ended.get(p) != log.high:
                    self.ended[p] = ends[p] = log.high
        return Polled(found, ends, frozenset(lost))

    def hold(self, partitions: frozenset[Partition]) -> None:
        self.held = partitions

    def commit(self, offsets: Mapping[Partition, tuple[int, str]]) -> None:
        generation = self.generation
        self.hook("before commit")
        if generation != self.cluster.generation or self not in self.cluster.members:
            raise Fenced("another generation")
        if any(len(metadata.encode()) > METADATA_BYTES for _, metadata in offsets.values()):
            raise Fenced("the metadata is too long")
        self.cluster.committed.update(offsets)
        self.hook("after commit")

    def rejoin(self) -> None:
        self.cluster.expel(self)

    # Logs

    def look(self, partitions: Sequence[Partition]) -> Mapping[Partition, Look]:
        self.hook("look")
        out = {}
        for p in partitions:
            if p[0] in self.cluster.logs:
                offset, metadata = self.cluster.committed.get(p, (None, None))
                log = self.cluster.log(p)
                out[p] = Look(
                    topic_id=self.cluster.ids[p[0]],
                    partitions=len(self.cluster.logs[p[0]]),
                    low=log.low,
                    high=log.high,
                    committed=offset,
                    metadata=metadata,
                )
        return out

    def identify(self, names: Sequence[str]) -> Mapping[str, tuple[str, int]]:
        self.hook("identify")
        return {n: (self.cluster.ids[n], len(self.cluster.logs[n])) for n in names if n in self.cluster.logs}

    def at(self, partition: Partition, time_ms: int) -> int | None:
        return next((r.at for r in self.cluster.log(partition).records if r.time_ms >= time_ms), None)

    def high(self, partition: Partition) -> int | None:
        return self.heard.get(partition) if partition[0] in self.cluster.logs else None


class Post:
    """Publisher into a Cluster; what is sent arrives at once, acknowledged or not."""

    def __init__(self, cluster: Cluster, hook: Hook = lambda call: None) -> None:
        self.cluster, self.hook = cluster, hook
        self._failed = False

    def send(
        self,
        topic: str,
        partition: int | None,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        shorter: Letter | None = None,
    ) -> None:
        try:
            self.hook("before send")
            self.cluster.log((topic, partition or 0)).append(value, key, headers)
            self.hook("after send")
        except Unreachable:
            self._failed = True

    def settle(self, seconds: float, stop: threading.Event) -> None:
        failed, self._failed = self._failed, False
        self.hook("settle")
        if failed:
            raise Unreachable("not acknowledged")


class Later(Executor):
    """Does what it is given when told to, some of it, in the caller's thread."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, lambda: fn(*args, **kwargs)))
        return future

    def work(self, tasks: int) -> None:
        for future, call in self.waiting[:tasks]:
            future.set_result(call())
        del self.waiting[:tasks]

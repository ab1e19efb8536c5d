"""What the tap needs of a broker: membership in a group, a look at logs, a way to publish.

Implemented by connectors/kafka.py, and by a twin in memory that passes the same tests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from stream_monitor.intents import Look

Partition = tuple[str, int]  # topic, partition


class Message(Protocol):
    """A record as a broker's client gives it. What comes in numbers comes as Runs (runs.py) of them."""

    def __len__(self) -> int:
        """Bytes of the value."""

    def value(self) -> bytes | None: ...
    def key(self) -> bytes | None: ...
    def headers(self) -> Sequence[tuple[str, bytes | None]] | None: ...
    def offset(self) -> int: ...
    def timestamp(self) -> tuple[int, int]:
        """(kind, epoch ms); kind 0: there is none."""


@dataclass(frozen=True, slots=True)
class Polled:
    """What a poll brought: records by partition in offset order, positions at which a log ended, partitions whose
    position is no longer in their log."""

    records: Mapping[Partition, Sequence[Any]] = field(default_factory=dict)  # Runs, or other sequences of Message
    ends: Mapping[Partition, int] = field(default_factory=dict)
    lost: frozenset[Partition] = frozenset()


class Group(Protocol):
    """Membership in the consumer group of the taps. Every call may raise Unreachable."""

    def join(
        self,
        topics: Sequence[str],
        assigned: Callable[[Sequence[Partition]], Mapping[Partition, int]],
        revoked: Callable[[Sequence[Partition]], None],
    ) -> None:
        """Become a member. `assigned` says from where each partition is read; both are called inside `poll` only."""

    def follow(self, topics: Sequence[str]) -> None:
        """Read these topics from now on, no others; what is new in them comes as an assignment. Only after `join`."""

    def poll(self, records: int, seconds: float) -> Polled:
        """At most so many records, after at most so many seconds; also keeps the membership alive."""

    def hold(self, partitions: frozenset[Partition]) -> None:
        """Read nothing from these partitions until told otherwise or assigned anew; all others are read."""

    def commit(self, offsets: Mapping[Partition, tuple[int, str]]) -> None:
        """Commit offsets with metadata, in one request, and wait. Fenced: none of them was committed.

        CommitUnknown: any of them may have been."""

    def rejoin(self) -> None:
        """Leave and join again: what this member sent before can no longer be accepted afterwards."""


class Logs(Protocol):
    """What the broker knows of the source topics. Every call may raise Unreachable."""

    def look(self, partitions: Sequence[Partition]) -> Mapping[Partition, Look]:
        """Each partition as it is now, with the group's commit; a topic that does not exist is left out."""

    def identify(self, names: Sequence[str]) -> Mapping[str, tuple[str, int]]:
        """(id, number of partitions) of each topic that exists."""

    def names(self) -> Collection[str]:
        """All topics."""

    def at(self, partition: Partition, time_ms: int) -> int | None:
        """The first offset whose timestamp is not before the time; None if there is none."""

    def high(self, partition: Partition) -> int | None:
        """Where the log ended when it was last heard of; never blocks."""


class Letter(NamedTuple):
    """What a message says, wherever it is sent."""

    value: bytes | None
    key: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class Publisher(Protocol):
    """Writes to the service's own topics, in order per partition."""

    def send(
        self,
        topic: str,
        partition: int | None,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        shorter: Letter | None = None,
    ) -> None:
        """Hand over a message; None lets the key choose the partition. `shorter` is sent where it is too large."""

    def settle(self, seconds: float, stop: threading.Event) -> None:
        """Wait until all that was sent is acknowledged. Unreachable if some was not, in that time or before `stop`."""

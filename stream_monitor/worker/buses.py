"""What a worker needs of a broker, of a shared catalog and of telemetry, and the names and paces it lives by."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from stream_monitor.config import Config
from stream_monitor.interfaces import Catalog
from stream_monitor.worker import checkpoints

TABLE: Final = "checkpoints"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicInfo:
    """What the broker says of a topic. Where topics have no ids (the embedded broker), the id is the name."""

    id: str
    partitions: int


Describe = Callable[[str], Awaitable[TopicInfo | None]]  # None: there is no such topic; raises without a broker


def group(config: Config) -> str:
    """The workers' consumer group, which is Faust's app id."""
    return f"{config.kafka.group}-worker"


def checkpoints_topic(config: Config) -> str:
    """The compacted topic of the checkpoints: as many partitions as the panes topic, the name Faust gives a table's."""
    return f"{group(config)}-{TABLE}-changelog"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One message as it came, in a generation of the group; `event` is the bus's own, to acknowledge it by."""

    topic: str
    partition: int
    offset: int
    generation: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    event: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One message to write; value None is a tombstone, partition None is chosen by the key."""

    topic: str
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None


class Bus(Protocol):
    """The broker, as one member of the workers' group sees it."""

    @property
    def generation(self) -> int:
        """Of the group, now."""

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Write all; returns once all are acknowledged. Unreachable: try again; StateError: it never will work."""

    def ack(self, arrival: Arrival) -> None:
        """The entry need not come again; in offset order."""

    async def commit(self, partition: int, offset: int) -> bool:
        """Commit for the panes topic; whether the group has confirmed it for us as a member."""

    def forget(self, keys: Sequence[bytes]) -> None:
        """What was read of the checkpoints topic under these keys is needed no more: the topic has it no more."""

    async def seek(self, partition: int, offset: int) -> None:
        """Read the partition of the panes topic on from this offset."""


class Announcing(Catalog, Protocol):
    """A catalog shared with other processes, by the compacted topics."""

    async def catch_up(self) -> None:
        """Read what has been published up to now."""

    async def announce(self, kind: str, id: str, model: str = "") -> None:
        """Publish the "layout" (from now on the model's) or "reference" with that id; returns once it is written."""

    async def withdraw(self, ids: Sequence[str]) -> None:
        """Take references back that no state names, nor any that may be recovered; returns once that is written."""


class Watching(Protocol):
    """What telemetry is told."""

    def window_closed(self, model: str, delay_seconds: float) -> None:
        """A window's document was stored so long after the window's end."""

    def verdict_given(self, model: str, delay_seconds: float) -> None:
        """A verdict was acknowledged so long after the block that caused it was begun."""


class Unwatched:
    """Telemetry that does not listen."""

    def window_closed(self, model: str, delay_seconds: float) -> None:
        pass

    def verdict_given(self, model: str, delay_seconds: float) -> None:
        pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often checkpoints are made; `full_every`-th ones hold all records. All else in seconds."""

    checkpoint_seconds: float = 10.0
    checkpoint_entries: int = 2_000
    full_every: int = checkpoints.EVERY
    stall_seconds: float = 30.0  # lag or recovery without progress for so long ends the process
    start_seconds: float = 60.0  # the same, before the first assignment
    probe_seconds: float = 3.0  # between two questions to the broker
    stop_seconds: float = 9.0  # for an orderly stop: a process that has saved all and hangs is ended then
    die_seconds: float = 14.0  # from the beginning of the stop to the hard end of one that could not save all

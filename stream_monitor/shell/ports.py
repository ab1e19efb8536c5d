"""What a process has to the outside: one port for each thing it speaks to, which is closed when the process ends."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from stream_monitor.brokers import Group, Logs, Publisher
from stream_monitor.config import Config
from stream_monitor.interfaces import CommandLog, LabelStore, Outbox, Schemas, Sink, StatusStore, Trigger
from stream_monitor.shell.starts import Shared


class Closes(Protocol):
    """Lets go of what it holds."""

    def close(self) -> None: ...


class ClosesAsync(Protocol):
    """Lets go of what it holds."""

    async def close(self) -> None: ...


class Membership(Group, Logs, Closes, Protocol):
    """A member of the taps' group, which also knows the logs."""


class ClosingPublisher(Publisher, Closes, Protocol):
    """A publisher that can be let go."""


class ClosingCommands(CommandLog, Closes, Protocol):
    """A command log that can be let go."""


class ClosingLabels(LabelStore, Closes, Protocol):
    """A label store that can be let go."""


class ClosingSchemas(Schemas, Closes, Protocol):
    """A schema registry that can be let go."""


class ClosingOutbox(Outbox, ClosesAsync, Protocol):
    """An outbox that can be let go."""


class ClosingStore(StatusStore, ClosesAsync, Protocol):
    """A status store that can be let go."""


class FollowedCatalog(Shared, Closes, Protocol):
    """A catalog that reads what others publish."""

    counted_partitions: set[int]  # numbers of partitions of the panes topic that configurations so far were made with

    def load(self) -> None:
        """Read up to now. Raises Unreachable."""

    def follow(self) -> None:
        """Go on reading in a thread."""

    async def catch_up(self) -> None:
        """Read up to now."""

    async def announce(self, kind: str, id: str, model: str = "") -> None:
        """Publish a layout or a reference."""

    async def withdraw(self, ids: Sequence[str]) -> None:
        """Take references back that nothing names any more."""


class Ports(Protocol):
    """The outside of a process. What connects may raise Unreachable."""

    @property
    def config(self) -> Config:
        """With what the broker decides: the partitions of an embedded one."""

    @property
    def loops(self) -> Sequence[str]:
        """Modules with compiled loops that a tap needs, which their `warm` makes ready."""

    @property
    def brokers(self) -> str: ...
    @property
    def embedded(self) -> bool: ...
    @property
    def store(self) -> ClosingStore: ...

    def create_topics(self, compacted: Sequence[str]) -> None:
        """Those of the contract, and compacted ones with as many partitions as the panes topic."""

    def check_group(self, group: str, topic: str) -> None:
        """StateError if we may not be a member of a group that reads a topic."""

    def identify(self, topic: str) -> tuple[str, int] | None: ...
    def names(self) -> Collection[str]:
        """All topics."""

    def catalog(self) -> FollowedCatalog: ...
    def commands(self, partitions: int) -> ClosingCommands: ...
    def group(self) -> Membership: ...
    def publisher(self) -> ClosingPublisher: ...
    def labels(self) -> ClosingLabels: ...
    def schemas(self) -> ClosingSchemas | None: ...
    def outbox(self) -> ClosingOutbox: ...
    def targets(self, config: Config) -> Mapping[str, Sink | Trigger]: ...
    def close(self) -> None: ...

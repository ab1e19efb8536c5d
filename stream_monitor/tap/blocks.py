"""One source partition in the hands of a tap: what has been read, which block is under way.

    resumed ---------------> announced -> complete -> applied -+-> collecting -> cut -> announced -> ...
    opened -> collecting -> cut ---^                           |
                                                               +-> (silence: an empty block, cut and announced too)

Everything here can be had again from the committed intent and the log.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stream_monitor.brokers import Message, Partition, Polled
from stream_monitor.entries import PaneRecord
from stream_monitor.intents import FIRST_BLOCK, Intent, Look, Opening
from stream_monitor.runs import Run, Runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What counting a block gave: a pure function of its intent and its events."""

    panes: Sequence[PaneRecord] = ()
    dead: Sequence[tuple[int, str, str]] = ()  # (index of the message, reason, detail), by index
    late: Mapping[str, int] = field(default_factory=dict)  # model -> events
    events: Mapping[str, int] = field(default_factory=dict)  # model -> valid events, late ones included
    max_event_ms: int | None = None  # the source's greatest event time after the block
    watermark_ms: int | None = None
    idle: bool = False
    hole: int = 0  # offsets at the block's end without a record, with those before it where it has none at all
    told: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # model -> what its panes do not say
    home: str  # the model whose worker partition is told of dead letters
    details: Mapping[str, int] = field(default_factory=dict)  # further counts, for the status only


class Counting(Protocol):
    """Decodes and counts the events of a block."""

    def count(self, intent: Intent, partition: Partition, messages: Sequence[Message]) -> Counted:
        """The counts of the block. Unreachable: a store or a registry does not answer; made again after a while."""

    def config_id(self) -> str:
        """The configuration for new blocks, published so that any tap can count them again."""

    def layouts(self, topic: str) -> dict[str, str]:
        """The layouts for new blocks of a topic: model -> layout id. Asked at block borders only."""

    def events_a_record(self, topic: str) -> float:
        """As how many events a record of a topic is to be taken until some were counted; 1 where it is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a block that is cut now is to be counted with."""

    now_ms: int
    partitions: int
    part_bytes: int
    config: str
    layouts: dict[str, str]
    events: float = math.inf  # the most that a block may have, but for those of one record


@dataclass(slots=True, kw_only=True)
class Assigned:
    """A partition this tap owns."""

    partition: Partition
    topic_id: str
    epoch: int
    partitions_first: int
    n: int  # of the last block published whole; FIRST_BLOCK - 1 before the first
    to: int  # where the next block begins
    max_event_ms: int | None
    active_ms: int
    at_ms: int
    alarm: str = ""
    position: int  # everything below it in the log has been read
    intent: Intent | None = None  # committed, its block not yet acknowledged
    runs: list[Run] = field(default_factory=list)  # read, in no applied block
    events: int = 0  # in them
    bytes: int = 0  # of their values
    settled: bool = False  # the last block was empty: the committed offset is where it ended
    watermark_ms: int | None = None
    idle: bool = False
    committed: int | None = None
    hole: int = 0  # offsets right before `to` without a record
    waiting: str = ""  # why its announced block cannot be counted now; other partitions go on
    again_at: float = 0.0  # by the tap's clock: when that is tried again
    end: int = 0  # of its log, as asked while it waits: nothing is read of it then
    each: float = 1.0  # events in a record, as the last block had them: one may be a table

    @classmethod
    def resumed(cls, partition: Partition, intent: Intent) -> Assigned:
        """With an intent read back: its block is to be made again first."""
        return cls(
            partition=partition,
            topic_id=intent.topic_id,
            epoch=intent.epoch,
            partitions_first=intent.partitions_first,
            n=intent.n - 1,
            to=intent.from_,
            max_event_ms=intent.max_event_ms,
            active_ms=intent.active_ms,
            at_ms=intent.at_ms,
            alarm=intent.alarm,
            position=intent.from_,
            intent=intent,
            committed=intent.from_,
            hole=intent.hole,
        )

    @classmethod
    def opened(cls, partition: Partition, opening: Opening, look: Look, offset: int, now_ms: int) -> Assigned:
        """At the beginning of an epoch."""
        return cls(
            partition=partition,
            topic_id=look.topic_id,
            epoch=opening.epoch,
            partitions_first=look.partitions,
            n=FIRST_BLOCK - 1,
            to=offset,
            max_event_ms=None,
            active_ms=now_ms,
            at_ms=now_ms,
            alarm=opening.alarm,
            position=offset,
        )

    def opening(self) -> bool:
        """Whether its epoch has no block yet, so that where it began is not committed."""
        return self.n < FIRST_BLOCK and self.intent is None

    def take(self, messages: Sequence[Message]) -> bool:
        """Add messages read. False if the log went back under us, as it does when a topic is deleted and made again."""
        for run in Runs.of(messages).parts:
            if run.offsets[0] < self.position:
                return False
            self._hold([*self.runs, run])
            self.position = int(run.offsets[-1]) + 1
        return True

    def _hold(self, runs: list[Run]) -> None:
        self.runs, self.events, self.bytes = runs, sum(map(len, runs)), sum(run.values.size for run in runs)

    def wants_block(self, now_ms: int, *, idle_after_ms: int, silence_ms: int) -> bool:
        """Whether there is something to say: events, the end of a block, silence, idleness."""
        if self.intent is not None:
            return False
        if self.opening() or self.position > self.to or not self.settled:
            return True
        becomes_idle = not self.idle and now_ms - self.active_ms >= idle_after_ms
        return becomes_idle or now_ms - self.at_ms >= silence_ms

    def cut(self, terms: Terms, *, behind: bool = False) -> Intent:
        """The intent of the next block, which ends at the position; nothing is changed.

        `behind`: the log is known to go on beyond the position, so the source is not idle however long it was silent.
        """
        at_ms, to = max(terms.now_ms, self.at_ms), self._until(terms.events)
        behind = behind or to < self.position
        return Intent(
            topic_id=self.topic_id,
            epoch=self.epoch,
            n=self.n + 1,
            from_=self.to,
            to=to,
            at_ms=at_ms,
            max_event_ms=self.max_event_ms,
            active_ms=at_ms if behind else self.active_ms,
            partitions=terms.partitions,
            partitions_first=self.partitions_first,
            part_bytes=terms.part_bytes,
            config=terms.config,
            layouts=terms.layouts,
            alarm=self.alarm,
            hole=self.hole,
        )

    def _until(self, events: float) -> int:
        """Where a block ends that has so many events, or as many as are there."""
        if self.events * self.each <= events:
            return self.position
        left = max(1, int(events / self.each))
        for run in self.runs:
            if len(run) >= left:
                return int(run.offsets[left - 1]) + 1
            left -= len(run)
        return self.position

    def announced(self, intent: Intent) -> None:
        """Its intent is committed."""
        self.intent, self.committed = intent, intent.from_

    def complete(self) -> bool:
        """Whether all events of the announced block have been read. By position: its last offsets may be holes."""
        return self.intent is not None and self.position >= self.intent.to

    def block(self) -> Runs:
        """The messages of the announced block."""
        return Runs(self._cut()[0])

    def _cut(self) -> tuple[list[Run], list[Run]]:
        """What was read of the announced block, and what was read beyond it."""
        assert self.intent is not None
        inside, beyond = [], []
        for run in self.runs:
            end = int(run.offsets.searchsorted(self.intent.to))
            if end:
                inside.append(run.part(0, end))
            if end < len(run):
                beyond.append(run.part(end, len(run)))
        return inside, beyond

    def applied(self, counted: Counted) -> None:
        """Every message of the announced block is acknowledged."""
        assert self.intent is not None
        intent, (inside, beyond) = self.intent, self._cut()
        if inside:
            self.each = max(1.0, sum(counted.events.values()) / sum(map(len, inside)))
        self.n, self.to, self.at_ms, self.alarm = intent.n, intent.to, intent.at_ms, ""
        self.max_event_ms, self.watermark_ms = counted.max_event_ms, counted.watermark_ms
        self.idle, self.hole = counted.idle, counted.hole
        self.active_ms = intent.at_ms if counted.events else intent.active_ms
        self.settled = intent.from_ == intent.to
        self._hold(beyond)
        self.intent = None


def take(assigned: Mapping[Partition, Assigned], polled: Polled) -> str:
    """Keep what was read; why the group must be joined anew, or ""."""
    for partition, messages in polled.records.items():
        a = assigned.get(partition)
        if a is not None and not a.take(messages):
            return f"{partition[0]}/{partition[1]} went back to offset {messages[0].offset()}"
    for partition, end in polled.ends.items():
        if partition in assigned:
            assigned[partition].position = max(assigned[partition].position, end)
    for topic, number in sorted(polled.lost & assigned.keys()):
        return f"{topic}/{number} has no offset {assigned[topic, number].position} any more"
    return ""


def is_idle(intent: Intent, events: int, idle_after_ms: int) -> bool:
    """Whether the source has been without events for so long, as of the block's own clock."""
    return not events and intent.at_ms - intent.active_ms >= idle_after_ms

"""Checkpoints of one worker partition: segments and heads that are written once and never again.

A segment holds the records that changed since its owner's last segment, cut into messages under keys (at, id, i) with a
random id. A head, under a key (at, id) of its own, names the segments that make a state whole; it is written when they
are acknowledged. `at` is the offset of the next entry to fold. The first checkpoint of an owner, and every `every`-th,
holds all records, so a head names its own owner's segments only.

Why: no key is written twice and no owner needs another's key, so an owner that slept through its own replacement and
goes on can only add what nobody needs. There is nothing to fence and no compaction to wait for.

A full segment is as large as a state on its shelf, so neither is one ever in memory as a whole: records are packed and
unpacked one after the other, and messages wait on shelves.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from stream_monitor.errors import Newer
from stream_monitor.shelves import Shelf
from stream_monitor.worker.segments import Changes, Messages, Records, Torn, changes_in, pieces

MESSAGE_BYTES = 900_000  # under the default message limit of a broker, 1 MB, with its framing
EVERY = 30  # every so many checkpoints one holds everything
ID_BYTES = 12
FORMAT = 2  # of head and segments; an older one is not read but rebuilt, a newer one refused


class Key(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Key of one message in the checkpoints topic; kind "h" is a head (i is 0), "s" a piece of a segment."""

    partition: int
    at: int
    id: bytes
    kind: Literal["h", "s"]
    i: int = 0


class Part(msgspec.Struct, frozen=True, array_like=True):
    """A segment that a head needs: its `pieces` messages have the keys (at, id, "s", 0 ...)."""

    at: int
    id: bytes
    pieces: int


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What a state at offset `at` of the panes topic with that id is made of; the first segment is a full one."""

    at: int
    topic_id: str
    segments: tuple[Part, ...]
    state: bytes  # the fold's own head: what it has applied, watermarks
    format: int = 1  # of a head that says nothing


_KEY = msgspec.msgpack.Decoder(Key)
_HEAD = msgspec.msgpack.Decoder(Head)
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One checkpoint, to be written in this order: all of `segment`, then, when that is acknowledged, `head`."""

    at: int
    full: bool
    segment: Messages
    head: tuple[bytes, bytes]
    part: Part

    @property
    def size_bytes(self) -> int:
        return self.segment.size_bytes + sum(map(len, self.head))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A state that can be made whole from the messages of the topic."""

    at: int
    state: bytes
    records: Records


def by_partition(messages: Mapping[bytes, bytes]) -> dict[int, Mapping[bytes, bytes]]:
    """The messages of the topic, apart by the worker partition their keys name; what is not ours is left out."""
    apart: dict[int, set[bytes]] = {}
    for raw in messages:
        try:
            apart.setdefault(_KEY.decode(raw).partition, set()).add(raw)
        except msgspec.DecodeError:
            continue
    return {partition: _Some(messages, keys) for partition, keys in apart.items()}


class _Some(Mapping[bytes, bytes]):
    """Some of many messages, read when they are asked for."""

    def __init__(self, messages: Mapping[bytes, bytes], keys: set[bytes]) -> None:
        self._messages, self._keys = messages, keys

    def __getitem__(self, key: bytes) -> bytes:
        if key not in self._keys:
            raise KeyError(key)
        return self._messages[key]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def found(messages: Mapping[bytes, bytes], topic_id: str) -> Iterator[Found]:
    """Every whole state of the panes topic with this id, the highest `at` first; `messages` are one partition's.

    What is not ours, is torn or belongs to a panes topic that is no more is passed over. Newer if a later release wrote
    for this topic: what it knows must not be folded over.
    """
    for key in sorted(heads(messages), reverse=True):
        try:
            head = _HEAD.decode(messages[_encode(key)])
        except msgspec.DecodeError:
            continue
        if head.topic_id != topic_id:
            continue
        if head.format > FORMAT:
            raise Newer(
                f"checkpoint {head.at} of partition {key.partition}",
                head.format,
                FORMAT,
                "start the newer release again, or delete the checkpoints topic to have the state rebuilt from the "
                "panes topic as far back as it reaches",
            )
        if head.format != FORMAT:
            continue  # rebuilt
        records = Merged(messages, key.partition, head.segments)
        if records.are_whole():
            yield Found(at=head.at, state=head.state, records=records)


def older_format(messages: Mapping[bytes, bytes]) -> int | None:
    """The format of the highest head that an older release wrote and this one passes over, if there is one."""
    for key in sorted(heads(messages), reverse=True):
        try:
            head = _HEAD.decode(messages[_encode(key)])
        except msgspec.DecodeError:
            continue
        if head.format < FORMAT:
            return head.format
    return None


def heads(messages: Iterable[bytes]) -> list[Key]:
    """The keys of heads among these keys, whatever the heads say."""
    keys = []
    for raw in messages:
        try:
            keys.append(_KEY.decode(raw))
        except msgspec.DecodeError:
            continue
    return [key for key in keys if key.kind == "h"]


class Merged:
    """The records of segments, one after the other: the newest of each name, and none that was deleted."""

    def __init__(self, messages: Mapping[bytes, bytes], partition: int, segments: Sequence[Part]) -> None:
        self._messages = messages
        self._segments = [
            [_encode(Key(partition, part.at, part.id, "s", i)) for i in range(part.pieces)] for part in segments
        ]

    def are_whole(self) -> bool:
        """Whether every message is there, and is what was written."""
        if not all(key in self._messages for keys in self._segments for key in keys):
            return False
        try:
            for keys in self._segments:
                for _ in self._changes(keys):
                    pass
        except Torn:
            return False
        return True

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        newer: set[bytes] = set()
        for left, keys in reversed(list(enumerate(self._segments))):
            for name, record in self._changes(keys):
                if name not in newer and record is not None:
                    yield name, record
                if left:  # none is twice in a segment
                    newer.add(name)

    def _changes(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        return changes_in(self._messages[key] for key in keys)


class Chain:
    """The checkpoints of one owner of one partition, from its assignment on.

    The owner calls `next`, writes what it gets, calls `written`; and after the group has confirmed the commit of that
    offset for this owner, `superseded`. `known` are the keys that were in the topic when the owner got the partition.
    """

    def __init__(self, partition: int, topic_id: str, known: Iterable[bytes] = (), *, every: int = EVERY) -> None:
        self._partition = partition
        self._topic_id = topic_id
        self._known = set(known)
        self._every = every
        self._parts: tuple[Part, ...] = ()
        self._needed: set[bytes] = set()

    @property
    def full_is_due(self) -> bool:
        """Whether the next checkpoint has to hold all records."""
        return not self._parts or len(self._parts) >= self._every

    def next(self, at: int, state: bytes, changes: Changes, *, id: bytes | None = None) -> Checkpoint:
        """The checkpoint at offset `at`; `changes` are all records if `full_is_due`, else those since the last one."""
        full = self.full_is_due
        id = id if id is not None else os.urandom(ID_BYTES)
        shelf = Shelf()
        messages = [shelf.keep(piece) for piece in pieces(changes, MESSAGE_BYTES)]
        part = Part(at, id, len(messages))
        parts = (part,) if full else (*self._parts, part)
        keys = [_encode(Key(self._partition, at, id, "s", i)) for i in range(len(messages))]
        return Checkpoint(
            at=at,
            full=full,
            segment=Messages(keys, messages),
            head=(_encode(Key(self._partition, at, id, "h")), _encode(Head(at, self._topic_id, parts, state, FORMAT))),
            part=part,
        )

    def written(self, checkpoint: Checkpoint) -> None:
        """All messages of the checkpoint are acknowledged."""
        if checkpoint.full:
            self._parts, self._needed = (), set()
        self._parts = (*self._parts, checkpoint.part)
        # Heads between a full checkpoint and the next are needed by nobody, and go with the next full one.
        self._needed.update(checkpoint.segment.keys)
        self._needed.add(checkpoint.head[0])
        self._known |= self._needed

    def superseded(self) -> list[bytes]:
        """Keys this owner knows and its last full checkpoint has made useless; to be called once that is committed.

        Only keys it knows: what another owner has written since is none of its business, whoever is right about the
        partition.
        """
        old = sorted(self._known - self._needed)
        self._known = set(self._needed)
        return old

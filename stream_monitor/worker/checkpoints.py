"""Checkpoints of one worker partition: segments and heads that are written once and never again.

A segment holds the records that changed since its owner's last segment, cut into messages under keys (at, id, i) with a
random id. A head, under a key (at, id) of its own, names the segments that make a state whole; it is written when they
are acknowledged. `at` is the offset of the next entry to fold. The first checkpoint of an owner, and every `every`-th,
holds all records, so a head names its own owner's segments only.

Why: no key is written twice and no owner needs another's key, so an owner that slept through its own replacement and
goes on can only add what nobody needs. There is nothing to fence and no compaction to wait for.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from stream_monitor.errors import Newer

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


Records = dict[bytes, bytes]
Changes = Mapping[bytes, bytes | None]

_KEY = msgspec.msgpack.Decoder(Key)
_HEAD = msgspec.msgpack.Decoder(Head)
_CHANGES = msgspec.msgpack.Decoder(dict[bytes, bytes | None])
_encode = msgspec.msgpack.Encoder().encode


def pieces(changes: Changes, limit: int = MESSAGE_BYTES) -> list[bytes]:
    """The records of a segment, compressed, in messages of at most `limit` bytes; None marks a deletion.

    >>> changes = {b"a": b"1" * 1000, b"b": None}
    >>> join(pieces(changes, limit=16)) == changes
    True
    """
    blob = zlib.compress(_encode(dict(changes)), 1)
    return [blob[i : i + limit] for i in range(0, len(blob), limit)]


def join(messages: Sequence[bytes]) -> dict[bytes, bytes | None]:
    """The records of a segment from its messages."""
    return _CHANGES.decode(zlib.decompress(b"".join(messages)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One checkpoint, to be written in this order: all of `segment`, then, when that is acknowledged, `head`."""

    at: int
    full: bool
    segment: tuple[tuple[bytes, bytes], ...]
    head: tuple[bytes, bytes]
    part: Part

    @property
    def size_bytes(self) -> int:
        return sum(len(k) + len(v) for k, v in (*self.segment, self.head))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A state that can be made whole from the messages of the topic."""

    at: int
    state: bytes
    records: Records


def by_partition(messages: Iterable[tuple[bytes, bytes]]) -> dict[int, dict[bytes, bytes]]:
    """The messages of the topic, apart by the worker partition their keys name; what is not ours is left out."""
    apart: dict[int, dict[bytes, bytes]] = {}
    for raw, value in messages:
        try:
            apart.setdefault(_KEY.decode(raw).partition, {})[raw] = value
        except msgspec.DecodeError:
            continue
    return apart


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
        records = _records(messages, key.partition, head.segments)
        if records is not None:
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


def _records(messages: Mapping[bytes, bytes], partition: int, segments: Sequence[Part]) -> Records | None:
    records: Records = {}
    for part in segments:
        values = [messages.get(_encode(Key(partition, part.at, part.id, "s", i))) for i in range(part.pieces)]
        whole = [value for value in values if value is not None]
        if len(whole) < part.pieces:
            return None
        try:
            changes = join(whole)
        except (zlib.error, msgspec.DecodeError):
            return None
        for key, record in changes.items():
            if record is None:
                records.pop(key, None)
            else:
                records[key] = record
    return records


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
        messages = pieces(changes)
        keys = (_encode(Key(self._partition, at, id, "s", i)) for i in range(len(messages)))
        part = Part(at, id, len(messages))
        parts = (part,) if full else (*self._parts, part)
        return Checkpoint(
            at=at,
            full=full,
            segment=tuple(zip(keys, messages, strict=True)),
            head=(_encode(Key(self._partition, at, id, "h")), _encode(Head(at, self._topic_id, parts, state, FORMAT))),
            part=part,
        )

    def written(self, checkpoint: Checkpoint) -> None:
        """All messages of the checkpoint are acknowledged."""
        if checkpoint.full:
            self._parts, self._needed = (), set()
        self._parts = (*self._parts, checkpoint.part)
        # Heads between a full checkpoint and the next are needed by nobody, and go with the next full one.
        self._needed.update(key for key, _ in checkpoint.segment)
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

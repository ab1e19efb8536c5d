"""What a tap commits before it counts a block: the intent, kept as the metadata of the source's committed offset.

A block is a pure function of its intent and its events, so whoever reads the intent back makes the same block again.
Why metadata of the commit: it is the one thing a consumer group writes atomically with the offset, and fences by
generation, without transactions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from stream_monitor.entries import Source
from stream_monitor.errors import Newer, StateError

METADATA_BYTES: Final = 4_095  # a broker refuses more (offset.metadata.max.bytes is 4096)
FIRST_BLOCK: Final = 1
FORMAT: Final = 1
_OURS: Final = "stream-monitor:"  # tells our metadata from anybody else's
_MARK: Final = f"{_OURS}{FORMAT}:"

RECREATED: Final = "topic recreated"
EXPIRED: Final = "offset expired"
BEYOND_END: Final = "offset beyond the end of the log"
FOREIGN: Final = "committed offset without our metadata"


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """Block `n` of a source: offsets [from_, to), to be counted with this configuration and these layouts.

    `hole` is how many offsets right before `from_` have no record: they belong to whatever record comes next.
    `max_event_ms` is the greatest event time before the block (None: no event yet) and `active_ms` the `at_ms` of the
    last block that held an event or was behind the log's end: what lateness and idleness follow from. `at_ms` is the
    block's only clock.
    """

    topic_id: str
    epoch: int
    n: int
    from_: int
    to: int
    at_ms: int
    max_event_ms: int | None
    active_ms: int
    partitions: int  # of the topic now
    partitions_first: int  # of the topic when the epoch began
    part_bytes: int  # a bundle's greatest size before it is sent in parts
    config: str
    layouts: dict[str, str] = {}  # model -> layout id; a model that is not here is counted raw
    alarm: str = ""  # why the epoch began, if that is a reason to worry; in all of its first block's bundles
    hole: int = 0

    def source(self, topic: str, partition: int) -> Source:
        """The source it is a block of."""
        return Source(topic, self.topic_id, partition, self.epoch)


def to_metadata(intent: Intent) -> str:
    """Text for the commit. StateError if it is longer than a broker takes (hundreds of models in one topic)."""
    text = _MARK + msgspec.json.encode(intent).decode()
    if len(text.encode()) > METADATA_BYTES:
        raise StateError(
            f"the intent of a block needs {len(text.encode())} bytes of commit metadata, {METADATA_BYTES} is the most: "
            f"too many models ({len(intent.layouts)}) in one topic"
        )
    return text


def from_metadata(text: str | None) -> Intent | None:
    """The intent, or None if the text is not ours (an admin tool moved the offset, another program committed it).

    Newer if a later release wrote it.
    """
    if not text or not text.startswith(_OURS):
        return None
    number = text[len(_OURS) :].partition(":")[0]
    if number.isdigit() and int(number) > FORMAT:
        raise Newer(
            "the intent of a block in the group's commits",
            number,
            FORMAT,
            "start the newer release again, or move the group's offsets with Kafka's tools: it counts from there anew",
        )
    if not text.startswith(_MARK):
        return None
    try:
        return msgspec.json.decode(text[len(_MARK) :], type=Intent)
    except (msgspec.ValidationError, msgspec.DecodeError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a broker says of one partition: whose log it is, where it begins and ends, what was committed."""

    topic_id: str
    partitions: int  # of its topic
    low: int
    high: int
    committed: int | None = None
    metadata: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A new epoch, to begin at `offset` (None: where the configuration lets a new group start)."""

    epoch: int
    offset: int | None
    alarm: str


def came_later(partition: int, topic_id: str, sibling: Intent | None) -> bool:
    """Whether a partition without commits was added after the group began, as the intent of another partition shows.

    Such a partition is read from its beginning, whatever the configuration says of the start of a new group.
    """
    return sibling is not None and sibling.topic_id == topic_id and partition >= sibling.partitions_first


def take_up(look: Look, now_ms: int, known_id: str | None = None) -> Intent | Opening:
    """How to go on with a partition just assigned: the intent whose block is to be made again, or a new epoch.

    `known_id` is the id that the topic had before, as far as this process has seen it: brokers forget the commits of a
    topic that is deleted.

    Why an epoch is numbered by the clock: a group whose offsets were forgotten must not use a number again, or its
    blocks would be taken for repetitions.
    """
    if look.committed is None:
        if known_id not in (None, look.topic_id):
            return Opening(epoch=now_ms, offset=look.low, alarm=RECREATED)
        return Opening(epoch=now_ms, offset=None, alarm="")
    intent = from_metadata(look.metadata)
    if intent is None or intent.from_ != look.committed:
        within = min(max(look.committed, look.low), look.high)
        return Opening(epoch=now_ms, offset=within, alarm=FOREIGN)
    epoch = max(intent.epoch + 1, now_ms)
    if intent.topic_id != look.topic_id:
        return Opening(epoch=epoch, offset=look.low, alarm=RECREATED)
    if intent.to > look.high:
        return Opening(epoch=epoch, offset=look.high, alarm=BEYOND_END)
    if intent.from_ < look.low:
        # Why not `low`: the block was almost surely published, and counting its rest again would double it.
        return Opening(epoch=epoch, offset=max(look.low, intent.to), alarm=EXPIRED)
    return intent

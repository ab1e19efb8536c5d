"""What stands in the panes topic: bundles and commands, in one order per worker partition.

Internal and binary (MessagePack). Everything the fold may depend on is in here, so that state and outputs are a pure
function of a prefix of the log. Field order is the wire format: fields are added at the end, with a default.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, Literal

import msgspec

from stream_monitor.errors import Newer, Older


class Source(msgspec.Struct, frozen=True, array_like=True, order=True):
    """A partition of a topic, as long as it is the same topic read without a gap."""

    topic: str
    topic_id: str
    partition: int
    epoch: int


class PaneRecord(msgspec.Struct, frozen=True, array_like=True):
    """Counts of the events of one block that share model, version, segment and pane.

    `offsets` are [least, greatest + 1] of those events in the block's source. `late` events are in no counts.
    """

    model: str
    version: str
    segment: str  # "all" or "country=de"
    start_ms: int
    layout: str  # layout id; "0" is the raw layout
    offsets: tuple[int, int]
    late: int
    counts: bytes  # pack_counts


class Bundle(msgspec.Struct, frozen=True, array_like=True, tag="b"):
    """One block's panes on their way to one worker partition; sent to every worker partition, empty or not.

    Block n of its source covers offsets [from_, to). A bundle too large for one message is sent in `parts` parts,
    applied together. `watermark_ms` is the source's after this block (None before its first event). `partitions` is
    how many partitions the source's topic has. `at_ms` is the block's only clock: wall time of its intent.
    """

    source: Source
    n: int
    from_: int
    to: int
    part: int
    parts: int
    watermark_ms: int | None
    idle: bool
    partitions: int
    config: str
    at_ms: int
    panes: tuple[PaneRecord, ...]
    dead: dict[str, int]  # reason -> events of the block that became dead letters (part 0 only)
    late: int = 0  # events of the block in no pane because they came too late (part 0 only)
    alarm: str = ""  # why this epoch began, when it is not the first: "topic recreated", "offset expired", ...
    holes: int = 0  # offsets of the block without a record: left by transactions, compaction, or lost
    told: dict[str, dict[str, int]] = {}  # model -> what its panes do not say, to its own partition (part 0 only)
    format: int = 1


CommandKind = Literal["config", "layout", "reference", "acknowledge", "silence", "promote", "retrain"]


class Command(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """Something the service was told to do, in order with the bundles.

    `body` by kind: config {"config": plain config, "layouts": {model: id}, "references": {model: id}, "topics":
    {model: topics that its patterns stand for now}};
    layout {"model", "layout": id}; reference {"model", "version", "reference": id}; acknowledge {"alert", "comment"};
    silence {"id", "model", "matchers": {label: value}, "until", "comment"}; promote {"model", "version", "from", "to"};
    retrain {"model", "version", "reason", "from", "to"}.
    """

    id: str
    kind: CommandKind
    at_ms: int
    by: str
    body: dict[str, Any]
    format: int = 1


Entry = Bundle | Command
FORMAT: Final = 2  # of entries: raised when an older worker would misread them, or must not ignore a new field
BUNDLES_SINCE: Final = 2  # before it the cells of a pane had other numbers

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Entry)


def pack(entry: Entry) -> bytes:
    """Bytes of an entry, in this release's format; equal entries have equal bytes."""
    return _ENCODER.encode(msgspec.structs.replace(entry, format=FORMAT))


def unpack(data: bytes, where: str = "the panes topic") -> Entry:
    """The entry that was packed and stood at `where`. Newer or Older if this release would misread it."""
    entry: Entry = _DECODER.decode(data)
    if isinstance(entry, Bundle) and entry.format < BUNDLES_SINCE:
        raise Older(
            f"a bundle in {where}",
            entry.format,
            FORMAT,
            "give the service a new kafka.prefix and kafka.group, and kafka.start, the time from which events are to "
            "be counted again; or start the older release again",
        )
    if entry.format > FORMAT:
        raise Newer(
            f"an entry of {where}",
            entry.format,
            FORMAT,
            "update all workers and the api before the taps, or start the newer release again",
        )
    return entry


def partition_of(model: str, partitions: int) -> int:
    """The worker partition of a model: a hash that no process and no release may change.

    >>> partition_of("fraud", 8)
    5
    """
    return int.from_bytes(hashlib.sha256(model.encode()).digest()[:8], "big") % partitions

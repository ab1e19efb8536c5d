"""Where the reading of a partition begins: in the block of an intent that is read back, or in a new epoch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from stream_monitor.brokers import Logs, Partition
from stream_monitor.errors import Unreachable
from stream_monitor.intents import BEYOND_END, Look, Opening, came_later, from_metadata, take_up
from stream_monitor.tap.blocks import Assigned
from stream_monitor.tap.rules import Rules

log = logging.getLogger(__name__)


class Stopping(Exception):
    """The tap was told to stop while it waited in a callback."""


class Unanswered(Exception):
    """What must be known of the partitions that were assigned is not told to this member of the group."""


def all_begun(
    logs: Logs, partitions: Sequence[Partition], begin: Callable[[Partition, Look], Assigned], *, believing: bool
) -> list[Assigned]:
    """Each partition as `begin` takes it up by what the broker says of it. Raises Unreachable.

    `believing`: even that a log ends before what was read from it.
    """
    looks = logs.look(partitions)
    for topic, number in partitions:
        if (topic, number) not in looks:
            raise Unreachable(f"{topic}/{number} does not exist")
    opened = [begin(p, looks[p]) for p in partitions]
    if not believing and any(a.alarm == BEYOND_END and not a.intent for a in opened):
        raise Unreachable("a log ends before what was read from it; its leader may not know its end yet")
    return opened


def begun(
    logs: Logs,
    partition: Partition,
    look: Look,
    rules: Rules,
    now_ms: int,
    topics: Collection[str],
    *,
    known_id: str | None,
    newer: bool,
) -> Assigned:
    """A partition as this tap takes it up.

    `topics` are all that the group reads; `known_id`: the topic's id when it was last seen; `newer`: the topic came up
    after the process.
    """
    how = take_up(look, now_ms, known_id)
    if not isinstance(how, Opening):
        return Assigned.resumed(partition, how)
    offset = how.offset
    if offset is None:
        offset = _first_offset(logs, partition, look, rules, topics, newer=newer)
    if how.alarm:
        log.warning("%s/%d: %s; going on at offset %d", *partition, how.alarm, offset)
    return Assigned.opened(partition, how, look, offset, now_ms)


def _first_offset(
    logs: Logs, partition: Partition, look: Look, rules: Rules, topics: Collection[str], *, newer: bool
) -> int:
    """By `rules.start`, or the very beginning if nobody could have read the partition before."""
    topic, number = partition
    siblings = logs.look([(topic, p) for p in range(look.partitions) if p != number])
    later = any(came_later(number, look.topic_id, from_metadata(s.metadata)) for s in siblings.values())
    if later or newer or rules.start == "earliest":
        return look.low
    if rules.start == "latest":
        return look.high if topic in rules.topics else _since_the_group_began(logs, partition, look, topics)
    found = logs.at(partition, int(datetime.fromisoformat(rules.start).timestamp() * 1000))
    return look.high if found is None else found


def _since_the_group_began(logs: Logs, partition: Partition, look: Look, topics: Collection[str]) -> int:
    """Where to begin with a topic that a pattern stands for and that may have come up while no tap was there.

    The oldest epoch is the clock of when the group began.
    """
    looks = logs.look([(topic, 0) for topic in topics])
    epochs = [i.epoch for of in looks.values() if (i := from_metadata(of.metadata)) is not None]
    found = logs.at(partition, min(epochs)) if epochs else None
    return look.high if found is None else found

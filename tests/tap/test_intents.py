"""How a partition is taken up, and what an intent costs in a commit."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream_monitor.errors import StateError
from stream_monitor.intents import (
    BEYOND_END,
    EXPIRED,
    FOREIGN,
    METADATA_BYTES,
    RECREATED,
    Intent,
    Look,
    Opening,
    came_later,
    from_metadata,
    take_up,
    to_metadata,
)
from stream_monitor.tap.blocks import Assigned, Terms, is_idle

NOW = 1_700_000_000_000
INTENT = Intent(
    topic_id="id1",
    epoch=7,
    n=3,
    from_=100,
    to=150,
    at_ms=NOW - 5_000,
    max_event_ms=NOW - 6_000,
    active_ms=NOW - 7_000,
    partitions=4,
    partitions_first=3,
    part_bytes=800_000,
    config="c" * 16,
    layouts={"fraud": "0123456789abcdef"},
)


def look(**changes: Any) -> Look:
    values: dict[str, Any] = {"topic_id": "id1", "partitions": 4, "low": 0, "high": 1_000, "committed": 100}
    return Look(**{**values, "metadata": to_metadata(INTENT), **changes})


@pytest.mark.parametrize(
    ("seen", "how"),
    [
        (look(), INTENT),  # the ordinary case: the block is made again
        (look(high=150), INTENT),  # it ends where the log does
        (look(low=100), INTENT),  # it begins where the log does
        (look(committed=None, metadata=None), Opening(epoch=NOW, offset=None, alarm="")),  # a new group
        (look(metadata=""), Opening(epoch=NOW, offset=100, alarm=FOREIGN)),  # an admin tool moved the offset
        (look(metadata="{}"), Opening(epoch=NOW, offset=100, alarm=FOREIGN)),  # another program committed it
        (look(metadata="stream-monitor:1:{"), Opening(epoch=NOW, offset=100, alarm=FOREIGN)),
        (look(committed=99), Opening(epoch=NOW, offset=99, alarm=FOREIGN)),  # metadata of another offset
        (look(committed=5_000, metadata=""), Opening(epoch=NOW, offset=1_000, alarm=FOREIGN)),  # beyond the log
        (look(topic_id="id2", low=0, high=5), Opening(epoch=NOW, offset=0, alarm=RECREATED)),
        (look(low=120), Opening(epoch=NOW, offset=150, alarm=EXPIRED)),  # its block was published, almost surely
        (look(low=700), Opening(epoch=NOW, offset=700, alarm=EXPIRED)),
        (look(high=149), Opening(epoch=NOW, offset=149, alarm=BEYOND_END)),  # the log lost its end
    ],
)
def test_a_partition_is_taken_up(seen: Look, how: Intent | Opening) -> None:
    assert take_up(seen, NOW) == how


def test_an_epoch_follows_the_one_it_knows_even_if_the_clock_went_back() -> None:
    later = msgspec.structs.replace(INTENT, epoch=NOW + 1_000)
    opening = take_up(look(metadata=to_metadata(later), topic_id="id2"), NOW)
    assert isinstance(opening, Opening)
    assert opening.epoch == NOW + 1_001


def test_a_topic_made_anew_is_known_without_its_commits() -> None:
    seen = look(committed=None, metadata=None, low=2, topic_id="id2")
    assert take_up(seen, NOW, "id1") == Opening(epoch=NOW, offset=2, alarm=RECREATED)
    assert take_up(seen, NOW, "id2") == Opening(epoch=NOW, offset=None, alarm="")


def test_metadata_comes_back() -> None:
    for intent in (INTENT, msgspec.structs.replace(INTENT, max_event_ms=None, alarm=RECREATED, layouts={"é\n": "0"})):
        assert from_metadata(to_metadata(intent)) == intent


def test_metadata_of_twenty_models_fits_and_of_hundreds_does_not() -> None:
    def with_models(count: int) -> Intent:
        return msgspec.structs.replace(INTENT, layouts={f"a-model-of-ours-{i}": "0" * 16 for i in range(count)})

    assert len(to_metadata(with_models(20)).encode()) < METADATA_BYTES
    with pytest.raises(StateError, match="300"):
        to_metadata(with_models(300))


@pytest.mark.parametrize(
    ("partition", "later"),
    [(2, False), (3, True), (4, True)],  # the sibling's epoch began when there were partitions 0 to 2
)
def test_a_partition_that_was_added_is_known_by_its_siblings(partition: int, later: bool) -> None:
    assert came_later(partition, "id1", INTENT) is later
    assert not came_later(partition, "id2", INTENT)
    assert not came_later(partition, "id1", None)


def test_a_source_that_is_behind_its_log_is_not_idle() -> None:
    """Silent for a minute: idle if that is all there is, and not if the log is known to go on."""
    look = Look(topic_id="id", partitions=1, low=0, high=0)
    assigned = Assigned.opened(("t", 0), Opening(epoch=1, offset=0, alarm=""), look, 0, now_ms=0)
    terms = Terms(now_ms=60_000, partitions=1, part_bytes=1, config="", layouts={})
    assert is_idle(assigned.cut(terms), events=0, idle_after_ms=30_000)
    assert not is_idle(assigned.cut(terms, behind=True), events=0, idle_after_ms=30_000)

"""Checkpoints restore what was written, whatever else lies in the topic."""

from __future__ import annotations

import os

import hypothesis.strategies as st
from hypothesis import given, settings

from stream_monitor.worker import checkpoints
from stream_monitor.worker.checkpoints import Chain, by_partition, found, heads, join, pieces
from stream_monitor.worker.owners import Owner, Span
from tests.worker.process import NoCatalog
from tests.worker.toy import FOLD, ToyState, entry

KEYS = st.binary(min_size=1, max_size=3)
RECORDS = st.dictionaries(KEYS, st.binary(max_size=40), max_size=6)
CHANGES = st.lists(st.dictionaries(KEYS, st.none() | st.binary(max_size=40), max_size=5), max_size=12)


@given(st.dictionaries(KEYS, st.none() | st.binary(max_size=200), max_size=10), st.integers(1, 50))
def test_pieces_join(changes: dict[bytes, bytes | None], limit: int) -> None:
    messages = pieces(changes, limit)
    assert join(messages) == changes
    assert all(0 < len(m) <= limit for m in messages)


def test_a_message_fits_the_broker() -> None:
    """Even of a record that is larger than a message may be and does not compress."""
    messages = pieces({b"key": os.urandom(3_000_000)})
    assert len(messages) == 4
    assert max(map(len, messages)) <= 900_000


@settings(deadline=None)
@given(RECORDS, CHANGES, st.integers(1, 4), st.data())
def test_the_last_head_is_found(
    first: dict[bytes, bytes], changes: list[dict[bytes, bytes | None]], every: int, data: st.DataObject
) -> None:
    """After any number of checkpoints and tombstones the topic holds the records as they are."""
    topic: dict[bytes, bytes] = {}
    chain = Chain(3, "id", every=every)
    records = dict(first)
    for at, change in enumerate([None, *changes], 1):
        for key, value in (change or {}).items():
            records.pop(key, None) if value is None else records.update({key: value})
        if change is not None and not chain.full_is_due:
            checkpoint = chain.next(at, b"state", change)
        else:
            checkpoint = chain.next(at, b"state", records)
        topic.update([*checkpoint.segment, checkpoint.head])
        chain.written(checkpoint)
        if checkpoint.full and data.draw(st.booleans()):
            for old in chain.superseded():
                del topic[old]
        best = next(found(topic, "id"))
        assert (best.at, best.state, best.records) == (at, b"state", records)
    assert set(by_partition(topic.items())) == {3}


def test_torn_foreign_and_old_ones_are_passed_over() -> None:
    chain = Chain(0, "now")
    whole = chain.next(5, b"whole", {b"a": b"1"})
    chain.written(whole)
    torn = chain.next(9, b"torn", {b"a": b"2"})
    foreign = Chain(0, "before").next(99, b"foreign", {b"a": b"3"})
    topic = dict([*whole.segment, whole.head, torn.head, *foreign.segment, foreign.head, (b"\x00junk", b"junk")])
    assert [f.at for f in found(topic, "now")] == [5]
    assert [f.at for f in found(topic, "before")] == [99]
    assert sorted(k.at for k in heads(topic)) == [5, 9, 99]
    assert list(found({**topic, whole.segment[0][0]: b"not what was written"}, "now")) == []


def test_another_owner_s_keys_are_left_alone() -> None:
    """An owner tombstones what it found and what it wrote; not what came after it by somebody else."""
    before = Chain(0, "id").next(1, b"", {b"a": b"1"})
    mine = Chain(0, "id", [before.head[0], before.segment[0][0]])
    full = mine.next(2, b"", {b"a": b"2"})
    mine.written(full)
    assert mine.superseded() == sorted([before.head[0], before.segment[0][0]])
    assert mine.superseded() == []


def _owner(messages: dict[bytes, bytes], span: Span, topic_id: str = "id") -> Owner[ToyState]:
    return Owner(FOLD, NoCatalog(), partition=0, partitions=1, topic_id=topic_id, messages=messages, span=span, every=2)


def _after(entries: int) -> tuple[Owner[ToyState], dict[bytes, bytes]]:
    topic: dict[bytes, bytes] = {}
    owner = _owner(topic, Span(begin=0, end=entries, committed=None))
    assert owner.alarm == ""
    for n in range(1, entries + 1):
        owner.step(n - 1, entry("s", n, f"k{n % 3}", n))
        if n % 4 == 0:
            checkpoint = owner.checkpoint()
            topic.update([*checkpoint.segment, checkpoint.head])
            owner.written(checkpoint)
    return owner, topic


def test_a_restored_owner_goes_on_as_the_one_before() -> None:
    owner, topic = _after(10)
    other = _owner(topic, Span(begin=3, end=10, committed=8))
    assert (other.at, other.checkpoint_at, other.alarm) == (8, 8, "")
    for n in (9, 10):
        other.step(n - 1, entry("s", n, f"k{n % 3}", n))
    assert other.state.records() == owner.state.records()
    assert other.state.head() == owner.state.head()
    assert other.checkpoint().full


def test_it_is_rebuilt_with_an_alarm_when_it_cannot_be_made_whole() -> None:
    _, topic = _after(10)
    for messages, span, topic_id, why in (
        ({}, Span(begin=0, end=10, committed=8), "id", "the checkpoints are gone"),
        (topic, Span(begin=9, end=10, committed=9), "id", "the checkpoint is at 4, the log holds [9, 10)"),
        (topic, Span(begin=0, end=3, committed=None), "id", "the checkpoint is at 4, the log holds [0, 3)"),
        (topic, Span(begin=0, end=10, committed=8), "new", "no checkpoint of this log is whole"),
    ):
        owner = _owner(messages, span, topic_id)
        assert owner.at == span.begin
        assert why in owner.alarm
        assert owner.state.totals == {}


def test_an_unreadable_state_is_rebuilt() -> None:
    chain = Chain(0, "id")
    checkpoint = chain.next(4, b"no head of ours", {})
    owner = _owner(dict([*checkpoint.segment, checkpoint.head]), Span(begin=1, end=9, committed=4))
    assert owner.at == 1
    assert "cannot be read" in owner.alarm


def test_what_is_no_entry_is_counted_and_passed() -> None:
    owner = _owner({}, Span(begin=0, end=2, committed=None))
    assert owner.step(0, owner.read(b"junk")) == ()
    assert (owner.at, owner.unreadable_total) == (1, 1)


def test_defaults_are_what_the_text_says() -> None:
    assert checkpoints.MESSAGE_BYTES < 1_000_000

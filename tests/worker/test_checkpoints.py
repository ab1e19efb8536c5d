"""Checkpoints restore what was written, whatever else lies in the topic."""

from __future__ import annotations

import os
import zlib

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from stream_monitor.worker import checkpoints
from stream_monitor.worker.checkpoints import MESSAGE_BYTES, Chain, by_partition, found, heads
from stream_monitor.worker.owners import Owner, Span
from stream_monitor.worker.segments import Table, Torn, changes_in, pieces
from tests.held import held_bytes
from tests.worker.process import NoCatalog
from tests.worker.toy import FOLD, ToyState, entry

KEYS = st.binary(min_size=1, max_size=3)
RECORDS = st.dictionaries(KEYS, st.binary(max_size=40), max_size=6)
CHANGES = st.lists(st.dictionaries(KEYS, st.none() | st.binary(max_size=40), max_size=5), max_size=12)


@given(st.dictionaries(KEYS, st.none() | st.binary(max_size=200), max_size=10), st.integers(1, 50))
def test_pieces_join(changes: dict[bytes, bytes | None], limit: int) -> None:
    messages = list(pieces(changes, limit))
    assert dict(changes_in(messages)) == changes
    assert all(0 < len(m) <= limit for m in messages)


@given(st.dictionaries(KEYS, st.none() | st.binary(max_size=200), max_size=10), st.data())
def test_pieces_that_are_not_those_are_found_out(changes: dict[bytes, bytes | None], data: st.DataObject) -> None:
    messages = list(pieces(changes, 16))
    i = data.draw(st.integers(0, len(messages) - 1))
    other = data.draw(st.sampled_from([messages[:i] + messages[i + 1 :], [*messages, b"x"], [b"x", *messages]]))
    with pytest.raises(Torn):
        dict(changes_in(other))


def test_what_is_no_map_of_strings_is_found_out() -> None:
    for data in (b"", b"\x81", b"\x81\xc0\xc0", b"\x81\xc4\x01a", b"\x81\xa1a\xc0", b"\x91\x01", b"\x80\x80"):
        with pytest.raises(Torn):
            dict(changes_in([zlib.compress(data)]))


@given(st.dictionaries(KEYS, st.none() | st.binary(max_size=40), max_size=20))
def test_segments_are_the_messagepack_they_were(changes: dict[bytes, bytes | None]) -> None:
    """Of older and newer releases, which pack and unpack them as a whole."""
    whole = msgspec.msgpack.encode(changes)
    assert zlib.decompress(b"".join(pieces(changes, 16))) == whole
    assert dict(changes_in([zlib.compress(whole, 9)])) == changes


def test_what_gains_nothing_is_stored_and_the_rest_compressed() -> None:
    """Whatever comes first, and however long: the stream is one that any zlib reads."""
    noise, text = {b"n%d" % i: os.urandom(40_000) for i in range(60)}, {b"t%d" % i: b"text" * 5_000 for i in range(200)}
    for changes in ({**noise, **text}, {**text, **noise}, noise, text):
        whole = b"".join(pieces(changes, MESSAGE_BYTES))
        assert zlib.decompress(whole) == msgspec.msgpack.encode(changes)
        incompressible = sum(len(v) for k, v in changes.items() if k in noise)
        assert len(whole) < 1.01 * incompressible + 1_200_000  # what is stored until it is tried again, and the rest


@pytest.mark.parametrize("length", [15, 16, 65_535, 65_536])
def test_maps_of_any_length(length: int) -> None:
    changes = {i.to_bytes(3): bytes(i % 300) if i < 300 else b"" for i in range(length)}
    messages = list(pieces(changes, 1000))
    assert msgspec.msgpack.decode(zlib.decompress(b"".join(messages)), type=dict[bytes, bytes]) == changes
    assert dict(changes_in(messages)) == changes


def test_what_a_table_holds_takes_no_memory() -> None:
    """And what was there when it was asked stays, whatever goes and comes after that."""
    table = Table()
    large = {b"%d" % i: os.urandom(20_000) for i in range(20)}
    table.update(large)
    table[b"gone"] = None
    assert held_bytes(table) < 20_000
    now = table.snapshot()
    for key in large:
        table.pop(key)
        table[key] = bytes(20_000)
    table.clear()
    assert (len(table), b"1" in table, table.get(b"1")) == (0, False, None)
    assert {key: now[key] for key in large} == large
    assert {len(part) for part in by_partition(now).values()} <= {20}


def test_a_message_fits_the_broker() -> None:
    """Even of a record that is larger than a message may be and does not compress."""
    messages = list(pieces({b"key": os.urandom(3_000_000)}, MESSAGE_BYTES))
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
        assert (best.at, best.state, dict(best.records.items())) == (at, b"state", records)
    assert set(by_partition(topic)) == {3}


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
        ({}, Span(begin=3, end=10, committed=None), "id", "there is no checkpoint, and the log has lost its beginning"),
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


def test_a_file_that_does_not_give_it_back_is_no_reason_to_rebuild() -> None:
    """The checkpoint may well be whole: whoever starts again reads it anew."""
    _, topic = _after(10)

    class Broken(dict[bytes, bytes]):
        def __getitem__(self, key: bytes) -> bytes:
            raise OSError("cut")

    with pytest.raises(OSError, match="cut"):
        _owner(Broken(topic), Span(begin=0, end=10, committed=8))


def test_what_is_no_entry_is_passed() -> None:
    owner = _owner({}, Span(begin=0, end=2, committed=None))
    assert owner.step(0, owner.read(b"junk")) == ()
    assert owner.at == 1


def test_defaults_are_what_the_text_says() -> None:
    assert checkpoints.MESSAGE_BYTES < 1_000_000

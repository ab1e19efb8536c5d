"""Dead letters of events that are odd besides being unreadable: they never stand in the way of the others."""

from __future__ import annotations

import threading
import time

import pytest

from connectors.kafka_topics import TopicSpec
from stream_monitor.tap.announced import KEPT_OF_TOO_LARGE, MOST_BESIDE, dead_letter
from tests.tap.kinds import KAFKA, KIP_848, Reader, Real, of
from tests.tap.twin import Record

AT = ("p", 3)


def test_the_original_bytes_and_our_headers_behind_its_own() -> None:
    record = Record(7, b"{", name=b"k", heads=(("trace", b"1"), ("reason", b"theirs")))
    (value, key, headers), _ = dead_letter(AT, record, "not_json", "no end")
    assert (value, key) == (b"{", b"k")
    ours = [("reason", b"not_json"), ("detail", b"no end"), ("topic", b"p"), ("partition", b"3"), ("offset", b"7")]
    assert headers == [("trace", b"1"), ("reason", b"theirs"), *ours]


def test_a_detail_quotes_what_no_utf_8_has_and_not_without_end() -> None:
    (_, _, headers), _ = dead_letter(AT, Record(0, b"x"), "wrong_type", "the tensor '\ud800' of " + "x" * 2_000_000)
    detail = dict(headers)["detail"] or b""
    assert detail.startswith(b"the tensor '\\ud800' of xxx")
    assert len(detail) < 600


@pytest.mark.parametrize("where", ["key", "headers"])
def test_key_and_headers_that_the_topic_has_no_room_for(where: str) -> None:
    large = b"x" * (MOST_BESIDE + 1)
    record = Record(0, b"{", name=large) if where == "key" else Record(0, b"{", heads=(("h", large[1:]), ("g", b"")))
    (value, key, headers), _ = dead_letter(AT, record, "not_json", "no end")
    assert (value, key, next(name for name, _ in headers)) == (b"{", None, "reason")
    assert b"bytes of key and headers left out" in (dict(headers)["detail"] or b"")


def test_one_that_the_topic_does_not_take_is_shorter() -> None:
    value = b"x" * (KEPT_OF_TOO_LARGE + 9)
    whole, shorter = dead_letter(AT, Record(0, value, name=b"k"), "not_json", "no end")
    assert whole.value == value
    assert (shorter.value, shorter.key) == (value[:KEPT_OF_TOO_LARGE], None)
    assert dict(shorter.headers)["detail"] == b"no end (1 bytes of key and headers, and 9 of the value, left out)"


@of(KAFKA, KIP_848)  # the embedded broker takes whatever it gets
def test_a_topic_that_takes_less_gets_the_shorter_ones(kind: Real, caplog: pytest.LogCaptureFixture) -> None:
    """Its limit is what somebody once set; what fits is whole, in whatever order it was sent."""
    topic = f"small-{kind.connection.incremental}-{time.time_ns()}"
    kind.topics.create([TopicSpec(name=topic, partitions=1, config={"max.message.bytes": "100000"})])
    post = kind.post()
    large = [bytes([i]) * size for i, size in ((1, 200_000), (2, 17 << 20))]  # the latter is too much for the client
    for value in (b"first", *large, b"last"):
        letter, shorter = dead_letter(AT, Record(0, value), "not_json", "no end")
        post.send(topic, 0, *letter, shorter=shorter)
        post.settle(60, threading.Event())
    reader = Reader(kind, topic)
    reader.until(lambda: len(reader.values) == 4, "all of them")
    cut = [value[:KEPT_OF_TOO_LARGE] for value in large]
    assert [value for _, _, value in reader.values] == [b"first", *cut, b"last"]
    assert any("max.message.bytes" in told.getMessage() for told in caplog.records)

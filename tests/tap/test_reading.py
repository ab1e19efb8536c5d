"""Records as arrays are what they are as messages, whatever the client and the broker."""

from __future__ import annotations

import ctypes
import random
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from connectors import kafka as kafka_side
from connectors import kafka_reading
from connectors.kafka_reading import Read, Reading
from stream_monitor.brokers import Polled
from stream_monitor.formats.machine import COMPILED
from tests.tap.kinds import EMBEDDED, KAFKA, Reader, Real, fresh, of


class Whole(Reader):
    """Keeps all that a record has."""

    def poll(self) -> Polled:
        polled = super().poll()
        for (_, number), messages in polled.records.items():
            self.found += [(number, m.value(), m.key(), list(m.headers() or ()), m.timestamp()) for m in messages]
        return polled

    found: list[tuple[Any, ...]]


@of(EMBEDDED, KAFKA)
@pytest.mark.parametrize("direct", [True, False], ids=["arrays", "messages"])
def test_a_record_is_read_with_its_key_headers_and_time(
    kind: Real, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In arrays, and where that cannot be as messages: the same."""
    if not direct:
        monkeypatch.setattr(kafka_side, "reading", lambda consumer: None)
    topic = fresh(kind)
    producer = kind.connection.producer()
    wide: list[tuple[str, bytes | None]] = [("a", b""), ("a", b"1\x00"), ("é", None)]
    written = [
        (0, b"x\x00y", b"k", wide, 1_700_000_000_001),
        (1, None, b"", [], 1_700_000_000_002),
        (1, b"", None, [("h", b"z" * 3000)], 1_700_000_000_003),
        (0, b"v" * 70_000, None, [], 1_700_000_000_004),
    ]
    for number, value, key, headers, ms in written:
        producer.produce(topic, value, key, number, headers=headers, timestamp=ms)
    assert producer.flush(120) == 0
    reader = Whole(kind, topic)
    reader.found = []
    assert (reader.member._reading is not None) == (direct and COMPILED)
    reader.until(lambda: len(reader.found) == 4, "all read")
    assert sorted(reader.found, key=lambda r: str(r[-1])) == [(*w[:4], (1, w[4])) for w in written]


@of(EMBEDDED, KAFKA)
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_headers_are_found_wherever_they_stand(kind: Real, codec: str) -> None:
    """Whatever a producer compresses with, however many of its records have headers: of each its own."""
    topic = fresh(kind)
    servers = kind.connection.brokers
    producer = Producer({"bootstrap.servers": servers, "compression.type": codec, "linger.ms": 20})
    r, written = random.Random(5), []
    for i in range(2_000):
        headers = [(f"h{k}", r.randbytes(r.choice((0, 3, 200)))) for k in range(r.choice((0, 0, 0, 1, 3)))]
        value = r.choice((None, b"", b"\x00", r.randbytes(r.randrange(600)), b"\x00" * r.randrange(600)))
        written.append((value, headers))
        producer.produce(topic, value, str(i).encode(), 1, headers=headers)
    assert producer.flush(120) == 0
    reader = Whole(kind, topic)
    reader.found = []
    reader.until(lambda: len(reader.found) == len(written), "all read")
    assert [(value, headers) for _, value, _, headers, _ in reader.found] == written


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled here, so nothing is read in arrays")
@pytest.mark.parametrize(("found", "asked"), [(False, [0, 0]), (True, [0, 1, 2, 0, 1, 2])])
def test_a_client_that_keeps_headers_elsewhere_is_asked_for_them(found: bool, asked: list[int]) -> None:
    """Of three records with a zero behind their values, the first tells whether the zero counts headers."""
    values = [ctypes.create_string_buffer(b"value") for _ in range(3)]  # each ends with a zero
    words = np.zeros((3, 10), np.int64)  # rd_kafka_message_t
    for row, value in zip(words, values, strict=True):
        row[[3, 4]] = ctypes.addressof(value), len(value.value)
    places = words.ctypes.data + np.arange(3) * words.strides[0]
    questions: list[int] = []

    def answer(message: int, into: int) -> int:
        questions.append((message - words.ctypes.data) // words.strides[0])
        return 0 if found else -156  # _NOENT

    question = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
    header = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 5)(lambda *_: -156)
    functions = [question(lambda *_: -1), question(answer), header]
    at = np.array([*(ctypes.cast(f, ctypes.c_void_p).value for f in functions), 0], np.int64)
    facts, scratch = np.zeros((kafka_reading.HEADER_BYTES + 1, 3), np.int64), np.zeros(5, np.int64)
    for _ in range(2):
        kafka_reading._look(places, facts, at, scratch)
    assert questions == asked


def test_no_record_is_dropped_for_an_error_that_comes_with_it() -> None:
    """Were it dropped, the next poll would go on behind it, and its offset would look like a hole."""
    came, _ = kafka_side._sorted([Message(topic="t", partition=0, offset=3, value=b"x")])
    down = KafkaError(KafkaError._ALL_BROKERS_DOWN)
    polled, trouble = kafka_side._with(came, Read({}, [(("t", 1), -1, down)]))
    assert [m.offset() for m in polled.records["t", 0]] == [3]
    assert trouble is down


def test_a_reading_that_fails_says_so() -> None:
    functions = {name: lambda *_: -1 for name in ("queue_new", "consume_batch_queue")}
    dummy: Any = ctypes.CDLL(None).free  # any function: none of them is called
    more = dict.fromkeys(("message_timestamp", "message_headers", "header_get_all", "message_destroy"), dummy)
    with pytest.raises(KafkaException, match="no batch"):
        Reading(0, {**functions, **more}).read(10, 0.0)


def test_what_cannot_be_read_in_arrays_is_told_why(caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    monkeypatch.setattr(kafka_reading, "KNOWN", 1)
    consumer = Consumer({"bootstrap.servers": "127.0.0.1:1", "group.id": "g"})
    try:
        with caplog.at_level("WARNING", "kafka"):
            assert kafka_reading.reading(consumer) is None
    finally:
        consumer.close()
    assert "records are read one at a time" in caplog.text
    assert ("confluent-kafka 1.x only" if COMPILED else "nothing is compiled") in caplog.text

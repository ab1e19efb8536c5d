"""Many records of a confluent-kafka consumer in one call, as arrays: without an object for each of them.

confluent-kafka makes a Message of every record, which costs more than all that librdkafka does for it. So the messages
of assigned partitions are led to a queue of their own, and read from there by librdkafka's C interface, which is the
same library that the consumer uses; everything else (assignments, errors, commits) stays the consumer's.

    partition, partition, ... -> our queue -> rd_kafka_consume_batch_queue -> copied into runs, given back
    rebalances, errors of the client -> the consumer's queue -> Consumer.consume

Where the C interface is not found as it is known here, or nothing is compiled, `reading` gives None, and messages are
read as Messages.
"""

from __future__ import annotations

import ctypes
import logging
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Final

import confluent_kafka
import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException
from numpy.typing import NDArray

from stream_monitor.blobs import PADDING, Blobs
from stream_monitor.brokers import Partition
from stream_monitor.counting.batches import Integers
from stream_monitor.formats.machine import (
    COMPILED,
    address,
    called1,
    called2,
    called5,
    compiled,
    copy,
    inlined,
    int64,
    own8,
    own64,
    put8,
)
from stream_monitor.runs import NO_TIME, Headed, Run, Runs

log = logging.getLogger("kafka")

KNOWN: Final = 2  # the major version of confluent-kafka whose consumers begin with their client's address

CLOSE_SECONDS: Final = 1.0
# What is read of each message, a row each; below, where it is in rd_kafka_message_t.
ERROR, TOPIC, PARTITION, VALUE, VALUE_BYTES, KEY, KEY_BYTES, OFFSET, TIME, HEADERS, HEADER_BYTES = range(11)
_WORDS: Final = ((TOPIC, 8), (VALUE, 24), (VALUE_BYTES, 32), (KEY, 40), (KEY_BYTES, 48), (OFFSET, 56))
_AT: Final = np.array([at for _, at in _WORDS])
_ROW: Final = np.array([row for row, _ in _WORDS])
_LOW: Final = np.uint64(0xFFFFFFFF)
_PAGE: Final = 4096
_DOUBT: Final = 4  # of the scratch: whether headers were found where `_bare` says that there are none

_P: Final = ctypes.c_void_p


class Unknown(Exception):
    """Why a consumer cannot be read in arrays."""


@dataclass(frozen=True, slots=True)
class Read:
    """What a call brought: runs by partition, and what stood between them instead of records."""

    records: Mapping[Partition, Runs]
    errors: list[tuple[Partition, int, KafkaError]]  # where, at which offset, what


class Reading:
    """The queue of one consumer's messages. Read by one thread; to be closed before the consumer is."""

    def __init__(self, client: int, functions: Mapping[str, Any]) -> None:
        self._client, self._call = client, functions
        self._queue = functions["queue_new"](client)
        self._functions = np.array(
            [
                ctypes.cast(functions[name], _P).value
                for name in ("message_timestamp", "message_headers", "header_get_all", "message_destroy")
            ],
            np.int64,
        )
        self._room, self._facts = np.zeros(0, np.int64), np.zeros((HEADER_BYTES + 1, 0), np.int64)
        self._scratch = np.zeros(_DOUBT + 1, np.int64)
        self._lock = threading.Lock()  # held while the queue is in use
        self._closed = False

    def lead(self, partitions: list[Partition]) -> None:
        """Have the messages of these partitions come here. To be called before they are assigned."""
        for topic, number in partitions:
            queue = self._call["queue_get_partition"](self._client, topic.encode(), number)
            if queue:
                self._call["queue_forward"](queue, self._queue)
                self._call["queue_destroy"](queue)

    def read(self, records: int, seconds: float) -> Read:
        """At most so many records, after at most so many seconds."""
        if len(self._room) < records:
            self._room, self._facts = np.zeros(records, np.int64), np.zeros((HEADER_BYTES + 1, records), np.int64)
        with self._lock:
            if self._closed:
                return Read({}, [])
            n = self._call["consume_batch_queue"](self._queue, int(seconds * 1000), address(self._room), records)
        if n < 0:
            raise KafkaException(KafkaError(KafkaError._FAIL, "librdkafka gave no batch of messages"))
        if n == 0:
            return Read({}, [])
        messages = self._room[:n]
        try:
            _look(messages, self._facts, self._functions, self._scratch)
            return self._made(self._facts[:, :n])
        finally:
            _give_back(messages, self._functions)

    def close(self) -> None:
        """Let go of the queue and of what is in it; not where a thread that hangs still reads from it."""
        if self._lock.acquire(timeout=CLOSE_SECONDS):
            if not self._closed:
                self._closed = True
                self._call["queue_destroy"](self._queue)
            self._lock.release()

    def _made(self, facts: Integers) -> Read:
        what = facts[: PARTITION + 1]  # ERROR, TOPIC, PARTITION: the same for many messages in a row
        cuts = np.flatnonzero((what[:, 1:] != what[:, :-1]).any(axis=0)) + 1
        spans: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for first, last in pairwise([0, *cuts.tolist(), facts.shape[1]]):
            spans.setdefault(tuple(what[:, first].tolist()), []).append((first, last))
        found: dict[Partition, Runs] = {}
        errors: list[tuple[Partition, int, KafkaError]] = []
        for (error, topic, number), places in spans.items():
            partition = (self._call["topic_name"](topic).decode() if topic else "", number)
            pieces = [facts[:, first:last] for first, last in places]
            some = pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)
            if not error:
                found[partition] = Runs([self._run(some)])
                continue
            for offset, at, size in some[[OFFSET, VALUE, VALUE_BYTES]].T.tolist():
                text = ctypes.string_at(at, size).decode("utf-8", "replace") if at else None
                errors.append((partition, offset, KafkaError(error, text)))
        return Read(found, errors)

    def _run(self, facts: Integers) -> Run:
        headers = None
        if facts[HEADER_BYTES].any():
            packed = _room_for(facts[HEADER_BYTES])
            _pack_headers(facts[HEADERS], packed.starts, address(packed.data), self._functions, self._scratch)
            headers = Headed(packed)
        keyed = facts[KEY].any()
        return Run(
            values=_copied(facts[VALUE], facts[VALUE_BYTES]),
            offsets=facts[OFFSET].copy(),
            times_ms=facts[TIME].copy(),
            keys=_copied(facts[KEY], facts[KEY_BYTES]) if keyed else None,
            headers=headers,
        )


def _room_for(sizes: Integers) -> Blobs:
    starts = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes + 1, out=starts[1:])
    data = np.empty(starts[-1] + PADDING, np.uint8)
    data[starts[-1] :] = 0
    return Blobs(data=data, starts=starts)


def _copied(places: Integers, sizes: Integers) -> Blobs:
    """The byte strings at some addresses; None where there is none."""
    into = _room_for(sizes)
    _gather(places, sizes, into.starts, address(into.data))
    none = places == 0
    return Blobs(data=into.data, starts=into.starts, none=none if none.any() else None)


@inlined
def _bare(value: int, size: int) -> bool:
    """Whether a zero stands behind a value: there Kafka's records have the number of their headers.

    Why not ask the client: it makes a buffer of its own to read that number, which takes as long as all else that is
    done for a record. The value is where the record came, so that number is behind it. Records of before Kafka 0.11
    have no headers, and anything behind them; what is behind the end of a page may not even be memory.
    """
    end = value + size
    return size > 0 and end % _PAGE != 0 and own8(end) == 0


@compiled
def _look(messages: Integers, facts: Integers, functions: Integers, scratch: Integers) -> None:
    """Read off what messages are, and how many bytes their headers take. `scratch` has room for three words and _DOUBT.

    Why it is handed in: an array of a compiled function's own is freed at its last mention, and an address is none.
    The first record is always asked for its headers: should a client lay records out in another way, all are.
    """
    first = scratch.ctypes.data
    for i in range(len(messages)):
        m = messages[i]
        facts[ERROR, i] = int64(np.int32(own64(m) & _LOW))
        facts[PARTITION, i] = int64(np.int32(own64(m + 16) & _LOW))
        for k in range(len(_AT)):
            facts[_ROW[k], i] = int64(own64(m + _AT[k]))
        if facts[VALUE, i] == 0:
            facts[VALUE_BYTES, i] = 0
        if facts[KEY, i] == 0:
            facts[KEY_BYTES, i] = 0
        facts[TIME, i] = facts[HEADERS, i] = facts[HEADER_BYTES, i] = 0  # what was there is of another batch
        if facts[ERROR, i] != 0:
            continue
        time = called2(functions[0], m, first)
        facts[TIME, i] = time if own64(first) & _LOW != np.uint64(0) else NO_TIME
        bare = _bare(facts[VALUE, i], facts[VALUE_BYTES, i])
        if bare and i > 0 and scratch[_DOUBT] == 0:
            continue
        if np.uint64(called2(functions[1], m, first)) & _LOW != np.uint64(0):
            continue  # no headers
        if bare:
            scratch[_DOUBT] = 1
        headers = int64(own64(first))
        facts[HEADERS, i] = headers
        size, number = 0, 0
        while np.uint64(called5(functions[2], headers, number, first, first + 8, first + 16)) & _LOW == np.uint64(0):
            size += 8 + _length(int64(own64(first)))
            if own64(first + 8) != np.uint64(0):
                size += int64(own64(first + 16))
            number += 1
        facts[HEADER_BYTES, i] = size


@compiled
def _length(text: int) -> int:
    """Of the text at an address, up to its NUL."""
    n = 0
    while own8(text + n) != 0:
        n += 1
    return n


@compiled
def _gather(places: Integers, sizes: Integers, starts: Integers, into: int) -> None:
    """Copy the byte strings, with a NUL behind each."""
    for i in range(len(places)):
        if sizes[i] > 0:
            copy(into + starts[i], places[i], sizes[i])
        put8(into + starts[i] + sizes[i], 0)


@compiled
def _pack_headers(headers: Integers, starts: Integers, into: int, functions: Integers, scratch: Integers) -> None:
    """Write the headers of each record as runs.unpack_headers reads them. `scratch` has room for four words."""
    first = scratch.ctypes.data
    for i in range(len(headers)):
        if headers[i] == 0:
            continue
        at, number = into + starts[i], 0
        while np.uint64(called5(functions[2], headers[i], number, first, first + 8, first + 16)) & _LOW == np.uint64(0):
            name, value, size = int64(own64(first)), int64(own64(first + 8)), int64(own64(first + 16))
            scratch[3] = _length(name)
            copy(at, first + 24, 4)
            copy(at + 4, name, scratch[3])
            at += 4 + scratch[3]
            scratch[3] = size if value != 0 else -1
            copy(at, first + 24, 4)
            at += 4
            if value != 0 and size > 0:
                copy(at, value, size)
                at += size
            number += 1


@compiled
def _give_back(messages: Integers, functions: Integers) -> None:
    for i in range(len(messages)):
        called1(functions[3], messages[i])


def _functions() -> dict[str, Any]:
    """librdkafka's, by their names without `rd_kafka_`."""
    library = ctypes.CDLL(confluent_kafka.cimpl.__file__)
    size, text = ctypes.c_size_t, ctypes.c_char_p
    signatures: dict[str, tuple[Any, ...]] = {
        "opaque": (_P, _P),
        "queue_new": (_P, _P),
        "queue_get_partition": (_P, _P, text, ctypes.c_int32),
        "queue_forward": (None, _P, _P),
        "queue_destroy": (None, _P),
        "consume_batch_queue": (ctypes.c_ssize_t, _P, ctypes.c_int, _P, size),
        "topic_name": (text, _P),
        "message_timestamp": (ctypes.c_int64, _P, _P),
        "message_headers": (ctypes.c_int, _P, _P),
        "header_get_all": (ctypes.c_int, _P, size, _P, _P, _P),
        "message_destroy": (None, _P),
    }
    found = {}
    for name, (result, *arguments) in signatures.items():
        found[name] = getattr(library, f"rd_kafka_{name}")
        found[name].restype, found[name].argtypes = result, arguments
    return found


def reading(consumer: Consumer) -> Reading | None:
    """The reading of a consumer that has no assignment yet; None where it can only be read by Messages."""
    try:
        return _reading(consumer)
    except Unknown as why:
        log.warning("records are read one at a time, which takes longer: %s", why)
        return None


def _reading(consumer: Consumer) -> Reading:
    version = str(confluent_kafka.__version__)
    if not COMPILED:
        raise Unknown("nothing is compiled, as numba does not work here")
    if sys.maxsize < 2**32 or sys.implementation.name != "cpython" or int(version.split(".")[0]) != KNOWN:
        raise Unknown(f"another way is known for CPython of 64 bits with confluent-kafka {KNOWN}.x only")
    try:
        functions = _functions()
    except (OSError, AttributeError) as error:
        raise Unknown(f"librdkafka's functions are not to be found: {error}") from error
    # The client's address is the first thing that a consumer holds; the client knows whose it is.
    client = _P.from_address(id(consumer) + object.__basicsize__).value
    if not client or functions["opaque"](client) != id(consumer):
        raise Unknown(f"a consumer of confluent-kafka {version} is not laid out as it was")
    warm()
    return Reading(client, functions)


@cache
def warm() -> None:
    """Compile, or load from the cache, all loops, so that the first poll does not wait for it."""
    if not COMPILED:
        return
    nothing: NDArray[np.int64] = np.zeros(0, np.int64)
    functions, scratch = np.zeros(4, np.int64), np.zeros(_DOUBT + 1, np.int64)
    _look(nothing, np.zeros((HEADER_BYTES + 1, 0), np.int64), functions, scratch)
    _gather(nothing, nothing, np.zeros(1, np.int64), 0)
    _pack_headers(nothing, np.zeros(1, np.int64), 0, functions, scratch)
    _give_back(nothing, functions)

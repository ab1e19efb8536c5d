"""Protobuf messages -> the values that a plan needs, in arrays: one compiled walk by the tables of their types.

A node is a type of message at a place in the event; its table says of each field's number which field it is, and of
each field what to do. protobuf_programs.py makes them. All that the runtime would look at is looked at, wanted or not:
lengths, wire types, UTF-8, messages inside.

What this walk does not understand (fields in a wire type that is not theirs, groups, two members of a oneof, keys of a
map twice, what is longer or deeper than anybody writes) is not `good`, and is left to the plain way.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_monitor.counting.batches import BOOL, NESTED, NONFINITE, NUMBER, TEXT
from stream_monitor.formats.avro_walking import NOWHERE, moment
from stream_monitor.formats.found import OBJECT, TIMES, Found
from stream_monitor.formats.interning import NONE, Strings, intern
from stream_monitor.formats.machine import as_double, as_single, byte, compiled, inlined, int64, load64
from stream_monitor.formats.walking import DONE, NEEDS_WORDS
from stream_monitor.formats.wires import (
    NO_WORD,
    PUT,
    REFUSED,
    TIMED,
    clear,
    kind_at,
    put,
    put_kind,
    put_time,
    utf8,
    varint,
    wanted,
    zigzag,
)  # fmt: skip

# What a field is; a, b, c are numbers that it may need.
INT32, INT64, UINT32, UINT64, SINT32, SINT64, BOOLEAN, ENUM = range(8)  # wire type 0; of an ENUM a, b: its symbols
FIXED64, SFIXED64, DOUBLE = range(8, 11)  # wire type 1
FIXED32, SFIXED32, FLOAT = range(11, 14)  # wire type 5
STRING, BYTES, MESSAGE, MAP, TIMESTAMP, DURATION = range(14, 20)  # wire type 2
# of a MESSAGE a: its node; of a MAP a: its number among the keys, b: the field that its values are
REFUSE: Final = 20

# Columns of the fields.
_OP, _SLOT, _FAMILY, _REPEATED, _A, _B, _ONEOF = range(7)

DEEPEST: Final = 64
LETTERS: Final = 27  # of a time as text

_32: Final = np.uint64(1 << 32)


class Program(NamedTuple):
    """The nodes of many schemas, and what they refer to."""

    nodes: NDArray[np.int64]  # (nodes, 4): where its table begins, and how long it is; the same of its defaults
    table: NDArray[np.int64]  # by a field's number: which field, -1 where there is none
    fields: NDArray[np.int64]  # (fields, 7)
    defaults: NDArray[np.int64]  # (defaults, 5): slot, kind, family, where its text is among the constants, from and to
    symbols: NDArray[np.int64]  # (symbols, 3): an enum's number, and where its name is
    keys: Strings  # of maps, tagged with the map's number
    slots: NDArray[np.int64]  # of those keys
    seen: NDArray[np.int64]  # (oneofs, 2): the last record that had a member, and which


@inlined
def _wire(op: int) -> int:
    """The wire type of a field."""
    return 0 if op <= ENUM else 1 if op <= DOUBLE else 5 if op <= FLOAT else 2


@inlined
def _short(p: int, end: int) -> tuple[int, Any]:
    """(past it, what it says) of a varint as lengths and tags are written: not longer than need be, 28 bits at most."""
    q, bits = varint(p, end)
    if q > p + 4 or (q > p + 1 and byte(q - 1) == 0):
        return -1, int64(0)
    return q, int64(bits)


@compiled
def passed(p: int, end: int, wire: int) -> Any:
    """Past a value that nobody knows."""
    if wire == 0:
        p, _ = varint(p, end)
        return p
    if wire == 2:
        p, length = _short(p, end)
        return p + length if p >= 0 and length <= end - p else -1
    length = 8 if wire == 1 else 4
    return p + length if wire in (1, 5) and length <= end - p else -1


@compiled
def packed(p: int, end: int, wire: int) -> bool:
    """Whether the bytes up to `end` are numbers of a wire type, one after another."""
    if wire != 0:
        return (end - p) % (8 if wire == 1 else 4) == 0
    while p >= 0 and p < end:
        p, _ = varint(p, end)
    return p == end


@compiled
def seconds_nanos(p: int, end: int) -> tuple[int, int, bool]:
    """(seconds, nanos, whether they can be told) of a Timestamp or a Duration."""
    seconds, nanos, had = int64(0), int64(0), 0
    while p < end:
        tag = byte(p)
        p, bits = varint(p + 1, end)
        if p < 0:
            return 0, 0, False
        if tag == 8 and had == 0:
            seconds, had = int64(bits), 1
        elif tag == 16 and had < 2:
            nanos, had = int64(bits), 2
        else:
            return 0, 0, False
    good = seconds < 10**12 and seconds > -(10**12) and nanos < 2**31 and nanos >= -(2**31)
    return seconds, nanos, good and p == end


@compiled
def _number(op: int, bits: Any) -> tuple[float, bool]:
    """(the number, whether it is one of that type) that a varint's bits say."""
    signed = int64(bits)
    if op == INT64:
        return np.float64(signed), True
    if op == UINT64:
        return np.float64(bits), True
    if op == SINT64:
        return np.float64(zigzag(bits)), True
    if op == INT32:
        return np.float64(signed), signed < 2**31 and signed >= -(2**31)
    return np.float64(zigzag(bits)) if op == SINT32 else np.float64(signed), bits < _32


@compiled
def _fixed(op: int, p: int) -> Any:
    """The number of eight or four bytes."""
    bits = load64(p)
    if op == DOUBLE:
        return as_double(bits)
    if op == FLOAT:
        return as_single(bits)
    if op == FIXED64:
        return np.float64(bits)
    if op == SFIXED64:
        return np.float64(int64(bits))
    low = int64(bits & np.uint64(0xFFFFFFFF))
    return np.float64(low - 2**32 if op == SFIXED32 and low >= 2**31 else low)


@compiled
def _fill(program: Program, node: int, sink: int, base: int, r: int, constants: int) -> Any:
    """Put the defaults of the fields that a message lacks: PUT, REFUSED, or -1 - the default whose word is new."""
    nodes, defaults = program.nodes, program.defaults
    for d in range(nodes[node, 2], nodes[node, 2] + nodes[node, 3]):
        slot, kind = int64(defaults[d, 0]), int64(defaults[d, 1])
        if kind_at(sink, slot, r) != 0:
            continue
        start, stop = base + constants + int64(defaults[d, 3]), base + constants + int64(defaults[d, 4])
        became = put(sink, base, r, slot, int64(defaults[d, 2]), kind, 0.0, start, stop, -1)
        if became == NO_WORD:
            return -1 - d
        if became != PUT:
            return REFUSED
    return PUT


@compiled
def walk(
    base: int, starts: NDArray[np.int64], first: int, offset: int, entries: NDArray[np.int64],
    begins: NDArray[np.int64], constants: int, program: Program, words: Strings, found: Found, sink: int, again: bool,
) -> tuple[int, int]:  # fmt: skip
    """Read records until the last, as avro_walking.walk does; `entries` are nodes."""
    nodes, table, fields = program.nodes, program.table, program.fields
    symbols, key_slots, seen, good = program.symbols, program.slots, program.seen, found.good
    stack = np.zeros((DEEPEST, 2), np.int64)
    seen[:, 0] = -1
    for i in range(first, len(starts) - 1):
        r = offset + i
        node = int64(entries[r])
        if node < 0:
            continue
        if again and i == first:
            clear(found.kinds, r)
        p, end = base + int64(starts[i]) + int64(begins[r]), base + int64(starts[i + 1])
        depth = 0
        while True:
            if p == end:
                became = _fill(program, node, sink, base, r, constants)
                while became < 0:
                    d = -1 - became
                    begin, last = int64(program.defaults[d, 3]), int64(program.defaults[d, 4])
                    place = base + constants
                    if intern(words, int64(program.defaults[d, 2]), place + begin, place + last, True) < 0:
                        return i, NEEDS_WORDS
                    became = _fill(program, node, sink, base, r, constants)
                if became != PUT:
                    break
                if depth == 0:
                    good[r] = True
                    break
                depth -= 1
                node, end = int64(stack[depth, 0]), int64(stack[depth, 1])
                continue
            p, tag = _short(p, end)
            number, wire = tag >> 3, tag & 7
            if p < 0 or number == 0:
                break
            field = int64(table[nodes[node, 0] + number]) if number < nodes[node, 1] else int64(-1)
            if field < 0:
                p = passed(p, end, wire)
                if p < 0:
                    break
                continue
            op, slot, a = int64(fields[field, _OP]), int64(fields[field, _SLOT]), int64(fields[field, _A])
            oneof = int64(fields[field, _ONEOF])
            if oneof >= 0:
                if seen[oneof, 0] == r and seen[oneof, 1] != number:
                    break
                seen[oneof, 0], seen[oneof, 1] = r, number
            last = end  # where the value must end by
            if wire == 2:
                p, length = _short(p, end)
                if p < 0 or length > end - p:
                    break
                last = p + length
            if op == MAP:  # the key, then the value as a field of its own
                if wire != 2 or p == last or byte(p) != 10:
                    break
                p, length = _short(p + 1, last)
                if p < 0 or length > last - p or utf8(p, p + length) < 0:
                    break
                key = intern(program.keys, a, p, p + length, False)
                p += length
                field = int64(fields[field, _B])
                op, a = int64(fields[field, _OP]), int64(fields[field, _A])
                slot = int64(NOWHERE) if key == NONE else int64(key_slots[key])
                if slot >= 0 and kind_at(sink, slot, r) != 0:
                    break
                wire = _wire(op)
                if p == last or byte(p) != 16 + wire:
                    break
                p += 1
                if wire == 2:
                    p, length = _short(p, last)
                    if p < 0 or length != last - p:
                        break
                elif wire == 0:
                    q, _ = varint(p, last)
                    if q != last:
                        break
                elif last - p != (8 if wire == 1 else 4):
                    break
            if fields[field, _REPEATED] == 1 and wire == 2 and op <= FLOAT:
                if not packed(p, last, _wire(op)):
                    break
                if slot >= 0:
                    if kind_at(sink, slot, r) != 0:
                        break
                    became = put(sink, base, r, slot, int64(fields[field, _FAMILY]), NESTED, 0.0, p, last, -1)
                    if became != PUT:
                        break
                p = last
                continue
            if wire != _wire(op) or (fields[field, _REPEATED] == 1 and slot >= 0):
                break
            start, kind, value, letters = p, NESTED, 0.0, -1
            stop = p
            if op <= ENUM:
                p, bits = varint(p, last)
                if p < 0:
                    break
                stop = p
                if slot >= 0 and op == BOOLEAN:
                    if p != start + 1 or byte(start) > 1:
                        break
                    kind = BOOL
                elif slot >= 0 and op == ENUM:
                    which = int64(bits)
                    for s in range(a, a + int64(fields[field, _B])):
                        if symbols[s, 0] == which:
                            kind = TEXT
                            start = base + constants + int64(symbols[s, 1])
                            stop = base + constants + int64(symbols[s, 2])
                            break
                    if kind != TEXT:
                        break
                elif slot >= 0:
                    value, ok = _number(op, bits)
                    if not ok:
                        break
                    kind = NUMBER
            elif op <= FLOAT:
                p += 8 if op <= DOUBLE else 4
                if p > last:
                    break
                stop = p
                if slot >= 0:
                    value = _fixed(op, start)
                    kind = NUMBER if value - value == 0.0 else NONFINITE
            elif op == MESSAGE:
                if depth >= DEEPEST:
                    break
                if slot >= 0:
                    if wanted(sink, slot) & TIMES:
                        break
                    put_kind(sink, slot, r, OBJECT)
                stack[depth, 0], stack[depth, 1] = node, end
                depth += 1
                node, end = a, last
                continue
            elif op in (STRING, BYTES):
                made = 0
                if op == STRING or slot >= 0:
                    made = utf8(p, last)
                if op == STRING and made < 0:
                    break
                kind = TEXT if made >= 0 else NESTED
                p = last
                stop = p
            elif op in (TIMESTAMP, DURATION):
                seconds, nanos, ok = seconds_nanos(p, last)
                if not ok or (slot >= 0 and kind_at(sink, slot, r) != 0):
                    break
                p = last
                stop = p
                if op == DURATION:
                    kind, value = NUMBER, np.float64(seconds) + np.float64(nanos) / 1e9
                else:
                    kind, letters = TEXT, LETTERS
                    ms, ok = moment(seconds * 1_000_000 + nanos // 1000, 1, 1)
                    if not ok:
                        break
                    if slot >= 0 and wanted(sink, slot) & TIMES:
                        if wanted(sink, slot) != TIMES:
                            break
                        put_time(sink, r, ms)
                        letters = TIMED
            else:  # REFUSE
                break
            if slot >= 0:
                family = int64(fields[field, _FAMILY])
                became = put(sink, base, r, slot, family, kind, value, start, stop, letters)
                if became == NO_WORD:
                    if intern(words, family, start, stop, True) < 0:
                        return i, NEEDS_WORDS
                    became = put(sink, base, r, slot, family, kind, value, start, stop, letters)
                if became != PUT:
                    break
    return len(starts) - 1, DONE

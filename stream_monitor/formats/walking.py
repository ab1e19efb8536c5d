"""Records of JSON -> the values that a plan needs, in arrays, in one compiled walk.

Speed comes from a guess: after a key comes the key that followed it last time, between the same bytes. Eight bytes are
compared at once, and only values that are needed are read. Where the guess is wrong the key is read and looked up, and
the guess is what was found; so nothing depends on it. Unknown keys are learnt up to a bound.

What this walk does not understand (keys with escapes, keys twice, numbers beyond doubles, deep nesting, what is no
JSON) is not `good`, and is left to the plain way. No byte outside of the buffer is read, whatever the records hold.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_monitor.counting.batches import BOOL, MISSING, NESTED, NONFINITE, NUMBER, TEXT
from stream_monitor.formats.found import (
    CODES,
    ITEMS,
    LENGTHS,
    NUMBERS,
    OBJECT,
    PLACE,
    SPANS,
    TEXTS,
    TIMES,
    VECTORS,
    Found,
)
from stream_monitor.formats.instants import epoch_ms, rfc3339_ms
from stream_monitor.formats.interning import FULL, NONE, Strings, digest, find, intern, tail_mask
from stream_monitor.formats.machine import (
    CHECKED,
    byte,
    compiled,
    inlined,
    int64,
    load64,
    own64,
    put8,
    put32,
    put64,
    put_double,
)
from stream_monitor.formats.numerals import decimal, number
from stream_monitor.formats.scanning import PLAIN, characters, constant, plain_text, skip, space, text
from stream_monitor.formats.vectors import items, vector

# What is known of a key, in words of eight bytes, all of it in two lines of the processor's cache.
SLOT: Final = 0  # where its values go, -1: nowhere
CHILD: Final = 1  # the object that a value may be, -1: not looked into
SEEN: Final = 2  # the last record that had it, by `serial`
NEXT: Final = 3  # the key that followed, -1: not known
LENGTH: Final = 4  # in bytes, of what stood between its value and the next one's
BETWEEN: Final = 8  # those bytes, in so many words; longer ones are not remembered
WORDS: Final = 8
FACTS: Final = BETWEEN + WORDS

# Why the walk stopped.
DONE: Final = 0
NEEDS_WORDS: Final = 1
NEEDS_SLOTS: Final = 2

_0: Final = np.uint64(0)
_1: Final = np.uint64(1)
_NUMERIC: Final = np.uint64(sum(1 << c for c in b"-0123456789"))  # what a number begins with


class Keys(NamedTuple):
    """The keys of a plan's objects. The first are none: for each object its beginning, then its unknown keys."""

    names: Strings  # tagged with their object
    facts: NDArray[np.int64]  # (keys, FACTS): what is known of each, in the columns named above
    open: NDArray[np.bool_]  # objects all of whose keys are slots
    serial: NDArray[np.int64]  # records so far, slots so far


@inlined
def _guessed(literal: int, length: int, p: int) -> bool:
    """Whether the `length` bytes at `p` are those at `literal`."""
    i = 0
    while i + 8 <= length:
        if own64(literal + i) != load64(p + i):
            return False
        i += 8
    return i == length or (own64(literal + i) ^ load64(p + i)) & tail_mask(length & 7) == _0


@compiled
def _learn(facts: NDArray[np.int64], before: int, key: int, p: int, end: int) -> None:
    """The bytes from `p` to `end` were found between the values of two keys."""
    length = end - p
    if length > 8 * WORDS:
        return
    for i in range(length >> 3):
        facts[before, BETWEEN + i] = int64(load64(p + 8 * i))
    if length & 7:
        facts[before, BETWEEN + (length >> 3)] = int64(load64(p + (length & ~7)) & tail_mask(length & 7))
    facts[before, LENGTH] = length
    facts[before, NEXT] = key


@compiled
def _key(keys: Keys, slots: int, node: int, start: int, end: int) -> Any:
    """The key between two addresses, learnt if need be; FULL where an open object needs another slot."""
    nodes = len(keys.open)
    key = intern(keys.names, node, start, end, False)
    if key != NONE:
        return key
    if keys.open[node]:
        if keys.serial[1] >= slots:
            return FULL
        key = intern(keys.names, node, start, end, True)
        if key < 0:
            return FULL
        slot = keys.serial[1]
        keys.serial[1] += 1
    else:
        key = intern(keys.names, node, start, end, True)
        if key < 0:
            return nodes + node
        slot = -1
    keys.facts[key, SLOT], keys.facts[key, CHILD], keys.facts[key, NEXT] = slot, -1, -1
    return key


@compiled
def walk(
    base: int, starts: NDArray[np.int64], first: int, offset: int, keys: Keys, words: Strings, found: Found
) -> tuple[int, int]:
    """Read records until the last; (where the walk stopped, why), to go on from there when there is room.

    Record i begins at the address base + starts[i]; a NUL follows it, one byte before base + starts[i + 1]. It is
    written to column `offset + i` of `found`.
    """
    # Why so many names: an array taken out of a tuple inside the loop has its references counted each time.
    facts, numbers_of = keys.facts, keys.serial
    wants, rows, kinds, numbers = found.want, found.rows, found.kinds, found.numbers
    spans, times, good = found.spans, found.times, found.good
    vectors, pool, used = found.vectors, found.pool, found.used
    facts_at, slots_at = facts.ctypes.data, found.places.ctypes.data
    places_at, places_mask, tags_at = words.places.ctypes.data, len(words.places) - 1, words.tags.ctypes.data
    hashes_at, starts_at, lengths_at = words.hashes.ctypes.data, words.starts.ctypes.data, words.lengths.ctypes.data
    arena_at = words.arena.ctypes.data
    nodes = len(keys.open)
    stack = np.zeros((nodes + 1, 2), np.int64)
    filled = int64(used[0])
    for i in range(first, len(starts) - 1):
        r = offset + i
        used[0] = filled  # so that a record which is read again begins where it began
        numbers_of[0] += 1
        serial = int64(numbers_of[0])
        p = space(base + int64(starts[i]))
        if byte(p) != 123:
            continue
        p += 1
        node, before, depth = 0, 0, 0  # `before`: the key before; at its beginning an object's own number
        while True:
            at = facts_at + 8 * FACTS * before
            key, length = int64(own64(at + 8 * NEXT)), int64(own64(at + 8 * LENGTH))
            if key >= 0 and _guessed(at + 8 * BETWEEN, length, p):
                p += length
            else:
                q = space(p)
                if byte(q) == 125:
                    p = q + 1
                    if depth == 0:
                        break
                    depth -= 1
                    node, before = int64(stack[depth, 0]), int64(stack[depth, 1])
                    continue
                if before >= nodes:  # not the first key
                    if byte(q) != 44:
                        p = -1
                        break
                    q = space(q + 1)
                if byte(q) != 34:
                    p = -1
                    break
                end, made = text(q + 1)
                if end < 0 or made & 1:
                    p = -1
                    break
                key = _key(keys, len(wants), node, q + 1, end)
                if key == FULL:
                    return i, NEEDS_SLOTS
                end = space(end + 1)
                if byte(end) != 58:
                    p = -1
                    break
                end = space(end + 1)
                if key >= 2 * nodes:
                    _learn(facts, before, key, p, end)
                p = end
            if byte(p) <= 32:
                p = space(p)
            if CHECKED and (key < 0 or key >= len(facts)):
                raise IndexError("a key that is none")
            at = facts_at + 8 * FACTS * key
            if key >= 2 * nodes:
                if int64(own64(at + 8 * SEEN)) == serial:
                    p = -1
                    break
                put64(at + 8 * SEEN, serial)
            slot, child = int64(own64(at + 8 * SLOT)), int64(own64(at + 8 * CHILD))
            before = key
            c = byte(p)
            if child >= 0 and c == 123:
                if slot >= 0:
                    kinds[slot, r] = OBJECT
                    if wants[slot] & SPANS:
                        p = -1
                        break
                stack[depth, 0], stack[depth, 1] = node, before
                depth += 1
                node, before = child, child
                p += 1
                continue
            if slot < 0:
                p = skip(p)
                if p < 0:
                    break
                continue
            if CHECKED and (slot >= len(wants) or r >= len(good)):
                raise IndexError("a write outside of the rows")
            place = slots_at + 8 * PLACE * slot
            want = int64(own64(place))
            end, kind, plain = -1, NESTED, False
            if c == 34:
                kind = TEXT
                end, made = plain_text(p + 1), PLAIN
                if end < 0:
                    end, made = text(p + 1)
                if end < 0:
                    p = -1
                    break
                plain = made == PLAIN
                if want & TIMES:
                    ms, ok = rfc3339_ms(p + 1, end)
                    if not (plain and ok):
                        p = -1
                        break
                    times[r] = ms
                if want & LENGTHS:
                    numbers[rows[slot, 0], r] = end - p - 1 if plain else characters(p + 1, end)
                end += 1
            elif c < 64 and (_NUMERIC >> np.uint64(c)) & _1 != _0:
                kind = NUMBER
                end, value = decimal(p)
                whole = False
                if end < 0:
                    end, value, whole = number(p)
                if end < 0 and byte(p + 1) == 73:
                    end = constant(p + 1)
                    kind = NONFINITE
                else:
                    plain = whole and (c != 45 or byte(p + 1) != 48)
                    if want & NUMBERS:
                        put_double(int64(own64(place + 16)) + 8 * r, value)
                    if want & TIMES:
                        ms, ok = epoch_ms(value)
                        if not ok:
                            p = -1
                            break
                        times[r] = ms
            elif c == 123:
                end = skip(p)
                kind = OBJECT - 1
            elif c == 91:
                if want & VECTORS:
                    end, count = vector(p, pool, filled)
                    count -= filled
                    vectors[rows[slot, 3], r, 0] = filled
                    vectors[rows[slot, 3], r, 1] = count
                    filled += count
                elif want & ITEMS:
                    end, count = items(p)
                else:
                    end, count = skip(p), 0
                if want & ITEMS:
                    numbers[rows[slot, 0], r] = count
            else:
                end = constant(p)
                kind = MISSING if c == 110 else BOOL if c == 116 or c == 102 else NONFINITE
            if end < 0:
                p = -1
                break
            texts = want & TEXTS and (kind in (TEXT, BOOL))
            if texts or (want & CODES and kind != MISSING and kind != NESTED and kind != OBJECT - 1):
                h = digest(slot, p, end - p)
                code = find(
                    places_at, places_mask, tags_at, hashes_at, starts_at, lengths_at, arena_at, slot, h, p, end - p
                )
                if code < 0:
                    code = intern(words, slot, p, end, True)
                if code < 0:
                    return i, NEEDS_WORDS
                put32(int64(own64(place + 24)) + 4 * r, code + 1)
            if want & SPANS:
                quote = 1 if kind == TEXT and plain else 0
                spans[rows[slot, 2], r, 0] = p - base + quote
                spans[rows[slot, 2], r, 1] = end - base - quote if plain else base - end
            put8(int64(own64(place + 8)) + r, kind + 1)
            p = end
        if p >= 0 and space(p) == base + starts[i + 1] - 1:
            good[r] = True
    used[0] = filled
    return len(starts) - 1, DONE

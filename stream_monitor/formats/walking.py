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
    SPANS,
    TEXTS,
    TIMES,
    VECTORS,
    Found,
)
from stream_monitor.formats.instants import epoch_ms, rfc3339_ms
from stream_monitor.formats.interning import FULL, NONE, Strings, digest, find, intern, tail_mask
from stream_monitor.formats.machine import byte, compiled, inlined, int64, load64, own64
from stream_monitor.formats.scanning import PLAIN, characters, constant, number, skip, space, text
from stream_monitor.formats.vectors import items, vector

LITERAL: Final = 8  # words of eight bytes between two values that are remembered; longer ones are not

# Why the walk stopped.
DONE: Final = 0
NEEDS_WORDS: Final = 1
NEEDS_SLOTS: Final = 2

_0: Final = np.uint64(0)


class Keys(NamedTuple):
    """The keys of a plan's objects. The first are none: for each object its beginning, then its unknown keys."""

    names: Strings  # tagged with their object
    slot: NDArray[np.int32]  # where values go, -1: nowhere
    child: NDArray[np.int32]  # the object that a value may be, -1: not looked into
    next: NDArray[np.int32]  # the key that followed, -1: not known
    literal: NDArray[np.uint64]  # (keys, LITERAL): the bytes from this key's value to the next one's
    length: NDArray[np.int64]  # of the literal, in bytes
    seen: NDArray[np.int64]  # the last record that had it, by `serial`
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
def _learn(
    literals: NDArray[np.uint64], lengths: NDArray[np.int64], followers: NDArray[np.int32],
    before: int, key: int, p: int, end: int,
) -> None:  # fmt: skip
    """The bytes from `p` to `end` were found between the values of two keys."""
    length = end - p
    if length > 8 * LITERAL:
        return
    for i in range(length >> 3):
        literals[before, i] = load64(p + 8 * i)
    if length & 7:
        literals[before, length >> 3] = load64(p + (length & ~7)) & tail_mask(length & 7)
    lengths[before] = length
    followers[before] = key


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
        keys.slot[key] = keys.serial[1]
        keys.serial[1] += 1
    else:
        key = intern(keys.names, node, start, end, True)
        if key < 0:
            return nodes + node
        keys.slot[key] = -1
    keys.child[key], keys.next[key] = -1, -1
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
    slots, children, followers = keys.slot, keys.child, keys.next
    literals, lengths, seen, numbers_of = keys.literal, keys.length, keys.seen, keys.serial
    wants, rows, kinds, numbers, codes = found.want, found.rows, found.kinds, found.numbers, found.codes
    spans, times, good = found.spans, found.times, found.good
    vectors, pool, used = found.vectors, found.pool, found.used
    literals_at = literals.ctypes.data
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
            key = int64(followers[before])
            if key >= 0 and _guessed(literals_at + 8 * LITERAL * before, lengths[before], p):
                p += int64(lengths[before])
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
                    _learn(literals, lengths, followers, before, key, p, end)
                p = end
            if byte(p) <= 32:
                p = space(p)
            if key >= 2 * nodes:
                if seen[key] == serial:
                    p = -1
                    break
                seen[key] = serial
            slot, child = int64(slots[key]), int64(children[key])
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
            want = int64(wants[slot])
            end, kind, plain = -1, NESTED, False
            if c == 34:
                kind = TEXT
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
            elif c == 45 or (c >= 48 and c <= 57):
                if c == 45 and byte(p + 1) == 73:
                    end = constant(p + 1)
                    kind = NONFINITE
                else:
                    kind = NUMBER
                    end, value, whole = number(p)
                    plain = whole and (c != 45 or byte(p + 1) != 48)
                    if want & NUMBERS:
                        numbers[rows[slot, 0], r] = value
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
                codes[rows[slot, 1], r] = code + 1
            if want & SPANS:
                quote = 1 if kind == TEXT and plain else 0
                spans[rows[slot, 2], r, 0] = p - base + quote
                spans[rows[slot, 2], r, 1] = end - base - quote if plain else base - end
            kinds[slot, r] = kind + 1
            p = end
        if p >= 0 and space(p) == base + starts[i + 1] - 1:
            good[r] = True
    used[0] = filled
    return len(starts) - 1, DONE

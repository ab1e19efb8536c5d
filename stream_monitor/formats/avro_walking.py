"""Avro events -> the values that a plan needs, in arrays: one compiled walk by the instructions of their schemas.

An instruction is a row of `code`: what to do, the slot that its value goes to (NOWHERE, or KEYED: the slot of the map's
key), the family of its value, and three numbers more. avro_programs.py writes them.

What this walk does not understand (varints of more than nine bytes, values that are nothing the schema has, keys twice)
is not `good`, and is left to the plain way.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_monitor.counting.batches import BOOL, MISSING, NESTED, NONFINITE, NUMBER, TEXT
from stream_monitor.counting.times import LEAST_MS
from stream_monitor.formats.found import LENGTHS, OBJECT, SPANS, TIMES, Found
from stream_monitor.formats.interning import NONE, Strings, intern
from stream_monitor.formats.machine import as_double, as_single, byte, compiled, int64, load64, own64
from stream_monitor.formats.walking import DONE, NEEDS_WORDS
from stream_monitor.formats.wires import (
    NO_WORD,
    PUT,
    TIMED,
    clear,
    kind_at,
    put,
    put_end,
    put_kind,
    put_start,
    put_time,
    utf8,
    varint,
    wanted,
    zigzag,
)  # fmt: skip

NOWHERE: Final = -1
KEYED: Final = -2

# What to do; a, b, c are the numbers that follow slot and family.
END: Final = 0
NULL: Final = 1
BOOLEAN: Final = 2
LONG: Final = 3
FLOAT: Final = 4
DOUBLE: Final = 5
BYTES: Final = 6  # a: 1 where they must be UTF-8; else they are a text only where they are UTF-8
FIXED: Final = 7  # a: bytes, b: 1 where its text is not itself, c: characters of that text
ENUM: Final = 8  # a: where its symbols begin among `symbols`, b: how many
MOMENT: Final = 9  # a long that is written as a text; a, b: microseconds are long * a // b, a 0: never a time
UNION: Final = 10  # a: where its branches begin among `jumps`, b: how many
JUMP: Final = 11  # a: to which instruction
OPEN: Final = 12  # a record begins
CLOSE: Final = 13  # a record ends whose bytes are wanted
BLOCKS: Final = 14  # an array or a map begins; b: 1 for a map
ITEM: Final = 15  # its next item; a: where to go on after the last, b: 1 for a map, c: the map's number, or NOWHERE
REFUSE: Final = 16  # nothing for this walk

DEEPEST: Final = 32  # arrays and maps around each other
WIDTH: Final = 48  # bytes of an instruction


class Program(NamedTuple):
    """Instructions of many schemas, and what they refer to."""

    code: NDArray[np.int64]  # (instructions, 6)
    jumps: NDArray[np.int64]
    symbols: NDArray[np.int64]  # (symbols, 2): where each is among the constants, from and to
    keys: Strings  # of maps, tagged with the map's number
    slots: NDArray[np.int64]  # of those keys


@compiled
def moment(number: int, times: int, by: int) -> tuple[int, bool]:
    """(epoch ms, whether it is in the years 1 to 9999) of a count of `times / by` microseconds.

    >>> [int(moment(-1, *unit)[0]) for unit in ((1000, 1), (1, 1), (1, 1000))]
    [-1, -1, -1]
    """
    if number > (1 << 62) // times or number < -(1 << 62) // times:
        return 0, False
    ms = number * times // by // 1000
    return ms, ms >= LEAST_MS and ms < 253_402_300_800_000


@compiled
def walk(
    base: int, starts: NDArray[np.int64], first: int, offset: int, entries: NDArray[np.int64],
    begins: NDArray[np.int64], constants: int, program: Program, words: Strings, found: Found, sink: int, again: bool,
) -> tuple[int, int]:  # fmt: skip
    """Read records until the last; (where the walk stopped, why), to go on from there `again` when there is room.

    Record i is the bytes from base + starts[i] to base + starts[i + 1]; its event begins `begins[offset + i]` bytes
    later and is read from the instruction `entries[offset + i]` on, if that is not negative. It is written to column
    `offset + i` of `found`, whose `sink` (with `words`) is at that address. The constants are at base + constants.
    """
    code, jumps, symbols, key_slots = program.code.ctypes.data, program.jumps, program.symbols, program.slots
    good = found.good
    left, back = np.zeros(DEEPEST, np.int64), np.zeros(DEEPEST, np.int64)
    for i in range(first, len(starts) - 1):
        r = offset + i
        at = code + WIDTH * int64(entries[r])
        if at < code:
            continue
        if again and i == first:
            clear(found.kinds, r)
        p, end = base + int64(starts[i]) + int64(begins[r]), base + int64(starts[i + 1])
        depth, keyed = 0, int64(NOWHERE)
        while True:
            op, slot = int64(own64(at)), int64(own64(at + 8))
            a, b = int64(own64(at + 24)), int64(own64(at + 32))
            if slot == KEYED:
                slot = keyed
            kind, value, start, stop, letters = NESTED, 0.0, p, p, -1
            if op == DOUBLE:
                p += 8
                if p > end:
                    break
                if slot >= 0:
                    value = as_double(load64(start))
                    kind = NUMBER if value - value == 0.0 else NONFINITE
            elif op in (LONG, MOMENT):
                p, bits = varint(p, end)
                if p < 0 or p - start > 9:
                    break
                value, kind = np.float64(zigzag(bits)), NUMBER
                if op == MOMENT and slot >= 0:
                    kind, letters = TEXT, 0
                    want = wanted(sink, slot)
                    if want & (LENGTHS | TIMES):
                        if want & LENGTHS or a == 0:  # 0: a local time or one of the day, which is no instant
                            break
                        ms, ok = moment(zigzag(bits), a, b)
                        if not ok:
                            break
                        put_time(sink, r, ms)
                        letters = TIMED
            elif op == BYTES:
                start, bits = varint(p, end)
                length = zigzag(bits)
                if start < 0 or length < 0 or length > end - start:
                    break
                p = start + length
                if a == 1 or slot >= 0:
                    made = utf8(start, p)
                    if a == 1 and made < 0:
                        break
                    kind = TEXT if made >= 0 else NESTED
            elif op == UNION:
                p, bits = varint(p, end)
                choice = zigzag(bits)
                if p < 0 or choice < 0 or choice >= b:
                    break
                at = code + WIDTH * int64(jumps[a + choice])
                continue
            elif op == JUMP:
                at = code + WIDTH * a
                continue
            elif op == NULL:
                kind = MISSING
            elif op == BOOLEAN:
                if p >= end or byte(p) > 1:
                    break
                kind = BOOL
                p += 1
            elif op == FLOAT:
                p += 4
                if p > end:
                    break
                if slot >= 0:
                    value = as_single(load64(start))
                    kind = NUMBER if value - value == 0.0 else NONFINITE
            elif op == ENUM:
                p, bits = varint(p, end)
                choice = zigzag(bits)
                if p < 0 or choice < 0 or choice >= b:
                    break
                start = base + constants + int64(symbols[a + choice, 0])
                stop = base + constants + int64(symbols[a + choice, 1])
                kind = TEXT
            elif op == FIXED:
                if a > end - p:
                    break
                p += a
                if slot >= 0 and b == 1:
                    kind, letters = TEXT, int64(own64(at + 40))
                elif slot >= 0:
                    kind = TEXT if utf8(start, p) >= 0 else NESTED
            elif op in (OPEN, BLOCKS):
                if slot >= 0:
                    want = wanted(sink, slot)
                    if want & TIMES or kind_at(sink, slot, r) != 0:
                        break
                    if want & SPANS:
                        put_start(sink, slot, r, p - base)
                    put_kind(sink, slot, r, OBJECT if op == OPEN or b == 1 else NESTED + 1)
                if op == BLOCKS:
                    left[depth], back[depth] = 0, slot
                    depth += 1
                at += WIDTH
                continue
            elif op == CLOSE:
                put_end(sink, slot, r, p - base, int64(own64(at + 16)))
                at += WIDTH
                continue
            elif op == ITEM:
                if left[depth - 1] == 0:
                    p, bits = varint(p, end)
                    count = zigzag(bits)
                    if p < 0:
                        break
                    if count == 0:
                        depth -= 1
                        slot = int64(back[depth])
                        if slot >= 0 and wanted(sink, slot) & SPANS:
                            put_end(sink, slot, r, p - base, int64(own64(at + 16)))
                        at = code + WIDTH * a
                        continue
                    if count < 0:
                        count = -count
                        p, bits = varint(p, end)
                        if p < 0 or count < 0:
                            break
                    left[depth - 1] = count
                left[depth - 1] -= 1
                if b == 1:
                    start, bits = varint(p, end)
                    length = zigzag(bits)
                    if start < 0 or length < 0 or length > end - start or utf8(start, start + length) < 0:
                        break
                    p = start + length
                    c = int64(own64(at + 40))
                    if c >= 0:
                        key = intern(program.keys, c, start, p, False)
                        keyed = int64(NOWHERE) if key == NONE else int64(key_slots[key])
                        if keyed >= 0 and kind_at(sink, keyed, r) != 0:
                            break
                at += WIDTH
                continue
            elif op == END:
                good[r] = p == end
                break
            else:  # REFUSE
                break
            if slot >= 0:
                if op != ENUM:
                    stop = p
                family = int64(own64(at + 16))
                became = put(sink, base, r, slot, family, kind, value, start, stop, letters)
                if became == NO_WORD:
                    if intern(words, family, start, stop, True) < 0:
                        return i, NEEDS_WORDS
                    became = put(sink, base, r, slot, family, kind, value, start, stop, letters)
                if became != PUT:
                    break
            at += WIDTH
    return len(starts) - 1, DONE

"""What a compiled walk is asked for and what it fills: arrays, a row a slot, a column a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream_monitor.formats.machine import address

# What is wanted of a value.
NUMBERS: Final = 1  # its double
CODES: Final = 2  # the number of its bytes among the words
SPANS: Final = 4  # where it stands in the buffer
TIMES: Final = 8  # its epoch ms; what is no time is not good
LENGTHS: Final = 16  # of a text, in characters, among the numbers
TEXTS: Final = 32  # the number of its bytes among the words, if it is a text or a boolean
VECTORS: Final = 64  # of a list, the numbers in it
ITEMS: Final = 128  # of a list, how many values it has, among the numbers

# Kinds as the walk writes them: those of batches.py and one, 0 where there was nothing.
ABSENT: Final = 0
OBJECT: Final = 7

PLACE: Final = 4


class Found(NamedTuple):
    """What was found, a row a slot, a column a record. `rows` are where numbers, codes, spans, vectors of slots are."""

    want: NDArray[np.uint8]
    rows: NDArray[np.int32]  # (slots, 4), -1: not wanted
    places: NDArray[np.int64]  # (slots, PLACE): what is wanted, and the addresses of the rows of kinds, numbers, codes
    kinds: NDArray[np.uint8]  # kind + 1
    numbers: NDArray[np.float64]
    codes: NDArray[np.int32]  # number of the word + 1
    spans: NDArray[np.int64]  # (rows, records, 2); ends are negative where the bytes are not the text itself
    vectors: NDArray[np.int64]  # (rows, records, 2): where its numbers begin in the pool, and how many they are
    pool: NDArray[np.float64]
    used: NDArray[np.int64]  # how many numbers are in the pool
    times: NDArray[np.int64]
    good: NDArray[np.bool_]


def nothing_yet(wants: Sequence[int], n: int) -> Found:
    """Room for what is wanted of the slots in `n` records."""
    rows = np.full((len(wants), 4), -1, np.int32)
    for place, of in enumerate((NUMBERS | LENGTHS | ITEMS, CODES | TEXTS, SPANS, VECTORS)):
        wanted = [slot for slot, want in enumerate(wants) if want & of]
        rows[wanted, place] = range(len(wanted))
    counts = rows.max(axis=0, initial=-1) + 1
    kinds, numbers = np.zeros((len(wants), n), np.uint8), np.zeros((counts[0], n))
    codes = np.zeros((counts[1], n), np.int32)
    places = np.zeros((len(wants), PLACE), np.int64)
    places[:, 0] = wants
    places[:, 1] = address(kinds) + n * np.arange(len(wants))
    places[:, 2] = address(numbers) + 8 * n * rows[:, 0].astype(np.int64)
    places[:, 3] = address(codes) + 4 * n * rows[:, 1].astype(np.int64)
    return Found(
        want=np.array(wants, np.uint8),
        rows=rows,
        places=places,
        kinds=kinds,
        numbers=numbers,
        codes=codes,
        spans=np.zeros((counts[2], n, 2), np.int64),
        vectors=np.zeros((counts[3], n, 2), np.int64),
        pool=np.zeros(0),
        used=np.zeros(1, np.int64),
        times=np.zeros(n, np.int64),
        good=np.zeros(n, np.bool_),
    )


def with_room(found: Found, wants: Sequence[int]) -> Found:
    """The same with more slots, behind those that it has."""
    into = nothing_yet(wants, len(found.good))
    into.times[:], into.good[:] = found.times, found.good
    for old, new in ((found.kinds, into.kinds), (found.numbers, into.numbers), (found.codes, into.codes)):
        new[: len(old)] = old
    into.spans[: len(found.spans)] = found.spans
    into.vectors[: len(found.vectors)] = found.vectors
    return into._replace(pool=found.pool, used=found.used)


def with_pool(found: Found, numbers: int) -> Found:
    """The same with an empty pool for so many numbers at least. What is not written to takes no memory."""
    found.used[0] = 0
    return found if len(found.pool) >= numbers else found._replace(pool=np.empty(numbers))

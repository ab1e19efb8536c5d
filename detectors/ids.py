"""How many events repeat an id, from counts that add up: a sample of the ids, each with all of its events.

Each id belongs to one of ID_LEVELS levels, level l with probability 2**-(l + 1), and there to one of ID_CELLS cells,
all by its hash. A cell keeps its number of events and the sum of their fingerprints: 28 bits of the hash and a 16-bit
check of them. If all events of a cell have one id, the sum is a multiple of the number and the quotient carries its own
check; if ids are mixed, it does by chance only, once in 65,536. So a level with about as many ids as cells shows more
than a third of its ids alone, and since which ids are alone depends on their hashes and not on how often they come,
these are a fair sample: ids and events of it, counted exactly.

Over all levels about 1.44 * ID_CELLS = 185 ids are seen alone, however many there are (all of them while they are few).
The share of duplicates, 1 - ids / events of the sample, has a standard error of about sqrt(share * (1 - share) / 185),
and none at all where nothing is repeated: why not the number of colliding pairs of hashes, which adds up as well, but
has the same error, 1 / sqrt(2 cells), with and without duplicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from detectors.layouts import ID_CELLS, ID_LEVELS

Integers = NDArray[np.int64]
Hashes = NDArray[np.uint64]

_LEVEL_BITS: Final = ID_LEVELS - 1
_CELL_BITS: Final = ID_CELLS.bit_length() - 1
_VALUE_BITS: Final = 28
_CHECK_BITS: Final = 16
_SURE: Final = 1 << 19  # events whose fingerprints add up without overflow
_EMPTY: Final = 0.1  # share of empty cells from which a level is read: above, ids are nearly never alone


def _mixed(x: Hashes) -> Hashes:
    """Spread 64 bits (the finalizer of splitmix64, Steele, Lea and Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def hash_texts(texts: Sequence[str | bytes]) -> Hashes:
    """A fixed hash of each text; two texts share one with probability 2**-32.

    >>> hash_texts(["a", b"a"]).tolist() == hash_texts([b"a", "a"]).tolist()
    True
    """
    data = (t if isinstance(t, bytes) else t.encode("utf-8", "surrogatepass") for t in texts)
    return _mixed(np.fromiter(map(crc32, data), np.uint64, len(texts)) + np.uint64(0x9E3779B97F4A7C15))


def id_cells(hashes: Hashes) -> tuple[Integers, Integers]:
    """(cell, fingerprint) of each event by the hash of its id."""
    tail = hashes & np.uint64((1 << _LEVEL_BITS) - 1)
    level = np.full(len(hashes), _LEVEL_BITS, np.int64)
    lowest = tail & (~tail + np.uint64(1))
    some = tail > 0
    level[some] = np.frexp(lowest[some].astype(np.float64))[1] - 1
    cell = (hashes >> np.uint64(_LEVEL_BITS)) & np.uint64(ID_CELLS - 1)
    value = (hashes >> np.uint64(_LEVEL_BITS + _CELL_BITS)) & np.uint64((1 << _VALUE_BITS) - 1)
    return level * ID_CELLS + cell.astype(np.int64), _fingerprint(value.astype(np.int64))


def _fingerprint(value: Integers) -> Integers:
    check = _mixed(value.astype(np.uint64)) & np.uint64((1 << _CHECK_BITS) - 1)
    return (value << _CHECK_BITS) | check.astype(np.int64)


def alone(counts: Integers, sums: Integers) -> tuple[int, int]:
    """(ids, their events) of the cells that hold one id each; `counts` and `sums` are those of all cells.

    >>> cell, mark = id_cells(hash_texts(["a", "b", "b", "c"]))
    >>> counts, sums = np.zeros((2, ID_LEVELS * ID_CELLS), np.int64)
    >>> np.add.at(counts, cell, 1); np.add.at(sums, cell, mark)
    >>> alone(counts, sums)
    (3, 4)
    """
    readable = np.repeat((counts.reshape(ID_LEVELS, ID_CELLS) == 0).mean(axis=1) >= _EMPTY, ID_CELLS)
    used = readable & (counts > 0)
    n, s = counts[used], sums[used]
    mark = s // n
    single = (n >= _SURE) | ((mark * n == s) & (_fingerprint(mark >> _CHECK_BITS) == mark))
    return int(single.sum()), int(n[single].sum())

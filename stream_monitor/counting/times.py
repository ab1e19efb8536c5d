"""Event times as messages write them -> integer epoch ms, a column at a time.

Text is RFC 3339 with an offset. A number below 1e11 is seconds, below 1e14 milliseconds, else microseconds. Whatever
the unit, a time is taken to whole microseconds first and then cut to ms, so that 1700000000.007 s is ...007 ms and
...999.9996 s stays in its second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

LEAST_MS: Final = -62_135_596_800_000  # 0001-01-01T00:00:00Z: what comes before cannot be written as a date
GREATEST_MS: Final = 9_000_000_000_000_000  # far beyond year 9999, far below overflow
_ZERO, _NINE = ord("0"), ord("9")


def parse_times(values: Sequence[Any]) -> tuple[Integers, Mask]:
    """(epoch ms, which of them are good); a bad one reads 0.

    >>> parse_times(["1970-01-01T01:00:00.5+01:00", 2, 1_700_000_000_001, 1_700_000_000_001_999, "yesterday", True])
    (array([          500,          2000, 1700000000001, 1700000000001,
                       0,             0]), array([ True,  True,  True,  True, False, False]))
    """
    times, good = np.zeros(len(values), np.int64), np.zeros(len(values), np.bool_)
    kinds = set(map(type, values))
    if kinds == {str}:
        return _texts(values)
    if kinds <= {int, float}:
        return _numbers(values)
    for kind, parse in ((str, _texts), (int, _numbers), (float, _numbers)):
        if kind in kinds:
            rows = [i for i, v in enumerate(values) if type(v) is kind]
            times[rows], good[rows] = parse([values[i] for i in rows])
    return times, good


def _numbers(values: Sequence[float]) -> tuple[Integers, Mask]:
    try:
        v = np.array(values, np.float64)
    except OverflowError:  # an integer beyond every double
        v = np.array([max(-1e300, min(1e300, x)) for x in values], np.float64)
    good = np.isfinite(v) & (v >= LEAST_MS / 1000)
    v = np.where(good, v, 0.0)
    micros = v * np.where(v < 1e11, 1e6, np.where(v < 1e14, 1e3, 1.0))
    times = np.rint(np.minimum(micros, GREATEST_MS * 1e3)).astype(np.int64) // 1000
    return times, good


def _texts(values: Sequence[str]) -> tuple[Integers, Mask]:
    times, good = np.zeros(len(values), np.int64), np.zeros(len(values), np.bool_)
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    for length in np.unique(lengths):
        if length < len("2024-01-01T00:00:00Z"):
            continue
        rows = np.flatnonzero(lengths == length)
        data = "".join([values[i] for i in rows.tolist()]) if len(rows) < len(values) else "".join(values)
        if not data.isascii():
            ascii_ = np.array([values[i].isascii() for i in rows.tolist()], np.bool_)
            rows = rows[ascii_]
            data = "".join([values[i] for i in rows.tolist()])
        if len(rows):
            text = np.frombuffer(data.encode("ascii"), np.uint8).reshape(len(rows), int(length))
            times[rows], good[rows] = _same_length(text)
    return times, good


def _same_length(text: NDArray[np.uint8]) -> tuple[Integers, Mask]:
    """RFC 3339 texts of one length, one a row."""
    n, length = text.shape
    digit = (text >= _ZERO) & (text <= _NINE)
    value = text.astype(np.int64) - _ZERO

    def number(first: int, last: int) -> Integers:
        total = np.zeros(n, np.int64)
        for i in range(first, last):
            total = total * 10 + value[:, i]
        return total

    zulu = (text[:, -1] | 0x20) == ord("z")
    sign = np.where(text[:, -6] == ord("-"), -1, 1) if length >= 25 else np.ones(n, np.int64)
    shifted = np.zeros(n, np.bool_)
    if length >= 25:
        shifted = ((text[:, -6] == ord("+")) | (text[:, -6] == ord("-"))) & (text[:, -3] == ord(":"))
        shifted &= digit[:, [-5, -4, -2, -1]].all(axis=1)
    good = zulu | shifted
    good &= digit[:, [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18]].all(axis=1)
    for i, char in ((4, "-"), (7, "-"), (13, ":"), (16, ":")):
        good &= text[:, i] == ord(char)
    good &= ((text[:, 10] | 0x20) == ord("t")) | (text[:, 10] == ord(" "))
    year, month, day = number(0, 4), number(5, 7), number(8, 10)
    hour, minute, second = number(11, 13), number(14, 16), number(17, 19)
    good &= (month >= 1) & (month <= 12) & (day >= 1) & (hour <= 23) & (minute <= 59) & (second <= 60)
    leap = ((year % 4 == 0) & (year % 100 != 0)) | (year % 400 == 0)
    days_of = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)[np.clip(month - 1, 0, 11)]
    good &= day <= days_of + (leap & (month == 2))
    good &= year >= 1
    fraction = np.zeros(n, np.int64)
    for tail in {1, 6}:
        kind = zulu if tail == 1 else shifted & ~zulu
        width = length - 19 - tail
        if width == 0 or not kind.any():
            continue
        if width < 0:
            good &= ~kind
            continue
        part = (text[:, 19] == ord(".")) & digit[:, 20 : 19 + width].all(axis=1) & (width >= 2)
        good &= part | ~kind
        for place, worth in zip(range(20, min(23, 19 + width)), (100, 10, 1), strict=False):
            fraction = np.where(kind, fraction + value[:, place] * worth, fraction)
    offset = np.zeros(n, np.int64)
    if length >= 25:
        hours, minutes = number(length - 5, length - 3), number(length - 2, length)
        only = shifted & ~zulu
        good &= ~only | ((hours <= 23) & (minutes <= 59))
        offset = np.where(only, sign * (hours * 60 + minutes), 0)
    # Days since 1970-01-01, with years that begin in March so that the leap day is the last one.
    y = year - (month <= 2)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = y * 365 + y // 4 - y // 100 + y // 400 + day_of_year - 719_468
    times = ((days * 24 + hour) * 60 + minute - offset) * 60_000 + second * 1000 + fraction
    good &= times >= LEAST_MS
    return np.where(good, times, 0), good

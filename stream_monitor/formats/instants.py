"""Event times as times.py reads them, compiled: the same rules, a value at a time."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from stream_monitor.counting.times import GREATEST_MS, LEAST_MS
from stream_monitor.formats.machine import byte, compiled, int64

_LEAST_SECONDS: Final = LEAST_MS / 1000
_GREATEST_MICROS: Final = GREATEST_MS * 1e3
_DIGITS: Final = np.array([0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18])
_DAYS: Final = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


@compiled
def epoch_ms(value: float) -> tuple[int, bool]:
    """(epoch ms, whether it is a time) of a finite number of s, ms or us.

    >>> [int(epoch_ms(value)[0]) for value in (1_700_000_000.007, 1_700_000_000_007.0)], epoch_ms(-1e300)
    ([1700000000007, 1700000000007], (0, False))
    """
    if not value >= _LEAST_SECONDS:
        return 0, False
    scale = 1e6 if value < 1e11 else 1e3 if value < 1e14 else 1.0
    return int64(np.rint(min(value * scale, _GREATEST_MICROS))) // 1000, True


@compiled
def _two(p: int) -> Any:
    return int64(byte(p)) * 10 + int64(byte(p + 1)) - 528


@compiled
def rfc3339_ms(p: int, end: int) -> tuple[int, bool]:
    """(epoch ms, whether it is a time) of the ASCII text from `p` to `end`.

    >>> text = np.frombuffer(b"1970-01-01T01:00:00.5+01:00", np.uint8)
    >>> ms, good = rfc3339_ms(text.ctypes.data, text.ctypes.data + 27)
    >>> int(ms), good
    (500, True)
    """
    if end - p < 20:
        return 0, False
    for i in _DIGITS:
        if byte(p + i) < 48 or byte(p + i) > 57:
            return 0, False
    if byte(p + 4) != 45 or byte(p + 7) != 45 or byte(p + 13) != 58 or byte(p + 16) != 58:
        return 0, False
    if byte(p + 10) | 32 != 116 and byte(p + 10) != 32:
        return 0, False
    year, month, day = _two(p) * 100 + _two(p + 2), _two(p + 5), _two(p + 8)
    hour, minute, second = _two(p + 11), _two(p + 14), _two(p + 17)
    if year < 1 or month < 1 or month > 12 or day < 1 or hour > 23 or minute > 59 or second > 60:
        return 0, False
    leap = month == 2 and ((year % 4 == 0 and year % 100 != 0) or year % 400 == 0)
    if day > _DAYS[month - 1] + (1 if leap else 0):
        return 0, False
    shift, tail = 0, end - 1
    if byte(tail) | 32 != 122:
        tail = end - 6
        sign = byte(tail)
        if end - p < 25 or (sign != 43 and sign != 45) or byte(end - 3) != 58:
            return 0, False
        for i in (end - 5, end - 4, end - 2, end - 1):
            if byte(i) < 48 or byte(i) > 57:
                return 0, False
        hours, minutes = _two(end - 5), _two(end - 2)
        if hours > 23 or minutes > 59:
            return 0, False
        shift = hours * 60 + minutes
        if sign == 45:
            shift = -shift
    fraction, worth = 0, 100
    if tail > p + 19:
        if byte(p + 19) != 46 or tail == p + 20:
            return 0, False
        for i in range(p + 20, tail):
            if byte(i) < 48 or byte(i) > 57:
                return 0, False
            fraction += worth * (int64(byte(i)) - 48)
            worth //= 10
    # Days since 1970-01-01, with years that begin in March so that the leap day is the last one.
    y = year - (1 if month <= 2 else 0)
    days = y * 365 + y // 4 - y // 100 + y // 400 + (153 * ((month + 9) % 12) + 2) // 5 + day - 1 - 719_468
    ms = ((days * 24 + hour) * 60 + minute - shift) * 60_000 + second * 1000 + fraction
    return (ms, True) if ms >= LEAST_MS else (0, False)

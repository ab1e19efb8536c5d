"""Numbers in JSON, compiled: where one that begins here ends, and the double that it says.

Places are as in scanning.py. -1 says: no number, or nothing for the quick way; json.loads decides.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from stream_monitor.formats.floats import nearest
from stream_monitor.formats.machine import byte, compiled, inlined, int64, load64, trailing_zeros

LONGEST_NUMBER: Final = 512  # bytes
_TOPS: Final = np.uint64(0x8080808080808080)
_LOWS: Final = np.uint64(0x7F7F7F7F7F7F7F7F)
_TO_TEN: Final = np.uint64(0x7676767676767676)
_ZEROS: Final = np.uint64(0x3030303030303030)
_PAIRS: Final = np.uint64(0x000000FF000000FF)
_FIRST: Final = np.uint64(0x000F424000000064)
_SECOND: Final = np.uint64(0x0000271000000001)
_0: Final = np.uint64(0)
_1: Final = np.uint64(1)
_3: Final = np.uint64(3)
_8: Final = np.uint64(8)
_10: Final = np.uint64(10)
_16: Final = np.uint64(16)
_32: Final = np.uint64(32)
_64: Final = np.uint64(64)
_TO_EIGHTS: Final = np.uint64(0x78)
_EXACT: Final = np.uint64(1 << 53)
_TENS: Final = np.array([10**k for k in range(9)], np.uint64)
_POWERS: Final = np.array([10.0**k for k in range(19)])  # doubles, so that a quotient is rounded once


@inlined
def _digits(p: int, w: np.uint64) -> tuple[int, np.uint64]:
    """Past the digits at `p`, and `w` with them at its end (cut off above 64 bits)."""
    while True:
        x = load64(p) ^ _ZEROS
        other = (((x & _LOWS) + _TO_TEN) | x) & _TOPS
        k = trailing_zeros(other) >> _3
        if k == _0:
            return p, w
        x = x << ((_8 - k) << _3)
        x = x * _10 + (x >> _8)
        x = ((x & _PAIRS) * _FIRST + ((x >> _16) & _PAIRS) * _SECOND) >> _32
        w = w * _TENS[np.int64(k)] + x
        p += int64(k)
        if k != _8:
            return p, w


@compiled
def _long(p: int, end: int) -> tuple[np.uint64, int, bool]:
    """The first 19 digits between `p` and `end` that count, the power of ten to add, and whether others were cut."""
    w, seen, ten, fraction, cut = _0, 0, 0, False, False
    while p < end:
        c = byte(p)
        p += 1
        if c == 46:
            fraction = True
            continue
        if c < 48 or c > 57:
            break
        if seen < 19:
            w = w * _10 + np.uint64(c - 48)
            if w != _0:
                seen += 1
            if fraction:
                ten -= 1
        else:
            cut = cut or c != 48
            if not fraction:
                ten += 1
    return w, ten, cut


@compiled
def number(p: int) -> tuple[int, float, bool]:
    """(the end, the double, whether it is an integer as JSON writes one) of a finite number."""
    begin = p
    negative = int64(byte(p) == 45)  # a sign cannot be guessed, so there is no branch
    p += negative
    first = p
    c = byte(p)
    if byte(p + 1) == 46 and c >= 48 and c <= 57:  # one digit, as most have: what follows need not wait for its end
        p, w, count = p + 1, np.uint64(c - 48), 1
    else:
        p, w = _digits(p, _0)
        count = p - first
        if count == 0 or (c == 48 and count > 1):
            return -1, 0.0, False
    q, whole = 0, True
    if byte(p) == 46:
        whole = False
        fraction = p + 1
        p, w = _digits(fraction, w)
        if p == fraction:
            return -1, 0.0, False
        q = fraction - p
        count -= q
    digits_end = p
    ten = 0
    if byte(p) | 32 == 101:
        whole = False
        p += 1
        minus = byte(p) == 45
        if minus or byte(p) == 43:
            p += 1
        exponent = p
        while byte(p) >= 48 and byte(p) <= 57:
            ten = min(ten * 10 + int64(byte(p)) - 48, 100_000)
            p += 1
        if p == exponent:
            return -1, 0.0, False
        if minus:
            ten = -ten
    if p - begin > LONGEST_NUMBER:
        return -1, 0.0, False
    cut = False
    if count > 19:
        if c == 48:  # zeros before all other digits say nothing, and there are more than eight digits
            count -= 1 + int64(trailing_zeros(load64(first + 2) ^ _ZEROS) >> _3)
        if count > 19:
            w, q, cut = _long(first, digits_end)
    value, known = nearest(w, q + ten, cut)
    if not known:
        return -1, 0.0, False
    value = value * np.float64(1 - 2 * negative)
    if whole:
        value = value + 0.0  # -0 is an integer, and those have one zero
    return p, value, whole


@inlined
def _count(x: Any) -> Any:
    """Eight bytes that were taken from `0` each: eight times as many as are digits from the first one on."""
    return trailing_zeros((((x & _LOWS) + _TO_TEN) | x) & _TOPS) & _TO_EIGHTS


@inlined
def _said(x: Any, bits: Any) -> Any:
    """What the first of eight such digits say; `bits`: eight times as many as they are."""
    half = (_64 - bits) >> _1  # twice, as no number of 64 bits can be shifted by 64
    x = (x << half) << half
    x = x * _10 + (x >> _8)
    return ((x & _PAIRS) * _FIRST + ((x >> _16) & _PAIRS) * _SECOND) >> _32


@inlined
def decimal(p: int) -> tuple[int, float]:
    """(the end, the double) of a digit, a point and up to eighteen digits, as most are; -1: `number` decides.

    Without a branch that could be guessed wrong: not for the sign, not for how many digits there are.
    """
    minus = int64(byte(p) == 45)
    p += minus
    whole = byte(p) - 48
    x, y = load64(p + 2) ^ _ZEROS, load64(p + 10) ^ _ZEROS
    first, second = _count(x), _count(y)
    second = second if first == _64 else _0
    w = (np.uint64(whole) * _TENS[int64(first >> _3)] + _said(x, first)) * _TENS[int64(second >> _3)] + _said(y, second)
    bits = first + second
    if second == _64:  # as of doubles that nobody rounded
        x = load64(p + 18) ^ _ZEROS
        first = min(_count(x), _16)  # nineteen digits are less than 2^64
        w = w * _TENS[int64(first >> _3)] + _said(x, first)
        bits += first
    digits = int64(bits >> _3)
    end = p + 2 + digits
    c = byte(end)
    if byte(p + 1) != 46 or whole < 0 or whole > 9 or digits == 0 or c | 32 == 101 or (c >= 48 and c <= 57):
        return -1, 0.0
    if w < _EXACT:
        value = np.float64(int64(w)) / _POWERS[digits]
    else:
        value, known = nearest(w, -digits, False)
        if not known:
            return -1, 0.0
    return end, value * np.float64(1 - 2 * minus)

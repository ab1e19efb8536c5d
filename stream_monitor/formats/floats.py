"""Decimal digits -> the nearest double, the same to the last bit as Python's float().

Up to 2^53 and powers of ten up to 22 both are doubles, so that one multiplication or division rounds once (Clinger
1990). Else the digits are multiplied by 128 bits of the power of five (Lemire, "Number parsing at a gigabyte per
second", Software: Practice and Experience 51, 2021; that no case is left over: Mushtak and Lemire, "Fast number
parsing without fallback", 2023). Subnormal and infinite results are left to the caller's plain way.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from stream_monitor.formats.machine import as_double, compiled, high64, int64, leading_zeros

LEAST: Final = -342  # exponent of ten
GREATEST: Final = 308


def _fives() -> Any:
    """The 128 leading bits of 5^q as two halves; of a reciprocal rounded up, of a large power rounded down."""
    rows = []
    for q in range(LEAST, GREATEST + 1):
        if q >= 0:
            power = 5**q
            shift = power.bit_length() - 128
            bits = power >> shift if shift >= 0 else power << -shift
        else:
            power = 5**-q
            bits = (1 << (power.bit_length() + 127)) // power + 1
            assert bits.bit_length() == 128
        rows.append((bits >> 64, bits & 0xFFFFFFFFFFFFFFFF))
    return np.array(rows, np.uint64)


_FIVES: Final = _fives()
_TENS: Final = np.array([10.0**q for q in range(23)])

_0: Final = np.uint64(0)
_1: Final = np.uint64(1)
_3: Final = np.uint64(3)
_ALL: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_LOW_9: Final = np.uint64(0x1FF)
_TOP: Final = np.uint64(63)
_FRACTION: Final = np.uint64(0x000FFFFFFFFFFFFF)
_TWO: Final = np.uint64(1 << 53)
_SHIFT_52: Final = np.uint64(52)
_SHIFT_9: Final = np.uint64(9)


@compiled
def _bits(w: Any, q: int) -> Any:
    """The bits of the double nearest to w * 10^q, w > 0; all ones where it is not an ordinary one."""
    if q < -342 or q > 308:
        return _ALL
    zeros = leading_zeros(w)
    w = w << zeros
    high_five, low_five = _FIVES[q + 342, 0], _FIVES[q + 342, 1]
    high, low = high64(w, high_five), w * high_five
    if (high & _LOW_9) == _LOW_9:  # the lower half of the power may still change what is kept
        more = high64(w, low_five)
        low = low + more
        if low < more:
            high = high + _1
        if low == _ALL and (q < -27 or q > 55):
            return _ALL
    upper = high >> _TOP
    shift = upper + _SHIFT_9
    mantissa = high >> shift  # 54 bits, the last one to be rounded away
    exponent = ((217706 * q) >> 16) + 63 + int64(upper) - int64(zeros) + 1023
    if exponent <= 0:
        return _ALL
    # Halfway between two doubles, and what was cut off is nothing: round to even.
    if low <= _1 and q >= -4 and q <= 23 and (mantissa & _3) == _1 and (mantissa << shift) == high:
        mantissa = mantissa & ~_1
    mantissa = (mantissa + (mantissa & _1)) >> _1
    if mantissa >= _TWO:
        mantissa = mantissa >> _1
        exponent += 1
    if exponent >= 2047:
        return _ALL
    return (mantissa & _FRACTION) | (np.uint64(exponent) << _SHIFT_52)


@compiled
def nearest(w: Any, q: int, cut: bool) -> tuple[float, bool]:
    """(the double nearest to w * 10^q, whether it is known).

    `cut`: digits after those of w were left out, and w + 1 must say the same.

    >>> [float(nearest(np.uint64(w), q, False)[0]) for w, q in ((15, -1), (3, 22))]
    [1.5, 3e+22]
    """
    if w < _TWO and not cut:
        if q == 0:
            return np.float64(int64(w)), True
        if q < 0 and q >= -22:
            return np.float64(int64(w)) / _TENS[-q], True
        if q > 0 and q <= 22:
            return np.float64(int64(w)) * _TENS[q], True
    if w == _0:
        return 0.0, not cut
    bits = _bits(w, q)
    if bits == _ALL or (cut and _bits(w + _1, q) != bits):
        return 0.0, False
    return as_double(bits), True

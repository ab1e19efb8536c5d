"""The grammar of JSON, a compiled function for each part: where a value that begins here ends, and what it says.

Places are addresses. A NUL follows each record (no JSON holds one bare, so that all loops end there), and PADDING bytes
follow the last. -1 says: not JSON, or nothing for the quick way; json.loads decides.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from stream_monitor.formats.floats import nearest
from stream_monitor.formats.machine import byte, compiled, inlined, int64, load64, trailing_zeros

# What a text is made of.
PLAIN: Final = 0
ESCAPES: Final = 1
WIDE: Final = 2  # not ASCII, well-formed UTF-8

LONGEST_NUMBER: Final = 512  # bytes
DEEPEST: Final = 60  # levels below a value that is skipped

_TOPS: Final = np.uint64(0x8080808080808080)
_LOWS: Final = np.uint64(0x7F7F7F7F7F7F7F7F)
_QUOTES: Final = np.uint64(0x2222222222222222)
_SLASHES: Final = np.uint64(0x5C5C5C5C5C5C5C5C)
_TO_SPACE: Final = np.uint64(0x6060606060606060)
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
_NAN: Final = np.uint64(int.from_bytes(b"NaN", "little"))
_INFINITY: Final = np.uint64(int.from_bytes(b"Infinity", "little"))
_TRUE: Final = np.uint64(int.from_bytes(b"true", "little"))
_FALSE: Final = np.uint64(int.from_bytes(b"false", "little"))
_NULL: Final = np.uint64(int.from_bytes(b"null", "little"))


@inlined
def space(p: int) -> int:
    """Past white space."""
    while byte(p) == 32 or byte(p) == 10 or byte(p) == 13 or byte(p) == 9:
        p += 1
    return p


@inlined
def _word(p: int, word: Any, length: int) -> int:
    mask = (_1 << (np.uint64(length) << _3)) - _1 if length < 8 else ~_0
    return p + length if load64(p) & mask == word else -1


@compiled
def constant(p: int) -> int:
    """The end of true, false, null, NaN or Infinity."""
    c = byte(p)
    if c == 110:
        return _word(p, _NULL, 4)
    if c == 116:
        return _word(p, _TRUE, 4)
    if c == 102:
        return _word(p, _FALSE, 5)
    if c == 78:
        return _word(p, _NAN, 3)
    if c == 73:
        return _word(p, _INFINITY, 8)
    return -1


@compiled
def wide(p: int) -> int:
    """The end of the UTF-8 sequence of two to four bytes at `p`; no overlong ones, surrogates or beyond U+10FFFF."""
    c = byte(p)
    least, most, more = 0x80, 0xBF, 0
    if c >= 0xC2 and c <= 0xDF:
        more = 1
    elif c >= 0xE0 and c <= 0xEF:
        more = 2
        if c == 0xE0:
            least = 0xA0
        elif c == 0xED:
            most = 0x9F
    elif c >= 0xF0 and c <= 0xF4:
        more = 3
        if c == 0xF0:
            least = 0x90
        elif c == 0xF4:
            most = 0x8F
    else:
        return -1
    for i in range(1, more + 1):
        if byte(p + i) < least or byte(p + i) > most:
            return -1
        least, most = 0x80, 0xBF
    return p + more + 1


@compiled
def _hex(c: int) -> int:
    if c >= 48 and c <= 57:
        return c - 48
    c |= 32
    return c - 87 if c >= 97 and c <= 102 else -1


@compiled
def _escape(p: int) -> int:
    r"""The end of the escape whose backslash is at `p`."""
    c = byte(p + 1)
    if c == 117:
        for i in range(2, 6):
            if _hex(int64(byte(p + i))) < 0:
                return -1
        return p + 6
    for known in (34, 92, 47, 98, 102, 110, 114, 116):
        if c == known:
            return p + 2
    return -1


@inlined
def _odd(p: int) -> Any:
    """The top bits of those of eight bytes that are a quote, a backslash, a control, or not ASCII."""
    w = load64(p)
    quotes, slashes = w ^ _QUOTES, w ^ _SLASHES
    odd = w | ~((w & _LOWS) + _TO_SPACE) | ~((quotes & _LOWS) + _LOWS | quotes) | ~((slashes & _LOWS) + _LOWS | slashes)
    return odd & _TOPS


@inlined
def plain_text(p: int) -> int:
    """The place of the closing quote of a text of plain ASCII, up to sixteen bytes; -1: `text` decides."""
    odd = _odd(p)
    if odd == _0:
        p += 8
        odd = _odd(p)
    p += int64((trailing_zeros(odd) & _TO_EIGHTS) >> _3)
    return p if byte(p) == 34 else -1


@compiled
def text(p: int) -> tuple[int, int]:
    """(the place of the closing quote, what the text is made of), `p` being past the opening one."""
    made = 0
    while True:
        odd = _odd(p)
        if odd == _0:
            p += 8
            continue
        p += int64(trailing_zeros(odd) >> _3)
        c = byte(p)
        if c == 34:
            return p, made
        if c == 92:
            made |= 1
            p = _escape(p)
        elif c >= 128:
            made |= 2
            p = wide(p)
        else:
            p = -1
        if p < 0:
            return -1, made


@compiled
def characters(p: int, end: int) -> int:
    """How many characters the text between its quotes has for Python: two escapes that are a pair are one."""
    count = 0
    after_high = False
    while p < end:
        c = byte(p)
        high = False
        if c == 92 and byte(p + 1) == 117:
            top = _hex(int64(byte(p + 2))) * 16 + _hex(int64(byte(p + 3)))
            low = top >= 0xDC and top <= 0xDF
            high = top >= 0xD8 and top <= 0xDB
            count += 0 if low and after_high else 1
            p += 6
        elif c == 92:
            count += 1
            p += 2
        else:
            count += 0 if c >= 0x80 and c < 0xC0 else 1
            p += 1
        after_high = high
    return count


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


@compiled
def _scalar(p: int) -> int:
    c = byte(p)
    if c == 34:
        p, _ = text(p + 1)
        return p if p < 0 else p + 1
    if c == 45 and byte(p + 1) == 73:
        return _word(p + 1, _INFINITY, 8)
    if c == 45 or (c >= 48 and c <= 57):
        p, _, _ = number(p)
        return p
    return constant(p)


@compiled
def skip(p: int) -> int:
    """Past any value."""
    if byte(p) != 91 and byte(p) != 123:
        return _scalar(p)
    objects, depth = _0, 0  # one bit a level: whether it is an object
    while True:
        c = byte(p)
        opened = c == 91 or c == 123
        if opened:
            depth += 1
            if depth > DEEPEST:
                return -1
            objects = (objects << _1) | np.uint64(c == 123)
            p = space(p + 1)
        else:
            p = _scalar(p)
            if p < 0:
                return -1
        # Past a bracket that opened, or past a value: close what closes here.
        if not opened or byte(p) == 93 or byte(p) == 125:
            while True:
                p = space(p)
                close = 125 if objects & _1 else 93
                if byte(p) == close:
                    p += 1
                    objects = objects >> _1
                    depth -= 1
                    if depth == 0:
                        return p
                    continue
                break
            if byte(p) != 44:
                return -1
            p = space(p + 1)
        if objects & _1:
            if byte(p) != 34:
                return -1
            p, _ = text(p + 1)
            if p < 0:
                return -1
            p = space(p + 1)
            if byte(p) != 58:
                return -1
            p = space(p + 1)

"""The grammar of JSON, a compiled function for each part: where a value that begins here ends, and what it says.

Places are addresses. A NUL follows each record (no JSON holds one bare, so that all loops end there), and PADDING bytes
follow the last. -1 says: not JSON, or nothing for the quick way; json.loads decides.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from stream_monitor.formats.machine import byte, compiled, inlined, int64, load64, trailing_zeros
from stream_monitor.formats.numerals import number

# What a text is made of.
PLAIN: Final = 0
ESCAPES: Final = 1
WIDE: Final = 2  # not ASCII, well-formed UTF-8

DEEPEST: Final = 60  # levels below a value that is skipped

_TOPS: Final = np.uint64(0x8080808080808080)
_LOWS: Final = np.uint64(0x7F7F7F7F7F7F7F7F)
_QUOTES: Final = np.uint64(0x2222222222222222)
_SLASHES: Final = np.uint64(0x5C5C5C5C5C5C5C5C)
_TO_SPACE: Final = np.uint64(0x6060606060606060)
_0: Final = np.uint64(0)
_1: Final = np.uint64(1)
_3: Final = np.uint64(3)
_TO_EIGHTS: Final = np.uint64(0x78)
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

"""Numbers and durations for people: no exponents where plain digits do, no thousands of seconds."""

from __future__ import annotations

import math
from typing import Any

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1))


def figure(value: Any, digits: int = 4, *, sign: bool = False) -> str:
    """A number to so many significant digits, "-" for what is none; `sign`: with a plus where it is positive.

    >>> [figure(value, 3) for value in (17_812.3, 0.01234, -2, 1e20, float("inf"), None)]
    ['17,800', '0.0123', '-2', '1e+20', 'inf', '-']
    >>> figure(17_812.3, 3, sign=True)
    '+17,800'
    """
    if not isinstance(value, int | float):
        return "-"
    plus = "+" if sign else ""
    if math.isfinite(value):
        short = float(f"{value:.{digits}g}")
        if 10**digits <= abs(short) < 1e15:
            return f"{short:{plus},.0f}"
    return f"{value:{plus}.{digits}g}"


def lasting(ms: int) -> str:
    """A duration, exactly.

    >>> lasting(921_600_000), lasting(90_000), lasting(0)
    ('10 d 16 h', '1 min 30 s', '0 s')
    """
    parts = []
    for name, size in _UNITS:
        count, ms = divmod(ms, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts) or "0 s"

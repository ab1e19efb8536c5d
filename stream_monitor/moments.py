"""Integer epoch ms -> the text that messages carry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(ms: int) -> str:
    """RFC 3339 in UTC, with milliseconds only where there are some.

    >>> rfc3339(0), rfc3339(1_500)
    ('1970-01-01T00:00:00Z', '1970-01-01T00:00:01.500Z')
    """
    moment = _EPOCH + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds" if ms % 1000 else "seconds").replace("+00:00", "Z")


def epoch_ms(text: str) -> int:
    """The inverse, for any RFC 3339 text with an offset; ValueError otherwise.

    >>> epoch_ms("1970-01-01T01:00:01.500+01:00")
    1500
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"no offset: {text!r}")
    return (moment - _EPOCH) // timedelta(milliseconds=1)

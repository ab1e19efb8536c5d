"""Logs of libraries that say the same thing thousands of times while a broker is away, thinned out."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

LINES: Final = 5  # of one message, per
SECONDS: Final = 30.0


class Dam(logging.Filter):
    """Lets `LINES` records of a message through in `SECONDS`, and says how many it kept back.

    A message is its text before the arguments are put in, and where it comes from.
    """

    def __init__(self, lines: int = LINES, seconds: float = SECONDS) -> None:
        super().__init__()
        self._lines = lines
        self._seconds = seconds
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be logged; it may get a note on those that were not."""
        key = (record.name, record.lineno, str(record.msg)[:80] if record.args else "")
        now = time.monotonic()
        since, count = self._seen.get(key, (now, 0))
        if now - since >= self._seconds:
            since, kept_back, count = now, count - self._lines, 0
            if kept_back > 0:
                record.msg = f"{record.getMessage()} [{kept_back} more of these in {self._seconds:.0f} s]"
                record.args = None
        self._seen[key] = (since, count + 1)
        return count < self._lines


@contextmanager
def damped(*roots: str) -> Iterator[None]:
    """Thin out what the loggers at and below these names say.

    Why on each logger: a filter on a parent does not see its children's records.
    """
    dam = Dam()
    names = [n for n in logging.root.manager.loggerDict if any(n == r or n.startswith(f"{r}.") for r in roots)]
    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addFilter(dam)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(dam)

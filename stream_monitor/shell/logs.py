"""Logs: one line each on stderr, as text or JSON, without secrets and without floods.

Why a limit: while a broker is away its clients write thousands of equal lines a second; the first few say it all.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

Format = Literal["text", "json"]

BURST: Final = 10  # equal lines let through in one period
PERIOD_SECONDS: Final = 10.0
_QUIET: Final = (
    "aiokafka", "faust", "mode", "httpx", "httpx2", "httpcore", "httpcore2", "uvicorn", "asyncio", "nicegui", "numba",
)  # fmt: skip
# Why not written as they are: a terminal obeys some, and readers of lines break at others.
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def setup(format: Format = "text", level: str = "info", stream: TextIO | None = None) -> Formatter:
    """Send all logs to `stream` (stderr); call again to change it. Returns the formatter, which can learn secrets."""
    formatter = Formatter(format)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(Limit())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    return formatter


class Formatter(logging.Formatter):
    """One record, one line. Extra attributes of a record become fields in JSON.

    >>> f = Formatter("text")
    >>> f.hide(["hunter22"])
    >>> f.format(logging.makeLogRecord({"msg": "pw %s", "args": ("hunter22",), "levelname": "INFO", "created": 0.0}))
    '1970-01-01T00:00:00.000Z info pw ***'
    """

    def __init__(self, format: Format) -> None:
        super().__init__()
        self._format: Format = format
        self._secrets: re.Pattern[str] | None = None

    def hide(self, secrets: Iterable[str]) -> None:
        """Never write any of these texts (those under 6 characters are too common to hide)."""
        plain = {s for s in secrets if len(s) >= 6}
        # As a line may have them: quoted by JSON or Python, and of several lines.
        written = {w for s in plain for w in (s, json.dumps(s, ensure_ascii=False)[1:-1], repr(s)[1:-1], _one_line(s))}
        texts = sorted(written, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, texts))) if texts else None

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        level, message = record.levelname.lower(), self._masked(record.getMessage())
        error = "" if not record.exc_info else self._masked(self.formatException(record.exc_info))
        if self._format == "json":
            extra = {k: v for k, v in vars(record).items() if k not in _STANDARD}
            line: dict[str, Any] = {"time": at, "level": level, "logger": record.name, "message": message, **extra}
            if error:
                line["error"] = error
            text = json.dumps(line, default=str, ensure_ascii=False)
            text = _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
        else:
            name = f" {record.name}:" if record.name not in ("root", "None") and record.name else ""
            text = f"{at} {level}{name} {message}" + (f" | {error}" if error else "")
            text = _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], _one_line(text))
        return self._masked(text)

    def _masked(self, text: str) -> str:
        return self._secrets.sub("***", text) if self._secrets else text


def _one_line(text: str) -> str:
    return re.sub(r"\s*[\r\n]+\s*", " | ", text)


class Limit(logging.Filter):
    """Lets BURST lines of one place in the code through in a period, and says afterwards how many it kept back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key, now = (record.name, record.pathname, record.lineno), self._clock()
        since, count = self._seen.get(key, (now, 0))
        if now - since >= PERIOD_SECONDS:
            if count > BURST:
                record.msg = f"{record.getMessage()} (and {count - BURST} more like it)"
                record.args = ()
            since, count = now, 0
        self._seen[key] = (since, count + 1)
        if len(self._seen) > 10_000:
            self._seen.clear()
        return count < BURST

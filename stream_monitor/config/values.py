"""The small texts of a configuration: durations, budgets, numbers, substitutions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from stream_monitor.config import Budget

UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
SCOPES: Final = ("read", "operate", "admin")  # words of a keys file that are no secret
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_BUDGET = re.compile(r"(\d+(?:\.\d+)?)\s+per\s+(.+)")
_SUBSTITUTE = re.compile(r"\$\{([^}]*)\}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

# What holds a secret: one that is written out in the file earns a caution.
_SECRET_PATH = re.compile(r"(password|secret|token|api_?key|key\.pem|\.keys|authorization)(?!.*(url|location)$)", re.I)
_URL_PASSWORD = re.compile(r"://[^/@:]*:[^/@]+@")


def parse_duration(text: str) -> int:
    """Milliseconds of `10s 5m 1h 7d` (also ms and w).

    >>> parse_duration("5m")
    300000
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError("a duration is a number and a unit, like 10s, 5m, 1h or 7d")
    if len(match[1]) > 12:
        raise ValueError("the duration is too long")
    return round(float(match[1]) * UNITS_MS[match[2]])


def parse_budget(text: str) -> Budget:
    """`1 per 30d`: how many false alarms in how long.

    >>> parse_budget("2 per 1h")
    Budget(alarms=2.0, per_ms=3600000)
    """
    match = _BUDGET.fullmatch(text.strip())
    if match is None or len(match[1]) > 12:
        raise ValueError("a budget is a number and a duration, like 1 per 30d")
    return Budget(alarms=float(match[1]), per_ms=parse_duration(match[2]))


def parse_number(text: str) -> int | float | None:
    """A finite number, whole where it is written so; None for any other text (`010` and `1:30` are texts too).

    >>> parse_number("1e3"), parse_number("-7"), parse_number("010")
    (1000.0, -7, None)
    """
    if len(text) > 400 or not _NUMBER.fullmatch(text):
        return None
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text) if re.fullmatch(r"[+-]?(0|[1-9]\d{0,17})", text) else None
    number = float(text)
    return number if math.isfinite(number) else None


def parse_bool(text: str) -> bool | None:
    """true, false and YAML's other words for them; None for any other text."""
    return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}.get(text.lower())


def substitute(text: str, environ: Mapping[str, str], folder: Path) -> tuple[str, list[str]]:
    """The text with `${NAME}` and `${file:PATH}` filled in, and what could not be (without any content).

    >>> substitute("${A}-${B}", {"A": "1"}, Path())
    ('1-', ['${B}: the environment variable B is not set'])
    """
    wrong: list[str] = []

    def put(match: re.Match[str]) -> str:
        try:
            return _value(match[1], environ, folder)
        except ValueError as error:
            wrong.append(f"${{{match[1][:80]}}}: {error}")
            return ""

    return _SUBSTITUTE.sub(put, text), wrong


def _value(inside: str, environ: Mapping[str, str], folder: Path) -> str:
    if inside.startswith("file:"):
        try:
            return (folder / inside.removeprefix("file:")).read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise ValueError(error.strerror or "cannot be read") from error
        except ValueError as error:  # not UTF-8, or a name that no file can have
            raise ValueError("is not UTF-8 text") from error
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", inside):
        raise ValueError("expected the name of an environment variable, or file:PATH")
    if inside not in environ:
        raise ValueError(f"the environment variable {inside} is not set")
    return environ[inside]


def written_out(path: str, text: str) -> bool:
    """Whether this looks like a secret that stands in the file itself.

    >>> written_out("sinks[0].webhook.secret", "s3cret"), written_out("sinks[0].webhook.secret", "${S}")
    (True, False)
    """
    if "${" in text or not text or text.startswith("sha256:"):
        return False
    return bool(_SECRET_PATH.search(path) or _URL_PASSWORD.search(text))


def secret_parts(text: str) -> list[str]:
    """What no log may show of a secret text: of an address the password and the path, else every word of it.

    >>> secret_parts("redis://u:pass@host:6379/0"), secret_parts("https://hooks/T0/x"), secret_parts("k1 admin")
    (['pass'], ['/T0/x'], ['k1'])
    """
    if "://" not in text:
        return [word for word in text.split() if word not in SCOPES]
    head, _, path = text.partition("://")[2].partition("/")
    user, at, _ = head.rpartition("@")
    return [part for part in (user.partition(":")[2] if at else "", f"/{path}" if len(path) > 2 else "") if part]

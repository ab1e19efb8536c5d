"""Avro's types that JSON has not, as values that JSON has: how they are counted, shown and joined.

| Avro | becomes |
|---|---|
| timestamp-millis, -micros, -nanos | RFC 3339 text in UTC with microseconds, so that it is a time |
| local-timestamp-* | the same without an offset: not a time, since it says no zone |
| date | the beginning of the day in UTC, as in Parquet files |
| time-millis, time-micros | text, `12:34:56.789` |
| decimal | the nearest double |
| uuid, enum | text |
| bytes, fixed | text where they are UTF-8, else no value of a column |
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

MARK: Final = "stream-monitor-"  # names of our own, so that what others read with fastavro stays theirs

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 -- written with a Z
_DAY_US: Final = 86_400_000_000


def utc_text(us: int) -> str:
    """Microseconds since 1970 as RFC 3339 in UTC; beyond the years 1 to 9999 a text that is no time.

    >>> utc_text(1_767_225_600_123_456), utc_text(-1), utc_text(1 << 62)
    ('2026-01-01T00:00:00.123456Z', '1969-12-31T23:59:59.999999Z', '4611686018427387904 us')
    """
    text = local_text(us)
    return f"{text}Z" if "T" in text else text


def local_text(us: int) -> str:
    """The same without an offset."""
    try:
        return (_EPOCH + timedelta(microseconds=us)).isoformat(timespec="microseconds")
    except OverflowError:
        return f"{us} us"


def bytes_text(data: bytes, schema: object = None) -> str | bytes:
    r"""Bytes as the text they are; those that are no UTF-8 stay bytes, which no column has as a value.

    >>> bytes_text(b"ab"), bytes_text(b"\xff")
    ('ab', b'\xff')
    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def decimal(data: bytes, schema: Mapping[str, Any]) -> float:
    r"""The double nearest to a decimal number.

    >>> decimal((-1250).to_bytes(2, "big", signed=True), {"scale": 2})
    -12.5
    >>> decimal(b"\x01", {"scale": 2**32 - 1})
    0.0
    """
    number, scale = int.from_bytes(data, "big", signed=True), int(schema.get("scale", 0))
    if scale > number.bit_length() + 1100:  # nearer to nothing than any double; the power of ten may be beyond memory
        return 0.0 if number >= 0 else -0.0
    try:
        return float(number / 10**scale)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def _time_text(us: int, digits: int) -> str:
    if not 0 <= us < _DAY_US:
        return f"{us} us"
    text = local_text(us).partition("T")[2]
    return text[: 9 + digits]


# (base type, logical type) -> value, schema -> value. A logical type that is not here is what its base type is.
CONVERSIONS: Final[Mapping[str, Callable[[Any, Mapping[str, Any]], Any]]] = {
    f"{base}-{MARK}{name}": convert
    for base, name, convert in (
        ("long", "timestamp-millis", lambda n, _: utc_text(n * 1000)),
        ("long", "timestamp-micros", lambda n, _: utc_text(n)),
        ("long", "timestamp-nanos", lambda n, _: utc_text(n // 1000)),
        ("long", "local-timestamp-millis", lambda n, _: local_text(n * 1000)),
        ("long", "local-timestamp-micros", lambda n, _: local_text(n)),
        ("long", "local-timestamp-nanos", lambda n, _: local_text(n // 1000)),
        ("int", "date", lambda n, _: utc_text(n * _DAY_US)),
        ("int", "time-millis", lambda n, _: _time_text(n * 1000, 3)),
        ("long", "time-micros", lambda n, _: _time_text(n, 6)),
        ("bytes", "decimal", decimal),
        ("fixed", "decimal", decimal),
        ("fixed", "uuid", lambda data, _: str(uuid.UUID(bytes=data))),
        ("bytes", "text", bytes_text),
        ("fixed", "text", bytes_text),
    )
}


def marked(schema: Any) -> Any:
    """The schema with logical types of our own names, in place of its own.

    >>> marked({"type": "long", "logicalType": "timestamp-millis"})["logicalType"]
    'stream-monitor-timestamp-millis'
    >>> marked("bytes")
    {'type': 'bytes', 'logicalType': 'stream-monitor-text'}
    """
    if isinstance(schema, list):
        return [marked(branch) for branch in schema]
    if schema == "bytes":
        return {"type": "bytes", "logicalType": f"{MARK}text"}
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    out = {k: v for k, v in schema.items() if k not in ("logicalType", "default", "doc", "aliases")}
    if kind in ("record", "error"):
        fields = schema.get("fields")
        out["fields"] = [_field(f) for f in fields] if isinstance(fields, list) else fields
    elif kind == "array":
        out["items"] = marked(schema.get("items"))
    elif kind == "map":
        out["values"] = marked(schema.get("values"))
    elif isinstance(kind, dict | list):
        out["type"] = marked(kind)
    else:
        logical = schema.get("logicalType", "")
        if kind == "fixed" and logical == "uuid" and schema.get("size") != 16:
            logical = ""
        if f"{kind}-{MARK}{logical}" in CONVERSIONS and logical != "text":
            out["logicalType"] = f"{MARK}{logical}"
        elif kind in ("bytes", "fixed"):
            out["logicalType"] = f"{MARK}text"
    return out


def _field(field: Any) -> Any:
    if not isinstance(field, dict):
        return field
    out = {k: v for k, v in field.items() if k not in ("default", "doc", "aliases", "order", "logicalType")}
    if isinstance(field.get("type"), str) and "logicalType" in field:  # beside the type, as some write it
        out["type"] = marked({**{k: v for k, v in field.items() if k in ("type", "logicalType", "scale", "precision")}})
    else:
        out["type"] = marked(field.get("type"))
    return out

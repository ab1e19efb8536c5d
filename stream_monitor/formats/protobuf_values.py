"""What Protobuf has and JSON has not: the place of a message in its schema, and messages that are values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from stream_monitor.formats.avro_values import bytes_text, decimal, utc_text
from stream_monitor.formats.framing import BEGINS

MAX_PATH: Final = 32  # nested messages around the event's own

Convert = Callable[[Any], Any]


def indexes(value: bytes) -> tuple[tuple[int, ...], int]:
    r"""Which message of the schema it is, as positions, and where it begins.

    >>> indexes(b"\x00\x00\x00\x00\x07" + b"\x00" + b"...")
    ((0,), 6)
    >>> indexes(b"\x00\x00\x00\x00\x07" + b"\x04\x02\x00" + b"...")
    ((1, 0), 8)
    """
    at = BEGINS

    def number() -> int:
        nonlocal at
        found = shift = 0
        while True:
            if at >= len(value) or shift > 28:
                raise EOFError("no message index behind the id")
            byte = value[at]
            at += 1
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (found >> 1) ^ -(found & 1)
            shift += 7

    count = number()
    if not 0 <= count <= MAX_PATH:
        raise ValueError(f"a message index of {count} parts")
    return (tuple(number() for _ in range(count)) if count else (0,)), at


def _wrapped(message: Any) -> Any:
    return message.value


def _any_value(message: Any) -> Any:
    """A google.protobuf.Value."""
    kind = message.WhichOneof("kind")
    if kind in (None, "null_value"):
        return None
    found = getattr(message, kind)
    return _object(found) if kind == "struct_value" else _list(found) if kind == "list_value" else found


def _object(message: Any) -> dict[str, Any]:
    return {k: _any_value(v) for k, v in message.fields.items()}


def _list(message: Any) -> list[Any]:
    return [_any_value(v) for v in message.values]


VALUES: Final[dict[str, Convert]] = {
    "google.protobuf.Timestamp": lambda m: utc_text(m.seconds * 1_000_000 + m.nanos // 1000),
    "google.protobuf.Duration": lambda m: m.seconds + m.nanos / 1e9,
    "google.protobuf.Struct": _object,
    "google.protobuf.Value": _any_value,
    "google.protobuf.ListValue": _list,
    **{
        f"google.protobuf.{kind}Value": _wrapped
        for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String")
    },
    "google.protobuf.BytesValue": lambda m: bytes_text(m.value),
    "confluent.type.Decimal": lambda m: decimal(m.value, {"scale": m.scale}),
}

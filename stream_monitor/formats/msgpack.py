"""MessagePack, one map a record.

It is read as the JSON it stands for: a timestamp (extension -1) is RFC 3339 text, bytes are text where they are UTF-8,
keys of an object that are no text are their JSON text; other bytes and extensions are like lists, no value of a column.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import msgspec

from stream_monitor.counting.batches import Headers
from stream_monitor.counting.columns import json_text
from stream_monitor.counting.plans import Plan
from stream_monitor.errors import InvalidRecord
from stream_monitor.formats.json import MAX_DEPTH
from stream_monitor.formats.parsed import AnyPlan, Messages, one_by_one
from stream_monitor.formats.rows import DictRows

_READ: Final = msgspec.msgpack.Decoder().decode
_CONTAINERS: Final = bytes([*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF])
_JSON: Final = frozenset({str, int, float, bool, type(None), list})


def loads(value: bytes) -> Mapping[str, Any]:
    """The map in `value`, or InvalidRecord."""
    try:
        message = _READ(value)
    except UnicodeDecodeError as error:
        raise InvalidRecord("not_utf8", str(error)) from None
    except (msgspec.MsgspecError, ValueError, OverflowError, TypeError, RecursionError) as error:
        raise InvalidRecord("not_json", f"MessagePack: {error}") from None
    if len(value) - len(value.translate(None, _CONTAINERS)) > MAX_DEPTH and _depth(message) > MAX_DEPTH:
        raise InvalidRecord("not_json", f"more than {MAX_DEPTH} levels")
    if not isinstance(message, dict):
        raise InvalidRecord("not_an_object", type(message).__name__)
    return message


def _depth(message: Any) -> int:
    """How many containers are around the innermost one, itself included; no more than one above MAX_DEPTH."""
    level, depth = [message], 0
    while depth <= MAX_DEPTH:
        level = [v for v in level if isinstance(v, dict | list | tuple)]
        if not level:
            break
        depth += 1
        level = [inner for v in level for inner in (v.values() if isinstance(v, dict) else v)]
    return depth


def plain(value: Any) -> Any:
    """A value of MessagePack as JSON has it.

    >>> plain(b"de"), plain({1: b"x"}), plain(b"\\xff")
    ('de', {'1': 'x'}, b'\\xff')
    """
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {_key(k): plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value


def _key(key: Any) -> str:
    key = plain(key)
    return json_text(key) if isinstance(key, str | int | float | bool | None) else repr(key)


class PackedRows(DictRows):
    """Rows of maps as MessagePack has them."""

    def values(self, path: str) -> list[Any]:
        return _plain(super().values(path))

    @cached_property
    def objects(self) -> list[Any]:
        assert isinstance(self.plan, Plan)
        found = super().values(str(self.plan.features))
        return [_named(of) if type(of) is dict else plain(of) for of in found]

    def feature_values(self, name: str) -> list[Any]:
        return _plain(super().feature_values(name))


def _named(of: dict[Any, Any]) -> dict[str, Any]:
    return of if set(map(type, of)) <= {str} else {_key(k): v for k, v in of.items()}


def _plain(values: list[Any]) -> list[Any]:
    return values if set(map(type, values)) <= _JSON else [plain(v) for v in values]


def _read(value: bytes, headers: Headers, plan: AnyPlan) -> Messages:
    return (loads(value),)


parse = one_by_one(_read, PackedRows)

"""CloudEvents around a payload: structured (an object with `data`), batched (a list of those), binary (in headers)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

from stream_monitor.counting.batches import Headers
from stream_monitor.errors import InvalidRecord
from stream_monitor.formats.json import anything, loads

_PREFIXES: Final = ("ce_", "ce-")
_WHOLE: Final = b"application/cloudevents"  # the content type of envelopes in the value, whatever headers say


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload, and what its envelope says of it: names in lower case."""

    attributes: dict[str, Any]
    data: Any

    def get(self, *names: str) -> Any:
        """The first of these attributes that is there."""
        return next((self.attributes[n] for n in names if self.attributes.get(n) is not None), None)


def envelopes(value: bytes, headers: Headers) -> list[Envelope]:
    """What is in a record; without an envelope the value alone.

    >>> envelopes(b'{"specversion": "1.0", "id": "1", "data": {"a": 2}}', ())
    [Envelope(attributes={'specversion': '1.0', 'id': '1'}, data={'a': 2})]
    >>> envelopes(b'{"a": 2}', [("ce_id", b"1")])
    [Envelope(attributes={'id': '1'}, data={'a': 2})]
    """
    told = {
        key.lower()[3:]: content.decode("utf-8", "replace")
        for key, content in headers
        if key.lower().startswith(_PREFIXES) and content is not None
    }
    kind = next((of for key, of in headers if key.lower() == "content-type" and of is not None), b"")
    if told and not kind.lower().startswith(_WHOLE):
        if kind:
            told["datacontenttype"] = kind.decode("utf-8", "replace")
        return [Envelope(told, anything(value))]
    if value.lstrip()[:1] == b"[":
        found = anything(value)
        if not found or not all(isinstance(v, dict) and "specversion" in v for v in found):
            raise InvalidRecord("not_an_object", "list")
        return [_structured(v) for v in found]
    return [_structured(loads(value))]


def _structured(message: dict[str, Any]) -> Envelope:
    if "specversion" not in message:
        return Envelope({}, message)
    attributes = {k.lower(): v for k, v in message.items() if k not in ("data", "data_base64")}
    if "data_base64" in message:
        return Envelope(attributes, anything(from_base64(message["data_base64"], "data_base64")))
    data = message.get("data")
    return Envelope(attributes, written(data) if isinstance(data, str) else data)


def from_base64(text: Any, what: str) -> bytes:
    """The bytes in a text, or InvalidRecord."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidRecord("wrong_type", f"{what}: {error}") from None


def written(text: str) -> Any:
    """What a text says in JSON, or else the text.

    >>> written("[1, 2]"), written("ok")
    ([1, 2], 'ok')
    """
    try:
        return anything(text.encode())
    except (InvalidRecord, UnicodeEncodeError):
        return text

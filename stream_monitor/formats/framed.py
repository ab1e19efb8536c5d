"""Events behind a schema's id, whatever kind of schema it is: for a look at a topic that nobody has described yet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from stream_monitor.errors import InvalidRecord
from stream_monitor.formats import avro, protobuf
from stream_monitor.formats import json as json_format
from stream_monitor.formats.framing import BEGINS, MALFORMED, Compile, Readers, does_not_decode, schema_id
from stream_monitor.interfaces import Schemas

_COMPILERS: Final[Mapping[str, Compile]] = {
    "avro": avro.compile_schema,
    "protobuf": protobuf.compile_schema,
    "json_schema": lambda _: lambda value: json_format.loads(value[BEGINS:]),
}


def is_framed(value: bytes | None) -> bool:
    """Whether a value begins as those that name a schema do, which no other format does."""
    return value is not None and len(value) >= BEGINS and value[0] == 0


class AnyFramed:
    """Reads values by the schemas that they name."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._readers = {kind: Readers("init", kind, schemas, compile) for kind, compile in _COMPILERS.items()}

    def messages(self, value: bytes) -> tuple[str, list[dict[str, Any]]]:
        """The format, and the event as plain JSON has it. InvalidRecord, or Unreachable."""
        id = schema_id(value)
        try:
            kind = self._schemas.schema(id).kind
        except KeyError:
            raise InvalidRecord("unknown_schema", f"the registry has no schema {id}") from None
        try:
            event = self._readers[kind].get(id)(value)
        except MALFORMED as error:
            raise does_not_decode(id, error) from None
        return kind, [json.loads(json.dumps(event, default=lambda _: None))]

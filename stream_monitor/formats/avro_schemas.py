"""Avro schemas as a registry keeps them -> parsed ones, whose logical types are our own (avro_values.py)."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from stream_monitor.errors import InvalidRecord
from stream_monitor.formats.avro_values import marked
from stream_monitor.formats.framing import MALFORMED
from stream_monitor.interfaces import Schema


@lru_cache(maxsize=200)
def parse(schema: Schema) -> tuple[Any, dict[str, Any]]:
    """A schema as fastavro parses it, and its named types. InvalidRecord if it is none."""
    import fastavro  # here: it comes with an extra

    named: dict[str, Any] = {}
    try:
        for _, text in schema.references:
            fastavro.parse_schema(marked(json.loads(text)), named)
        return fastavro.parse_schema(marked(json.loads(schema.text)), named), named
    except (*MALFORMED, RecursionError, fastavro.schema.SchemaParseException) as error:
        raise InvalidRecord("unknown_schema", f"is no Avro schema that can be read: {error}") from None

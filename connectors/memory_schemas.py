"""A schema registry in memory."""

from __future__ import annotations

import hashlib
import uuid

import msgspec

from stream_monitor.errors import Unreachable
from stream_monitor.interfaces import Schema


class MemorySchemas:
    """The twin of RegistrySchemas. `down` makes it answer nothing."""

    def __init__(self) -> None:
        self.down = False
        self._schemas: dict[int, Schema] = {}

    def register(self, schema: Schema) -> int:
        """The id of the schema, a new one or the one it has."""
        for id, known in self._schemas.items():
            if known == schema:
                return id
        self._schemas[len(self._schemas) + 1] = schema
        return len(self._schemas)

    def guid(self, id: int) -> str:
        """The GUID of a schema: a hash of what it says."""
        return str(uuid.UUID(bytes=hashlib.md5(msgspec.json.encode(self._schemas[id]), usedforsecurity=False).digest()))

    def schema(self, id: int | str) -> Schema:
        self.ping()
        if isinstance(id, str):
            return {self.guid(known): schema for known, schema in self._schemas.items()}[id]
        return self._schemas[id]

    def ping(self) -> None:
        if self.down:
            raise Unreachable("the schema registry does not answer")

    def close(self) -> None:
        """Nothing to let go of."""

"""What a few formats need beyond what every installation has: the extra `registry`."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Final

_CLIENT: Final = ("authlib", "cachetools")  # what confluent-kafka's client of schema registries imports
_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "avro": (*_CLIENT, "fastavro"),
    "protobuf": (*_CLIENT, "google.protobuf", "grpc_tools"),
    "json_schema": _CLIENT,
}
REGISTRY_FORMATS: Final = frozenset(_NEEDS)  # formats whose events name a schema in a registry


def missing_modules(format: str) -> list[str]:
    """What must be installed before events of the format can be read.

    >>> missing_modules("json")
    []
    """
    return [name for name in _NEEDS.get(format, ()) if not _is_there(name)]


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package around it
        return False

"""The configuration as plain data: what goes into the log and the `configs` topic, without secrets, and back.

Keys are the attribute names of config.py (`for_`, `from_`), values are JSON. Fields marked SECRET are left out, so a
configuration that was read back has their defaults: enough to count and to judge, not to connect.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final

import msgspec

from stream_monitor.config import SECRET, Config
from stream_monitor.errors import Newer

FORMAT: Final = 1  # written as the key `format` once it is more than 1


def plain_config(config: Config) -> dict[str, Any]:
    """Plain data of the whole configuration; two that mean the same are equal.

    >>> plain_config(Config())["time"]["out_of_orderness"]
    5000
    >>> "store" in plain_config(Config(store="redis://:password@host/0"))
    False
    """
    plain: dict[str, Any] = _plain(config)
    return plain


def config_from_plain(plain: Mapping[str, Any]) -> Config:
    """The configuration that `plain_config` was called on, secrets excepted; keys it does not know are ignored.

    Newer if it was written by a release whose configurations must not be read with keys ignored.

    >>> config_from_plain(plain_config(Config())) == Config()
    True
    """
    if (found := int(plain.get("format", 1))) > FORMAT:
        raise Newer("a configuration in the log", found, FORMAT, "update all processes to the newer release")
    return msgspec.convert(plain, Config)


def config_id(config: Config) -> str:
    """16 hex digits: a hash of the configuration without its secrets.

    >>> config_id(Config()) == config_id(Config(store="redis://elsewhere"))
    True
    """
    text = json.dumps(plain_config(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.metadata.get("kind") != SECRET["kind"]
        }
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value

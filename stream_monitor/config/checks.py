"""What must hold between the parts of a configuration: each rule yields (path, message) for what breaks it.

Types and unknown keys are found while reading (nodes.py); here are names from the tables and what belongs
together. A rule never looks at a secret's text in its message.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from stream_monitor.access import security
from stream_monitor.access.keys import is_loopback, parse_keys
from stream_monitor.config import Api, Config, Kafka, SchemaRegistry, Target
from stream_monitor.config.known import TOPIC_CHARACTERS, Known, instant
from stream_monitor.config.model_checks import model_findings
from stream_monitor.errors import ConfigError, Finding
from stream_monitor.extras import missing_modules
from stream_monitor.names import choices


def findings(config: Config, known: Known, written: Collection[str]) -> Iterator[Finding]:
    """Everything that is wrong between the parts. `written`: the paths that stand in the file."""
    yield from _kafka(config.kafka)
    yield from _schema_registry(config.kafka.schema_registry, known)
    yield from _api(config.api)
    if config.store != "memory" and not config.store.startswith(("redis://", "rediss://", "unix://")):
        yield "store", "expected redis://HOST:PORT/DB, rediss://... or memory"
    for name in ("out_of_orderness", "idle_after", "allowed_lateness", "max_future"):
        if getattr(config.time, name) < (1 if name == "idle_after" else 0):
            yield f"time.{name}", "must be longer than 0"
    if not config.models:
        yield "models", "no model is configured"
    for name, model in config.models.items():
        path = f"models.{name}"
        if not name or len(name) > 200 or any(c in "/\x00\r\n" for c in name):
            yield path, "a model's name is a text of at most 200 characters without a slash"
        yield from model_findings(path, model, config, known, written)
    for i, sink in enumerate(config.sinks):
        yield from _target(f"sinks[{i}]", "sink", sink, known.sinks)
    for i, trigger in enumerate(config.triggers):
        yield from _target(f"triggers[{i}]", "trigger", trigger, known.triggers)


def role_findings(config: Config, role: str) -> Iterator[Finding]:
    """What a role that runs as a process of its own cannot do with."""
    if config.kafka.brokers != "embedded":
        yield from security.missing(config.kafka.options)
    if role in ("tap", "worker", "api"):
        if config.store == "memory":
            yield "store", f"memory is seen by one process only: `{role}` needs a redis:// store, or use `run`"
        if config.kafka.brokers == "embedded":
            yield "kafka.brokers", f"the embedded broker lives in one process: `{role}` needs a Kafka, or use `run`"


def _kafka(kafka: Kafka) -> Iterator[Finding]:
    if kafka.brokers != "embedded":
        for broker in kafka.brokers.split(","):
            host, _, port = broker.strip().rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) < 65536:
                yield "kafka.brokers", f"expected HOST:PORT (several with commas) or embedded, not {broker.strip()!r}"
    if kafka.start not in ("earliest", "latest") and instant(kafka.start) is None:
        yield "kafka.start", f"expected earliest, latest or an RFC 3339 time with an offset, not {kafka.start!r}"
    if not kafka.prefix or not set(kafka.prefix) <= TOPIC_CHARACTERS or len(kafka.prefix) > 200:
        yield "kafka.prefix", "expected letters, digits, dots, _ or -"
    if not kafka.group:
        yield "kafka.group", "must not be empty"
    for name, low, high in (("partitions", 1, 1024), ("replication", 1, 100), ("max_event", 1, 1 << 30)):
        if not low <= getattr(kafka, name) <= high:
            yield f"kafka.{name}", f"must be from {low} to {high}"
    for name in ("bootstrap.servers", "group.id", "enable.auto.commit", "auto.offset.reset", "enable.idempotence"):
        if name in kafka.options:
            yield f"kafka.options.{name}", "is set by the service itself"
    yield from security.findings(kafka.options)


def _schema_registry(registry: SchemaRegistry, known: Known) -> Iterator[Finding]:
    path = "kafka.schema_registry"
    for url in registry.url.split(",") if registry.url else ():
        if not url.strip().startswith(("http://", "https://")) or not urlsplit(url.strip()).hostname:
            yield f"{path}.url", "expected http://HOST:PORT or https://... (several with commas)"
            return
    if not registry.url:
        if registry.options:
            yield f"{path}.url", "missing: url must be given"
        return
    for name in ("url", "cache.capacity"):
        if name in registry.options:
            yield f"{path}.options.{name}", "is set by the service itself"
            return
    if known.schema_registry is not None and not missing_modules("json_schema"):
        try:
            known.schema_registry(registry.url, registry.options)
        except (ValueError, OSError) as error:
            yield f"{path}.options", str(error)


def _api(api: Api) -> Iterator[Finding]:
    if not 0 <= api.port < 65536:
        yield "api.port", "must be from 0 (any free one) to 65535"
    try:
        parse_keys(api.keys)
    except ConfigError as error:
        for mistake in error.mistakes:
            yield "api.keys", f"{mistake.file.removeprefix('api.keys, ')}: {mistake.message}"
    if not is_loopback(api.host):
        if api.insecure:
            yield "api.insecure", f"only on loopback (127.0.0.1, ::1, localhost), and api.host is {api.host!r}"
        elif not api.keys.strip() and api.read != "open":
            yield "api.keys", f"missing: without keys nobody could read from {api.host!r}; or say `read: open`"


def _target(path: str, noun: str, target: Target, table: Mapping[str, Callable[..., Any]]) -> Iterator[Finding]:
    if not target.kind:
        yield path, f"expected a {noun} with its options, like `webhook: {{url: ...}}`"
        return
    path = f"{path}.{target.kind}"
    make = table.get(target.kind)
    if make is None:
        if table:
            yield path, f"unknown {noun} {target.kind!r}{choices(target.kind, table)}"
        return
    parameters = {
        n: p for n, p in inspect.signature(make).parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    }
    for key in target.options:
        if key not in parameters:
            yield f"{path}.{key}", f"unknown key {key!r}{choices(key, parameters)}"
    required = {n for n, p in parameters.items() if p.default is p.empty}
    for name in sorted(required - target.options.keys()):
        yield f"{path}.{name}", f"missing: {name} must be given"
    if target.options.keys() - parameters.keys() or required - target.options.keys():
        return
    try:
        make(**target.options)
    except (TypeError, ValueError) as error:
        key, _, message = str(error).partition(": ")
        if key in parameters and message:
            yield f"{path}.{key}", message
        else:
            yield path, str(error)

"""The wiring: the only module that knows connectors. It hands each part what it needs, and does nothing else itself."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors import kafka_samples, memory
from connectors.embedded import PARTITIONS, EmbeddedBroker
from connectors.kafka_clients import Connection
from connectors.kafka_topics import Topics, TopicSpec, checkpoint_topic, service_topics
from connectors.sinks import SINKS
from connectors.triggers import TRIGGERS
from stream_monitor.catalogs import MemoryCatalog
from stream_monitor.config import Config, Kafka, SchemaRegistry
from stream_monitor.config.files import ConfigFile, check_role, read_config
from stream_monitor.config.known import instant
from stream_monitor.config.roles import roles, stated_topics
from stream_monitor.deliveries.notices import TRIGGER, target_names
from stream_monitor.errors import ConfigError
from stream_monitor.extras import missing_modules
from stream_monitor.interfaces import Sink, Trigger
from stream_monitor.names import choices
from stream_monitor.shell import logs
from stream_monitor.shell.arguments import named_options, refused
from stream_monitor.shell.check import Outside, check_outside, check_references, summary
from stream_monitor.shell.processes import main, now_ms
from stream_monitor.shell.starts import read_references
from stream_monitor.shell.tables import known_tables

if TYPE_CHECKING:  # what these bring along, who checks a configuration need not wait for
    from connectors.kafka import KafkaGroup, KafkaPublisher
    from connectors.kafka_catalog import KafkaCatalog, KafkaCommandLog
    from connectors.redis import RedisOutbox, RedisStatusStore
    from connectors.redis_labels import RedisLabelStore
    from connectors.schema_registry import RegistrySchemas

__all__ = ["SINKS", "TRIGGERS", "check", "init", "read", "replay", "serve"]

log = logging.getLogger(__name__)


def read(file: str, formatter: logs.Formatter | None = None) -> ConfigFile:
    """The configuration; its secrets are hidden from all logs from here on, and cautions are logged."""
    found = read_config(file, known_tables(sinks=SINKS, triggers=TRIGGERS, schema_registry=schema_registry))
    if formatter is not None:
        formatter.hide(found.secrets)
    for caution in found.cautions:
        log.warning("%s", caution)
    return found


def targets(config: Config) -> dict[str, Sink | Trigger]:
    """The sinks and triggers of a configuration, by name."""
    made: dict[str, Sink | Trigger] = {}
    for name, target in zip(target_names(config.sinks), config.sinks, strict=True):
        made[name] = SINKS[target.kind](**target.options)
    for name, target in zip(target_names(config.triggers, TRIGGER), config.triggers, strict=True):
        made[name] = TRIGGERS[target.kind](**target.options)
    return made


def status_store(config: Config) -> memory.MemoryStatusStore | RedisStatusStore:
    """Where documents are kept."""
    if config.store == "memory":
        return memory.MemoryStatusStore()
    from connectors.redis import RedisStatusStore

    return RedisStatusStore(config.store, config.kafka.prefix)


def label_store(config: Config) -> memory.MemoryLabelStore | RedisLabelStore:
    """Where predictions wait for their labels."""
    if config.store == "memory":
        return memory.MemoryLabelStore()
    from connectors.redis_labels import RedisLabelStore

    return RedisLabelStore(config.store, config.kafka.prefix)


def schemas_of(registry: SchemaRegistry) -> RegistrySchemas | None:
    """The schema registry, if there is one."""
    return schema_registry(registry.url, registry.options) if registry.url else None


def schema_registry(url: str, options: Mapping[str, Any]) -> RegistrySchemas:
    """A client of a registry; ValueError or OSError if it cannot be made so."""
    from connectors.schema_registry import RegistrySchemas  # here: it needs the extra `registry`

    return RegistrySchemas(url, options)


def outbox_of(config: Config) -> memory.MemoryOutbox | RedisOutbox:
    """Where alerts wait for their delivery."""
    if config.store == "memory":
        return memory.MemoryOutbox()
    from connectors.redis import RedisOutbox

    return RedisOutbox(config.store, config.kafka.prefix)


# -- init, check, replay


def init(
    topic: str,
    brokers: str,
    reference: str | None,
    output: str,
    options: Sequence[str],
    registry: tuple[str, Sequence[str]] = ("", ()),
) -> str:
    """The text of a monitor.yaml for a topic. `registry`: the url of a schema registry, and its options."""
    from stream_monitor.shell.init import Registry, first_rows, label_topic, look, relative_to, render

    written, filled = named_options("--kafka-option", options)
    connection = Connection.of(Kafka(brokers=brokers, options=filled))
    known = kafka_samples.topics(connection)
    if topic not in known:
        raise refused("--topic", f"the broker has no topic {topic!r}{choices(topic, sorted(known)[:50])}")
    near = label_topic(topic, sorted(known))
    url, of_registry = registry[0], named_options("--schema-registry-option", registry[1])
    schemas = _registry(url, of_registry[1]) if url else None
    try:
        seen = look(
            topic,
            brokers,
            kafka_samples.sample(connection, topic),
            labels=(near, kafka_samples.sample(connection, near, records=200)) if near else None,
            reference=(relative_to(reference, output), first_rows(reference)) if reference else None,
            options=written,
            registry=Registry(url=url, schemas=schemas, options=of_registry[0]) if schemas is not None else None,
        )
    finally:
        if schemas is not None:
            schemas.close()
    return render(seen)


def _registry(url: str, options: Mapping[str, str]) -> RegistrySchemas:
    """The registry that `init` asks."""
    if missing := missing_modules("avro"):
        need = f"needs {' and '.join(missing)}: pip install 'stream-monitor[registry]'"
        raise refused("--schema-registry", need)
    try:
        return schema_registry(url, options)
    except (ValueError, OSError) as error:
        raise refused("--schema-registry", str(error)) from None


def check(file: str, connect: bool, formatter: logs.Formatter) -> str:
    """What `check` prints; ConfigError or Unreachable otherwise."""
    found = read(file, formatter)
    said = check_references(found)
    if connect:
        said += check_outside(found, _outside(found.config))
    return summary(found, said)


def _outside(config: Config) -> Outside:
    def asking(thing: Any) -> Callable[[], Awaitable[None]]:
        async def ping() -> None:
            try:
                await thing.ping()
            finally:
                await thing.close()

        return ping

    def all_topics() -> Mapping[str, int]:
        if config.kafka.brokers == "embedded":  # brings up whatever it is asked for
            return dict.fromkeys(roles(config), PARTITIONS)
        return kafka_samples.topics(Connection.of(config.kafka))

    def registry() -> None:
        schemas = schemas_of(config.kafka.schema_registry)
        assert schemas is not None
        with closing(schemas):
            schemas.ping()

    made = {name: asking(target) for name, target in targets(config).items()}
    if config.kafka.schema_registry.url:
        made["schema registry"] = lambda: asyncio.to_thread(registry)
    return Outside(topics=all_topics, store=asking(status_store(config)), targets=made)


def replay(
    file: str,
    model: str,
    events: str,
    labels: str | None,
    output: str,
    formatter: logs.Formatter,
    features: str | None = None,
) -> None:
    """Run the pipeline over files and write what it gives into the folder `output`."""
    from rich.console import Console

    from stream_monitor.shell import replay as replaying
    from stream_monitor.shell.progress import progress
    from stream_monitor.shell.replay_files import Files

    found = read(file, formatter)
    if model not in found.config.models:
        raise found.error("models", f"unknown model {model!r}{choices(model, found.config.models)}")
    if not found.config.models[model].fields.time:
        raise found.error(f"models.{model}.fields.time", "missing: rows of a file have no Kafka timestamp")
    config = replaying.alone(found.config, model)
    told = config.models[model].labels
    if labels and (told is None or not told.fields.time):
        raise found.error(f"models.{model}.labels.fields.time", "missing: rows of a file have no Kafka timestamp")
    apart = config.models[model].features
    if features and (apart is None or not apart.fields.time):
        raise found.error(f"models.{model}.features.fields.time", "missing: rows of a file have no Kafka timestamp")
    catalog = MemoryCatalog()
    try:
        start = read_references(config, catalog)
    except ConfigError as error:
        raise found.located(error) from None
    files = Files(Path(output))
    began = time.monotonic()
    run: replaying.Run
    store = memory.MemoryLabelStore(clock=lambda: run.at_ms / 1000)
    run = replaying.Run(config, model, catalog=catalog, store=store, put=files.put)
    try:
        run.configure(start.command(config, 0, "replay"))
        sources = replaying.feeds(config, model, events, labels, features)
        total = sum(replaying.count_rows(f) for f in (events, features, labels) if f)
        with progress("replaying", total) as steps:
            replaying.play(run, sources, steps)
    finally:
        files.close()
    console = Console(stderr=True)
    console.print(files.summary(run.tally, time.monotonic() - began))
    console.print(f"written to {output}/", highlight=False)


def learn_layout(
    file: str, model: str | None, reference: str | None, span: tuple[str | None, str | None], events: int,
    formatter: logs.Formatter,
) -> str:  # fmt: skip
    """What `layout learn` prints: the layout that a file or a span of the topic gives a model."""
    from stream_monitor.tap import layout_tools

    found = read(file, formatter)
    if model is None or model not in found.config.models:
        raise refused("--model", f"unknown model {model!r}{choices(str(model), found.config.models)}")
    if (reference is None) == (span[0] is None):
        raise refused("--reference", "say either --reference FILE, or --from TIME and --to TIME")
    try:
        if reference is not None:
            layout = layout_tools.from_file(found.config, model, reference)
        else:
            ends = [instant(text) if text else datetime.now(UTC) for text in span]
            if None in ends:
                raise refused("--from, --to", "expected RFC 3339 times with an offset")
            begin, end = (int(at.timestamp() * 1000) for at in ends if at is not None)
            if found.config.kafka.brokers == "embedded":
                raise found.error("kafka.brokers", "embedded: that broker finds no records by time; use --reference")
            connection = Connection.of(found.config.kafka)
            wanted = stated_topics(replace(found.config.models[model], labels=None))
            records = kafka_samples.span(connection, wanted, begin, end, events)
            if not any(records.values()):
                raise refused("--from, --to", f"no record of {', '.join(wanted)} is of that time")
            schemas = schemas_of(found.config.kafka.schema_registry)
            with nullcontext() if schemas is None else closing(schemas):
                layout, rows = layout_tools.from_messages(
                    found.config, model, records, memory.MemoryLabelStore(), now_ms(), schemas
                )
            log.info("learnt from %d events", rows)
    except ConfigError as error:
        raise found.located(error) from None
    return json.dumps(layout_tools.document(layout))


# -- tap, worker, api


def serve(file: str, role: str, formatter: logs.Formatter, *, embedded: bool, http: int | None) -> None:
    """Be a process of the service until told to stop. ConfigError, or StateError when it cannot go on."""

    from stream_monitor.shell.services import Process

    def read_now() -> ConfigFile:
        found = read(file, formatter)
        if embedded:
            kafka = replace(found.config.kafka, brokers="embedded")
            found = replace(found, config=replace(found.config, kafka=kafka, store="memory"))
        check_role(found, role)
        return found

    found = read_now()
    process = Process(found.config, role, Wires, http, Path(file).parent, lambda: read_now().config)
    try:
        main(process.run, process.reload)
    except ConfigError as error:
        raise found.located(error) from None


class Wires:
    """The connectors of a process; see shell/ports.py."""

    loops = ("connectors.kafka_reading",)

    def __init__(self, config: Config) -> None:
        self._broker = EmbeddedBroker() if config.kafka.brokers == "embedded" else None
        self.embedded = self._broker is not None
        address = self._broker.address if self._broker else ""
        if self.embedded:
            config = replace(config, kafka=replace(config.kafka, partitions=PARTITIONS))
        self.config = config
        self._connection = Connection.of(config.kafka, embedded_brokers=address)
        self.brokers = self._connection.brokers
        self.store = status_store(config)
        self._topics: Topics | None = None

    @property
    def topics(self) -> Topics:
        if self._topics is None:
            self._topics = Topics(self._connection)
        return self._topics

    def create_topics(self, compacted: Sequence[str]) -> None:
        kafka = self.config.kafka
        specs = [*service_topics(kafka), *(checkpoint_topic(name, kafka.partitions) for name in compacted)]
        if self.embedded:  # brings up whatever it is asked for
            specs += [TopicSpec(name=topic, partitions=PARTITIONS) for topic in roles(self.config)]
        self.topics.create(specs, kafka.replication)
        self.topics.check(specs)

    def check_group(self, group: str, topic: str) -> None:
        self.topics.check_group(group, topic)

    def identify(self, topic: str) -> tuple[str, int] | None:
        return self.topics.identify([topic]).get(topic)

    def names(self) -> set[str]:
        return self.topics.names()

    def catalog(self) -> KafkaCatalog:
        from connectors.kafka_catalog import KafkaCatalog

        return KafkaCatalog(self._connection, self.config.kafka.prefix)

    def commands(self, partitions: int) -> KafkaCommandLog:
        from connectors.kafka_catalog import KafkaCommandLog

        return KafkaCommandLog(self._connection, self.config.kafka.prefix, partitions)

    def group(self) -> KafkaGroup:
        from connectors.kafka import KafkaGroup

        return KafkaGroup(self._connection, self.config.kafka.group)

    def publisher(self) -> KafkaPublisher:
        from connectors.kafka import KafkaPublisher

        return KafkaPublisher(self._connection)

    def labels(self) -> memory.MemoryLabelStore | RedisLabelStore:
        return label_store(self.config)

    def schemas(self) -> RegistrySchemas | None:
        return schemas_of(self.config.kafka.schema_registry)

    def outbox(self) -> memory.MemoryOutbox | RedisOutbox:
        return outbox_of(self.config)

    def targets(self, config: Config) -> Mapping[str, Sink | Trigger]:
        return targets(config)

    def close(self) -> None:
        if self._broker is not None:
            self._broker.close()

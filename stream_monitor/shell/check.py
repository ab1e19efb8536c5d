"""`stream-monitor check`: does it hold, down to its reference files and, if asked, to what it connects to?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stream_monitor.catalogs import MemoryCatalog
from stream_monitor.config.files import ConfigFile
from stream_monitor.config.roles import is_pattern, resolved
from stream_monitor.errors import ConfigError, Mistake, Unreachable
from stream_monitor.names import choices, many
from stream_monitor.shell.starts import read_references

PING_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a configuration connects to. Each call raises when nobody answers."""

    topics: Callable[[], Mapping[str, int]]  # all topics with their numbers of partitions
    store: Callable[[], Awaitable[None]]
    targets: Mapping[str, Callable[[], Awaitable[None]]]  # sinks, triggers and more, by name: reach it, send nothing


def check_references(read: ConfigFile) -> list[str]:
    """Open every reference file: a line for each; ConfigError with all that cannot be used."""
    catalog = MemoryCatalog()
    try:
        start = read_references(read.config, catalog)
    except ConfigError as error:
        raise read.located(error) from None
    said = []
    for name, id in start.references.items():
        from stream_monitor.judging.packed_references import unpack_reference  # here: only what counts needs it

        reference = unpack_reference(catalog.blob(id))
        panes = len(reference.series.get("all", ()))
        skipped = f", {reference.skipped:,} rows skipped" if reference.skipped else ""
        said.append(
            f"{name}: reference {reference.source.split()[0]}: {reference.rows:,} rows in {panes} panes{skipped}"
        )
    return said


def check_outside(read: ConfigFile, outside: Outside) -> list[str]:
    """Ask the broker, the store, the sinks and triggers: a line for each that answers.

    ConfigError when a topic is not there; Unreachable when somebody does not answer.
    """
    said: list[str] = []
    silent: list[str] = []
    mistakes: list[Mistake] = []
    try:
        topics = outside.topics()
    except Exception as error:
        silent.append(f"kafka: {_text(error)}")
    else:
        mistakes += _topics(read, topics)
        said.append(f"kafka: {many(len(topics), 'topic')}")
        for name, found in resolved(read.config, topics).items():
            said.append(f"{name}: its patterns stand for {', '.join(found) or 'no topic yet'}")
    said_too, silent_too = asyncio.run(_ping({"store": outside.store, **outside.targets}))
    silent += silent_too
    if mistakes:
        raise ConfigError([*mistakes, *(Mistake(file=read.file, line=0, path="", message=s) for s in silent)])
    if silent:
        raise Unreachable("; ".join(silent))
    return said + said_too


def summary(read: ConfigFile, said: Sequence[str]) -> str:
    """What `check` prints when all is well."""
    config = read.config
    counts = {"model": config.models, "sink": config.sinks, "trigger": config.triggers}
    lines = [f"{read.file}: right: {', '.join(many(len(of), what) for what, of in counts.items())}"]
    for name, model in config.models.items():
        monitors = many(len(model.monitors), "monitor") if model.monitors else "the default monitors"
        lines.append(f"{name}: {model.task}, {', '.join(model.topic)}, {monitors}")
    return "\n".join([*lines, *said])


def _topics(read: ConfigFile, topics: Mapping[str, int]) -> list[Mistake]:
    mistakes: list[Mistake] = []
    for name, model in read.config.models.items():
        wanted = [(f"models.{name}.topic", t) for t in model.topic if not is_pattern(t)]
        if model.features:
            wanted.append((f"models.{name}.features.topic", model.features.topic))
        if model.labels:
            wanted.append((f"models.{name}.labels.topic", model.labels.topic))
        for path, topic in wanted:
            if topic not in topics:
                own = read.config.kafka.prefix
                known = sorted(t for t in topics if not t.startswith((own, "_")))[:20]
                mistakes += read.error(
                    path, f"the broker has no topic {topic!r} that we may see{choices(topic, known)}"
                ).mistakes
    return mistakes


async def _ping(things: Mapping[str, Callable[[], Awaitable[None]]]) -> tuple[list[str], list[str]]:
    """(who answers, who does not and why), all asked at once."""

    async def one(name: str, ping: Callable[[], Awaitable[None]]) -> tuple[bool, str]:
        try:
            async with asyncio.timeout(PING_SECONDS):
                await ping()
        except Exception as error:
            return False, f"{name}: {_text(error)}"
        return True, f"{name}: answers"

    answers = await asyncio.gather(*(one(name, ping) for name, ping in things.items()))
    return [a for ok, a in answers if ok], [a for ok, a in answers if not ok]


def _text(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__

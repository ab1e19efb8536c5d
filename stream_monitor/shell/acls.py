"""What each role may do on Kafka and nothing more: one table, for the README, `stream-monitor acls` and the tests.

Read and Write on a topic imply Describe. `Create` is not needed where somebody else has made the topics before.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from stream_monitor.config import Config
from stream_monitor.config.roles import patterns, roles
from stream_monitor.worker.buses import checkpoints_topic, group

Resource = Literal["topic", "group"]
ROLES: Final = ("tap", "worker", "api")
ALL: Final = " ".join(ROLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acl:
    """Operations allowed on a resource, or on all whose names begin with `name`."""

    resource: Resource
    name: str
    operations: tuple[str, ...]
    prefixed: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. `names` may hold {sources}, {prefix}, {group}; a star at the end: all that begin so."""

    roles: str
    resource: Resource
    names: tuple[str, ...]
    operations: tuple[str, ...]
    why: str


def _own(*topics: str) -> tuple[str, ...]:
    return tuple("{prefix}" + topic for topic in topics)


TABLE: Final = (
    Row("tap", "topic", ("{sources}",), ("Read",), "prediction, feature and label topics"),
    Row("tap", "group", ("{group}",), ("Read",), "the taps' consumer group; it keeps the intents"),
    Row("tap", "topic", _own("panes", "dead-letters"), ("Write",), "bundles, and what cannot be read"),
    Row("worker", "group", ("{group}-worker",), ("Read",), "the workers' consumer group"),
    Row("worker", "topic", _own("panes"), ("Read", "Write"), "bundles and commands"),
    Row("worker", "topic", ("{checkpoints}",), ("Read", "Write", "Create", "DescribeConfigs"), "the state of the fold"),
    Row("worker", "topic", _own("alerts", "retrain-requests"), ("Read", "Write"), "written, then delivered"),
    Row("worker", "topic", _own("verdicts", "dead-letters"), ("Write",), "written; undeliverable notices"),
    Row("api", "topic", _own("panes"), ("Write",), "commands: acknowledge, silence, promote, retrain"),
    Row(ALL, "topic", _own("layouts", "references", "configs"), ("Read", "Write"), "what all processes share"),
    Row(ALL, "topic", _own("*"), ("Create", "Describe", "DescribeConfigs"), "the service makes its topics"),
)  # fmt: skip


def acls(config: Config, role: str) -> list[Acl]:
    """The rights of a role, "run" being all of them.

    >>> from stream_monitor.config import Model
    >>> [a.name for a in acls(Config(models={"m": Model(topic=("t",))}), "tap") if a.resource == "group"]
    ['stream-monitor']
    """
    found: dict[tuple[Resource, str, bool], list[str]] = {}
    for row in TABLE:
        if role != "run" and role not in row.roles.split():
            continue
        for name in _names(row, config):
            operations = found.setdefault((row.resource, name.removesuffix("*"), name.endswith("*")), [])
            operations += [o for o in row.operations if o not in operations]
    return [
        Acl(resource=resource, name=name, operations=tuple(operations), prefixed=prefixed)
        for (resource, name, prefixed), operations in found.items()
    ]


def _names(row: Row, config: Config) -> Iterator[str]:
    for name in row.names:
        if name == "{sources}":
            yield from sorted(roles(config))
            yield from (f"{stem(pattern)}*" for pattern in patterns(config))
        elif name == "{checkpoints}":
            yield checkpoints_topic(config)
        elif name == "{group}-worker":
            yield group(config)
        else:
            yield name.format(prefix=config.kafka.prefix, group=config.kafka.group)


def stem(pattern: str) -> str:
    r"""What every topic of a pattern begins with, as Kafka's rights know prefixes but no patterns.

    >>> stem("^fraud\\.eu.*"), stem("^(a|b)")
    ('fraud.eu', '')
    """
    literal = re.match(r"\^((?:\\[.\-_]|[A-Za-z0-9_-])*)(?![*?{+])", pattern)
    return literal[1].replace("\\", "") if literal else ""


def commands(config: Config, role: str, principal: str, server: str = "") -> list[str]:
    """Lines for a shell that give a principal the rights of a role with Kafka's own tool."""
    lines = []
    for acl in acls(config, role):
        words = ["kafka-acls.sh", "--bootstrap-server", server or config.kafka.brokers.split(",")[0].strip(), "--add"]
        words += ["--allow-principal", principal]
        words += [word for operation in acl.operations for word in ("--operation", operation)]
        words += [f"--{acl.resource}", acl.name, *(["--resource-pattern-type", "prefixed"] if acl.prefixed else [])]
        lines.append(shlex.join(words))
    return lines


def markdown() -> str:
    """The table of the README."""
    lines = ["| role | resource | rights | why |", "|---|---|---|---|"]
    for row in TABLE:
        who = "all" if row.roles == ALL else row.roles
        names = ", ".join(f"`{_shown(n)}`" for n in row.names)
        what = "source topics" if names == "`SOURCES`" else f"{row.resource} {names}"
        lines.append(f"| {who} | {what} | {', '.join(row.operations)} | {row.why} |")
    return "\n".join(lines)


def _shown(name: str) -> str:
    return name.format(
        sources="SOURCES", prefix="PREFIX", group="GROUP", checkpoints="GROUP-worker-checkpoints-changelog"
    )


def script(config: Config, which: Sequence[str], principal: str) -> str:
    """Commands for several roles, each under its heading; `{role}` in the principal stands for the role's name."""
    parts = []
    for role in which:
        lines = commands(config, role, principal.replace("{role}", role))
        parts.append("\n".join([f"# {role}", *lines]))
    return "\n\n".join(parts)

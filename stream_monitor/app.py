"""The wiring: the only module that knows connectors. It hands each part what it needs, and does nothing else itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from connectors.sinks import SINKS
from connectors.triggers import TRIGGERS
from stream_monitor import logs
from stream_monitor.check import check_outside, check_references, summary
from stream_monitor.config_files import ConfigFile, known_tables, read_config
from stream_monitor.interfaces import Sink, Trigger
from stream_monitor.notices import TRIGGER, target_names
from stream_monitor.references import prepare

__all__ = ["SINKS", "TRIGGERS", "read"]

log = logging.getLogger(__name__)


def read(file: str, formatter: logs.Formatter | None = None) -> ConfigFile:
    """The configuration; its secrets are hidden from all logs from here on, and cautions are logged."""
    found = read_config(file, known_tables(sinks=SINKS, triggers=TRIGGERS))
    if formatter is not None:
        formatter.hide(found.secrets)
    for caution in found.cautions:
        log.warning("%s", caution)
    return found


def targets(found: ConfigFile) -> Mapping[str, Sink | Trigger]:
    """The sinks and triggers of a configuration, by name."""
    config = found.config
    made: dict[str, Sink | Trigger] = {}
    for name, target in zip(target_names(config.sinks), config.sinks, strict=True):
        made[name] = SINKS[target.kind](**target.options)
    for name, target in zip(target_names(config.triggers, TRIGGER), config.triggers, strict=True):
        made[name] = TRIGGERS[target.kind](**target.options)
    return made


def check(file: str, connect: bool, formatter: logs.Formatter) -> str:
    """What `check` prints; ConfigError or Unreachable otherwise."""
    found = read(file, formatter)
    said = check_references(found, prepare)
    if connect:
        said += check_outside(found, outside(found))
    return summary(found, said)

"""What a process does with a configuration before it works: read the reference files, make known what follows.

Reading a reference file is deterministic, so every tap and worker does it for itself; what they make known has the hash
of its content for a name, so it does not matter who was first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from stream_monitor.catalogs import MemoryCatalog
from stream_monitor.config import Config
from stream_monitor.config.plain import config_id, plain_config
from stream_monitor.entries import Command
from stream_monitor.errors import ConfigError, Mistake
from stream_monitor.interfaces import Catalog

log = logging.getLogger(__name__)


class Shared(Catalog, Protocol):
    """A catalog that other processes read too."""

    def publish_layout(self, id: str, model: str = "", instead_of: str = "") -> None:
        """The layout with that id; if a model is named, it is the model's layout from now on.

        `instead_of`: the layout of the model's reference file, whose place it takes for good.
        """

    def is_replaced(self, model: str, id: str) -> bool:
        """Whether the layout of the model's reference file, with that id, has given way to the one in force now."""

    def publish_reference(self, id: str) -> None:
        """The reference with that id."""

    def publish_config(self, config: Config) -> str:
        """The configuration without its secrets; returns its id."""

    def publish_blob(self, data: bytes) -> str:
        """Other content that those who read a configuration need; returns its id."""

    def model_layouts(self) -> Mapping[str, str]:
        """model -> id of the layout it was last given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """model -> id, of the models with a reference file."""

    layouts: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)

    def command(
        self, config: Config, at_ms: int, by: str, topics: Mapping[str, Sequence[str]] = MappingProxyType({})
    ) -> Command:
        """The entry that tells the fold of the configuration; `topics` are those that its patterns stand for now."""
        body = {"config": plain_config(config), "layouts": dict(self.layouts), "references": dict(self.references)}
        body |= {"topics": {name: list(found) for name, found in topics.items()}} if topics else {}
        return Command(id=f"config:{config_id(config)}", kind="config", at_ms=at_ms, by=by, body=body)


def read_references(config: Config, catalog: Catalog) -> Start:
    """Read the reference files into the catalog. ConfigError with all that cannot be used, by path."""
    layouts, references = {}, {}
    mistakes: list[Mistake] = []
    for name, model in config.models.items():
        if not model.reference.file:
            continue
        # Here: only what counts needs compiled code.
        from stream_monitor.judging.packed_references import pack_reference
        from stream_monitor.judging.references import prepare

        try:
            prepared = prepare(name, model, Path())
        except ConfigError as error:
            path = f"models.{name}.reference.file"
            mistakes += [Mistake(file=m.file, line=0, path=m.path or path, message=m.message) for m in error.mistakes]
            continue
        if prepared.layout is not None:
            layouts[name] = catalog.add_layout(prepared.layout)
        if prepared.reference is not None:
            references[name] = catalog.add_blob(pack_reference(prepared.reference))
            log.info("%s: reference of %d rows from %s", name, prepared.reference.rows, model.reference.file)
    if mistakes:
        raise ConfigError(mistakes)
    return Start(layouts=layouts, references=references)


def make_known(config: Config, catalog: Shared) -> Start:
    """Read the reference files and publish what others do not know yet, the configuration included."""
    here = MemoryCatalog()
    start = read_references(config, here)
    for name, id in start.layouts.items():
        known = _has(catalog.layout, id)
        catalog.add_layout(here.layout(id))
        if not known or (catalog.model_layouts().get(name) != id and not catalog.is_replaced(name, id)):
            catalog.publish_layout(id, name)
    for id in start.references.values():
        if not _has(catalog.blob, id):
            catalog.add_blob(here.blob(id))
            catalog.publish_reference(id)
    if not _has(catalog.blob, config_id(config)):
        catalog.publish_config(config)
    return start


def _has(find: Callable[[str], object], id: str) -> bool:
    try:
        find(id)
    except KeyError:
        return False
    return True

"""What the api is told to put in force by hand, counted and published: a file as a reference, a layout as a model's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stream_monitor.config import Config
from stream_monitor.judging.packed_references import pack_reference
from stream_monitor.judging.references import prepare
from stream_monitor.shell.ports import FollowedCatalog
from stream_monitor.tap.layout_tools import from_document


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotions:
    """Counts what is promoted under the configuration in force, and makes it known to all processes."""

    config: Callable[[], Config]
    catalog: FollowedCatalog
    folder: Path  # what paths of files are relative to, which are named while the process runs

    async def of_file(self, name: str, version: str, file: str) -> str:
        """Count a file as the model is counted now, and publish it as a reference of a version; its id."""
        model = self.config().models[name]
        await self.catalog.catch_up()
        id = self.catalog.model_layouts().get(name)
        layout = self.catalog.layout(id) if id else None
        there = replace(model, reference=replace(model.reference, file=file))
        prepared = await asyncio.to_thread(prepare, name, there, self.folder, layout)
        assert prepared.reference is not None
        reference = self.catalog.add_blob(pack_reference(replace(prepared.reference, version=version)))
        await self.catalog.announce("reference", reference)
        return reference

    async def of_layout(self, name: str, plain: Mapping[str, Any]) -> tuple[str, str]:
        """Publish a layout as the model's; its id, and that of the reference file's counts under it, if any."""
        layout = from_document(plain)
        model = self.config().models[name]
        await self.catalog.catch_up()
        before, reference = self.catalog.model_layouts().get(name, ""), ""
        if model.reference.file:
            mine = await asyncio.to_thread(prepare, name, model, Path())
            counted = await asyncio.to_thread(prepare, name, model, Path(), layout)
            assert mine.layout is not None
            assert counted.reference is not None
            before = mine.layout.id
            reference = self.catalog.add_blob(pack_reference(counted.reference))
            await self.catalog.announce("reference", reference)
        self.catalog.add_layout(layout)
        await asyncio.to_thread(self.catalog.publish_layout, layout.id, name, before)
        return layout.id, reference

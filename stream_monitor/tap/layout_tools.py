"""`stream-monitor layout`: look at how a model's columns are counted, learn it from data, put another one in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from detectors.counts import merge
from detectors.layouts import CategoricalLayout, ColumnLayout, Layout, NumericLayout
from stream_monitor.brokers import Message, Partition
from stream_monitor.catalogs import MemoryCatalog
from stream_monitor.config import DAY_MS, Config, Reference
from stream_monitor.errors import ConfigError, Mistake
from stream_monitor.intents import FIRST_BLOCK, Intent
from stream_monitor.interfaces import LabelStore, Schemas
from stream_monitor.judging.references import layout_from_raw, prepare
from stream_monitor.packing import unpack_counts
from stream_monitor.tap.counting import BlockCounting


def from_file(config: Config, name: str, file: str) -> Layout:
    """The layout that this reference file gives a model; ConfigError when it cannot be used."""
    model = replace(config.models[name], reference=Reference(file=file))
    layout = prepare(name, model, Path()).layout
    assert layout is not None
    return layout


def from_messages(
    config: Config,
    name: str,
    messages: Mapping[Partition, Sequence[Message]],
    store: LabelStore,
    at_ms: int,
    schemas: Schemas | None = None,
) -> tuple[Layout, int]:
    """The layout that a model learns from these messages, as it does from its first events; and how many events.

    ConfigError if none of them can be read; Unreachable where a schema of theirs does not come.
    """
    alone = replace(
        config, models={name: config.models[name]}, time=replace(config.time, allowed_lateness=3_650 * DAY_MS)
    )
    counting = BlockCounting(alone, catalog=MemoryCatalog(), label_store=store, schemas=schemas)
    counts, dead = [], 0
    for (topic, partition), found in sorted(messages.items()):
        intent = Intent(
            topic_id="", epoch=0, n=FIRST_BLOCK, from_=0, to=len(found), at_ms=at_ms, max_event_ms=None,
            active_ms=at_ms, partitions=1, partitions_first=1, part_bytes=1, config=counting.config_id(),
        )  # fmt: skip
        counted = counting.count(intent, (topic, partition), found)
        dead += len(counted.dead)
        counts += [unpack_counts(p.counts) for p in counted.panes if p.segment == "all" and p.counts]
    merged = merge(counts) if counts else None
    if merged is None or not merged.rows:
        seen = sum(map(len, messages.values()))
        text = f"none of {seen} messages is an event of {name}: {dead} of them cannot be read"
        raise ConfigError([Mistake(file="", line=0, path=f"models.{name}", message=text)])
    return layout_from_raw(config.models[name], merged), merged.rows


def document(layout: Layout) -> dict[str, Any]:
    """A layout as a file and the API have it: its id, then what it says."""
    return {"id": layout.id, **layout.to_json()}


def from_document(plain: Mapping[str, Any]) -> Layout:
    """The layout of a document; ValueError with what is wrong in it. An id in it must be that of its content.

    >>> from_document({"pane_ms": 1000, "features": {"x": {"type": "numeric", "edges": [1, 1]}}, "predictions": {}})
    Traceback (most recent call last):
    ...
    ValueError: features.x: edges must rise
    """
    for key, kind in (("pane_ms", int), ("features", Mapping), ("predictions", Mapping)):
        if not isinstance(plain.get(key), kind):
            raise ValueError(f"{key}: missing, or of another kind")
    if not 1_000 <= plain["pane_ms"] <= 7 * DAY_MS:
        raise ValueError("pane_ms: must be from 1 s to 7 d")
    for place in ("features", "predictions"):
        for name, column in plain[place].items():
            if wrong := _wrong(column):
                raise ValueError(f"{place}.{name}: {wrong}")
    layout = Layout.from_json(plain)
    if plain.get("id") not in (None, layout.id):
        raise ValueError(f"id: {plain['id']} is not that of the content, {layout.id}; leave it out after a change")
    return layout


def _wrong(column: object) -> str:
    if not isinstance(column, Mapping) or column.get("type") not in ("numeric", "categorical"):
        return "type must be numeric or categorical"
    if column["type"] == "numeric":
        edges = column.get("edges")
        if not isinstance(edges, list) or not all(isinstance(e, int | float) for e in edges):
            return "edges must be a list of numbers"
        return "" if all(a < b for a, b in pairwise(edges)) else "edges must rise"
    categories = column.get("categories")
    if not isinstance(categories, list) or not all(isinstance(c, str) for c in categories):
        return "categories must be a list of texts"
    return "" if len(set(categories)) == len(categories) else "a category twice"


def table(layout: Layout) -> Group:
    """A layout for people: a line a column."""
    rows = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("column", "type", "bins", "edges or categories"):
        rows.add_column(heading, overflow="ellipsis", no_wrap=heading != "edges or categories")
    for place, name, column in layout.columns:
        kind, bins, text = _described(column)
        rows.add_row(name if place == "features" else f"({name})", kind, str(bins), text)
    return Group(Text(f"layout {layout.id}, panes of {layout.pane_ms / 1000:g} s"), rows)


def _described(column: ColumnLayout) -> tuple[str, int, str]:
    if isinstance(column, NumericLayout):
        edges = [f"{e:g}" for e in column.edges]
        shown = edges if len(edges) <= 12 else [*edges[:6], "...", *edges[-6:]]
        return "numeric", len(edges) + 1, " ".join(shown)
    assert isinstance(column, CategoricalLayout)
    names = [repr(c) for c in column.categories]
    return "categorical", len(names), " ".join(names[:12]) + (" ..." if len(names) > 12 else "")

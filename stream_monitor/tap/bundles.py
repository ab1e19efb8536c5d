"""From the counts of a block to its bundles: one to every worker partition, in parts where it is too large.

A pure function of the intent and the counts, so that a block that is made again gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from detectors.counts import Counts
from stream_monitor.entries import Bundle, PaneRecord, Source, pack, partition_of
from stream_monitor.intents import Intent
from stream_monitor.packing import pack_counts, unpack_counts

PART_BYTES: Final = 800_000  # of panes in a bundle; a broker takes 1 MiB with everything else unless told otherwise


def bundles(
    source: Source,
    intent: Intent,
    *,
    panes: Sequence[PaneRecord],
    dead: Mapping[str, int],
    late: Mapping[str, int],
    told: Mapping[str, Mapping[str, int]],
    holes: int,
    watermark_ms: int | None,
    idle: bool,
    home: str,
    partitions: int,
) -> list[tuple[int, Bundle]]:
    """(worker partition, bundle) of a block, every one of the `partitions` worker partitions at least once.

    Dead letters are told to the worker partition of the model `home` only, late events of a model and what `told` says
    of it to its own only: their totals over all worker partitions are right.
    """
    by_partition: dict[int, list[PaneRecord]] = {p: [] for p in range(partitions)}
    for pane in panes:
        by_partition[partition_of(pane.model, partitions)].append(pane)
    late_at = dict.fromkeys(range(partitions), 0)
    for model, events in late.items():
        late_at[partition_of(model, partitions)] += events
    told_at: dict[int, dict[str, dict[str, int]]] = {}
    for model in sorted(told):
        told_at.setdefault(partition_of(model, partitions), {})[model] = dict(sorted(told[model].items()))
    out = []
    for p, its_panes in by_partition.items():
        parts = _cut(its_panes, intent.part_bytes)
        for i, part in enumerate(parts):
            bundle = Bundle(
                source=source,
                n=intent.n,
                from_=intent.from_,
                to=intent.to,
                part=i,
                parts=len(parts),
                watermark_ms=watermark_ms,
                idle=idle,
                partitions=intent.partitions,
                config=intent.config,
                at_ms=intent.at_ms,
                panes=tuple(part),
                dead=dict(sorted(dead.items())) if i == 0 and p == partition_of(home, partitions) else {},
                late=late_at[p] if i == 0 else 0,
                alarm=intent.alarm,
                holes=holes if i == 0 else 0,
                told=told_at.get(p, {}) if i == 0 else {},
            )
            out.append((p, bundle))
    return out


def _cut(panes: Iterable[PaneRecord], limit: int) -> list[list[PaneRecord]]:
    """Panes in their order, in lists of at most about `limit` bytes; at least one list."""
    lists: list[list[PaneRecord]] = [[]]
    filled = 0
    for whole in panes:
        for pane in _pieces(whole, limit):
            size = _size(pane)
            if filled and filled + size > limit:
                lists.append([])
                filled = 0
            lists[-1].append(pane)
            filled += size
    return lists


def _size(pane: PaneRecord) -> int:
    return len(pane.counts) + len(pane.model) + len(pane.version) + len(pane.segment) + 64


def _pieces(pane: PaneRecord, limit: int) -> list[PaneRecord]:
    """The record itself, or records of the same key that add up to it when it alone is beyond `limit`."""
    if _size(pane) <= limit:
        return [pane]
    counts = unpack_counts(pane.counts)
    fixed = 16 * len(counts.low) + sum(len(n) + 5 for n in counts.names)  # said again in every piece
    cells = max(1, (limit - fixed - 256) // 12)
    out = []
    for start in range(0, max(1, len(counts.cells)), cells):
        stop = start + cells
        first = start == 0
        inside = {int(c) for c in counts.cells[start:stop]}
        piece = Counts(
            rows=counts.rows if first else 0,
            cells=counts.cells[start:stop],
            values=counts.values[start:stop],
            low=counts.low if first else np.full(len(counts.low), np.inf),
            high=counts.high if first else np.full(len(counts.high), -np.inf),
            names=counts.names,
            words=tuple(w for w in counts.words if w[0] in inside),
        )
        out.append(msgspec.structs.replace(pane, counts=pack_counts(piece), late=pane.late if first else 0))
    return out


def packed(parts: Iterable[tuple[int, Bundle]]) -> list[tuple[int, bytes]]:
    """(worker partition, bytes) of bundles."""
    return [(p, pack(bundle)) for p, bundle in parts]

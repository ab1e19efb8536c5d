"""A block's way into bundles: every worker partition hears of it, totals are right, parts add up."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.counts import Counts, merge
from stream_monitor.entries import Bundle, PaneRecord, pack, partition_of
from stream_monitor.packing import pack_counts, unpack_counts
from stream_monitor.tap.bundles import bundles
from tests.tap.test_intents import INTENT

SOURCE = INTENT.source("t", 2)
WORKERS = 5


def pane(model: str, start: int, cells: int, *, rows: int = 1, late: int = 0) -> PaneRecord:
    counts = Counts(
        rows=rows,
        cells=np.arange(cells, dtype=np.int32) * 3,
        values=np.arange(cells) + 1,
        low=np.array([1.0, -np.inf]),
        high=np.array([2.0, np.inf]),
        names=("f:a", "p:b"),
        words=tuple((3 * c, "w") for c in range(min(cells, 2))),
    )
    return PaneRecord(model, "1", "all", start, "0", (0, 9), late, pack_counts(counts))


def made(panes: list[PaneRecord], part_bytes: int = 800_000, late: int = 2) -> list[tuple[int, Bundle]]:
    return bundles(
        SOURCE,
        msgspec.structs.replace(INTENT, part_bytes=part_bytes),
        panes=panes,
        dead={"not_json": 3},
        late={"a": late},
        told={"a": {"labels_joined": 4}},
        holes=7,
        watermark_ms=5,
        idle=False,
        home="b",
        partitions=WORKERS,
    )


def test_every_worker_partition_hears_of_an_empty_block() -> None:
    out = made([], late=0)
    assert [p for p, _ in out] == list(range(WORKERS))
    assert all((b.parts, b.panes, b.n, b.from_, b.to, b.watermark_ms) == (1, (), 3, 100, 150, 5) for _, b in out)
    assert [b.holes for _, b in out] == [7] * WORKERS
    assert {p: b.told for p, b in out if b.told} == {partition_of("a", WORKERS): {"a": {"labels_joined": 4}}}


def test_totals_over_all_worker_partitions_are_right() -> None:
    out = made([pane("a", 0, 3), pane("b", 0, 3)])
    assert sum(b.late for _, b in out) == 2
    assert [b.late for p, b in out if p == partition_of("a", WORKERS)] == [2]
    assert [(p, b.dead) for p, b in out if b.dead] == [(partition_of("b", WORKERS), {"not_json": 3})]
    assert sorted(r.model for _, b in out for r in b.panes) == ["a", "b"]


@given(
    sizes=st.lists(st.integers(0, 300), max_size=6),
    part_bytes=st.integers(600, 3_000),
)
def test_parts_are_small_and_add_up(sizes: list[int], part_bytes: int) -> None:
    panes = [pane("a", i, cells, rows=cells, late=i) for i, cells in enumerate(sizes)]
    mine = [b for p, b in made(panes, part_bytes) if p == partition_of("a", WORKERS)]
    assert [b.part for b in mine] == list(range(len(mine)))
    assert {b.parts for b in mine} == {len(mine)}
    assert all(len(pack(b)) < part_bytes + 400 for b in mine)
    assert sum(b.late for b in mine) == 2
    for i, whole in enumerate(panes):
        pieces = [r for b in mine for r in b.panes if r.start_ms == i]
        assert merge(unpack_counts(r.counts) for r in pieces) == unpack_counts(whole.counts)
        assert sum(r.late for r in pieces) == whole.late
    assert made(panes, part_bytes) == made(panes, part_bytes)

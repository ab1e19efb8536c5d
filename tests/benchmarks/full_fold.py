"""The fold of models for which everything is kept that ever is: as many lengths of a window as promotions may ask for,
and a worker that has just been started on their checkpoints, as Faust's table holds them.

One model is folded; the others are it under other names, with layouts and references of their own. What follows is what
a worker does: the states are restored from the table, windows close (which calibrates every scan anew), and after every
block there is a checkpoint: the first and the last one hold everything.
"""

from __future__ import annotations

import ctypes
import gc
import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from stream_monitor.catalogs import MemoryCatalog
from stream_monitor.entries import Bundle, partition_of
from stream_monitor.fold.fold import State, step
from stream_monitor.state.memories import Configured, Head
from stream_monitor.state.states import record_key
from stream_monitor.state.units import HISTORY
from stream_monitor.worker.checkpoints import Chain, by_partition
from stream_monitor.worker.owners import Fold, Owner, Span
from stream_monitor.worker.segments import Table

FOLD: Final[Fold[State]] = Fold(empty=State.empty, step=step, restore=State.restore)
LOG: Final = Span(begin=0, end=1 << 40, committed=1)
ROUNDS: Final = 11  # bundles of every model, and checkpoints, after the start: two windows close

Names = dict[str, tuple[str, str]]  # model -> ids of its layout and its reference
Next = Callable[[str, str, int], Bundle]  # of a model and a layout, the n-th


class Cloned:
    """Records of models that are one model under other names."""

    def __init__(self, of: dict[bytes, bytes], was: tuple[str, str, str], named: Names, shared: dict[bytes, bytes]):
        self._of, self._was, self._named, self._shared = of, was, named, shared

    def __len__(self) -> int:
        return len(self._of) * len(self._named) + len(self._shared)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        yield from self._shared.items()
        for name, ids in self._named.items():
            swaps = [(a.encode(), b.encode()) for a, b in zip(self._was, (name, *ids), strict=True)]
            assert all(len(a) == len(b) for a, b in swaps)
            for key, record in self._of.items():
                yield _swapped(key, swaps), _swapped(record, swaps)


def _swapped(data: bytes, swaps: Iterable[tuple[bytes, bytes]]) -> bytes:
    for a, b in swaps:
        data = data.replace(a, b)
    return data


def filled(state: State, name: str, unit_ms: int) -> dict[bytes, bytes]:
    """The records of a model's state, and as many lengths of a window before them as are ever kept."""
    records = {k: v for k, v in state.records().items() if msgspec.msgpack.decode(k)[0] != "c"}
    units = state.panes[name, "", "all"]
    closed = [units[u].stored() for u in sorted(units)[:-1]]
    for i in range(HISTORY):
        records[record_key("p", name, "", "all", min(units) - (i + 1) * unit_ms)] = closed[i % len(closed)]
    return records


def measure(
    state: State, configured: Configured, named: Names, catalog: MemoryCatalog, bundle: Next, done: int, unit_ms: int,
    partitions: int, setup: dict[str, Any],
) -> None:  # fmt: skip
    """Print what a worker takes that starts on these models; `state` is of the first, after `done` bundles."""

    def line(figure: str, value: float, unit: str) -> None:
        print(json.dumps({"figure": figure, "value": round(value, 3), "unit": unit, "setup": setup}), flush=True)

    def memory(figure: str) -> None:
        line(f"{figure}_memory", _memory("VmRSS"), "MiB, the whole process")
        line(f"{figure}_memory_peak", _memory("VmHWM"), "MiB, the whole process")

    models, first = len(named), next(iter(named))
    records, head = filled(state, first, unit_ms), state.head()
    was = (first, *named[first])
    del state
    gc.collect()
    ctypes.CDLL("").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    memory("full_before")
    table = Table()
    for partition in range(partitions):
        of = {n: ids for n, ids in named.items() if partition_of(n, partitions) == partition}
        shared = {record_key("c"): msgspec.msgpack.encode(configured)}
        wide = _head(head, partition, partitions, first, named)
        checkpoint = Chain(partition, "id").next(1, wide, Cloned(records, was, of, shared))
        table.update([*checkpoint.segment, checkpoint.head])
        del checkpoint
    begin = time.process_time()
    apart = by_partition(table.snapshot())
    owners = [
        Owner(
            FOLD,
            catalog,
            partition=p,
            partitions=partitions,
            topic_id="id",
            messages=apart[p],
            span=LOG,
            every=ROUNDS - 1,
        )
        for p in range(partitions)
    ]
    del apart
    assert all(owner.at == 1 and not owner.alarm for owner in owners)
    assert sum(len(panes) for o in owners for panes in o.state.panes.values()) >= models * HISTORY
    line("full_start", (time.process_time() - begin) / models, "s a model")
    memory("full_started")
    for n in range(done + 1, done + ROUNDS + 1):
        for name, (layout, _) in named.items():
            owner = owners[partition_of(name, partitions)]
            owner.step(owner.at, bundle(name, layout, n))
        begin, written = time.process_time(), 0
        for owner in owners:  # all of it in the first round and in the last one
            checkpoint = owner.checkpoint()
            written += checkpoint.size_bytes
            owner.written(checkpoint)
            assert checkpoint.full == (n in (done + 1, done + ROUNDS))
            del checkpoint
            for key in owner.superseded():
                table.pop(key, None)
        assert not table
    line("full_checkpoint", written / models / 2**20, "MiB a model, all records")
    line("full_checkpoint_pace", (time.process_time() - begin) / models, "s a model")
    line("full_on_disk", sum(o.state.shelf.size_bytes for o in owners) / models / 2**20, "MiB a model")
    memory("full")


def _head(head: bytes, partition: int, partitions: int, first: str, named: Names) -> bytes:
    """Of a worker partition that has heard of every model's source, as each does."""
    here = msgspec.msgpack.decode(head, type=Head)
    here.partition, here.partitions = partition, partitions
    [(_, source)] = here.sources.items()
    here.sources = {
        f"{name}/0": msgspec.structs.replace(source, source=msgspec.structs.replace(source.source, topic=name))
        for name in named
    }
    return msgspec.msgpack.encode(here)


def _memory(what: str) -> float:
    """MiB, as the kernel counts them."""
    text = Path("/proc/self/status").read_text().split(f"{what}:")[1]
    return int(text.split()[0]) / 1024

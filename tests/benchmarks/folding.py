"""`python -m tests.benchmarks.folding`: what models of 50 columns take in a worker's fold, and its pace.

With `--full`: what they take in a worker that was started anew when everything is kept for them that ever is.

reference  400 panes of 50 events, counted from a file
stream     panes of 10 s with 50 events, bundles of six of them, windows of 5 min; the default monitors
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from typing import Any, Final

import msgspec
import numpy as np
import psutil

from detectors.layouts import Layout, NumericLayout
from stream_monitor.catalogs import MemoryCatalog
from stream_monitor.config import Budget, Config, Model, Time, WindowSpec
from stream_monitor.config import Reference as FromFile
from stream_monitor.config.plain import plain_config
from stream_monitor.entries import Bundle, Command, PaneRecord, Source
from stream_monitor.fold.fold import State, step
from stream_monitor.judging.packed_references import pack_reference
from stream_monitor.judging.references import Reference
from stream_monitor.packing import pack_counts
from stream_monitor.state.memories import Configured
from stream_monitor.state.units import HISTORY
from stream_monitor.worker.checkpoints import MESSAGE_BYTES
from stream_monitor.worker.segments import pieces
from tests.benchmarks import full_fold
from tests.benchmarks.scan import EVENTS, PANES, layout, panes

PANE: Final = 10_000  # ms
WINDOW: Final = 300_000  # ms
BLOCK: Final = 6  # panes of a bundle
BEGIN: Final = -(-PANES * PANE // WINDOW) * WINDOW  # of the stream, behind the reference
MODEL: Final = Model(
    topic=("t",),
    reference=FromFile(file="given.csv"),
    window=WindowSpec(size=WINDOW),
    false_alarms=Budget(alarms=1, per_ms=30 * 86_400_000),
)


def _layouts(models: int) -> list[Layout]:
    """All different: every model has edges of its own."""
    of = replace(layout(), pane_ms=PANE)

    def moved(i: int) -> dict[str, Any]:
        numbers = {n: f for n, f in of.features.items() if isinstance(f, NumericLayout)}
        return {**of.features, **{n: NumericLayout(edges=tuple(np.add(f.edges, i / 1e6))) for n, f in numbers.items()}}

    return [replace(of, features=moved(i)) for i in range(models)]


def _name(i: int) -> str:
    return f"model-{i:04}"


def _known(layouts: list[Layout], catalog: MemoryCatalog) -> full_fold.Names:
    """All models, each with a layout and a reference of its own."""
    series = tuple(panes(layouts[0], PANES, 1))
    ids = {}
    for i, of in enumerate(layouts):
        catalog.add_layout(of)
        reference = Reference(
            model=_name(i),
            version="",
            layout=of.id,
            pane_ms=PANE,
            rows=PANES * EVENTS,
            series={"all": series},
            source="f",
        )
        ids[_name(i)] = of.id, catalog.add_blob(pack_reference(reference))
    return ids


def _configuration(ids: full_fold.Names) -> dict[str, Any]:
    config = Config(models={name: replace(MODEL, topic=(name,)) for name in ids}, time=Time())
    layouts, references = ({name: pair[i] for name, pair in ids.items()} for i in (0, 1))
    return {"config": plain_config(config), "layouts": layouts, "references": references}


def _configured(ids: full_fold.Names, catalog: MemoryCatalog) -> State:
    """A fold that knows these models."""
    command = Command("config", "config", 0, "worker", _configuration(ids))
    return step(State.empty(0, 1), command, catalog)[0]


def _bundle(model: str, layout: str, n: int, counts: list[bytes]) -> Bundle:
    first = (n - 1) * BLOCK
    records = tuple(
        PaneRecord(model, "", "all", BEGIN + i * PANE, layout, (i * EVENTS, (i + 1) * EVENTS), 0, data)
        for i, data in enumerate(counts, first)
    )
    end, to = BEGIN + (first + BLOCK) * PANE, (first + BLOCK) * EVENTS
    return Bundle(
        Source(model, "id", 0, 1), n=n, from_=first * EVENTS, to=to, part=0, parts=1, watermark_ms=end, idle=False,
        partitions=1, config="c", at_ms=end, panes=records, dead={},
    )  # fmt: skip


def _is_closed_unit(name: bytes, end_ms: int) -> bool:
    kind, *parts = msgspec.msgpack.decode(name)
    return bool(kind == "p" and parts[-1] + WINDOW <= end_ms)


def _full(ids: full_fold.Names, catalog: MemoryCatalog, counts: list[bytes], partitions: int) -> None:
    """Fold one model, and have it measured with all that may be kept of it, under all names."""
    first, done = next(iter(ids)), len(counts) // BLOCK

    def bundle(name: str, layout: str, n: int) -> Bundle:
        at = (n - 1) % done * BLOCK
        return _bundle(name, layout, n, counts[at : at + BLOCK])

    state = _configured({first: ids[first]}, catalog)
    for n in range(1, done + 1):
        state, _ = step(state, bundle(first, ids[first][0], n), catalog)
        state.changed()
        state.mark()
    body = _configuration(ids)
    configured = Configured(body["config"], body["layouts"], body["references"], id="config")
    setup = {"models": len(ids), "columns": 50, "partitions": partitions, "lengths": HISTORY, "window_panes": 30}
    full_fold.measure(state, configured, ids, catalog, bundle, done, WINDOW, partitions, setup)


def main() -> None:
    """Fold, and print what it took."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.folding", description=__doc__)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--panes", type=int, default=240)
    parser.add_argument("--full", action="store_true", help="the lengths of a window that are kept, and a restart")
    parser.add_argument("--partitions", type=int, default=8, help="of the worker, with --full")
    arguments = parser.parse_args()
    models, bundles = arguments.models, arguments.panes // BLOCK
    layouts = _layouts(models)
    counts = [pack_counts(c) for _, c in panes(layouts[0], bundles * BLOCK, 2)]
    catalog, before = MemoryCatalog(), psutil.Process().memory_info().rss
    ids = _known(layouts, catalog)
    if arguments.full:
        _full(ids, catalog, counts, arguments.partitions)
        return
    state = _configured(ids, catalog)
    begin = calibrated = time.process_time()
    for n in range(1, bundles + 1):
        for i, of in enumerate(layouts):
            state, _ = step(state, _bundle(_name(i), of.id, n, counts[(n - 1) * BLOCK : n * BLOCK]), catalog)
        state.changed()  # as for a checkpoint
        state.mark()
        if n * BLOCK * PANE <= 2 * WINDOW:
            calibrated = time.process_time()  # every scan has been calibrated, and nothing else is slow
    taken, steady = time.process_time() - calibrated, (bundles * BLOCK - 2 * WINDOW // PANE) * models
    resident = psutil.Process().memory_info().rss - before
    records = state.records()
    closed = [len(data) for name, data in records.items() if _is_closed_unit(name, BEGIN + bundles * BLOCK * PANE)]
    setup = {"models": models, "columns": 50, "panes": bundles * BLOCK, "events_per_pane": EVENTS}
    lines = [
        ("fold_memory_per_model", resident / models / 2**20, "MiB"),
        ("fold_references_on_disk", catalog.on_disk_bytes / models / 2**20, "MiB a model"),
        ("fold_checkpoint", sum(map(len, pieces(records, MESSAGE_BYTES))) / models / 2**20, "MiB a model, all records"),
        ("fold_unit", sum(closed) / len(closed) / 1000, "kB a length of a window"),
        ("fold_first_windows", (calibrated - begin) / models, "s a model"),
        ("fold_step", taken / steady * 1000, "ms a pane"),
    ]
    for figure, value, unit in lines:
        print(json.dumps({"figure": figure, "value": round(value, 4), "unit": unit, "setup": setup}), flush=True)


if __name__ == "__main__":
    main()

"""`python -m tests.benchmarks.scan`: what the scan costs. JSON lines on stdout, as all benchmarks.

50 columns (40 numeric, 10 categorical), a reference of 400 panes of 50 events with labels, one unit.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from detectors import joints
from detectors.compiling import engine
from detectors.counts import Counts
from detectors.layouts import HEAD, CategoricalLayout, Layout, NumericLayout
from detectors.scan import Scan, look, needed

NUMERIC, CATEGORICAL, PANES, EVENTS = 40, 10, 400, 50
WINDOW: Final = 30  # panes that are judged at once, when their window closes: `scan_step` is for one of them
MODELS: Final = 1000


def layout() -> Layout:
    """Of the size that learning gives: 252 bins a numeric column, 20 categories a categorical one."""
    edges = tuple(np.linspace(-1.0, 1.0, 251).tolist())
    features: dict[str, Any] = {f"f{i}": NumericLayout(edges=edges) for i in range(NUMERIC)}
    features |= {f"c{i}": CategoricalLayout(categories=tuple(f"v{k}" for k in range(20))) for i in range(CATEGORICAL)}
    return Layout(pane_ms=60_000, features=features, predictions={})


def panes(of: Layout, count: int, seed: int) -> list[tuple[int, Counts]]:
    """Panes of independent events, joint cells included."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        dense = np.zeros((1, of.size), np.int64)
        bins = rng.integers(1, 251, size=(NUMERIC, EVENTS))
        for j in range(NUMERIC):
            at = of.offsets["features", f"f{j}"] + HEAD
            dense[0, at : at + 252] += np.bincount(bins[j], minlength=252)
        for j in range(CATEGORICAL):
            at = of.offsets["features", f"c{j}"] + HEAD
            dense[0, at : at + 20] += np.bincount(rng.integers(0, 20, EVENTS), minlength=20)
        ranks = (2 * bins - 251).astype(np.int16)
        joints.add_combinations(dense, of.joint_offset, np.array([0, EVENTS]), ranks)
        cells = np.flatnonzero(dense[0])
        none = np.zeros(0)
        counts = Counts(rows=EVENTS, cells=cells.astype(np.int32), values=dense[0, cells], low=none, high=none)
        found.append((i * of.pane_ms, counts))
    return found


def seconds(what: Callable[[], Any], times: int) -> float:
    """Median CPU time of some runs, after one that is not counted: other processes do not count, threads do."""
    what()
    taken = []
    for _ in range(times):
        begin = time.process_time()
        what()
        taken.append(time.process_time() - begin)
    return float(np.median(taken))


def main() -> None:
    """Measure and print."""
    of = layout()
    reference = panes(of, PANES, 1)

    def learn() -> Scan:
        return Scan.calibrated(of, {"all": reference}, panes_between_false_alarms=30 * 24 * 60)

    unit = learn().units["all"]
    setup: dict[str, Any] = {"columns": NUMERIC + CATEGORICAL, "components": len(unit.components.of), "panes": PANES}
    setup |= {"events_per_pane": EVENTS, "engine": engine()}
    later = [c for _, c in panes(of, needed(unit) - 1 + WINDOW, 2)]
    vectors = unit.components.vectors(later)
    last = PANES + len(later)

    def window() -> None:
        for i in range(-WINDOW, 0):
            vectors[i] = unit.components.vector(later[i])
        look(unit, PANES + 1, vectors, since=last - WINDOW + 1)

    def one() -> None:
        look(unit, last - needed(unit) + 1, vectors[-needed(unit) :])

    lines = [
        ("scan_calibration", seconds(learn, 3), "s"),
        ("scan_step", seconds(window, 20) * 1000 / WINDOW, "ms"),
        ("scan_look", seconds(one, 50) * 1000, "ms"),
        ("scan_bytes_per_model", unit.nbytes + vectors.nbytes, "bytes"),
        ("scan_1000_models", (unit.nbytes + vectors.nbytes) * MODELS / 1e9, "GB"),
    ]
    for figure, value, what in lines:
        print(json.dumps({"figure": figure, "value": round(value, 4), "unit": what, "setup": setup}), flush=True)


if __name__ == "__main__":
    main()

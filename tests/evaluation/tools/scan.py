"""stream-monitor's scan: layout, panes, calibration and looks of the service."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from detectors.counts import Counts
from detectors.scan.components import Components, components_of
from detectors.scan.scan import ALL, Scan
from detectors.scan.windows import JOINT, Crossing, Series, crossings, lasting
from tests.evaluation import counted as counting
from tests.evaluation.make_streams import Stream

PANE_EVENTS: Final = 25
VERSION: Final = 4  # of kept streams: raise it when what is counted, or the components, change
CACHE: Final = Path(__file__).resolve().parents[3] / "build" / "evaluation"
Learnt = tuple[dict[str, Components], dict[str, NDArray[np.float32]], int]


def alarms(
    reference: Stream, stream: Stream, *, budget_per_5000: float, key: str = "", pane_events: int = PANE_EVENTS
) -> list[tuple[int, list[str]]]:
    """(events of the stream seen, columns named) of each alarm.

    A subject (a column of a unit, all columns together, dependence, labels) is in alarm until it has had no finding for
    as long as the window of the last one; each position at which a subject comes into alarm is one.
    """
    of, vectors, count = _vectors(reference, stream, pane_events, key)
    starts = np.arange(count, dtype=np.int64) * pane_events
    both = {s: v.astype(np.float64) for s, v in vectors.items()}
    scan = Scan.learnt(
        of, {s: v[:count] for s, v in both.items()}, starts, pane_events, 5000 / pane_events / budget_per_5000
    )
    found: list[tuple[int, float, Series, Crossing]] = []
    for name, unit in scan.units.items():
        series = Series.of(unit, count, both[name][count:])
        found += [(c.end, c.p / c.alpha, series, c) for c in crossings(series)]
    found.sort(key=lambda f: f[:2])
    raised: dict[int, list[str]] = {}
    quiet: dict[tuple[str, int], int] = {}  # subject: the pane from which a finding is a new alarm
    done: set[tuple[int, str, int]] = set()  # looks whose subject has its finding
    for end, _, series, c in found:
        unit = series.unit
        subject = (unit.name, JOINT if c.component == JOINT else int(unit.subject[c.component]))
        if (end, *subject) in done or not lasting(series, c):
            continue
        done.add((end, *subject))
        if end >= quiet.get(subject, 0):
            raised.setdefault((end + 1) * pane_events, []).extend(_columns(series, c))
        quiet[subject] = max(quiet.get(subject, 0), end + 1 + unit.scales[c.scale])
    return sorted(raised.items())


def _columns(series: Series, c: Crossing) -> list[str]:
    unit = series.unit
    if c.component == JOINT:
        return ["all"]
    names = list(unit.components.of[c.component].columns)
    return names if unit.name == ALL else [unit.name, *names]


def _vectors(reference: Stream, stream: Stream, pane_events: int, key: str) -> Learnt:
    path = CACHE / f"{key}-{pane_events}-{VERSION}.pickle"
    if key and path.exists():
        with path.open("rb") as file:
            kept: Learnt = pickle.load(file)
        return kept
    count = len(reference) // pane_events
    before, after = (counting.batch(s, at, counting.SEGMENTS) for s, at in ((reference, 0), (stream, len(reference))))
    layout = counting.layout_of(before, pane_events)
    later = len(stream) // pane_events
    whole = counting.matrices(before, layout, 0, count, segments=False)[ALL]
    of = {ALL: components_of(layout, _total(whole))}
    own = counting.matrices(after, layout, count, later, segments=False)[ALL]
    parts = {ALL: [of[ALL].of_cells(whole), of[ALL].of_cells(own)]}
    for name, vector in counting.located(before, layout, 0, count, of, learn=True).items():
        parts[name] = [vector, np.zeros((later, of[name].entries))]
    for name, vector in counting.located(after, layout, count, later, of, learn=False).items():
        parts[name][1] = vector
    vectors = {name: np.concatenate(both).astype(np.float32) for name, both in parts.items()}
    if key:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            pickle.dump((of, vectors, count), file, protocol=5)
    return of, vectors, count


def _total(cells: csr_array) -> Counts:
    """All panes together."""
    totals = np.asarray(cells.sum(axis=0)).ravel().astype(np.int64)
    some = np.flatnonzero(totals[:-1])
    none = np.zeros(0)
    return Counts(rows=int(totals[-1]), cells=some.astype(np.int32), values=totals[some], low=none, high=none)

"""stream-monitor's scan: layout, panes, calibration and looks of the service, all looks of a stream at once."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

import detectors.layouts
import detectors.learning
from detectors.scan import columns, components, functionals, products, residuals
from detectors.scan.components import Components
from detectors.scan.scan import ALL, Scan
from detectors.scan.windows import JOINT, Crossing, Series, crossings, drifting
from tests.evaluation import counted, make_streams, sweeps
from tests.evaluation.make_streams import Stream

PANE_EVENTS: Final = 25
SOON: Final = 100  # panes after a change that are read first: most changes are seen by then
CACHE: Final = Path(__file__).resolve().parents[3] / "build" / "evaluation"
DECIDE: Final = (
    counted, sweeps, make_streams, detectors.layouts, detectors.learning, columns, components, functionals, products,
    residuals,
)  # fmt: skip

Floats = NDArray[np.float64]
Kept = tuple[dict[str, Components], dict[str, NDArray[np.float32]]]  # components and vectors of units
Alarm = tuple[int, list[str]]  # events of the stream seen, columns named


def vectors_of(reference: Stream, stream: Stream, pane_events: int = PANE_EVENTS) -> Kept:
    """What the scan reads of a stream: the reference's panes, then the stream's."""
    segments = tuple(s for s in counted.SEGMENTS if s in reference.cat)
    before, after = (counted.batch(s, at, segments) for s, at in ((reference, 0), (stream, len(reference))))
    learnt, known = sweeps.learn(before, counted.layout_of(before, pane_events), pane_events)
    new = sweeps.sweep(after, learnt, pane_events)
    return dict(learnt.of), {name: np.concatenate([known[name], new[name]]).astype(np.float32) for name in known}


def kept(key: str) -> Path:
    """Where vectors of a stream are kept: the name changes with the code that they come from."""
    code = hashlib.sha256(b"".join(Path(str(m.__file__)).read_bytes() for m in DECIDE)).hexdigest()[:12]
    return CACHE / code / f"{key}.pickle"


def load(key: str) -> Kept | None:
    """The vectors that are kept under a key, if they are."""
    path = kept(key)
    if not path.exists():
        return None
    with path.open("rb") as file:
        found: Kept = pickle.load(file)
    return found


def save(key: str, found: Kept) -> None:
    """Keep them."""
    path = kept(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        pickle.dump(found, file, protocol=5)
    part.replace(path)


def alarms(
    found: Kept, count: int, *, budget_per_5000: float, pane_events: int = PANE_EVENTS, change: int | None = None
) -> list[Alarm]:
    """Alarms of a stream whose first `count` panes are the reference, as a function of what `vectors_of` gives.

    After a change the stream is read until there is an alarm, and a little further.

    A subject (a column of a unit, all columns together, dependence, labels) comes into alarm with its first finding
    that lasts, and leaves it when no window of its was beyond its bound for as long as the last one that was.
    """
    of, kept_vectors = found
    vectors = {s: v.astype(np.float64) for s, v in kept_vectors.items()}
    starts = np.arange(count, dtype=np.int64) * pane_events
    apart = 5000 / pane_events / budget_per_5000
    scan = Scan.learnt(of, {s: v[:count] for s, v in vectors.items()}, starts, pane_events, apart)
    raised: list[Alarm] = []
    for until in (None,) if change is None else (change // pane_events + SOON, None):
        seen = {name: v[count:][:until] for name, v in vectors.items()}
        raised = alarms_of(scan, seen, count, pane_events)
        if change is not None and any(at > change for at, _ in raised):
            break
    return raised


def alarms_of(scan: Scan, vectors: Mapping[str, Floats], first: int, pane_events: int) -> list[Alarm]:
    """The same with a calibrated scan, of panes from number `first` on."""
    beyond: list[tuple[int, float, Series, Crossing]] = []
    for name, unit in scan.units.items():
        series = Series.of(unit, first, vectors[name])
        beyond += [(c.end, c.p / c.alpha, series, c) for c in crossings(series)]
    beyond.sort(key=lambda f: f[:2])
    raised: dict[int, list[str]] = {}
    until: dict[tuple[str, int], int] = {}  # subject in alarm: the pane from which a finding is a new alarm
    for end, _, series, c in beyond:
        unit = series.unit
        subject = (unit.name, JOINT if c.component == JOINT else int(unit.subject[c.component]))
        inside = end < until.get(subject, -1)
        if not inside and not drifting(series, c):
            continue
        if not inside:
            raised.setdefault((end + 1) * pane_events, []).extend(_columns(series, c))
        until[subject] = max(until.get(subject, -1), end + 1 + unit.scales[c.scale])
    return sorted(raised.items())


def _columns(series: Series, c: Crossing) -> list[str]:
    unit = series.unit
    if c.component == JOINT:
        return ["all"]
    names = list(unit.components.of[c.component].columns)
    return names if unit.name == ALL else [unit.name, *names]

"""`python -m tests.benchmarks.detectors`: updates/s of change detectors, on arrays and one by one, beside River's.

JSON lines on stdout, as all benchmarks; CPU time, one core; `ratios` are to River's detector of the same name on the
same values.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from river import drift

from detectors import DETECTORS
from detectors.change.machines import Machine

UPDATES: Final = 200_000
SINGLE: Final = 2_000
RIVERS: Final[dict[str, tuple[Callable[[], Any], int]]] = {  # with so many updates: some are slow
    "adwin": (drift.ADWIN, 200_000),
    "kswin": (drift.KSWIN, 500),
    "ddm": (drift.binary.DDM, 200_000),
    "eddm": (drift.binary.EDDM, 200_000),
    "hddm_a": (drift.binary.HDDMA, 50_000),
    "hddm_w": (drift.binary.HDDMW, 50_000),
}
SLOW: Final = {"bocpd": 2_000, "glr": 20_000, "kswin": 5_000}


def rate(run: Callable[[], Any], updates: int) -> tuple[float, float]:
    """(updates a second, seconds of CPU time); the best of five."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        run()
        best = min(best, time.process_time() - began)
    return updates / best, best


def rivers(make: Callable[[], Any], values: list[int]) -> None:
    detector = make()
    for value in values:
        detector.update(value)


def single(detector: Machine, values: list[float]) -> None:
    state = detector.start()
    for value in values:
        state, _ = detector.update(state, value)


def main() -> None:
    errors = (np.random.default_rng(1).uniform(size=UPDATES) < 0.1).astype(np.float64)
    for name, kind in DETECTORS.items():
        if not issubclass(kind, Machine):
            continue
        detector: Machine = kind()
        updates = SLOW.get(name, UPDATES)
        detector.update_many(detector.start(), errors[:100])  # compiled before the clock starts
        many, seconds = rate(partial(detector.update_many, detector.start(), errors[:updates]), updates)
        one, _ = rate(partial(single, detector, errors[:SINGLE].tolist()), SINGLE)
        ratios = {}
        if name in RIVERS:
            make, n = RIVERS[name]
            values = errors[:n].astype(int).tolist()
            ratios["river"] = round(many / rate(partial(rivers, make, values), n)[0], 2)
        line = {"figure": f"detector_{name}", "value": round(many), "unit": "updates/s", "events": updates}
        print(json.dumps({**line, "seconds": round(seconds, 4), "single": round(one), "ratios": ratios}), flush=True)


if __name__ == "__main__":
    main()

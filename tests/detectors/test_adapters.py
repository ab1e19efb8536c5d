"""Detectors of others by name. alibi-detect's own tests are alibi_detect_adapters.py: `make test-alibi`."""

from __future__ import annotations

import dataclasses
import json
import random
from typing import Any

import numpy as np
import pytest

from detectors import DETECTORS
from detectors.adapters.alibi_detect import ALIBI
from detectors.adapters.river import RIVER

RNG = np.random.default_rng(4)
ERRORS = (RNG.uniform(size=500) < np.repeat([0.1, 0.6], [300, 200])).astype(float).tolist()
VALUES = np.concatenate([RNG.normal(0, 1, 200), RNG.normal(3, 1, 100)]).tolist()


def play(detector: Any, values: list[float]) -> list[int]:
    state, levels = detector.start(), []
    for value in values:
        state, judgement = detector.update(json.loads(json.dumps(state)), value)
        assert judgement.reason
        levels.append(int(judgement.level))
    return levels


@pytest.mark.parametrize("name", RIVER)
def test_rivers_fire_where_they_fire_alone(name: str) -> None:
    kind = RIVER[name]
    detector = kind(hold=0)
    assert DETECTORS[name] is kind
    values = ERRORS[250:360] if name == "river.KSWIN" else ERRORS[220:380]
    peer, live = detector._made(), []
    for value in values:
        peer.update(int(value))
        live.append(2 if peer.drift_detected else int(getattr(peer, "warning_detected", False)))
    assert play(detector, values) == live


@pytest.mark.parametrize("name", [name for name, kind in RIVER.items() if kind.reads != "values"])  # type: ignore[attr-defined]
def test_a_run_is_what_single_values_are(name: str) -> None:
    single: Any = RIVER[name](hold=0)
    shown = [1 - x for x in ERRORS] if name == "river.FHDDM" else ERRORS  # River's counts right predictions
    levels, (state, judgement) = play(single, shown), single.run(single.start(), ERRORS)
    assert 2 in levels
    assert judgement.level == 2
    assert judgement.onset == len(ERRORS) - 1 - levels.index(2)
    for value in shown[:200]:
        state, judgement = single.update(state, value)
    again = single.run(single.run(single.start(), ERRORS)[0], ERRORS[:200])
    assert again[0] == state


def test_parameters_are_rivers_own_and_what_is_wrong_is_said() -> None:
    test = RIVER["river.ADWIN"](delta=0.5, clock=1)
    assert {f.name for f in dataclasses.fields(test)} >= {"delta", "clock", "memory", "hold"}
    assert 2 in play(test, VALUES[150:260])
    with pytest.raises(ValueError, match="memory must be"):
        RIVER["river.ADWIN"](memory=0)
    with pytest.raises(TypeError, match="detla"):
        RIVER["river.ADWIN"](detla=0.5)


def test_memory_bounds_the_state() -> None:
    test = RIVER["river.NoDrift"](memory=20)
    state = test.start()
    for value in VALUES:
        state, _ = test.update(state, value)
    assert 10 <= len(state["values"]) <= 20


def test_a_change_that_fires_in_what_is_shown_again_has_fired() -> None:
    """When the older half is forgotten River's begins anew: it may fire before the last value, and would know the
    change for the usual from then on."""
    kind: Any = RIVER["river.DDM"]
    test, found = kind(memory=1_000, hold=0), []
    for seed in range(10):
        rng = random.Random(seed)
        state, levels = test.start(), []
        for i in range(225):
            errors = [int(rng.random() < (0.1 if i < 150 else 0.3)) for _ in range(40)]
            state, judgement = test.run(state, errors)
            levels.append((i, judgement.level))
        found.append(any(level == 2 for i, level in levels if i >= 150))
    assert found == [True] * 10


@pytest.mark.parametrize("name", ALIBI)
def test_without_alibi_detect_the_extra_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=r"pip install 'stream-monitor\[alibi\]'"):
        DETECTORS[name]()

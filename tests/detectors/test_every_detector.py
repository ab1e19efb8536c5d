"""What every row of DETECTORS must do; a new detector is tested here as soon as it is in the table."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from detectors import DETECTORS, Detector, Judgement, Level
from detectors.change.machines import Machine

PARAMETERS: dict[str, dict[str, Any]] = {
    "threshold": {"above": 1.5, "below": -3.0, "warning_above": 1.0},
    "bocpd": {"max_run": 40},  # quicker
    "kswin": {"window_size": 60, "stat_size": 20},
    "rddm": {"min_size_stable": 200, "max_size_concept": 1_000},
}
ERRORS = {"ddm", "eddm", "rddm", "stepd", "hddm_a", "hddm_w", "e_cusum", "e_shiryaev_roberts"}  # between 0 and 1
WRONG: dict[str, list[dict[str, Any]]] = {
    "threshold": [{}, {"above": float("nan")}, {"above": 1.0, "below": 2.0}],
    "page_hinkley": [{"threshold": 0}, {"delta": -1}, {"alpha": 0}, {"mode": "sideways"}, {"threshold": float("inf")}],
    "cusum": [{"target": 1.0}, {"target": 0.0, "deviation": 0.0}, {"threshold": 0}, {"slack": -1}, {"mode": "left"}],
    "ewma": [{"smoothing": 0}, {"smoothing": 2}, {"deviation": 1.0}],
    "glr": [{"window": 1}, {"threshold": -1}],
    "bocpd": [{"threshold": 1.0}, {"expected_run": 1}, {"max_run": 1}],
    "e_cusum": [{"low": 1.0}, {"mean_least": 0.3}, {"mean_least": 0.3, "mean_most": 0.2}],
    "e_shiryaev_roberts": [{"updates_between_false_alarms": 1}],
    "adwin": [{"delta": 0}, {"clock": 0}, {"max_buckets": 1}],
    "kswin": [{"alpha": 1.0}, {"window_size": 50}],
    "ddm": [{"warm_start": 0}, {"drift_threshold": 1.0}],
    "eddm": [{"beta": 1.0}, {"alpha": 0.5}],
    "rddm": [{"min_size_stable": 10}],
    "hddm_a": [{"drift_confidence": 0}],
    "hddm_w": [{"lambda_val": 0}],
    "stepd": [{"window_size": 1}, {"hold": -1}],
}
SERIES = np.random.default_rng(5).normal(0, 1, 300).tolist() + np.random.default_rng(6).normal(3, 1, 100).tolist()
BITS: list[float] = [
    *(np.random.default_rng(7).uniform(size=300) < 0.1).astype(float).tolist(),
    *(np.random.default_rng(8).uniform(size=100) < 0.7).astype(float).tolist(),
]
OWN = [name for name in DETECTORS if "." not in name]  # others' are tested in test_adapters.py
EVERY = pytest.mark.parametrize("name", OWN)


def make(name: str) -> Detector:
    detector: Detector = DETECTORS[name](**PARAMETERS.get(name, {}))
    return detector


def series(name: str) -> list[float]:
    """300 usual values and 100 that have changed."""
    return BITS if name in ERRORS else SERIES


def play(
    detector: Detector, state: Mapping[str, Any], values: list[float]
) -> tuple[Mapping[str, Any], list[Judgement]]:
    judgements = []
    for value in values:
        state, judgement = detector.update(state, value)
        judgements.append(judgement)
    return state, judgements


@EVERY
def test_is_a_frozen_dataclass_with_a_doctest(name: str) -> None:
    kind = DETECTORS[name]
    assert dataclasses.is_dataclass(kind)
    field = dataclasses.fields(kind)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(make(name), field, 1.0)
    assert doctest.DocTestParser().get_examples(inspect.getdoc(kind) or "")


@EVERY
def test_update_leaves_the_old_state_alone(name: str) -> None:
    detector = make(name)
    state, _ = play(detector, detector.start(), series(name)[:50])
    before = json.dumps(state)
    detector.update(state, 7.0)
    assert json.dumps(state) == before


@EVERY
def test_state_survives_json_at_every_point(name: str) -> None:
    detector = make(name)
    _, straight = play(detector, detector.start(), series(name))
    state, through = detector.start(), []
    for value in series(name):
        state, judgement = detector.update(json.loads(json.dumps(state, allow_nan=False)), value)
        through.append(judgement)
    assert through == straight


def numbers(state: Any) -> int:
    """How many numbers a state holds."""
    if isinstance(state, Mapping):
        return sum(map(numbers, state.values()))
    return sum(map(numbers, state)) if isinstance(state, list) else 1


@EVERY
def test_state_is_as_small_as_the_docstring_says(name: str) -> None:
    """Over 6,000 values, changes among them; a number takes up to 25 characters as JSON writes it."""
    detector = make(name)
    told = re.search(r"State: at most (.+) numbers", inspect.getdoc(DETECTORS[name]) or "")
    assert told is not None
    bound = eval(told[1], {f.name: getattr(detector, f.name) for f in dataclasses.fields(detector)})  # type: ignore[arg-type]
    state, most = detector.start(), 0
    for value in series(name)[:300] * 20:
        state, _ = detector.update(state, value)
        most = max(most, numbers(state))
        assert most <= bound
    assert most >= bound / 3  # it says something
    assert len(json.dumps(state)) <= 60 + 27 * bound


@EVERY
def test_sees_the_change_and_says_why(name: str) -> None:
    detector = make(name)
    _, judgements = play(detector, detector.start(), series(name))
    assert Level.DRIFT in [j.level for j in judgements[300:]]
    assert all(j.reason for j in judgements)
    assert all(j.onset is None or 0 <= j.onset < len(series(name)) for j in judgements)
    for value, j in zip(series(name), judgements, strict=True):
        if j.threshold is not None and j.level in (Level.OK, Level.DRIFT):
            crossed = value > j.threshold if j.direction == "above" else value < j.threshold
            assert crossed == (j.level is Level.DRIFT)


@EVERY
def test_numpy_numbers_are_numbers(name: str) -> None:
    detector = make(name)
    plain = play(detector, detector.start(), series(name))
    arrays = play(detector, detector.start(), list(np.array(series(name))))
    assert json.dumps(plain[0]) == json.dumps(arrays[0])
    assert plain[1] == arrays[1]


@pytest.mark.parametrize(("name", "parameters"), [(n, p) for n, all_ in WRONG.items() for p in all_])
def test_wrong_parameters_are_refused(name: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must|least|greater"):
        DETECTORS[name](**parameters)


@EVERY
def test_arrays_give_what_single_values_give(name: str) -> None:
    detector = make(name)
    if not isinstance(detector, Machine):
        return
    values = [*series(name), *series(name)[::-1], *series(name)]
    state, judgements = play(detector, detector.start(), values)
    after, levels = detector.update_many(detector.start(), values)
    assert levels.tolist() == [int(j.level) for j in judgements]
    assert after["memory"] == pytest.approx(state["memory"], rel=1e-9)  # compiled logarithms differ in the last bit
    part, first = detector.update_many(detector.start(), values[:457])
    rest, second = detector.update_many(part, np.array(values[457:]))
    assert [*first.tolist(), *second.tolist()] == levels.tolist()
    assert rest == after


@EVERY
def test_onset_is_near_the_change(name: str) -> None:
    detector = make(name)
    if name in ("threshold", "page_hinkley", "ddm", "eddm", "hddm_w"):
        return  # no memory, or the onset is where the series looked best, which may be long before
    state, _ = detector.start(), None
    for i, value in enumerate(series(name)):
        state, judgement = detector.update(state, value)
        if judgement.level is Level.DRIFT and i >= 300:
            assert judgement.onset is not None
            assert 240 <= i - judgement.onset <= i
            return
    raise AssertionError("never fired")

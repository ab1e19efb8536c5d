"""What every row of DETECTORS must do; a new detector is tested here as soon as it is in the table."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from detectors import DETECTORS, Detector, Judgement, Level

PARAMETERS: dict[str, dict[str, Any]] = {"threshold": {"above": 1.5, "below": -3.0, "warning_above": 1.0}}
WRONG: dict[str, list[dict[str, Any]]] = {
    "threshold": [{}, {"above": float("nan")}, {"above": 1.0, "below": 2.0}],
    "page_hinkley": [{"threshold": 0}, {"delta": -1}, {"alpha": 0}, {"mode": "sideways"}, {"threshold": float("inf")}],
}
SERIES = np.random.default_rng(5).normal(0, 1, 300).tolist() + np.random.default_rng(6).normal(3, 1, 100).tolist()
EVERY = pytest.mark.parametrize("name", DETECTORS)


def make(name: str) -> Detector:
    detector: Detector = DETECTORS[name](**PARAMETERS.get(name, {}))
    return detector


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
    state, _ = play(detector, detector.start(), SERIES[:50])
    before = json.dumps(state)
    detector.update(state, 7.0)
    assert json.dumps(state) == before


@EVERY
def test_state_survives_json_at_every_point(name: str) -> None:
    detector = make(name)
    _, straight = play(detector, detector.start(), SERIES)
    state, through = detector.start(), []
    for value in SERIES:
        state, judgement = detector.update(json.loads(json.dumps(state, allow_nan=False)), value)
        through.append(judgement)
    assert through == straight


@EVERY
def test_state_is_bounded(name: str) -> None:
    detector = make(name)
    early, _ = play(detector, detector.start(), SERIES[:100])
    late, _ = play(detector, early, SERIES * 10)
    assert len(json.dumps(late)) < len(json.dumps(early)) + 100


@EVERY
def test_sees_the_change_and_says_why(name: str) -> None:
    detector = make(name)
    _, judgements = play(detector, detector.start(), SERIES)
    assert Level.DRIFT in [j.level for j in judgements[300:]]
    assert all(j.reason for j in judgements)
    assert all(j.onset is None or 0 <= j.onset < len(SERIES) for j in judgements)
    for value, j in zip(SERIES, judgements, strict=True):
        if j.threshold is not None and j.level in (Level.OK, Level.DRIFT):
            crossed = value > j.threshold if j.direction == "above" else value < j.threshold
            assert crossed == (j.level is Level.DRIFT)


@EVERY
def test_numpy_numbers_are_numbers(name: str) -> None:
    detector = make(name)
    plain = play(detector, detector.start(), SERIES)
    arrays = play(detector, detector.start(), list(np.array(SERIES)))
    assert json.dumps(plain[0]) == json.dumps(arrays[0])
    assert plain[1] == arrays[1]


@pytest.mark.parametrize(("name", "parameters"), [(n, p) for n, all_ in WRONG.items() for p in all_])
def test_wrong_parameters_are_refused(name: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must|least|greater"):
        DETECTORS[name](**parameters)

"""alibi-detect's detectors by name, in an environment that has it and a backend: `make test-alibi`."""

from __future__ import annotations

import importlib
import importlib.util
import random
from typing import Any

import numpy as np
import pytest

from detectors import Level
from detectors.adapters import alibi_detect
from detectors.adapters.alibi_detect import ALIBI, BACKENDS
from tests.detectors.test_adapters import ERRORS, VALUES, play

INSTALLED = [name for name, package in BACKENDS.items() if importlib.util.find_spec(package)]
CASES = [
    (name, backend)
    for name, kind in ALIBI.items()
    for backend in (INSTALLED if getattr(kind, "backend") else [""])  # noqa: B009  # the classes are made by name
]


def made(name: str, backend: str) -> tuple[Any, list[float]]:
    """The detector, and values that it sees the change of."""
    options: dict[str, Any] = {"p_val": 0.001}
    if "Online" in name:
        sizes = {"window_size": 20} if backend else {"window_sizes": [20]}
        options = {"ert": 1_000, "n_bootstraps": 1_200, **sizes}
    if backend:
        options["backend"] = backend
    if "FET" in name:
        options["alternative"] = "greater"
    values = (np.array(ERRORS)[100:400]).tolist() if "FET" in name or "ChiSquare" in name else VALUES
    return ALIBI[name](reference=100, window=30, options=options), values


def test_there_is_a_backend() -> None:
    assert INSTALLED, "pip install 'alibi-detect[torch]' or 'alibi-detect[tensorflow]'"


@pytest.mark.parametrize(("name", "backend"), CASES)
def test_alibi_detects_see_the_change(name: str, backend: str) -> None:
    detector, values = made(name, backend)
    levels = play(detector, values)
    assert set(levels[:129]) == {Level.UNKNOWN}
    assert Level.DRIFT in levels[200:]
    assert levels[129:200].count(Level.DRIFT) <= 5


@pytest.mark.parametrize(("name", "backend"), CASES)
def test_a_judgement_depends_on_the_state_alone(name: str, backend: str) -> None:
    """Not on what the process drew or computed before: another worker comes to the same verdict, p-value and all."""
    detector, values = made(name, backend)
    state = {"reference": values[:100], "window": values[170:199]}
    first = detector.update(state, values[200])
    np.random.seed(random.randrange(2**32))
    if backend == "pytorch":
        importlib.import_module("torch").random.manual_seed(random.randrange(2**32))
    assert detector.update(state, values[200]) == first
    alibi_detect._made.cache_clear()  # as a process that has just begun
    assert detector.update(state, values[200]) == first


@pytest.mark.parametrize("backend", INSTALLED)
def test_what_others_draw_is_left_as_it_was(backend: str) -> None:
    detector, values = made("alibi_detect.MMDDrift", backend)
    np.random.seed(3)
    expected = np.random.uniform(size=3).tolist()
    np.random.seed(3)
    state = {"reference": values[:100], "window": values[170:199]}
    detector.update(state, values[200])
    assert np.random.uniform(size=3).tolist() == expected


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("KSDrift", {"options": {"pval": 0.1}}, "KSDrift knows no 'pval'; known: p_val"),
        ("KSDrift", {"options": {"update_x_ref": {"last": 10}}}, "knows no 'update_x_ref'"),
        ("CVMDriftOnline", {"options": {"window_sizes": [20]}}, "CVMDriftOnline needs 'ert'"),
        ("MMDDriftOnline", {"options": {"ert": 100, "window_size": 60}}, "window must be at least 60"),
        ("MMDDrift", {"options": {"backend": "jax"}}, "unknown backend 'jax'; known: pytorch, tensorflow"),
    ],
)
def test_mistakes_are_named(name: str, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ALIBI[f"alibi_detect.{name}"](**parameters)


def test_a_missing_backend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alibi_detect, "BACKENDS", {"pytorch": "torch_that_is_not_here"})
    with pytest.raises(ValueError, match="MMDDrift needs a backend: pip install"):
        ALIBI["alibi_detect.MMDDrift"]()

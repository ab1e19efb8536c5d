"""alibi-detect's detectors by name, in an environment that has it and a backend: `make test-alibi`."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path
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
    for backend in (INSTALLED if "backend" in {f.name for f in dataclasses.fields(kind)} else [""])
]


def made(name: str, backend: str) -> tuple[Any, list[float]]:
    """The detector, and values that it sees the change of."""
    parameters: dict[str, Any] = {"n_bootstraps": 1_200} if "Online" in name else {"p_val": 0.001}
    if backend:
        parameters["backend"] = backend
    if "FET" in name or "CVM" in name:
        parameters.pop("n_bootstraps", None)
    values = (np.array(ERRORS)[100:400]).tolist() if "FET" in name or "ChiSquare" in name else VALUES
    return ALIBI[name](reference=100, window=30, **parameters), values


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


def test_a_replay_runs_them_as_the_configuration_names_them(tmp_path: Path) -> None:
    """Of 150 windows the last 50 have three times the errors; the package is installed with its extra `alibi`."""
    random.seed(7)
    with (tmp_path / "events.jsonl").open("w") as f:
        for i in range(150 * 60):
            label = int(random.random() < (0.1 if i < 100 * 60 else 0.3))
            event = {"id": i, "ts": 1_760_000_040 + i, "features": {"x": random.gauss(0, 1)}, "prediction": 0}
            f.write(json.dumps(event | {"label": label}) + "\n")
    (tmp_path / "monitor.yaml").write_text("""
models:
  m:
    topic: p
    task: binary
    fields: {id: id, time: ts, features: features, prediction: prediction, label: label}
    reference: {first: 3000}
    pane: 60s
    window: {size: 60s}
    min_rows: 10
    monitors:
      - {metric: error_rate, detector: alibi_detect.CVMDriftOnline, reference: 50, window_sizes: [10, 20]}
      - {metric: error_rate, detector: alibi_detect.MMDDrift, reference: 50, window: 20, p_val: 0.01}
""")
    command = [sys.executable, "-m", "stream_monitor", "replay", "monitor.yaml", "--model", "m"]
    subprocess.run([*command, "--events", "events.jsonl", "--output", "out"], cwd=tmp_path, check=True)
    verdicts = [json.loads(text) for text in (tmp_path / "out" / "verdicts.jsonl").read_text().splitlines()]
    for name, needed in (("alibi_detect.CVMDriftOnline", 100), ("alibi_detect.MMDDrift", 70)):
        levels = [v["level"] for v in verdicts if v["detector"] == name]
        assert len(levels) == 150
        assert set(levels[: needed - 1]) == {"unknown"}
        assert "drift" in levels[100:], name


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
        ("MMDDriftOnline", {"window_size": 60}, "window must be at least 60"),
        ("CVMDriftOnline", {"window_sizes": (20, 70)}, "window must be at least 70"),
        ("LSDDDriftOnline", {"ert": 2_000.0}, "n_bootstraps must be at least ert, 2000, not 1000"),
        ("MMDDrift", {"backend": "jax"}, "unknown backend 'jax'; known: pytorch, tensorflow"),
    ],
)
def test_mistakes_are_named(name: str, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ALIBI[f"alibi_detect.{name}"](**parameters)


def test_a_missing_backend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alibi_detect, "BACKENDS", {"pytorch": "torch_that_is_not_here"})
    with pytest.raises(ValueError, match="MMDDrift needs a backend: pip install"):
        ALIBI["alibi_detect.MMDDrift"]()

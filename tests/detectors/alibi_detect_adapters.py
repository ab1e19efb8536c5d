"""alibi-detect's detectors by name, in an environment that has it: `make test-alibi`."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from detectors import Level
from detectors.adapters.alibi_detect import ALIBI
from tests.detectors.test_adapters import ERRORS, VALUES, play


@pytest.mark.parametrize("name", [n for n, kind in ALIBI.items() if not kind.backend])  # type: ignore[attr-defined]  # made by name
def test_alibi_detects_see_the_change(name: str) -> None:
    options: dict[str, Any] = {"p_val": 0.001}
    if "Online" in name:
        options = {"ert": 500, "window_sizes": [20], "n_bootstraps": 2_000, "verbose": False}
    if "FET" in name:
        options |= {"alternative": "greater"}
    values = VALUES
    if "FET" in name or "ChiSquare" in name:
        values = (np.array(ERRORS)[100:400]).tolist()
    if "FETDriftOnline" in name or "CVMDriftOnline" in name:
        options["window_sizes"] = [20]
    detector = ALIBI[name](reference=100, window=30, options=options)
    levels = play(detector, values)
    assert set(levels[:129]) == {Level.UNKNOWN}
    assert Level.DRIFT in levels[200:]
    assert levels[129:200].count(Level.DRIFT) <= 5
    assert play(detector, values) == levels


def test_a_missing_backend_is_named() -> None:
    if importlib.util.find_spec("torch") is None and importlib.util.find_spec("tensorflow") is None:
        with pytest.raises(ValueError, match="needs a backend"):
            ALIBI["alibi_detect.MMDDrift"]()

"""Metrics of all numeric features together, against raw ranks in plain numpy, and their noise by simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detectors import METRICS, baseline
from detectors.counts import Counts
from detectors.joint_counts import JointCounts, joint_counts
from detectors.layouts import HEAD, Layout, NumericLayout
from tests.detectors.build import joint

EDGES = np.linspace(-2.4, 2.4, 60)
JOINT = ["mmd", "correlation_drift", "pca_reconstruction"]
BASE = np.array([[1.0, 0.7, 0.0, 0.3], [0.7, 1.0, 0.2, 0.0], [0.0, 0.2, 1.0, 0.0], [0.3, 0.0, 0.0, 1.0]])
TURNED = BASE.copy()
TURNED[0, 1] = TURNED[1, 0] = 0.45


def draw(rng: np.random.Generator, rows: int, correlation: Any = BASE) -> Any:
    return rng.multivariate_normal(np.zeros(len(correlation)), correlation, rows)


def ranks(values: Any) -> Any:
    return (2 * np.searchsorted(EDGES, values, side="right") - len(EDGES)).astype(float)


def test_values_are_those_of_the_raw_ranks() -> None:
    rng = np.random.default_rng(1)
    x, y = draw(rng, 400, TURNED) + 0.1, draw(rng, 3_000)
    window, reference = joint(x, EDGES), joint(y, EDGES)
    a, b = ranks(x), ranks(y)
    now, usual = np.corrcoef(a.T), np.corrcoef(b.T)
    assert METRICS["correlation_drift"].function(window, reference) == pytest.approx(np.max(np.abs(now - usual)))
    a, b = (a - b.mean(axis=0)) / b.std(axis=0), (b - b.mean(axis=0)) / b.std(axis=0)
    kernel = [np.mean(u @ v.T + (u @ v.T) ** 2 / 2) for u, v in ((a, a), (b, b), (a, b))]
    assert METRICS["mmd"].function(window, reference) == pytest.approx(np.sqrt(kernel[0] + kernel[1] - 2 * kernel[2]))
    values, vectors = np.linalg.eigh(usual)
    leading = next(k for k in range(1, 5) if values[-k:].sum() >= 0.65 * 4)
    rest = vectors[:, : 4 - leading]
    errors = [np.mean(np.sum((z @ rest) ** 2, axis=1)) for z in (a, b)]
    assert METRICS["pca_reconstruction"].function(window, reference) == pytest.approx(errors[0] / errors[1])


@pytest.mark.parametrize("name", JOINT)
@pytest.mark.parametrize("correlation", [np.eye(2), BASE], ids=["independent", "dependent"])
def test_p_values_and_noise_are_about_as_said_without_change(name: str, correlation: Any) -> None:
    """80 references of 4,000 events, 5 windows of 400 each: p below 0.05 in 5 % of them, and noise left as often."""
    rng, metric = np.random.default_rng(7), METRICS[name]
    assert metric.noise is not None
    assert metric.p_value is not None
    low, left = 0, 0
    for _ in range(80):
        reference = joint(draw(rng, 4_000, correlation), EDGES)
        ends = metric.noise(reference, 400, 0.05 if metric.worse == "above" else 0.025)
        for _ in range(5):
            window = joint(draw(rng, 400, correlation), EDGES)
            low += metric.p_value(window, reference) < 0.05
            left += not ends[0] <= metric.function(window, reference) <= ends[1]
    most = 0.05 + 4 * np.sqrt(0.05 * 0.95 / 400)
    assert 0.005 <= low / 400 <= most
    assert left / 400 <= most
    assert metric.p_value(reference, reference) == 1.0


@pytest.mark.parametrize("name", JOINT)
def test_dependences_that_change_show_while_every_feature_stays_as_it_was(name: str) -> None:
    rng, metric = np.random.default_rng(3), METRICS[name]
    reference, window = joint(draw(rng, 5_000), EDGES), joint(draw(rng, 2_000, TURNED), EDGES)
    assert metric.p_value is not None
    assert metric.noise is not None
    assert metric.p_value(window, reference) < 1e-6
    assert metric.function(window, reference) > metric.noise(reference, 2_000, 1e-4)[1]


def of_windows(rng: np.random.Generator, windows: int, wobble: float = 0.0) -> list[JointCounts]:
    """Windows of 300 events; with `wobble` each has a mean of its own."""
    return [joint(draw(rng, 300, BASE) + wobble * rng.normal(size=4), EDGES) for _ in range(windows)]


@pytest.mark.parametrize("name", JOINT)
def test_learnt_bounds_use_the_budget_and_keep_to_it(name: str) -> None:
    """12 references of 20 windows, 60 new ones each, one false alarm in 50 windows tolerable: 14 in 720.

    Four standard errors are 15, a fifth of the budget is 3. For one in 10,000 the bound leaves a fifth of it, too, by
    the law of the noise that the tests above hold against simulation.
    """
    rng, metric = np.random.default_rng(12), METRICS[name]
    assert metric.noise is not None
    false, sides = 0, 2 if metric.worse == "both" else 1
    for _ in range(12):
        windows = of_windows(rng, 20)
        learnt = baseline(metric, windows, windows_between_false_alarms=50)
        least, most = learnt.bounds.below or 0.0, learnt.bounds.above
        assert most is not None
        false += sum(not least <= metric.function(w, learnt.total) <= most for w in of_windows(rng, 60))
        rare = baseline(metric, windows, windows_between_false_alarms=10_000)
        assert rare.lawful == ("keep to" in rare.bounds.reason)
        if rare.lawful:
            assert rare.bounds.above is not None
            assert metric.noise(rare.total, 300, 1e-4 / sides)[1] <= rare.bounds.above
            assert rare.bounds.above <= metric.noise(rare.total, 300, 1e-4 / 5 / sides)[1]
    assert 3 <= false <= 14 + 15


def test_a_reference_that_varies_by_more_than_chance_is_not_judged_by_chance() -> None:
    rng, metric = np.random.default_rng(13), METRICS["mmd"]
    assert metric.noise is not None
    learnt = baseline(metric, of_windows(rng, 20, wobble=0.15), windows_between_false_alarms=1_000)
    assert learnt.bounds.reason.startswith("learnt from 20 windows")
    assert not learnt.lawful  # and its p-value has no meaning
    assert learnt.bounds.above is not None
    assert learnt.bounds.above > 1.3 * metric.noise(learnt.total, 300, 1e-3)[1]


def test_counts_of_a_layout_are_the_sums_of_ranks() -> None:
    layout = Layout(
        pane_ms=1_000,
        features={n: NumericLayout(edges=(0.0, 1.0)) for n in ("a", "b")},
        predictions={},
    )
    cells = {layout.offsets["features", "a"] + HEAD + 2: 3, layout.offsets["features", "b"] + HEAD: 2}
    cells |= {layout.offsets["features", "b"]: 1, layout.joint_offset: -8}  # 3 events: a at 2, b at -2, -2 and missing
    order = np.array(sorted(cells), np.int32)
    counts = Counts(
        rows=3, cells=order, values=np.array([cells[c] for c in order.tolist()]), low=np.zeros(2), high=np.zeros(2)
    )
    of = joint_counts(counts, layout)
    assert (of.rows, of.sums.tolist(), of.products.tolist()) == (3, [6, -4], [[12, -8], [-8, 8]])
    assert of.fourth.tolist() == [48, 32]

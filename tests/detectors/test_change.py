"""Change detectors: agreement with River, false alarms when nothing changes, thresholds from a reference."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest
from river import drift

from detectors import DETECTORS, Level
from detectors.change.machines import Machine
from detectors.change.single_errors import SingleErrors, clustering, drawn

RNG = np.random.default_rng(12345)
STREAMS = {
    "errors": np.concatenate([RNG.uniform(size=1_500) < p for p in (0.1, 0.4, 0.15, 0.8)]).astype(float),
    "normal": np.concatenate([RNG.normal(m, 1, 500) for m in (0, 1.5, 0, -2, 5)]),
    "levels": np.concatenate([RNG.integers(0, 2, 600), RNG.integers(4, 8, 600)]).astype(float),
    "walk": np.cumsum(RNG.normal(0, 0.3, 2_000)),
}
BINARY = drift.binary
CASES: list[tuple[str, Any, dict[str, Any], str, list[int]]] = [  # with the updates at which River 0.26.1 fires
    ("adwin", drift.ADWIN, {}, "errors", [1599, 3103, 4543]),
    ("adwin", drift.ADWIN, {}, "normal", [543, 1055, 1535, 2015]),
    ("adwin", drift.ADWIN, {"delta": 0.05, "clock": 1}, "levels", [602]),
    ("adwin", drift.ADWIN, {"delta": 0.05, "clock": 1}, "errors", [1545, 3057, 4515]),
    ("adwin", drift.ADWIN, {"clock": 8, "max_buckets": 3, "min_window_length": 10}, "errors", [1583, 3103, 4527]),
    ("ddm", BINARY.DDM, {}, "errors", [1805, 4574]),
    ("ddm", BINARY.DDM, {"drift_threshold": 2.5, "warm_start": 50}, "errors", [148, 207, 1652, 1889, 4552]),
    ("eddm", BINARY.EDDM, {}, "errors", [381, 732, 1029, 1351, 1543]),
    ("eddm", BINARY.EDDM, {"alpha": 0.8, "beta": 0.75}, "errors", [1784, 5331, 5540]),
    ("hddm_a", BINARY.HDDMA, {}, "errors", [1646, 4508]),
    ("hddm_a", BINARY.HDDMA, {"two_sided_test": True, "drift_confidence": 0.01}, "errors", [1610, 3053, 4554]),
    ("hddm_w", BINARY.HDDMW, {}, "errors", [1632, 2326, 4511]),
    ("hddm_w", BINARY.HDDMW, {"two_sided_test": True, "lambda_val": 0.02}, "errors", [1569, 2705, 3040, 4513]),
    ("kswin", drift.KSWIN, {"window_size": 60, "stat_size": 30}, "levels", []),
]


def fired(name: str, values: Any, **parameters: Any) -> list[int]:
    test: Machine = DETECTORS[name](**parameters, hold=0)
    return [int(i) for i in np.flatnonzero(test.update_many(test.start(), values)[1] == Level.DRIFT)]


@pytest.mark.parametrize(("name", "rivers", "parameters", "stream", "golden"), CASES)
def test_fires_where_rivers_fires(
    name: str, rivers: Any, parameters: dict[str, Any], stream: str, golden: list[int]
) -> None:
    values = STREAMS[stream][:900] if name == "kswin" else STREAMS[stream]  # River's is slow
    peer, live = rivers(**parameters), []
    for i, value in enumerate(values.tolist()):
        peer.update(value)
        if peer.drift_detected:
            live.append(i)
    found = fired(name, values, **parameters)
    assert found == live
    assert found[: len(golden)] == golden
    assert found


@pytest.mark.parametrize(
    "parameters",
    [{}, {"clock": 1, "grace_period": 0}, {"clock": 7, "max_buckets": 2, "min_window_length": 1}, {"delta": 0.9}],
)
@pytest.mark.parametrize("scale", [(0.0, 1.0), (1e9, 1.0), (0.5, 0.001), (3.0, 0.0), (0.0, 1e6)])
def test_adwin_passes_over_no_border_of_an_array(parameters: dict[str, Any], scale: tuple[float, float]) -> None:
    """Levels and memory of arrays, cut anywhere, are those of one value after the other, near every bound, too."""
    rng = np.random.default_rng(11)
    shifts = np.repeat([0, 0.3, 0, 2, 2.2, 0], 150)
    values = scale[0] + scale[1] * (rng.normal(size=900) + shifts)
    test: Machine = DETECTORS["adwin"](**parameters)
    state, levels = test.start(), []
    for value in values.tolist():
        state, judgement = test.update(state, value)
        levels.append(int(judgement.level))
    many: Any = test.start()
    found: list[int] = []
    for part in np.split(values, np.sort(rng.integers(0, 900, 9))):
        many, some = test.update_many(many, part)
        found += some.tolist()
    assert found == levels
    assert many["memory"] == pytest.approx(state["memory"], rel=1e-12)
    assert (many["held"], many["since"]) == (state["held"], state["since"])
    assert test.update_many(test.start(), values)[0] == many


def test_kswin_draws_the_same_sample_each_time_and_another_for_another_seed() -> None:
    values = STREAMS["normal"]
    assert fired("kswin", values) == fired("kswin", values)
    runs = {tuple(fired("kswin", values, seed=seed)) for seed in range(5)}
    assert len(runs) > 1
    for run in runs:  # each change of two deviations is seen within a window
        assert all(any(at <= i < at + 100 for i in run) for at in (1_500, 2_000))


@pytest.mark.parametrize("stretch", [600, 3_000])
def test_rddm_sees_a_late_change_as_soon_as_an_early_one(stretch: int) -> None:
    rng = np.random.default_rng(2)
    values = (rng.uniform(size=stretch + 500) < np.repeat([0.1, 0.3], [stretch, 500])).astype(float)
    found = [i for i in fired("rddm", values, min_size_stable=300, max_size_concept=600) if i >= stretch]
    assert found
    assert found[0] - stretch < 120


@pytest.mark.parametrize(
    ("name", "parameters", "most"),
    [
        ("cusum", {"target": 0.0, "deviation": 1.0}, 1 / 465),
        ("ewma", {"target": 0.0, "deviation": 1.0}, 1 / 560),  # Lucas and Saccucci's tables
        ("glr", {"target": 0.0, "deviation": 1.0}, 1 / 500),
        ("bocpd", {"target": 0.0, "deviation": 1.0}, 1 / 500),
    ],
)
def test_false_alarms_of_normal_values(name: str, parameters: dict[str, Any], most: float) -> None:
    """Times to the first alarm over 150 streams of at most 1,500: a rate of alarms per value, +- 3 standard errors."""
    rng, alarms, values = np.random.default_rng(3), 0, 0
    test: Machine = DETECTORS[name](**{**parameters, "hold": 0})
    for _ in range(150 if name != "bocpd" else 20):
        levels = test.update_many(test.start(), rng.normal(0, 1, 1_500))[1]
        hits = np.flatnonzero(levels == Level.DRIFT)
        alarms, values = alarms + bool(len(hits)), values + (int(hits[0]) + 1 if len(hits) else 1_500)
    assert alarms / values <= most * (1 + 3 / np.sqrt(max(alarms, 1))) + 3 / values
    if name in ("cusum", "ewma"):
        assert alarms / values >= most * (1 - 3 / np.sqrt(alarms))


@pytest.mark.parametrize("name", ["cusum", "ewma", "glr", "e_cusum", "e_shiryaev_roberts", "adwin", "kswin", "bocpd"])
@pytest.mark.parametrize("worse", ["above", "both"])
def test_calibrated_keeps_its_budget_and_still_sees(name: str, worse: Literal["above", "both"]) -> None:
    """Rates of windows, budget one alarm per 1,000: in 200 windows at most 18 % of series may have one, and 3 errors.

    The reference is another sample every time: its error is part of the null.
    """
    rng, alarmed, seen, runs = np.random.default_rng(9), 0, 0, 120
    for _ in range(runs):
        reference, quiet = rng.beta(4, 16, 60), rng.beta(4, 16, 200)
        moved = rng.beta(12, 12, 60)
        kind: Any = DETECTORS[name]
        test: Any = kind.calibrated(reference, worse=worse, windows_between_false_alarms=1_000)
        start = test.prime(reference) if hasattr(test, "prime") else test.start()
        state, levels = test.update_many(start, quiet)
        alarmed += bool(np.any(levels == Level.DRIFT))
        # What has no window or run yet of what is usual has one of the quiet values.
        levels = test.update_many(state if name in ("kswin", "bocpd") else start, moved)[1]
        seen += bool(np.any(levels == Level.DRIFT))
    assert alarmed / runs <= 0.18 + 3 * np.sqrt(0.18 * 0.82 / runs)
    assert seen / runs >= 0.95


@pytest.mark.parametrize("name", ["adwin", "kswin", "bocpd"])
def test_calibrated_keeps_its_budget_where_values_resemble_their_neighbours(name: str) -> None:
    """Autocorrelation 0.5, budget one alarm in 1,000: over 20 series of 1,000 at most 20, and 3 errors."""
    rng, alarms = np.random.default_rng(2), 0
    for _ in range(20):
        noise, values = rng.normal(0, 1, 1_160), np.zeros(1_160)
        for i in range(1, len(values)):
            values[i] = 0.5 * values[i - 1] + noise[i]
        kind: Any = DETECTORS[name]
        test: Any = kind.calibrated(values[100:160], worse="both", windows_between_false_alarms=1_000, hold=0)
        start = test.prime(values[100:160]) if hasattr(test, "prime") else test.start()
        alarms += int((test.update_many(start, values[160:])[1] == Level.DRIFT).sum())
    assert alarms <= 20 + 3 * np.sqrt(20)


@pytest.mark.parametrize("name", ["ddm", "stepd", "hddm_a", "hddm_w"])
@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5])
def test_calibrated_keeps_its_budget_on_single_errors_and_still_sees(name: str, rate: float) -> None:
    """One alarm in 5,000 events: over 40 streams of 5,000 at most 40, and 3 errors. Then the rate is 0.3 higher."""
    rng, alarms, seen = np.random.default_rng(6), 0, 0
    for _ in range(40):
        kind: Any = DETECTORS[name]
        reference = rng.binomial(50, rate, 60) / 50
        test: Machine = kind.calibrated(reference, worse="above", windows_between_false_alarms=5_000, hold=0)
        state, levels = test.update_many(test.start(), (rng.uniform(size=5_000) < rate).astype(float))
        alarms += int((levels == Level.DRIFT).sum())
        levels = test.update_many(state, (rng.uniform(size=3_000) < rate + 0.3).astype(float))[1]
        seen += bool(np.any(levels == Level.DRIFT))
    assert alarms <= 40 + 3 * np.sqrt(40)
    assert seen >= 38


@pytest.mark.parametrize("name", ["ddm", "stepd", "hddm_a", "hddm_w"])
def test_calibrated_keeps_its_budget_where_errors_come_in_clusters(name: str) -> None:
    """Panes of 50 events whose rate is a tenth on average, of a beta law: four times the independent variance.

    One alarm in 5,000 events: over 30 streams of 10,000 at most 60, and 3 errors.
    """
    rng, alarms, factor = np.random.default_rng(8), 0, []
    for _ in range(30):
        rates = rng.beta(1.5, 13.5, 400)
        errors = rng.binomial(50, rates)
        factor.append(clustering(errors[:200].tolist(), [50] * 200))
        kind: Any = DETECTORS[name]
        budget: Any = {"worse": "above", "windows_between_false_alarms": 5_000, "clusters": factor[-1]}
        made: Any = kind.calibrated(errors[:200] / 50, **budget)
        test = SingleErrors(detector=replace(made, hold=0))
        state = test.start()
        for wrong in errors[200:].tolist():
            state, judgement = test.update(state, (50, wrong))
            alarms += judgement.level is Level.DRIFT
        assert test.update(state, (2_000, 800))[1].level is Level.DRIFT
    assert 3.2 < float(np.mean(factor)) < 5.0  # 1 + 49 / 16
    assert alarms <= 60 + 3 * np.sqrt(60)


def test_panes_of_different_sizes_are_no_clusters() -> None:
    """Independent errors, 45 panes in a hundred of 30 events and the others of 1,500: 1, and three errors of it."""
    rng = np.random.default_rng(4)
    found = []
    for _ in range(20):
        events = np.where(rng.random(300) < 0.45, 30, 1_500)
        found.append(clustering(rng.binomial(events, 0.1).tolist(), events.tolist()))
    assert max(found) < 1 + 4 * np.sqrt(2 / 165)
    assert clustering(rng.binomial(50, rng.beta(1.5, 13.5, 400)).tolist(), [50] * 400) > 3


def test_stepd_sees_a_rise_from_any_rate() -> None:
    kind: Any = DETECTORS["stepd"]
    rng = np.random.default_rng(4)
    for rate in (0.6, 0.75, 0.9, 0.95):
        test: Machine = kind.calibrated([rate] * 60, worse="above", windows_between_false_alarms=1e6)
        state, _ = test.update_many(test.start(), (rng.uniform(size=20_000) < rate).astype(float))
        assert np.any(test.update_many(state, np.ones(2_000))[1] == Level.DRIFT)
    with pytest.raises(ValueError, match="no 30 values are as rare"):
        kind.calibrated([0.9] * 60, worse="above", windows_between_false_alarms=1e6, window_size=30)


def test_bocpd_sees_a_change_through_windows_that_overlap() -> None:
    """
    20 panes a window, one apart; a change of two deviations of a window |______----|  one false alarm in 500 values
    """
    kind: Any = DETECTORS["bocpd"]
    panes, fired, seen = np.ones(20) / np.sqrt(20), 0, []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        reference = rng.normal(size=(300, 20)) @ panes
        made: Machine = kind.calibrated(np.repeat(reference, 20), worse="both", windows_between_false_alarms=500)
        levels = made.update_many(made.start(), np.convolve(rng.normal(size=2_019), panes, "valid"))[1]
        fired += int(((levels[1:] == 2) & (levels[:-1] != 2)).sum())
        moved = rng.normal(size=1_200) + np.repeat([0, 2 / np.sqrt(20)], 600)
        levels = made.update_many(made.start(), np.convolve(moved, panes, "valid"))[1]
        seen.append(int(np.argmax(levels[600:] == 2)) if (levels[600:] == 2).any() else 600)
    assert fired <= 24 + 3 * 24**0.5
    assert np.median(seen) <= 10 * 20


@pytest.mark.parametrize("name", ["bocpd", "kswin"])
def test_references_of_the_same_kind_hardly_change_the_size_of_a_memory(name: str) -> None:
    """One of another size begins anew; a trailing reference is found anew all the time."""
    kind: Any = DETECTORS[name]
    rng = np.random.default_rng(3)
    made = [kind.calibrated(rng.normal(size=200), worse="both", windows_between_false_alarms=1e4) for _ in range(40)]
    sizes = [detector.size() for detector in made]
    assert sum(a != b for a, b in pairwise(sizes)) <= 4


def test_a_stated_window_bounds_the_samples_that_are_learnt() -> None:
    kind: Any = DETECTORS["kswin"]
    values = np.random.default_rng(1).normal(size=60)
    learnt = {"worse": "both", "windows_between_false_alarms": 1e12}
    made = kind.calibrated(values, **learnt)  # 57 by the budget: the third grade above 30
    assert (made.stat_size, made.window_size) == (59, 197)
    assert kind.calibrated(values, window_size=80, **learnt).stat_size == 40


def test_what_cannot_be_reached_or_learnt_is_said() -> None:
    with pytest.raises(ValueError, match="stat_size must be greater"):
        DETECTORS["kswin"](stat_size=5, window_size=20, alpha=1e-6)
    for name in ("ddm", "stepd"):
        kind: Any = DETECTORS[name]
        with pytest.raises(ValueError, match="without an error"):
            kind.calibrated([0.0] * 20, worse="above", windows_between_false_alarms=1_000)
    kind = DETECTORS["stepd"]
    with pytest.raises(ValueError, match="without anything but errors"):
        kind.calibrated([1.0] * 20, worse="above", windows_between_false_alarms=1_000)


@pytest.mark.parametrize(("before", "seen"), [(17_500, False), (19_000, True)])
def test_hddm_a_sees_a_small_rise_behind_enough_values_only(before: int, seen: bool) -> None:
    """Two errors more in a hundred: log(2 / 1e-6) / (2 * 0.02 ** 2) = 18,136 values."""
    test = DETECTORS["hddm_a"](drift_confidence=1e-6, warning_confidence=1e-3, hold=0)
    assert isinstance(test, Machine)
    rise = (np.arange(400_000) % 50 == 49).astype(float)
    _, levels = test.update_many(test.start(), np.r_[np.zeros(before), rise])
    assert bool((levels == 2).any()) is seen


def test_ddm_says_how_long_it_waits_and_why() -> None:
    """At one error in 1,000 thirty have come after 30,000."""
    kind: Any = DETECTORS["ddm"]
    test = kind.calibrated([1 / 1_000] * 20, worse="above", windows_between_false_alarms=5_000)
    judgement = test.run(test.start(), [0.0] * 120)[1]
    assert judgement.level is Level.UNKNOWN
    assert "120 of the 30000 values that it waits for" in judgement.reason


@pytest.mark.parametrize("name", ["ddm", "eddm", "rddm", "stepd", "hddm_a", "hddm_w"])
def test_a_run_is_what_single_values_are(name: str) -> None:
    test: Machine = DETECTORS[name](hold=0)
    values = STREAMS["errors"].tolist()
    levels = test.update_many(test.start(), values)[1].tolist()
    assert 2 in levels
    state, judgement = test.run(test.start(), values)
    assert judgement.level is Level.DRIFT
    alone = test.start()
    for i, value in enumerate(values):
        alone, one = test.update(alone, value)
        if i == levels.index(2):
            assert one.onset is not None
            assert judgement.onset == one.onset + len(values) - 1 - i
            assert judgement.reason == one.reason
    assert state["memory"] == alone["memory"]


def test_an_order_that_is_drawn_is_any_of_all_orders_alike() -> None:
    """The six orders of two errors among four events, over 6,000 draws: chi-square with 5 degrees of freedom."""
    found = Counter(tuple(drawn(4, 2, seed)) for seed in range(6_000))
    assert len(found) == 6
    assert sum((n - 1_000) ** 2 / 1_000 for n in found.values()) < 25.7  # its quantile 0.9999


def test_of_many_events_as_many_are_kept_as_if_each_were_by_itself() -> None:
    """300 errors among 10,000 events, each kept with probability 1/5: binomial, 60 with variance 48."""
    kept = [(len(shown), sum(shown)) for shown in (drawn(10_000, 300, seed) for seed in range(4_000))]
    events, errors = np.array(kept).T
    for counts, of in ((events, 10_000), (errors, 300)):
        mean, variance = of / 5, of * 4 / 25
        assert abs(counts.mean() - mean) < 4 * np.sqrt(variance / 4_000)
        assert abs(counts.var() / variance - 1) < 4 * np.sqrt(2 / 4_000)
    assert drawn(0, 0, 1) == []
    assert sum(drawn(3_000, 0, 1)) == 0


@pytest.mark.parametrize("name", ["e_cusum", "e_shiryaev_roberts"])
def test_bets_are_on_the_range_of_the_reference_where_none_is_stated(name: str) -> None:
    """Values around 20, as an error in euros may be: none lies between 0 and 1."""
    rng, alarmed = np.random.default_rng(4), 0
    for _ in range(40):
        reference, quiet, moved = rng.normal(20, 2, 60), rng.normal(20, 2, 200), rng.normal(26, 2, 60)
        kind: Any = DETECTORS[name]
        made: Machine = kind.calibrated(reference, worse="above", windows_between_false_alarms=1_000)
        alarmed += bool(np.any(made.update_many(made.start(), quiet)[1] == Level.DRIFT))
        assert np.any(made.update_many(made.start(), moved)[1] == Level.DRIFT)
    assert alarmed / 40 <= 0.18 + 3 * np.sqrt(0.18 * 0.82 / 40)


def test_a_level_is_held_for_alerts_that_ask_for_several_windows() -> None:
    test: Machine = DETECTORS["ddm"](hold=3)
    levels = test.update_many(test.start(), [0, 0, 0, 1] * 50 + [1] * 60)[1].tolist()
    first = levels.index(2)
    assert levels[first : first + 4] == [2, 2, 2, 2]
    assert levels[first + 4] != 2

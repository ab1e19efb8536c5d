"""Change detectors over the series of a monitor's values: limits from the budget, a value a window or a pane."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import msgspec
import pytest

from detectors import DETECTORS
from stream_monitor.config import Budget, MonitorSpec, WindowSpec
from stream_monitor.config.monitors import monitors_of
from stream_monitor.judging.references import Reference
from stream_monitor.state.traces import KEPT
from tests.fold.makers import LAYOUT, SECOND, TIME, Event, Run, Tap, bodies, counts, seconds, steady

LEARNT = [name for name, kind in DETECTORS.items() if getattr(kind, "limits", ())]
SINGLE = ("ddm", "hddm_a", "hddm_w", "stepd")  # see the events of every pane
CUSUM = MonitorSpec(metric="error_rate", detector="cusum")
SCAN = MonitorSpec(metric="scan")


def events(first: int, last: int, *, seed: int, wrong: float, rate: int = 20) -> list[Event]:
    """`rate` labelled events a second in seconds [first, last), a share `wrong` of them wrong."""
    rng = random.Random(f"{seed} {first}")
    return [
        Event(at=s * SECOND + k * SECOND // rate, x=rng.random(), right=rng.random() >= wrong)
        for s in range(first, last)
        for k in range(rate)
    ]


@pytest.fixture(scope="module")
def reference() -> Reference:
    """40 windows of 10 s, one event in ten wrong."""
    panes = tuple((s * SECOND, counts(events(s, s + 1, seed=1, wrong=0.1))) for s in range(-400, 0))
    return Reference(
        model="m", version="", layout=LAYOUT.id, pane_ms=SECOND, rows=8_000, series={"all": panes}, source="s"
    )


def verdicts(run: Run, tap: Tap, first: int, last: int, **more: Any) -> list[dict[str, Any]]:
    """Verdicts while seconds [first, last) come, ten at a time."""
    blocks = [tap.block(events(s, s + 10, seed=2, **more)) for s in range(first, last, 10)]
    return bodies(run.feed(*blocks), "verdict")


def watching(reference: Reference | None, *specs: MonitorSpec, size: int = 10, **more: Any) -> Run:
    model = steady(monitors=specs, window=WindowSpec(size=size * SECOND), **more)
    return Run(model=model, reference=reference)


@pytest.mark.parametrize("name", LEARNT)
def test_a_limit_that_is_not_stated_comes_from_the_budget_and_the_reference(reference: Reference, name: str) -> None:
    spec = replace(CUSUM, detector=name, every="pane" if name == "kswin" else "window")  # it needs a hundred values
    run, tap = watching(reference, spec), Tap()
    quiet = verdicts(run, tap, 0, 200, wrong=0.1)
    assert {v["level"] for v in quiet} <= {"ok", "unknown"} | ({"warning"} if name == "ddm" else set())
    assert quiet[-1]["level"] == "ok"
    if spec.every == "pane" or name in SINGLE:
        assert "one false alarm in 2,590,000 panes, learnt from 400 panes of the reference" in quiet[-1]["reason"]
    else:
        assert "one false alarm in 259,000 windows, learnt from 40 windows of the reference" in quiet[-1]["reason"]
    moved = [v for v in verdicts(run, tap, 200, 400, wrong=0.4) if v["level"] == "drift"]
    assert moved
    assert seconds(moved[0]["onset"]) < seconds(moved[0]["end"])


def test_a_greater_budget_is_sooner(reference: Reference) -> None:
    def first(budget: Budget) -> int:
        run, tap = watching(reference, CUSUM, false_alarms=budget), Tap()
        found = [v for v in verdicts(run, tap, 0, 600, wrong=0.18) if v["level"] == "drift"]
        return seconds(found[0]["start"])

    assert first(Budget(alarms=1, per_ms=600_000)) < first(Budget())


def test_what_is_stated_stands_and_needs_no_reference(reference: Reference) -> None:
    stated = replace(CUSUM, parameters={"target": 0.1, "deviation": 0.02, "threshold": 3.0})
    made = [verdicts(watching(r, stated), Tap(), 0, 200, wrong=0.12) for r in (None, reference)]
    assert [v["level"] for v in made[0]] == [v["level"] for v in made[1]]
    assert "ok" in {v["level"] for v in made[0]}


def test_without_a_reference_a_learnt_limit_is_unknown() -> None:
    made = verdicts(watching(None, CUSUM), Tap(), 0, 50, wrong=0.1)
    assert {v["level"] for v in made} == {"unknown"}
    assert "is still being learnt" in made[0]["reason"]


def test_a_reference_without_labels_leaves_the_detector_to_learn_from_what_it_sees(reference: Reference) -> None:
    bare = tuple((t, counts([replace(e, right=None) for e in events(t // SECOND, t // SECOND + 1, seed=1, wrong=0.1)]))
                 for t, _ in reference.series["all"])  # fmt: skip
    run, tap = watching(replace(reference, series={"all": bare}), CUSUM), Tap()
    made = verdicts(run, tap, 0, 400, wrong=0.1)
    assert [v["level"] for v in made[:30]] == ["unknown"] * 30
    assert made[35]["level"] == "ok"
    assert "not from the reference: 0 values without spread" in made[35]["reason"]


def test_another_reference_begins_the_series_anew(reference: Reference) -> None:
    run, tap = watching(reference, CUSUM), Tap()
    assert verdicts(run, tap, 0, 300, wrong=0.3)[-1]["level"] == "drift"
    worse = tuple((s * SECOND, counts(events(s, s + 1, seed=5, wrong=0.3))) for s in range(-400, 0))
    run.reference = replace(reference, series={"all": worse})
    run.state.derived.clear()
    command = run.config()
    run.state.models["m"].reference = command.body["references"]["m"]
    after = verdicts(run, tap, 300, 600, wrong=0.3)
    assert {v["level"] for v in after[1:]} == {"ok"}


def test_every_pane_sees_within_a_window_what_windows_see_later(reference: Reference) -> None:
    """
    seconds     0        60       120      180      240
    wrong       .1  .1   .1  .1   .1  |.3  .3       .3        from 140 on
    by window   ok       ok       ok?      ...                20 of its 60 seconds
    by pane     ok       ok       drift: panes of 1 s, onset about 140
    """
    spec = replace(CUSUM, every="pane")
    run, tap = watching(reference, spec, size=60), Tap()
    made = verdicts(run, tap, 0, 140, wrong=0.1)
    made += verdicts(run, tap, 140, 250, wrong=0.3)
    assert [v["level"] for v in made] == ["ok", "ok", "drift", "drift"]
    assert "pane of 1 s, 60 in this window" in made[0]["reason"]
    assert "400 panes of the reference" in made[0]["reason"]
    assert abs(seconds(made[2]["onset"]) - 140) <= 5
    assert made[2]["rows"] == 1_200  # the verdict and its value are still the window's


@pytest.mark.parametrize("spec", [replace(CUSUM, every="pane"), replace(CUSUM, detector="stepd")], ids=str)
def test_late_events_change_the_panes_of_their_window_and_what_follows(reference: Reference, spec: MonitorSpec) -> None:
    """The last revision of every verdict is what it would have been if all events had come in time."""
    whole = events(0, 60, seed=2, wrong=0.1) + events(60, 90, seed=2, wrong=0.5) + events(90, 250, seed=2, wrong=0.1)
    late = [e for e in whole if 60 <= e.at // SECOND < 85 and not e.right]
    straight, tap = watching(reference, spec, size=60), Tap()
    straight.feed(*(tap.block([e for e in whole if e.at // 10_000 == i]) for i in range(25)))
    behind, tap = watching(reference, spec, size=60), Tap()
    for i in range(25):
        behind.feed(tap.block([e for e in whole if e.at // 10_000 == i and (e not in late or i > 8)]))
        if i == 13:
            behind.feed(tap.block(late))

    def last(run: Run) -> dict[str, tuple[str, str]]:
        return {v["start"]: (v["level"], v["reason"]) for v in bodies(run.outputs, "verdict")}

    assert last(behind) == last(straight)
    assert "drift" in {level for level, _ in last(straight).values()}
    assert any(v["revision"] == 1 for v in bodies(behind.outputs, "verdict"))


@pytest.mark.parametrize(
    "spec", [*(replace(CUSUM, detector=d, every="pane") for d in ("cusum", "stepd")), SCAN], ids=str
)
def test_what_is_late_for_panes_that_are_let_go_is_not_taken_for_all_of_them(
    reference: Reference, spec: MonitorSpec
) -> None:
    """Of a second that is kept no more one late error would be a pane of nothing but errors."""
    model = steady(monitors=(spec,), window=WindowSpec(size=10 * SECOND))
    run, tap = Run(model=model, reference=reference, time=replace(TIME, allowed_lateness=900 * SECOND)), Tap()
    verdicts(run, tap, 0, KEPT + 100, wrong=0.1)
    series = {k: (dict(s.state), s.tail) for k, s in run.state.keys["m", "1", "all"].series.items()}
    made = bodies(run.feed(tap.block([Event(at=20 * SECOND + k, right=False) for k in range(40)])), "verdict")
    assert {(v["start"], v["revision"], v["level"]) for v in made} == {("1970-01-01T00:00:20Z", 1, "unknown")}
    assert made[0]["reason"] == "it is judged no more: its panes are let go"
    assert {k: (dict(s.state), s.tail) for k, s in run.state.keys["m", "1", "all"].series.items()} == series


def test_the_tail_is_bounded_by_what_may_re_open(reference: Reference) -> None:
    run, tap = watching(reference, replace(CUSUM, every="pane"), size=60), Tap()
    verdicts(run, tap, 0, 400, wrong=0.1)
    (series,) = run.state.keys["m", "1", "all"].series.values()
    assert 60 <= len(series.tail) <= 180  # a minute late, and windows of a minute


@pytest.mark.parametrize("name", ["ddm", "eddm", "rddm", "stepd", "hddm_a", "hddm_w"])
def test_detectors_of_errors_see_each_event(reference: Reference, name: str) -> None:
    """20 errors a second, one in ten wrong, from second 300 on six in ten: seen within two windows of 10 s."""
    run, tap = watching(reference, replace(CUSUM, detector=name)), Tap()
    quiet, moved = verdicts(run, tap, 0, 300, wrong=0.1), verdicts(run, tap, 300, 400, wrong=0.6)
    assert any("pane of 1 s, 10 in this window" in v["reason"] for v in quiet)
    if name not in ("eddm", "rddm"):  # whose false alarms are as they were published
        assert "drift" not in {v["level"] for v in quiet}
    first = next(v for v in moved if v["level"] == "drift")
    assert seconds(first["start"]) <= 320
    assert name in ("ddm", "eddm", "hddm_w") or seconds(first["onset"]) >= 270  # theirs is where all looked best


def test_a_reference_without_an_error_still_allows_for_one() -> None:
    """400 panes of 20 events without an error: one in 8,000 is the rate that limits are learnt from."""
    usual = tuple((s * SECOND, counts(events(s, s + 1, seed=1, wrong=0.0))) for s in range(-400, 0))
    known = Reference(
        model="m", version="", layout=LAYOUT.id, pane_ms=SECOND, rows=8_000, series={"all": usual}, source="s"
    )
    run, tap = watching(known, replace(CUSUM, detector="stepd")), Tap()
    once = [replace(e, right=e.at != 150 * SECOND) for e in events(0, 200, seed=2, wrong=0.0)]
    quiet = bodies(run.feed(*(tap.block([e for e in once if e.at // 10_000 == i]) for i in range(20))), "verdict")
    assert {v["level"] for v in quiet[2:]} == {"ok"}
    assert "learnt from 400 panes of the reference" in quiet[-1]["reason"]
    assert "drift" in {v["level"] for v in verdicts(run, tap, 200, 300, wrong=0.3)}


@pytest.mark.parametrize("spec", [replace(CUSUM, detector="hddm_a"), replace(CUSUM, every="pane")], ids=str)
def test_a_window_of_few_labels_is_unknown_and_its_errors_count(reference: Reference, spec: MonitorSpec) -> None:
    """Six in ten are wrong from second 300 on, where no event has a label in nine of ten seconds: 60 a window."""
    run, tap = watching(reference, spec, min_rows=100), Tap()

    def blocks(first: int, last: int, wrong: float, *, few: bool) -> list[Any]:
        found = events(first, last, seed=2, wrong=wrong, rate=60)
        return [tap.block([e for e in found if e.at // 10_000 == t // 10 and (not few or e.at // SECOND % 10 == 0)])
                for t in range(first, last, 10)]  # fmt: skip

    run.feed(*blocks(0, 300, 0.1, few=False))
    made = bodies(run.feed(*blocks(300, 340, 0.6, few=True), *blocks(340, 400, 0.6, few=False)), "verdict")
    by_start = {seconds(v["start"]): v for v in made}
    for start in (300, 310, 320, 330):
        assert (by_start[start]["level"], by_start[start]["reason"]) == ("unknown", "60 labels, at least 100 needed")
    assert by_start[340]["level"] == "drift"
    assert seconds(by_start[340]["onset"]) <= 310


def test_an_accuracy_that_falls_is_errors_that_rise(reference: Reference) -> None:
    specs = [MonitorSpec(metric=metric, detector="hddm_a") for metric in ("accuracy", "error_rate")]
    run, tap = watching(reference, *specs), Tap()
    made = verdicts(run, tap, 0, 200, wrong=0.1) + verdicts(run, tap, 200, 300, wrong=0.6)
    levels = [[v["level"] for v in made if v["metric"] == metric] for metric in ("accuracy", "error_rate")]
    assert levels[0] == levels[1]
    assert "drift" in levels[0]


def test_a_rate_that_falls_is_shown_as_one_that_rises() -> None:
    """Recall is no share of all events: HDDM sees its values, 1 less each."""
    specs = tuple(MonitorSpec(metric=metric, detector="hddm_a") for metric in ("recall", "ece", "accuracy"))
    recall, ece, accuracy = monitors_of(steady(monitors=specs))
    assert (recall.reads, recall.by_pane, recall.shown(0.75)) == ("rates", False, 0.25)
    assert (ece.reads, ece.shown(0.75)) == ("rates", 0.75)
    assert (accuracy.reads, accuracy.by_pane) == ("errors", True)


def test_a_side_that_is_not_stated_is_where_the_metric_is_worse() -> None:
    stated, both = {"updates_between_false_alarms": 500.0}, cast("dict[str, float]", {"threshold": 5.0, "mode": "both"})
    specs = [MonitorSpec(metric=m, detector="e_cusum", parameters=stated) for m in ("accuracy", "error_rate")]
    specs += [MonitorSpec(metric="row_volume", detector="cusum", parameters={"threshold": 5.0})]
    specs += [MonitorSpec(metric="accuracy", detector="cusum", parameters=both)]
    made: list[Any] = [m.detector for m in monitors_of(steady(monitors=tuple(specs)))]
    assert [detector.mode for detector in made] == ["down", "up", "both", "both"]


def test_windows_that_slide_keep_the_budget() -> None:
    """
    |----------|          50 s, 10 s apart: a value has four fifths of the one before it
      |----------|        one alarm in 300 windows allowed: of 6 x 196 quiet ones 4, and 3 errors
        |----------|
    """
    spec, budget, alarms = replace(CUSUM, detector="bocpd"), Budget(alarms=1, per_ms=3_000 * SECOND), 0
    model = steady(monitors=(spec,), window=WindowSpec(size=50 * SECOND, slide=10 * SECOND), false_alarms=budget)
    for seed in range(6):
        usual = tuple((s * SECOND, counts(events(s, s + 1, seed=50 + seed, wrong=0.1))) for s in range(-2_000, 0))
        known = Reference(
            model="m", version="", layout=LAYOUT.id, pane_ms=SECOND, rows=40_000, series={"all": usual}, source="s"
        )
        run, tap = Run(model=model, reference=known), Tap()
        quiet = [tap.block(events(s, s + 10, seed=seed, wrong=0.1)) for s in range(0, 2_000, 10)]
        levels = [v["level"] for v in bodies(run.feed(*quiet), "verdict")]
        assert len(levels) > 190
        alarms += sum(now == "drift" != before for before, now in pairwise(["ok", *levels]))
        moved = [tap.block(events(s, s + 10, seed=seed, wrong=0.4)) for s in range(2_000, 2_300, 10)]
        assert "drift" in {v["level"] for v in bodies(run.feed(*moved), "verdict")}
    assert alarms <= 4 + 3 * 2


def test_a_hold_is_of_windows_so_that_an_alert_gets_as_many_as_it_asks_for(reference: Reference) -> None:
    for spec in (replace(CUSUM, detector="adwin", every="pane"), replace(CUSUM, detector="hddm_a")):
        run, tap = watching(reference, spec, size=60), Tap()
        verdicts(run, tap, 0, 300, wrong=0.1)
        moved = [v["level"] for v in verdicts(run, tap, 300, 730, wrong=0.6)]
        assert moved.count("drift") >= 2
        assert [a["state"] for a in bodies(run.outputs, "alert")][:2] == ["pending", "firing"]


def test_a_memory_of_another_release_begins_anew(reference: Reference) -> None:
    run, tap = watching(reference, replace(CUSUM, detector="hddm_a")), Tap()
    verdicts(run, tap, 0, 100, wrong=0.1)
    (series,) = run.state.keys["m", "1", "all"].series.values()
    series.state = {"memory": [1.0, 2.0], "held": 0, "since": 0}
    series.tail = [(start, 0.1) for start, _ in series.tail]
    made = verdicts(run, tap, 100, 200, wrong=0.1)
    assert {v["level"] for v in made} == {"ok"}


STATED: dict[str, dict[str, Any]] = {
    "adwin": {"max_buckets": 6},
    "bocpd": {"max_run": 50},
    "cusum": {"mode": "up"},
    "glr": {"window": 50},
    "kswin": {"window_size": 60, "stat_size": 30, "alpha": 0.001},
    "rddm": {"min_size_stable": 2_000},
    "stepd": {"window_size": 60},
}


@pytest.mark.parametrize("name", STATED)
def test_whole_numbers_and_words_are_stated_as_such(reference: Reference, name: str) -> None:
    """The configuration reaches a worker as plain data."""
    run = watching(reference, MonitorSpec(metric="error_rate", detector=name, parameters=STATED[name], every="pane"))
    assert verdicts(run, Tap(), 0, 200, wrong=0.1)[-1]["level"] in ("ok", "warning")
    assert run.state.config is not None
    (monitor,) = run.state.config.models["m"].monitors or ()
    assert {k: type(v) for k, v in monitor.parameters.items()} == {k: type(v) for k, v in STATED[name].items()}


def test_a_memory_of_another_size_begins_anew(reference: Reference) -> None:
    """A larger sample is in other places of the memory than a smaller one."""
    stated = {"stat_size": 30, "alpha": 0.001}
    tap = Tap()
    specs = [
        MonitorSpec(metric="error_rate", detector="kswin", parameters={"window_size": size, **stated}, every="pane")
        for size in (200, 80)
    ]
    run = watching(reference, specs[0])
    verdicts(run, tap, 0, 300, wrong=0.1)
    run.model = replace(run.model, monitors=(specs[1],))
    run.feed(msgspec.structs.replace(run.config(), id="narrower"))
    after = verdicts(run, tap, 300, 700, wrong=0.1)
    assert after[-1]["level"] == "ok"


def test_a_change_is_dated_by_the_windows_that_slide(reference: Reference) -> None:
    window = WindowSpec(size=20 * SECOND, slide=5 * SECOND)
    run, tap = Run(model=steady(monitors=(CUSUM,), window=window), reference=reference), Tap()
    verdicts(run, tap, 0, 400, wrong=0.1)
    made = verdicts(run, tap, 400, 460, wrong=0.6)
    (first, *_) = [v for v in made if v["level"] == "drift"]
    assert 340 <= seconds(first["onset"]) <= 410


def test_a_value_that_a_detector_breaks_on_stops_neither_it_nor_the_worker(
    reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when it is judged, nor when its window is final and it would go into the memory."""
    kind: Any = DETECTORS["cusum"]
    update = kind.update

    def breaking(self: Any, memory: Any, value: float) -> Any:
        if value > 0.9:
            raise OverflowError("too large")
        return update(self, memory, value)

    monkeypatch.setattr(kind, "update", breaking)
    run, tap = watching(reference, CUSUM), Tap()
    made = verdicts(run, tap, 0, 50, wrong=0.1) + verdicts(run, tap, 50, 60, wrong=1.0)
    made += verdicts(run, tap, 60, 300, wrong=0.1)
    reasons = {v["start"]: v["reason"].partition(";")[0] for v in made if v["level"] == "unknown"}
    assert reasons == {"1970-01-01T00:00:50Z": "cannot be computed: OverflowError: too large"}
    assert made[-1]["level"] == "ok"

"""Verdicts: thresholds stated and learnt, what is UNKNOWN and why, detectors with a memory and windows that re-open."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest

from detectors import METRICS, PageHinkley
from detectors.counts import columns
from stream_monitor.config import Alerts, MonitorSpec, WindowSpec
from stream_monitor.config.monitors import monitors_of
from stream_monitor.judging import verdicts
from stream_monitor.judging.judges import cut_by_rows, cut_by_time
from stream_monitor.judging.packed_references import unpack_reference
from stream_monitor.judging.references import Reference
from tests.fold.makers import LAYOUT, MODEL, SECOND, Event, Run, Tap, bodies, counts, seconds, steady


def reference(windows: int = 30, rows: int = 40, seed: int = 1, **more: Any) -> Reference:
    """`rows` events in each window of 10 s: x uniform, one in ten wrong, `country=de` half of them."""
    rng = random.Random(seed)
    series: dict[str, dict[int, list[Event]]] = {}
    for i in range(windows * rows):
        at = i * 10 * SECOND // rows
        event = Event(at=at, x=rng.random(), right=rng.random() > 0.1)
        for segment in ("all", *(("country=de",) if i % 2 else ())):
            series.setdefault(segment, {}).setdefault(at // SECOND * SECOND, []).append(event)
    return Reference(
        model="m",
        version="",
        layout=LAYOUT.id,
        pane_ms=SECOND,
        rows=windows * rows,
        series={s: tuple((t, counts(e)) for t, e in sorted(panes.items())) for s, panes in series.items()},
        source="by hand",
        **more,
    )


def traffic(run: Run, tap: Tap, windows: range, *, rows: int = 40, seed: int = 2, **more: Any) -> list[dict[str, Any]]:
    """Verdicts given while these windows of 10 s have events like the reference's, but for `more`."""
    rng = random.Random(seed)
    made = []
    for i in windows:
        events = [
            Event(**{"at": (i * 10 * SECOND) + k * 10 * SECOND // rows, "x": rng.random(), "right": rng.random() > 0.1,
                     **more})
            for k in range(rows)
        ]  # fmt: skip
        made += bodies(run.feed(tap.block(events)), "verdict")
    return made


def watch(*monitors: MonitorSpec, **more: Any) -> Run:
    model = steady(monitors=monitors, **more)
    return Run(model=model, reference=reference())


def test_a_stated_threshold_is_what_the_verdict_names() -> None:
    """The habit of the field, 0.2, is crossed by the noise of 40 rows alone: by default thresholds are learnt."""
    monitors = (MonitorSpec(metric="psi", threshold=0.2), MonitorSpec(metric="psi", threshold=2.0))
    made = traffic(watch(*monitors), Tap(), range(2))
    assert [(v["monitor"], v["threshold"], v["direction"], v["level"]) for v in made] == [
        ("psi", 0.2, "above", "drift"),
        ("psi#2", 2.0, "above", "ok"),
    ]
    assert made[0]["value"] == made[0]["effect"] > 0.2


def test_the_value_is_the_metric_of_the_window_and_all_of_the_reference() -> None:
    run, tap = watch(MonitorSpec(metric="psi")), Tap()
    events = [Event(at=k * 100, x=k / 100) for k in range(100)]
    verdict = bodies(run.feed(tap.block([*events, Event(at=10_000)])), "verdict")[0]
    whole = unpack_reference(next(iter(run.catalog.blobs.values())))
    total = columns(sum((c for _, c in whole.series["all"]), start=counts([])), LAYOUT)["features", "x"]
    now = columns(counts(events), LAYOUT)["features", "x"]
    assert verdict["value"] == METRICS["psi"].function(now, total)
    assert verdict["reference_rows"] == 1200


def test_thresholds_learnt_from_the_reference_are_quiet_and_see_a_shift() -> None:
    monitors = [MonitorSpec(metric=m) for m in ("psi", "jensen_shannon", "ks", "missing_rate", "error_rate")]
    run, tap = watch(*monitors), Tap()
    normal = traffic(run, tap, range(50))
    assert {v["level"] for v in normal} == {"ok"}
    assert all("learnt from 30 windows of the reference" in v["reason"] for v in normal)
    shifted = traffic(run, tap, range(50, 53), x=0.95, right=False)
    levels = {v["monitor"]: v["level"] for v in shifted}
    assert levels == {
        "psi": "drift",
        "jensen_shannon": "drift",
        "ks": "drift",
        "missing_rate": "ok",
        "error_rate": "drift",
    }


def test_thresholds_follow_from_reference_and_configuration_alone() -> None:
    """Two workers, or one that was restarted, find the same; a smaller budget gives wider thresholds."""
    from stream_monitor.config import Budget

    def threshold(**more: Any) -> Any:
        return traffic(watch(MonitorSpec(metric="psi"), **more), Tap(), range(2))[0]["threshold"]

    assert threshold() == threshold()
    assert threshold(false_alarms=Budget(alarms=1, per_ms=3_600_000)) < threshold()


def test_a_warning_bound() -> None:
    run, tap = watch(MonitorSpec(metric="error_rate", threshold=0.8, warning=0.4)), Tap()
    events = [Event(at=k * 100, right=k % 2 == 0) for k in range(100)]
    verdict = bodies(run.feed(tap.block([*events, Event(at=10_000)])), "verdict")[0]
    assert (verdict["level"], verdict["threshold"]) == ("warning", 0.4)


@pytest.mark.parametrize(
    ("spec", "events", "reason"),
    [
        (MonitorSpec(metric="psi"), [Event(at=0)] * 4, "4 rows, at least 5 needed"),
        (MonitorSpec(metric="psi"), [], "no data"),
        (MonitorSpec(metric="mmd"), [Event(at=0)] * 9, "pairs are counted for 2 to 25 numeric features"),
        (MonitorSpec(metric="error_rate", threshold=0.5), [Event(at=0)] * 9, "0 labels, at least 5 needed"),
        (MonitorSpec(metric="psi"), [Event(at=0, x=None)] * 9, "undefined here"),
        (MonitorSpec(metric="roc_auc"), [Event(at=0, right=True)] * 9, "undefined here"),
    ],
)
def test_what_is_unknown_and_why(spec: MonitorSpec, events: list[Event], reason: str) -> None:
    run, tap = watch(spec), Tap()
    made = bodies(run.feed(tap.block([Event(at=-10_000)]), tap.block([*events, Event(at=10_000)])), "verdict")[-1]
    assert (made["level"], made["reason"], made["value"]) == ("unknown", reason, None)


def test_a_metric_that_breaks_is_unknown_and_the_others_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error would end the worker, and whoever takes over from it, at the same window again and again."""

    def broken(*_: Any) -> float:
        raise OverflowError("too large")

    monkeypatch.setitem(METRICS, "ks", replace(METRICS["ks"], function=broken))
    made = traffic(watch(MonitorSpec(metric="ks"), MonitorSpec(metric="psi")), Tap(), range(2))
    assert {(v["monitor"], v["level"]) for v in made} == {("ks", "unknown"), ("psi", "ok")}
    assert {v["reason"] for v in made if v["monitor"] == "ks"} == {"cannot be computed: OverflowError: too large"}


def test_a_scan_that_breaks_is_unknown_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise FloatingPointError("of nothing")

    monkeypatch.setattr(verdicts, "judge_by_scan", broken)
    made = traffic(watch(MonitorSpec(metric="scan"), MonitorSpec(metric="psi")), Tap(), range(2))
    assert {(v["monitor"], v["level"]) for v in made} == {("scan", "unknown"), ("psi", "ok")}
    assert {v["reason"] for v in made if v["monitor"] == "scan"} == {
        "cannot be computed: FloatingPointError: of nothing"
    }


def test_a_segment_that_the_reference_does_not_know_is_unknown() -> None:
    run, tap = watch(MonitorSpec(metric="psi")), Tap()
    made = traffic(run, tap, range(2), segments=("country=fr",))
    assert {v["segment"]: v["level"] for v in made} == {"all": "ok", "country=fr": "unknown"}
    assert made[-1]["reason"] == "the reference has no events of this segment"


def test_segments_are_judged_against_their_own() -> None:
    run, tap = watch(MonitorSpec(metric="psi")), Tap()
    made = traffic(run, tap, range(2), segments=("country=de",))
    assert {v["segment"]: v["reference_rows"] for v in made} == {"all": 1200, "country=de": 600}


def test_monitors_of_some_segments() -> None:
    spec = MonitorSpec(metric="psi", segments=("all",))
    other = MonitorSpec(metric="missing_rate", segments=("country",))
    made = traffic(watch(spec, other), Tap(), range(2), segments=("country=de",))
    assert {(v["monitor"], v["segment"]) for v in made} == {("psi", "all"), ("missing_rate", "country=de")}


def test_without_a_reference_what_needs_none_is_judged() -> None:
    monitors = (MonitorSpec(metric="psi"), MonitorSpec(metric="error_rate", threshold=0.5))
    made = traffic(Run(model=steady(monitors=monitors)), Tap(), range(2))
    assert {v["monitor"]: (v["level"], v["reason"]) for v in made} == {
        "psi": ("unknown", "the reference file has not been read yet"),
        "error_rate": ("ok", made[1]["reason"]),
    }


def test_the_default_suite_judges_every_column_it_can_read() -> None:
    run = Run(model=steady(monitors=()), reference=reference())
    made = traffic(run, Tap(), range(3))
    assert {(v["monitor"], v["column"]) for v in made} == {
        ("scan", "x"),
        ("missing_rate", "x"),
        ("invalid_rate", "x"),
        ("row_volume", None),
        ("error_rate", None),
        ("log_loss", None),
    }
    assert len({m.name for m in monitors_of(MODEL)}) == len(monitors_of(MODEL))


def test_volume_is_that_of_all_versions_and_falls_silent_with_them() -> None:
    """
    version 1   40  40   0   0   0     takes over: no change of volume
    version 2            40  40   0    then silence
    """
    run, tap = Run(model=steady(monitors=(MonitorSpec(metric="row_volume"),)), reference=reference()), Tap()
    made = traffic(run, tap, range(2), version="1") + traffic(run, tap, range(2, 4), version="2")
    assert {(v["level"], v["value"]) for v in made} == {("ok", 1.0)}
    silent = bodies(run.feed(tap.block(at=60 * SECOND, idle=True)), "verdict")
    assert [(v["value"], v["level"]) for v in silent if v["version"] == "2"][-1] == (0.0, "drift")


def test_a_first_window_that_began_before_the_events_says_nothing_of_the_volume() -> None:
    run, tap = Run(model=steady(monitors=(MonitorSpec(metric="row_volume"),)), reference=reference()), Tap()
    made = bodies(run.feed(tap.block([Event(at=5000)]), tap.block([Event(at=10_000)])), "verdict")
    assert made[0]["reason"] == "the model's first events came within this window"


# Detectors with a memory


PAGE = MonitorSpec(metric="error_rate", detector="page_hinkley", parameters={"threshold": 1.0, "min_instances": 3})
LIFE = [0.0, 0.1, 0.0, 0.1, 0.0, 0.9, 0.9, 0.9, 0.9]


def rate(i: int, share: float) -> list[Event]:
    return [Event(at=i * 10 * SECOND + k * 100, right=k >= share * 100) for k in range(100)]


def expected(values: list[float]) -> list[str]:
    detector = PageHinkley(threshold=1.0, min_instances=3)
    state, levels = detector.start(), []
    for value in values:
        state, judgement = detector.update(state, value)
        levels.append(judgement.level.label)
    return levels


def last_levels(run: Run) -> list[str]:
    return list({v["start"]: v["level"] for v in bodies(run.outputs, "verdict")}.values())


def test_a_detector_with_a_memory_sees_every_window_once() -> None:
    run, tap = Run(model=steady(monitors=(PAGE,), alerts=Alerts(for_=1))), Tap()
    for i, share in enumerate(LIFE):
        run.feed(tap.block(rate(i, share)))
    run.end()
    assert last_levels(run) == expected(LIFE)
    assert "drift" in expected(LIFE)


def test_windows_without_labels_are_not_fed_to_it() -> None:
    run, tap = Run(model=steady(monitors=(PAGE,))), Tap()
    for i, share in enumerate([0.0, 0.1, math.nan, 0.0, 0.9, 0.9]):
        run.feed(tap.block([Event(at=i * 10 * SECOND)] if math.isnan(share) else rate(i, share)))
    run.end()
    levels = last_levels(run)
    assert levels[2] == "unknown"
    assert levels[:2] + levels[3:] == expected([0.0, 0.1, 0.0, 0.9, 0.9])


def test_a_window_that_opens_again_changes_the_verdicts_after_it() -> None:
    """
    window           0    1    2    3    4    5    6
    as it came       0   .1   0    .1   [0]   .9   .9       at first window 4 has no errors
    late, into 4                         .9                 judged again: 4, and 5 and 6, which remember it
    """
    values = [0.0, 0.1, 0.0, 0.1, 0.0, 0.9, 0.9]
    run, tap = Run(model=steady(monitors=(PAGE,))), Tap()
    for i, share in enumerate(values):
        run.feed(tap.block(rate(i, share)))
    run.feed(tap.block([Event(at=70 * SECOND)]))
    assert last_levels(run) == expected(values)
    late = [Event(at=40 * SECOND + k, right=False) for k in range(900)]
    made = bodies(run.feed(tap.block(late)), "verdict")
    assert [(seconds(v["start"]), v["revision"]) for v in made] == [(40, 1), (50, 1), (60, 1)]
    assert last_levels(run) == expected([*values[:4], 0.9, 0.9, 0.9])


def test_final_windows_leave_only_the_memory() -> None:
    run, tap = Run(model=steady(monitors=(PAGE,))), Tap()
    for i in range(60):
        run.feed(tap.block(rate(i, 0.1)))
    series = run.state.keys["m", "1", "all"].series["error_rate:page_hinkley|"]
    assert len(series.tail) <= 7  # those that may re-open: a minute of them
    assert series.state["n"] == 59 - len(series.tail)


# The reference's own windows


def test_cuts_of_a_reference() -> None:
    panes = reference(windows=3, rows=20).series["all"]
    assert [c.rows for c in cut_by_time(panes, 10 * SECOND)] == [20, 20, 20]
    assert [c.rows for c in cut_by_rows(panes, 25)] == [26, 26]  # panes of two rows; what is left is left out


def test_a_short_reference_is_cut_into_shorter_windows() -> None:
    """Two windows are too few to learn a spread from; twenty pieces of them are not."""
    run = Run(model=steady(monitors=(MonitorSpec(metric="psi"),)), reference=reference(windows=2, rows=400))
    verdict = traffic(run, Tap(), range(2), rows=400)[0]
    assert "learnt from 20 windows" in verdict["reason"]
    assert verdict["level"] == "ok"


def test_windows_by_rows_have_thresholds_too() -> None:
    model = steady(monitors=(MonitorSpec(metric="psi"),), window=WindowSpec(rows=40))
    run, tap = Run(model=model, reference=reference()), Tap()
    made = traffic(run, tap, range(5))
    assert made
    assert {v["level"] for v in made} == {"ok"}
    assert traffic(run, tap, range(5, 7), x=0.95)[-1]["level"] == "drift"

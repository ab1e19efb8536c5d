"""State to bytes and back, at any point of any log; and what may not depend on how a log was cut or interleaved."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_monitor.config import MonitorSpec, Retrain, WindowSpec
from stream_monitor.entries import Bundle, Command, Entry
from stream_monitor.fold.fold import State, step
from stream_monitor.outputs import Output
from stream_monitor.state import units
from tests.fold.makers import MODEL, SECOND, Event, Run, Tap, bodies, seconds, steady

MONITORS = (
    MonitorSpec(metric="error_rate", threshold=0.4),
    MonitorSpec(metric="error_rate", detector="page_hinkley", parameters={"threshold": 0.3, "min_instances": 2}),
    MonitorSpec(metric="missing_rate", threshold=0.3),
    MonitorSpec(
        metric="error_rate",
        detector="cusum",
        every="pane",
        parameters={"target": 0.4, "deviation": 0.3, "threshold": 1.0},
    ),
)
MODELS = {
    "tumbling": steady(monitors=MONITORS, min_rows=2, retrain=Retrain(cooldown=30 * SECOND)),
    "sliding": steady(monitors=MONITORS, window=WindowSpec(size=20 * SECOND, slide=5 * SECOND)),
    "rows": steady(monitors=MONITORS, window=WindowSpec(rows=12)),
}


def events(seed: int, n: int, partitions: int = 2) -> list[list[Event]]:
    """Events of each partition: mostly in order, some late, a second version later on, errors that grow."""
    rng = random.Random(seed)
    of: list[list[Event]] = [[] for _ in range(partitions)]
    for i in range(n):
        at = int(i * 400 - (rng.random() < 0.1) * rng.random() * 30_000)
        of[rng.randrange(partitions)].append(
            Event(
                at=max(at, 0),
                x=None if rng.random() < 0.2 else rng.random(),
                right=None if rng.random() < 0.3 else rng.random() > i / n,
                version="1" if i < n * 0.6 or rng.random() < 0.2 else "2",
                segments=(f"country={rng.choice(['de', 'fr'])}",) if rng.random() < 0.8 else (),
            )
        )
    return of


def log(seed: int, n: int, cut: int, *, ends: bool = True) -> list[Entry]:
    """The same events for the same (seed, n), cut into blocks and interleaved as `cut` says."""
    rng = random.Random(cut)
    of = events(seed, n)
    taps = [Tap(partition=p, partitions=len(of)) for p in range(len(of))]
    entries: list[Entry] = []
    while any(of):
        p = rng.choice([p for p in range(len(of)) if of[p]])
        size = rng.randint(1, 25)
        entries.append(taps[p].block(of[p][:size]))
        of[p] = of[p][size:]
        if rng.random() < 0.1:
            entries.append(taps[p].block())
    if ends:
        entries += [t.block([Event(at=n * 400 + 120_000)]) for t in taps]
    return entries


def last_revisions(outputs: list[Output], *, without: tuple[str, ...] = ("revision",)) -> dict[Any, Any]:
    """Each window's last revision, by name."""
    windows = {
        (w["version"], w["segment"], w["start"]): {k: v for k, v in w.items() if k not in without}
        for w in bodies(outputs, "window")
    }
    return dict(sorted(windows.items()))


def last_verdicts(outputs: list[Output]) -> dict[Any, Any]:
    """Each verdict's last revision, without what names the revision."""
    return {
        (v["version"], v["segment"], v["start"], v["monitor"], v["column"]): (v["level"], v["value"], v["reason"])
        for v in bodies(outputs, "verdict")
    }


def packed(outputs: list[Output]) -> bytes:
    return msgspec.msgpack.encode(outputs)


def commands(run: Run) -> list[Entry]:
    ids = [a["id"] for a in bodies(run.outputs, "alert") if a["state"] == "firing"]
    made: list[Entry] = [
        Command("s", "silence", 1, "ann", {"id": "s", "model": "m", "matchers": {"group": "drift"}, "until": 9}),
        Command("r", "retrain", 2, "ann", {"model": "m", "version": "", "reason": "why not"}),
    ]
    return made + [Command("a", "acknowledge", 3, "ann", {"alert": i, "comment": ""}) for i in ids[-1:]]


@given(st.integers(0, 1000), st.integers(0, 1000), st.sampled_from(sorted(MODELS)), st.data())
@settings(max_examples=15, deadline=None)
def test_a_state_that_was_restored_goes_on_as_if_nothing_had_happened(
    seed: int, cut: int, name: str, data: st.DataObject
) -> None:
    """Checkpoints as the worker writes them: all records once, then what changed, put together again."""
    run = Run(model=MODELS[name])
    kept = run.state.records()
    run.state.mark()
    entries = log(seed, 300, cut)
    at = data.draw(st.integers(0, len(entries)))
    for entry in entries[:at]:
        run.feed(entry)
        if data.draw(st.booleans()):
            for key, value in run.state.changed().items():
                if value is None:
                    kept.pop(key, None)
                else:
                    kept[key] = value
            run.state.mark()
    for key, value in run.state.changed().items():
        if value is None:
            kept.pop(key, None)
        else:
            kept[key] = value
    assert dict(sorted(kept.items())) == run.state.records()
    other = State.restore(run.state.head(), kept, run.catalog)
    assert (other.head(), other.records()) == (run.state.head(), run.state.records())
    for entry in [*entries[at:], *commands(run)]:
        run.state, expected = step(run.state, entry, run.catalog)
        other, outputs = step(other, entry, run.catalog)
        assert packed(outputs) == packed(expected)
    assert (other.head(), other.records()) == (run.state.head(), run.state.records())


@given(st.integers(0, 1000), st.integers(0, 1000), st.sampled_from(["tumbling", "sliding"]))
@settings(max_examples=15, deadline=None)
def test_any_cut_into_blocks_and_any_interleaving_gives_the_same_windows_and_verdicts(
    seed: int, cut: int, name: str
) -> None:
    runs = []
    for c in (0, cut):
        run = Run(model=MODELS[name])
        run.feed(*log(seed, 300, c))
        run.end()
        runs.append(run)
    a, b = runs
    assert last_revisions(a.outputs) == last_revisions(b.outputs)
    assert last_verdicts(a.outputs) == last_verdicts(b.outputs)


@given(st.integers(0, 1000), st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_windows_add_up_to_the_events(seed: int, cut: int) -> None:
    run = Run(model=MODELS["tumbling"])
    run.feed(*log(seed, 300, cut))
    run.end()
    truth: dict[tuple[str, str, int], list[int]] = {}
    for e in [e for of in events(seed, 300) for e in of]:
        for segment in ("all", *e.segments):
            of = truth.setdefault((e.version, segment, e.at // 10_000 * 10), [0, 0, 0])
            of[0] += 1
            of[1] += e.right is not None
            of[2] += e.x is None
    found = {
        (w["version"], w["segment"], seconds(w["start"])): [w["rows"], w["labels"], w["columns"]["x"]["missing"]]
        for w in last_revisions(run.outputs).values()
        if w["rows"] and seconds(w["start"]) < 240
    }
    assert found == {k: v for k, v in truth.items() if k[2] < 240}


@given(st.integers(0, 1000), st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_duplicates_change_nothing(seed: int, cut: int) -> None:
    rng = random.Random(cut)
    plain, repeated = Run(model=MODELS["tumbling"]), Run(model=MODELS["tumbling"])
    entries = log(seed, 300, cut)
    plain.feed(*entries)
    for i, entry in enumerate(entries):
        repeated.feed(entry)
        if rng.random() < 0.3:
            repeated.feed(*entries[max(0, i - 5) : i + 1])
    messages = ("window", "verdict", "alert", "retrain-request")
    assert [o for o in plain.outputs if o.kind in messages] == [o for o in repeated.outputs if o.kind in messages]


def test_folding_again_gives_the_same_bytes_and_no_id_two_contents() -> None:
    a, b = Run(model=MODELS["tumbling"]), Run(model=MODELS["tumbling"])
    entries = log(1, 600, 2)
    a.feed(*entries)
    b.feed(*entries)
    assert packed(a.outputs) == packed(b.outputs)
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    for o in a.outputs:
        if o.kind in ("verdict", "alert", "retrain-request"):
            assert seen.setdefault((o.kind, o.id), o.body) == o.body
    assert {kind for kind, _ in seen} == {"verdict", "alert", "retrain-request"}


def test_what_was_put_out_does_not_change_afterwards() -> None:
    run = Run(model=MODELS["tumbling"])
    copies = [(made := run.feed(entry), packed(made)) for entry in log(3, 400, 4)]
    assert all(packed(made) == copy for made, copy in copies)


def test_old_versions_are_forgotten() -> None:
    run, tap = Run(model=MODEL), Tap()
    for version in range(60):
        events = [Event(at=(version * 50 + t) * SECOND, version=f"v{version:02}", right=True) for t in range(0, 50, 10)]
        run.feed(tap.block(events))
    versions = sorted(run.state.models["m"].versions)
    assert 32 <= len(versions) <= 33
    assert versions[-1] == "v59"
    assert {k[1] for k in run.state.keys} == {k[1] for k in run.state.panes} == set(versions)


def test_the_history_of_a_version_goes_once_the_model_has_gone_on_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    units of windows   0 ... 14     15 ...            39
    v1                 ||||||||                           silent for 25: none is kept
    v2                 |  |  |  |  |  |  |                seldom seen, and still is: all
    v3                         |||||||||||||              the last 20, and those that may still change
    """
    monkeypatch.setattr(units, "HISTORY", 20)
    run, tap = Run(model=MODEL), Tap()
    kept = []
    for unit in range(40):
        versions = ["v1" if unit < 15 else "v3", *(["v2"] if unit % 6 == 0 else [])]
        run.feed(tap.block([Event(at=unit * 10 * SECOND, version=v, right=True) for v in versions]))
        kept.append(tuple(len(run.state.panes.get(("m", f"v{i}", "all"), ())) for i in (1, 2, 3)))
    assert kept[18] == (15, 4, 4)
    assert kept[-1] == (0, 7, 25)
    gone = [msgspec.msgpack.decode(name) for name, record in run.state.changed().items() if record is None]
    assert sum(kind == "p" and parts[1] == "v1" for kind, *parts in gone) == 15
    made = run.feed(tap.block([Event(at=t * SECOND, version="v1", right=True) for t in (400, 405, 411)]))  # it is back
    assert [w["rows"] for w in bodies(made, "window") if w["version"] == "v1"] == [2]


def test_the_state_stays_small() -> None:
    """Ten times the events do not make ten times the records: history is bounded, the rest follows the windows."""
    run, tap = Run(model=MODEL), Tap()
    sizes = []
    for t in range(0, 30_000, 10):
        run.feed(tap.block([Event(at=t * SECOND, segments=("country=de",))]))
        if t in (12_000, 29_990):
            sizes.append(len(run.state.records()))
    assert sizes[1] <= sizes[0] + 1
    assert isinstance(log(0, 10, 0)[0], Bundle)

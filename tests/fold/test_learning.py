"""A model without a file: a layout from raw counts, a reference from the first rows, and references promoted later."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import numpy as np
import pytest

from stream_monitor.config import Config, Fields, Model, MonitorSpec, WindowSpec
from stream_monitor.config import Reference as Wanted
from stream_monitor.config.plain import plain_config
from stream_monitor.counting.batches import Records
from stream_monitor.counting.panes import count_block
from stream_monitor.counting.plans import event_plan
from stream_monitor.entries import Command
from stream_monitor.fold.fold import State
from stream_monitor.formats import decode
from stream_monitor.judging import learning
from stream_monitor.judging.packed_references import pack_reference, unpack_reference
from tests.fold.makers import LAYOUT, SECOND, Event, MemoryCatalog, Run, Tap, bodies, spans, steady
from tests.fold.test_verdicts import reference, traffic

BASE = 1_700_000_000_000
LEARNER = steady(monitors=(MonitorSpec(metric="psi"),), reference=Wanted(first=100))


def test_from_the_first_event_to_a_verdict() -> None:
    """Raw panes -> layout -> panes under it -> reference -> verdicts, as a tap and a worker would do it."""
    model = Model(
        topic=("t",),
        fields=Fields(time="ts", features="f"),
        reference=Wanted(first=1000),
        window=WindowSpec(size=10 * SECOND),
        pane=SECOND,
        monitors=(MonitorSpec(metric="psi"),),
    )
    config = Config(models={"m": model})
    run = Run.__new__(Run)
    run.model, run.catalog, run.state, run.outputs = model, MemoryCatalog(), State.empty(0, 1), []
    body = {"config": plain_config(config), "layouts": {}, "references": {}}
    run.feed(Command("1", "config", 0, "worker", body))
    rng, tap, layout = random.Random(5), Tap(), None
    for i in range(20):
        times = [BASE + i * 10_000 + k * 20 for k in range(500)]
        rows = [{"ts": at, "f": {"x": rng.gauss(0, 1), "c": rng.choice("ab")}} for at in times]
        records = Records(
            values=[json.dumps(r).encode() for r in rows],
            timestamps_ms=np.zeros(500, np.int64),
            offsets=np.arange(i * 500, (i + 1) * 500),
        )
        batch, _ = decode(records, event_plan("m", config), layout, times[-1])
        block = tap.block([Event(at=at) for at in times])
        counted = count_block(batch, layout, "m", model, config.time, None)
        made = run.feed(msgspec.structs.replace(block, panes=tuple(counted.panes)))
        for learnt in bodies(made, "layout"):  # the tap takes it up at a block border
            layout = run.catalog.layout(learnt["layout"])
    assert layout is not None
    assert {n: c.kind for n, c in layout.features.items()} == {"x": "numeric", "c": "categorical"}
    said = [b["learning"] for b in bodies(run.outputs, "model")]
    assert said[1].startswith("learning how to count the columns: 500 of 1000 rows")
    assert any(s and s.startswith("learning the reference") for s in said)
    assert said[-1] is None
    (adopted,) = bodies(run.outputs, "reference")
    known = unpack_reference(run.catalog.blob(adopted["reference"]))
    assert known.rows >= 1000
    assert known.rows == sum(c.rows for _, c in known.series["all"])
    # The first pane after the layout was learnt may hold events of before: the reference begins after it.
    assert known.series["all"][0][0] >= BASE + 20_000
    levels = [v["level"] for v in bodies(run.outputs, "verdict") if v["column"] == "x"]
    assert levels[0] == "unknown"
    assert set(levels[-5:]) == {"ok"}
    # Windows before the layout have rows and no columns.
    windows = bodies(run.outputs, "window")
    assert windows[0]["columns"] == {}
    assert sum(windows[-1]["columns"]["x"]["counts"]) == windows[-1]["rows"] == 500


def test_the_reference_is_the_first_rows_in_the_order_of_time() -> None:
    run, tap = Run(model=LEARNER), Tap()
    traffic(run, tap, range(10), rows=20)
    (adopted,) = bodies(run.outputs, "reference")
    known = unpack_reference(run.catalog.blob(adopted["reference"]))
    assert (known.rows, known.series["all"][0][0], known.pane_ms) == (100, 0, SECOND)
    assert bodies(run.outputs, "model")[-1]["reference"] == {
        "id": adopted["reference"],
        "rows": 100,
        "from": "1970-01-01T00:00:00Z",
        "to": "1970-01-01T00:00:50Z",
        "source": "learnt",
        "provisional": True,
    }
    assert run.state.gathered == {}


def test_a_span_is_learnt_when_it_is_over() -> None:
    wanted = Wanted(from_="1970-01-01T00:00:20Z", to="1970-01-01T00:00:40Z")
    run, tap = Run(model=steady(LEARNER, reference=wanted)), Tap()
    traffic(run, tap, range(4), rows=20)
    assert bodies(run.outputs, "reference") == []
    traffic(run, tap, range(4, 6), rows=20)
    (adopted,) = bodies(run.outputs, "reference")
    known = unpack_reference(run.catalog.blob(adopted["reference"]))
    assert (known.rows, known.series["all"][0][0], known.series["all"][-1][0]) == (40, 20_000, 39_000)


def test_many_panes_are_added_up_in_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "MOST", 8)
    orders = [range(40), reversed(range(40))]
    found = []
    for order in orders:
        run, tap = Run(model=steady(LEARNER, reference=Wanted(first=40))), Tap()
        for t in order:
            run.feed(tap.block([Event(at=t * SECOND, x=t / 40)]))
        run.feed(tap.block([Event(at=60 * SECOND)]))
        (adopted,) = bodies(run.outputs, "reference")
        found.append(unpack_reference(run.catalog.blob(adopted["reference"])))
    a, b = found
    assert a.pane_ms == 8 * SECOND
    assert len(a.series["all"]) == 5
    assert a.series == b.series


def test_a_span_of_the_past_is_promoted_for_a_version() -> None:
    run, tap = Run(model=steady(LEARNER, reference=Wanted(file="x")), reference=reference()), Tap()
    traffic(run, tap, range(5))
    shifted = traffic(run, tap, range(5, 11), x=0.95)
    assert shifted[-1]["level"] == "drift"
    made = run.command(
        "promote", {"model": "m", "version": "1", "from": "1970-01-01T00:00:50Z", "to": "1970-01-01T00:01:50Z"}
    )
    (adopted,) = bodies(made, "reference")
    known = unpack_reference(run.catalog.blob(adopted["reference"]))
    assert (known.version, known.rows) == ("1", 240)
    assert known.source.startswith("1970-01-01T00:00:50Z to 1970-01-01T00:01:50Z, order promote")
    # What was drift is normal now, and the alert resolves by fresh verdicts.
    after = traffic(run, tap, range(11, 16), x=0.95)
    assert after[-1]["level"] == "ok"
    assert bodies(run.outputs, "alert")[-1]["state"] == "resolved"
    # Other versions are still judged against the model's.
    assert traffic(run, tap, range(16, 18), x=0.95, version="2")[-1]["level"] == "drift"


def test_a_span_without_events_of_the_version_takes_those_of_all() -> None:
    run, tap = Run(model=steady(LEARNER, reference=Wanted(file="x")), reference=reference()), Tap()
    traffic(run, tap, range(5))
    made = run.command(
        "promote", {"model": "m", "version": "2", "from": "1970-01-01T00:00:10Z", "to": "1970-01-01T00:00:30Z"}
    )
    (adopted,) = bodies(made, "reference")
    assert unpack_reference(run.catalog.blob(adopted["reference"])).rows == 80


def test_what_a_promotion_replaces_is_disused_and_never_comes_back() -> None:
    """The same span twice are two references: the first may be withdrawn whenever that happens. One that an entry of
    the log names stays, as the log may be folded again."""
    run, tap = Run(model=steady(LEARNER, reference=Wanted(file="x")), reference=reference()), Tap()
    traffic(run, tap, range(5))
    span = {"model": "m", "from": "1970-01-01T00:00:10Z", "to": "1970-01-01T00:00:30Z"}
    made = [bodies(run.command("promote", {**span, "version": v}), "reference")[0] for v in ("1", "1", "", "2")]
    first, second, models, other = (m["reference"] for m in made)
    assert len({first, second, models, other}) == 4
    assert [*run.state.disused] == [first]
    given = run.catalog.add_blob(pack_reference(reference()))
    run.command("reference", {"model": "m", "version": "", "reference": given})
    run.command("reference", {"model": "m", "version": "1", "reference": given})
    run.command("promote", {**span, "version": ""})
    assert [*run.state.disused] == [first, models, second]
    run.state.withdrawn([first, second])
    assert [*run.state.disused] == [models]
    (last,) = set(run.state.models["m"].made) - {other}
    run.feed(Command("config:d", "config", 0, "worker", {"config": {}, "layouts": {}, "references": {}}))  # no models
    assert sorted(run.state.disused) == sorted([models, other, last])


def test_a_span_that_is_not_kept_is_refused_with_the_reason() -> None:
    run, tap = Run(model=steady(LEARNER, reference=Wanted(file="x")), reference=reference()), Tap()
    traffic(run, tap, range(5))
    made = run.command(
        "promote", {"model": "m", "version": "1", "from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"}
    )
    assert bodies(made, "reference") == []
    assert bodies(made, "model")[-1]["note"] == "0 rows are still kept of that span, at least 5 needed"


def test_a_file_is_promoted_by_its_reference() -> None:
    run, tap = Run(model=steady(LEARNER, reference=Wanted(file="x")), reference=reference()), Tap()
    id = run.catalog.add_blob(pack_reference(reference(windows=20)))
    run.command("reference", {"model": "m", "version": "1", "reference": id})
    assert traffic(run, tap, range(2))[0]["reference_rows"] == 800
    assert bodies(run.outputs, "model")[-1]["versions"][0]["reference"] == id


def test_a_reference_under_another_layout_is_not_compared_with() -> None:
    from dataclasses import replace

    other = replace(LAYOUT, pane_ms=2 * SECOND)
    run = Run(model=steady(LEARNER, reference=Wanted(file="x")), reference=replace(reference(), layout=other.id))
    run.catalog.add_layout(other)
    made = traffic(run, Tap(), range(2))
    assert (made[0]["level"], made[0]["reason"]) == ("unknown", "the reference was counted under another layout")


def test_a_restart_keeps_what_was_learnt() -> None:
    """The next worker's config command names the file's references only: what was learnt stays."""
    run, tap = Run(model=LEARNER), Tap()
    traffic(run, tap, range(10), rows=20)
    before = run.state.models["m"].reference
    run.feed(run.config())
    assert run.state.models["m"].reference == before != ""


def test_a_restart_keeps_what_was_promoted_and_takes_up_a_new_file() -> None:
    run, tap = Run(model=steady(LEARNER, reference=Wanted(file="x")), reference=reference()), Tap()
    traffic(run, tap, range(5))
    run.command("promote", {"model": "m", "version": "", "from": "1970-01-01T00:00:10Z", "to": "1970-01-01T00:00:40Z"})
    promoted = run.state.models["m"].reference
    run.feed(run.config())
    assert run.state.models["m"].reference == promoted
    run.reference = reference(windows=20)
    run.feed(run.config())
    assert run.state.models["m"].reference not in ("", promoted)


def test_gathered_panes_survive_a_restart() -> None:
    run, tap = Run(model=LEARNER), Tap()
    traffic(run, tap, range(3), rows=20)
    other: Any = State.restore(run.state.head(), run.state.records(), run.catalog)
    assert other.records() == run.state.records()
    assert other.gathered.keys() == run.state.gathered.keys() != set()
    assert spans(run.outputs) == [(0, 10, 0, 20), (10, 20, 0, 20)]

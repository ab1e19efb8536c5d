"""One page in one browser: its sections, each drawn again when what it shows has changed.

Every text goes through `ui.label`, which the browser shows as text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from nicegui import ui

from stream_monitor.dashboard.charts import bars, line
from stream_monitor.dashboard.views import Detail, View, Watcher, worst_level
from stream_monitor.figures import figure
from stream_monitor.moments import rfc3339

STYLE: Final = Path(__file__).with_name("style.css")
EVERY_SECONDS: Final = 1.0
GROUPS: Final = ("drift", "performance", "quality", "stream", "fairness")
MOST_COLUMN_BUTTONS: Final = 30
NUMBERS = {"its rows", "labelled", "alerts", "value", "threshold"}  # titles of columns of numbers
NUMBERS |= {"rows", "labels", "late", "revision", "partition", "behind", "count", "events"}


class Page:
    """What one browser sees, and what it has chosen to see."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._model = ""  # "": the most urgent one
        self._column = ""  # "": the worst one
        self._shown: dict[str, Any] = {}  # section -> what it was drawn from

    async def build(self) -> None:
        """Draw it, and again once a second what has changed."""
        ui.add_css(STYLE.read_text())
        with ui.element("div").classes("sm-page"):
            self._sections = {name: ui.element("div") for name in ("head", "alerts", "models", "detail", "system")}
        await self._refresh()
        ui.timer(EVERY_SECONDS, self._refresh, immediate=False)

    async def _refresh(self) -> None:
        view = await self._watcher.view()
        chosen = next((m for m in view.models if m["model"] == self._model), view.models[0] if view.models else None)
        self._draw("head", (view.unready, view.error), lambda: _head(view))
        self._draw("alerts", (view.alerts,), lambda: self._alerts(view.alerts))
        name = chosen["model"] if chosen else ""
        self._draw("models", (view.models, name), lambda: self._models(view.models, name))
        if self._shown.get("of") != (chosen, self._column):
            self._shown["of"] = (chosen, self._column)
            detail = await self._watcher.detail(chosen, self._column) if chosen else None
            self._draw("detail", (detail,), lambda: self._detail(detail))
        system = {k: v for k, v in view.status.items() if k != "at"}
        self._draw("system", (system, bool(view.unready)), lambda: _system(view.status))

    def _draw(self, section: str, data: Any, draw: Callable[[], None]) -> None:
        if self._shown.get(section, self) == data:
            return
        self._shown[section] = data
        place = self._sections[section]
        place.clear()
        with place:
            draw()

    async def _choose(self, model: str, column: str = "") -> None:
        self._model, self._column = model, column
        await self._refresh()

    def _alerts(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        firing = sum(a.get("state") in ("firing", "acknowledged") for a in alerts)
        ui.page_title(f"({firing}) stream-monitor" if firing else "stream-monitor")
        with _card("Alerts" if not firing else f"Alerts: {firing} firing"):
            if not alerts:
                _soft("No alert so far: nothing needs you.")
                return
            titles = ["state", "model", "version", "segment", "group", "since", "why"]
            with _table(titles).classes("sm-rows-click"):
                for a in alerts:
                    name = str(a.get("model"))
                    with ui.element("tr").on("click", lambda name=name: self._choose(name)):
                        with ui.element("td"):
                            _state(str(a.get("state")), str(a.get("severity")))
                        _cell(str(a.get("model")), "sm-name")
                        _cell(str(a.get("version") or "-"))
                        _cell(str(a.get("segment") or "-"))
                        _cell(str(a.get("group") or "-"))
                        _cell(_time(a.get("started_at")))
                        _cell(str(a.get("reason") or ""), "sm-wide")

    def _models(self, models: Sequence[Mapping[str, Any]], chosen: str) -> None:
        with _card("Models"):
            if not models:
                _soft(
                    "No model yet. `stream-monitor check monitor.yaml --connect` says whether the topics that it names "
                    "can be read; a model appears here as soon as it is in the file."
                )
                return
            groups = [g for g in GROUPS if any(g in m["levels"] for m in models)]
            with _table(["model", *groups, "versions", "last window", "its rows", "labelled", "alerts"]).classes(
                "sm-rows-click"
            ):
                for m in models:
                    name = m["model"]
                    row = ui.element("tr").on("click", lambda name=name: self._choose(name))
                    with row.classes("sm-chosen" if name == chosen else ""):
                        _cell(name, "sm-name")
                        for group in groups:
                            with ui.element("td"):
                                _level(m["levels"].get(group))
                        _cell(", ".join(str(v.get("version") or "-") for v in m["versions"][-3:]) or "-")
                        last = m["last_window"] or {}
                        _cell(_time(last.get("end")))
                        _cell(_count(last.get("rows")), "sm-number")
                        _cell(_percent(m["label_coverage"]), "sm-number")
                        _cell(str(len(m["firing"]) or "-"), "sm-number")

    def _detail(self, detail: Detail | None) -> None:
        if detail is None:
            return
        model = detail.model
        with _card(str(model["model"])):
            waiting = (model.get("retrain") or {}).get("waiting")
            for told in (_learning(model), model.get("note"), f"A retrain request waits: {waiting}" if waiting else ""):
                if told:
                    _soft(str(told))
            with ui.element("div").classes("sm-columns"):
                with ui.element("div"):
                    _heading("Worst columns")
                    _worst(model["worst"])
                    _segments(model["breakdown"])
                    if detail.comparison is not None:
                        _heading(f"{detail.column}: {detail.compared}")
                        ui.echart(bars(detail.comparison), renderer="svg").classes("sm-chart")
                        self._buttons(detail)
                    if detail.history:
                        _heading(f"{detail.metric}: {detail.column}, window by window")
                        ui.echart(line(detail.history, detail.metric), renderer="svg").classes("sm-chart")
                with ui.element("div"):
                    _heading("Last windows")
                    _windows(detail.windows)

    def _buttons(self, detail: Detail) -> None:
        """One for each column that can be compared."""
        model = str(detail.model["model"])
        for column in detail.columns[:MOST_COLUMN_BUTTONS]:
            button = ui.element("button").classes("sm-button")
            button.classes("sm-chosen" if column == detail.column else "")
            button.on("click", lambda column=column: self._choose(model, column))
            with button:
                ui.label(column)


def _head(view: View) -> None:
    with ui.element("div").classes("sm-head"):
        ui.label("stream-monitor").classes("sm-title")
        ready = not view.unready and not view.error
        ui.label("working" if ready else "NOT WORKING").classes(f"sm-level {'sm-ok' if ready else 'sm-drift'}")
        _soft("times are UTC")
        with ui.element("span").classes("sm-push"):
            ui.link("API", "/docs")
            ui.label(" · ").style("display: inline")
            ui.link("metrics", "/metrics")
    reasons = [*([view.error] if view.error else []), *view.unready]
    if reasons:
        with ui.element("div").classes("sm-card sm-banner"):
            _heading("The service cannot do its work: what is shown below may be old", "h2")
            for reason in reasons:
                ui.label(reason)


def _worst(worst: Sequence[Mapping[str, Any]]) -> None:
    if not worst:
        _soft("No column is past its threshold.")
        return
    with _table(["column", "metric", "value", "threshold", "level", "segment"]):
        for w in worst:
            with ui.element("tr"):
                _cell(str(w.get("column") or "whole model"), "sm-name")
                _cell(str(w.get("metric") or ""))
                _cell(figure(w.get("value")), "sm-number")
                _cell(figure(w.get("threshold")), "sm-number")
                with ui.element("td"):
                    _level(w.get("level"))
                _cell(str(w.get("segment") or ""))


def _segments(breakdown: Sequence[Mapping[str, Any]]) -> None:
    notable = [b for b in breakdown if worst_level(b.get("levels") or {}) in ("drift", "warning")][:8]
    if not notable or len(breakdown) < 2:
        return
    _heading("Where")
    with _table(["version", "segment", "level"]):
        for b in notable:
            with ui.element("tr"):
                _cell(str(b.get("version") or "-"))
                _cell(str(b.get("segment")))
                with ui.element("td"):
                    for group, level in b["levels"].items():
                        if level in ("drift", "warning"):
                            _level(level, f"{group}: {level}")


def _windows(windows: Sequence[Mapping[str, Any]]) -> None:
    if not windows:
        _soft("No window has closed yet. One closes when events later than its end have come on every partition.")
        return
    with _table(["from", "to", "rows", "labels", "late", "revision"]):
        for w in windows:
            with ui.element("tr"):
                _cell(_time(w.get("start")))
                _cell(_time(w.get("end")))
                _cell(_count(w.get("rows")), "sm-number")
                _cell(_count(w.get("labels")), "sm-number")
                _cell(_count(w.get("late_rows")), "sm-number")
                _cell(str(w.get("revision", "")), "sm-number")


def _system(status: Mapping[str, Any]) -> None:
    lag = sum(n for of in status.get("lag", {}).values() for n in of.values())
    dead = sum(n for of in status.get("dead_letters", {}).values() for n in of.values())
    facts = {
        "taps": sum(bool(t.get("healthy")) for t in status.get("taps", ())),
        "workers": sum(bool(w.get("healthy")) for w in status.get("workers", ())),
        "source partitions": len(status.get("partitions", ())),
        "events behind": lag,
        "dead letters": dead,
        "late events": sum(status.get("late_events", {}).values()),
        "repeated blocks": status.get("duplicate_blocks", 0),
        "overlaps": status.get("overlap_blocks", 0),
    }
    with _card("Service"):
        with ui.element("div").classes("sm-facts"):
            for name, n in facts.items():
                with ui.element("div").classes("sm-fact"):
                    ui.label(name).classes("sm-soft")
                    with ui.element("b"):
                        ui.label(f"{n:,}")
        with ui.element("div").classes("sm-columns"):
            with ui.element("div"):
                _heading("Source partitions")
                _partitions(status)
            with ui.element("div"):
                _heading("Deliveries")
                _pairs(
                    status.get("sinks", {}),
                    ["to", "outcome", "count"],
                    "No sink is configured: alerts go nowhere but here.",
                )
                if dead:
                    _heading("Dead letters")
                    _pairs(status["dead_letters"], ["topic", "reason", "events"], "")
        if status.get("notes"):
            _heading("What is not guaranteed")
            for note in status["notes"]:
                _soft(note)


def _partitions(status: Mapping[str, Any]) -> None:
    partitions = status.get("partitions", ())
    if not partitions:
        _soft("No tap has a partition. Is `stream-monitor tap` (or `run`) running, and do the topics exist?")
        return
    with _table(["topic", "partition", "behind", "read up to", "idle"]):
        for p in partitions[:100]:
            with ui.element("tr"):
                _cell(str(p["topic"]), "sm-name")
                _cell(str(p["partition"]), "sm-number")
                _cell(_count(p.get("lag")), "sm-number")
                _cell(_time(None if p.get("watermark_ms") is None else rfc3339(p["watermark_ms"])))
                _cell("idle" if p.get("idle") else "")


def _pairs(rows: Mapping[str, Mapping[str, int]], titles: Sequence[str], empty: str) -> None:
    if not rows:
        _soft(empty)
        return
    with _table(titles):
        for name, counts in rows.items():
            for what, n in counts.items() or [("nothing yet", 0)]:
                with ui.element("tr"):
                    _cell(name, "sm-name")
                    _cell(what)
                    _cell(f"{n:,}", "sm-number")


# -- small things


@contextmanager
def _card(title: str) -> Iterator[None]:
    with ui.element("div").classes("sm-card"):
        _heading(title, "h2")
        yield


def _heading(text: str, tag: str = "h3") -> None:
    with ui.element(tag):
        ui.label(text)


def _soft(text: str) -> None:
    ui.label(text).classes("sm-soft")


def _table(titles: Sequence[str]) -> ui.element:
    table = ui.element("table").classes("sm-table")
    with table, ui.element("tr"):
        for title in titles:
            with ui.element("th").classes("sm-number" if title in NUMBERS else ""):
                ui.label(title)
    return table


def _cell(text: str, classes: str = "") -> None:
    with ui.element("td").classes(classes):
        ui.label(text)


def _level(level: Any, text: str = "") -> None:
    known = level if level in ("ok", "warning", "drift") else "unknown"
    ui.label(text or str(level or "-")).classes(f"sm-level sm-{known}" if level else "sm-soft")


def _state(state: str, severity: str) -> None:
    colour = "unknown" if state == "resolved" else "warning" if state == "pending" or severity == "warning" else "drift"
    ui.label(state).classes(f"sm-level sm-{colour}")


def _learning(model: Mapping[str, Any]) -> str:
    progress = model.get("learning")
    if not progress:
        return ""
    if isinstance(progress, Mapping):
        return "learning what is normal: " + ", ".join(f"{k} {v}" for k, v in progress.items())
    return f"learning what is normal: {progress}"


def _time(text: Any) -> str:
    return f"{text[:10]} {text[11:19]}" if isinstance(text, str) and len(text) >= 19 else "-"


def _count(n: Any) -> str:
    return f"{n:,}" if isinstance(n, int) else "-"


def _percent(share: Any) -> str:
    return f"{100 * share:.0f} %" if isinstance(share, int | float) else "-"

"""One page in one browser: its sections, each drawn again when what it shows has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from nicegui import ui

from stream_monitor.dashboard.details import Details
from stream_monitor.dashboard.pieces import UNREAD, card, cell, count, heading, level, percent, soft, state, table, time
from stream_monitor.dashboard.views import View, Watcher, why
from stream_monitor.moments import rfc3339

STYLE: Final = Path(__file__).with_name("style.css")
EVERY_SECONDS: Final = 1.0
GROUPS: Final = ("drift", "performance", "quality", "stream", "fairness")


class Page:
    """What one browser sees, and what it has chosen to see."""

    def __init__(self, watcher: Watcher, alert: str = "") -> None:
        """`alert`: id of the one that the page was opened for, by a link in a message; "": none."""
        self._watcher = watcher
        self._alert = alert
        self._model = ""  # "": the most urgent one
        self._column = ""  # "": the worst one
        self._shown: dict[str, Any] = {}  # section -> what it was drawn from

    async def build(self) -> None:
        """Draw it, and again once a second what has changed."""
        ui.add_css(STYLE.read_text())
        with ui.element("div").classes("sm-page"):
            self._sections = {name: ui.element("div") for name in ("head", "asked", "alerts", "models")}
            self._details = Details(self._choose)
            self._sections["system"] = ui.element("div")
        await self._refresh()
        ui.timer(EVERY_SECONDS, self._refresh, immediate=False)

    async def _refresh(self) -> None:
        view = await self._watcher.view()
        if self._alert:
            asked = await self._watcher.alert(self._alert)
            if asked and "asked" not in self._shown:
                self._model = str(asked.get("model"))
            self._draw("asked", asked, lambda: _asked(self._alert, asked))
        chosen = next((m for m in view.models if m["model"] == self._model), view.models[0] if view.models else None)
        self._draw("head", (view.unready, view.error), lambda: _head(view))
        self._draw("alerts", (view.alerts, view.known), lambda: self._alerts(view.alerts, known=view.known))
        name = chosen["model"] if chosen else ""
        shown = (view.models, name, view.known)
        self._draw("models", shown, lambda: self._models(view.models, name, known=view.known))
        if self._shown.get("of") != (chosen, self._column):
            detail = await self._watcher.detail(chosen, self._column) if chosen else None
            if detail is None or detail.known:  # else it is asked for again
                self._shown["of"] = (chosen, self._column)
            if self._shown.get("detail") != detail:
                self._shown["detail"] = detail
                self._details.draw(detail)
        system = {k: v for k, v in view.status.items() if k != "at"}
        self._draw("system", (system, bool(view.unready), view.known), lambda: _system(view.status, known=view.known))

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

    def _alerts(self, alerts: Sequence[Mapping[str, Any]], *, known: bool) -> None:
        firing = sum(a.get("state") in ("firing", "acknowledged") for a in alerts)
        ui.page_title(f"({firing}) stream-monitor" if firing else "stream-monitor")
        with card("Alerts" if not firing else f"Alerts: {firing} firing"):
            if not known:
                soft(UNREAD)
                return
            if not alerts:
                soft("No alert so far: nothing needs you.")
                return
            titles = ["state", "model", "version", "segment", "group", "since", "why"]
            with table(titles).classes("sm-rows-click"):
                for a in alerts:
                    name = str(a.get("model"))
                    with ui.element("tr").on("click", lambda name=name: self._choose(name)):
                        with ui.element("td"):
                            state(str(a.get("state")), str(a.get("severity")))
                        cell(str(a.get("model")), "sm-name")
                        cell(str(a.get("version") or "-"))
                        cell(str(a.get("segment") or "-"))
                        cell(str(a.get("group") or "-"))
                        cell(time(a.get("started_at")))
                        cell(why(a), "sm-wide")

    def _models(self, models: Sequence[Mapping[str, Any]], chosen: str, *, known: bool) -> None:
        with card("Models"):
            if not known:
                soft(UNREAD)
                return
            if not models:
                soft(
                    "No model yet. `stream-monitor check monitor.yaml --connect` says whether the topics that it names "
                    "can be read; a model appears here as soon as it is in the file."
                )
                return
            groups = [g for g in GROUPS if any(g in m["levels"] for m in models)]
            with table(["model", *groups, "versions", "last window", "its rows", "labelled", "alerts"]).classes(
                "sm-rows-click"
            ):
                for m in models:
                    name = m["model"]
                    row = ui.element("tr").on("click", lambda name=name: self._choose(name))
                    with row.classes("sm-chosen" if name == chosen else ""):
                        cell(name, "sm-name")
                        for group in groups:
                            with ui.element("td"):
                                level(m["levels"].get(group))
                        cell(", ".join(str(v.get("version") or "-") for v in m["versions"][-3:]) or "-")
                        last = m["last_window"] or {}
                        cell(time(last.get("end")))
                        cell(count(last.get("rows")), "sm-number")
                        cell(percent(m["label_coverage"]), "sm-number")
                        cell(str(len(m["firing"]) or "-"), "sm-number")


def _head(view: View) -> None:
    with ui.element("div").classes("sm-head"):
        ui.label("stream-monitor").classes("sm-title")
        ready = not view.unready and not view.error
        ui.label("working" if ready else "NOT WORKING").classes(f"sm-level {'sm-ok' if ready else 'sm-drift'}")
        soft("times are UTC")
        with ui.element("span").classes("sm-push"):
            ui.link("API", "/docs")
            ui.label(" · ").style("display: inline")
            ui.link("metrics", "/metrics")
    reasons = [*([view.error] if view.error else []), *view.unready]
    if reasons:
        with ui.element("div").classes("sm-card sm-banner"):
            heading("The service cannot do its work: what is shown below may be old", "h2")
            for reason in reasons:
                ui.label(reason)


def _asked(id: str, alert: Mapping[str, Any] | None) -> None:
    with card(f"Alert {id}"):
        if not alert:
            soft(UNREAD if alert is None else "There is no such alert, or none any more.")
            return
        with ui.element("p"):
            state(str(alert.get("state")), str(alert.get("severity")))
        parts = [f"{name} {alert[name]}" for name in ("model", "version", "segment", "group") if alert.get(name)]
        ui.label(", ".join(parts))
        ui.label(why(alert))
        with table(["at", "from", "to", "reason", "by"]):
            for step in alert.get("transitions") or ():
                with ui.element("tr"):
                    cell(time(step.get("at")))
                    for name in ("from", "to", "reason", "by"):
                        cell(str(step.get(name) or ""), "sm-wide" if name == "reason" else "")


def _system(status: Mapping[str, Any], *, known: bool) -> None:
    if not known:
        with card("Service"):
            soft(UNREAD)
        return
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
    with card("Service"):
        with ui.element("div").classes("sm-facts"):
            for name, n in facts.items():
                with ui.element("div").classes("sm-fact"):
                    ui.label(name).classes("sm-soft")
                    with ui.element("b"):
                        ui.label(f"{n:,}")
        with ui.element("div").classes("sm-columns"):
            with ui.element("div"):
                heading("Source partitions")
                _partitions(status)
            with ui.element("div"):
                heading("Deliveries")
                _pairs(
                    status.get("sinks", {}),
                    ["to", "outcome", "count"],
                    "No sink is configured: alerts go nowhere but here.",
                )
                if dead:
                    heading("Dead letters")
                    _pairs(status["dead_letters"], ["topic", "reason", "events"], "")
        if status.get("notes"):
            heading("What is not guaranteed")
            for note in status["notes"]:
                soft(note)


def _partitions(status: Mapping[str, Any]) -> None:
    partitions = status.get("partitions", ())
    if not partitions:
        soft("No tap has a partition. Is `stream-monitor tap` (or `run`) running, and do the topics exist?")
        return
    with table(["topic", "partition", "behind", "read up to", "idle"]):
        for p in partitions[:100]:
            with ui.element("tr"):
                cell(str(p["topic"]), "sm-name")
                cell(str(p["partition"]), "sm-number")
                cell(count(p.get("lag")), "sm-number")
                cell(time(None if p.get("watermark_ms") is None else rfc3339(p["watermark_ms"])))
                cell("idle" if p.get("idle") else "")


def _pairs(rows: Mapping[str, Mapping[str, int]], titles: Sequence[str], empty: str) -> None:
    if not rows:
        soft(empty)
        return
    with table(titles):
        for name, counts in rows.items():
            for what, n in counts.items() or [("nothing yet", 0)]:
                with ui.element("tr"):
                    cell(name, "sm-name")
                    cell(what)
                    cell(f"{n:,}", "sm-number")

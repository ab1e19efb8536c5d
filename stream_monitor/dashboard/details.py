"""One model on the page: its worst columns, one column against the reference, its last windows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from nicegui import ui

from stream_monitor.dashboard.charts import bars, line
from stream_monitor.dashboard.pieces import UNREAD, cell, count, heading, level, soft, table, time
from stream_monitor.dashboard.views import Detail, worst_level
from stream_monitor.figures import figure

MOST_COLUMN_BUTTONS: Final = 30

Choose = Callable[[str, str], Awaitable[None]]  # a model and one of its columns


class Details:
    """The section of the chosen model. Its charts stay and change in place, all else is drawn again."""

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        with ui.element("div").classes("sm-card") as self._card:
            with ui.element("h2"):
                self._name = ui.label("")
            self._told = ui.element("div")
            with ui.element("div").classes("sm-columns"):
                with ui.element("div"):
                    self._worst = ui.element("div")
                    self._bars = _Chart()
                    self._buttons = ui.element("div")
                    self._history = _Chart()
                with ui.element("div"):
                    heading("Last windows")
                    self._windows = ui.element("div")
        self._card.set_visibility(False)

    def draw(self, detail: Detail | None) -> None:
        """Show it; nothing if there is no model."""
        self._card.set_visibility(detail is not None)
        if detail is None:
            return
        model = detail.model
        self._name.text = str(model["model"])
        with _again(self._told):
            waiting = (model.get("retrain") or {}).get("waiting")
            for told in (_learning(model), model.get("note"), f"A retrain request waits: {waiting}" if waiting else ""):
                if told:
                    soft(str(told))
        with _again(self._worst):
            heading("Worst columns")
            _worst(model["worst"])
            _segments(model["breakdown"])
        about = f"{detail.column}: {detail.compared}"
        self._bars.draw(about, None if detail.comparison is None else bars(detail.comparison))
        with _again(self._buttons):
            if detail.comparison is not None:
                self._choices(detail)
        about = f"{detail.metric}: {detail.column}, window by window"
        self._history.draw(about, line(detail.history, detail.metric) if detail.history else None)
        with _again(self._windows):
            if detail.known:
                _windows(detail.windows)
            else:
                soft(UNREAD)

    def _choices(self, detail: Detail) -> None:
        """A button for each column that can be compared."""
        model = str(detail.model["model"])
        for column in detail.columns[:MOST_COLUMN_BUTTONS]:
            button = ui.element("button").classes("sm-button")
            button.classes("sm-chosen" if column == detail.column else "")
            button.on("click", lambda column=column: self._choose(model, column))
            with button:
                ui.label(column)


class _Chart:
    """A chart under its heading. Why never anew: a browser that has not yet drawn one fails to take it away."""

    def __init__(self) -> None:
        self._chart: ui.echart | None = None
        with ui.element("div").classes("sm-gone") as self._place, ui.element("h3"):
            self._title = ui.label("")

    def draw(self, title: str, options: dict[str, Any] | None) -> None:
        """Show it; nothing without options."""
        if options is None:
            self._place.classes("sm-gone")
            return
        self._place.classes(remove="sm-gone")
        self._title.text = title
        if self._chart is None:
            with self._place:
                self._chart = ui.echart(options, renderer="svg").classes("sm-chart")
            return
        self._chart.options.clear()
        self._chart.options.update(options)
        self._chart.update()


def _again(place: ui.element) -> ui.element:
    """The place, empty."""
    place.clear()
    return place


def _worst(worst: Sequence[Mapping[str, Any]]) -> None:
    if not worst:
        soft("No column is past its threshold.")
        return
    with table(["column", "metric", "value", "threshold", "level", "segment"]):
        for w in worst:
            with ui.element("tr"):
                cell(str(w.get("column") or "whole model"), "sm-name")
                cell(str(w.get("metric") or ""))
                cell(figure(w.get("value")), "sm-number")
                cell(figure(w.get("threshold")), "sm-number")
                with ui.element("td"):
                    level(w.get("level"))
                cell(str(w.get("segment") or ""))


def _segments(breakdown: Sequence[Mapping[str, Any]]) -> None:
    notable = [b for b in breakdown if worst_level(b.get("levels") or {}) in ("drift", "warning")][:8]
    if not notable or len(breakdown) < 2:
        return
    heading("Where")
    with table(["version", "segment", "level"]):
        for b in notable:
            with ui.element("tr"):
                cell(str(b.get("version") or "-"))
                cell(str(b.get("segment")))
                with ui.element("td"):
                    for group, its in b["levels"].items():
                        if its in ("drift", "warning"):
                            level(its, f"{group}: {its}")


def _windows(windows: Sequence[Mapping[str, Any]]) -> None:
    if not windows:
        soft("No window has closed yet. One closes when events later than its end have come on every partition.")
        return
    with table(["from", "to", "rows", "labels", "late", "revision"]):
        for w in windows:
            with ui.element("tr"):
                cell(time(w.get("start")))
                cell(time(w.get("end")))
                cell(count(w.get("rows")), "sm-number")
                cell(count(w.get("labels")), "sm-number")
                cell(count(w.get("late_rows")), "sm-number")
                cell(str(w.get("revision", "")), "sm-number")


def _learning(model: Mapping[str, Any]) -> str:
    progress = model.get("learning")
    if not progress:
        return ""
    if isinstance(progress, Mapping):
        return "learning what is normal: " + ", ".join(f"{k} {v}" for k, v in progress.items())
    return f"learning what is normal: {progress}"

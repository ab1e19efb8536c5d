"""What is looked at when a chapter of the story ends, and what the story is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.servers import wait_until
from tests.system.stage import Stage

QUIET, DRIFT, AFTER = range(7), range(7, 12), range(12, 19)  # minutes; the last of each closes in the next
TOLD = {(segment, group) for segment in ("all", "country=de") for group in ("drift", "performance")}
FIRED = TOLD | {("country=fr", "drift"), ("country=fr", "performance")}
OK = {"drift": "ok", "performance": "ok", "quality": "ok", "stream": "ok"}
NAMES = {"drift": "ModelDrift", "performance": "ModelPerformance"}
NUMBERS = {"ok": 0, "warning": 1, "drift": 2, "unknown": -1}
COMPARED = ("events_total", "level", "alerts_firing", "dead_letters_total", "retrain_requests_total")

NOTHING_TO_SHOW = ("panel Late events A", "panel Alerts firing, by group A")  # at the end of this story

Series = dict[str, dict[tuple[str, ...], float]]  # metric -> values of its labels, in the order of their names


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """What the API, Alertmanager, Prometheus and the page said at the end of a chapter."""

    model: dict[str, Any]
    alerts: dict[tuple[str, str], dict[str, Any]]  # by segment and group
    active: list[dict[str, Any]]
    groups: list[dict[str, Any]]
    served: Series
    scraped: Series
    page: str
    row: list[str]  # of the model, on the page


def served(stage: Stage) -> Series:
    """What Prometheus must know, from the API."""
    model, status = stage.get("/v1/models/fraud"), stage.get("/v1/status")
    firing = [a for a in stage.items("/v1/alerts") if a["state"] in ("firing", "acknowledged")]
    levels: dict[tuple[str, ...], float] = {
        (group, "fraud", b["segment"], b["version"]): float(NUMBERS[level])
        for b in model["breakdown"]
        for group, level in b["levels"].items()
    }
    asked = len(stage.items("/v1/models/fraud/retrain-requests"))
    return {
        "events_total": {("fraud", v): n for v, n in status["events"]["fraud"].items()},
        "level": levels,
        "alerts_firing": {(g, "fraud"): sum(a["group"] == g for a in firing) for g in {a["group"] for a in firing}},
        "dead_letters_total": {(r, t): n for t, of in status["dead_letters"].items() for r, n in of.items()},
        "retrain_requests_total": {("fraud",): asked} if asked else {},
    }


def scraped(stage: Stage) -> Series:
    """What Prometheus says; a gauge of 0 alerts is none."""
    found = {name: stage.query(f"stream_monitor_{name}") for name in COMPARED}
    return {
        name: {tuple(v for _, v in sorted(labels.items())): n for labels, n in series if n or name != "alerts_firing"}
        for name, series in found.items()
    }


def look(stage: Stage, name: str) -> Chapter:
    """Once Prometheus and the page have caught up, or have had the time to."""

    def caught_up() -> bool:
        last = stage.get("/v1/models/fraud")["last_window"]["end"]
        return served(stage) == scraped(stage) and last[11:19] in " ".join(stage.page.row("Models", "fraud"))

    try:
        wait_until(caught_up, 20, every=0.3)
    except AssertionError:
        pass  # the tests say what is wrong
    stage.page.picture(name)
    return Chapter(
        model=stage.get("/v1/models/fraud"),
        alerts=stage.alerts(),
        active=stage.active(),
        groups=stage.grouped(),
        served=served(stage),
        scraped=scraped(stage),
        page=stage.page.text(),
        row=stage.page.row("Models", "fraud"),
    )

"""Small things that the page is drawn of. Every text goes through `ui.label`, which the browser shows as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from nicegui import ui

UNREAD: Final = "Not known: the status store cannot be read."
NUMBERS: Final = frozenset(  # titles of columns of numbers
    {
        "its rows", "labelled", "alerts", "value", "threshold", "rows", "labels", "late", "revision", "partition",
        "behind", "count", "events",
    }
)  # fmt: skip


@contextmanager
def card(title: str) -> Iterator[None]:
    """A card; what is drawn within stands in it."""
    with ui.element("div").classes("sm-card"):
        heading(title, "h2")
        yield


def heading(text: str, tag: str = "h3") -> None:
    """A heading."""
    with ui.element(tag):
        ui.label(text)


def soft(text: str) -> None:
    """A remark."""
    ui.label(text).classes("sm-soft")


def table(titles: Sequence[str]) -> ui.element:
    """A table with these titles; its rows are drawn within."""
    drawn = ui.element("table").classes("sm-table")
    with drawn, ui.element("tr"):
        for title in titles:
            with ui.element("th").classes("sm-number" if title in NUMBERS else ""):
                ui.label(title)
    return drawn


def cell(text: str, classes: str = "") -> None:
    """A cell of a row."""
    with ui.element("td").classes(classes):
        ui.label(text)


def level(level: Any, text: str = "") -> None:
    """A level in its colour."""
    known = level if level in ("ok", "warning", "drift") else "unknown"
    ui.label(text or str(level or "-")).classes(f"sm-level sm-{known}" if level else "sm-soft")


def state(state: str, severity: str) -> None:
    """The state of an alert in its colour."""
    colour = "unknown" if state == "resolved" else "warning" if state == "pending" or severity == "warning" else "drift"
    ui.label(state).classes(f"sm-level sm-{colour}")


def time(text: Any) -> str:
    """An instant to the second; "-" where there is none."""
    return f"{text[:10]} {text[11:19]}" if isinstance(text, str) and len(text) >= 19 else "-"


def count(n: Any) -> str:
    """A count; "-" where there is none."""
    return f"{n:,}" if isinstance(n, int) else "-"


def percent(share: Any) -> str:
    """A share; "-" where there is none."""
    return f"{100 * share:.0f} %" if isinstance(share, int | float) else "-"

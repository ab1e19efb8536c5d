"""`stream-monitor status`: what the API says of the models, as a table in the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import httpx
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from stream_monitor.errors import Unreachable
from stream_monitor.figures import figure

STYLES: Final = {"ok": "green", "warning": "yellow", "drift": "bold red", "unknown": "dim"}

MOST_ALERTS: Final = 10  # shown of a model

Body = Mapping[str, Any]


def fetch(url: str, path: str, key: str = "") -> Any:
    """The JSON at `path`; Unreachable with the reason otherwise."""
    return _asked("GET", url, path, key, None)


def send(url: str, path: str, body: Any, key: str = "") -> Any:
    """The JSON that comes back for it; Unreachable with the reason otherwise."""
    return _asked("POST", url, path, key, body)


def _asked(method: str, url: str, path: str, key: str, sent: Any) -> Any:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.request(
            method, f"{url.rstrip('/')}{path}", json=sent, headers=headers, timeout=20, trust_env=False
        )
        body = answer.json()
    except httpx.InvalidURL as error:
        raise Unreachable(f"{url}: {error}") from error
    except httpx.HTTPError as error:
        raise Unreachable(f"{url} does not answer ({type(error).__name__}); is the api running?") from error
    except ValueError as error:
        raise Unreachable(f"{url}{path} does not speak JSON (HTTP {answer.status_code})") from error
    if not answer.is_success:
        said = body.get("detail") or body.get("title") if isinstance(body, Mapping) else None
        hint = " (--key-env names the variable that has it)" if answer.status_code == 401 else ""
        raise Unreachable(f"{url}{path}: HTTP {answer.status_code}{': ' + str(said) if said else ''}{hint}")
    return body


def models(url: str, key: str = "") -> list[Body]:
    """All models, through all pages."""
    found: list[Body] = []
    cursor: str | None = ""
    while cursor is not None:
        page = fetch(url, f"/v1/models?cursor={quote(cursor, safe='')}" if cursor else "/v1/models", key)
        found += page["items"]
        cursor = page.get("next")
    return found


def overview(items: Sequence[Body]) -> Table:
    """One line a model: its level per group, the rows and the alerts."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    groups = sorted({g for m in items for g in m.get("levels") or {}})
    for name in ("model", "versions", *groups, "last window", "rows", "labels", "firing"):
        table.add_column(name, justify="right" if name in ("rows", "labels", "firing") else "left")
    for m in items:
        last = m.get("last_window") or {}
        coverage = m.get("label_coverage")
        table.add_row(
            str(m.get("model", "")),
            ", ".join(map(_name, m.get("versions") or ())) or "-",
            *(_level((m.get("levels") or {}).get(g)) for g in groups),
            str(last.get("end") or "-"),
            f"{last.get('rows', 0):,}" if last else "-",
            f"{coverage:.0%}" if isinstance(coverage, int | float) else "-",
            str(len(m.get("firing") or ())),
        )
    return table


def detail(m: Body, alerts: Sequence[Body]) -> Group:
    """One model: the same line, then its worst columns and its firing alerts."""
    worst = Table(box=None, pad_edge=False, header_style="bold", title="worst columns", title_justify="left")
    for name in ("group", "column", "metric", "value", "threshold", "level"):
        worst.add_column(name)
    for w in m.get("worst") or ():
        worst.add_row(
            *(str(w.get(k) or "-") for k in ("group", "column", "metric")),
            figure(w.get("value")),
            figure(w.get("threshold")),
            _level(w.get("level")),
        )
    firing = Table(box=None, pad_edge=False, header_style="bold", title="firing alerts", title_justify="left")
    for name in ("group", "version", "segment", "since", "reason"):
        firing.add_column(name, overflow="fold")
    for a in alerts:
        firing.add_row(*(str(a.get(k) or "-") for k in ("group", "version", "segment", "started_at", "reason")))
    parts: list[Table | Text] = [overview([m])]
    parts += [Text(f"\n{m['learning']}")] if m.get("learning") else []
    parts += [Text(""), worst] if worst.row_count else []
    parts += [Text(""), firing] if firing.row_count else []
    return Group(*parts)


def show(url: str, model: str | None, *, as_json: bool, key: str, console: Console) -> None:
    """Print what was asked for."""
    if model is not None:
        one = fetch(url, f"/v1/models/{quote(model, safe='')}", key)
        if as_json:
            console.file.write(json.dumps(one) + "\n")
            return
        alerts = [fetch(url, f"/v1/alerts/{quote(id, safe='')}", key) for id in (one.get("firing") or [])[:MOST_ALERTS]]
        console.print(detail(one, alerts))
        return
    items = models(url, key)
    if as_json:
        console.file.write(json.dumps({"items": items}) + "\n")
    elif not items:
        console.print("no model has been seen yet")
    else:
        console.print(overview(items))


def _name(version: Any) -> str:
    name = version.get("version") if isinstance(version, Mapping) else version
    return str(name) or "-"


def _level(level: Any) -> Text:
    return Text(str(level or "-"), style=STYLES.get(str(level), ""))

"""What the demo shows at its end, read back from the service's API alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

Get = Callable[[str], Any]


def everything(get: Get, path: str) -> list[dict[str, Any]]:
    """All items of a paged list."""
    items: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = get(f"{path}{'&' if '?' in path else '?'}limit=1000" + (f"&cursor={cursor}" if cursor else ""))
        items += page["items"]
        cursor = page["next"]
    return items


def fired(alert: dict[str, Any]) -> bool:
    """Whether it was ever more than pending."""
    return any(t["to"] == "firing" for t in alert["transitions"])


def print_summary(get: Get, models: Iterable[str], console: Console) -> None:
    """A table of what happened to each model."""
    alerts = [a for a in everything(get, "/v1/alerts") if fired(a)]
    totals = Table(title="what was seen")
    for heading in ("model", "windows", "verdicts", "of them drift", "alerts fired", "resolved", "retrain requests"):
        totals.add_column(heading, justify="left" if heading == "model" else "right")
    for model in models:
        verdicts = everything(get, f"/v1/models/{model}/verdicts")
        own = [a for a in alerts if a["model"] == model]
        totals.add_row(
            model,
            str(len(everything(get, f"/v1/models/{model}/windows"))),
            str(len(verdicts)),
            str(sum(v["level"] == "drift" for v in verdicts)),
            str(len(own)),
            str(sum(a["state"] == "resolved" for a in own)),
            str(len(everything(get, f"/v1/models/{model}/retrain-requests"))),
        )
    console.print(totals)
    told = Table(title="alerts")
    for heading in ("model", "version", "group", "state", "onset", "resolved", "worst", "reason"):
        told.add_column(heading)
    for alert in alerts:
        worst = alert["worst"][0] if alert["worst"] else {}
        told.add_row(
            alert["model"],
            alert["version"],
            alert["group"],
            alert["state"],
            (alert["onset"] or "")[:10],
            (alert["resolved_at"] or "")[:10],
            f"{worst.get('column') or ''} {worst.get('metric') or ''}".strip(),
            alert["reason"],
        )
    console.print(told)


def missing(get: Get, newest: Mapping[str, int]) -> list[str]:
    """What should have been seen of each model and was not; `newest` is the last version that was trained of each."""
    alerts = everything(get, "/v1/alerts")
    gaps = []
    for model, version in newest.items():
        own = [a for a in alerts if a["model"] == model]
        if not everything(get, f"/v1/models/{model}/verdicts"):
            gaps.append(f"a verdict for {model}")
        if not any(fired(a) for a in own):
            gaps.append(f"an alert for {model} that fired")
        if not any(fired(a) and a["state"] == "resolved" for a in own):
            gaps.append(f"an alert for {model} that was resolved")
        if not everything(get, f"/v1/models/{model}/retrain-requests"):
            gaps.append(f"a retrain request for {model}")
        gaps += [
            f"the end of the {a['group']} alert of {model}'s version {a['version']}, which version {version} replaced"
            for a in own
            if a["state"] in ("firing", "acknowledged") and int(a["version"]) < version
        ]
    return gaps

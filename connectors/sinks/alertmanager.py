"""Prometheus Alertmanager, API v2.

Alertmanager keeps state, not messages: an alert is its labels, and it stays while it is sent again. Why startsAt is
never after the present: event times may be ahead of the clock, and an alert that ends before it starts is refused. Why
one alert a request: a batch with one bad alert answers 400 although the good ones were taken.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import msgspec

from connectors.posts import Poster, checked_url
from stream_monitor.config import SECRET
from stream_monitor.deliveries.wordings import alert_labels, instant, worst_lines
from stream_monitor.errors import DeliveryError
from stream_monitor.interfaces import Notice

RESEND_SECONDS: Final = 60.0
STAYS: Final = timedelta(minutes=4)  # after the last message, should this service vanish
LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
MOST_ANNOTATION_CHARACTERS: Final = 4_000
NEVER: Final = (400, 413)


@dataclass(kw_only=True)
class Alertmanager:
    """Send alerts to Alertmanager (v2): every minute while firing, resolved explicitly. `url` may list all members.

    Labels: alertname, model, version, segment, severity, and the model's own. Sending again changes nothing. One member
    that takes it is enough; the others get it with the next resend.
    """

    url: str | Sequence[str] = field(repr=False, metadata=SECRET)
    link: str = ""  # where people reach this service's page, e.g. https://monitor.example.org
    timeout_seconds: float = 10.0

    def __post_init__(self) -> None:
        self._urls = (self.url,) if isinstance(self.url, str) else tuple(self.url)
        if not self._urls:
            raise ValueError("url: at least one address is needed")
        for url in self._urls:
            checked_url(url)
        self.resend_seconds = RESEND_SECONDS
        self.clock: Callable[[], float] = time.time  # seconds since 1970
        self._poster = Poster(self.timeout_seconds)

    async def deliver(self, notice: Notice) -> None:
        """Send the alert's present state to every member."""
        alert = alert_of(notice.body, datetime.fromtimestamp(self.clock(), UTC), self.link)
        body = msgspec.json.encode([alert])
        failures = [error for error in await asyncio.gather(*(self._post(u, body) for u in self._urls)) if error]
        if len(failures) == len(self._urls):
            raise failures[0]

    async def ping(self) -> None:
        """Raise DeliveryError if a member cannot be reached."""
        await asyncio.gather(*(self._poster.reach(f"{url.rstrip('/')}/-/ready") for url in self._urls))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._poster.close()

    async def _post(self, url: str, body: bytes) -> DeliveryError | None:
        try:
            await self._poster.post(
                f"{url.rstrip('/')}/api/v2/alerts",
                body,
                {"content-type": "application/json"},
                never=NEVER,
                show_answer=True,
            )
        except DeliveryError as error:
            return error
        return None


def alert_of(body: Mapping[str, Any], now: datetime, link: str = "") -> dict[str, Any]:
    """The alert as the v2 API takes it. A permanent DeliveryError names a label that Alertmanager would refuse.

    >>> body = {"id": "a1", "model": "fraud", "group": "drift", "state": "firing", "started_at": "2026-01-01T00:00:00Z"}
    >>> alert_of(body, datetime(2026, 1, 1, 1, tzinfo=UTC))["endsAt"]
    '2026-01-01T01:04:00Z'
    """
    labels = {name: value for name, value in alert_labels(body).items() if value}  # an empty value is no label
    for name in labels:
        if not LABEL_NAME.fullmatch(name):
            raise DeliveryError(f"alerts.labels: {name!r} is no label name for Alertmanager", permanent=True)
    starts = min(instant(body.get("started_at")) or now, now)
    if body["state"] == "resolved":
        ends = max(starts, min(instant(body.get("resolved_at")) or now, now))
    else:
        ends = now + STAYS
    alert = {"labels": labels, "annotations": _annotations(body), "startsAt": _text(starts), "endsAt": _text(ends)}
    if link:
        alert["generatorURL"] = f"{link.rstrip('/')}/?alert={quote(str(body['id']))}"
    return alert


def _annotations(body: Mapping[str, Any]) -> dict[str, str]:
    given = {k: v for k, v in (body.get("annotations") or {}).items() if LABEL_NAME.fullmatch(k)}
    ours = {
        "reason": body.get("reason"),
        "worst": "\n".join(worst_lines(body, 10)),
        "alert_id": body["id"],
        **{name: body.get(name) for name in ("group", "state", "onset", "updated_at")},
    }
    return {k: str(v)[:MOST_ANNOTATION_CHARACTERS] for k, v in {**ours, **given}.items() if v}


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00").removesuffix(".000") + "Z"

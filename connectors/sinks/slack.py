"""Slack, by an incoming webhook.

Limits of the other side: 50 blocks, 3,000 characters a section, one message a second (then 429 with Retry-After).
Columns, categories and reasons come from the traffic of strangers: &, < and > are escaped and Slack is told to make
nothing of plain text (`verbatim`), so that nobody can call @channel or have a link made from an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import msgspec

from connectors.posts import Poster, checked_url
from stream_monitor.config import SECRET
from stream_monitor.deliveries.wordings import alert_name, lasted, short_time, worst_lines
from stream_monitor.interfaces import Notice

MOST_SECTION_CHARACTERS: Final = 3_000
MOST_WORST: Final = 8
SIGNS: Final = {"firing": ":red_circle:", "acknowledged": ":eyes:", "resolved": ":large_green_circle:"}
NEVER: Final = (400, 413)  # what is malformed today is malformed tomorrow

_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


@dataclass(kw_only=True)
class Slack:
    """Write to a Slack channel when an alert fires, is acknowledged or resolves. `url` is an incoming webhook.

    At least once: after a lost answer a message can appear twice.
    """

    url: str = field(repr=False, metadata=SECRET)
    link: str = ""  # where people reach this service's page, e.g. https://monitor.example.org
    timeout_seconds: float = 10.0

    def __post_init__(self) -> None:
        checked_url(self.url)
        self.resend_seconds = 0.0
        self._poster = Poster(self.timeout_seconds)

    async def deliver(self, notice: Notice) -> None:
        """Post one message."""
        body = msgspec.json.encode(message_of(notice.body, link=self.link, late=notice.attempts > 0 or notice.held))
        await self._poster.post(self.url, body, {"content-type": "application/json"}, never=NEVER)

    async def ping(self) -> None:
        """Raise DeliveryError if nobody answers there; writes nothing."""
        await self._poster.reach(self.url)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._poster.close()


def escaped(text: str, most: int = MOST_SECTION_CHARACTERS) -> str:
    """The text with &, < and > escaped, cut to `most` characters but never inside an escape.

    >>> escaped("a<b & <!channel>"), escaped("<<<", 9)
    ('a&lt;b &amp; &lt;!channel&gt;', '&lt;&lt;…')
    """
    pieces = [_ESCAPES.get(c, c) for c in text]
    if sum(map(len, pieces)) <= most:
        return "".join(pieces)
    cut, room = [], most - 1
    for piece in pieces:
        if len(piece) > room:
            break
        cut.append(piece)
        room -= len(piece)
    return "".join(cut) + "…"


def message_of(body: Mapping[str, Any], *, link: str = "", late: bool = False) -> dict[str, Any]:
    """The message: what, since when, how bad, the worst columns, and where to look. `late`: it was held up."""
    state = str(body["state"])
    where = [str(body["model"])]
    if body.get("version"):
        where.append(f"version {body['version']}")
    if body.get("segment") not in (None, "", "all"):
        where.append(f"segment {body['segment']}")
    title = f"{state.upper()}  {alert_name(body)}  {' · '.join(where)}"
    facts = [
        f"*Severity* {escaped(str(body.get('severity') or 'not set'), 50)}",
        f"*Since* {short_time(body.get('onset') or body.get('started_at'))}",
    ]
    if state == "resolved":
        facts.append(f"*Resolved* {short_time(body.get('resolved_at'))}{lasted(body)}")
    if late:
        facts.append(f"*Delivered late*: this was at {short_time(body.get('updated_at'))}")
    sections = [f"{SIGNS.get(state, ':bell:')} *{escaped(title, 500)}*", "   ".join(facts)]
    if body.get("reason"):
        sections.append(escaped(str(body["reason"]), 1_500))
    worst = worst_lines(body, MOST_WORST) if state != "resolved" else []
    if worst:
        sections.append("*Worst*\n" + "\n".join(f"• {escaped(line, 300)}" for line in worst))
    links = _links(body, link)
    blocks: list[dict[str, Any]] = [_section(text) for text in sections]
    blocks.append({"type": "context", "elements": [_text("   ".join(links))]})
    return {"text": escaped(f"{title}: {body.get('reason') or ''}", 500), "blocks": blocks}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _text(text[:MOST_SECTION_CHARACTERS])}


def _text(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _links(body: Mapping[str, Any], link: str) -> list[str]:
    found = []
    annotations = body.get("annotations") or {}
    runbook = str(annotations.get("runbook") or annotations.get("runbook_url") or "")
    if runbook.startswith(("https://", "http://")):
        found.append(f"<{escaped(runbook, 1_000).replace('|', '%7C')}|Runbook>")
    if link:
        found.append(f"<{link.rstrip('/')}/?alert={quote(str(body['id']))}|Open the page>")
    found.append(f"alert `{escaped(str(body['id']), 100)}`")
    return found

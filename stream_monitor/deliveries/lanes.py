"""One target's notices: what is decided for each when its turn comes, and in which order they go.

Why a lane per target: a sink that takes its whole deadline for every request holds up nobody but itself. What a lane
has not come to before its lease ends is left alone and claimed anew, so nothing is in two hands at once. Notices of
one alert stay in order at a target while earlier ones are tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from stream_monitor.deliveries.notices import (
    Identity,
    Silence,
    after_failure,
    decide,
    held,
    newest_of,
    resends,
    silences_of,
)
from stream_monitor.deliveries.wordings import Alert
from stream_monitor.errors import DeliveryError
from stream_monitor.interfaces import Notice, Outbox, Sink, StatusStore, Trigger
from stream_monitor.troubles import said

LEASE_MS: Final = 120_000
LANE_NOTICES: Final = 50  # in one lane at most; the rest is claimed later
VIEW_MS: Final = 5_000  # how old what is known of silences and alerts may be
LINE_MS: Final = LEASE_MS  # how long one waits for the first in line, which another process may have taken meanwhile
MOST_LINES: Final = 1_000
PAGE: Final = 500

log = logging.getLogger(__name__)

DeliveryOutcome = Literal["delivered", "failed", "given_up", "held", "dropped", "resent", "resend_failed"]
Clock = Callable[[], int]  # epoch ms
Count = Callable[[str, DeliveryOutcome], None]  # (sink, outcome) -> deliveries_total
Undeliverable = Callable[[Notice, str], Awaitable[None]]  # publish to dead-letters; returns once acknowledged


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Silences and the newest alert of each identity, as the status store had them at `at_ms`."""

    silences: Sequence[Silence] = ()
    newest: Mapping[Identity, Alert] = field(default_factory=dict)
    at_ms: int = -VIEW_MS


async def read_view(store: StatusStore, now_ms: int) -> View:
    """What the store knows of alerts and silences."""
    alerts = [msgspec.json.decode(body) for body in await _bodies(store, "alert")]
    silences = silences_of(await _bodies(store, "silence"))
    return View(silences=silences, newest=newest_of(alerts), at_ms=now_ms)


async def _bodies(store: StatusStore, kind: str) -> list[bytes]:
    found: list[bytes] = []
    for scope in await store.scopes(kind):
        after = ""
        while True:
            page = await store.page(kind, scope, after=after, limit=PAGE)
            found.extend(d.body for d in page)
            if len(page) < PAGE:
                break
            after = f"{page[-1].order}\x00{page[-1].id}"
    return found


class Desk:
    """What the lanes share: the outbox, the counts, and what is known of silences and alerts."""

    def __init__(
        self, outbox: Outbox, store: StatusStore, *, clock: Clock, count: Count, undeliverable: Undeliverable
    ) -> None:
        self.outbox = outbox
        self.clock = clock
        self.count = count
        self._store = store
        self._undeliverable = undeliverable
        self._view = View()

    async def view(self) -> View:
        """At most VIEW_MS old; an older one while the store is away: a repeated alert is better than none."""
        now_ms = self.clock()
        if not 0 <= now_ms - self._view.at_ms < VIEW_MS:
            try:
                self._view = await read_view(self._store, now_ms)
            except Exception as error:
                log.warning("silences and alerts cannot be read: %s", said(error))
        return self._view

    async def settle(self, notice: Notice, target: Sink | Trigger) -> Failure | None:
        """Decide, and deliver if that is the decision; the failure, if it was one."""
        now_ms = self.clock()
        view = await self.view()
        tells_states = getattr(target, "resend_seconds", 0.0) > 0
        decision = decide(notice, now_ms, silences=view.silences, newest=view.newest, tells_states=tells_states)
        if decision.action == "hold":
            await self.outbox.retry(held(notice, decision.due_ms), decision.due_ms)
            self.count(notice.target, "held")
            return None
        if decision.action == "drop":
            await self.outbox.done(notice)
            self.count(notice.target, "dropped")
            return None
        error = await attempt(notice, target)
        if error is not None:
            return await self.failed(notice, error)
        await self.outbox.done(notice)
        self.count(notice.target, "delivered")
        return None

    async def postpone(self, notice: Notice, due_ms: int) -> None:
        """Put the notice back for later without having tried it."""
        await self.outbox.retry(msgspec.structs.replace(notice, attempts=notice.attempts - 1), due_ms)

    async def failed(self, notice: Notice, error: DeliveryError) -> Failure:
        """Put the notice back for later, or into the dead letters."""
        after = after_failure(notice, error, self.clock())
        if after.due_ms is None:
            log.error("%s: %s %s is given up: %s", notice.target, notice.kind, notice.id, after.reason)
            await self._undeliverable(notice, after.reason)
            await self.outbox.done(notice)
            self.count(notice.target, "given_up")
        else:
            log.warning("%s: %s %s, attempt %d: %s", notice.target, notice.kind, notice.id, notice.attempts + 1, error)
            await self.outbox.retry(notice, after.due_ms)
            self.count(notice.target, "failed")
        return Failure(after.due_ms, error.retry_after)


async def attempt(notice: Notice, target: Sink | Trigger) -> DeliveryError | None:
    """Deliver once. A bug in a sink is a failure like any other, told by its type alone: its text may hold a secret."""
    try:
        await target.deliver(notice)
    except DeliveryError as error:
        return error
    except Exception as error:
        return DeliveryError(f"{type(error).__name__} in the sink")
    return None


@dataclass(frozen=True, slots=True)
class Failure:
    """A notice that was not taken. `due_ms`: when it is tried again, None if it was given up."""

    due_ms: int | None
    retry_after: float | None


@dataclass(frozen=True, slots=True)
class _Claimed:
    notice: Notice
    until_ms: int  # the end of the lease


@dataclass(slots=True)
class _Line:
    """An alert's notices at one target: `first` goes first; the others are behind it, the last one at `until_ms`."""

    first: str
    until_ms: int


class Lane:
    """One target's notices, one after the other, and its resends between them (never beside: a resend of `firing`
    that is under way must not overtake `resolved`)."""

    def __init__(self, name: str, target: Sink | Trigger, desk: Desk, stop: asyncio.Event) -> None:
        self._name = name
        self._target = target
        self._desk = desk
        self._stop = stop
        self._queue: asyncio.Queue[_Claimed | Literal["resend"] | None] = asyncio.Queue()
        self._resend_ms = int(getattr(target, "resend_seconds", 0.0) * 1000)
        self._next_resend_ms = 0
        self._resend_planned = False
        self._seen: Mapping[str, int | None] = {}  # of notices.resends
        self._not_before_ms = 0  # Retry-After
        self._lines: dict[str, _Line] = {}  # by alert id

    def offer(self, notice: Notice, until_ms: int) -> None:
        """Take it if there is room; otherwise its lease runs out and it is claimed again."""
        if self._queue.qsize() < LANE_NOTICES:
            self._queue.put_nowait(_Claimed(notice, until_ms))

    def plan_resend(self, now_ms: int) -> None:
        """Put a resend in line when one is due, once."""
        if self._resend_ms and now_ms >= self._next_resend_ms and not self._resend_planned:
            self._resend_planned = True
            self._next_resend_ms = now_ms + self._resend_ms
            self._queue.put_nowait("resend")

    def wake(self) -> None:
        """So that a lane with nothing to do sees `stop`."""
        self._queue.put_nowait(None)

    async def run(self) -> None:
        """Until `stop`."""
        while not self._stop.is_set():
            item = await self._queue.get()
            if item is None or self._stop.is_set():
                continue
            try:
                if item == "resend":
                    self._resend_planned = False
                    await self._resend()
                else:
                    await self._deliver(item)
            except Exception as error:  # of the store: the lease ends and the notice comes back
                log.warning("%s: %s while settling a notice", self._name, said(error))

    async def _deliver(self, claimed: _Claimed) -> None:
        notice, now_ms = claimed.notice, self._desk.clock()
        if now_ms > claimed.until_ms - LEASE_MS // 2:
            return  # too little of the lease is left to be sure of it
        alert = str(notice.body.get("id", ""))
        line = self._lines.get(alert)
        if line is not None and line.first != notice.id and now_ms < line.until_ms + LINE_MS:
            line.until_ms = max(line.until_ms, now_ms) + 1
            await self._desk.postpone(notice, line.until_ms)
            return
        if now_ms < self._not_before_ms:
            await self._desk.postpone(notice, self._not_before_ms)
            self._lines[alert] = _Line(notice.id, self._not_before_ms)
            return
        self._lines.pop(alert, None)
        failure = await self._desk.settle(notice, self._target)
        if failure is None:
            return
        if failure.retry_after:
            self._not_before_ms = self._desk.clock() + int(failure.retry_after * 1000)
        if failure.due_ms is not None:
            if len(self._lines) >= MOST_LINES:
                self._lines = {k: v for k, v in self._lines.items() if now_ms < v.until_ms + LINE_MS}
            self._lines[alert] = _Line(notice.id, failure.due_ms)

    async def _resend(self) -> None:
        now_ms = self._desk.clock()
        if now_ms < self._not_before_ms:
            return
        view = await self._desk.view()
        due, self._seen = resends(view.newest.values(), self._seen, view.silences, now_ms)
        for body in due:
            notice = Notice(id=f"{body['id']}:{now_ms}", kind="alert", target=self._name, body=body, first_ms=now_ms)
            error = await attempt(notice, self._target)
            self._desk.count(self._name, "resend_failed" if error else "resent")
            if error:
                log.warning("%s: alert %s was not sent again: %s", self._name, body["id"], error)
                return  # the next round sends them all
            if self._stop.is_set():
                return

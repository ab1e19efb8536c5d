"""The delivery loop: what waits in the outbox goes to its sink or trigger, each at its own pace.

At least once: a notice is gone from the outbox only after its target took it, or after it is in `dead-letters`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from stream_monitor.deliveries.lanes import LEASE_MS, Clock, Count, Desk, Lane, Undeliverable
from stream_monitor.deliveries.notices import alert_notices, retrain_notices
from stream_monitor.errors import DeliveryError
from stream_monitor.interfaces import Notice, Outbox, Sink, StatusStore, Trigger
from stream_monitor.troubles import Troubles, said

CLAIM_NOTICES: Final = 200
POLL_SECONDS: Final = 0.5
OUTBOX: Final = "outbox, without which no alert is delivered"
STOP_SECONDS: Final = 15.0  # for the requests under way when told to stop

log = logging.getLogger(__name__)


def into(
    outbox: Outbox, sinks: Sequence[str], triggers: Sequence[str], clock: Clock
) -> Callable[[str, str, Mapping[str, Any], tuple[str, int, int]], Awaitable[None]]:
    """A function that puts the notices of a message (its kind, ce_id, body, origin) into the outbox.

    `sinks` and `triggers` are names of targets. Verdicts become no notices.
    """

    async def put(kind: str, id: str, body: Mapping[str, Any], origin: tuple[str, int, int]) -> None:
        notices: list[Notice] = []
        if kind == "alert":
            notices = alert_notices(id, body, sinks, clock(), origin)
        elif kind == "retrain-request":
            notices = retrain_notices(id, body, triggers, clock(), origin)
        if notices:
            await outbox.add(notices)

    return put


async def deliver_forever(
    outbox: Outbox,
    targets: Mapping[str, Sink | Trigger],
    store: StatusStore,
    *,
    clock: Clock,
    count: Count,
    undeliverable: Undeliverable,
    stop: asyncio.Event,
    troubles: Troubles | None = None,
    poll_seconds: float = POLL_SECONDS,
) -> None:
    """Deliver until `stop`; then finish the requests under way and close the targets. Raises nothing while it works.

    `targets`: by their names (`notices.target_names`). A notice whose target is not among them (any more) is treated
    like one whose target cannot be reached, since another process may have a newer configuration. `troubles` are told
    whether the outbox can be read.
    """
    desk = Desk(outbox, store, clock=clock, count=count, undeliverable=undeliverable)
    troubles = troubles or Troubles()
    lanes = {name: Lane(name, target, desk, stop) for name, target in targets.items()}
    tasks = [asyncio.create_task(lane.run()) for lane in lanes.values()]
    try:
        while not stop.is_set():
            await _round(desk, lanes, troubles)
            await _pause(stop, poll_seconds)
        for lane in lanes.values():
            lane.wake()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_SECONDS)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for target in targets.values():
            await target.close()


async def _round(desk: Desk, lanes: Mapping[str, Lane], troubles: Troubles) -> None:
    now_ms = desk.clock()
    for lane in lanes.values():
        lane.plan_resend(now_ms)
    try:
        claimed = await desk.outbox.claim(now_ms, LEASE_MS, CLAIM_NOTICES)
    except Exception as error:  # a store that is away comes back; the notices are in it
        troubles.fails(OUTBOX, said(error))
        return
    troubles.works(OUTBOX)
    for notice in sorted(claimed, key=_turn):
        if notice.target in lanes:
            lanes[notice.target].offer(notice, now_ms + LEASE_MS)
            continue
        try:
            await desk.failed(notice, DeliveryError(f"no sink or trigger {notice.target!r} is configured"))
        except Exception as error:
            log.warning("%s: %s while putting a notice back", notice.target, said(error))


def _turn(notice: Notice) -> tuple[int, int]:
    """Transitions of one alert can be due in the same millisecond."""
    return notice.due_ms, len(notice.body.get("transitions") or ())


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass

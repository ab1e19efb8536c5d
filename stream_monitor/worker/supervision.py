"""A worker under supervision: started, asked how it does, and ended when it stands still or is told to stop.

Why so much distrust: a client of a broker that was away may do nothing for ever without an error, a topic may be
deleted and made again under the same name, and a stop may hang. What cannot go on ends with StateError, which ends the
process; what does not even end is ended hard.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Generic, Protocol

from stream_monitor.errors import StateError
from stream_monitor.worker.buses import Describe, Pace, TopicInfo
from stream_monitor.worker.handovers import Handover
from stream_monitor.worker.owners import S
from stream_monitor.worker.workers import Worker

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0  # between two looks at the worker
ASK_SECONDS: Final = 5.0  # for an answer of the broker


class Member(Protocol):
    """A member of the workers' group, as its supervision sees it."""

    async def start(self) -> None:
        """Returns or raises; what it has started then goes on by itself."""

    async def stop(self) -> bool:
        """Whether nothing of it is left."""

    async def ends(self) -> dict[int, int]:
        """The ends of the logs of our partitions of the panes topic, asked of the broker."""

    @property
    def failure(self) -> BaseException | None:
        """Why it can go no further, if it cannot."""

    @property
    def generation(self) -> int:
        """Of the group, now."""

    @property
    def ready(self) -> bool:
        """Whether it has an assignment, and the states of it."""

    @property
    def recovered(self) -> int:
        """A number that changes as long as a table is being read."""


class Supervision(Generic[S]):
    """Runs a member and its worker; see `run`."""

    def __init__(
        self,
        member: Member,
        worker: Worker[S],
        *,
        describe: Describe,
        panes_topic: str,
        checkpoints_topic: str,
        handover: Handover | None = None,
        pace: Pace | None = None,
        die: Callable[[int], None] | None = None,
    ) -> None:
        self._member = member
        self._worker = worker
        self._describe = describe
        self._panes = panes_topic
        self._checkpoints = checkpoints_topic
        self._handover = handover
        self._pace = pace or Pace()
        self._die = die or _die
        self._info: TopicInfo | None = None
        self._broker_error = ""
        self._was_ready = False
        self._recovered = 0

    # -- running

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; StateError if it cannot go on. A process that then does not end is ended hard."""
        await self._check_topics()
        tasks = [
            asyncio.create_task(self._member.start(), name="the start"),
            asyncio.create_task(self._tick(), name="checkpoints by time"),
            asyncio.create_task(self._probe(), name="questions to the broker"),
        ]
        if self._handover is not None:
            tasks.append(asyncio.create_task(self._handover.run(), name="hand-over"))
        try:
            await self._watch(stop, tasks)
        finally:
            await self._stop(tasks, orderly=stop.is_set())

    async def _check_topics(self) -> None:
        panes, changelog = await self._describe(self._panes), await self._describe(self._checkpoints)
        missing = [name for name, info in ((self._panes, panes), (self._checkpoints, changelog)) if info is None]
        if missing or panes is None or changelog is None:
            raise StateError(f"no such topic: {', '.join(missing)}")
        if panes.partitions != changelog.partitions:
            raise StateError(
                f"{self._panes} has {panes.partitions} partitions, {self._checkpoints} {changelog.partitions}: "
                "they must be the same"
            )
        self._info = panes

    async def _watch(self, stop: asyncio.Event, tasks: Sequence[asyncio.Task[Any]]) -> None:
        self._worker.went_on()
        while not stop.is_set():
            for task in tasks:
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    raise StateError(f"{task.get_name()} ended: {error!r}") from error
            if (failure := self._member.failure) is not None:
                raise StateError(f"{failure}" if isinstance(failure, StateError) else f"{failure!r}") from failure
            if gone := [task.get_name() for task in tasks if task.cancelled()]:  # Faust cancels its start as it crashes
                raise StateError(f"{gone[0]} was cut short, and nothing says why")
            self._check_progress()
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await stop.wait()
            except TimeoutError:
                pass

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if self._member.ready:
                await self._worker.tick()

    async def _probe(self) -> None:
        """Ask the broker, past Faust, whether it is there and the topic is the same; and how far the logs reach."""
        while True:
            await asyncio.sleep(self._pace.probe_seconds)
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    info = await self._describe(self._panes)
            except Exception as error:  # whatever the client says when the broker is away
                self._broker_error = f"{type(error).__name__}: {error}"
                continue
            self._broker_error = ""
            if info is not None and self._info is not None and info.id != self._info.id:
                raise StateError(f"topic {self._panes} was deleted and made again")
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    ends = await self._member.ends() if self._member.ready else {}
            except Exception as error:  # counts as standing still, if it lasts
                log.warning("the ends of the logs are not known: %r", error)
                continue
            for partition, end in ends.items():
                if (hold := self._worker.holds.get(partition)) is not None:
                    hold.reaches(end)

    @property
    def lag(self) -> int:
        """Entries not folded yet, of all our partitions that can go on."""
        return sum(hold.lag for hold in self._worker.holds.values() if not hold.stopped)

    def _check_progress(self) -> None:
        ready, recovered = self._member.ready, self._member.recovered
        self._was_ready = self._was_ready or ready
        waiting = bool(self._broker_error or self._worker.store_error)  # not our doing, and it is said
        if waiting or recovered != self._recovered or (ready and not self.lag):
            self._worker.went_on()
        self._recovered = recovered
        allowed = self._pace.stall_seconds if self._was_ready else self._pace.start_seconds
        still = time.monotonic() - self._worker.progress
        if still > allowed:
            doing = f"{self.lag} entries to fold" if ready else "no assignment, or recovering"
            raise StateError(f"no progress for {still:.0f} s with {doing}")

    async def _stop(self, tasks: Sequence[asyncio.Task[Any]], *, orderly: bool) -> None:
        """Stop in time, or leave a timer behind that ends the process: its threads cannot be ended otherwise.

        In the time of an orderly stop, with exit code 0, if all is saved and only the client of Kafka hangs.
        """
        began = time.monotonic()
        axe = self._axe(self._pace.die_seconds, 1)
        for task in tasks:
            task.cancel()
        ended, _ = await asyncio.wait(tasks, timeout=1.0)
        for task in ended:
            if not task.cancelled():
                task.exception()  # known by now, or of no interest any more
        if orderly and not self._away:
            await self._in_time(self._worker.finish(), self._pace.stop_seconds / 3, "the last checkpoint")
        left = began + self._pace.stop_seconds - time.monotonic()
        if orderly and self._worker.saved:
            axe.cancel()
            axe = self._axe(left, 0)
        if await self._in_time(self._member.stop(), 0.75 * left, "the stop"):  # what else is open is closed after it
            axe.cancel()

    def _axe(self, seconds: float, code: int) -> threading.Timer:
        timer = threading.Timer(seconds, self._die, [code])
        timer.daemon = True
        timer.start()
        return timer

    async def _in_time(self, doing: Coroutine[Any, Any, object], seconds: float, what: str) -> bool:
        """Whether it ended well within the time; what does not even let itself be cancelled is left behind."""
        task = asyncio.ensure_future(doing)
        await asyncio.wait([task], timeout=seconds)
        if not task.done():
            task.cancel()
            log.error("%s takes more than %.0f s: not waited for", what, seconds)
            return False
        if (error := task.exception()) is not None:
            log.error("%s: %r", what, error)
            return False
        return task.result() is not False

    # -- telling

    @property
    def _away(self) -> str:
        """What does not answer, and why; or ""."""
        if self._broker_error:
            return f"broker: {self._broker_error}"
        if self._worker.store_error:
            return f"store: {self._worker.store_error}"
        return ""

    @property
    def reason(self) -> str:
        """Why it is not healthy, or ""."""
        if self._away:
            return self._away
        if not self._member.ready:
            return "waiting for an assignment, or recovering"
        stopped = [f"partition {p} stopped: {h.stopped}" for p, h in self._worker.holds.items() if h.stopped]
        return "; ".join(stopped)

    def status(self) -> dict[str, Any]:
        """For the status document and readiness; all times in seconds."""
        holds = sorted(self._worker.holds.items())
        return {
            "healthy": not self.reason,
            "reason": self.reason,
            "generation": self._member.generation,
            "lag": self.lag,
            "idle_seconds": round(time.monotonic() - self._worker.progress, 1),
            "partitions": [
                {
                    "partition": partition,
                    "at": hold.owner.at,
                    "end": hold.end,
                    "lag": hold.lag,
                    "checkpoint_at": hold.owner.checkpoint_at,
                    "stopped": hold.stopped,
                }
                for partition, hold in holds
            ],
            "totals": dict(self._worker.totals),
            "alarms": list(self._worker.alarms),
            "waiting_for_outbox": self._handover.waiting if self._handover else 0,
        }


def _die(code: int) -> None:
    done = "what it still held is folded again" if code else "all is saved, only its client of Kafka hangs"
    log.critical("the process did not end by itself: hard end; %s", done)
    logging.shutdown()
    os._exit(code)

"""A process of the service: its parts run until one fails or the process is told to stop, and the stop has a deadline.

Why a hard end: a Kafka client or a sink that hangs must not keep a process that does nothing any more. Whatever it held
is taken up by the next one from the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from stream_monitor.errors import StateError

STOP_SECONDS: Final = 10.0  # for an orderly stop
HARD_SECONDS: Final = 18.0  # from the order to stop to the end of a process that hangs

M_ARENA_MAX: Final = -8  # of glibc's malloc.h
HEAPS: Final = 2

log = logging.getLogger(__name__)

Part = Callable[[asyncio.Event], Awaitable[None]]


def few_heaps() -> None:
    """Have all threads share HEAPS heaps, where glibc would give nearly each its own. To be called before they begin.

    Why: records are allotted by the threads of Kafka's clients and freed by others, and what is free in one thread's
    heap is of no use to another. Where there is no such setting nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, HEAPS)


async def run_parts(parts: Mapping[str, Part], stop: asyncio.Event) -> None:
    """Run all parts until `stop`; StateError if one ends or fails before. Waits at most STOP_SECONDS for the others."""
    tasks = {asyncio.create_task(_named(name, part, stop), name=name) for name, part in parts.items()}
    waiting = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait({*tasks, waiting}, return_when=asyncio.FIRST_COMPLETED)
    failed = [t for t in done if t is not waiting]
    early = not stop.is_set()
    stop.set()
    waiting.cancel()
    if tasks - done:
        _, left = await asyncio.wait(tasks - done, timeout=STOP_SECONDS)
        for task in left:
            log.warning("%s does not stop in time", task.get_name())
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=1.0)
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error
    if early and failed:
        raise StateError(f"{failed[0].get_name()} ended by itself")


async def _named(name: str, part: Part, stop: asyncio.Event) -> None:
    try:
        await part(stop)
    except StateError:
        raise
    except Exception as error:
        log.exception("%s failed", name)
        raise StateError(f"{name}: {error}") from error


def in_thread(name: str, run: Callable[[threading.Event], None]) -> Part:
    """A part that blocks, in a thread of its own, which is told to stop by an event of its own."""

    async def part(stop: asyncio.Event) -> None:
        ended, told = asyncio.Event(), threading.Event()
        loop, failure = asyncio.get_running_loop(), list[BaseException]()

        def body() -> None:
            try:
                run(told)
            except BaseException as error:
                failure.append(error)
            finally:
                with contextlib.suppress(RuntimeError):  # the loop may be gone by then
                    loop.call_soon_threadsafe(ended.set)

        thread = threading.Thread(target=body, name=name, daemon=True)
        thread.start()
        stopping = asyncio.create_task(stop.wait())
        ending = asyncio.create_task(ended.wait())
        await asyncio.wait({stopping, ending}, return_when=asyncio.FIRST_COMPLETED)
        told.set()
        stopping.cancel()
        await ending
        if failure:
            raise failure[0]

    return part


def every(seconds: float, what: str, do: Callable[[], Awaitable[None]]) -> Part:
    """A part that does something again and again; a failure is logged and tried again."""

    async def part(stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                async with asyncio.timeout(max(seconds, 5.0)):
                    await do()
            except Exception as error:
                log.warning("%s: %s", what, str(error) or type(error).__name__)
            await within(stop, seconds)

    return part


async def either(asked: asyncio.Event, stop: asyncio.Event) -> bool:
    """Wait for one of them; whether to go on, as it is not `stop`."""
    waiting = [asyncio.create_task(event.wait()) for event in (asked, stop)]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    return not stop.is_set()


async def within(event: asyncio.Event, seconds: float) -> bool:
    """Whether it is set within that time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def set_after(end: asyncio.Event, one: asyncio.Event, other: asyncio.Event) -> None:
    """Set `end` as soon as one of the others is set."""
    await either(one, other)
    end.set()


class Order(asyncio.Event):
    """The order to stop. Until `begun` is set by whoever may get it, there is nothing that must be ended in order."""

    begun = False


def main(start: Callable[[Order], Awaitable[None]], again: Callable[[], None] | None = None) -> None:
    """Run `start` in an event loop until it ends; SIGTERM and SIGINT set its event, a second one ends the process.

    Before anything has begun the first one does, with exit code 0: what the start waits for may not answer. SIGHUP
    calls `again` in the loop, where it is given.

    Why plain signal handlers with a timer: the event loop may be what hangs.
    """

    async def body() -> None:
        stop, loop = Order(), asyncio.get_running_loop()
        asked = False

        def told(number: int, _: object) -> None:
            nonlocal asked
            if asked:
                _die(1)
            if not stop.begun:
                _die(0)
            asked = True
            _end_hard_later()
            loop.call_soon_threadsafe(stop.set)

        before = {number: signal.signal(number, told) for number in (signal.SIGTERM, signal.SIGINT)}
        if again is not None:
            before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(again))
        try:
            await start(stop)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            _end_hard_later()  # also when it fails: what is left may hang, asyncio's own threads included

    asyncio.run(body())


def _end_hard_later() -> None:
    timer = threading.Timer(HARD_SECONDS, _late)
    timer.daemon = True
    timer.start()


def _late() -> None:
    log.critical("the process does not end by itself: hard end after %.0f s", HARD_SECONDS)
    _die(1)


def _die(code: int) -> None:
    logging.shutdown()
    os._exit(code)


def now_ms() -> int:
    """The clock."""
    return time.time_ns() // 1_000_000

"""Parts of a process: one that fails takes the others down in order, and nothing outlives its deadline."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading

import pytest

from stream_monitor.errors import StateError
from stream_monitor.shell import processes
from stream_monitor.shell.processes import every, in_thread, run_parts


async def patient(stop: asyncio.Event) -> None:
    await stop.wait()


async def failing(stop: asyncio.Event) -> None:
    await asyncio.sleep(0)
    raise ValueError("broken")


async def hasty(stop: asyncio.Event) -> None:
    return None


async def deaf(stop: asyncio.Event) -> None:
    await asyncio.Event().wait()


def obedient(told: threading.Event) -> None:
    told.wait()


def run(parts: dict[str, processes.Part], *, stopped: bool = False) -> None:
    async def body() -> None:
        stop = asyncio.Event()
        if stopped:
            stop.set()
        await run_parts(parts, stop)

    asyncio.run(body())


def test_an_orderly_stop() -> None:
    run({"a": patient, "b": in_thread("b", obedient)}, stopped=True)


def test_a_part_that_fails_ends_the_others() -> None:
    ended = threading.Event()

    def thread(told: threading.Event) -> None:
        told.wait()
        ended.set()

    with pytest.raises(StateError, match=r"^bad: broken$"):
        run({"good": patient, "bad": failing, "thread": in_thread("t", thread)})
    assert ended.is_set()


def test_a_part_that_ends_by_itself_is_a_failure() -> None:
    with pytest.raises(StateError, match=r"^hasty ended by itself$"):
        run({"good": patient, "hasty": hasty})


def test_a_thread_that_fails_is_a_failure() -> None:
    def thread(told: threading.Event) -> None:
        raise StateError("fenced for good")

    with pytest.raises(StateError, match=r"^fenced for good$"):
        run({"thread": in_thread("t", thread), "good": patient})


def test_a_deaf_part_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.05)
    run({"deaf": deaf}, stopped=True)


def test_what_is_done_again_and_again_survives_failures() -> None:
    calls: list[int] = []
    stop = asyncio.Event()

    async def do() -> None:
        calls.append(1)
        if len(calls) == 3:
            stop.set()
        raise ConnectionError("away")

    asyncio.run(run_parts({"beat": every(0.001, "beating", do)}, stop))
    assert len(calls) == 3


PROGRAM = """
import asyncio, sys, time
from stream_monitor.shell import processes

async def start(stop):
    stop.begun = {begun}
    print("up", flush=True)
    await stop.wait()
    {then}

processes.HARD_SECONDS = 0.5
processes.main(start)
print("down")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("begun", "then", "code"), [(True, "pass", 0), (True, "time.sleep(60)", 1), (False, "time.sleep(60)", 0)]
)
def test_a_signal_stops_the_process_in_order_or_hard(number: signal.Signals, begun: bool, then: str, code: int) -> None:
    """And at once while there is nothing to be ended in order."""
    program = PROGRAM.format(begun=begun, then=then)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=150)
    assert process.returncode == code
    assert out == ("down\n" if begun and code == 0 else "")

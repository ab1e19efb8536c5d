"""The delivery loop over the twins, under a clock of the test's own."""

from __future__ import annotations

import asyncio
import uuid
from functools import partial
from typing import Any

import pytest

from connectors.memory import MemoryOutbox
from connectors.redis import RedisOutbox
from connectors.sinks.memory import Memory
from stream_monitor.deliveries.deliveries import OUTBOX, into
from stream_monitor.deliveries.lanes import LANE_NOTICES, LEASE_MS
from stream_monitor.deliveries.notices import GIVE_UP_MS, alert_notices
from stream_monitor.errors import DeliveryError
from stream_monitor.interfaces import Notice
from tests.deliveries.cases import alert, at, retrain
from tests.deliveries.world import DOWN, MINUTE, START, World, play, states


def test_each_transition_once_to_each_sink() -> None:
    a, b = Memory(), Memory()

    async def script(world: World) -> None:
        for state in ("pending", "firing", "firing", "acknowledged", "resolved"):  # a repeated message is one
            await world.tell(alert(state))
            await world.until(lambda: True)
        await world.until(lambda: len(a.taken) == len(b.taken) == 3)
        await world.pass_time(10)

    world = play({"a": a, "b": b}, script)
    assert states(a) == states(b) == ["firing", "acknowledged", "resolved"]
    assert world.counted == {("a", "delivered"): 3, ("b", "delivered"): 3}
    assert a.closed
    assert b.closed


def test_a_failure_is_tried_again_under_the_same_id() -> None:
    sink = Memory(failures=[DOWN] * 5)

    async def script(world: World) -> None:
        await world.tell(alert())
        await world.until(lambda: bool(sink.taken))

    world = play({"a": sink}, script)
    assert [(n.id, n.attempts) for n in sink.taken] == [("ce-a1-firing", 5)]
    assert world.now_ms - START >= 31_000  # 1 + 2 + 4 + 8 + 16 s
    assert world.counted == {("a", "failed"): 5, ("a", "delivered"): 1}


def test_a_day_of_failures_ends_in_the_dead_letters() -> None:
    sink = Memory(failures=[DOWN] * 10_000)

    async def script(world: World) -> None:
        await world.tell(alert())
        await world.until(lambda: bool(world.letters), step_ms=5 * MINUTE)
        await world.pass_time(10)

    world = play({"a": sink}, script)
    ((notice, detail),) = world.letters
    assert notice.body == alert()
    assert detail == "given up after 24 h: answered 500"
    assert world.now_ms - START >= GIVE_UP_MS
    assert world.counted["a", "given_up"] == 1
    assert sink.taken == []


def test_a_permanent_failure_is_given_up_at_once() -> None:
    sink = Memory(failures=[DeliveryError("answered 410", permanent=True)])

    async def script(world: World) -> None:
        await world.tell(alert())
        await world.until(lambda: bool(world.letters), step_ms=0)

    assert play({"a": sink}, script).letters[0][1] == "answered 410"


def test_a_dead_letter_that_cannot_be_written_is_not_lost() -> None:
    sink = Memory(failures=[DeliveryError("no", permanent=True)] * 2)

    async def script(world: World) -> None:
        taken, broken = world.undeliverable, [True]

        async def undeliverable(notice: Notice, detail: str) -> None:
            if broken.pop() if broken else False:
                raise OSError("the broker is away")
            await taken(notice, detail)

        world.undeliverable = undeliverable
        world.stop.set()  # once more with that publisher
        await asyncio.sleep(0.01)
        world.stop.clear()
        again = asyncio.create_task(world.forever())
        await world.tell(alert())
        await world.until(lambda: bool(world.letters), step_ms=LEASE_MS // 4)
        world.stop.set()
        await again

    assert len(play({"a": sink}, script).letters) == 1


class Stuck(Memory):
    """Takes nothing until its gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.entered = 0

    async def deliver(self, notice: Notice) -> None:
        self.entered += 1
        await self.gate.wait()
        await super().deliver(notice)


def test_a_slow_sink_holds_nobody_up_and_gets_everything_in_the_end() -> None:
    slow, quick = Stuck(), Memory()
    many = 3 * LANE_NOTICES

    async def script(world: World) -> None:
        for i in range(many):
            await world.tell(alert(id=f"a{i}", version=str(i)))
        await world.until(lambda: len(quick.taken) == many)
        assert slow.entered == 1
        assert slow.taken == []
        slow.gate.set()
        await world.until(lambda: len({n.id for n in slow.taken}) == many, step_ms=LEASE_MS // 10)

    world = play({"slow": slow, "quick": quick}, script)
    assert len({n.id for n in quick.taken}) == len(quick.taken) == many
    assert world.letters == []


def test_retry_after_holds_the_whole_target() -> None:
    sink = Memory(failures=[DeliveryError("answered 429", retry_after=600.0)])

    async def script(world: World) -> None:
        await world.tell(alert(id="a1"))
        await world.until(lambda: not sink.failures, step_ms=0)
        await world.tell(alert(id="a2", version="4"))
        await world.pass_time(9)
        assert sink.taken == []
        await world.until(lambda: len(sink.taken) == 2)

    world = play({"a": sink}, script)
    assert world.counted["a", "failed"] == 1  # the second was not even tried
    assert max(n.attempts for n in sink.taken) == 1


def test_transitions_of_an_alert_stay_in_order() -> None:
    sink = Memory(failures=[DOWN] * 4)

    async def script(world: World) -> None:
        for state in ("firing", "acknowledged", "resolved"):
            await world.tell(alert(state))
            await world.pass_time(0)
        await world.tell(alert(id="other", version="9"))
        await world.until(lambda: len(sink.taken) == 4)

    play({"a": sink}, script)
    assert [n.body["state"] for n in sink.taken if n.body["id"] == "a1"] == ["firing", "acknowledged", "resolved"]


class Buggy(Memory):
    async def deliver(self, notice: Notice) -> None:
        if notice.attempts == 0:
            raise RuntimeError("http://secret.example/password")
        await super().deliver(notice)


def test_a_bug_in_a_sink_is_a_failure_like_any_other(caplog: pytest.LogCaptureFixture) -> None:
    sink = Buggy()

    async def script(world: World) -> None:
        await world.tell(alert())
        await world.until(lambda: bool(sink.taken))

    assert play({"a": sink}, script).counted["a", "failed"] == 1
    assert "RuntimeError in the sink" in caplog.text
    assert "secret.example" not in caplog.text


def test_a_target_that_is_gone_from_the_configuration_is_waited_for_a_day() -> None:
    async def script(world: World) -> None:
        await world.outbox.add(alert_notices("ce1", alert(), ["gone"], world.now_ms))
        await world.until(lambda: world.counted["gone", "failed"] > 3)
        assert world.letters == []
        await world.until(lambda: bool(world.letters), step_ms=5 * MINUTE)

    assert "no sink or trigger 'gone' is configured" in play({}, script).letters[0][1]


class Flaky(MemoryOutbox):
    """Away every other time."""

    calls = 0

    async def claim(self, now_ms: int, lease_ms: int, limit: int) -> list[Notice]:
        self.calls += 1
        if self.calls % 2:
            raise ConnectionError("redis://:password@localhost")
        return await super().claim(now_ms, lease_ms, limit)


def test_a_store_that_is_away_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    sink = Memory()

    async def run() -> None:
        world = World({"a": sink})
        world.outbox = Flaky(clock=lambda: world.now_ms / 1000)
        await world.tell(alert())
        loop = asyncio.create_task(world.forever())
        await world.until(lambda: bool(sink.taken))
        world.stop.set()
        await loop

    asyncio.run(run())
    assert "password" not in caplog.text


class Gone(MemoryOutbox):
    """Away until it is told to come back."""

    away = True

    async def claim(self, now_ms: int, lease_ms: int, limit: int) -> list[Notice]:
        if self.away:
            raise ConnectionError("redis://:password@db:6379: refused")
        return await super().claim(now_ms, lease_ms, limit)


def test_an_outbox_that_cannot_be_read_is_said_where_it_is_and_once(caplog: pytest.LogCaptureFixture) -> None:
    sink = Memory()
    caplog.set_level("INFO")

    async def run() -> None:
        world = World({"a": sink})
        world.outbox = outbox = Gone(clock=lambda: world.now_ms / 1000)
        await world.tell(alert())
        loop = asyncio.create_task(world.forever())
        await world.until(lambda: bool(world.troubles.reason))
        await world.pass_time(10)
        assert world.troubles.reason == f"{OUTBOX}: redis://db:6379: refused"
        outbox.away = False
        await world.until(lambda: bool(sink.taken))
        assert world.troubles.reason == ""
        world.stop.set()
        await loop

    asyncio.run(run())
    assert [r.getMessage() for r in caplog.records] == [f"{OUTBOX}: redis://db:6379: refused", f"{OUTBOX}: works"]


def silence(until: str) -> dict[str, Any]:
    return {"id": "s1", "model": "fraud", "matchers": {"group": "drift"}, "until": until, "comment": ""}


def test_a_silence_holds_until_its_end() -> None:
    sink = Memory()

    async def script(world: World) -> None:
        await world.keep("silence", silence(at("05:00")))
        await world.tell(alert())
        await world.tell(alert(id="q1", group="quality"))
        await world.until(lambda: world.counted["a", "held"] > 0)
        await world.pass_time(100)
        assert [n.body["id"] for n in sink.taken] == ["q1"]
        await world.until(lambda: len(sink.taken) == 2, step_ms=MINUTE)

    world = play({"a": sink}, script)
    assert world.now_ms >= START + 120 * MINUTE
    assert (sink.taken[1].attempts, sink.taken[1].held) == (0, True)
    assert world.counted["a", "failed"] == 0


def test_what_came_and_went_in_silence_is_told_once() -> None:
    sink = Memory()

    async def script(world: World) -> None:
        await world.keep("silence", silence(at("05:00")))
        await world.tell(alert())
        await world.until(lambda: world.counted["a", "held"] == 1)
        await world.keep("alert", alert("resolved"))
        await world.tell(alert("resolved"))
        await world.pass_time(130)

    world = play({"a": sink}, script)
    assert states(sink) == ["resolved"]
    assert world.counted["a", "dropped"] == 1


def test_a_firing_alert_is_sent_again_every_minute_until_it_is_resolved() -> None:
    sink = Memory(resend_seconds=60.0)

    def reached(n: int) -> bool:
        return len(sink.taken) >= n

    async def script(world: World) -> None:
        await world.keep("alert", alert(), revision=1)
        await world.tell(alert())
        await world.until(lambda: states(sink).count("firing") >= 2, step_ms=0)  # the notice and the first resend
        for n in range(3, 8):
            await world.pass_time(1)
            await world.until(partial(reached, n), step_ms=0)
        await world.keep("alert", alert("resolved"), revision=2)
        await world.tell(alert("resolved"))
        await world.until(lambda: "resolved" in states(sink), step_ms=MINUTE // 10)
        await world.pass_time(30)

    world = play({"a": sink}, script)
    seen = states(sink)
    assert seen == sorted(seen)  # "firing" < "resolved": never the other way round
    assert 4 <= seen.count("resolved") <= 1 + 6  # its own, and five minutes of resends
    assert world.counted["a", "delivered"] == 2


def test_a_resend_that_fails_is_not_a_notice() -> None:
    sink = Memory(resend_seconds=60.0)

    async def script(world: World) -> None:
        await world.keep("alert", alert())
        await world.until(lambda: len(sink.taken) == 1)
        sink.failures = [DOWN]
        await world.until(lambda: not sink.failures)
        await world.until(lambda: len(sink.taken) == 2)

    world = play({"a": sink}, script)
    assert world.counted == {("a", "resent"): 2, ("a", "resend_failed"): 1}
    assert world.letters == []


def test_alertmanager_like_sinks_are_not_told_what_is_over() -> None:
    sink = Memory(resend_seconds=60.0, failures=[DOWN] * 6)

    async def script(world: World) -> None:
        await world.tell(alert())
        await world.until(lambda: world.counted["a", "failed"] >= 3)
        await world.keep("alert", alert("resolved", resolved_at=at("00:00")))
        await world.tell(alert("resolved"))
        await world.until(lambda: bool(sink.taken))
        await world.pass_time(5)

    play({"a": sink}, script)
    assert set(states(sink)) == {"resolved"}


def test_messages_find_their_way() -> None:
    sink, trigger = Memory(), Memory()

    async def script(world: World) -> None:
        put = into(world.outbox, ["slack"], ["trigger:webhook"], lambda: world.now_ms)
        await put("alert", "m1", alert(), ("stream-monitor.alerts", 0, 5))
        await put("retrain-request", "r1", retrain(), ("stream-monitor.retrain-requests", 0, 7))
        await put("verdict", "v1", {"id": "v1"}, ("stream-monitor.verdicts", 0, 9))
        await world.until(lambda: bool(sink.taken and trigger.taken))

    play({"slack": sink, "trigger:webhook": trigger}, script)
    assert [(n.id, n.kind, n.origin) for n in sink.taken] == [("m1", "alert", ("stream-monitor.alerts", 0, 5))]
    assert [(n.id, n.kind) for n in trigger.taken] == [("r1", "retrain-request")]


def test_with_a_real_store(redis_url: str) -> None:
    """What the loop asks of an outbox beyond the twin's suite: a held or postponed notice comes back as it was put."""
    sink = Memory(failures=[DOWN, DeliveryError("busy", retry_after=60.0)])

    async def run() -> World:
        world = World({"a": sink})
        outbox = RedisOutbox(redis_url, prefix=f"deliveries-{uuid.uuid4().hex}.")
        world.outbox = outbox
        await world.keep("silence", silence(at("03:10")))
        loop = asyncio.create_task(world.forever())
        await world.tell(alert())
        await world.tell(alert("acknowledged"))
        # A lease of two minutes lasts 0.4 s here: it must not end while Redis answers.
        await world.until(lambda: len(sink.taken) == 2, step_ms=MINUTE // 10, pause=0.02)
        world.stop.set()
        await loop
        await outbox.close()
        return world

    world = asyncio.run(run())
    assert world.counted["a", "held"] >= 2
    assert [(n.body["state"], n.attempts, n.held) for n in sink.taken] == [
        ("firing", 2, True),
        ("acknowledged", 0, True),
    ]
    assert sink.taken[0].body == alert()

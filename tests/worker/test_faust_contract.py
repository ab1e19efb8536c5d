"""What this room relies on in Faust, said once and checked here: an upgrade that changes it fails.

Nothing runs against a broker here; test_on_kafka.py shows that the whole holds together.
"""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock

import faust
import mode
import pytest
from aiokafka.errors import CommitFailedError
from faust.tables.recovery import Recovery
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.threads import WorkerThread

from stream_monitor.worker.agents import credentials, settings
from stream_monitor.worker.buses import Outgoing, checkpoints_topic
from stream_monitor.worker.clients import FaustBus
from stream_monitor.worker.recoveries import Recovered
from stream_monitor.worker.segments import Table
from tests.held import held_bytes
from tests.worker.process import config


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    def runs(tmp_path: Path) -> None:
        asyncio.run(test(_app(tmp_path)))

    runs.__name__, runs.__doc__ = test.__name__, test.__doc__
    return runs


def _app(folder: Path) -> Any:
    made = settings(config(f"c{uuid.uuid4().hex[:6]}", 4), "127.0.0.1:1", embedded=False)
    return faust.App(datadir=str(folder), **made)


def _consumer(app: Any) -> Any:
    nothing: Any = Mock()
    consumer = driver.Consumer(
        app.transport, callback=nothing, on_partitions_revoked=nothing, on_partitions_assigned=nothing
    )
    consumer._thread.thread_loop.close()  # it would be closed when the thread ends, which is never started here
    return consumer


def _message(offset: int, *, generation: int = 0, value: bytes | None = b"v", key: bytes = b"k") -> ConsumerMessage:
    return ConsumerMessage("panes", 0, offset, 1.0, 0, [], key, value, None, generation_id=generation)


def test_the_version() -> None:
    """Read the release notes, run this folder's tests on a real Kafka, then change this line and pyproject.toml."""
    assert faust.__version__ == "0.15.3"


@in_loop
async def test_a_table_of_bytes(app: Any) -> None:
    """Its changelog has the name that we create; it takes bytes as they are, and None deletes."""
    table = app.Table("checkpoints", key_type=bytes, value_type=bytes, partitions=4)
    assert table.changelog_topic.get_topic_name() == checkpoints_topic(config(app.conf.id.removesuffix("-worker"), 4))
    events = [
        SimpleNamespace(key=key, value=value, message=_message(i, value=value, key=key))
        for i, (key, value) in enumerate([(b"\xff1", b"\x001"), (b"2", b"x"), (b"2", None), (b"\xff1", b"\x002")])
    ]
    table.apply_changelog_batch(events[:2])
    table.apply_changelog_batch(events[2:])
    assert list(table.items()) == [(b"\xff1", b"\x002")]


@in_loop
async def test_what_a_table_has_read_lies_on_a_shelf(app: Any) -> None:
    """The store's dict is ours; a few messages at a time are applied to it, and wait for that."""
    table = app.Table("checkpoints", key_type=bytes, value_type=bytes, partitions=4, recovery_buffer_size=3)
    assert (type(table.data.data), table.recovery_buffer_size) == (Table, 3)
    values = {b"%d" % i: bytes([i]) * 100_000 for i in range(10)}
    events = [SimpleNamespace(key=k, value=v, message=_message(0, value=v, key=k)) for k, v in values.items()]
    table.apply_changelog_batch(events)
    assert dict(table.data.data.snapshot()) == values
    assert held_bytes(table.data.data) < 100_000
    bus = FaustBus(app, "panes")
    bus.forget([b"1", b"2", b"not there"])
    assert set(table.data.data) == values.keys() - {b"1", b"2"}
    await table.data.on_recovery_completed({TP("changelog", 0)}, set())
    assert len(table.data.data) == 8
    await table.data.on_recovery_completed({TP("changelog", 1)}, set())
    assert len(table.data.data) == 0


@in_loop
async def test_a_table_is_read_of_the_present_generation_alone(app: Any) -> None:
    """A full queue is emptied by a rebalance: who waits for room in it goes on, and what he brings is dropped."""
    queue = Recovered(app, maxsize=2)
    app.tables._changelog_queue = queue
    assert Recovery(app, app.tables).tables.changelog_queue is queue
    app.consumer_generation_id = 1
    app.flow_control.resume()
    old = [SimpleNamespace(message=_message(i, generation=1)) for i in range(4)]
    queue.put_nowait(old[0])
    queue.put_nowait(old[1])
    assert await queue.get() is old[0]
    queue.put_nowait(old[2])
    last = asyncio.ensure_future(queue.put(old[3]))
    await asyncio.sleep(0)
    assert queue.full()
    app.flow_control.suspend()
    app.consumer_generation_id = 2
    app.flow_control.resume()
    await asyncio.wait_for(last, 5)
    new = SimpleNamespace(message=_message(0, generation=2))
    await queue.put(new)
    assert await asyncio.wait_for(queue.get(), 5) is new
    assert queue.empty()


@in_loop
async def test_recovery_calls_back_before_it_seeks_and_resumes(app: Any) -> None:
    """And swallows what the callback raises."""
    happened = []

    async def on_recover() -> None:
        happened.append("callback")
        raise RuntimeError("swallowed")

    table = app.Table("checkpoints", key_type=bytes, value_type=bytes, partitions=4, on_recover=on_recover)
    consumer = Mock(assignment=lambda: {TP("panes", 0)})
    consumer.perform_seek = AsyncMock(side_effect=lambda: happened.append("seek"))
    consumer.resume_flow = Mock(side_effect=lambda: happened.append("resume"))
    app._consumer, app._fetcher = consumer, Mock(maybe_start=AsyncMock())
    app._rebalancing_sensor_state = None
    recovery = Recovery(app, app.tables)
    recovery.actives_for_table[table] = {TP(table.changelog_topic.get_topic_name(), 0)}
    app.consumer_generation_id = 3
    await recovery.on_recovery_completed(3)
    assert happened == ["callback", "seek", "resume"]
    assert isinstance(recovery.active_offsets, dict)


@in_loop
async def test_the_generation_is_known_before_the_assignment_is_told(app: Any) -> None:
    thread = Mock(app=app, on_partitions_assigned=AsyncMock())
    thread._ensure_consumer.return_value._coordinator.generation = 7
    seen: list[int] = []
    thread.on_partitions_assigned.side_effect = lambda *_: seen.append(app.consumer_generation_id)
    await driver.ConsumerRebalanceListener(thread).on_partitions_assigned([])
    assert seen == [7]
    record = Mock(topic="panes", partition=0, offset=3, timestamp=1, key=b"", value=b"")
    message = driver.Consumer._to_message(Mock(app=app), TP("panes", 0), record)
    assert message.generation_id == 7


@in_loop
async def test_the_assignment_signal_comes_after_the_tables_have_been_told(app: Any) -> None:
    """So that what we note there is of the generation whose recovery then begins."""
    text = inspect.getsource(faust.App._on_partitions_assigned)
    assert text.index("self.tables.on_rebalance") < text.index("self.on_partitions_assigned.send")
    told: list[tuple[Any, set[TP]]] = []

    async def handler(sender: Any, assigned: set[TP], **_: Any) -> None:
        told.append((sender, assigned))

    app.on_partitions_assigned.connect(handler)
    await app.on_partitions_assigned.send({TP("panes", 1)})
    assert told == [(app, {TP("panes", 1)})]


async def _taken(app: Any, messages: Sequence[ConsumerMessage], count: int) -> list[Any]:
    """So many events that noack_take gives of these messages, in generation 5."""
    app._consumer = Mock(_unacked_messages=set())
    app.flow_control.resume()
    app.topics._acking_topics.add("panes")
    app.consumer_generation_id = 5
    channel = app.channel(key_type=bytes, value_type=bytes)
    stream = app.stream(channel)
    taken: list[Any] = []

    async def take() -> None:
        async for events in stream.noack_take(2, within=0.02):
            taken.extend(events)
            if len(taken) >= count:
                return

    taking = asyncio.create_task(take())
    async with asyncio.timeout(10):
        while not channel._subscribers:  # noqa: ASYNC110 - Faust has no event for it
            await asyncio.sleep(0.001)
        for message in messages:
            message.incref()
            await channel.put(faust.Event(app, message.key, message.value, {}, message))
        await taking
    await stream.stop()
    return taken


@in_loop
async def test_noack_take_gives_events_and_acknowledges_none(app: Any) -> None:
    taken = await _taken(app, [_message(offset, generation=5) for offset in range(3)], 3)
    assert [e.message.offset for e in taken] == [0, 1, 2]
    assert [e.message.value for e in taken] == [b"v"] * 3
    assert not any(e.message.acked for e in taken)
    app._consumer.ack.assert_not_called()
    taken[0].message.value = taken[0].value = None  # its bytes may go before it is acknowledged
    taken[0].ack()
    app._consumer.ack.assert_called_once_with(taken[0].message)


@in_loop
async def test_a_stream_skips_what_is_of_another_generation(app: Any) -> None:
    messages = [_message(offset, generation=generation) for offset, generation in enumerate([4, 5, 4, 5])]
    assert [e.message.offset for e in await _taken(app, messages, 2)] == [1, 3]


@in_loop
async def test_acks_are_committed_up_to_the_first_hole(app: Any) -> None:
    """More than one missing at the head: nothing. (Exactly one missing: Faust commits over it, so we leave none.)"""
    consumer = _consumer(app)
    app._consumer = consumer
    app.topics._acking_topics.add("panes")
    place = TP("panes", 0)
    consumer._committed_offset[place] = 10
    for offset in (10, 11, 12, 14):
        consumer.ack(_message(offset))
    assert consumer._new_offset(place) == 13
    consumer._committed_offset[place] = 20
    consumer._acked[place] = [22, 23]
    assert consumer._new_offset(place) is None


@in_loop
async def test_faust_believes_in_commits_that_failed(app: Any) -> None:
    """Why `FaustBus.commit` asks aiokafka itself. Should this ever fail, Faust's own commit might do."""
    consumer = _consumer(app)
    app._consumer, app._producer = consumer, Mock(flush=AsyncMock())
    app.producer = app._producer
    place = TP("panes", 0)
    consumer.assignment = lambda: {place}
    consumer._commit = AsyncMock(return_value=False)
    assert await consumer._commit_offsets({place: 9}) is False
    assert consumer._committed_offset[place] == 9


@in_loop
async def test_our_commit_says_what_became_of_it(app: Any) -> None:
    bus = FaustBus(app, "panes")
    kafka = Mock()
    thread = Mock(_ensure_consumer=lambda: kafka)

    async def call_thread(fun: Callable[..., Any], *args: Any) -> Any:
        return await fun(*args)

    thread.call_thread = call_thread
    app._consumer = Mock(_thread=thread)
    kafka.commit = AsyncMock()
    assert await bus.commit(1, 9) is True
    ((offsets,), _) = kafka.commit.call_args
    assert {(p.topic, p.partition): o.offset for p, o in offsets.items()} == {("panes", 1): 9}
    kafka.commit = AsyncMock(side_effect=CommitFailedError("already rebalanced"))
    assert await bus.commit(1, 9) is False
    assert hasattr(driver.AIOKafkaConsumerThread, "call_thread")
    assert hasattr(driver.AIOKafkaConsumerThread, "_ensure_consumer")


@in_loop
async def test_seek_moves_what_the_fetcher_will_accept(app: Any) -> None:
    consumer = _consumer(app)
    consumer._thread = Mock()
    place = TP("panes", 0)
    consumer._read_offset[place] = 50
    await consumer.seek(place, 9)
    consumer._thread.seek.assert_called_once_with(place, 9)
    assert consumer._read_offset[place] == 9


@in_loop
async def test_a_paused_partition_is_not_fetched(app: Any) -> None:
    consumer = _consumer(app)
    consumer._set_active_tps({TP("alerts", 0), TP("alerts", 1)})
    consumer.pause_partitions({TP("alerts", 0)})
    assert consumer._get_active_partitions() == {TP("alerts", 1)}
    consumer.resume_partitions({TP("alerts", 0)})
    assert consumer._get_active_partitions() == {TP("alerts", 0), TP("alerts", 1)}


@in_loop
async def test_a_producer_s_send_gives_a_future_of_the_acknowledgement(app: Any) -> None:
    sent: list[tuple[Any, ...]] = []
    acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def send(*args: Any, **kwargs: Any) -> asyncio.Future[None]:
        sent.append((args, kwargs))
        return acknowledged

    producer = driver.Producer(app.transport)
    producer._producer = Mock(send=send)
    app.producer = producer
    sending = asyncio.create_task(
        FaustBus(app, "panes").send([Outgoing(topic="t", key=b"k", value=b"v", headers=(("h", b"x"),), partition=2)])
    )
    await asyncio.sleep(0.05)
    assert not sending.done()
    acknowledged.set_result(None)
    await sending
    ((args, kwargs),) = sent
    assert args == ("t", b"v")
    assert (kwargs["key"], kwargs["partition"], kwargs["headers"]) == (b"k", 2, [("h", b"x")])
    assert app.conf.producer_acks == -1


def test_an_agent_that_fails_ends_the_app() -> None:
    assert mode.CrashingSupervisor is settings(config("x", 4), "b:1", embedded=False)["agent_supervisor"]
    assert "crash" in inspect.getsource(mode.CrashingSupervisor)
    assert {"crashed", "crash_reason", "rebalancing"} <= set(dir(faust.App))


def test_an_app_makes_its_folders_in_one_place(tmp_path: Path) -> None:
    """Which ours overrides."""
    app = _app(tmp_path / "data")
    app._create_directories()
    assert app.conf.tabledir.is_dir()


def test_faust_threads_keep_a_process_alive() -> None:
    """Why the stop leaves a timer behind."""
    assert WorkerThread(Mock()).daemon is False


def test_settings_follow_the_configuration() -> None:
    made = settings(config("x", 4), "a:1, b:2", embedded=True)
    assert made["broker"] == ["kafka://a:1", "kafka://b:2"]
    assert (made["broker_session_timeout"], made["broker_heartbeat_interval"]) == (6.0, 1.0)
    assert made["broker_check_crcs"] is False
    assert made["table_standby_replicas"] == 0


@pytest.mark.parametrize(
    ("options", "kind", "protocol"),
    [
        ({}, "NoneType", None),
        ({"security.protocol": "ssl"}, "SSLCredentials", "SSL"),
        (
            {
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": "u",
                "sasl.password": "p",
            },
            "SASLCredentials",
            "SASL_SSL",
        ),
        ({"security.protocol": "SASL_PLAINTEXT", "sasl.username": "u"}, "SASLCredentials", "SASL_PLAINTEXT"),
    ],
)
def test_security_options(options: dict[str, str], kind: str, protocol: str | None) -> None:
    made = credentials(options)
    assert type(made).__name__ == kind
    if protocol is not None:
        assert made.protocol.value == protocol

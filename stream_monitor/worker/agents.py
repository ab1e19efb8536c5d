"""The worker's shell: Faust's app, with one agent over the panes topic and one over alerts and retrain requests.

Every detail of Faust that this room relies on is held by tests/worker/test_faust_contract.py.
Why so little of Faust is used: it may deliver an entry again, skip one after a seek, go on with half a table, or stand
still without a word. So the worker takes only the entry that is due, what is missing is read again or rebuilt, and
whatever stands still ends the process, which expects to be started again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic

import faust
import mode
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError
from faust.auth import OAuthCredentials
from faust.types import TP
from mode.threads import WorkerThread

from stream_monitor.access import security
from stream_monitor.access.tokens import Tokens
from stream_monitor.config import Config
from stream_monitor.errors import StateError
from stream_monitor.worker import departures
from stream_monitor.worker.buses import TABLE, Arrival, Bus, Describe, checkpoints_topic, group
from stream_monitor.worker.clients import FaustBus, named
from stream_monitor.worker.handovers import Deliver, Handover
from stream_monitor.worker.owners import S
from stream_monitor.worker.recoveries import Recovered
from stream_monitor.worker.segments import Table
from stream_monitor.worker.workers import Worker

log = logging.getLogger(__name__)

BATCH: Final = 200
WITHIN_SECONDS: Final = 0.1
RECOVERED_AT_ONCE: Final = 16  # messages of the checkpoints topic that Faust holds before they are on the table's shelf


def settings(config: Config, brokers: str, *, embedded: bool) -> dict[str, Any]:
    """Faust's settings. `kafka.options` are in librdkafka's names; those that have a like here are taken over."""
    options = config.kafka.options
    session = float(options.get("session.timeout.ms", 15_000)) / 1000
    heartbeat = float(options.get("heartbeat.interval.ms", min(3_000.0, session * 1000 / 3))) / 1000
    return {
        "id": group(config),
        "broker": [f"kafka://{address.strip()}" for address in brokers.split(",")],
        "broker_credentials": credentials(options),
        "broker_session_timeout": session,
        "broker_heartbeat_interval": heartbeat,
        "broker_rebalance_timeout": max(20.0, session),
        "broker_request_timeout": max(40.0, session),
        "broker_commit_interval": 1.0,
        "broker_check_crcs": not embedded,
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": 4 << 20,
        "producer_max_request_size": 4 << 20,
        "producer_request_timeout": 60.0,
        "stream_buffer_maxsize": 1024,
        "stream_wait_empty": False,
        "stream_recovery_delay": 0.0,
        "table_standby_replicas": 0,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "key_serializer": "raw",
        "value_serializer": "raw",
        "store": "memory://",
        "Table": _Table,
        "agent_supervisor": mode.CrashingSupervisor,
        "worker_redirect_stdouts": False,
        "web_enabled": False,
        "autodiscover": False,
    }


def credentials(options: Mapping[str, Any]) -> Any:
    """librdkafka's security options as Faust's credentials; None for plaintext."""
    context = security.ssl_context(options)
    if not security.protocol(options).startswith("SASL"):
        return faust.SSLCredentials(context) if context else None
    kind = security.mechanism(options)
    if kind == "OAUTHBEARER":
        how = security.oidc(options)
        return OAuthCredentials(oauth_cb=_TokenProvider(Tokens(how), how.extensions or {}), ssl_context=context)
    return faust.SASLCredentials(
        username=options.get("sasl.username"),
        password=options.get("sasl.password"),
        mechanism=kind,
        ssl_context=context,
    )


class _TokenProvider(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Tokens as aiokafka asks for them."""

    def __init__(self, tokens: Tokens, extensions: Mapping[str, str]) -> None:
        self._tokens, self._extensions = tokens, dict(extensions)

    async def token(self) -> str:
        return await asyncio.to_thread(self._tokens.token)

    def extensions(self) -> dict[str, str]:
        return self._extensions


class _App(faust.App):  # type: ignore[misc]  # Faust has no types
    """Faust's app, which keeps nothing on disk, and is not surprised by a rebalance while it stops."""

    def _create_directories(self) -> None:
        pass

    def _on_rebalance_when_stopped(self) -> None:
        # Why not Faust's own: it closes the client from another thread, under a last commit, then tried for ever.
        pass


class _Table(faust.Table):  # type: ignore[misc]
    """Faust's table, with values that lie on a shelf and not in memory."""

    def _new_store(self) -> Any:
        store = super()._new_store()
        store.data = Table()
        return store


class FaustMember(Generic[S]):
    """A member of the workers' group: the app, its agents, and the states derived anew in every generation."""

    def __init__(
        self,
        config: Config,
        *,
        brokers: str,
        embedded: bool,
        describe: Describe,
        worker: Callable[[Bus], Worker[S]],
        deliver: Deliver | None,
    ) -> None:
        prefix = config.kafka.prefix
        self._panes = f"{prefix}panes"
        self._changelog = checkpoints_topic(config)
        self._describe = describe
        self._topic_id: str | None = None
        self._failure: BaseException | None = None
        self._ready_for = -1  # the generation whose states are derived
        self._wanted: tuple[int, dict[int, int]] = (-1, {})  # a generation, and how far its table must have been read
        self._app = _App(**settings(config, brokers, embedded=embedded))
        self._bus = FaustBus(self._app, self._panes)
        self.worker = worker(self._bus)
        self.handover = Handover(deliver, self._bus) if deliver else None
        self._table = self._app.Table(
            TABLE,
            key_type=bytes,
            value_type=bytes,
            partitions=config.kafka.partitions,
            on_recover=self._on_recovered,
            recovery_buffer_size=RECOVERED_AT_ONCE,
        )
        self._app.tables._changelog_queue = Recovered(self._app, maxsize=self._app.conf.stream_buffer_maxsize)
        self._app.on_partitions_assigned.connect(self._on_assigned)
        raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
        self._app.agent(self._app.topic(self._panes, **raw), name="fold", concurrency=1)(self._fold_stream)
        if self.handover is not None:
            notices = self._app.topic(f"{prefix}alerts", f"{prefix}retrain-requests", **raw)
            self._app.agent(notices, name="hand-over", concurrency=1)(self._notice_stream)

    # -- for the supervision

    async def start(self) -> None:
        """Returns once the first table has been read."""
        try:
            await self._app.start()
        except KafkaError as error:
            raise named(error) from error

    async def stop(self) -> bool:
        """Whether nothing of it is left. Faust can say that it has stopped while its thread lives on."""
        thread = getattr(self._app._consumer, "_thread", None)
        if thread is not None and thread._consumer is not None and thread.thread_loop.is_running():
            asyncio.run_coroutine_threadsafe(departures.leave(thread._consumer), thread.thread_loop)
        await self._app.stop()
        return not any(isinstance(thread, WorkerThread) for thread in threading.enumerate())

    async def ends(self) -> dict[int, int]:
        """The ends of the logs of our partitions, asked of the broker."""
        return await self._bus.ends(self._panes)

    @property
    def failure(self) -> BaseException | None:
        """Why it can go no further, if it cannot."""
        if self._failure is None and self._app.crashed:
            reason = self._app.crash_reason or RuntimeError("Faust crashed")
            return named(reason) if isinstance(reason, KafkaError) else reason
        return self._failure

    @property
    def generation(self) -> int:
        """Of the group, now."""
        return self._bus.generation

    @property
    def ready(self) -> bool:
        """Whether the states of this generation's partitions are there."""
        return self._ready_for == self._bus.generation and not self._app.rebalancing

    @property
    def recovered(self) -> int:
        """A number that changes as long as a table is being read."""
        return sum(v or 0 for v in self._app.tables.recovery.active_offsets.values())

    # -- inside Faust

    async def _fold_stream(self, stream: Any) -> None:
        async for events in stream.noack_take(BATCH, within=WITHIN_SECONDS):
            await self.worker.take([_arrival(event) for event in events])

    async def _notice_stream(self, stream: Any) -> None:
        assert self.handover is not None
        async for events in stream.noack_take(BATCH, within=WITHIN_SECONDS):
            self.handover.take([_arrival(event) for event in events])

    async def _on_assigned(self, app: Any, assigned: set[Any], **_: Any) -> None:
        """A new generation, before its table is read: note how far that has to go."""
        try:
            ends = await self._bus.ends(self._changelog)
            self._wanted = (self._bus.generation, ends)
        except Exception as error:  # of whatever kind; without it there is no way on, and that is noticed
            log.warning("the ends of %s are not known: %r", self._changelog, error)

    async def _on_recovered(self) -> None:
        """A table has been read, and no entry of the new generation has come yet. Faust drops what is raised here."""
        generation = self._bus.generation
        if not self._is_whole(generation):
            log.info("generation %d: the table is not whole yet", generation)
            return  # of an older generation: Faust reads on for this one and calls again
        # Why now: the next generation may come while the broker is asked, and Faust drops what is not its own then.
        messages = self._table.data.data.snapshot()
        while generation == self._bus.generation and self._failure is None:
            try:
                await self._derive(generation, messages)
                return
            except StateError as error:
                self._failure = error
            except Exception as error:  # whatever a client says without a broker; if it lasts, it ends the process
                log.warning("generation %d: the states could not be derived: %r", generation, error)
                await asyncio.sleep(1)

    async def _derive(self, generation: int, messages: Mapping[bytes, bytes]) -> None:
        info = await self._describe(self._panes)
        self._topic_id = self._topic_id or (info.id if info else None)
        if info is None or info.id != self._topic_id:
            raise StateError(f"topic {self._panes} is not the one it was")
        spans = await self._bus.spans()
        wanted, ends = self._wanted
        own = wanted == generation and spans.keys() == ends.keys()  # else of the next one, which is on its way
        if not own or not await self.worker.assigned(generation, info.id, info.partitions, messages, spans):
            log.info("generation %d: overtaken by the next one while its states were derived", generation)
            return  # Faust calls again
        self._ready_for = generation

    def _is_whole(self, generation: int) -> bool:
        """Whether the table holds, of all our partitions, what was written before they became ours.

        What is written after that comes from owners who are none any more, and nobody needs it.
        """
        wanted, ends = self._wanted
        read = self._app.tables.recovery.active_offsets
        return (
            wanted == generation
            and set(ends) == self._bus.partitions(self._panes) == self._bus.partitions(self._changelog)
            and all(_least(read.get(TP(self._changelog, p))) >= end - 1 for p, end in ends.items())
        )


def _arrival(event: Any) -> Arrival:
    m = event.message
    arrival = Arrival(
        topic=m.topic,
        partition=m.partition,
        offset=m.offset,
        generation=m.generation_id,
        value=m.value,
        headers=tuple((m.headers or {}).items()) if isinstance(m.headers, Mapping) else tuple(m.headers or ()),
        event=event,
    )
    # Why: the event waits for its checkpoint; its bytes need not.
    m.value = event.value = None
    return arrival


def _least(offset: int | None) -> int:
    return -1 if offset is None else offset

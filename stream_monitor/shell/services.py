"""One process of the service, with one role or all: what its parts need, in which order they come up, what they tell.

connect -> topics -> catalog -> references made known -> tap | worker and deliveries | api, and a heartbeat
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from detectors import joints, kernels, numerics, partitions
from stream_monitor.brokers import Group, Logs, Publisher
from stream_monitor.config import Config, Kafka
from stream_monitor.config.roles import patterns, resolved
from stream_monitor.deliveries.notices import TRIGGER, alert_notices, dead_letter, retrain_notices, target_names
from stream_monitor.errors import ConfigError, Mistake, Refused, StateError, Unreachable
from stream_monitor.fold.summaries import counters_output
from stream_monitor.formats import templates
from stream_monitor.interfaces import CommandLog, LabelStore, Notice, Outbox, Schemas, Sink, StatusStore, Trigger
from stream_monitor.judging.references import pack_reference, prepare
from stream_monitor.shell.processes import Order, Part, every, few_heaps, in_thread, now_ms, run_parts
from stream_monitor.shell.reloads import needing_restart, taken_over, told
from stream_monitor.shell.starts import Shared, Start, make_known
from stream_monitor.status.statuses import heartbeat
from stream_monitor.status.telemetry import ProcessServer, Telemetry, tap_families, worker_families
from stream_monitor.tap.counting import BlockCounting
from stream_monitor.tap.layout_tools import from_document
from stream_monitor.tap.tap import Rules, Tap
from stream_monitor.worker import buses

HEARTBEAT_SECONDS: Final = 2.0
START_SECONDS: Final = 60.0  # for the broker to answer before a process gives up
AGAIN_SECONDS: Final = 2.0  # before a new configuration that could not be made known is tried again
UNDELIVERABLE_SECONDS: Final = 30.0

MIGRATE: Final = (
    "every model has its partition by their number, so it cannot change in place; to have another number, give the "
    "service a new kafka.prefix and kafka.group, and kafka.start, the time from which events are to be counted again"
)

log = logging.getLogger(__name__)


class Closes(Protocol):
    """Lets go of what it holds."""

    def close(self) -> None: ...


class ClosesAsync(Protocol):
    """Lets go of what it holds."""

    async def close(self) -> None: ...


class Membership(Group, Logs, Closes, Protocol):
    """A member of the taps' group, which also knows the logs."""


class ClosingPublisher(Publisher, Closes, Protocol):
    """A publisher that can be let go."""


class ClosingCommands(CommandLog, Closes, Protocol):
    """A command log that can be let go."""


class ClosingLabels(LabelStore, Closes, Protocol):
    """A label store that can be let go."""


class ClosingSchemas(Schemas, Closes, Protocol):
    """A schema registry that can be let go."""


class ClosingOutbox(Outbox, ClosesAsync, Protocol):
    """An outbox that can be let go."""


class ClosingStore(StatusStore, ClosesAsync, Protocol):
    """A status store that can be let go."""


class FollowedCatalog(Shared, Closes, Protocol):
    """A catalog that reads what others publish."""

    counted_partitions: set[int]  # numbers of partitions of the panes topic that configurations so far were made with

    def load(self) -> None:
        """Read up to now. Raises Unreachable."""

    def follow(self) -> None:
        """Go on reading in a thread."""

    async def catch_up(self) -> None:
        """Read up to now."""

    async def announce(self, kind: str, id: str, model: str = "") -> None:
        """Publish a layout or a reference."""


class Ports(Protocol):
    """The outside of a process. What connects may raise Unreachable."""

    @property
    def config(self) -> Config:
        """With what the broker decides: the partitions of an embedded one."""

    @property
    def brokers(self) -> str: ...
    @property
    def embedded(self) -> bool: ...
    @property
    def store(self) -> ClosingStore: ...

    def create_topics(self, compacted: Sequence[str]) -> None:
        """Those of the contract, and compacted ones with as many partitions as the panes topic."""

    def check_group(self, group: str) -> None:
        """StateError if we may not be a member of it."""

    def identify(self, topic: str) -> tuple[str, int] | None: ...
    def names(self) -> Collection[str]:
        """All topics."""

    def catalog(self) -> FollowedCatalog: ...
    def commands(self, partitions: int) -> ClosingCommands: ...
    def group(self) -> Membership: ...
    def publisher(self) -> ClosingPublisher: ...
    def labels(self) -> ClosingLabels: ...
    def schemas(self) -> ClosingSchemas | None: ...
    def outbox(self) -> ClosingOutbox: ...
    def targets(self, config: Config) -> Mapping[str, Sink | Trigger]: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """What a role tells of itself."""

    status: Callable[[], Mapping[str, Any]]
    families: Callable[[], Iterable[Any]]


class Process:
    """One process with one or all roles, and what they share."""

    def __init__(
        self,
        config: Config,
        role: str,
        ports: Callable[[Config], Ports],
        http_port: int | None,
        folder: Path,
        reread: Callable[[], Config] | None = None,
    ) -> None:
        """`folder`: what paths of files are relative to, which are named while it runs.

        `reread` gives the configuration as its file has it by now, or ConfigError.
        """
        self._as_read, self._reread = config, reread
        self._asked = asyncio.Event()  # to read the file again
        self._takers: list[Callable[[Config, Start], Awaitable[None]]] = []  # parts that take a new configuration over
        self._config, self._role, self._http_port, self._folder = config, role, http_port, folder
        self._make_ports = ports
        self._id = f"{socket.gethostname()}:{os.getpid()}"
        self._started_ms = now_ms()
        self._telemetry = Telemetry()
        self._closing = AsyncExitStack()
        self._alive: dict[Literal["tap", "worker"], Alive] = {}
        self._counters: Callable[[], list[Mapping[str, Any]]] = list
        self._counted: list[Mapping[str, Any]] = []

    async def run(self, stop: Order) -> None:
        """Until `stop`; StateError or Unreachable when it cannot go on."""
        few_heaps()
        async with self._closing:
            self._ports = await asyncio.to_thread(self._make_ports, self._config)
            self._later(self._ports.close)
            self._closing.push_async_callback(self._ports.store.close)
            if not await self._connect(stop):
                return
            parts: dict[str, Part] = {}
            if self._role in ("tap", "run"):
                # Compiled before the first poll, not in a block.
                for module in (kernels, partitions, numerics, joints, templates):
                    await asyncio.to_thread(module.warm)
                parts |= self._tap()
            if self._role in ("worker", "run"):
                parts |= await self._worker()
            if self._role in ("api", "run"):
                parts |= self._api()
            if self._alive:
                parts["heartbeat"] = every(HEARTBEAT_SECONDS, "heartbeat", self._beat)
            if self._reread is not None:
                parts["reloads"] = self._reloads
            if self._http_port is not None:
                self._serve_itself(self._http_port)
            stop.begun = True
            log.info("%s %s has begun; brokers: %s", self._role, self._id, self._ports.brokers)
            await run_parts(parts, stop)
            log.info("stopped")

    def reload(self) -> None:
        """Read the file again, soon. To be called in the event loop."""
        self._asked.set()

    async def _reloads(self, stop: asyncio.Event) -> None:
        """Take over what the file has by now whenever asked to, until `stop`. A mistake in it changes nothing."""
        assert self._reread is not None
        while await _either(self._asked, stop):
            self._asked.clear()
            try:
                await self._reload_now(await asyncio.to_thread(self._reread))
            except ConfigError as error:
                for mistake in error.mistakes:
                    log.error("%s", mistake)
                log.error("the old configuration goes on: %d mistakes in the new one", len(error.mistakes))
            except Unreachable as error:
                log.warning("the old configuration goes on for now, trying again: %s", error)
                if not await _within(stop, AGAIN_SECONDS):
                    self._asked.set()

    async def _reload_now(self, read: Config) -> None:
        for path in needing_restart(self._as_read, read):
            log.warning("%s has changed: that needs a restart, the old value goes on", path)
        config = taken_over(self._config, read)
        what = told(self._config, config)
        if not what:
            log.info("the configuration is read again: nothing changed that can without a restart")
            return
        start = Start()
        if self._role != "api":
            start = await asyncio.to_thread(make_known, config, self._catalog)
        self._config = config
        for take in self._takers:  # the fold first: it must know a model before its events come
            await take(config, start)
        log.info("the configuration is taken over: %s", what)

    def _later(self, close: Callable[[], None]) -> None:
        self._closing.push_async_callback(lambda: asyncio.to_thread(close))

    async def _connect(self, stop: asyncio.Event) -> bool:
        """Whether all is ready; False if told to stop before."""
        end = time.monotonic() + START_SECONDS
        while not stop.is_set():
            try:
                await self._prepare()
                return True
            except Refused:
                raise  # nothing here will ever change that
            except Unreachable as error:
                if time.monotonic() > end:
                    raise
                log.warning("%s; trying again", error)
            try:
                async with asyncio.timeout(1.0):
                    await stop.wait()
            except TimeoutError:
                pass
        return False

    async def _prepare(self) -> None:
        """Topics, catalog, references: what every role needs."""
        ports, config = self._ports, self._ports.config
        kafka = config.kafka
        own = []
        if self._role in ("worker", "run"):
            own.append(buses.checkpoints_topic(config))
            # Faust waits without a word for a group that it may not join.
            await asyncio.to_thread(ports.check_group, buses.group(config))
        await asyncio.to_thread(ports.create_topics, own)
        panes = f"{kafka.prefix}panes"
        found = await asyncio.to_thread(ports.identify, panes)
        if found is None:
            raise Unreachable(f"{panes} does not show")
        if kafka.partitions not in (found[1], Kafka().partitions) and not ports.embedded:
            text = f"{panes} has {found[1]} partitions: {MIGRATE}"
            raise ConfigError([Mistake(file="", line=0, path="kafka.partitions", message=text)])
        self._config = replace(config, kafka=replace(kafka, partitions=found[1]))
        catalog = ports.catalog()
        try:
            await asyncio.to_thread(catalog.load)
            if catalog.counted_partitions and found[1] not in catalog.counted_partitions and not ports.embedded:
                before = ", ".join(map(str, sorted(catalog.counted_partitions)))
                raise StateError(f"{panes} has {found[1]} partitions, and had {before}: {MIGRATE}")
            self._start = Start()
            if self._role != "api":
                self._start = await asyncio.to_thread(make_known, self._config, catalog)
        except BaseException:
            await asyncio.to_thread(catalog.close)
            raise
        self._catalog = catalog
        self._later(catalog.close)
        catalog.follow()
        self._commands = ports.commands(found[1])
        self._later(self._commands.close)

    # -- the roles

    def _tap(self) -> dict[str, Part]:
        config, ports = self._config, self._ports
        # Why so seldom: rows of formats that are read as objects are many, and none is ever part of a cycle.
        gc.freeze()
        gc.set_threshold(100_000, 20, 50)
        labels, publisher, group, schemas = ports.labels(), ports.publisher(), ports.group(), ports.schemas()
        for thing in (labels, publisher, group, schemas):
            if thing is not None:
                self._later(thing.close)
        counting = BlockCounting(
            config,
            catalog=self._catalog,
            label_store=labels,
            layouts=self._catalog.model_layouts,
            schemas=schemas,
            publish=self._catalog.publish_blob,
        )
        tap = Tap(
            rules=Rules.of(config),
            group=group,
            logs=group,
            publisher=publisher,
            counting=counting,
            worker_partitions=config.kafka.partitions,
            executor=ThreadPoolExecutor(1, thread_name_prefix="count"),
        )

        async def take(config: Config, _: Start) -> None:
            rules = Rules.of(config)
            if ports.embedded:  # brings up whatever it is asked for
                for topic in rules.topics:
                    await asyncio.to_thread(ports.identify, topic)
            tap.turn(rules, lambda: counting.use(config))

        self._takers.append(take)
        self._alive["tap"] = Alive(status=tap.status, families=lambda: tap_families(tap.status(), now_ms()))
        return {"tap": in_thread("tap", tap.run)}

    async def _worker(self) -> dict[str, Part]:
        from stream_monitor.deliveries.deliveries import deliver_forever
        from stream_monitor.fold.fold import State, step
        from stream_monitor.worker.agents import FaustWorker, TopicInfo
        from stream_monitor.worker.owners import Fold

        config, ports = self._config, self._ports
        outbox = ports.outbox()
        self._closing.push_async_callback(outbox.close)
        retarget = asyncio.Event()

        async def stood_for(config: Config) -> Mapping[str, Sequence[str]]:
            """The topics that the patterns of each model stand for now."""
            return resolved(config, await asyncio.to_thread(ports.names)) if patterns(config) else {}

        async def take(config: Config, start: Start) -> None:
            by = f"reload of {self._id}"
            await self._commands.append("", start.command(config, now_ms(), by, await stood_for(config)))
            retarget.set()

        self._takers.insert(0, take)

        async def describe(topic: str) -> TopicInfo | None:
            found = await asyncio.to_thread(ports.identify, topic)
            return None if found is None else TopicInfo(id=found[0], partitions=found[1])

        async def deliver(kind: str, id: str, body: Mapping[str, Any], origin: tuple[str, int, int]) -> None:
            if kind == "alert":
                sinks = target_names(self._config.sinks)
                await outbox.add(alert_notices(id, body, sinks, now_ms(), origin))
            else:
                triggers = target_names(self._config.triggers, TRIGGER)
                await outbox.add(retrain_notices(id, body, triggers, now_ms(), origin))

        worker = FaustWorker(
            config,
            brokers=ports.brokers,
            fold=Fold(empty=State.empty, step=step, restore=State.restore),
            catalog=self._catalog,
            store=ports.store,
            describe=describe,
            deliver=deliver,
            watching=self._telemetry,
            embedded=ports.embedded,
        )
        found = await stood_for(config)
        await self._commands.append("", self._start.command(config, now_ms(), f"start of {self._id}", found))
        self._alive["worker"] = Alive(status=worker.status, families=lambda: worker_families(self._counted))
        self._counters = lambda: [counters_output(h.owner.state).body for h in worker.worker.holds.values()]
        undeliverable = self._undeliverable()

        async def deliveries(stop: asyncio.Event) -> None:
            while not stop.is_set():  # once for every set of targets
                retarget.clear()
                end = asyncio.Event()
                ending = asyncio.create_task(_set_after(end, retarget, stop))
                try:
                    await deliver_forever(
                        outbox,
                        ports.targets(self._config),
                        ports.store,
                        clock=now_ms,
                        count=self._telemetry.delivered,
                        undeliverable=undeliverable,
                        stop=end,
                    )
                finally:
                    ending.cancel()

        return {"worker": worker.run, "deliveries": deliveries}

    def _undeliverable(self) -> Callable[[Notice, str], Awaitable[None]]:
        publisher = self._ports.publisher()
        self._later(publisher.close)
        topic = f"{self._config.kafka.prefix}dead-letters"

        def publish(notice: Notice, detail: str) -> None:
            key, value, headers = dead_letter(notice, detail)
            publisher.send(topic, None, value, key, headers)
            publisher.settle(UNDELIVERABLE_SECONDS, threading.Event())

        return lambda notice, detail: asyncio.to_thread(publish, notice, detail)

    def _api(self) -> dict[str, Part]:
        from stream_monitor.api import create_api  # FastAPI and NiceGUI take seconds to import
        from stream_monitor.shell.http_parts import http

        config = self._config
        app = create_api(
            config,
            self._ports.store,
            self._commands,
            probe=self._probe,
            prepare_file=self._prepare_file,
            catalog=self._catalog,
            prepare_layout=self._prepare_layout,
        )

        async def take(config: Config, _: Start) -> None:
            app.state.service.config = config

        self._takers.append(take)

        def listening(port: int) -> None:
            host = f"[{config.api.host}]" if ":" in config.api.host else config.api.host
            log.info("listening on http://%s:%d", host, port)

        return {"api": http(app, config.api.host, config.api.port, listening)}

    async def _probe(self) -> None:
        """Raise if the broker does not answer."""
        await asyncio.to_thread(self._ports.identify, f"{self._config.kafka.prefix}panes")

    async def _prepare_file(self, name: str, version: str, file: str) -> str:
        """Count a file as the model is counted now, and publish it as a reference of a version."""
        model = self._config.models[name]
        await self._catalog.catch_up()
        id = self._catalog.model_layouts().get(name)
        layout = self._catalog.layout(id) if id else None
        there = replace(model, reference=replace(model.reference, file=file))
        prepared = await asyncio.to_thread(prepare, name, there, self._folder, layout)
        assert prepared.reference is not None
        reference = self._catalog.add_blob(pack_reference(replace(prepared.reference, version=version)))
        await self._catalog.announce("reference", reference)
        return reference

    async def _prepare_layout(self, name: str, plain: Mapping[str, Any]) -> tuple[str, str]:
        """Publish a layout as the model's; its id, and that of the reference file's counts under it, if any."""
        layout = from_document(plain)
        model = self._config.models[name]
        await self._catalog.catch_up()
        before, reference = self._catalog.model_layouts().get(name, ""), ""
        if model.reference.file:
            mine = await asyncio.to_thread(prepare, name, model, Path())
            counted = await asyncio.to_thread(prepare, name, model, Path(), layout)
            assert mine.layout is not None
            assert counted.reference is not None
            before = mine.layout.id
            reference = self._catalog.add_blob(pack_reference(counted.reference))
            await self._catalog.announce("reference", reference)
        self._catalog.add_layout(layout)
        await asyncio.to_thread(self._catalog.publish_layout, layout.id, name, before)
        return layout.id, reference

    # -- telling

    async def _beat(self) -> None:
        self._counted = self._counters()
        told = self._telemetry.snapshot()
        documents = [
            heartbeat(
                kind, self._id, self._started_ms, now_ms(), {**alive.status(), "brokers": self._ports.brokers}, told
            )
            for kind, alive in self._alive.items()
        ]
        await self._ports.store.put(documents)

    def _serve_itself(self, port: int) -> None:
        def ready() -> str:
            return "; ".join(str(r) for a in self._alive.values() if (r := a.status().get("reason")))

        def families() -> Iterable[Any]:
            return [family for alive in self._alive.values() for family in alive.families()]

        host = self._config.api.host  # where this configuration lets itself be asked, in a container for one
        try:
            server = ProcessServer(host, port, self._telemetry, families, ready)
        except OSError as error:
            raise StateError(f"nothing can listen on port {port}: {error.strerror}") from error
        self._later(server.close)
        log.info("metrics on http://%s:%d/metrics", host, server.port)


async def _either(asked: asyncio.Event, stop: asyncio.Event) -> bool:
    """Wait for either; whether to go on."""
    waiting = [asyncio.create_task(event.wait()) for event in (asked, stop)]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    return not stop.is_set()


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Whether it is set within that time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _set_after(end: asyncio.Event, one: asyncio.Event, other: asyncio.Event) -> None:
    await _either(one, other)
    end.set()

"""One process of the service, with one role or all: what its parts need, in which order they come up, what they tell.

connect -> topics -> loops -> catalog -> references made known -> tap | worker and deliveries | api, and a heartbeat
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from stream_monitor import formats
from stream_monitor.config import Config, Kafka
from stream_monitor.config.roles import patterns, resolved
from stream_monitor.errors import ConfigError, Mistake, Refused, StateError, Unreachable
from stream_monitor.fold.summaries import tallies
from stream_monitor.shell.dispatches import Dispatch
from stream_monitor.shell.heartbeats import Alive, Heartbeats
from stream_monitor.shell.ports import Ports
from stream_monitor.shell.processes import (
    Order,
    Part,
    either,
    every,
    few_heaps,
    in_thread,
    now_ms,
    run_parts,
    within,
)
from stream_monitor.shell.promotions import Promotions
from stream_monitor.shell.reloads import needing_restart, taken_over, told
from stream_monitor.shell.starts import Start, make_known
from stream_monitor.shell.warming import warm
from stream_monitor.status.telemetry import tap_families, worker_families
from stream_monitor.tap.counting import BlockCounting
from stream_monitor.tap.rules import Rules
from stream_monitor.tap.tap import Tap
from stream_monitor.troubles import Troubles
from stream_monitor.worker import buses

HEARTBEAT_SECONDS: Final = 2.0
START_SECONDS: Final = 60.0  # for the broker to answer before a process gives up
REST_SECONDS: Final = 0.5  # for a worker to end the fold that it is at, before it tells what it counted before that
AGAIN_SECONDS: Final = 2.0  # before a new configuration that could not be made known is tried again

MIGRATE: Final = (
    "every model has its partition by their number, so it cannot change in place; to have another number, give the "
    "service a new kafka.prefix and kafka.group, and kafka.start, the time from which events are to be counted again"
)

log = logging.getLogger(__name__)


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
        self._beats = Heartbeats(self._id)
        self._closing = AsyncExitStack()
        self._count: Callable[[], Awaitable[None]] | None = None  # what a worker counts, into the next
        self._counted: list[dict[str, Any]] = []

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
                parts |= self._tap()
            if self._role in ("worker", "run"):
                parts |= await self._worker()
            if self._role in ("api", "run"):
                parts |= self._api()
            if self._beats.alive:
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
        while await either(self._asked, stop):
            self._asked.clear()
            try:
                await self._reload_now(await asyncio.to_thread(self._reread))
            except ConfigError as error:
                for mistake in error.mistakes:
                    log.error("%s", mistake)
                log.error("the old configuration goes on: %d mistakes in the new one", len(error.mistakes))
            except Unreachable as error:
                log.warning("the old configuration goes on for now, trying again: %s", error)
                if not await within(stop, AGAIN_SECONDS):
                    self._asked.set()

    async def _reload_now(self, read: Config) -> None:
        for path in needing_restart(self._as_read, read):
            log.warning("%s has changed: that needs a restart, the old value goes on", path)
        config = taken_over(self._config, read)
        what = told(self._config, config)
        if not what:
            log.info("the configuration is read again: nothing changed that can without a restart")
            return
        if self._role in ("tap", "run"):
            await warm(formats.loops(config))
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
        if not await self._reached(self._find_topics, stop):
            return False
        if self._role in ("tap", "run"):  # before the first block, and before references are read
            await warm([*self._ports.loops, *formats.loops(self._config)])
        return await self._reached(self._make_known, stop)

    async def _reached(self, step: Callable[[], Awaitable[None]], stop: asyncio.Event) -> bool:
        """Whether a step is done, which is tried again while the outside does not answer; False if told to stop."""
        end = time.monotonic() + START_SECONDS
        while not stop.is_set():
            try:
                await step()
                return True
            except Refused:
                raise  # nothing here will ever change that
            except Unreachable as error:
                if time.monotonic() > end:
                    raise
                log.warning("%s; trying again", error)
            await within(stop, 1.0)
        return False

    async def _find_topics(self) -> None:
        """The topics of the service, as many partitions as they have."""
        ports, config = self._ports, self._ports.config
        kafka = config.kafka
        panes = f"{kafka.prefix}panes"
        own = []
        if self._role in ("worker", "run"):
            own.append(buses.checkpoints_topic(config))
            # Faust waits without a word for a group that it may not join.
            await asyncio.to_thread(ports.check_group, buses.group(config), panes)
        await asyncio.to_thread(ports.create_topics, own)
        found = await asyncio.to_thread(ports.identify, panes)
        if found is None:
            raise Unreachable(f"{panes} does not show")
        if kafka.partitions not in (found[1], Kafka().partitions) and not ports.embedded:
            text = f"{panes} has {found[1]} partitions: {MIGRATE}"
            raise ConfigError([Mistake(file="", line=0, path="kafka.partitions", message=text)])
        self._config = replace(config, kafka=replace(kafka, partitions=found[1]))

    async def _make_known(self) -> None:
        """The catalog, and in it the references: what every role needs."""
        ports, kafka = self._ports, self._config.kafka
        catalog, count = ports.catalog(), kafka.partitions
        try:
            await asyncio.to_thread(catalog.load)
            if catalog.counted_partitions and count not in catalog.counted_partitions and not ports.embedded:
                before = ", ".join(map(str, sorted(catalog.counted_partitions)))
                raise StateError(f"{kafka.prefix}panes has {count} partitions, and had {before}: {MIGRATE}")
            self._start = Start()
            if self._role != "api":
                self._start = await asyncio.to_thread(make_known, self._config, catalog)
        except BaseException:
            await asyncio.to_thread(catalog.close)
            raise
        self._catalog = catalog
        self._later(catalog.close)
        catalog.follow()
        self._commands = ports.commands(count)
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
        self._beats.alive["tap"] = Alive(
            status=lambda: self._beats.store.into(tap.status()),  # nobody hears of it, nor does it of labels
            families=lambda: tap_families(tap.status(), now_ms()),
        )
        return {"tap": in_thread("tap", tap.run)}

    async def _worker(self) -> dict[str, Part]:
        from stream_monitor.fold.fold import State, step
        from stream_monitor.worker.assembly import FaustWorker
        from stream_monitor.worker.buses import TopicInfo
        from stream_monitor.worker.owners import Fold

        config, ports = self._config, self._ports
        outbox, publisher, troubles = ports.outbox(), ports.publisher(), Troubles()
        self._closing.push_async_callback(outbox.close)
        self._later(publisher.close)
        dispatch = Dispatch(
            config=lambda: self._config,
            outbox=outbox,
            targets=ports.targets,
            store=ports.store,
            publisher=publisher,
            count=self._beats.telemetry.delivered,
            troubles=troubles,
        )

        async def stood_for(config: Config) -> Mapping[str, Sequence[str]]:
            """The topics that the patterns of each model stand for now."""
            return resolved(config, await asyncio.to_thread(ports.names)) if patterns(config) else {}

        async def take(config: Config, start: Start) -> None:
            by = f"reload of {self._id}"
            await self._commands.append("", start.command(config, now_ms(), by, await stood_for(config)))
            dispatch.retarget()

        self._takers.insert(0, take)

        async def describe(topic: str) -> TopicInfo | None:
            found = await asyncio.to_thread(ports.identify, topic)
            return None if found is None else TopicInfo(id=found[0], partitions=found[1])

        worker = FaustWorker(
            config,
            brokers=ports.brokers,
            fold=Fold(empty=State.empty, step=step, restore=State.restore),
            catalog=self._catalog,
            store=ports.store,
            describe=describe,
            deliver=dispatch.hand_over,
            watching=self._beats.telemetry,
            embedded=ports.embedded,
        )
        found = await stood_for(config)
        await self._commands.append("", self._start.command(config, now_ms(), f"start of {self._id}", found))
        self._beats.alive["worker"] = Alive(
            status=lambda: self._beats.store.into(troubles.into(worker.status())),
            families=lambda: worker_families(self._counted),
        )

        async def count() -> None:
            found = await worker.worker.at_rest(tallies, REST_SECONDS)
            self._counted = self._counted if found is None else found

        self._count = count
        return {"worker": worker.run, "deliveries": dispatch.run}

    def _api(self) -> dict[str, Part]:
        from stream_monitor.api import create_api  # FastAPI and NiceGUI take seconds to import
        from stream_monitor.shell.http_parts import http

        config = self._config
        promotions = Promotions(config=lambda: self._config, catalog=self._catalog, folder=self._folder)
        app = create_api(
            config,
            self._ports.store,
            self._commands,
            probe=self._probe,
            prepare_file=promotions.of_file,
            catalog=self._catalog,
            prepare_layout=promotions.of_layout,
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

    # -- telling

    async def _beat(self) -> None:
        if self._count is not None:
            await self._count()
        await self._beats.beat(self._ports.store, self._config.store, self._ports.brokers)

    def _serve_itself(self, port: int) -> None:
        # Where this configuration lets itself be asked, in a container for one.
        server = self._beats.served(self._config.api.host, port)
        self._later(server.close)
        log.info("metrics on http://%s:%d/metrics", self._config.api.host, server.port)

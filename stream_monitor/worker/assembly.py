"""A worker put together: Faust's member of the group, the fold it feeds, and the supervision over both."""

from __future__ import annotations

import asyncio
from typing import Any, Generic

from stream_monitor.config import Config
from stream_monitor.interfaces import StatusStore
from stream_monitor.worker.agents import FaustMember
from stream_monitor.worker.buses import Announcing, Bus, Describe, Pace, Watching, checkpoints_topic
from stream_monitor.worker.handovers import Deliver
from stream_monitor.worker.owners import Fold, S
from stream_monitor.worker.supervision import Supervision
from stream_monitor.worker.workers import Worker


class FaustWorker(Generic[S]):
    """One worker of the group. `run` it in any event loop; `status()` says how it does."""

    def __init__(
        self,
        config: Config,
        *,
        brokers: str,
        fold: Fold[S],
        catalog: Announcing,
        store: StatusStore,
        describe: Describe,
        deliver: Deliver | None = None,
        watching: Watching | None = None,
        embedded: bool = False,
        pace: Pace | None = None,
    ) -> None:
        def worker(bus: Bus) -> Worker[S]:
            return Worker(
                fold=fold,
                catalog=catalog,
                store=store,
                bus=bus,
                checkpoints_topic=checkpoints_topic(config),
                prefix=config.kafka.prefix,
                watching=watching,
                pace=pace,
            )

        member = FaustMember(
            config, brokers=brokers, embedded=embedded, describe=describe, worker=worker, deliver=deliver
        )
        self.worker = member.worker
        self._supervision = Supervision(
            member,
            member.worker,
            describe=describe,
            panes_topic=f"{config.kafka.prefix}panes",
            checkpoints_topic=checkpoints_topic(config),
            handover=member.handover,
            pace=pace,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; StateError if it cannot go on. A process that then does not end is ended hard."""
        await self._supervision.run(stop)

    def status(self) -> dict[str, Any]:
        """For the status document and readiness; all times in seconds."""
        return self._supervision.status()

"""The broker as the worker sees it, through Faust's clients; see `buses.Bus`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    CommitFailedError,
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.exceptions import ProducerSendError
from faust.types import TP

from stream_monitor.errors import StateError, Unreachable
from stream_monitor.worker.buses import TABLE, Arrival, Outgoing
from stream_monitor.worker.owners import Span

log = logging.getLogger(__name__)


class FaustBus:
    """The broker through a Faust app; see `buses.Bus`."""

    def __init__(self, app: Any, panes_topic: str) -> None:
        self._app = app
        self._panes = panes_topic

    @property
    def generation(self) -> int:
        return int(self._app.consumer_generation_id)

    async def send(self, messages: Sequence[Outgoing]) -> None:
        try:
            futures = [
                await self._app.producer.send(m.topic, m.key, m.value, m.partition, None, list(m.headers))
                for m in messages
            ]
            done = await asyncio.gather(*futures, return_exceptions=True)
            for error in done:
                if isinstance(error, BaseException):
                    raise error
        except ProducerSendError as error:
            raise named(error.__cause__ or error) from error
        except (KafkaError, TimeoutError) as error:
            raise named(error) from error

    def ack(self, arrival: Arrival) -> None:
        arrival.event.ack()

    async def commit(self, partition: int, offset: int) -> bool:
        # Why not Faust's own commit: it takes an offset for committed whatever became of it.
        thread = self._app.consumer._thread
        what = {TopicPartition(self._panes, partition): OffsetAndMetadata(offset, "")}
        try:
            await thread.call_thread(thread._ensure_consumer().commit, what)
        except (CommitFailedError, IllegalStateError) as error:
            log.warning("partition %d: the commit of %d is not confirmed: %s", partition, offset, error)
            return False
        return True

    def forget(self, keys: Sequence[bytes]) -> None:
        table = self._app.tables[TABLE].data.data
        for key in keys:
            table.pop(key, None)

    async def seek(self, partition: int, offset: int) -> None:
        await self._app.consumer.seek(TP(self._panes, partition), offset)

    def pause(self, topic: str, partition: int) -> None:
        self._app.consumer.pause_partitions({TP(topic, partition)})

    def resume(self, topic: str, partition: int) -> None:
        self._app.consumer.resume_partitions({TP(topic, partition)})

    def partitions(self, topic: str) -> set[int]:
        """Partitions of a topic that are assigned to us."""
        return {tp.partition for tp in self._app.consumer.assignment() if tp.topic == topic}

    async def ends(self, topic: str) -> dict[int, int]:
        """The ends of the logs of our partitions of a topic, asked of the broker."""
        tps = {TP(topic, p) for p in self.partitions(topic)}
        found = await self._app.consumer.highwaters(*tps) if tps else {}
        return {tp.partition: int(end or 0) for tp, end in found.items()}

    async def spans(self) -> dict[int, Span]:
        """Where the logs of our partitions of the panes topic begin and end, and what is committed."""
        consumer = self._app.consumer
        thread = consumer._thread
        tps = {TP(self._panes, p) for p in self.partitions(self._panes)}
        begins = await consumer.earliest_offsets(*tps) if tps else {}
        ends = await self.ends(self._panes)
        spans = {}
        for tp, begin in begins.items():
            asked = TopicPartition(tp.topic, tp.partition)
            committed = await thread.call_thread(thread._ensure_consumer().committed, asked)
            spans[tp.partition] = Span(begin=int(begin or 0), end=ends[tp.partition], committed=committed)
        return spans


def named(error: BaseException) -> Exception:
    """An error of aiokafka's by what is to be done: Unreachable try again, StateError do not."""
    hopeless = isinstance(error, KafkaError) and not error.retriable and type(error).__name__ not in _PASSING
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, _FORBIDDEN):
        text += "; a right (ACL) is missing, `stream-monitor acls monitor.yaml` lists them all"
    return StateError(f"the broker refuses: {text}") if hopeless else Unreachable(text)


_FORBIDDEN: Final = (ClusterAuthorizationFailedError, GroupAuthorizationFailedError, TopicAuthorizationFailedError)
# Not marked as retriable by aiokafka, yet gone when the broker is back.
_PASSING: Final = frozenset({"KafkaTimeoutError", "KafkaConnectionError", "RequestTimedOutError", "NodeNotReadyError"})

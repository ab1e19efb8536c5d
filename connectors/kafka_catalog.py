"""The compacted topics: a catalog that follows them, and the way commands get into the panes topic."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import KafkaError, TopicPartition

from connectors.kafka import KafkaPublisher
from connectors.kafka_clients import ANSWER_SECONDS, Connection
from stream_monitor.config import Config
from stream_monitor.entries import Command, pack, partition_of
from stream_monitor.errors import StateError, Unreachable
from stream_monitor.publications import TOPICS, Publications, Topic, blob_messages, config_blob, layout_messages

LOAD_SECONDS: Final = 60.0
SETTLING_SECONDS: Final = 5.0  # a topic just created may have no leader yet


class KafkaCatalog(Publications):
    """Layouts, references and configurations of all processes. `load` first; then `follow` keeps it fresh in a thread.

    Publishing returns once it is acknowledged; what was published is in this catalog at once.
    """

    def __init__(self, connection: Connection, prefix: str) -> None:
        super().__init__()
        self._names: dict[str, Topic] = {prefix + topic: topic for topic in TOPICS}
        self._prefix, self._connection = prefix, connection
        self._consumer = connection.reader({"fetch.wait.max.ms": 50, "enable.partition.eof": True})
        self._publisher = KafkaPublisher(connection)
        self._positions: dict[tuple[str, int], int] = {}
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # -- reading

    def load(self, seconds: float = LOAD_SECONDS) -> None:
        """Read up to the present ends of the topics. Raises Unreachable."""
        with self._reading:
            until = time.monotonic() + seconds
            ends = self._ends(time.monotonic() + SETTLING_SECONDS)
            while any(self._positions[p] < end for p, end in ends.items()):
                if time.monotonic() > until:
                    raise Unreachable(f"the catalog could not be read within {seconds:g} s")
                self._read(0.05)

    def follow(self) -> None:
        """Take in what others publish, in a thread, until `close`."""
        self._thread = threading.Thread(target=self._run, name="catalog", daemon=True)
        self._thread.start()

    async def catch_up(self) -> None:
        """Read what has been published up to now."""
        await asyncio.to_thread(self.load)

    def _ends(self, until: float) -> dict[tuple[str, int], int]:
        while True:
            try:
                if not self._positions:
                    self._assign()
                with self._connection.asking("reading the catalog"):
                    return {
                        p: self._consumer.get_watermark_offsets(TopicPartition(*p), timeout=ANSWER_SECONDS)[1]
                        for p in self._positions
                    }
            except Unreachable:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def _assign(self) -> None:
        with self._connection.asking("reading the catalog"):
            for name in self._names:
                found = self._consumer.list_topics(name, timeout=ANSWER_SECONDS).topics[name]
                if found.error is not None:
                    raise self._connection.in_our_words(found.error, f"topic {name}")
                for number in found.partitions:
                    self._positions[name, number] = 0
            self._consumer.assign([TopicPartition(*p, 0) for p in self._positions])

    def _read(self, seconds: float) -> None:
        with self._connection.asking("reading the catalog"):
            messages = self._consumer.consume(500, seconds)
        for message in messages:
            error = message.error()
            topic, number, key = message.topic(), message.partition(), message.key()
            if error is not None:
                if error.fatal():
                    raise StateError(f"reading the catalog: {error.str()}")
                if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    raise self._connection.in_our_words(error, "reading the catalog")
                if error.code() == KafkaError._PARTITION_EOF:  # the log may end in holes
                    self._positions[topic, number] = message.offset()
                continue
            self._positions[topic, number] = message.offset() + 1
            if key is not None:
                self.take(self._names[topic], key, message.value())

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._reading:
                    self._read(0.2)
            except Unreachable:
                self._stop.wait(1)
            time.sleep(0)  # let `load` in

    # -- publishing

    async def announce(self, kind: str, id: str, model: str = "") -> None:
        """Publish the "layout" (as the model's from now on, if one is named) or the "reference" with that id."""
        if kind == "layout":
            await asyncio.to_thread(self.publish_layout, id, model)
        else:
            await asyncio.to_thread(self.publish_reference, id)

    def publish_layout(self, id: str, model: str = "", instead_of: str = "") -> None:
        """The layout with that id; if a model is named, it is the model's layout from now on.

        `instead_of`: the layout of the model's reference file, whose place it takes for good.
        """
        messages = layout_messages(self.layout(id), model, instead_of)
        self._publish("layouts", messages)
        for key, value in messages:
            self.take("layouts", key, value)

    def publish_reference(self, id: str) -> None:
        """The reference with that id."""
        self._publish("references", blob_messages(self.blob(id)))

    async def withdraw(self, ids: Sequence[str]) -> None:
        """Write the tombstones of references that nothing names any more; returns once they are acknowledged.

        Every process lets go of them when it reads that, this one too.
        """
        await asyncio.to_thread(self._withdraw, ids)

    def _withdraw(self, ids: Sequence[str]) -> None:
        with self._reading:
            keys = [key for id in ids for key in self.tombstones(id)]
        self._publish("references", [(key, None) for key in keys])

    def publish_config(self, config: Config) -> str:
        """The configuration without its secrets; returns its id."""
        data = config_blob(config)
        self._publish("configs", blob_messages(data))
        return self.add_blob(data)

    def publish_blob(self, data: bytes) -> str:
        """Some other content that configurations' readers need; returns its id."""
        self._publish("configs", blob_messages(data))
        return self.add_blob(data)

    def _publish(self, topic: Topic, messages: Sequence[tuple[bytes, bytes | None]]) -> None:
        with self._writing:
            for key, value in messages:
                self._publisher.send(self._prefix + topic, 0, value, key)
            self._publisher.settle(LOAD_SECONDS, self._stop)

    def close(self) -> None:
        """Stop following and let go of the clients."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(3)
        with self._reading:
            self._consumer.close()
        self._publisher.close()


class KafkaCommandLog:
    """CommandLog over the panes topic."""

    def __init__(self, connection: Connection, prefix: str, partitions: int) -> None:
        self._publisher = KafkaPublisher(connection)
        self._topic = f"{prefix}panes"
        self._partitions = partitions
        self._stop = threading.Event()
        self._lock = threading.Lock()

    async def append(self, model: str, command: Command) -> None:
        await asyncio.to_thread(self.append_now, model, command)

    def append_now(self, model: str, command: Command) -> None:
        """As `append`, blocking."""
        to = [partition_of(model, self._partitions)] if model else range(self._partitions)
        with self._lock:
            for partition in to:
                self._publisher.send(self._topic, partition, pack(command))
            self._publisher.settle(LOAD_SECONDS, self._stop)

    def close(self) -> None:
        """Let go of the client; a waiting `append` fails."""
        self._stop.set()
        self._publisher.close()

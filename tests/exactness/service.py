"""The service as its users run it: processes started by command line, spoken to through the contract alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.kafka.node import end, free_port
from stream_monitor import failpoints
from tests.exactness import streams
from tests.exactness.oracle import Record
from tests.exactness.streams import Raw
from tests.servers import wait_until

CONFIG = """\
kafka:
  brokers: {brokers}
  group: {name}
  prefix: "{name}."
  options: {options}
store: {redis}
api: {{host: 127.0.0.1, port: {port}, keys: test-key}}
time: {{idle_after: 5m}}
models:
  fraud:
    topic: fraud.predictions
    task: binary
    fields: {{id: id, time: ts, version: version, features: features, prediction: prediction, score: score}}
    columns: {{amount: numeric, age: numeric, ratio: numeric, country: categorical}}
    segments: [country]
    reference: {{file: reference.csv}}
    pane: 10s
    window: {{size: 1m}}
    min_rows: 50
  churn:
    topic: churn.predictions
    task: binary
    fields: {{id: id, time: ts, version: version, features: [x], prediction: prediction, score: score}}
    columns: {{x: numeric}}
    labels: {{topic: churn.labels, fields: {{id: id, time: ts, label: label}}, ttl: 1d}}
    reference: {{first: 500, trailing: 30m, every: 6m}}
    pane: 10s
    window: {{size: 1m}}
    min_rows: 50
"""
SESSION = "{session.timeout.ms: 6000, heartbeat.interval.ms: 1000}"
SOURCES = {"fraud.predictions": 3, "churn.predictions": 2, "churn.labels": 2}
LARGE = {"message.max.bytes": 2 * streams.TOO_LARGE}  # what the source topics and their producers allow


FROZEN_SECONDS = 10.0  # past the session timeout: its partitions go to another
# No fault of a test's ends a process by one of these: a client's library has.
CRASHES = (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV)


class Role:
    """One process of a role, started again whenever it ends by itself, as an orchestrator would.

    Each life is given the next of `failpoints`, and meets its end there; one that freezes is thawed after
    FROZEN_SECONDS, and killed a little later if there are more failpoints to try.
    """

    def __init__(self, folder: Path, name: str, arguments: list[str]) -> None:
        self.name = name
        self.restarts = self.freezes = 0
        self.failpoints: list[str] = []
        self.crashes: list[str] = []
        self._command = [sys.executable, "-m", "stream_monitor", *arguments]
        self._log = folder / f"{name}.log"
        self._wanted = False
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None

    def start(self) -> None:
        self._wanted = True
        self._spawn()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def _spawn(self) -> None:
        env = os.environ | {failpoints.VARIABLE: self.failpoints.pop(0) if self.failpoints else ""}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True, env=env)

    def _keep(self) -> None:
        while self._wanted:
            process = self._process
            if process is not None and process.poll() is not None and self._wanted:
                self.restarts += 1
                self.crashes += [s.name for s in CRASHES if process.returncode == -s]
                self._spawn()
            elif process is not None and self.frozen():
                self.freezes += 1
                time.sleep(FROZEN_SECONDS)
                self.thaw()
                if self.failpoints:
                    time.sleep(FROZEN_SECONDS / 2)
                    self.kill()
            time.sleep(0.2)

    def frozen(self) -> bool:
        """Whether its process is stopped (SIGSTOP)."""
        try:
            return psutil.Process(self.pid).status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:
            return False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """kill -9; it is started again."""
        assert self._process is not None
        self._process.kill()

    def terminate(self) -> None:
        """Ask it to stop in good order; it is started again."""
        assert self._process is not None
        self._process.terminate()

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """An orderly stop; its exit code."""
        self._wanted = False
        if self._keeper is not None:
            self._keeper.join(2)
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        code = end(self._process, seconds=60)
        self.crashes += [s.name for s in CRASHES if code == -s]
        return code

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""


class Service:
    """Taps, workers and an api over one Kafka and one Redis."""

    def __init__(
        self,
        folder: Path,
        *,
        brokers: str,
        redis: str,
        name: str,
        taps: int = 2,
        workers: int = 2,
        options: str = SESSION,
    ) -> None:
        port = free_port()
        self.folder, self.brokers, self.name = folder, brokers, name
        self.url = f"http://127.0.0.1:{port}"
        self.config = folder / "monitor.yaml"
        self.config.write_text(CONFIG.format(brokers=brokers, redis=redis, name=name, port=port, options=options))
        file = str(self.config)
        self.taps = [Role(folder, f"tap-{i}", ["tap", file]) for i in range(taps)]
        self.workers = [Role(folder, f"worker-{i}", ["worker", file]) for i in range(workers)]
        self.api = Role(folder, "api", ["api", file])

    @property
    def roles(self) -> list[Role]:
        return [*self.taps, *self.workers, self.api]

    def start(self) -> None:
        for role in self.roles:
            role.start()

    def stop(self) -> None:
        for role in self.roles:
            role.stop()

    def get(self, path: str) -> Any:
        key = {"authorization": "Bearer test-key"}
        answer = httpx.get(f"{self.url}{path}", timeout=60, trust_env=False, headers=key)
        answer.raise_for_status()
        return answer.json()

    def works(self, role: Role) -> bool:
        """Whether the process that has the role now is at work on some partition, as the service itself says."""
        try:
            status = self.get("/v1/status")
        except httpx.HTTPError:
            return False
        told = [p for p in (*status["taps"], *status["workers"]) if p["id"].endswith(f":{role.pid}")]
        return any(p["healthy"] and (p.get("assigned") or p.get("partitions")) for p in told)

    def everything(self, path: str) -> list[dict[str, Any]]:
        """All items of a paged list."""
        items: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = self.get(f"{path}?limit=1000" + (f"&cursor={cursor}" if cursor else ""))
            items += page["items"]
            cursor = page["next"]
        return items

    def logs(self) -> str:
        """The end of every process's log, for a failing test."""
        return "\n".join(f"--- {r.name} (restarts: {r.restarts})\n{r.log()[-1500:]}" for r in self.roles)


def create_topics(brokers: str, topics: dict[str, int]) -> None:
    """Create topics with so many partitions and wait for them."""
    admin = AdminClient({"bootstrap.servers": brokers})
    config = {"max.message.bytes": str(LARGE["message.max.bytes"])}
    for future in admin.create_topics([NewTopic(t, n, 1, config=config) for t, n in topics.items()]).values():
        future.result(120)
    wait_until(lambda: topics.keys() <= admin.list_topics(timeout=60).topics.keys(), what="topics created")


def publish(brokers: str, raws: Sequence[Raw], *, seconds: float, go_on: threading.Event) -> None:
    """Publish in order: nine tenths at a steady rate over `seconds`, the rest once `go_on` is set."""
    producer = Producer(
        {"bootstrap.servers": brokers, "linger.ms": 20, "enable.idempotence": True, "log_level": 0, **LARGE}
    )
    begin, n = time.monotonic(), 0
    per_second = 0.9 * len(raws) / seconds
    for n, raw in enumerate(raws, 1):
        if n == len(raws) * 9 // 10:
            producer.flush(120)
            go_on.wait()
        while True:
            try:
                producer.produce(raw.topic, raw.value, raw.key, partition=raw.partition)
                break
            except BufferError:
                producer.poll(0.1)
        if n % 200 == 0:
            producer.poll(0)
            if (ahead := n / per_second - (time.monotonic() - begin)) > 0:
                time.sleep(ahead)
    if producer.flush(120):
        raise AssertionError(f"{n} events could not be published")


def read_all(brokers: str, topic: str) -> list[Any]:
    """Every message of a topic, by partition and offset."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "reader", "enable.auto.commit": False})
    try:
        messages = []
        for p in consumer.list_topics(topic, timeout=60).topics[topic].partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=60)
            if low == high:
                continue
            consumer.assign([TopicPartition(topic, p, low)])
            at = low
            while at < high:
                for message in consumer.consume(min(5_000, high - at), 5):
                    if message.error():
                        raise AssertionError(message.error())
                    messages.append(message)
                    at = message.offset() + 1
        return messages
    finally:
        consumer.close()


def records(brokers: str, topic: str) -> list[Record]:
    """A source topic as the oracle reads it."""
    messages = read_all(brokers, topic)
    return [Record(topic=topic, partition=m.partition(), offset=m.offset(), value=m.value()) for m in messages]

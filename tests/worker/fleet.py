"""Worker processes of the toy fold over a real Kafka: started, killed, frozen, and started again when they end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from stream_monitor.entries import Command, pack
from tests.servers import await_end, wait_until
from tests.worker.toy import entry, totals

PARTITIONS = 4


class Process:
    """One worker; its last status is `status`. It is started again when it ends by itself, as a supervisor would."""

    def __init__(self, folder: Path, name: str, command: list[str]) -> None:
        self.status: dict[str, Any] = {}
        self.exits: list[int] = []
        self._command = command
        self._log = folder / f"{name}.log"
        self._wanted = True
        self._process = self._spawn()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _spawn(self) -> subprocess.Popen[str]:
        with self._log.open("ab") as log:
            return subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=log, text=True)

    def _keep(self) -> None:
        while self._wanted:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                self.status = json.loads(line)
            self.status = {}
            self.exits.append(self._process.wait())
            self._process.stdout.close()
            if self._wanted:
                self._process = self._spawn()

    def kill(self) -> None:
        self._process.kill()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """An orderly stop, without waiting for it."""
        self._wanted = False
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()

    def end(self, seconds: float = 25) -> int:
        """Wait for the end of a process that was told to; its exit code."""
        try:
            await_end(self._process, seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._thread.join()
        return self.exits[-1]

    def log(self) -> str:
        return self._log.read_text(errors="replace")


class Fleet:
    """Topics of their own under a fresh name, workers, and what was sent."""

    def __init__(self, folder: Path, bootstrap: str, *, embedded: bool = False) -> None:
        self._embedded = embedded
        self.name = f"toy{uuid.uuid4().hex[:8]}"
        self.bootstrap = bootstrap
        self.entries: dict[int, list[Command]] = defaultdict(list)
        self.workers: list[Process] = []
        self._folder = folder
        self._create()
        in_order = {"enable.idempotence": True}  # an entry that is sent again must not come behind a later one
        self._producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0, **in_order})

    def _create(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        compacted = {"cleanup.policy": "compact"}
        topics = [NewTopic(f"{self.name}.panes", PARTITIONS, 1)]
        topics += [NewTopic(f"{self.name}-worker-checkpoints-changelog", PARTITIONS, 1, config=compacted)]
        topics += [NewTopic(f"{self.name}.{t}", PARTITIONS, 1) for t in ("verdicts", "alerts", "retrain-requests")]
        if self._embedded:  # they come up when they are asked for
            for topic in topics:
                admin.list_topics(topic.topic, timeout=60)
            return
        for future in admin.create_topics(topics).values():
            future.result(120)

    def start(self) -> Process:
        command = [sys.executable, "-m", "tests.worker.process", self.bootstrap, self.name]
        command += ["embedded"] if self._embedded else []
        worker = Process(self._folder, f"w{len(self.workers)}", command)
        self.workers.append(worker)
        return worker

    def send(self, count: int) -> None:
        """So many more entries to every partition, each from a source of its own; some of them twice."""
        for partition in range(PARTITIONS):
            sent = self.entries[partition]
            for n in range(len(sent) + 1, len(sent) + count + 1):
                sent.append(entry(f"s{partition}", n, f"k{n % 13}", n % 11 - 5))
                for _ in range(2 if n % 17 == 0 else 1):
                    self._producer.produce(f"{self.name}.panes", pack(sent[-1]), partition=partition)
                    self._producer.poll(0)
        assert self._producer.flush(120) == 0

    def commit_ends(self) -> None:
        """Commit the ends of the panes topic for the workers' group, as an admin tool can when none of them lives."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": f"{self.name}-worker"})
        places = [TopicPartition(f"{self.name}.panes", partition) for partition in range(PARTITIONS)]
        for place in places:
            place.offset = consumer.get_watermark_offsets(place, timeout=60)[1]
        consumer.commit(offsets=places, asynchronous=False)
        consumer.close()

    def states(self) -> dict[int, dict[str, int]]:
        """The totals of every partition that has an owner with nothing left to fold, as far as the workers say."""
        found = {}
        for worker in self.workers:
            status = worker.status
            for p in status.get("partitions", []):
                if p["end"] and p["at"] >= p["end"]:
                    found[p["partition"]] = status["states"][str(p["partition"])]
        return found

    def expected(self) -> dict[int, dict[str, int]]:
        return {partition: totals(sent) for partition, sent in self.entries.items()}

    def settle(self, seconds: float = 60) -> None:
        """Until every state is the oracle's."""
        try:
            wait_until(lambda: self.states() == self.expected(), seconds, "states equal to the oracle's", every=0.2)
        except AssertionError:
            raise AssertionError(f"{self.states()}\n!=\n{self.expected()}\n{self.logs()}") from None

    def contents(self, topic: str) -> dict[str, set[bytes]]:
        """Every content that was published under each ce_id."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reader", "enable.auto.commit": False})
        found: dict[str, set[bytes]] = defaultdict(set)
        try:
            for partition in range(PARTITIONS):
                place = TopicPartition(f"{self.name}.{topic}", partition, 0)
                end = consumer.get_watermark_offsets(place, timeout=60)[1]
                consumer.assign([place])
                at = 0
                while at < end:
                    for m in consumer.consume(500, 0.3):
                        assert m.error() is None, m.error()
                        headers = dict(m.headers() or [])
                        found[headers["ce_id"].decode()].add(m.value() or b"")
                        at = (m.offset() or 0) + 1
        finally:
            consumer.close()
        return found

    def check_outputs(self) -> None:
        """Every verdict and alert is there, and no id has two contents."""
        for topic, every in (("verdicts", 5), ("alerts", 20)):
            contents = self.contents(topic)
            kind = topic[:-1]
            want = {f"{kind}-s{p}-{n}" for p, sent in self.entries.items() for n in range(every, len(sent) + 1, every)}
            assert set(contents) == want
            assert [id for id, values in contents.items() if len(values) != 1] == []

    def logs(self) -> str:
        return "\n".join(f"-- {i}\n{w.log()[-6000:]}" for i, w in enumerate(self.workers))

    def stop(self) -> list[int]:
        """Stop all; their exit codes."""
        for worker in self.workers:
            worker.terminate()
        return [worker.end() for worker in self.workers]


def eventually(fleet: Fleet, worker: Process, seconds: float = 40) -> None:
    """Until this worker has a partition."""
    wait_until(lambda: bool(worker.status.get("partitions")), seconds, f"an assignment\n{fleet.logs()}", every=0.2)


def pause(seconds: float) -> None:
    """Let a timeout of the broker pass."""
    time.sleep(seconds)

"""kill -HUP on a running service: models come and go, and the windows of the others are those of an oracle."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import Producer

from deploy.kafka.node import Node, free_port
from tests.exactness.service import create_topics
from tests.servers import answers, wait_until
from tests.shell.test_service import get, process, stop

HEAD = """\
kafka: {{brokers: "{brokers}", prefix: "{name}.", group: {group}, partitions: 2}}
store: memory
api: {{port: {port}}}
time: {{out_of_orderness: 1s, idle_after: {idle}}}
sinks: {sinks}
models:
"""
MODEL = """\
  {model}:
    topic: {topic}
    fields: {{id: id, time: ts, features: features}}
    columns: {{amount: numeric}}
    reference: {{file: normal.csv}}
    pane: 1s
    window: {{size: 5s}}
    min_rows: 20
    alerts: {{for: 1}}
    monitors: [{{metric: psi, columns: [amount], threshold: {threshold}}}]
"""
PER_SECOND = 20  # events of a second of event time, over two partitions


class Traffic:
    """Events of one topic, five seconds of event time a second, until told to stop; and what they add up to."""

    def __init__(self, brokers: str, topic: str, begin: int, shift: float = 0.0) -> None:
        self.topic, self.begin, self.at, self.shift = topic, begin, begin, shift
        self.truth: dict[int, list[float]] = {}  # window -> its amounts
        self._producer = Producer({"bootstrap.servers": brokers, "linger.ms": 5, "enable.idempotence": True})
        self._random = random.Random(topic)
        self._told = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._told.is_set():
            self.second(self._random.gauss)
            time.sleep(0.2)

    def second(self, draw: Callable[[float, float], float]) -> None:
        for i in range(PER_SECOND):
            amount = round(draw(100 + self.shift, 10), 3)
            event = {"id": f"{self.at}-{i}", "ts": self.at + i / PER_SECOND, "features": {"amount": amount}}
            self._producer.produce(self.topic, json.dumps(event).encode(), partition=i % 2)
            self.truth.setdefault(self.at // 5 * 5, []).append(amount)
        assert self._producer.flush(120) == 0
        self.at += 1

    def stop(self) -> None:
        self._told.set()
        self._thread.join()
        while self.at % 5 != 2:  # far enough into a window to close the one before
            self.second(self._random.gauss)


@contextmanager
def traffic(brokers: str, topic: str, begin: int, shift: float = 0.0) -> Iterator[Traffic]:
    running = Traffic(brokers, topic, begin, shift)
    try:
        yield running
    finally:
        running.stop()


def told(url: str, model: str) -> dict[int, tuple[int, float, float, float]]:
    """Start of a window -> (rows, least, greatest, sum) as served."""
    out = {}
    for w in get(url, f"/v1/models/{model}/windows?limit=1000&segment=all")["items"]:
        start = int(time.mktime(time.strptime(w["start"], "%Y-%m-%dT%H:%M:%SZ"))) - time.timezone
        of = w["columns"]["amount"]
        out[start] = (w["rows"], of["min"], of["max"], round(of["sum"], 6))
    return out


def _has_told(url: str, model: str, windows: Iterable[int]) -> bool:
    return set(told(url, model)) >= set(windows)


def oracle(of: Traffic, until: int) -> dict[int, tuple[int, float, float, float]]:
    return {s: (len(a), min(a), max(a), round(sum(a), 6)) for s, a in of.truth.items() if s + 5 <= until}


def test_models_come_and_go_while_the_stream_runs(kafka: Node, tmp_path: Path) -> None:
    """
    steady   |=====================================================|   untouched: bit-equal to the oracle
    leaving  |==== drift, alert ====| HUP: resolved, gone
    joining                         | HUP: all of its topic, from the beginning
    beside                          | HUP: the same topic as `steady`, from the block at which the taps turned
    """
    name = f"reload{time.time_ns() // 1_000_000}"
    port = free_port()
    url, file = f"http://127.0.0.1:{port}", tmp_path / "monitor.yaml"
    rng = random.Random(3)
    (tmp_path / "normal.csv").write_text("amount\n" + "\n".join(f"{rng.gauss(100, 10):.3f}" for _ in range(2_000)))
    create_topics(kafka.bootstrap, {f"{name}-{t}": 2 for t in ("steady", "leaving", "joining")})

    def write(models: dict[str, str], group: str = name, sinks: str = "[]", idle: str = "60s") -> None:
        text = HEAD.format(brokers=kafka.bootstrap, name=name, port=port, group=group, sinks=sinks, idle=idle)
        text += "".join(MODEL.format(model=m, topic=f"{name}-{t}", threshold=0.5) for m, t in models.items())
        file.write_text(text)

    def log() -> list[dict[str, Any]]:
        return [json.loads(line) for line in next(tmp_path.glob("run-*.log")).read_text().splitlines()]

    def heard(text: str, level: str = "info") -> bool:
        return any(text in line["message"] and line["level"] == level for line in log())

    begin = int(time.time()) // 5 * 5 - 3_000
    write({"steady": "steady", "leaving": "leaving"})
    with process(tmp_path, "run", str(file)) as running:
        wait_until(lambda: answers(f"{url}/readyz"), 200, "readiness")
        with traffic(kafka.bootstrap, f"{name}-steady", begin) as steady:
            with traffic(kafka.bootstrap, f"{name}-leaving", begin, shift=80):
                wait_until(lambda: bool(firing(url, "leaving")), 90, "an alert")
            [alert] = firing(url, "leaving")
            write({"steady": "steady", "joining": "joining", "beside": "steady"}, idle="50s")
            turned = steady.at
            running.send_signal(signal.SIGHUP)
            wait_until(lambda: heard("models added: beside, joining; removed: leaving; time changed"), 60, "taken over")
            with traffic(kafka.bootstrap, f"{name}-joining", begin) as joining:
                wait_until(lambda: len(told(url, "joining")) >= 3, 90, "windows of what joined")
            wait_until(lambda: len(told(url, "beside")) >= 2, 60, "windows of what came beside")

            # What is wrong changes nothing; what needs a restart is said.
            file.write_text(file.read_text().replace("psi", "pis").replace("50s", "soon"))
            running.send_signal(signal.SIGHUP)
            wait_until(lambda: heard("the old configuration goes on: 4 mistakes", "error"), 60, "mistakes")
            assert heard(f"{file}:4: time.idle_after", "error")
            assert heard("unknown metric 'pis'; did you mean 'psi'?", "error")
            write({"steady": "steady", "joining": "joining", "beside": "steady"}, group="other", idle="50s")
            running.send_signal(signal.SIGHUP)
            wait_until(lambda: heard("kafka.group has changed: that needs a restart", "warning"), 60, "a warning")
        for model, of in (("steady", steady), ("joining", joining)):
            want = oracle(of, of.at - 2)
            wait_until(partial(_has_told, url, model, want), 60, "the last windows")
            served = told(url, model)
            assert {s: served[s] for s in want} == want
        want, served = oracle(steady, steady.at - 2), told(url, "beside")
        first, *later = sorted(served)
        assert turned - 60 <= first <= turned + 60
        assert later
        assert {s: served[s] for s in later if s in want} == {s: want[s] for s in later if s in want}
        gone = get(url, f"/v1/alerts/{alert['id']}")
        assert (gone["state"], gone["reason"]) == ("resolved", "the model was removed from the configuration")
        assert [m["model"] for m in get(url, "/v1/models")["items"]] == ["beside", "joining", "steady"]
        assert httpx.get(f"{url}/v1/models/leaving", timeout=60, trust_env=False).status_code == 404
        assert get(url, "/v1/status")["overlap_blocks"] == 0
        stop(running, signal.SIGTERM)


def firing(url: str, model: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = get(url, "/v1/alerts")["items"]
    return [a for a in items if a["model"] == model and a["state"] == "firing"]

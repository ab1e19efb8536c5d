"""Processes of the service as they are started by hand: all in one with nothing installed, and each role apart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.kafka.node import Node, free_port
from tests.servers import answers, await_end, redis_ready, redis_server, wait_until
from tests.shell.fraud import FRAUD, KEY, publish, write_normal

CONFIG = (
    """\
kafka: {{brokers: "{brokers}", prefix: "{name}.", group: {name}, options: {{session.timeout.ms: 6000}}}}
store: "{store}"
"""
    + FRAUD
)


def write_config(folder: Path, *, brokers: str, store: str, name: str) -> tuple[str, str]:
    """The file and the address of the api."""
    write_normal(folder)
    port = free_port()
    (folder / "monitor.yaml").write_text(CONFIG.format(brokers=brokers, store=store, name=name, port=port))
    return str(folder / "monitor.yaml"), f"http://127.0.0.1:{port}"


@contextmanager
def process(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the service, its logs in the folder; killed if it is still there at the end."""
    log = folder / f"{arguments[0]}-{len(list(folder.iterdir()))}.log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "stream_monitor", "--log-format", "json", *arguments]
        running = subprocess.Popen(command, stderr=file, env={**os.environ, "API_KEY": KEY})
    try:
        yield running
    except BaseException:
        sys.stderr.write(log.read_text()[-4000:])
        raise
    finally:
        running.kill()
        running.wait()
        for line in log.read_text().splitlines():
            assert KEY not in line
            assert json.loads(line)["level"]


def command(*arguments: str) -> int:
    """The exit code of a command that ends by itself."""
    environment = {**os.environ, "API_KEY": KEY}
    run = [sys.executable, "-m", "stream_monitor", *arguments]
    return subprocess.run(run, check=False, env=environment, stdout=subprocess.DEVNULL).returncode


def get(url: str, path: str) -> Any:
    answer = httpx.get(f"{url}{path}", timeout=60, trust_env=False)
    answer.raise_for_status()
    return answer.json()


def levels(url: str) -> dict[str, str]:
    """Window start -> level of its verdict."""
    items = get(url, "/v1/models/fraud/verdicts?limit=1000&segment=all")["items"]
    return {v["start"]: v["level"] for v in items}


def watch_a_shift(url: str, brokers: str, topic: str) -> None:
    """Thirty quiet seconds of traffic and thirty shifted ones become verdicts and a firing alert."""
    start = (time.time() - 120) // 5 * 5
    publish(brokers, topic, shift=0, start=start, seconds=30)
    publish(brokers, topic, shift=80, start=start + 30, seconds=31)
    wait_until(lambda: len(levels(url)) >= 11, 90, "verdicts of eleven windows")
    seen = [level for _, level in sorted(levels(url).items())]
    assert seen[:6] == ["ok"] * 6
    assert set(seen[6:11]) == {"drift"}
    assert get(url, "/v1/alerts")["items"][0]["state"] == "firing"


def counts_events(url: str) -> bool:
    return 'stream_monitor_events_total{model="fraud"' in httpx.get(url, timeout=60, trust_env=False).text


def stop(running: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """In order."""
    running.send_signal(how)
    assert await_end(running) == 0  # a hard end, 18 s after the signal, is 1


def test_everything_in_one_process_with_nothing_installed(tmp_path: Path) -> None:
    file, url = write_config(tmp_path, brokers="localhost:9092", store="redis://localhost:1/0", name="one")
    with process(tmp_path, "run", file, "--embedded") as running:
        wait_until(lambda: answers(f"{url}/readyz"), 120, "readiness")
        status = get(url, "/v1/status")
        assert any("embedded" in note for note in status["notes"])
        watch_a_shift(url, status["brokers"], "one-events")
        told = subprocess.run(
            [sys.executable, "-m", "stream_monitor", "status", "--url", url, "fraud", "--json"],
            check=True,
            capture_output=True,
        )
        assert json.loads(told.stdout)["levels"]["drift"] == "drift"
        stop(running, signal.SIGTERM)


def fails(url: str) -> bool:
    return not answers(url)


def test_each_role_apart_on_kafka_and_redis(kafka: Node, tmp_path: Path) -> None:
    store = redis_server(tmp_path)
    file, url = write_config(tmp_path, brokers=kafka.bootstrap, store=f"redis://127.0.0.1:{store.port}/0", name="apart")
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for future in admin.create_topics([NewTopic("apart-events", 2, 1)]).values():
        future.result(120)
    ports = {"tap": free_port(), "worker": free_port()}
    with ExitStack() as roles:
        store.start(redis_ready(store))
        roles.callback(store.stop)
        assert command("check", file, "--connect") == 0
        running = [
            roles.enter_context(process(tmp_path, role, file, "--http", str(port))) for role, port in ports.items()
        ]
        running.append(roles.enter_context(process(tmp_path, "api", file)))
        wait_until(lambda: answers(f"{url}/readyz"), 200, "readiness")
        watch_a_shift(url, kafka.bootstrap, "apart-events")
        for role, port in ports.items():
            wait_until(partial(answers, f"http://127.0.0.1:{port}/readyz"), what=f"a ready {role}")
            wait_until(partial(counts_events, f"http://127.0.0.1:{port}/metrics"), 30, f"counting in the {role}")
        ready = [f"{url}/readyz", *(f"http://127.0.0.1:{port}/readyz" for port in ports.values())]
        store.freeze()
        for one in ready:
            wait_until(partial(fails, one), 30, f"{one} without its store")
        store.thaw()
        for one in ready:
            wait_until(partial(answers, one), 60, f"{one} with its store")
        assert f"{61 * 40}.0" in httpx.get(f"{url}/metrics", timeout=60, trust_env=False).text
        written = tmp_path / "written" / "monitor.yaml"
        written.parent.mkdir()
        init = ["init", "--topic", "apart-events", "--brokers", kafka.bootstrap, "--output", str(written)]
        assert command(*init, "--reference", str(tmp_path / "normal.csv")) == 0
        assert command("check", str(written), "--connect") == 0
        assert "score: score" in written.read_text()
        assert command(*init) == 2  # it is there already
        for process_ in running:
            stop(process_, signal.SIGINT)


def test_a_port_that_is_taken_ends_the_process_with_1(tmp_path: Path) -> None:
    file, _ = write_config(tmp_path, brokers="embedded", store="memory", name="taken")
    with process(tmp_path, "run", file) as first:
        url = f"http://127.0.0.1:{_port_of(file)}"
        wait_until(lambda: answers(f"{url}/healthz"), 120, "the first one")
        with process(tmp_path, "run", file) as second:
            assert await_end(second, 120) == 1
        assert first.poll() is None


def _port_of(file: str) -> str:
    return Path(file).read_text().split("port: ")[1].split(",")[0]


@pytest.mark.parametrize("role", ["tap", "worker", "api"])
def test_a_role_apart_needs_a_store_that_others_see(tmp_path: Path, role: str) -> None:
    file, _ = write_config(tmp_path, brokers="localhost:1", store="memory", name="alone")
    told = subprocess.run(
        [sys.executable, "-m", "stream_monitor", role, file], check=False, capture_output=True, text=True,
        env={**os.environ, "API_KEY": KEY},
    )  # fmt: skip
    assert told.returncode == 2
    assert f"{file}:2: store: memory is seen by one process only" in told.stderr

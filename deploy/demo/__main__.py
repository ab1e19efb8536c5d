"""Two real models in production, watched: `make demo`, or `make demo DEMO_SECONDS=90` to end by itself.

Starts `stream-monitor run --embedded`, publishes the traffic of both models at about four event-days a second, and
answers retrain requests as a training pipeline would. Nothing that is shown is scripted: verdicts, alerts and requests
follow from the data.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import Producer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.demo.clocks import DAYS_A_SECOND, Clocks
from deploy.demo.models import MODELS
from deploy.demo.pipeline import Pipeline
from deploy.demo.summary import missing, print_summary
from deploy.demo.traffic import Traffic
from deploy.kafka.node import free_port

START_SECONDS = 90.0
SETTLE_SECONDS = (3.0, 20.0)  # at the end: the last windows close, and the service reads what it is behind
CONFIG = Path(__file__).with_name("monitor.yaml")


class Demo:
    """The service in a process of its own, the traffic and the pipeline in this one."""

    def __init__(self, folder: Path, port: int, console: Console) -> None:
        self.folder = folder
        self.console = console
        self.api = f"http://127.0.0.1:{port}"
        self.key = secrets.token_hex(16)
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
        self.say("training the first versions")
        self.traffic = {m.name: Traffic(m) for m in MODELS}
        for name, traffic in self.traffic.items():
            traffic.write_reference(traffic.reference, traffic.reference_predictions, folder / f"{name}.parquet")
        self.pipeline = Pipeline(
            self.traffic, api=self.api, key=self.key, secret=self.secret, folder=folder, say=self.say
        )
        self._port = port
        self._service: subprocess.Popen[bytes] | None = None

    def say(self, text: str) -> None:
        """A line for people."""
        self.console.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {text}", highlight=False)

    def start(self) -> None:
        """Start the pipeline and the service; returns when the service is ready."""
        self.pipeline.start()
        config = self.folder / "monitor.yaml"
        config.write_text(CONFIG.read_text())
        environment = {
            **os.environ,
            "DEMO_API_KEY": self.key,
            "DEMO_API_PORT": str(self._port),
            "DEMO_WEBHOOK": self.pipeline.url,
            "DEMO_SECRET": self.secret,
        }
        log = (self.folder / "service.log").open("wb")
        command = [sys.executable, "-m", "stream_monitor", "run", str(config), "--embedded"]
        self._service = subprocess.Popen(command, env=environment, stderr=log, start_new_session=True)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            self.check_alive()
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.api}/readyz", timeout=2, trust_env=False).status_code == 200:
                    return
            time.sleep(0.3)
        raise RuntimeError(f"the service was not ready within {START_SECONDS:.0f} s:\n{self.log_tail()}")

    def check_alive(self) -> None:
        """Raise with the end of its log if the service is gone."""
        if self._service is not None and self._service.poll() is not None:
            raise RuntimeError(f"the service ended with exit code {self._service.returncode}:\n{self.log_tail()}")

    def log_tail(self) -> str:
        return (self.folder / "service.log").read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        """End what was started."""
        self.pipeline.stop()
        if self._service is not None:
            self._service.send_signal(signal.SIGTERM)
            try:
                self._service.wait(25)
            except subprocess.TimeoutExpired:
                self._service.kill()
                self._service.wait()

    def get(self, path: str) -> Any:
        """A GET on the service's API."""
        answer = httpx.get(f"{self.api}{path}", timeout=10, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def play(self, seconds: float | None, stop: threading.Event) -> None:
        """Publish everything in event order, for `seconds` at the most; a model waits for what it is retrained to."""
        producer = Producer({"bootstrap.servers": self.get("/v1/status")["brokers"], "linger.ms": 20})
        clocks = Clocks(self.traffic, self.pipeline.is_open)
        bar = Progress(
            TextColumn("{task.description}"), BarColumn(20), TimeElapsedColumn(), console=self.console, transient=True
        )
        length = max((t.end - t.start).days for t in self.traffic.values()) / DAYS_A_SECOND
        with bar if self.console.is_terminal else contextlib.nullcontext():
            task = bar.add_task("playing", total=min(length, seconds or length))
            begin = told = last = time.monotonic()
            while not stop.is_set():
                step, last = time.monotonic() - last, time.monotonic()
                for message in clocks.after(step):
                    producer.produce(message.topic, message.value, message.key)
                    producer.poll(0)
                producer.flush(10)
                self.check_alive()
                bar.update(task, completed=last - begin, description=str(clocks))
                if not self.console.is_terminal and time.monotonic() - told > 5:
                    told = time.monotonic()
                    self.say(str(clocks))
                if last - begin > (seconds or float("inf")) or clocks.ended():
                    break
                stop.wait(0.05)

    def missing(self) -> list[str]:
        """What should have been seen and was not."""
        return missing(self.get, {name: t.version for name, t in self.traffic.items()})

    def settle(self) -> None:
        """Let the last windows close; longer while something is missing, as a busy machine is behind."""
        least, most = SETTLE_SECONDS
        time.sleep(least)
        end = time.monotonic() + most - least
        while time.monotonic() < end and self.missing():
            time.sleep(1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description=__doc__)
    parser.add_argument("--seconds", type=float, help="end by itself after so many seconds of traffic")
    parser.add_argument("--port", type=int, default=8000, help="of the API (a free one if this is taken)")
    arguments = parser.parse_args()
    stop = threading.Event()
    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, lambda *_: stop.set())
    console = Console(width=None if sys.stdout.isatty() else 150)
    with tempfile.TemporaryDirectory(prefix="stream-monitor-demo-") as folder:
        demo = Demo(Path(folder), _free(arguments.port), console)
        try:
            demo.say("starting stream-monitor on its embedded broker (the first time it compiles its loops: a minute)")
            demo.start()
            demo.say(f"look at [bold]{demo.api}[/]  (curl {demo.api}/v1/models/bike)")
            demo.play(arguments.seconds, stop)
            if arguments.seconds is None and not stop.is_set():
                demo.say(f"all traffic is played; {demo.api} stays up until Ctrl-C")
                stop.wait()
            else:
                demo.settle()
            print_summary(demo.get, demo.traffic, console)
            gaps = demo.missing()
            for gap in gaps:
                console.print(f"missing: {gap}", style="red")
            return 1 if gaps and arguments.seconds is not None else 0
        except RuntimeError as error:
            console.print(str(error), style="red", markup=False)
            return 1
        finally:
            demo.stop()


def _free(port: int) -> int:
    """`port` if nobody listens on it."""
    try:
        httpx.get(f"http://127.0.0.1:{port}/", timeout=1, trust_env=False)
    except httpx.ConnectError:
        return port
    except httpx.HTTPError:
        pass
    return free_port()


if __name__ == "__main__":
    sys.exit(main())

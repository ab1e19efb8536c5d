"""One Apache Kafka node (KRaft, broker and controller in one) from its published jars, without Docker."""

from __future__ import annotations

import functools
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[2]
LIBS = ROOT / ".kafka" / "libs"
CLUSTER_ID = "c3RyZWFtLW1vbml0b3ItMQ"  # any 16 bytes in base64
START_SECONDS = 180.0  # 3 s on an idle machine
# A node of a test lives for seconds: the second compiler and a collector with threads cost it more than they give.
SHORT_LIVED: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{listeners}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT{protocols}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={logs}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=4
"""

LOG4J = """\
Configuration:
  status: error
  Appenders:
    Console:
      name: out
      PatternLayout: {pattern: "%d %p %m (%c)%n"}
  Loggers:
    Root:
      level: warn
      AppenderRef: {ref: out}
"""


def free_port() -> int:
    """A TCP port on loopback that nobody listens on right now.

    It is below those that the system gives to outgoing connections: one of them could take it otherwise until its
    server listens, seconds later.
    """
    chance = random.SystemRandom()  # processes that ask at once must not get the same one
    while True:
        port = chance.randrange(10_000, max(20_000, _first_ephemeral()))
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port


_given: set[int] = set()  # a port that somebody was told of and does not listen on yet


@functools.cache
def _first_ephemeral() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):  # not Linux
        return 32_768


def fetch() -> Path:
    """Copy Kafka's jars with Maven, unless they are there; returns their folder."""
    if any(LIBS.glob("kafka_2.13-*.jar")):
        return LIBS
    if shutil.which("mvn") is None:
        raise FileNotFoundError("Maven (mvn) is needed to fetch Apache Kafka: install the Debian package maven")
    LIBS.parent.resolve().mkdir(parents=True, exist_ok=True)  # where a link leads, too
    part = LIBS.with_name(f"libs.part-{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(Path(__file__).with_name("pom.xml")), "dependency:copy-dependencies"]
    subprocess.run([*command, "-DincludeScope=runtime", f"-DoutputDirectory={part}"], check=True)
    shutil.rmtree(LIBS, ignore_errors=True)
    part.rename(LIBS)  # whole or not at all
    return LIBS


def end(process: subprocess.Popen[Any], how: signal.Signals = signal.SIGTERM, seconds: float = 30.0) -> int:
    """Send the signal; kill -9 if it does not end within so many seconds. Its exit code."""
    process.send_signal(how)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


@functools.cache
def _formatted() -> dict[str, bytes]:
    """What Kafka's own tool writes into an empty log, by file name. All nodes have one id and cluster: once will do."""
    with tempfile.TemporaryDirectory(prefix="kafka-") as name:
        folder = Path(name)
        properties = PROPERTIES.format(port=1, controller=2, logs=folder / "logs", listeners="", protocols="")
        (folder / "server.properties").write_text(properties)
        (folder / "log4j2.yaml").write_text(LOG4J)
        logging = f"-Dlog4j2.configurationFile={folder / 'log4j2.yaml'}"
        tool = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(folder / "server.properties")]
        subprocess.run(
            ["java", *SHORT_LIVED, logging, "-cp", f"{LIBS}/*", *tool],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        return {file.name: file.read_bytes() for file in (folder / "logs").iterdir() if file.is_file()}


class Node:
    """A node that can be started, stopped, killed, frozen and started again on the same port and log.

    `listeners` are further ones, NAME -> security protocol; `ports` says where they are. A node that is to be fast for
    longer is not `short_lived`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        properties: str = "",
        heap: str = "512m",
        short_lived: bool = True,
        listeners: Mapping[str, str] | None = None,
        system: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self._options = [f"-Xmx{heap}", *(SHORT_LIVED if short_lived else ())]
        self._process: subprocess.Popen[bytes] | None = None
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "server.properties"
        listeners = listeners or {}
        self.ports = {name: free_port() for name in listeners}
        self._options += [f"-D{name}={value}" for name, value in (system or {}).items()]
        text = PROPERTIES.format(
            port=self.port,
            controller=free_port(),
            logs=folder / "logs",
            listeners="".join(f",{name}://127.0.0.1:{port}" for name, port in self.ports.items()),
            protocols="".join(f",{name}:{protocol}" for name, protocol in listeners.items()),
        )
        self._file.write_text(text + properties)
        (folder / "log4j2.yaml").write_text(LOG4J)

    def start(self) -> None:
        """Start (with a formatted log, if it is new) and wait until it listens."""
        logs = self.folder / "logs"
        if not (logs / "meta.properties").exists():
            logs.mkdir(parents=True, exist_ok=True)
            for name, content in _formatted().items():
                (logs / name).write_bytes(content)
        logging = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.yaml'}"
        command = ["java", *self._options, logging, "-cp", f"{LIBS}/*", "kafka.Kafka", str(self._file)]
        with (self.folder / "kafka.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self._await_listening()

    def _await_listening(self) -> None:
        assert self._process is not None
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self._process.poll() is not None:
                break
            with socket.socket() as s:
                s.settimeout(1)
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        tail = (self.folder / "kafka.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"Apache Kafka did not start listening on {self.bootstrap}:\n{tail}")

    def stop(self) -> None:
        """An orderly stop."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start on the same port and log."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop its clock (SIGSTOP)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen node go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def wait(self) -> None:
        """Until the process ends."""
        assert self._process is not None
        self._process.wait()

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            end(self._process, how)
            self._process = None

"""A schema registry (Apicurio) that speaks Confluent's protocol, from its published archive, without Docker."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from deploy.kafka.node import ROOT, free_port

HOME = ROOT / ".kafka" / "registry"
JAVA = 21  # the least release it runs on
STARTS, START_SECONDS = 3, 90.0  # why thrice: once it never answered the first question after its start
REMEDY = f"install Java {JAVA} or later (beside another one is fine) and Maven, then `python -m deploy.kafka fetch`"


def find_java() -> str | None:
    """A Java that is new enough: the default one, or another that is installed."""
    return next((path for path in _javas() if _release(path) >= JAVA), None)


def _javas() -> Iterator[str]:
    homes = [value for name, value in sorted(os.environ.items(), reverse=True) if name.startswith("JAVA_HOME")]
    for home in homes:
        yield str(Path(home) / "bin" / "java")
    if (default := shutil.which("java")) is not None:
        yield default
    for folder in ("/usr/lib/jvm", "/opt", "/opt/java", "/opt/hostedtoolcache"):
        yield from map(str, sorted(Path(folder).glob("*/bin/java"), reverse=True))


def _release(java: str) -> int:
    """Its release; 0 for what does not run."""
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', said)
    return int(found[1]) if found else 0


def fetch() -> Path:
    """Copy and unpack the registry with Maven, unless it is there; returns its folder."""
    if (HOME / "quarkus-run.jar").exists():
        return HOME
    if shutil.which("mvn") is None:
        raise FileNotFoundError("Maven (mvn) is needed to fetch the schema registry: install the Debian package maven")
    part = HOME.with_name(f"registry.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(Path(__file__).with_name("registry.xml")), "dependency:copy-dependencies"]
    subprocess.run([*command, f"-DoutputDirectory={part}"], check=True)
    archive = next(part.glob("*.tar.gz"))
    with tarfile.open(archive) as tar:
        tar.extractall(part / "whole", filter="data")
    shutil.rmtree(HOME, ignore_errors=True)
    (part / "whole").rename(HOME)  # whole or not at all
    shutil.rmtree(part)
    return HOME


class Registry:
    """A registry in memory on a free port. Stopped, it forgets all; frozen, it does not answer and forgets nothing."""

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self.port = port or free_port()
        self.root = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.root}/apis/ccompat/v7"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        java = find_java()
        if java is None:
            raise FileNotFoundError(REMEDY)
        command = [java, "-Xmx384m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        command += ["-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={self.port}", "-Dquarkus.management.port=0"]
        command += ["-jar", "quarkus-run.jar"]
        self._folder.mkdir(parents=True, exist_ok=True)
        log_file = self._folder / "registry.log"
        for _ in range(STARTS):
            with log_file.open("ab") as log:
                self._process = subprocess.Popen(command, cwd=HOME, stdout=log, stderr=log, start_new_session=True)
            if self._answers_soon(self._process):
                return
            self.stop()
        tail = log_file.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"the schema registry did not answer on {self.url}:\n{tail}")

    def _answers_soon(self, process: subprocess.Popen[bytes]) -> bool:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and process.poll() is None:
            # What it has and what it has not: each for the first time, before a test asks.
            if self._status("subjects") == 200 and self._status("schemas/ids/1") == 404:
                return True
            time.sleep(0.1)
        return False

    def _status(self, path: str) -> int:
        """What it answers with; 0 for no answer."""
        try:
            with urllib.request.urlopen(f"{self.url}/{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def freeze(self) -> None:
        """Stop its clock (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)

    def stop(self) -> None:
        """Stop it. It has nothing to keep."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

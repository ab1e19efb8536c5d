"""The command line as a user sees it: exit codes, what goes to stdout and what to stderr."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from detectors import DETECTORS, METRICS
from stream_monitor.__main__ import main

RIGHT = "kafka: {brokers: embedded}\nmodels: {m: {topic: t}}\n"


def run(*arguments: str) -> int:
    """The exit code; argparse's own included."""
    try:
        return main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.parametrize("verb", ["", "init", "check", "run", "tap", "worker", "api", "replay", "status", "list"])
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*verb.split(), "--help") == 0
    assert "usage: stream-monitor" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("stream-monitor ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["init"],
        ["check"],
        ["list", "colours"],
        ["tap", "monitor.yaml", "--http", "70000"],
        ["check", "no/such/file.yaml"],
        ["--log-format", "xml", "list", "metrics"],
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err


def test_check_and_list_are_there_at_once(tmp_path: Path) -> None:
    """They import no compiler, no special functions and no client: who is called at night should not wait for them."""
    file = tmp_path / "monitor.yaml"
    file.write_text("kafka: {brokers: 'localhost:9092'}\nstore: redis://localhost\nmodels: {m: {topic: t}}\n")
    program = """
import sys
from stream_monitor.__main__ import main
codes = [main(["list", what]) for what in ("metrics", "detectors", "formats")] + [main(["check", sys.argv[1]])]
sys.exit(f"{codes} {sorted({'numba', 'llvmlite', 'scipy.special', 'scipy.sparse', 'redis', 'faust'} & {*sys.modules})}")
"""
    ended = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1] == "[0, 0, 0, 0] []"


def test_check_accepts_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "monitor.yaml"
    file.write_text(RIGHT)
    assert run("check", str(file)) == 0
    assert capsys.readouterr().out.startswith(f"{file}: right: 1 model")


def test_check_prints_mistakes_with_the_file_as_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("monitor.yaml").write_text(
        "models:\n  m:\n    topic: t\n    monitors: [{metric: pis}]\n    reference: {file: x.csv}\n"
    )
    assert run("check", "monitor.yaml") == 2
    out, err = capsys.readouterr()
    assert not out
    known = ", ".join(sorted(METRICS))
    wanted = f"monitor.yaml:4: models.m.monitors[0].metric: unknown metric 'pis'; did you mean 'psi'? known: {known}"
    assert err.splitlines() == [wanted]


def test_check_opens_the_reference_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "monitor.yaml"
    file.write_text(RIGHT.replace("topic: t", "topic: t, reference: {file: gone.csv}"))
    assert run("check", str(file)) == 2
    assert capsys.readouterr().err.startswith(f"{file}:2: models.m.reference.file: ")


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("metrics", list(METRICS)),
        ("detectors", list(DETECTORS)),
        ("formats", ["json"]),
        ("sinks", ["alertmanager", "slack", "webhook"]),
        ("triggers", ["webhook"]),
    ],
)
def test_list_prints_every_name_with_its_meaning(
    what: str, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("list", what) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert {line[0] for line in lines} >= set(names)
    assert all(len(line) == len(lines[0]) and line[-1] for line in lines)


MODEL = {
    "model": "fraud",
    "levels": {"drift": "drift", "quality": "ok"},
    "versions": ["3"],
    "last_window": {"end": "2026-01-01T00:05:00Z", "rows": 1234},
    "label_coverage": 0.5,
    "firing": ["a1"],
    "worst": [
        {"group": "drift", "column": "amount", "metric": "psi", "value": 0.31, "threshold": 0.2, "level": "drift"}
    ],
}


@pytest.fixture
def api() -> Iterator[str]:
    """A stand-in for the api that knows one model, on two pages, and a key."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body: Any = {"items": [MODEL], "next": None}
            if self.path == "/v1/models":
                body = {"items": [{**MODEL, "model": "churn"}], "next": "c/1 2"}
            elif self.path == "/v1/alerts/a1":
                body = {"group": "drift", "started_at": "2026-01-01T00:05:00Z", "reason": "amount moved"}
            elif self.path == "/v1/models/fraud":
                body = MODEL
            elif self.path != "/v1/models?cursor=c%2F1%202":
                body = {"status": 404, "title": "Not Found", "detail": f"no {self.path}"}
            known = self.headers["Authorization"] == "Bearer k"
            self.send_response((404 if "status" in body else 200) if known else 401)
            self.end_headers()
            self.wfile.write(json.dumps(body if known else {"detail": "a key is needed"}).encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_status(api: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_MONITOR_KEY", "k")
    assert run("status", "--url", api, "--json") == 0
    assert [m["model"] for m in json.loads(capsys.readouterr().out)["items"]] == ["churn", "fraud"]
    assert run("status", "--url", api) == 0
    table = capsys.readouterr().out
    assert all(word in table for word in ("fraud", "churn", "drift", "1,234", "50%"))
    assert run("status", "--url", api, "fraud") == 0
    assert "amount moved" in capsys.readouterr().out
    assert run("status", "--url", api, "fraud", "--json") == 0
    assert json.loads(capsys.readouterr().out) == MODEL


def test_status_of_nobody_ends_with_1(
    api: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAM_MONITOR_KEY", "k")
    assert run("status", "--url", api, "nobody") == 1
    assert "no /v1/models/nobody" in capsys.readouterr().err
    monkeypatch.delenv("STREAM_MONITOR_KEY")
    assert run("status", "--url", api) == 1
    assert "a key is needed" in capsys.readouterr().err
    assert run("status", "--url", "http://127.0.0.1:1") == 1
    assert "does not answer" in capsys.readouterr().err

"""Logs: one line a record, no secrets, no floods."""

from __future__ import annotations

import io
import json
import logging

import pytest

from stream_monitor.shell import logs


@pytest.mark.parametrize("format", ["text", "json"])
def test_an_exception_is_one_line_without_secrets(format: logs.Format) -> None:
    stream = io.StringIO()
    logs.setup(format, "info", stream).hide(["s3cr3t-key"])
    try:
        raise ValueError("s3cr3t-key\nis wrong")
    except ValueError:
        logging.getLogger("sm").exception("it failed for %s\nindeed", "s3cr3t-key", extra={"topic": "t"})
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert "s3cr3t" not in text
    assert "ValueError" in text
    if format == "json":
        line = json.loads(text)
        assert (line["level"], line["logger"], line["topic"]) == ("error", "sm", "t")


@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize("secret", ["p\"ss\\w'rd12", "-----BEGIN KEY-----\nMIIEvQ\nIBADAN\n-----END KEY-----\n"])
def test_a_secret_is_hidden_however_it_is_written(secret: str, format: logs.Format) -> None:
    stream = io.StringIO()
    logs.setup(format, "info", stream).hide([secret])
    logging.getLogger("sm").warning("%s, %r, %s", secret, secret, json.dumps(secret), extra={"of": secret})
    told = stream.getvalue()
    for part in ("rd12", "MIIEvQ", "IBADAN"):
        assert part not in told
    assert told.count("***") == (4 if format == "json" else 3)


@pytest.mark.parametrize("format", ["text", "json"])
def test_what_a_terminal_obeys_is_written_out(format: logs.Format) -> None:
    stream = io.StringIO()
    logs.setup(format, "info", stream)
    logging.getLogger("sm").warning("a\x1b[2Jb\x07c\x85d\u2028e\tf")
    told = stream.getvalue()
    assert all(c.isprintable() for c in told.replace("\t", " ").rstrip("\n"))
    assert len(told.splitlines()) == 1
    if format == "json":
        assert json.loads(told)["message"] == "a\x1b[2Jb\x07c\x85d\u2028e\tf"
    else:
        assert r"a\x1b[2Jb\x07c\x85d\u2028e" in told


def test_equal_lines_are_limited_and_counted() -> None:
    now = [0.0]
    limit = logs.Limit(clock=lambda: now[0])

    def line() -> logging.LogRecord:
        return logging.makeLogRecord({"name": "faust", "pathname": "x.py", "lineno": 7, "msg": "away"})

    assert sum(limit.filter(line()) for _ in range(1000)) == logs.BURST
    now[0] = logs.PERIOD_SECONDS
    record = line()
    assert limit.filter(record)
    assert record.getMessage() == f"away (and {1000 - logs.BURST} more like it)"


def test_the_level_is_the_given_one() -> None:
    stream = io.StringIO()
    logs.setup("text", "warning", stream)
    logging.getLogger("sm").info("no")
    logging.getLogger("sm").warning("yes")
    assert "no" not in stream.getvalue().split()
    assert stream.getvalue().endswith("warning sm: yes\n")

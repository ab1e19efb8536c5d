"""What each verb of the command line takes; __main__.py says what they do."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from stream_monitor.config.values import substitute
from stream_monitor.errors import ConfigError, Mistake

EPILOG: Final = """\
on your own Kafka:
  stream-monitor init --topic fraud.predictions --brokers kafka:9092   writes monitor.yaml
  stream-monitor check monitor.yaml --connect                          proves it, or names every mistake
  stream-monitor run monitor.yaml                                      and open http://127.0.0.1:8000

exit codes: 0 done; 1 failed while running; 2 the command line or the configuration is wrong
"""
ROLES: Final = {
    "tap": "count events into panes: a member of a consumer group, any number of processes",
    "worker": "fold panes into windows, verdicts and alerts, and deliver them: any number of processes",
    "api": "serve the HTTP API, the dashboard and the metrics of the whole service",
}


def parser() -> argparse.ArgumentParser:
    """All verbs and their options; `verb` is the one that was chosen."""
    common = argparse.ArgumentParser(add_help=False)  # before and after the verb, so without defaults
    common.add_argument(
        "--log-format", choices=("text", "json"), default=argparse.SUPPRESS, help="one line each, on stderr"
    )
    common.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default=argparse.SUPPRESS, help="default: info"
    )
    top = argparse.ArgumentParser(
        prog="stream-monitor",
        description="Watch machine-learning models on Kafka while their traffic happens: drift, performance, data "
        "quality; alerts and retrain requests.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    top.add_argument("--version", action="version", version=f"stream-monitor {_version()}")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="COMMAND")

    def verb(name: str, what: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.", parents=[common])

    _init(verb("init", "look at a topic's messages and write a commented monitor.yaml"))
    _check(verb("check", "prove a monitor.yaml, or name every mistake in it"))
    _run(verb("run", "do everything in one process: tap, worker and api"))
    for name, what in ROLES.items():
        _role(verb(name, what), name)
    _layout(verb("layout", "look at how a model's columns are counted, learn it, put another one in force"))
    _acls(verb("acls", "print what each role must be allowed to do on a Kafka with ACLs, for Kafka's own tool"))
    _replay(verb("replay", "run the same pipeline over a file, without Kafka"))
    _calibrate(
        verb("calibrate", "tell what each model's monitors will see, how soon, and how often they will be wrong")
    )
    _status(verb("status", "show how the models are, as the api says"))
    _list(verb("list", "print what there is to choose from"))
    return top


def _init(p: argparse.ArgumentParser) -> None:
    p.add_argument("--topic", required=True, help="the topic of the predictions")
    p.add_argument("--brokers", default="localhost:9092", metavar="HOST:PORT", help="default: localhost:9092")
    p.add_argument("--reference", metavar="FILE", help="what normal is: Parquet, CSV or JSONL")
    p.add_argument("--output", default="monitor.yaml", metavar="FILE", help="default: monitor.yaml; - is stdout")
    p.add_argument("--force", action="store_true", help="overwrite the output file")
    p.add_argument(
        "--kafka-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option in librdkafka's names, e.g. security.protocol=SSL; ${NAME} comes from the environment",
    )
    p.add_argument("--schema-registry", default="", metavar="URL", help="read messages that name a schema in there")
    p.add_argument(
        "--schema-registry-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option in confluent-kafka's names, e.g. basic.auth.user.info=${NAME}",
    )


def _check(p: argparse.ArgumentParser) -> None:
    p.add_argument("config", metavar="monitor.yaml")
    p.add_argument("--connect", action="store_true", help="also ask the broker, the store and the sinks")


def _run(p: argparse.ArgumentParser) -> None:
    p.add_argument("config", metavar="monitor.yaml")
    p.add_argument("--embedded", action="store_true", help="bring a broker and a store along, for trying out")


def _role(p: argparse.ArgumentParser, role: str) -> None:
    p.add_argument("config", metavar="monitor.yaml")
    if role != "api":
        p.add_argument("--http", type=_port, metavar="PORT", help="serve /metrics, /healthz and /readyz of it there")


def _layout(p: argparse.ArgumentParser) -> None:
    p.add_argument("do", choices=("show", "learn", "promote"))
    p.add_argument("subject", metavar="MODEL|monitor.yaml", help="the model; to learn, the configuration")
    p.add_argument("--model", metavar="NAME", help="to learn: a model of the configuration")
    p.add_argument("--version", dest="of_version", metavar="VERSION", help="to show: the one of its reference")
    p.add_argument("--reference", metavar="FILE", help="to learn: from this file; else from --from and --to")
    p.add_argument("--from", dest="from_", metavar="TIME", help="to learn: from the topic's records since then")
    p.add_argument("--to", metavar="TIME", help="to learn: up to then (default: now)")
    p.add_argument("--events", type=int, default=100_000, help="to learn: at most so many records (default: 100000)")
    p.add_argument("--file", metavar="FILE", help="to promote: what `learn` printed")
    p.add_argument("--json", action="store_true", help="to show: for machines")
    _of_the_api(p)


def _acls(p: argparse.ArgumentParser) -> None:
    p.add_argument("config", metavar="monitor.yaml")
    p.add_argument("--role", choices=(*ROLES, "run"), action="append", help="default: tap, worker and api, each apart")
    p.add_argument(
        "--principal",
        default="User:stream-monitor-{role}",
        metavar="TYPE:NAME",
        help="whom to allow it; {role} stands for the role (default: User:stream-monitor-{role})",
    )


def _replay(p: argparse.ArgumentParser) -> None:
    p.add_argument("config", metavar="monitor.yaml")
    p.add_argument("--model", required=True, metavar="NAME", help="a model of the configuration")
    p.add_argument("--events", required=True, metavar="FILE", help="Parquet, CSV or JSONL; file order is offset order")
    p.add_argument("--labels", metavar="FILE", help="labels that came in a topic of their own")
    p.add_argument("--features", metavar="FILE", help="features that came in a topic of their own")
    p.add_argument(
        "--output",
        metavar="DIR",
        help="for windows.jsonl, verdicts.jsonl, alerts.jsonl and retrain-requests.jsonl; default: replay-NAME",
    )


def _calibrate(p: argparse.ArgumentParser) -> None:
    p.add_argument("config", metavar="monitor.yaml")
    p.add_argument("--model", metavar="NAME", help="one model; default: all that have a reference file")
    p.add_argument(
        "--shifts",
        type=_shifts,
        metavar="A,B",
        help="shifts of a column's mean to tell the delay of, in standard deviations; default: 0.1,0.2,0.5,1",
    )
    p.add_argument("--json", action="store_true", help="for machines: one line each")


def _status(p: argparse.ArgumentParser) -> None:
    p.add_argument("model", nargs="?", metavar="MODEL", help="one model in detail")
    p.add_argument("--json", action="store_true", help="for machines")
    _of_the_api(p)


def _of_the_api(p: argparse.ArgumentParser) -> None:
    p.add_argument("--url", default="http://127.0.0.1:8000", help="of the api; default: http://127.0.0.1:8000")
    p.add_argument(
        "--key-env",
        default="STREAM_MONITOR_KEY",
        metavar="NAME",
        help="the environment variable with the API key, if one is needed; default: STREAM_MONITOR_KEY",
    )


def _list(p: argparse.ArgumentParser) -> None:
    p.add_argument("what", choices=("metrics", "detectors", "sinks", "triggers", "formats"))


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, not {text!r}")
    return int(text)


def _shifts(text: str) -> tuple[float, ...]:
    try:
        shifts = tuple(float(part) for part in text.split(","))
    except ValueError:
        shifts = ()
    if not shifts or not all(0 < shift < 100 for shift in shifts):
        raise argparse.ArgumentTypeError(f"expected numbers above 0 with commas between them, not {text!r}")
    return shifts


def _version() -> str:
    try:
        return version("stream-monitor")
    except PackageNotFoundError:
        return "(not installed)"


def named_options(option: str, texts: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """NAME=VALUE as written, for the file, and with what stands for secrets filled in, for now; ConfigError."""
    written: dict[str, str] = {}
    filled: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        there, wrong = substitute(value, os.environ, Path())
        if not equals or wrong:
            raise refused(option, wrong[0] if wrong else f"expected NAME=VALUE, not {name!r}")
        written[name], filled[name] = value, there
    return written, filled


def refused(option: str, message: str) -> ConfigError:
    """What is wrong with an option, where only its meaning shows it."""
    return ConfigError([Mistake(file=option, line=0, path="", message=message)])

"""The command line: what each verb takes, and how it ends (0 done, 1 failed while running, 2 wrong from the start).

Each verb imports what it needs when it is asked for, so that `--help` and `check` do not wait for the whole service.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING
from urllib.parse import quote

from stream_monitor import failpoints
from stream_monitor.errors import ConfigError, StreamMonitorError
from stream_monitor.shell import logs

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger(__name__)

EPILOG = """\
on your own Kafka:
  stream-monitor init --topic fraud.predictions --brokers kafka:9092   writes monitor.yaml
  stream-monitor check monitor.yaml --connect                          proves it, or names every mistake
  stream-monitor run monitor.yaml                                      and open http://127.0.0.1:8000

exit codes: 0 done; 1 failed while running; 2 the command line or the configuration is wrong
"""
ROLES = {
    "tap": "count events into panes: a member of a consumer group, any number of processes",
    "worker": "fold panes into windows, verdicts and alerts, and deliver them: any number of processes",
    "api": "serve the HTTP API, the dashboard and the metrics of the whole service",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    words = sys.argv[1:] if argv is None else argv
    with _told_to_stop_early({*ROLES, "run"} & set(words)):
        return _main(argv)


@contextlib.contextmanager
def _told_to_stop_early(serving: Collection[str]) -> Iterator[None]:
    """A process of the service that is told to stop before it has begun anything is done, and ends at once.

    Why here: what it imports and reads takes seconds, and without a handler the signal itself would end it.
    """
    if not serving or threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, _at_once) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _at_once(number: int, frame: object) -> None:
    os._exit(0)


def _main(argv: Sequence[str] | None) -> int:
    args = parser().parse_args(argv)
    formatter = logs.setup(getattr(args, "log_format", "text"), getattr(args, "log_level", "info"))
    try:
        failpoints.arm(os.environ.get(failpoints.VARIABLE, ""))
        args.run(args, formatter)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except StreamMonitorError as error:
        log.error("%s", error)
        return 1
    except KeyboardInterrupt:
        return 1
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:
        log.exception("it cannot go on")
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """All verbs and their options."""
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

    def verb(
        name: str, what: str, run: Callable[[argparse.Namespace, logs.Formatter], None]
    ) -> argparse.ArgumentParser:
        p = verbs.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.", parents=[common])
        p.set_defaults(run=run)
        return p

    p = verb("init", "look at a topic's messages and write a commented monitor.yaml", _init)
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

    p = verb("check", "prove a monitor.yaml, or name every mistake in it", _check)
    p.add_argument("config", metavar="monitor.yaml")
    p.add_argument("--connect", action="store_true", help="also ask the broker, the store and the sinks")

    p = verb("run", "do everything in one process: tap, worker and api", _role)
    p.add_argument("config", metavar="monitor.yaml")
    p.add_argument("--embedded", action="store_true", help="bring a broker and a store along, for trying out")
    for name, what in ROLES.items():
        p = verb(name, what, _role)
        p.add_argument("config", metavar="monitor.yaml")
        if name != "api":
            p.add_argument(
                "--http", type=_port, metavar="PORT", help="serve /metrics, /healthz and /readyz of it there"
            )

    p = verb("layout", "look at how a model's columns are counted, learn it, put another one in force", _layout)
    p.add_argument("do", choices=("show", "learn", "promote"))
    p.add_argument("subject", metavar="MODEL|monitor.yaml", help="the model; to learn, the configuration")
    p.add_argument("--model", metavar="NAME", help="to learn: a model of the configuration")
    p.add_argument("--version", dest="of_version", metavar="VERSION", help="to show: the one of its reference")
    p.add_argument("--reference", metavar="FILE", help="to learn: from this file; else from --from and --to")
    p.add_argument("--from", dest="from_", metavar="TIME", help="to learn: from the topic's records since then")
    p.add_argument("--to", metavar="TIME", help="to learn: up to then (default: now)")
    p.add_argument("--events", type=int, default=100_000, help="to learn: at most so many records (default: 100000)")
    p.add_argument("--file", metavar="FILE", help="to promote: what `learn` printed")
    p.add_argument("--url", default="http://127.0.0.1:8000", help="of the api (default: http://127.0.0.1:8000)")
    p.add_argument("--key-env", default="STREAM_MONITOR_KEY", metavar="NAME", help="variable with the api key")
    p.add_argument("--json", action="store_true", help="to show: for machines")

    p = verb("acls", "print what each role must be allowed to do on a Kafka with ACLs, for Kafka's own tool", _acls)
    p.add_argument("config", metavar="monitor.yaml")
    p.add_argument("--role", choices=(*ROLES, "run"), action="append", help="default: tap, worker and api, each apart")
    p.add_argument(
        "--principal",
        default="User:stream-monitor-{role}",
        metavar="TYPE:NAME",
        help="whom to allow it; {role} stands for the role (default: User:stream-monitor-{role})",
    )

    p = verb("replay", "run the same pipeline over a file, without Kafka", _replay)
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

    p = verb(
        "calibrate", "tell what each model's monitors will see, how soon, and how often they will be wrong", _calibrate
    )
    p.add_argument("config", metavar="monitor.yaml")
    p.add_argument("--model", metavar="NAME", help="one model; default: all that have a reference file")
    p.add_argument(
        "--shifts",
        type=_shifts,
        metavar="A,B",
        help="shifts of a column's mean to tell the delay of, in standard deviations; default: 0.1,0.2,0.5,1",
    )
    p.add_argument("--json", action="store_true", help="for machines: one line each")

    p = verb("status", "show how the models are, as the api says", _status)
    p.add_argument("model", nargs="?", metavar="MODEL", help="one model in detail")
    p.add_argument("--url", default="http://127.0.0.1:8000", help="of the api; default: http://127.0.0.1:8000")
    p.add_argument("--json", action="store_true", help="for machines")
    p.add_argument(
        "--key-env",
        default="STREAM_MONITOR_KEY",
        metavar="NAME",
        help="the environment variable with the API key, if one is needed; default: STREAM_MONITOR_KEY",
    )

    p = verb("list", "print what there is to choose from", _list)
    p.add_argument("what", choices=("metrics", "detectors", "sinks", "triggers", "formats"))
    return top


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


def _init(args: argparse.Namespace, formatter: logs.Formatter) -> None:
    from stream_monitor import app

    registry = (args.schema_registry, args.schema_registry_option)
    text = app.init(args.topic, args.brokers, args.reference, args.output, args.kafka_option, registry)
    if args.output == "-":
        sys.stdout.write(text)
        return
    try:
        with open(args.output, "w" if args.force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise _wrong(f"{args.output}: is there already; --force overwrites it") from None
    except OSError as error:
        raise _wrong(f"{args.output}: {error.strerror}") from error
    print(f"{args.output} is written; read it, then: stream-monitor check {args.output} --connect")


def _check(args: argparse.Namespace, formatter: logs.Formatter) -> None:
    from stream_monitor import app

    print(app.check(args.config, args.connect, formatter))


def _layout(args: argparse.Namespace, formatter: logs.Formatter) -> None:
    from stream_monitor import app
    from stream_monitor.shell import status_tables
    from stream_monitor.tap import layout_tools

    key = os.environ.get(args.key_env, "")
    formatter.hide([key])
    if args.do == "learn":
        print(app.learn_layout(args.subject, args.model, args.reference, (args.from_, args.to), args.events, formatter))
        return
    path = f"/v1/models/{quote(args.subject, safe='')}/layout"
    if args.do == "show":
        query = f"?version={quote(args.of_version, safe='')}" if args.of_version is not None else ""
        plain = status_tables.fetch(args.url, path + query, key)
        if args.json:
            print(json.dumps(plain))
        else:
            _console().print(layout_tools.table(layout_tools.from_document(plain)), highlight=False)
        return
    if not args.file:
        raise _wrong("--file: missing: what `stream-monitor layout learn` printed")
    try:
        with open(args.file, encoding="utf-8") as file:
            plain = json.load(file)
        layout_tools.from_document(plain)
    except (OSError, ValueError) as error:
        raise _wrong(f"{args.file}: {error}") from error
    told = status_tables.send(args.url, path + "s", plain, key)
    print(f"layout {told['layout']} is {args.subject}'s from the next block on")


def _acls(args: argparse.Namespace, formatter: logs.Formatter) -> None:
    from stream_monitor import app
    from stream_monitor.shell import acls

    print(acls.script(app.read(args.config, formatter).config, args.role or acls.ROLES, args.principal))


def _role(args: argparse.Namespace, formatter: logs.Formatter) -> None:
    from stream_monitor import app

    app.serve(
        args.config, args.verb, formatter, embedded=getattr(args, "embedded", False), http=getattr(args, "http", None)
    )


def _replay(args: argparse.Namespace, formatter: logs.Formatter) -> None:
    from stream_monitor import app

    output = args.output or f"replay-{args.model}"
    app.replay(args.config, args.model, args.events, args.labels, output, formatter, args.features)


def _calibrate(args: argparse.Namespace, formatter: logs.Formatter) -> None:
    from stream_monitor import app
    from stream_monitor.shell import calibrations

    lines = calibrations.calibrations(app.read(args.config, formatter), args.model, args.shifts or calibrations.SHIFTS)
    calibrations.print_calibrations(lines, _console(), as_json=args.json)


def _status(args: argparse.Namespace, formatter: logs.Formatter) -> None:
    from stream_monitor.shell import status_tables

    key = os.environ.get(args.key_env, "")
    formatter.hide([key])
    status_tables.show(args.url, args.model, as_json=args.json, key=key, console=_console())


def _list(args: argparse.Namespace, formatter: logs.Formatter) -> None:
    from stream_monitor import app
    from stream_monitor.shell import listing

    tables: dict[str, Callable[[], list[listing.Row]]] = {
        "metrics": listing.metrics,
        "detectors": listing.detectors,
        "formats": listing.formats,
        "sinks": lambda: listing.targets("sink", app.SINKS),
        "triggers": lambda: listing.targets("trigger", app.TRIGGERS),
    }
    listing.show(tables[args.what](), _console())


def _console() -> Console:
    from rich.console import Console

    return Console()


def _wrong(message: str) -> ConfigError:
    from stream_monitor.errors import Mistake

    return ConfigError([Mistake(file=message, line=0, path="", message="")])


if __name__ == "__main__":
    sys.exit(main())

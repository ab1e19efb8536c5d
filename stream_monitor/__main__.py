"""The command line: what each verb does, and how it ends (0 done, 1 failed while running, 2 wrong from the start).

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
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from stream_monitor import failpoints
from stream_monitor.errors import ConfigError, StreamMonitorError
from stream_monitor.shell import logs
from stream_monitor.shell.arguments import ROLES, parser

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger(__name__)


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
        VERBS[args.verb](args, formatter)
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
    from stream_monitor.shell import listing

    def sinks() -> list[listing.Row]:
        from stream_monitor import app  # here: it brings all that is outside, which the other tables are not

        return listing.targets("sink", app.SINKS)

    def triggers() -> list[listing.Row]:
        from stream_monitor import app

        return listing.targets("trigger", app.TRIGGERS)

    tables: dict[str, Callable[[], list[listing.Row]]] = {
        "metrics": listing.metrics,
        "detectors": listing.detectors,
        "formats": listing.formats,
        "sinks": sinks,
        "triggers": triggers,
    }
    listing.show(tables[args.what](), _console())


def _console() -> Console:
    from rich.console import Console

    return Console()


def _wrong(message: str) -> ConfigError:
    from stream_monitor.errors import Mistake

    return ConfigError([Mistake(file=message, line=0, path="", message="")])


VERBS: Final[dict[str, Callable[[argparse.Namespace, logs.Formatter], None]]] = {
    "init": _init,
    "check": _check,
    "run": _role,
    **dict.fromkeys(ROLES, _role),
    "layout": _layout,
    "acls": _acls,
    "replay": _replay,
    "calibrate": _calibrate,
    "status": _status,
    "list": _list,
}


if __name__ == "__main__":
    sys.exit(main())

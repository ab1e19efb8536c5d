"""What docker-compose.yml needs beside the service: `prepare` (topics and references) and `traffic`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.demo.models import MODELS
from deploy.demo.traffic import Traffic

PARTITIONS = 3
STEP_SECONDS = 0.1
MOST_MESSAGES = 2_000  # between two polls of the producer


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    if arguments.command == "prepare":
        prepare(arguments.brokers, arguments.references)
        return 0
    stop = threading.Event()
    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, lambda *_: stop.set())
    play(arguments.brokers, arguments.days_per_second, stop, print)
    return 0


def parser() -> argparse.ArgumentParser:
    """The two commands and their options."""
    top = argparse.ArgumentParser(prog="python -m deploy.compose", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    p = commands.add_parser("prepare", help="create the source topics and write the references")
    p.add_argument("--brokers", required=True, metavar="HOST:PORT")
    p.add_argument("--references", required=True, type=Path, metavar="DIR")
    p = commands.add_parser(
        "traffic", help="publish the predictions and labels of both models, then wait to be stopped"
    )
    p.add_argument("--brokers", required=True, metavar="HOST:PORT")
    p.add_argument("--days-per-second", type=float, default=4.0, help="days of events in a second (default: 4)")
    return top


def topics() -> list[str]:
    """The source topics of both models."""
    return [f"demo.{model.name}.{what}" for model in MODELS for what in ("predictions", "labels")]


def prepare(brokers: str, references: Path) -> None:
    """Create what is not there yet; done twice it changes nothing."""
    admin = AdminClient({"bootstrap.servers": brokers})
    missing = sorted(set(topics()) - set(admin.list_topics(timeout=30).topics))
    if missing:
        for topic, done in admin.create_topics([NewTopic(t, num_partitions=PARTITIONS) for t in missing]).items():
            done.result(timeout=30)
            print(f"{topic}: created", flush=True)
    for model in MODELS:
        file = references / f"{model.name}.parquet"
        if not file.exists():
            traffic = Traffic(model)
            part = file.with_suffix(".part")
            traffic.write_reference(traffic.reference, traffic.reference_predictions, part)
            part.rename(file)  # whole or not at all
            print(f"{file}: written", flush=True)


def play(brokers: str, days_per_second: float, stop: threading.Event, say: Callable[[str], None]) -> None:
    """Publish everything at its pace, from the first event on; then wait for `stop`, so that a restart is a choice."""
    failures: list[str] = []
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 20, "enable.idempotence": True})
    traffic = {model.name: Traffic(model) for model in MODELS}
    begin = told = time.monotonic()
    while not stop.is_set() and any(t.published < len(t.played) for t in traffic.values()):
        days = pd.Timedelta(days=(time.monotonic() - begin) * days_per_second)
        for t in traffic.values():
            _publish(producer, t, t.start + days, failures)
        producer.flush(30)
        if failures:
            raise KafkaException(failures[0])
        if time.monotonic() - told > 10:
            told = time.monotonic()
            say(", ".join(f"{n} {t.start + days:%Y-%m-%d} ({t.published:,} events)" for n, t in traffic.items()))
        stop.wait(STEP_SECONDS)
    for t in traffic.values() if not stop.is_set() else ():
        _publish(producer, t, t.end, failures)  # the last labels
    producer.flush(30)
    say("all traffic is published")
    stop.wait()


def _publish(producer: Producer, traffic: Traffic, now: pd.Timestamp, failures: list[str]) -> None:
    for i, message in enumerate(traffic.until(now)):
        producer.produce(
            message.topic, message.value, message.key, on_delivery=lambda e, _: failures.append(str(e)) if e else None
        )
        if i % MOST_MESSAGES == 0:
            producer.poll(0.05)


if __name__ == "__main__":
    sys.exit(main())

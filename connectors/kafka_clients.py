"""How every Kafka client of this service is made: addresses, options, quiet logs; and errors in our own words."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from stream_monitor.config import Kafka
from stream_monitor.errors import StateError, Unreachable

log = logging.getLogger("kafka")

ANSWER_SECONDS: Final = 4.0  # how long any question may take: less than half of an orderly stop
LOG_EVERY_SECONDS: Final = 60.0  # a broker that is down is said once a minute, not a thousand times

# What no waiting cures.
HOPELESS: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.OFFSET_METADATA_TOO_LARGE,
        KafkaError.INVALID_CONFIG,
    }
)
_CONSUMER_ONLY: Final = (
    "auto.offset.reset", "check.crcs", "fetch.", "group.", "heartbeat.interval.ms", "isolation.level",
    "max.poll.interval.ms", "partition.assignment.strategy", "queued.", "session.timeout.ms",
)  # fmt: skip
_PRODUCER_ONLY: Final = (
    "acks", "batch.", "compression.", "delivery.timeout.ms", "enable.idempotence", "linger.ms",
    "message.send.max.retries", "message.timeout.ms", "queue.buffering.", "request.required.acks",
    "request.timeout.ms", "retries", "transaction",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where the brokers are and how to speak to them. `embedded`: they are librdkafka's mock cluster."""

    brokers: str
    options: Mapping[str, Any] = field(default_factory=dict)
    embedded: bool = False

    @classmethod
    def of(cls, kafka: Kafka, *, embedded_brokers: str = "") -> Connection:
        """As configured; `embedded_brokers` is the address of the embedded broker, where there is one."""
        if embedded_brokers:
            return cls(brokers=embedded_brokers, embedded=True)
        return cls(brokers=kafka.brokers, options=kafka.options)

    def consumer(self, fixed: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Consumer:
        """A consumer. The user's options go before `defaults`, and `fixed` before them."""
        return Consumer(self._settings("consumer", defaults or {}, fixed, _PRODUCER_ONLY), logger=_librdkafka())

    def producer(self) -> Producer:
        """A producer that writes in order, and says so only when all replicas have it."""
        defaults = {"linger.ms": 5, "message.timeout.ms": 30_000}
        fixed = {"enable.idempotence": True, "acks": "all", "message.max.bytes": 16 << 20}  # the topic's limit decides
        return Producer(self._settings("producer", defaults, fixed, _CONSUMER_ONLY), logger=_librdkafka())

    def admin(self) -> AdminClient:
        """An admin client."""
        return AdminClient(self._settings("admin", {}, {}, (*_CONSUMER_ONLY, *_PRODUCER_ONLY)), logger=_librdkafka())

    def _settings(
        self, kind: str, defaults: Mapping[str, Any], fixed: Mapping[str, Any], others: tuple[str, ...]
    ) -> dict[str, Any]:
        return {
            "client.id": f"stream-monitor-{kind}",
            "reconnect.backoff.max.ms": 1_000,
            "topic.metadata.refresh.interval.ms": 10_000,
            **defaults,
            **{name: value for name, value in self.options.items() if not name.startswith(others)},
            **fixed,
            "error_cb": _said,
            "bootstrap.servers": self.brokers,
        }


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn the client's errors into ours: StateError for what no waiting cures, else Unreachable."""
    try:
        yield
    except KafkaException as error:
        raise in_our_words(error.args[0], what) from None


def in_our_words(error: KafkaError, what: str) -> StateError | Unreachable:
    """The error of ours that says what to do."""
    text = f"{what}: {error.str()}"
    if error.fatal() or error.code() in HOPELESS:
        return StateError(text)
    return Unreachable(text)


class _Seldom(logging.Filter):
    """Lets a line of librdkafka through once a minute per kind, and says how many like it were left out."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        kind, _, _ = text.partition(" ")
        if kind in ("CONFWARN", "MOCK", "FAIL"):  # FAIL: the error callback says the same
            return False
        last, left_out = self._seen.get(kind, (-LOG_EVERY_SECONDS, 0))
        if time.monotonic() - last < LOG_EVERY_SECONDS:
            self._seen[kind] = (last, left_out + 1)
            return False
        self._seen[kind] = (time.monotonic(), 0)
        if left_out:
            record.msg, record.args = f"{text} ({left_out} more left out)", None
        return True


def _librdkafka() -> logging.Logger:
    logger = logging.getLogger("kafka.librdkafka")
    if not any(isinstance(f, _Seldom) for f in logger.filters):
        logger.addFilter(_Seldom())
    return logger


def _said(error: KafkaError) -> None:
    _librdkafka().warning("%s %s", error.name(), error.str())

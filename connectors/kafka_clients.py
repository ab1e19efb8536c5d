"""How every Kafka client of this service is made: addresses, options, quiet logs; and errors in our own words."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from stream_monitor.access import security
from stream_monitor.config import Kafka
from stream_monitor.errors import Refused, StateError, Unreachable

log = logging.getLogger("kafka")

ANSWER_SECONDS: Final = 4.0  # how long any question may take: less than half of an orderly stop
LOG_EVERY_SECONDS: Final = 60.0  # a broker that is down is said once a minute, not a thousand times

# Rights that are missing: the answer says of what only in part.
FORBIDDEN: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
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
# KIP-848: the broker decides; librdkafka refuses a consumer that has an opinion.
_CLASSIC_ONLY: Final = (
    "group.protocol.type", "heartbeat.interval.ms", "partition.assignment.strategy", "session.timeout.ms",
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
    ear: Ear = field(default_factory=lambda: Ear(), compare=False)  # of all its clients

    @classmethod
    def of(cls, kafka: Kafka, *, embedded_brokers: str = "") -> Connection:
        """As configured; `embedded_brokers` is the address of the embedded broker, where there is one."""
        if embedded_brokers:
            return cls(brokers=embedded_brokers, embedded=True)
        return cls(brokers=kafka.brokers, options=kafka.options)

    def consumer(self, fixed: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Consumer:
        """A consumer. The user's options go before `defaults`, and `fixed` before them."""
        others = (*_PRODUCER_ONLY, *(_CLASSIC_ONLY if self.incremental else ()))
        return self._made(Consumer, "consumer", defaults or {}, fixed, others)

    def reader(self, defaults: Mapping[str, Any] | None = None, group: str = "none") -> Consumer:
        """A consumer that is assigned what it reads, from the beginning unless told otherwise, and commits nothing.

        `group`: one whose offsets it is asked for. The broker hears of it only by that question.

        Why the classic protocol: it is a member of no group, and under KIP-848 such a consumer is still asked for one.
        """
        fixed = {
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "group.protocol": "classic",
        }
        return self._made(Consumer, "consumer", defaults or {}, fixed, (*_PRODUCER_ONLY, "group.remote.assignor"))

    def producer(self) -> Producer:
        """A producer that writes in order, and says so only when all replicas have it."""
        defaults = {"linger.ms": 5, "message.timeout.ms": 30_000}
        fixed = {"enable.idempotence": True, "acks": "all", "message.max.bytes": 16 << 20}  # the topic's limit decides
        return self._made(Producer, "producer", defaults, fixed, _CONSUMER_ONLY)

    def admin(self) -> AdminClient:
        """An admin client."""
        return self._made(AdminClient, "admin", {}, {}, (*_CONSUMER_ONLY, *_PRODUCER_ONLY))

    @property
    def incremental(self) -> bool:
        """Whether groups are asked for by KIP-848."""
        return str(self.options.get("group.protocol", "classic")).lower() == "consumer"

    def _made(
        self,
        make: Callable[..., C],
        kind: str,
        defaults: Mapping[str, Any],
        fixed: Mapping[str, Any],
        others: tuple[str, ...],
    ) -> C:
        settings = {
            "client.id": f"stream-monitor-{kind}",
            "reconnect.backoff.max.ms": 1_000,
            "topic.metadata.refresh.interval.ms": 10_000,
            **self._sasl(),
            **defaults,
            **{name: value for name, value in self.options.items() if not name.startswith(others)},
            **fixed,
            "error_cb": self.ear.heard,
            "bootstrap.servers": self.brokers,
        }
        try:
            return make(settings, logger=_librdkafka())
        except KafkaException as error:
            raise StateError(f"kafka.options: {error.args[0].str()}") from None

    def _sasl(self) -> dict[str, str]:
        """The mechanism that is meant where none is said; librdkafka means Kerberos."""
        if not security.protocol(self.options).startswith("SASL") or "sasl.mechanisms" in self.options:
            return {}
        return {"sasl.mechanism": security.mechanism(self.options)}

    @contextmanager
    def asking(self, what: str, client: AdminClient | Consumer | Producer | None = None) -> Iterator[None]:
        """Turn the client's errors into ours: StateError for what no waiting cures, else Refused or Unreachable.

        `client`: where what it has to say waits for a poll.
        """
        try:
            yield
        except KafkaException as error:
            if client is not None:
                client.poll(0)
            error.__traceback__ = None  # what it came from keeps it, and it that, and the client: they would stay
            raise self.in_our_words(error.args[0], what) from None
        if client is not None:  # it was an answer, not only a call that came back
            self.ear.forget()

    def in_our_words(self, error: KafkaError, what: str) -> StateError | Unreachable:
        """The error of ours that says what to do."""
        text = f"{what}: {error.str()}"
        if error.code() in FORBIDDEN:
            return StateError(
                f"{text}; {whom(self.options)} lacks a right (ACL); `stream-monitor acls monitor.yaml` lists them all"
            )
        if error.fatal() or error.code() in HOPELESS:
            return StateError(text)
        why = self.ear.refusal(self.options)
        return Refused(f"{what}: {why}") if why else Unreachable(text)


C = TypeVar("C")


class Ear:
    """What a client says on the side: the reason why it gets no connection is in no answer, only in its complaints."""

    def __init__(self) -> None:
        self._refusal: KafkaError | None = None

    def heard(self, error: KafkaError) -> None:
        """A complaint, in whichever thread."""
        _librdkafka().warning("%s %s", error.name(), error.str())
        alert = error.code() == KafkaError._TRANSPORT and "SSL alert" in error.str()
        if alert or error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
            self._refusal = error

    def forget(self) -> None:
        """Something was answered: whatever was refused before is not any more."""
        self._refusal = None

    def refusal(self, options: Mapping[str, Any]) -> str:
        """Why nobody lets us in, and by which options; "" if it is not known or nobody answers at all."""
        if self._refusal is None:
            return ""
        said = self._refusal.str().split(": ", 1)[-1]
        return f"{_culprits(self._refusal, options)}: the broker lets us not in: {said}"


def _culprits(error: KafkaError, options: Mapping[str, Any]) -> str:
    text = error.str().lower()
    if error.code() == KafkaError._AUTHENTICATION:
        if security.mechanism(options) == "OAUTHBEARER":
            return "kafka.options.sasl.oauthbearer.client.id, client.secret or token.endpoint.url"
        if "mechanism" in text and "unsupported" in text:
            return "kafka.options.sasl.mechanism"
        return "kafka.options.sasl.username or sasl.password"
    if "certificate verify failed" in text:
        return "kafka.options.ssl.ca.location"
    if "alert" in text:
        return "kafka.options.ssl.certificate.location or ssl.key.location"
    return "kafka.options.security.protocol"


def whom(options: Mapping[str, Any]) -> str:
    """As whom we come, for a message."""
    name = options.get("sasl.username") or options.get("sasl.oauthbearer.client.id")
    return f"user {name!r}" if name and security.protocol(options).startswith("SASL") else "this client"


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

"""Announced blocks on their way through an executor: counted, and packed into the messages that are to be published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, Final

from stream_monitor.brokers import Message, Partition
from stream_monitor.intents import Intent
from stream_monitor.runs import Runs
from stream_monitor.tap.blocks import Assigned, Counted, Counting
from stream_monitor.tap.bundles import bundles, packed

KEPT_OF_TOO_LARGE: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Made:
    """What counting an announced block gave."""

    counted: Counted
    messages: list[tuple[int, bytes]]  # (worker partition, packed bundle)
    seconds: float  # that it took


@dataclass(slots=True)
class Announced:
    """An announced block, and what is being made of it."""

    of: Assigned
    intent: Intent
    messages: Runs
    began: float
    future: Future[Made]
    counted: Counted | None = None  # taken from the future, and its messages sent


def make(
    counting: Counting,
    intent: Intent,
    partition: Partition,
    messages: Runs,
    *,
    workers: int,
    clock: Callable[[], float],
) -> Made:
    """Count the block and pack a bundle for every worker partition. By the executor, so it touches nothing else."""
    began = clock()
    counted = counting.count(intent, partition, messages)
    made = bundles(
        intent.source(*partition),
        intent,
        panes=counted.panes,
        dead=Counter(reason for _, reason, _ in counted.dead),
        late=counted.late,
        told=counted.told,
        holes=intent.to - intent.from_ - len(messages),
        watermark_ms=counted.watermark_ms,
        idle=counted.idle,
        home=counted.home,
        partitions=workers,
    )
    return Made(counted, packed(made), clock() - began)


def dead_letter(
    partition: Partition, message: Message, reason: str, detail: str
) -> tuple[bytes | None, list[tuple[str, bytes | None]]]:
    """Value and headers of the dead letter of an event; our headers follow its own."""
    value = message.value()
    if reason == "too_large" and value is not None:
        value = value[:KEPT_OF_TOO_LARGE]
    ours = {"reason": reason, "detail": detail, "topic": partition[0]}
    ours |= {"partition": str(partition[1]), "offset": str(message.offset())}
    return value, [*(message.headers() or ()), *((name, text.encode()) for name, text in ours.items())]


class Inline(Executor):
    """Does what it is given at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

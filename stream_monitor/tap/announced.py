"""Announced blocks on their way through an executor: counted, and packed into the messages that are to be published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, Final

from stream_monitor.brokers import Letter, Message, Partition
from stream_monitor.intents import Intent
from stream_monitor.runs import Runs
from stream_monitor.tap.blocks import Assigned, Counted, Counting
from stream_monitor.tap.bundles import bundles, packed

KEPT_OF_TOO_LARGE: Final = 64 << 10
MOST_BESIDE: Final = (1 << 20) - (16 << 10)  # bytes of an event's key and headers; the topic has room for 1 MiB
MOST_DETAIL: Final = 500  # characters


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


def dead_letter(partition: Partition, message: Message, reason: str, detail: str) -> tuple[Letter, Letter]:
    """The dead letter of an event, and a shorter one for a topic that does not take it; our headers follow its own."""
    value, key, headers = message.value(), message.key(), list(message.headers() or ())
    said = detail if len(detail) <= MOST_DETAIL else f"{detail[:MOST_DETAIL]}..."
    ours = {"reason": reason, "detail": said, "topic": partition[0]}
    ours |= {"partition": str(partition[1]), "offset": str(message.offset())}
    beside = len(key or b"") + sum(len(name.encode()) + len(data or b"") for name, data in headers)

    def letter(value: bytes | None, what: str) -> Letter:
        """With the key and headers only where nothing is to be told as left out."""
        told = ours if not what else ours | {"detail": f"{said} ({what} left out)"}
        # A detail may quote half of a surrogate pair, which JSON can write and UTF-8 cannot.
        last = [(name, text.encode("utf-8", "backslashreplace")) for name, text in told.items()]
        return Letter(value, None, last) if what else Letter(value, key, [*headers, *last])

    start = None if value is None else value[:KEPT_OF_TOO_LARGE]
    kept = start if reason == "too_large" else value
    rest = len(value or b"") - len(start or b"")
    return (
        letter(kept, f"{beside} bytes of key and headers" if beside > MOST_BESIDE else ""),
        letter(start, f"{beside} bytes of key and headers, and {rest} of the value,"),
    )


class Inline(Executor):
    """Does what it is given at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

"""What a tap goes by: what the configuration tells it, and how much it may hold."""

from __future__ import annotations

from dataclasses import dataclass

from stream_monitor.config import Config
from stream_monitor.config.roles import patterns, roles
from stream_monitor.tap.bundles import PART_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a tap holds and how often it flushes."""

    events: int = 80_000  # in a block; of records, buffered over all partitions: half while the other half is counted
    bytes: int = 64 << 20
    flush_seconds: tuple[float, float] = (1.0, 5.0)  # the interval grows within these with what a flush costs
    backoff_seconds: float = 0.5  # before what failed is tried again
    patience_seconds: float = 5.0  # before a log that ends too early is believed
    answer_seconds: float = 30.0  # before another client is to answer what an assignment asks, later twice as long
    silence_seconds: float = 2.0  # how often a silent partition sends an empty block
    discovery_seconds: float = 10.0  # how often new topics are looked for that a pattern stands for
    short_seconds: float = 0.005  # a block that is counted so soon is published before the next poll
    part_bytes: int = PART_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a tap is told by the configuration."""

    topics: tuple[str, ...]
    patterns: tuple[str, ...] = ()  # of further topics, as far as there are any
    prefix: str = "stream-monitor."
    start: str = "earliest"  # earliest | latest | RFC 3339 time: where a group without commits begins
    idle_after_ms: int = 30_000

    @classmethod
    def of(cls, config: Config) -> Rules:
        """As configured: all topics of all models."""
        return cls(
            topics=tuple(sorted(roles(config))),
            patterns=tuple(patterns(config)),
            prefix=config.kafka.prefix,
            start=config.kafka.start,
            idle_after_ms=config.time.idle_after,
        )

"""Records of many events: what a tap counts at once is bounded by the events in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stream_monitor.brokers import Message, Partition
from stream_monitor.config import Config, Model
from stream_monitor.intents import Intent
from stream_monitor.tap.blocks import Counted
from tests.tap.test_counting import counting
from tests.tap.test_protocol import WORKERS, nothing_lost_or_doubled
from tests.tap.test_waiting import Alone, Waits


class Tables(Waits):
    """A record of topic `a` holds ten events, one of `b` one; both are taken for a hundred before any was read."""

    def __init__(self) -> None:
        super().__init__(each=100.0)

    def count(self, intent: Intent, partition: Partition, messages: Sequence[Message]) -> Counted:
        counted = super().count(intent, partition, messages)
        many = 10 if partition[0] == "a" else 1
        return replace(counted, events={model: n * many for model, n in counted.events.items()})


def test_blocks_have_no_more_events_than_a_tap_may_hold() -> None:
    world = Alone(Tables)  # 40 events
    for topic in "ab":
        world.write(topic, 120)
    world.run(150)
    assert (world.counted("a"), world.counted("b"), world.lag("a"), world.lag("b")) == (1_200, 120, 0, 0)
    nothing_lost_or_doubled(world)
    sizes: dict[str, set[int]] = {"a": set(), "b": set()}
    for worker in range(WORKERS):
        for bundle in world.bundles(worker):
            sizes[bundle.source.topic].add(bundle.to - bundle.from_)
    assert max(sizes["a"]) == 4
    assert max(sizes["b"]) > 10


def test_the_format_says_what_is_expected_at_first() -> None:
    config = Config(models={"m": Model(topic=("t",)), "n": Model(topic=("u", "v"), format="csv")})
    assert [counting(config).events_a_record(topic) for topic in "tuv"] == [1.0, 1_000.0, 1_000.0]

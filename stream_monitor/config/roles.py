"""Which topics belong to which models, and as what: predictions, labels, or features in a stream of their own.

A topic that begins with ^ is a pattern, a regular expression that a topic's name must begin with: `^fraud\\..*`. What a
topic is to a model follows from its name and the configuration alone, so that a block is counted the same by whoever
counts it, however many topics there were when it was cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from stream_monitor.config import Config, Model

Holds = Literal["events", "features", "labels"]
Role = tuple[str, Holds]  # model, what of it a topic holds


def is_pattern(topic: str) -> bool:
    """Whether it stands for topics by a regular expression.

    >>> is_pattern("^fraud\\\\..*"), is_pattern("fraud.eu")
    (True, False)
    """
    return topic.startswith("^")


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def matches(topics: Iterable[str], topic: str) -> bool:
    """Whether `topic` is one of `topics`, by name or by pattern.

    >>> matches(("a", "^fraud[.].*"), "fraud.eu"), matches(("a", "^fraud[.].*"), "b.fraud.eu")
    (True, False)
    """
    return any(t == topic or (is_pattern(t) and _compiled(t).match(topic) is not None) for t in topics)


def other_topics(model: Model) -> list[str]:
    """The topics of a model beside those of its predictions."""
    return [s.topic for s in (model.features, model.labels) if s is not None]


def stated_topics(model: Model) -> list[str]:
    """Topics of a model that the configuration names."""
    return [*(t for t in model.topic if not is_pattern(t)), *other_topics(model)]


def patterns(config: Config) -> list[str]:
    """All patterns, each once."""
    return sorted({t for model in config.models.values() for t in model.topic if is_pattern(t)})


def resolved(config: Config, topics: Iterable[str]) -> dict[str, list[str]]:
    """model -> those of `topics` that its patterns stand for.

    >>> resolved(Config(models={"a": Model(topic=("^t.*",)), "b": Model(topic=("u",))}), ["t2", "u", "t1"])
    {'a': ['t1', 't2']}
    """
    known, found = sorted(topics), {}
    for name, model in sorted(config.models.items()):
        wanted = [t for t in model.topic if is_pattern(t)]
        if wanted:
            found[name] = [t for t in known if matches(wanted, t) and t not in model.topic]
    return found


def takes(model: Model, topic: str) -> bool:
    """Whether anything of the model is in the topic."""
    return matches(model.topic, topic) or topic in other_topics(model)


def roles(config: Config) -> dict[str, list[Role]]:
    """What each topic that is named holds.

    >>> roles(Config(models={"b": Model(topic=("t", "u")), "a": Model(topic=("t",))}))
    {'t': [('a', 'events'), ('b', 'events')], 'u': [('b', 'events')]}
    """
    named: dict[str, list[Role]] = {}
    for name, model in sorted(config.models.items()):
        for topic, holds in _stated(model):
            named.setdefault(topic, []).append((name, holds))
    return {topic: roles_of(config, topic) for topic in named} if patterns(config) else named


def roles_of(config: Config, topic: str) -> list[Role]:
    """What a topic holds: in the order of the models' names, events first.

    >>> roles_of(Config(models={"a": Model(topic=("^t.*",)), "b": Model(topic=("u",))}), "t1")
    [('a', 'events')]
    """
    found: list[Role] = []
    for name, model in sorted(config.models.items()):
        if matches(model.topic, topic):
            found.append((name, "events"))
        found += [(name, holds) for t, holds in _stated(model) if t == topic and holds != "events"]
    return found


def _stated(model: Model) -> list[tuple[str, Holds]]:
    stated: list[tuple[str, Holds]] = [(t, "events") for t in model.topic if not is_pattern(t)]
    if model.features is not None:
        stated.append((model.features.topic, "features"))
    if model.labels is not None:
        stated.append((model.labels.topic, "labels"))
    return stated

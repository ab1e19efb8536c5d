"""The store of labels in Redis: LabelStore of interfaces.py, by one Lua script, as redis.py says of all of them."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import redis

from connectors.redis import BATCH, errors
from stream_monitor.interfaces import Joined, Label, LabelAnswer, Prediction

LABELS_TIMEOUT_SECONDS: Final = 2.0  # shorter: while the answer is awaited, no block of another topic is counted
LABELS_PAUSE_SECONDS: Final = 5.0  # after that, until it is asked again; who asks before is told at once
LABELS_PROBE_SECONDS: Final = 0.25  # ... and then only whether it is there, before it is trusted with work

# An id's key holds a state and then, each behind its length: position and content of the prediction, position and
# content of the label. States: p, l (one of them waits), P, L (a pair; the letter says which of the two came second).
# Contents begin with 8 bytes of time, which is not compared: a label said again later is a duplicate.
_JOIN: Final = """
local ours, theirs = ARGV[1], ARGV[2]  -- 'p', 'l' or 'l', 'p'
local pair, ttl = string.upper(ours), ARGV[3]
local answers = {}
local function take(value, at)
  local n = struct.unpack('>I4', value, at)
  return string.sub(value, at + 4, at + 3 + n), at + 4 + n
end
local function give(text) return struct.pack('>I4', #text) .. text end
for i = 1, #KEYS do
  local key, at, content = KEYS[i], ARGV[2 + 2 * i], ARGV[3 + 2 * i]
  local value = redis.call('GET', key)
  local answer = 'w'
  if not value then
    redis.call('SET', key, ours .. give(at) .. give(content), 'PX', ttl)
  else
    local state = string.sub(value, 1, 1)
    if state == theirs then
      local second = give(at) .. give(content)
      local both = ours == 'l' and string.sub(value, 2) .. second or second .. string.sub(value, 2)
      redis.call('SET', key, pair .. both, 'PX', ttl)
      answer = 'j' .. both
    else
      local from = 2
      if ours == 'l' and state ~= 'l' then
        local _
        _, from = take(value, from)
        _, from = take(value, from)
      end
      local known, next = take(value, from)
      if known == at then
        if state == pair then answer = 'j' .. string.sub(value, 2) end
      else
        answer = string.sub(take(value, next), 9) == string.sub(content, 9) and 'd' or 'c'
      end
    end
  end
  answers[i] = answer
end
return answers
"""


_TIME: Final = struct.Struct(">q")


class RedisLabelStore:
    """LabelStore in Redis; about 180 bytes a prediction. May be used from any thread.

    A Redis that does not answer costs whoever asks LABELS_TIMEOUT_SECONDS, then nobody anything for a while, and then
    LABELS_PROBE_SECONDS every LABELS_PAUSE_SECONDS: however many blocks need it, the others are hardly held up.
    """

    def __init__(
        self, url: str, prefix: str = "stream-monitor.", *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._prefix = f"{{{prefix}}}labels:"
        self._clock = clock
        self._silent_until: float | None = None
        self._client, self._probe = (
            redis.Redis.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds)
            for seconds in (LABELS_TIMEOUT_SECONDS, LABELS_PROBE_SECONDS)
        )

    def predictions(self, model: str, rows: Sequence[Prediction], ttl_ms: int) -> list[Joined | None]:
        events = [(r.id, r.position, r.time_ms, (r.version, r.segments, r.prediction, r.score)) for r in rows]
        return [
            _joined(row.id, answer) if answer[:1] == b"j" else None
            for row, answer in zip(rows, self._join("p", "l", model, events, ttl_ms), strict=True)
        ]

    def labels(self, model: str, rows: Sequence[Label], ttl_ms: int) -> list[LabelAnswer]:
        events = [(r.id, r.position, r.time_ms, _plain_label(r.label)) for r in rows]
        words: dict[bytes, LabelAnswer] = {b"w": "waiting", b"d": "duplicate", b"c": "conflict"}
        return [
            words[answer] if answer in words else _joined(row.id, answer)
            for row, answer in zip(rows, self._join("l", "p", model, events, ttl_ms), strict=True)
        ]

    def ping(self) -> None:
        with errors():
            self._client.ping()

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()
        self._probe.close()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """What is done within waits for Redis, unless it was silent and still is."""
        waited = LABELS_TIMEOUT_SECONDS
        if self._silent_until is not None and self._clock() < self._silent_until:
            raise ConnectionError("redis: it did not answer; it is asked again soon")
        try:
            if self._silent_until is not None:
                waited = LABELS_PROBE_SECONDS
                self._probe.ping()
                self._silent_until, waited = None, LABELS_TIMEOUT_SECONDS
            yield
        except redis.TimeoutError as error:
            self._silent_until = self._clock() + LABELS_PAUSE_SECONDS
            raise ConnectionError(f"redis: no answer within {waited:g} s") from error

    def _join(
        self, ours: str, theirs: str, model: str, events: Sequence[tuple[str, str, int, Any]], ttl_ms: int
    ) -> list[bytes]:
        keys = f"{self._prefix}{len(model)}:{model}:"
        encode = msgspec.msgpack.Encoder().encode
        with errors(), self._answering():
            pipeline = self._client.pipeline(transaction=False)
            for first in range(0, len(events), BATCH):
                batch = events[first : first + BATCH]
                arguments: list[Any] = [keys + event[0] for event in batch]
                arguments += (ours, theirs, ttl_ms)
                for _, at, time_ms, content in batch:
                    arguments += (at, _TIME.pack(time_ms) + encode(content))
                pipeline.eval(_JOIN, len(batch), *arguments)
            return [answer for answers in pipeline.execute() for answer in answers]


def _plain_label(label: float | str | None) -> float | str | None:
    """Equal labels as equal bytes: 1, 1.0 and true are one; so are 0.0 and -0.0."""
    return float(label) + 0.0 if isinstance(label, int | float) else label


def _joined(id: str, answer: bytes) -> Joined:
    parts, at = [], 1
    while at < len(answer):
        (length,) = struct.unpack_from(">I", answer, at)
        parts.append(answer[at + 4 : at + 4 + length])
        at += 4 + length
    (predicted_ms,), (labelled_ms,) = _TIME.unpack_from(parts[1]), _TIME.unpack_from(parts[3])
    version, segments, prediction, score = msgspec.msgpack.decode(parts[1][_TIME.size :])
    label = msgspec.msgpack.decode(parts[3][_TIME.size :])
    return Joined(
        Prediction(id, parts[0].decode(), predicted_ms, version, tuple(segments), prediction, score),
        Label(id, parts[2].decode(), labelled_ms, label),
    )

"""Poison pills: records that bring out a mistake in a decoder.

Without this one such record would end the tap, and end it again at every start, and nothing behind it would be counted.
So it is found among its neighbours, told as a dead letter with its bytes, and the others count.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from stream_monitor.counting.batches import DeadLetter, Integers, Records
from stream_monitor.errors import StreamMonitorError

logger = logging.getLogger(__name__)
Found = TypeVar("Found")


def survived(
    decode: Callable[[Records], tuple[Found, list[DeadLetter]]], records: Records
) -> tuple[Found, list[DeadLetter]]:
    """What `decode` makes of the records, those it fails at being dead letters.

    It fails as ever where the records are not to blame: without memory or registry, or when it does not fail at any of
    them by itself.
    """
    try:
        return decode(records)
    except (MemoryError, StreamMonitorError):
        raise
    except Exception:
        pills = _pills(decode, records, np.arange(len(records)))
        if not pills:
            raise
        logger.exception("%d records bring out a mistake in a decoder and are dead letters", len(pills))
    values = [None if i in pills else value for i, value in enumerate(records.values)]
    found, dead = decode(replace(records, values=values))
    return found, [pills.get(letter.index, letter) for letter in dead]


def _pills(decode: Callable[[Records], Any], records: Records, index: Integers) -> dict[int, DeadLetter]:
    """Letters for the records among `index` at which `decode` fails, found by halving."""
    try:
        decode(records.take(index))
    except (MemoryError, StreamMonitorError):
        raise
    except Exception as error:
        if len(index) > 1:
            half = len(index) // 2
            return _pills(decode, records, index[:half]) | _pills(decode, records, index[half:])
        at = traceback.extract_tb(error.__traceback__)[-1]
        detail = f"a mistake in the decoder: {error!r} at {at.name}"
        return {int(index[0]): DeadLetter(int(index[0]), "not_json", detail)}
    return {}

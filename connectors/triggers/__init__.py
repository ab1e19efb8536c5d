"""Where retrain requests go. Adding one: a file here, a line in TRIGGERS, a case in tests/deliveries/cases.py.

Each takes its options in YAML as keyword arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from connectors.triggers.webhook import Webhook
from stream_monitor.interfaces import Trigger

TRIGGERS: Final[dict[str, Callable[..., Trigger]]] = {
    "webhook": Webhook,
}

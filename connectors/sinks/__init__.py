"""Where alerts go. Adding one: a file here, a line in SINKS, a case in tests/deliveries/cases.py.

Each takes its options in YAML as keyword arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from connectors.sinks.alertmanager import Alertmanager
from connectors.sinks.slack import Slack
from connectors.sinks.webhook import Webhook
from stream_monitor.interfaces import Sink

SINKS: Final[dict[str, Callable[..., Sink]]] = {
    "alertmanager": Alertmanager,
    "slack": Slack,
    "webhook": Webhook,
}

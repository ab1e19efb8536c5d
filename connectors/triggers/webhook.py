"""A pipeline's webhook."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.sinks.webhook import Webhook as SignedPost


@dataclass(kw_only=True)
class Webhook(SignedPost):
    """POST the bare retrain request as JSON, signed (Standard Webhooks); its id is `webhook-id` and idempotency key.

    At least once: a pipeline that starts one run per `idempotency_key` trains once.
    """

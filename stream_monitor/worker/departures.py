"""How a consumer that is being closed leaves its group, though the group keeps it waiting.

aiokafka closes a consumer only when the task is done that keeps it in its group. While the group rebalances that task
waits for the broker, and the broker for every other member: for one that is frozen, as long as its session or the
rebalance may last. What is asked after that on the same connection is not even read before. So this asks on another
one to leave, whereupon the broker goes on without us; what does not end even then is cut off.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from aiokafka.client import ConnectionGroup
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import LeaveGroupRequest

GRACE_SECONDS: Final = 0.5  # for what ends by itself
LEAVE_SECONDS: Final = 1.0  # for the broker to let us go

log = logging.getLogger(__name__)


async def leave(consumer: Any) -> None:
    """Have an aiokafka consumer end, once it is being closed. Run it in its loop; cancel it after the end."""
    coordinator, client = consumer._coordinator, consumer._client
    await asyncio.wait([coordinator._closing])
    await asyncio.sleep(GRACE_SECONDS)
    node, member = coordinator.coordinator_id, coordinator.member_id
    if node is not None and member:
        log.info("leaving the group, which waits for other members")
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await client.send(node, LeaveGroupRequest(coordinator.group_id, member))
        except (KafkaError, TimeoutError) as error:
            log.warning("the group may wait for us until our session ends: %r", error)
        await asyncio.sleep(GRACE_SECONDS)
    for (_, use), connection in list(client._conns.items()):
        if use == ConnectionGroup.COORDINATION:
            connection.close()

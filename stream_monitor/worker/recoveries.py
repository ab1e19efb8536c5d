"""The queue between Faust's client and the reading of a table: what is of an older generation does not come out of it.

A rebalance may come while a table is being read. Faust then empties its queue and reads on from where it was. But who
waited to put a message into a full queue waits on, as nothing is taken out of an empty one; and his message, once it is
in, says of all before it that they have been read. So a checkpoint could go unseen.
"""

from __future__ import annotations

from typing import Any

from mode.utils.queues import FlowControlQueue


class Recovered(FlowControlQueue[Any]):  # type: ignore[misc]  # mode has no types
    """Messages of the checkpoints topic, of the present generation of the group."""

    def __init__(self, app: Any, *, maxsize: int) -> None:
        super().__init__(maxsize, flow_control=app.flow_control, clear_on_resume=True)
        self._app = app

    def clear(self) -> None:
        """Empty it, and let those go on who wait for room."""
        super().clear()
        waiting: Any = self._putters  # asyncio's own
        while waiting:
            if not (one := waiting.popleft()).done():
                one.set_result(None)

    async def get(self) -> Any:
        """The next message. Those read before the last rebalance are dropped: they are read again."""
        while True:
            event = await super().get()
            if event.message.generation_id == self._app.consumer_generation_id:
                return event

"""Every broker in turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.embedded import EmbeddedBroker
from connectors.kafka_clients import Connection
from tests.tap.kinds import EMBEDDED, KAFKA, KIP_848, TWIN, Kind, Real, Twin


@pytest.fixture(params=[TWIN, EMBEDDED, KAFKA, KIP_848])
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    kind: Kind
    if request.param == TWIN:
        kind = Twin()
    elif request.param == EMBEDDED:
        broker = EmbeddedBroker()
        kind = Real(Connection(brokers=broker.address, options={"session.timeout.ms": 6000}, embedded=True), broker)
    else:
        node = request.getfixturevalue("kafka")
        classic = request.param == KAFKA
        options = {"session.timeout.ms": 6000} if classic else {"group.protocol": "consumer"}
        kind = Real(Connection(brokers=node.bootstrap, options=options))
    yield kind
    kind.close()

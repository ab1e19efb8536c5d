"""One secured Kafka node for the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import servers
from tests.conftest import _kafka_jars
from tests.operations.secured import Secured

USERS = ["tap", "worker", "api", "everything", "nobody"]


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A node with TLS, passwords, certificates, tokens and ACLs; see secured.py."""
    servers.need_program("java", "openjdk-17-jre-headless")
    _kafka_jars()
    secured = Secured(tmp_path_factory.mktemp("secured"), USERS)
    secured.start()
    yield secured
    secured.stop()

"""Several nodes in one URL, and which queues a cluster replicates."""

import asyncio
from typing import Any

import pytest

from dts_core.brokers.base import HEARTBEATS, REQUESTS, QueueKind, QueueSpec
from dts_core.brokers.rabbitmq.framing.address import address_of, addresses_of
from dts_core.brokers.rabbitmq.supervisor import Supervisor
from dts_core.brokers.rabbitmq.topology import Topology
from dts_core.errors import ConfigError
from dts_core.settings import QueueNames, RabbitSettings
from dts_core.testing import wait_until

LISTED = "amqps://ann:s%2Fc%2C%40@h1:1,h2,h3:3/a%2Fb?auth=plain"


def test_every_node_of_a_url_is_known_by_the_same_login() -> None:
    """The first stands for all of them where one is enough."""
    found = addresses_of(LISTED)
    assert [(each.host, each.port) for each in found] == [("h1", 1), ("h2", 5671), ("h3", 3)]
    assert {(each.user, each.password, each.vhost) for each in found} == {("ann", "s/c,@", "a/b")}
    assert address_of(LISTED) == found[0]
    assert [str(each) for each in addresses_of("amqp://h")] == ["h:5672"]
    with pytest.raises(ConfigError):
        addresses_of("amqp://h:1,i:two/v")


async def test_each_node_is_tried_in_turn() -> None:
    """Whichever is there is found, and none is left out."""
    nodes = addresses_of("amqp://127.0.0.1:1,127.0.0.2:1,127.0.0.3:1/v")
    tried: set[str] = set()

    async def nothing(*_: Any) -> None: ...

    supervisor = Supervisor(
        nodes, name="t", settings=RabbitSettings(deadline_seconds=0.5), context=None,
        rebuild=nothing, lost=lambda why: None, watch=nothing, built=lambda: None,
    )  # fmt: skip

    def all_tried() -> bool:
        tried.add(supervisor.address.host)
        return len(tried) == len(nodes)

    starting = asyncio.create_task(supervisor.start(60))
    await wait_until(all_tried)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await supervisor.close()


def test_questions_and_heartbeats_are_replicated_where_they_are_named() -> None:
    """A pattern for all means queues of work; a configured name is known by the name of the code."""
    specs = [QueueSpec(REQUESTS, QueueKind.REQUEST), QueueSpec("beats", QueueKind.BOUNDED)]
    names = QueueNames(heartbeats="beats")
    plain = Topology(names, RabbitSettings(kinds={"*": "quorum"}))
    assert not any(plain.is_quorum(spec) for spec in specs)
    assert not any("x-queue-type" in plain.arguments(spec) for spec in specs)
    named = Topology(names, RabbitSettings(kinds={REQUESTS: "quorum", HEARTBEATS: "quorum"}))
    assert all(named.arguments(spec)["x-queue-type"] == "quorum" for spec in specs)
    assert named.arguments(specs[1])["x-overflow"] == "drop-head"

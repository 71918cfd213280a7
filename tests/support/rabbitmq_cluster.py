"""Three RabbitMQ nodes of the tests' own that are one cluster, on loopback."""

import contextlib
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import eventually
from tests.support.rabbitmq import START_SECONDS, RabbitNode

NODES = 3


class Cluster:
    """Its nodes, and URLs that list them."""

    def __init__(self, nodes: list[RabbitNode]) -> None:
        self.nodes = nodes

    def vhost(self) -> str:
        """A fresh virtual host; the administrator's URL of it, with every node."""
        return self.listing(self.nodes[0].vhost())

    def listing(self, url: str) -> str:
        """A URL of the first node, with every node in it."""
        hosts = ",".join(f"{node.host}:{node.port}" for node in self.nodes)
        first = self.nodes[0]
        return url.replace(f"{first.host}:{first.port}", hosts)

    def is_whole(self) -> bool:
        """Whether every node sees all of them run."""
        try:
            seen = [node.http("GET", "/api/nodes") for node in self.nodes]
        except OSError:
            return False
        return all(sum(bool(each.get("running")) for each in found) == NODES for found in seen)


@contextlib.contextmanager
def private_cluster() -> Iterator[Cluster]:
    """A cluster for the length of a block; its nodes share a name daemon and a cookie, and nothing else."""
    folder = Path(tempfile.mkdtemp(prefix="dts-rabbits-"))
    nodes = [RabbitNode(folder / str(number)) for number in range(NODES)]
    cookie = secrets.token_hex(16)
    try:
        for node in nodes:
            node.epmd_port = nodes[0].epmd_port
            home = node.folder / "home"
            home.mkdir(parents=True)
            (home / ".erlang.cookie").write_text(cookie)
            (home / ".erlang.cookie").chmod(0o400)
            node.start()
        for node in nodes[1:]:
            node.ctl("stop_app")
            node.ctl("join_cluster", nodes[0].name)
            node.ctl("start_app")
        cluster = Cluster(nodes)
        eventually(cluster.is_whole, seconds=START_SECONDS, what="the cluster is whole")
        yield cluster
    finally:
        for node in reversed(nodes):
            node.stop()
        shutil.rmtree(folder, ignore_errors=True)

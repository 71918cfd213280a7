"""Many hosts reached by SSH, each an address of loopback, for control sides that run as processes."""

import contextlib
import tempfile
from collections.abc import Iterator
from typing import Any, Final

from dts_core.clients import SyncAdminClient
from tests.support.sshd import SshServer, ssh_server

LISTENING: Final = 15
"""Addresses of one sshd, which takes 16."""
MANY_SECONDS: Final = 300.0
"""For what takes many hosts on one machine."""


@contextlib.contextmanager
def ssh_hosts(count: int) -> Iterator[list[tuple[SshServer, str]]]:
    """So many hosts, each on an address of its own; their home is empty, so that no login files are run there."""
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="dts-home-"))
        found: list[tuple[SshServer, str]] = []
        for begin in range(1, count + 1, LISTENING):
            numbers = range(begin, min(begin + LISTENING, count + 1))
            addresses = [f"127.0.9.{number}" for number in numbers]
            options = [f"SetEnv HOME={home}"]
            server = stack.enter_context(ssh_server(addresses=addresses, options=options))
            found += [(server, address) for address in addresses]
        yield found


def add_all(client: SyncAdminClient, found: list[tuple[SshServer, str]], **more: Any) -> list[str]:
    """A virtual host for each: web-1, web-2, ..., with the label role=web and further fields."""
    names = []
    for number, (server, address) in enumerate(found, 1):
        names.append(f"web-{number}")
        fields: dict[str, Any] = server.vhost() | {"address": address, "labels": {"role": "web"}}
        fields |= more
        client.vhosts.add(names[-1], **fields)
    return names


def ended(client: SyncAdminClient, job: str) -> int:
    """Hosts of a run that have an end."""
    counts = client.ssh.changes(job, 0, limit=1).counts
    return sum(count for state, count in counts.items() if state not in ("running", "waiting"))

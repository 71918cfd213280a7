"""parallel-ssh over libssh2: connections kept by the client. It checks no host key."""

from collections.abc import Callable
from typing import Any

from pssh.clients import ParallelSSHClient

from benchmarks.ssh_peers.apps.driver import Place, drive


def start(place: Place) -> Callable[[], Any]:
    client = ParallelSSHClient(
        place.hosts,
        user=place.user,
        port=place.port,
        pkey=place.key,
        pool_size=len(place.hosts),
        allow_agent=False,
        identity_auth=False,
    )

    def again() -> None:
        output = client.run_command("true")
        client.join(output)
        assert [each.exit_code for each in output] == [0] * len(place.hosts)

    again()
    return again


if __name__ == "__main__":
    drive(start)

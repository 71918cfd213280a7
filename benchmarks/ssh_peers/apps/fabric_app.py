"""Fabric: a thread for each host, connections kept by the group. It takes any host key that it does not know."""

from collections.abc import Callable
from typing import Any

from fabric import ThreadingGroup

from benchmarks.ssh_peers.apps.driver import Place, drive


def start(place: Place) -> Callable[[], Any]:
    group = ThreadingGroup(
        *place.hosts,
        user=place.user,
        port=place.port,
        connect_kwargs={
            "key_filename": place.key,
            "look_for_keys": False,
            "allow_agent": False,
        },
    )

    def again() -> Any:
        return group.run("true", hide=True, in_stream=False)

    again()
    return again


if __name__ == "__main__":
    drive(start)

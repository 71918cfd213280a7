"""pyinfra: its connections, and commands straight through them, below its operations and facts."""

from collections.abc import Callable
from typing import Any

from pyinfra.api import Config, Inventory, State, StringCommand
from pyinfra.api.connect import connect_all

from benchmarks.ssh_peers.apps.driver import Place, drive


def start(place: Place) -> Callable[[], Any]:
    data = {
        "ssh_user": place.user,
        "ssh_port": place.port,
        "ssh_key": place.key,
        "ssh_known_hosts_file": place.trusted,
        "ssh_allow_agent": False,
        "ssh_look_for_keys": False,
    }
    inventory = Inventory((place.hosts, data))
    state = State(inventory, Config(PARALLEL=len(place.hosts)))
    connect_all(state)
    command = StringCommand("true")

    def again() -> None:
        running = [state.pool.spawn(host.run_shell_command, command) for host in inventory]
        assert all(each.get()[0] for each in running)

    again()
    return again


if __name__ == "__main__":
    drive(start)

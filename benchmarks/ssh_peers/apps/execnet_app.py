"""execnet: an interpreter kept on each host over ssh(1), and a channel that answers what it is sent."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import execnet

from benchmarks.ssh_peers.apps.driver import Place, drive

ANSWER = "for _ in channel:\n    channel.send(None)\n"
AT_ONCE = 50


def start(place: Place) -> Callable[[], Any]:
    group = execnet.Group()

    def open_channel(host: str) -> Any:
        gateway = group.makegateway(f"ssh={host}//ssh_config={place.ssh_config}//python=python3")
        return gateway.remote_exec(ANSWER)

    with ThreadPoolExecutor(min(AT_ONCE, len(place.hosts))) as threads:
        channels = list(threads.map(open_channel, place.hosts))

    def again() -> None:
        for channel in channels:
            channel.send(1)
        for channel in channels:
            channel.receive(60)

    again()
    return again


if __name__ == "__main__":
    drive(start)

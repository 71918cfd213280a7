"""A network of its own for one worker, which can be cut one way: two namespaces, joined by a pair of interfaces."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator


class Network:
    """`here` and `there` are the addresses of both ends."""

    def __init__(self, number: int) -> None:
        self.name = f"dts-{number}"
        second, third = divmod(number % 65_536, 256)
        self.here, self.there = f"10.{second}.{third}.1", f"10.{second}.{third}.2"
        self._device = f"dts{number}"

    def make(self) -> None:
        """Needs root."""
        _ip("netns", "add", self.name)
        _ip("link", "add", f"{self._device}h", "type", "veth", "peer", "name", f"{self._device}w")
        _ip("link", "set", f"{self._device}w", "netns", self.name)
        _ip("addr", "add", f"{self.here}/24", "dev", f"{self._device}h")
        _ip("link", "set", f"{self._device}h", "up")
        _ip("-n", self.name, "addr", "add", f"{self.there}/24", "dev", f"{self._device}w")
        _ip("-n", self.name, "link", "set", f"{self._device}w", "up")
        _ip("-n", self.name, "link", "set", "lo", "up")

    @contextlib.contextmanager
    def cut(self, *, to_worker: bool, from_worker: bool) -> Iterator[None]:
        """No packet arrives this way, or neither way, within the block."""
        ways = []
        if to_worker:
            ways.append(["route", "{}", "blackhole", f"{self.there}/32"])
        if from_worker:
            ways.append(["-n", self.name, "route", "{}", "blackhole", f"{self.here}/32"])
        for way in ways:
            _ip(*(word.format("add") for word in way))
        try:
            yield
        finally:
            for way in ways:
                _ip(*(word.format("del") for word in way))

    def remove(self) -> None:
        """With its interfaces."""
        for words in (("netns", "del", self.name), ("link", "del", f"{self._device}h")):
            with contextlib.suppress(
                OSError
            ):  # the interfaces go with the namespace, save where it was not made
                _ip(*words)


def is_possible() -> bool:
    """Whether this process may make one: root in a container often may not. Makes one and removes it."""
    if sys.platform != "linux" or os.getuid() != 0 or shutil.which("ip") is None:
        return False
    probe = Network(os.getpid() + 1)
    try:
        probe.make()
    except OSError:
        return False
    finally:
        probe.remove()
    return True


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")

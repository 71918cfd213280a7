"""The way to a host that is idle: a cable that is pulled is noticed by the system's probes, without a word of SSH."""

import os
import shutil
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from dts_core.ssh import connect
from dts_core.ssh.dial import Dialer
from dts_core.ssh.pool import Sessions
from dts_core.ssh.settings import SshSettings
from dts_core.testing import wait_until
from tests.support.sshd import SshServer, ssh_server
from tests.support.sshliar import lying
from tools.campaign_network import Network

MINUTE = 60.0


@pytest.fixture(name="network")
def network_fixture() -> Iterator[Network]:
    network = Network(os.getpid())
    try:
        network.make()
        yield network
    finally:
        network.remove()


@pytest.fixture(name="sshd")
def sshd_fixture(network: Network) -> Iterator[SshServer]:
    nsenter = [shutil.which("nsenter") or "nsenter", f"--net=/run/netns/{network.name}"]
    with ssh_server(addresses=[network.there], prefix=nsenter) as server:
        yield server


@pytest.mark.external("sshd")
@pytest.mark.external("network namespaces")
async def test_a_pulled_cable_is_noticed_on_an_idle_connection(
    network: Network, sshd: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSH itself asks nothing here for an hour."""
    monkeypatch.setattr(connect, "WATCHED_TIMES", 3600)
    settings = SshSettings(keepalive_seconds=1.0, keepalive_misses=1)
    async with Sessions(settings) as kept, kept.session(sshd.target()) as session:
        assert (await session.run(["true"], timeout=MINUTE)).exit_status == 0
        with network.cut(to_worker=True, from_worker=True):
            await wait_until(lambda: not session.is_alive, MINUTE)


async def test_the_system_is_asked_to_probe_as_often_as_is_set() -> None:
    """And to give up in the same time when something that was sent is not acknowledged."""
    async with lying() as liar:
        dialer = Dialer(SshSettings(keepalive_seconds=7.0, keepalive_misses=2), None)
        target = liar.target()
        transport, _ = await dialer.create_connection(_Nothing, target.address, target.port)
        try:
            found = transport.get_extra_info("socket")
            assert dialer.is_watched
            assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            told = {
                name: found.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
            }
            assert list(told.values()) == [7, 7, 2, 21_000]
        finally:
            transport.abort()


async def test_behind_a_jump_host_ssh_asks() -> None:
    """There the system sees the way to the jump host alone."""
    async with lying() as liar:
        dialer = Dialer(SshSettings(), _Jump())  # type: ignore[arg-type]  # all that is called of a connection
        await dialer.create_connection(_Nothing, liar.target().address, liar.target().port)
        assert not dialer.is_watched


class _Jump:
    async def create_connection(self, make: Any, _host: str, _port: int) -> tuple[Any, Any]:
        return object(), make()


class _Nothing:
    """A protocol that lets all pass by."""

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None

"""From a virtual host to a session with it: its way, its secrets, what makes it another one; a real OpenSSH."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dts_core.errors import InvalidInput, NotFound
from dts_core.remote import Person, Remotes
from dts_core.services.users import LOCAL
from dts_core.settings import RemoteSettings
from dts_core.ssh.outcome import HostState
from dts_core.ssh.target import Credentials
from tests.support.server import Server, serve
from tests.support.sshd import SshServer, ssh_server
from tests.support.sshkeys import PASSPHRASE, private_key, public_line

pytestmark = pytest.mark.external("sshd")


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshServer]:
    with ssh_server() as made:
        yield made


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serve(tmp_path) as made:
        yield made


@asynccontextmanager
async def reaching(server: Server, **settings: Any) -> AsyncIterator[Remotes]:
    async with Remotes(server.services, RemoteSettings(**settings)) as made:
        yield made


async def add(server: Server, sshd: SshServer, name: str = "web-1", **fields: Any) -> None:
    body = {"_id": name, **sshd.vhost(), **fields}
    await server.services.vhosts.create(LOCAL, {k: v for k, v in body.items() if v is not None})


async def test_a_virtual_host_is_reached(server: Server, sshd: SshServer) -> None:
    """Its key, its pin and its port are enough; that they were opened is on record with the reason."""
    await add(server, sshd)
    async with reaching(server) as remotes:
        target = await remotes.target(LOCAL, "web-1", why="a test")
        outcome = await remotes.calls.run(target, ["echo", "here"], timeout=60)
    assert (outcome.state, outcome.stdout) == (HostState.OK, b"here\n")
    listed = await server.call("GET", "/admin/operations", params={"doc_id": "web-1"})
    opened = [each for each in listed.json()["items"] if each["op_type"] == "open"]
    assert [each["ops"] for each in opened] == [{"why": [None, "a test"]}]


async def test_the_way_leads_through_its_jump(server: Server, sshd: SshServer) -> None:
    """Each host of the way is logged in to with its own credentials."""
    await add(server, sshd, "door")
    await add(server, sshd, "web-1", jump="door")
    async with reaching(server) as remotes:
        target = await remotes.target(LOCAL, "web-1", why="a test")
        assert target.jump is not None
        assert (target.id, target.jump.id) == ("web-1", "door")
        outcome = await remotes.calls.run(target, ["true"], timeout=60)
        assert outcome.state is HostState.OK
        assert remotes.sessions.count == 2


async def test_a_change_makes_it_another_one(server: Server, sshd: SshServer) -> None:
    """After a change no kept connection is used; a change of its jump counts as one of its own."""
    await add(server, sshd, "door")
    await add(server, sshd, "web-1", jump="door")
    async with reaching(server) as remotes:
        keys = [(await remotes.target(LOCAL, "web-1", why="a test")).key]
        assert (await remotes.target(LOCAL, "web-1", why="a test")).key == keys[0]
        for name in ("web-1", "door"):
            await server.services.vhosts.update(LOCAL, name, {"description": "changed"})
            keys.append((await remotes.target(LOCAL, "web-1", why="a test")).key)
    assert len(set(keys)) == 3


async def test_who_cannot_be_reached_is_told(server: Server, sshd: SshServer) -> None:
    """Disabled, without credentials, on a way that is disabled, without its agent, or not there."""
    await add(server, sshd, "off", disabled=True)
    await add(server, sshd, "behind", jump="off")
    await add(server, sshd, "bare", ssh_pem_cert=None, auth="ask")
    locked = private_key(PASSPHRASE)
    await add(server, sshd, "locked", ssh_pem_cert=locked, auth="ask")
    await add(server, sshd, "agent", ssh_pem_cert=None, auth="agent")
    async with reaching(server) as remotes:
        for name, word in {
            "off": "disabled", "behind": "off", "bare": "nothing is stored",
            "locked": "nothing is stored", "agent": "SSH agent",
        }.items():  # fmt: skip
            with pytest.raises(InvalidInput, match=word) as caught:
                await remotes.target(LOCAL, name, why="a test")
            assert caught.value.advice
        with pytest.raises(NotFound):
            await remotes.target(LOCAL, "nobody", why="a test")
    async with reaching(server, agent_socket="/run/agent") as remotes:
        target = await remotes.target(LOCAL, "agent", why="a test")
        assert target.credentials.agent == "/run/agent"


class Nobody:
    """Answers nothing."""

    async def answer(self, *_: object) -> None:
        return None

    async def sign(self, *_: object) -> None:
        return None


async def test_a_person_logs_in_as_they_say(server: Server, sshd: SshServer) -> None:
    """Their keys where the way ends, what is stored on the way; a host that is both has two connections."""
    await add(server, sshd, "door")
    await add(server, sshd, "web-1", jump="door")
    await add(server, sshd, "bare", ssh_pem_cert=None, auth="ask", jump="door")
    key = public_line(private_key())
    async with reaching(server) as remotes:
        own = Person(own_keys=(key,), user="anna")
        async with remotes.of_person(Nobody(), own) as theirs:
            door = await theirs.target(LOCAL, "door", why="a test")
            web = await theirs.target(LOCAL, "web-1", why="a test")
        assert web.jump is not None
        assert (web.user, web.credentials.own_keys, web.credentials.private_key) == (
            "anna",
            (key,),
            None,
        )
        assert (web.jump.user, web.jump.credentials.own_keys) == (sshd.user, ())
        assert web.jump.credentials.private_key is not None
        assert door.key != web.jump.key
        async with remotes.of_person(Nobody(), Person()) as asked:
            bare = await asked.target(LOCAL, "bare", why="a test")
        assert bare.credentials == Credentials()
    listed = await server.call("GET", "/admin/operations", params={"doc_id": "web-1"})
    assert not [each for each in listed.json()["items"] if each["op_type"] == "open"]

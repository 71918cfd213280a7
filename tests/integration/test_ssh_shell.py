"""A shell on a host: the API's WebSocket, the server's kept session, a real OpenSSH."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from dts_core.api import shell_bridge
from dts_core.cli import ws_protocol
from dts_core.errors import ApiError, Forbidden, InvalidInput, ServerUnreachable
from dts_core.services.access import Caller, Role
from dts_core.services.users import LOCAL
from dts_core.settings import ShellSettings
from dts_core.testing import wait_until
from tests.support.server import SECRET
from tests.support.shells import BEGIN, END, ShellWorld, shell_world
from tests.support.sshd import SshServer, ssh_server
from tests.support.sshkeys import private_key, public_line

pytestmark = [pytest.mark.external("sshd"), pytest.mark.serial]


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshServer]:
    with ssh_server(options=["SetEnv PS1=ready>", "SetEnv HISTFILE=/dev/null"]) as made:
        yield made


@pytest.fixture
async def world(tmp_path: Path, sshd: SshServer) -> AsyncIterator[ShellWorld]:
    async with shell_world(tmp_path, sshd) as made:
        yield made


async def test_keys_go_there_and_output_comes_back(world: ShellWorld) -> None:
    """A terminal of the size and kind at hand, that follows it; Ctrl-C interrupts there; the exit status comes back."""
    async with world.shell(term="vt100", columns=91, rows=33) as talk:
        assert talk.opened.host == "web-1"
        assert talk.opened.fingerprint.startswith("SHA256:")
        await talk.type("PS1='rea''dy> '; echo $((40+2)) $TERM; stty size\n")
        await talk.until("42 vt100")
        await talk.until("33 91")
        await talk.shell.resize(120, 40)
        await talk.type("stty size\n")
        await talk.until("40 120")
        await talk.type("echo be''gun; sleep 1000\n")
        await talk.until("begun")
        await talk.type("\x03")
        await talk.until("ready> ")  # what is typed before goes down with what it interrupts
        await talk.type("echo status=$((0+$?))\n")
        await talk.until("status=130")
        await talk.type("exit 7\n")
        assert (await talk.exit()).status == 7
    begin, end = await world.records()
    assert (begin["op_type"], begin["operator"], begin["ops"]) == (
        BEGIN,
        "root",
        {"term": [None, "vt100"]},
    )
    told = await world.ended()
    assert (end["op_type"], told["how"]) == (END, "exit 7")
    assert told["sent"] > 60
    assert told["received"] > 60
    everything = str(await world.records())
    assert "stty" not in everything
    assert "begun" not in everything


async def test_output_waits_for_who_reads_it(world: ShellWorld) -> None:
    """A client that reads nothing holds the host back, not the server's memory; nothing is lost once it reads."""
    lines = 150_000
    async with world.shell() as talk:
        await talk.type(f"stty -onlcr; seq -f %0100.0f {lines}; echo do''ne\n")
        shells = world.server.services.shells
        await wait_until(lambda: shells.open_now[0].received > 0, what="it prints")
        before = -1

        async def stands_still() -> bool:
            nonlocal before
            await asyncio.sleep(0.2)
            now = shells.open_now[0].received
            still, before = now == before, now
            return still

        await wait_until(stands_still, what="the host is held back")
        assert before < lines * 101
        said = await talk.until("done")
    numbers = [line for line in said.splitlines() if len(line) == 100 and line.isdigit()]
    assert (len(numbers), int(numbers[-1])) == (lines, lines)


async def test_a_killed_shell_and_a_lost_connection_are_told(
    world: ShellWorld, sshd: SshServer
) -> None:
    """By its signal; and in words when the connection itself is gone."""
    async with world.shell() as talk:
        await talk.type("kill -KILL $$\n")
        ended = await talk.exit()
        assert (ended.status, ended.signal) == (None, "KILL")
    assert (await world.ended())["how"] == "signal KILL"
    async with world.shell() as talk:
        for each in psutil.Process(sshd.pid).children(recursive=True):
            each.kill()
        with pytest.raises(ApiError, match="connection ended") as caught:
            await talk.exit()
        assert caught.value.answer_code == "session_lost"
    assert "connection ended" in (await world.ended())["how"]


async def test_nothing_stays_there_when_the_client_leaves(world: ShellWorld) -> None:
    """Who leaves hangs up: what ran in the terminal ends, and the end is on record."""
    async with world.shell() as talk:
        await talk.type("echo p''id=$$=; exec sleep 1000\n")
        await talk.until("pid=")
        pid = int((await talk.until("="))[:-1])
        assert psutil.pid_exists(pid)
    assert (await world.ended())["how"] == "the client left"
    await wait_until(lambda: not psutil.pid_exists(pid), what="it is gone there")


async def test_the_server_stops(world: ShellWorld) -> None:
    """Who has a shell hears that the server stops, in words, and it is on record."""
    async with world.shell() as talk:
        world.server.services.drain()
        with pytest.raises(ApiError, match="the server is about to stop"):
            await talk.exit()
    assert (await world.ended())["how"] == "the server is about to stop"
    async with await world.client() as client, client.shell("web-1") as shell:
        with pytest.raises(ApiError, match="about to stop"):
            await anext(aiter(shell))


async def test_only_who_may(world: ShellWorld) -> None:
    """No token, no right, an access token that allows less: refused before anything opens, and on record."""
    services = world.server.services
    for user, host in (("operator", "web-1"), ("viewer", "web-1"), ("operator", "nowhere")):
        with pytest.raises(ApiError, match="may not open a shell") as caught:
            async with world.shell(user, host):
                pass
        assert caught.value.answer_status == 403
        [record] = [each for each in await world.records(host) if each["operator"] == user]
        assert (record["op_type"], "ssh.shell" in record["refused"]) == (BEGIN, True)
    with pytest.raises(ApiError) as caught:
        async with world.shell(""):
            pass
    assert caught.value.answer_status == 401
    with pytest.raises(ApiError) as caught:
        async with world.shell("root", "nowhere"):
            pass
    assert caught.value.answer_status == 404
    await services.vhosts.update(LOCAL, "web-1", {"shell_users": ["viewer"]})
    async with world.shell("viewer") as talk:
        await talk.type("exit\n")
        assert (await talk.exit()).status == 0
    body = {"name": "ci", "scope": "read", "days": 1}
    made = await world.server.call("POST", "/session/tokens", "viewer", json=body)
    world.server.tokens["viewer"] = made.json()["token"]
    with pytest.raises(ApiError, match="may not open a shell"):
        async with world.shell("viewer"):
            pass


async def test_a_right_that_is_taken_away_ends_it(
    world: ShellWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell lasts no longer than the right to it, or the login."""
    monkeypatch.setattr(shell_bridge, "RIGHT_SECONDS", 0.1)
    services = world.server.services
    await world.server.token("operator")
    await services.vhosts.update(LOCAL, "web-1", {"shell_users": ["operator"]})
    async with world.shell("operator") as talk:
        await services.vhosts.update(LOCAL, "web-1", {"shell_users": []})
        with pytest.raises(ApiError, match="may not open a shell"):
            await talk.exit()
    assert (await world.ended())["how"] == "the right to it was taken away"


async def test_another_user_of_the_same_name_has_no_right(world: ShellWorld) -> None:
    """Deleted and made anew, a user has to be named again; a document of before says when it was changed last."""
    services = world.server.services
    vhosts, users = services.vhosts, services.users
    await world.server.token("operator")
    with pytest.raises(InvalidInput, match="shell_users"):
        await vhosts.update(LOCAL, "web-1", {"shell_users": ["nobody"]})
    await vhosts.update(LOCAL, "web-1", {"shell_users": ["operator"]})
    operator = Caller(user="operator", role=Role.OPERATOR)
    await services.shells.check(operator, "web-1")
    await users.delete(LOCAL, "operator")
    with pytest.raises(Forbidden):
        await services.shells.check(operator, "web-1")
    await users.create(LOCAL, {"_id": "operator", "secret": SECRET, "role": "operator"})
    with pytest.raises(Forbidden):
        await services.shells.check(operator, "web-1")
    await vhosts.note(LOCAL, "web-1", "update", shell_granted=None)
    with pytest.raises(Forbidden):
        await services.shells.check(operator, "web-1")
    await vhosts.update(LOCAL, "web-1", {"description": "changed"})  # it stays so
    with pytest.raises(Forbidden):
        await services.shells.check(operator, "web-1")
    await vhosts.update(LOCAL, "web-1", {"shell_users": ["operator"]})
    await services.shells.check(operator, "web-1")
    await vhosts.note(LOCAL, "web-1", "update", shell_granted=None)
    await services.shells.check(operator, "web-1")  # who was there when it was changed keeps it
    await vhosts.update(LOCAL, "web-1", {"description": "again"})
    await services.shells.check(operator, "web-1")


async def test_a_page_in_a_browser_opens_none(world: ShellWorld) -> None:
    """A request that names the page it comes from is refused, whatever token it shows; also what is no WebSocket."""
    token = await world.server.token("root")
    shown = {"Authorization": f"Bearer {token}"}
    url = f"ws://127.0.0.1:{world.port}/ssh/shells/web-1"
    with pytest.raises(InvalidStatus) as caught:
        await connect(url, additional_headers=shown, origin="https://example.org", proxy=None)  # type: ignore[arg-type]
    assert caught.value.response.status_code == 403
    with pytest.raises(InvalidStatus) as caught:
        await connect(f"{url}?columns=0", additional_headers=shown, proxy=None)
    assert caught.value.response.status_code == 422
    with pytest.raises(InvalidStatus) as caught:
        await connect(url.replace("/ssh/", "/other/"), additional_headers=shown, proxy=None)
    assert caught.value.response.status_code in (403, 404)
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(url.replace("ws", "http", 1), headers=shown)
    assert (answer.status_code, answer.json()["code"]) == (426, "upgrade_required")
    assert await world.records() == []


async def test_another_key_than_the_pinned_one_is_refused(
    world: ShellWorld, sshd: SshServer
) -> None:
    """Nothing is shown to a host that is not the one that is meant; the client hears why."""
    logins = sshd.log().count("Accepted")
    other = {"known_host_key": public_line(private_key())}
    await world.server.services.vhosts.update(LOCAL, "web-1", other)
    async with await world.client() as client, client.shell("web-1") as shell:
        with pytest.raises(ApiError, match="another one is pinned") as caught:
            await anext(aiter(shell))
    assert caught.value.answer_code == "host_key_changed"
    assert sshd.log().count("Accepted") == logins
    assert "another one is pinned" in (await world.ended())["how"]
    alarms = (await world.server.call("GET", "/alarms")).json()["items"]
    assert [(each["host"], each["rule"]) for each in alarms] == [("web-1", "host_key")]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"idle_seconds": 0.3}, "nothing was typed or printed"),
        ({"total_seconds": 0.3}, "it was open for"),
    ],
)
async def test_limits_of_time(
    tmp_path: Path, sshd: SshServer, settings: dict[str, Any], words: str
) -> None:
    """One that nobody uses ends, and so does one that lasts too long: in words."""
    async with shell_world(tmp_path, sshd, shell=ShellSettings(**settings)) as world:
        async with await world.client() as client, client.shell("web-1") as shell:
            with pytest.raises(ApiError, match=words):
                async for _ in shell:
                    pass
        assert words in (await world.ended())["how"]


async def test_limits_of_number(tmp_path: Path, sshd: SshServer) -> None:
    """One more than may be open on a host is refused, and the place is free once one has ended."""
    async with shell_world(tmp_path, sshd, shell=ShellSettings(shells_per_host=1)) as world:
        async with world.shell() as talk:
            async with await world.client() as client, client.shell("web-1") as shell:
                with pytest.raises(ApiError, match="1 shells are open on web-1") as caught:
                    await anext(aiter(shell))
            assert caught.value.answer_code == "throttled"
            await talk.type("exit\n")
            await talk.exit()
        await world.ended()
        async with world.shell() as talk:
            await talk.type("exit\n")


async def test_a_client_that_reads_nothing_is_cut_off(
    world: ShellWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds up nobody for ever: the shell ends there, the connection is gone, and why is on record."""
    monkeypatch.setattr(shell_bridge, "WRITE_SECONDS", 0.3)
    monkeypatch.setattr(ws_protocol, "WRITE_SECONDS", 0.3)
    async with world.shell() as talk:
        await talk.type("yes\n")
        assert (await world.ended())["how"] == "the client reads nothing"
        await wait_until(lambda: not world.http.connections, what="its connection is gone")


@pytest.mark.parametrize(
    ("said", "how"),
    [
        ("", "the client is not heard any more"),
        ('{"type":"resize","columns":0,"rows":1}', "the client said what nobody understands"),
        ("[" * 5000, "the client said what nobody understands"),
        ("x" * 70_000, "the client left"),
    ],
    ids=["silent", "a size of none", "nonsense", "too much"],
)
async def test_a_client_that_is_none_of_ours(
    world: ShellWorld, monkeypatch: pytest.MonkeyPatch, said: str, how: str
) -> None:
    """One that is silent, that says nonsense, or too much at once."""
    monkeypatch.setattr(shell_bridge, "RIGHT_SECONDS", 0.1)
    token = await world.server.token("root")
    url = f"ws://127.0.0.1:{world.port}/ssh/shells/web-1"
    shown = {"Authorization": f"Bearer {token}"}
    async with connect(url, additional_headers=shown, proxy=None, ping_interval=None) as socket:
        async with asyncio.timeout(60):
            while '"open"' not in str(await socket.recv()):
                continue
        monkeypatch.setattr(shell_bridge, "SILENCE_SECONDS", 60.0 if said else 0.0)
        if said:
            await socket.send(said)
        assert (await world.ended())["how"] == how


async def test_a_server_that_is_gone(world: ShellWorld) -> None:
    """Nobody listens: the client says so, in words."""
    world.port = 1
    with pytest.raises(ServerUnreachable, match="cannot be reached"):
        async with world.shell():
            pass

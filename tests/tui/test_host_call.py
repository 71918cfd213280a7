"""From the list of virtual hosts to a call on them, on the real application: who is meant, the form, the question."""

from collections.abc import Sequence

import pytest

from dts_core.clients.own_agent import OwnAgent, OwnKey
from tests.support.server import Server
from tests.tui.driving import Driver
from tests.tui.walking import Walk

SOURCE = 'def main(most: int, deep: bool = False) -> int:\n    """Count files."""\n    return 1\n'


@pytest.fixture
async def real(real: Server) -> Server:
    """Six virtual hosts, one of them disabled, and a function."""
    for number in range(1, 6):
        labels = {"labels": {"role": "web"}, "disabled": number == 5}
        await add(real, f"web-{number}", address=f"10.0.0.{number}", **labels)
    await add(real, "db-1", address="10.0.0.9")
    await real.namespace("ops")
    await real.function("ops/count", SOURCE)
    return real


async def add(server: Server, name: str, **fields: object) -> None:
    made = await server.call("POST", "/admin/vhosts", json={"_id": name, "user": "ops", **fields})
    assert made.status_code == 201, made.text


async def to_hosts(drive: Driver) -> None:
    await drive.keys("colon", "<vhosts>", "enter")
    await drive.shows("virtual hosts ─ 6", "s run on hosts")


async def choose(drive: Driver, *keys: str) -> None:
    await drive.keys("s")
    await drive.shows("what to run on", "a command", "ops/count")
    await drive.keys(*keys, "enter")


async def asked(drive: Driver, *texts: str) -> None:
    await drive.keys("ctrl+s")
    await drive.shows("Sure?", *texts)


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_a_command_on_the_marked(walk: Walk, size: tuple[int, int]) -> None:
    """The question names the hosts, folded, the command and how it goes; cancel is its default; the board opens."""
    async with walk(size=size) as drive:
        await to_hosts(drive)
        await drive.keys("j", "space", "space", "space")
        await choose(drive)
        await drive.shows("run a command ─ on 3 hosts ─ marked", "web-[1-3]", "seconds a host")
        await drive.keys("<echo 'two words'>")
        await asked(drive, "Run echo 'two words' on 3 hosts?", "64 at once", "web-[1-3]", "Cancel")
        await drive.keys("enter")
        await drive.lacks("Sure?")
        await drive.keys("ctrl+s")
        await drive.shows("Sure?")
        await drive.keys("y")
        await drive.shows("started on 3 hosts", "0 of 3 hosts ended", "waiting 3", "web-[1-3]")


async def test_all_that_fit_a_filter(walk: Walk) -> None:
    """Without marks a filter says who is meant; those that are disabled are left out, and counted."""
    async with walk() as drive:
        await to_hosts(drive)
        await drive.keys("slash", "<id=web-*>", "enter")
        await drive.shows("virtual hosts ─ 5")
        await choose(drive)
        await drive.shows(
            "on 4 hosts ─ all that fit the filter", "web-[1-4]", "1 disabled: left out"
        )


async def test_a_function_with_its_arguments(walk: Walk) -> None:
    """The form of its signature, checked here; batches are resolved by the server; a budget of failures is named."""
    async with walk(size=(120, 36)) as drive:
        await to_hosts(drive)
        await drive.keys("j", "space", "space", "space", "space")
        await choose(drive, "<count>")
        await drive.shows("run ops/count", "most", "deep")
        await drive.keys("ctrl+s")
        await drive.shows("needs a value")
        await drive.keys("<42>", "tab", "tab", "tab", "tab", "<1,50%>", "tab", "<0>")
        await asked(drive, "ops/count(most=42", "on 4 hosts?", "batches of 1, 2, 1", "0 failures")


async def test_who_runs_it_takes_part_in_the_logins(
    walk: Walk, real: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two switches, off by themselves: asked for what is not stored, and the keys of the SSH agent here."""
    key = OwnKey(f"ssh-ed25519 {'A' * 68}", "mine")
    monkeypatch.setattr(OwnAgent, "keys", lambda agent: [key])
    async with walk(size=(120, 36)) as drive:
        await to_hosts(drive)
        await choose(drive)
        await drive.keys("<uptime>", *["tab"] * 5, "left", "tab", "left")
        await asked(drive, "Run uptime on 1 host?")
        await drive.keys("y")
        await drive.shows("started on 1 host")
    [job] = (await real.call("GET", "/jobs", params={"function": "dts/sshrpc"})).json()["items"]
    assert job["kwargs"]["ask"]
    assert job["kwargs"]["own_keys"] == [key.line]


async def test_one_host_from_its_page(walk: Walk) -> None:
    """Its page has the same key."""
    async with walk() as drive:
        await to_hosts(drive)
        await drive.keys("enter")
        await drive.shows("10.0.0.9")
        await choose(drive)
        await drive.shows("on 1 host ─ this one", "db-1")


async def test_what_the_server_refuses_stays_in_the_form(walk: Walk, real: Server) -> None:
    """A host that is gone meanwhile: said in words, nothing is started, what was typed is kept."""
    async with walk() as drive:
        await to_hosts(drive)
        await choose(drive)
        await drive.keys("<uptime>")
        gone = await real.call("DELETE", "/admin/vhosts/db-1", params={"revision": 1})
        assert gone.status_code == 200, gone.text
        await drive.keys("ctrl+s")
        await drive.shows("db-1", "uptime")
        assert "Sure?" not in drive.screen()


@pytest.mark.parametrize("keys", [("s",), ("enter", "s")])
async def test_only_virtual_hosts_are_run_on(walk: Walk, keys: Sequence[str]) -> None:
    """Among users the key does nothing, and no footer offers it."""
    async with walk() as drive:
        await drive.keys("colon", "<users>", "enter")
        await drive.shows("users ─ ")
        await drive.keys(*keys)
        assert "what to run" not in drive.screen()
        assert "run on hosts" not in drive.screen()

"""The road from an address to a worker by keys alone: what the application refuses, records and stores is its own."""

import asyncio
from typing import Any

import pytest

from dts_core.model import Prompt
from tests.support.server import Server
from tests.support.sshkeys import private_key
from tests.tui.driving import Driver
from tests.tui.far_side import HOSTILE, FarSide
from tests.tui.test_admin_walks import paste
from tests.tui.walking import SIZES, Walk

INIT, SCAN, SSH = "dts/vhost.init", "dts/vhost.scan", "dts/sshrpc"
QUESTION = "Sure?"


@pytest.fixture
def far(real: Server) -> FarSide:
    return FarSide(real)


async def add(server: Server, *, pinned: str = "", key: bool = True, **fields: object) -> None:
    """A virtual host, with a key to log in by; pinned where a public key is given."""
    body = {"_id": "web-1", "address": "10.0.0.7", "user": "deploy", "mode": "agent"} | fields
    if key:
        body["ssh_pem_cert"] = private_key()
    if pinned:
        body["known_host_key"] = pinned
    made = await server.call("POST", "/admin/vhosts", json=body)
    assert made.status_code == 201, made.text


async def to_list(drive: Driver) -> None:
    await drive.keys("colon", "<vhosts>", "enter")
    await drive.shows("virtual hosts ─ ")


async def to_setup(drive: Driver, *texts: str) -> None:
    """From the list of virtual hosts to the road of the one there."""
    await to_list(drive)
    await drive.shows("web-1")
    await drive.keys("i")
    await drive.shows("1 ● address", *texts)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
async def test_from_an_empty_list_to_the_first_job(
    walk: Walk, real: Server, far: FarSide, size: tuple[int, int]
) -> None:
    """Address, key, login, plan, set-up, heartbeat, job: a person types the address and the key, and confirms twice."""
    await real.namespace("ops")
    await real.function("ops/count")
    pem = private_key()
    async with walk(size=size) as drive:
        await to_list(drive)
        await drive.shows("virtual hosts ─ 0", "a makes a worker of a new one", "a add host")
        await drive.keys("a")
        await drive.shows("a new host ─ step 1 of 8: where it is", "ctrl+s go on", "agent")
        await drive.keys("<web-1>", "tab", "<10.0.0.7>", "tab", "tab", "<deploy>", "ctrl+s")
        await drive.shows("web-1 ─", "1 ● address", "2 ▶ host key")
        assert (await far.document())["mode"] == "agent"
        await far.shows()
        await drive.shows("2 ◆ host key", far.fingerprint, "ssh-keygen -lf", "enter pins it")
        await drive.keys("enter")
        await drive.shows(QUESTION, "is this the key of web-1?", far.fingerprint, "Cancel")
        await drive.keys("enter")
        await drive.lacks(QUESTION)
        assert not (await far.document())["known_host_fingerprints"]
        await drive.keys("enter")
        await drive.shows(QUESTION)
        await drive.keys("y")
        await drive.shows("2 ● host key", "3 ◆ login", "none is stored", "vault")
        assert far.fingerprint in str((await far.document())["known_host_fingerprints"])
        await drive.keys("enter")
        await drive.shows("web-1 ─ step 3 of 8: what logs in there", "ssh_pem_cert")
        await drive.keys("tab", "tab")
        await paste(drive, pem)
        await drive.shows("•••• 7 lines")
        await drive.keys("ctrl+s")
        await drive.shows("3 ▶ login", "running `true`", "is queued")
        await far.lets_in()
        await drive.shows("3 ● login", "4 ▶ facts")
        await far.planned()
        await drive.shows("4 ● facts", "5 ● plan", "6 ◆ apply", "3 steps to make on web-1")
        await drive.keys("up")
        await drive.shows("will be", "release 0.1.0", "user: in the home")
        await drive.keys("up")
        await drive.shows("Debian GNU/Linux 12", "3.11.2", "▲ systemd does not run")
        await drive.keys("down", "down", "enter")
        await drive.shows(QUESTION, "Make a worker of web-1 (deploy@10.0.0.7)?", "folders:")
        await drive.keys("y")
        job = await far.job(INIT, count=2)
        await far.says(job, "web-1: folders: program is missing; will be …", "web-1: folders: done",
                       "web-1: program: nothing; will be …")  # fmt: skip
        await drive.shows("6 ▶ apply", "✓ folders", "▶ program", "· config")
        await far.made(count=2)
        await drive.shows("6 ✓ apply", "7 ▶ heartbeat", "Everything is in place")
        await far.beats()
        await drive.shows("7 ● heartbeat", "8 ◆ first job", "takes jobs")
        await drive.keys("enter")
        await drive.shows("choose a function", "ops/count")
        await drive.keys("enter")
        await drive.shows("ops/count", "on web-1")
        await drive.keys("ctrl+s")
        await drive.shows("ops/count submitted")
        assert (await far.job("ops/count"))["queue"].endswith("web-1")
        assert pem.splitlines()[2] not in drive.console.export_screenshot()


async def test_leaving_loses_nothing(walk: Walk, real: Server, far: FarSide) -> None:
    """Out by escape in the middle, and in again: it stands where it stood; another console finds the same."""
    await add(real, pinned=far.key)
    async with walk(size=(80, 24)) as drive:
        await to_setup(drive, "2 ● host key", "3 ◆ login", "enter logs in")
        await drive.keys("enter")
        await drive.shows("3 ▶ login")
        await drive.keys("escape")
        await drive.shows("virtual hosts ─ 1")
        await far.lets_in()
        await drive.keys("i")
        await drive.shows("3 ● login", "4 ◆ facts")
        await drive.keys("enter")
        await far.planned()
        await drive.shows("6 ◆ apply")
    async with walk(size=(80, 24)) as drive:
        await to_setup(drive, "3 ● login", "5 ● plan", "6 ◆ apply")
        await drive.keys("enter")
        await drive.shows(QUESTION, "Make a worker of web-1")
        await drive.keys("y")
        await far.made(count=2)
        await drive.shows("6 ✓ apply")
        await drive.keys("escape")
        await drive.shows("virtual hosts ─ 1")
        await far.beats()
        await drive.keys("i")
        await drive.shows("8 ◆ first job")


async def test_what_was_typed_is_kept(walk: Walk) -> None:
    """The address comes back to the form that was left; no secret does."""
    async with walk(size=(80, 24)) as drive:
        await drive.keys("colon", "<add-host>", "enter")
        await drive.shows("a new host")
        await drive.keys("<web-1>", "tab", "<10.0.0>", "escape")
        await drive.lacks("step 1 of 8")
        await drive.keys("colon", "<add-host>", "enter")
        await drive.shows("what you typed here before is back", "web-1", "10.0.0")
        await drive.keys("ctrl+s")
        await drive.shows("needs a value")


async def test_a_host_that_shows_another_key_is_not_gone_on_with(
    walk: Walk, real: Server, far: FarSide
) -> None:
    """It says so and that nobody logs in; once somebody says why, the pinned key goes, and the new one is shown."""
    await add(real, pinned=FarSide(real).key)
    async with walk(size=(80, 24)) as drive:
        await to_setup(drive, "3 ◆ login")
        await drive.keys("up")
        await drive.shows("Pinned:", "enter looks whether it still shows it")
        await drive.keys("enter")
        await far.shows(state="changed")
        await drive.shows(
            "2 ✗ host key", "another key than the pinned one", far.fingerprint, "F forget key"
        )
        await drive.keys("F", "<ab>", "enter")
        await drive.shows("why web-1 may show another key")
        await drive.keys("<c: set up anew>", "enter")
        await far.shows(count=2)
        await drive.shows("2 ◆ host key", "none is pinned yet", far.fingerprint)
        assert (await real.call("GET", "/jobs", params={"function": SSH})).json()["items"] == []


async def test_each_failure_says_what_to_do_and_is_tried_again(
    walk: Walk, real: Server, far: FarSide
) -> None:
    """No answer, no login, no Python, a step that fails, no heartbeat: the step says it; the same key tries again."""
    await add(real)
    async with walk(size=(80, 24)) as drive:
        await to_setup(drive, "2 ◆ host key", "enter looks; nothing is shown")
        await drive.keys("enter")
        await far.shows(state="unreachable", why="web-1 does not answer on 10.0.0.7:22")
        await drive.shows("2 ✗ host key", "does not answer on 10.0.0.7:22", "See that the address")
        await drive.keys("enter")
        await far.shows(count=2)
        await drive.shows("enter pins it")
        await drive.keys("enter")
        await drive.shows(QUESTION)
        await drive.keys("y")
        await far.lets_in(state="failed", why="web-1 refused the key; it accepts: password")
        await drive.shows("3 ✗ login", "refused the key", "authorized_keys", "tries it again")
        await drive.keys("y")
        assert drive.console.clipboard == (await far.document())["public_key"]
        await drive.keys("enter")
        await far.lets_in(count=2)
        await far.fails(INIT, "web-1: its Python is 3.9, and a worker needs 3.11 or newer")
        await drive.shows("4 ✗ facts", "its Python is 3.9", "Mend it there")
        await drive.keys("enter")
        await far.planned(count=2)
        await drive.shows("6 ◆ apply")
        await drive.keys("enter")
        await drive.shows(QUESTION)
        await drive.keys("y")
        job = await far.job(INIT, count=3)
        await far.says(job, "web-1: folders: program is missing; will be …")
        await far.fails(INIT, "web-1: the disk is full", count=3)
        await drive.shows("6 ✗ apply", "the disk is full", "✗ folders", "gone on from")
        await drive.keys("enter")
        await drive.shows(QUESTION)
        await drive.keys("y")
        job = await far.job(INIT, count=4)
        done = [f"web-1: {name}: done" for name in ("folders", "program", "config")]
        await far.says(job, *done)
        await far.fails(
            INIT, "no heartbeat came within 60 s. See that the host reaches the broker.", count=4
        )
        await drive.shows("6 ✓ apply", "7 ✗ heartbeat", "no heartbeat came", "reaches the broker")
        await drive.keys("enter")
        await drive.shows(QUESTION)


async def test_what_the_server_refuses_is_said_at_the_step(walk: Walk, real: Server) -> None:
    """A virtual host that was deleted meanwhile: no defect, the step says it."""
    await add(real)
    async with walk(size=(80, 24)) as drive:
        await to_setup(drive, "2 ◆ host key")
        gone = await real.call("DELETE", "/admin/vhosts/web-1", params={"revision": 1})
        assert gone.status_code == 200, gone.text
        await drive.keys("enter")
        await drive.shows("✗", "web-1", "again")
        assert "failed: " not in drive._said()


async def test_it_is_set_up_anew_and_removed_from_the_list(
    walk: Walk, real: Server, far: FarSide
) -> None:
    """Each asks with the host's name, the removal for the name itself; after it the road begins at the plan again."""
    await add(real, pinned=far.key)
    await far.beats()
    async with walk(size=(160, 48)) as drive:
        await to_list(drive)
        await drive.shows("I init anew", "X tear down")
        await drive.keys("I")
        await drive.shows(QUESTION, "Set web-1 (deploy@10.0.0.7) up again?", "Cancel")
        await drive.keys("y")
        await drive.shows("6 ▶ apply", "left to the job")
        await drive.keys("X")
        await drive.shows("a job is at work there")
        await far.made(changes=False)
        await far.beats()
        await drive.shows("6 ● apply", "as it was", "8 ◆ first job")
        await drive.keys("escape", "X")
        await drive.shows(QUESTION, "type web-1 to confirm")
        await drive.keys("<web>", "enter")
        await drive.shows("nothing was done")
        await drive.keys("<-1>", "enter")
        await drive.shows("6 ▶ apply", "removing")
        await far.removed()
        await drive.shows("3 ◆ login", "nothing of the set-up is left on web-1")
        await drive.shows("The gateway starts no worker", ":vhost web-1", "T disables it there")
        kept = await real.call("GET", "/admin/operations", params={"collection": "vhosts"})
        assert {"init", "teardown"} <= {each["op_type"] for each in kept.json()["items"]}


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_a_login_is_tried_with_what_a_person_answers(
    walk: Walk, real: Server, far: FarSide, size: tuple[int, int]
) -> None:
    """Nothing is stored: what the host asks is put before whoever is here; then one to store is asked for."""
    await add(real, pinned=far.key, key=False)
    async with walk(size=size) as drive:
        await to_setup(drive, "3 ◆ login", "none is stored", "t try as me")
        await drive.keys("t")
        await drive.shows("3 ▶ login", "running `true`")
        job = await far.job(SSH)
        assert job["kwargs"]["ask"] is True
        answer = asyncio.create_task(far.asks(job, Prompt(text="Password of deploy")))
        await drive.shows("web-1 asks", "Password of deploy", "enter answers")
        await drive.keys("<swordfish>", "enter")
        assert await answer == ["swordfish"]
        await far.lets_in()
        await drive.shows("3 ◆ login", "You were let in.", "enter gives one")
        await drive.keys("enter")
        await drive.shows("step 3 of 8: what logs in there", "ssh_pem_cert")
        assert "swordfish" not in drive.screen()


async def test_scope_and_queues_are_asked_and_sent(walk: Walk, real: Server, far: FarSide) -> None:
    """Changed behind the plan: another look is made with them, and the set-up goes as it was planned."""
    await add(real, pinned=far.key)
    async with walk(size=(120, 36)) as drive:
        await to_setup(drive, "3 ◆ login")
        await drive.keys("enter")
        await far.lets_in()
        await far.planned()
        await drive.shows("6 ◆ apply")
        await drive.keys("up", "e")
        await drive.shows("step 5 of 8: how it is set up", "scope")
        await drive.keys("right", "tab", "<default, big>", "tab", "tab", "enter")
        await drive.shows("4 ▶ facts")
        job = await far.job(INIT, count=2)
        assert (job["kwargs"]["scope"], job["kwargs"]["queues"]) == ("system", ["default", "big"])
        await far.planned(count=2)
        await drive.shows("6 ◆ apply")
        await drive.keys("enter")
        await drive.shows(QUESTION)
        await drive.keys("y")
        job = await far.job(INIT, count=3)
        assert (job["kwargs"]["scope"], job["kwargs"]["dry_run"]) == ("system", False)


async def test_what_a_host_says_is_inert(walk: Walk, real: Server, far: FarSide) -> None:
    """Its banner, facts and log come as text; nothing of it reaches the terminal as a control."""
    await add(real)
    async with walk(size=(160, 48)) as drive:
        await to_setup(drive)
        await drive.keys("enter")
        await far.shows(state="unreachable", why=f"it says {HOSTILE}")
        await drive.shows("it says", "evil")
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(drive.screen())
        changed = await real.call("PATCH", "/admin/vhosts/web-1", json={"known_host_key": far.key})
        assert changed.status_code == 200, changed.text
        await drive.keys("r")
        await drive.shows("3 ◆ login")
        await drive.keys("enter")
        await far.lets_in()
        await far.planned(os=f"Debian {HOSTILE}", user=HOSTILE)
        await drive.shows("6 ◆ apply")
        await drive.keys("up", "up")
        await drive.shows("Debian", "evil")
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(drive.screen())


async def test_a_slow_server_holds_no_key_up(
    walk: Walk, real: Server, far: FarSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the server does not answer one question, the steps are walked, and leaving works; then it goes on."""
    await add(real)
    gate, asked = asyncio.Event(), real.services.host_trust.scan

    async def slow(*given: Any, **named: Any) -> Any:
        await gate.wait()
        return await asked(*given, **named)

    monkeypatch.setattr(real.services.host_trust, "scan", slow)
    async with walk(size=(80, 24)) as drive:
        await to_setup(drive, "2 ◆ host key")
        await drive.keys("enter")
        await drive.shows("2 ▶ host key", "waiting for the server")
        await drive.keys("up")
        await drive.shows("address ─ ok", "10.0.0.7:22")
        await drive.keys("escape", "escape")
        await drive.shows("virtual hosts ─ 1")
        await drive.keys("i")
        await drive.shows("2 ◆ host key")
        gate.set()
        await far.shows()
        await drive.keys("enter")
        await far.shows(count=2)
        await drive.shows("enter pins it")


async def test_only_administrators_are_offered_it(walk: Walk, real: Server, far: FarSide) -> None:
    """For others the key says why not; a read-only console shows the road, and starts nothing."""
    await far.beats()
    await add(real, pinned=far.key)
    async with walk("operator", size=(120, 36)) as drive:
        await drive.keys("4")
        await drive.shows("web-1")
        assert "add host" not in drive.screen()
        await drive.keys("a")
        await drive.shows("needs the role admin")
    async with walk(size=(120, 36), read_only=True) as drive:
        await to_setup(drive, "3 ◆ login")
        await drive.keys("enter")
        await drive.shows("this console is read-only")
        assert (await real.call("GET", "/jobs", params={"function": SSH})).json()["items"] == []


async def test_an_empty_list_names_only_what_can_be_done(walk: Walk) -> None:
    """Without a virtual host the footer has what makes one; what needs one is not named."""
    async with walk(size=(80, 24)) as drive:
        await to_list(drive)
        await drive.shows("n new", "a add host", "f import")
        assert "run on hosts" not in drive.screen()
        await drive.keys("i")
        await drive.shows("a new host ─ step 1 of 8")

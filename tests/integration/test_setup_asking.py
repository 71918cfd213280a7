"""What set-ups, their removal and scans ask the person who started them; nothing of it is kept."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dts_core.errors import ApiError
from dts_core.settings import RemoteSettings, ServerFile, SetupSettings
from tests.integration.test_ssh_asking import CODE, PASSWORD, asked, assert_absent, texts
from tests.support.fanout import Fleet, fleet
from tests.support.setups import FAKE_SUDO, SUDO, shelf_folder, tree
from tests.support.sshd import ssh_server
from tests.support.sshkeys import public_line
from tests.support.sshliar import Liar, lying, run_here

pytestmark = [pytest.mark.external("sshd"), pytest.mark.slow]


@pytest.fixture(name="home")
def home_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of who logs in there; a sudo that asks is found first, and writes down how it was called."""
    programs, home = tmp_path / "bin", tmp_path / "home"
    programs.mkdir()
    home.mkdir()
    (programs / "sudo").write_text(FAKE_SUDO)
    (programs / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("RECORD", str(tmp_path))
    return home


@pytest.fixture(name="shelf")
def shelf_fixture(tmp_path_factory: pytest.TempPathFactory) -> SetupSettings:
    return SetupSettings(cache=str(shelf_folder(tmp_path_factory)))


@pytest.fixture(name="hosts")
async def hosts_fixture(tmp_path: Path, shelf: SetupSettings) -> AsyncIterator[Fleet]:
    async with fleet(tmp_path / "data", ServerFile(setup=shelf)) as made:
        yield made


@asynccontextmanager
async def bank(hosts: Fleet) -> AsyncIterator[Liar]:
    """A host that wants a password, then a code, and of which nothing is stored."""
    async with lying(run_here) as liar:
        liar.rounds = [[("Password: ", False)], [("Verification code: ", True)]]
        liar.right = [[PASSWORD], [CODE]]
        await hosts.admin.vhosts.add(
            "bank", address="127.0.0.1", port=liar.port, user="ann", auth="ask", mode="agent",
            known_host_key=public_line(liar.host_key),
        )  # fmt: skip
        yield liar


async def answered(hosts: Fleet, job: str, **answers: str) -> None:
    """Each question of a job, in this order, by the first word of its prompt."""
    for begin, answer in answers.items():
        [question] = await asked(hosts, job)
        assert texts(question)[0].startswith(begin), texts(question)
        await hosts.admin.ssh.answer(question, [answer])


async def test_a_plan_asks_for_the_login_and_for_sudo(
    hosts: Fleet, home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Password, code and sudo's password are each asked for once; they are in no file, argument, log or record."""
    async with bank(hosts) as liar:
        job = (await hosts.admin.vhosts.init("bank", scope="system", dry_run=True, ask=True)).id
        await answered(hosts, job, Password=PASSWORD, Verification=CODE, sudo=SUDO)
        assert await hosts.ended(job) == "done", (await hosts.admin.job(job)).error
        assert liar.answered == [[PASSWORD], [CODE]]
        told = (await hosts.admin.job(job)).result["hosts"]["bank"]
        assert [step["name"] for step in told["steps"]][:2] == ["account", "folders"]
    calls = (tmp_path / "sudo").read_text()
    assert calls.count("-S -p") == 1
    assert [each.operator for each in await hosts.recorded("answer")] == ["root"] * 3
    [start] = await hosts.recorded("init")
    assert start.ops["ask"] == [None, True]
    assert_absent(tmp_path / "data", PASSWORD, CODE, SUDO)
    for secret in (PASSWORD, CODE, SUDO):
        assert secret not in calls + caplog.text
    assert not tree(home)


async def test_what_was_not_answered_to_sudo(hosts: Fleet, home: Path) -> None:
    """Refused or wrong, the host says so; it is asked once, and again by --again, which asks anew who takes part."""
    async with bank(hosts):
        job = (await hosts.admin.vhosts.init("bank", scope="system", dry_run=True, ask=True)).id
        await answered(hosts, job, Password=PASSWORD, Verification=CODE)
        [question] = await asked(hosts, job)
        await hosts.admin.ssh.decline(question)
        assert await hosts.ended(job) == "failed"
        assert "nobody gave one" in str((await hosts.admin.job(job)).error)
        alone = await hosts.admin.ssh.again(job, "not_ok")
        assert alone.job is not None
        assert await hosts.ended(alone.job.id) == "failed"
        assert "--ask" in str((await hosts.admin.job(alone.job.id)).error)
        again = await hosts.admin.ssh.again(job, "not_ok", ask=True)
        assert again.job is not None
        await answered(
            hosts, again.job.id, Password=PASSWORD, Verification=CODE, sudo="Wrong-Canary"
        )
        assert await hosts.ended(again.job.id) == "failed"
        assert "does not take" in str((await hosts.admin.job(again.job.id)).error)
        assert not (await hosts.admin.ssh.questions(again.job.id)).items


async def test_nobody_answers_sudo_in_time(
    tmp_path: Path, shelf: SetupSettings, home: Path
) -> None:
    """A stored key lets in; the person who is asked for sudo's password alone has the time of any question."""
    settings = ServerFile(setup=shelf, ssh=RemoteSettings(prompt_seconds=1.0))
    async with fleet(tmp_path / "data", settings) as hosts, lying(run_here) as liar:
        await hosts.admin.vhosts.add(
            "web-1", address="127.0.0.1", port=liar.port, user="ann",
            known_host_key=public_line(liar.host_key), ssh_pem_cert=liar.user_key, mode="agent",
        )  # fmt: skip
        job = (await hosts.admin.vhosts.init("web-1", scope="system", dry_run=True, ask=True)).id
        assert await hosts.ended(job) == "failed"
        assert "nobody gave it in time" in str((await hosts.admin.job(job)).error)


async def test_an_agent_is_not_set_up_where_the_gateway_could_not_log_in(
    hosts: Fleet, home: Path
) -> None:
    """Nobody is there to answer it later: said before anything is changed; the plan alone is shown."""
    async with bank(hosts):
        job = (await hosts.admin.vhosts.init("bank", ask=True)).id
        await answered(hosts, job, Password=PASSWORD, Verification=CODE)
        assert await hosts.ended(job) == "failed"
        error = str((await hosts.admin.job(job)).error)
        assert "could not be launched" in error
        assert "mode to service" in error
        assert not tree(home)
        gone = (await hosts.admin.vhosts.remove("bank", ask=True)).id
        await answered(hosts, gone, Password=PASSWORD, Verification=CODE)
        assert await hosts.ended(gone) == "done"
        assert not (await hosts.admin.job(gone)).result["hosts"]["bank"]["removed"]


async def test_a_scan_asks_for_the_way(hosts: Fleet, tmp_path: Path) -> None:
    """The host itself is shown nothing and asks nothing; the one that the way leads through is logged in to."""
    with ssh_server() as sshd:
        async with bank(hosts) as liar:
            liar.forwards = True
            await hosts.add(sshd, "web-1", jump="bank", known_host_key="")
            alone = (await hosts.admin.vhosts.scan(["web-1"])).id
            assert await hosts.ended(alone) == "done"
            shown = (await hosts.admin.job(alone)).result["hosts"]["web-1"]
            assert (shown["state"], "--ask" in shown["why"]) == ("unreachable", True)
            job = (await hosts.admin.vhosts.scan(["web-1"], ask=True)).id
            await answered(hosts, job, Password=PASSWORD, Verification=CODE)
            assert await hosts.ended(job) == "done"
            shown = (await hosts.admin.job(job)).result["hosts"]["web-1"]
            assert (shown["state"], shown["key"]) == ("unknown", public_line(sshd.host_keys[0]))
            with pytest.raises(ApiError):  # it has no hosts of which each came to an end
                await hosts.admin.ssh.hosts(job)
        assert "Accepted" not in sshd.log()
        assert "Failed" not in sshd.log()
    assert_absent(tmp_path / "data", PASSWORD, CODE)


async def test_another_user_needs_a_person(hosts: Fleet) -> None:
    """As for a call: refused before anything is started."""
    async with bank(hosts):
        with pytest.raises(ApiError, match="by a person"):
            await hosts.admin.vhosts.init("bank", user="eve")
        with pytest.raises(ApiError, match="by a person"):
            await hosts.admin.vhosts.remove("bank", user="eve")
        assert await hosts.recorded("init") == []

"""Keyboard-interactive and passwords against a real OpenSSH that asks through PAM, with a password of the system's."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from dts_core.settings import ServerFile, SetupSettings
from tests.integration.test_ssh_asking import asked, assert_absent, texts
from tests.support.fanout import Fleet, fleet
from tests.support.pamsshd import SECOND, USER, PamServer, pam_server
from tests.support.setups import shelf_folder

pytestmark = [pytest.mark.external("pam"), pytest.mark.slow]
CODE = "Canary-code-9257"
BY_PAM = "Accepted keyboard-interactive/pam"


@pytest.fixture(name="hosts")
async def hosts_fixture(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    setup = SetupSettings(cache=str(shelf_folder(tmp_path_factory)))
    async with fleet(tmp_path / "data", ServerFile(setup=setup)) as made:
        yield made


async def answered(hosts: Fleet, job: str, *answers: tuple[str, str]) -> None:
    """Each question of a job in its turn, whose prompt begins so."""
    for begin, answer in answers:
        [question] = await asked(hosts, job)
        assert texts(question)[0].startswith(begin), texts(question)
        await hosts.admin.ssh.answer(question, [answer])


async def came_in(hosts: Fleet, job: str) -> None:
    assert await hosts.ended(job) == "done", await hosts.runs(job)
    assert (await hosts.admin.ssh.output(job, "web-1")).stdout == f"{USER}\n"


async def test_two_prompts_of_pam_are_answered_one_after_the_other(
    hosts: Fleet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is asked for when it comes; the round without a prompt that ends it asks nobody; neither answer is kept."""
    with pam_server(second=SECOND) as sshd:
        await hosts.add(sshd, "web-1")
        job = await hosts.start(["web-1"], ["id", "-un"], ask=True)
        await answered(hosts, job, ("Password:", sshd.password), ("STRESS Password:", CODE))
        await came_in(hosts, job)
        assert sshd.log().count(BY_PAM) == 1
        assert len(await hosts.recorded("answer")) == 2
        for secret in (sshd.password, CODE):
            assert secret not in caplog.text + sshd.log()
        assert_absent(tmp_path / "data", sshd.password, CODE)


async def test_a_wrong_answer_is_tried_once(hosts: Fleet) -> None:
    """PAM would ask again and again, and the account be locked: one failed try is seen there, and it is told."""
    with pam_server() as sshd:
        await hosts.add(sshd, "web-1")
        job = await hosts.start(["web-1"], ["id", "-un"], ask=True)
        await answered(hosts, job, ("Password:", "Wrong-Canary"))
        assert await hosts.ended(job) == "failed"
        assert await hosts.states(job) == {"web-1": "unreachable"}
        assert sshd.log().count("PAM: Authentication failure") == 1
        assert BY_PAM not in sshd.log()


async def test_the_stored_password_answers_its_prompt_and_no_other(hosts: Fleet) -> None:
    """Where PAM wants nothing more, nobody is asked; what it wants more, a person is asked for."""
    with pam_server() as sshd:
        await hosts.add(sshd, "web-1", auth="password", password=sshd.password)
        await came_in(hosts, await hosts.start(["web-1"], ["id", "-un"]))
        assert sshd.log().count(BY_PAM) == 1
    with pam_server(second=SECOND) as sshd:
        changed = sshd.vhost() | {"auth": "password", "password": sshd.password}
        await hosts.admin.vhosts.update("web-1", **changed)
        job = await hosts.start(["web-1"], ["id", "-un"], ask=True)
        await answered(hosts, job, ("STRESS Password:", CODE))
        await came_in(hosts, job)


async def test_a_key_and_then_what_pam_asks(hosts: Fleet) -> None:
    """The host wants both: the stored key is shown, the rest is asked for."""
    methods = "AuthenticationMethods publickey,keyboard-interactive:pam"
    with pam_server(options=[methods]) as sshd:
        await hosts.add(sshd, "web-1", ssh_pem_cert=sshd.user_key, auth="ask")
        job = await hosts.start(["web-1"], ["id", "-un"], ask=True)
        await answered(hosts, job, ("Password:", sshd.password))
        await came_in(hosts, job)
        assert "Accepted publickey" in sshd.log() or "Partial publickey" in sshd.log()
        assert BY_PAM in sshd.log()


@pytest.fixture(name="plain")
def plain_fixture() -> Iterator[PamServer]:
    """It knows passwords alone, by the method of that name."""
    options = ["PasswordAuthentication yes", "KbdInteractiveAuthentication no"]
    with pam_server(options=options) as sshd:
        yield sshd


async def test_a_plain_password_stored_or_asked_for(
    hosts: Fleet, plain: PamServer, tmp_path: Path
) -> None:
    """The question is ours then, and names who logs in."""
    await hosts.add(plain, "web-1")
    job = await hosts.start(["web-1"], ["id", "-un"], ask=True)
    await answered(hosts, job, (f"Password of {USER}", plain.password))
    await came_in(hosts, job)
    assert_absent(tmp_path / "data", plain.password)
    wrong = await hosts.start(["web-1"], ["id", "-un"], ask=True)
    await answered(hosts, wrong, ("Password of", "Wrong-Canary"))
    assert await hosts.ended(wrong) == "failed"
    assert plain.log().count("Failed password") == 1
    await hosts.admin.vhosts.update("web-1", auth="password", password=plain.password)
    await came_in(hosts, await hosts.start(["web-1"], ["id", "-un"]))
    assert plain.log().count("Accepted password") == 2


async def test_a_worker_on_a_host_that_knows_passwords_alone(
    hosts: Fleet, plain: PamServer
) -> None:
    """Planned with what a person answers; set up, launched and removed with what is stored."""
    await hosts.add(plain, "web-1", mode="agent", python="/usr/bin/python3")
    planned = (await hosts.admin.vhosts.init("web-1", dry_run=True, ask=True)).id
    await answered(hosts, planned, ("Password of", plain.password))
    assert await hosts.ended(planned) == "done", (await hosts.admin.job(planned)).error
    await hosts.admin.vhosts.update("web-1", auth="password", password=plain.password)
    for start in (hosts.admin.vhosts.init, hosts.admin.vhosts.remove):
        job = (await start("web-1")).id
        assert await hosts.ended(job) == "done", (await hosts.admin.job(job)).error
    assert list((plain.folder / "home").rglob("dts*")) == []

"""What logins ask the person whose job it is: offered, answered once by them alone, sealed, kept nowhere."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from dts_core.clients.own_agent import OwnAgent
from dts_core.errors import ApiError, Forbidden
from dts_core.sealed.answers import seal_answers
from dts_core.services import questions
from dts_core.services.access import Caller, Role
from dts_core.services.asked import question_view
from dts_core.services.subscriber import StreamQuery
from dts_core.settings import RemoteSettings, ServerFile
from dts_core.testing import wait_until
from dts_core.views.questions import AnswerRequest, QuestionView
from tests.support.fanout import Fleet, fleet
from tests.support.sshd import ssh_server
from tests.support.sshkeys import public_line
from tests.support.sshliar import Liar, lying, run_here

pytestmark = [pytest.mark.external("sshd"), pytest.mark.slow]
PASSWORD, CODE = "swordfish-Canary1", "925713"
PHRASE = "velvet-Canary2-hammer"
TWO = [[("Password: ", False)], [("\x1b[31mVerification code:\u202e ", True)]]


@pytest.fixture
async def hosts(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet(tmp_path / "data") as made:
        yield made


@contextlib.asynccontextmanager
async def asking_server() -> AsyncIterator[Liar]:
    """It wants a password, then a code."""
    async with lying(run_here) as liar:
        liar.rounds, liar.right = TWO, [[PASSWORD], [CODE]]
        yield liar


async def add_asking(hosts: Fleet, liar: Liar, *names: str) -> None:
    """Hosts of which nothing is stored."""
    for name in names:
        await hosts.admin.vhosts.add(
            name,
            address="127.0.0.1",
            port=liar.port,
            user="ann",
            auth="ask",
            known_host_key=public_line(liar.host_key),
        )


async def asked(hosts: Fleet, job: str, count: int = 1) -> list[QuestionView]:
    """What is open, once there are so many."""
    found: list[QuestionView] = []

    async def are_there() -> bool:
        found[:] = (await hosts.admin.ssh.questions(job)).items
        return len(found) >= count

    await wait_until(are_there, 60.0, what=f"{count} questions are open")
    return found


def texts(question: QuestionView) -> list[str]:
    return [prompt.text for prompt in question.wording.prompts]


def assert_absent(folder: Path, *secrets: str) -> None:
    """In no file of the data folder, the log and the audit among them."""
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for secret in secrets:
                assert secret.encode() not in content, path


async def test_a_password_and_a_code_are_asked_for_and_kept_nowhere(
    hosts: Fleet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Only who started it may answer, once; the text is inert; every step is on record, no answer anywhere."""
    async with asking_server() as liar:
        await add_asking(hosts, liar, "bank")
        job = await hosts.start(["bank"], ["echo", "in"], ask=True)
        [first] = await asked(hosts, job)
        assert (await hosts.admin.ssh.hosts(job)).questions == 1
        assert texts(first) == ["Password:"]
        box = seal_answers(first.sealing_key, first.id, first.wording, ["wrong"])
        eve = Caller(user="eve", role=Role.ADMIN)
        with pytest.raises(Forbidden, match="only root"):
            await hosts.services.questions.answer(eve, job, first.id, AnswerRequest(box=box))
        assert (await hosts.admin.ssh.answer(first, [PASSWORD])).taken
        with pytest.raises(ApiError):
            await hosts.admin.ssh.answer(first, ["once more"])
        [second] = await asked(hosts, job)
        assert second.wording.prompts[0].echo
        assert "\x1b" not in texts(second)[0]
        assert "\u202e" not in texts(second)[0]
        assert (await hosts.admin.ssh.answer(second, [CODE])).taken
        assert await hosts.ended(job) == "done"
        assert liar.answered == [[PASSWORD], [CODE]]
    answers = await hosts.recorded("answer")
    assert [(each.operator, bool(each.refused)) for each in answers] == [
        ("root", False), ("root", False), ("eve", True),
    ]  # fmt: skip
    assert all(each.doc_id.endswith("-bank") for each in answers)
    assert len(await hosts.recorded("ask")) == 2
    assert_absent(tmp_path, PASSWORD, CODE)
    assert PASSWORD not in caplog.text


async def test_what_is_no_answer_any_more(hosts: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one, one of a process that has ended, one that is late: or one that nobody takes: each is told."""
    monkeypatch.setattr(questions, "TAKEN_SECONDS", 0.2)
    async with asking_server() as liar:
        await add_asking(hosts, liar, "bank")
        job = await hosts.start(["bank"], ["true"], ask=True)
        [open_one] = await asked(hosts, job)
        offer = hosts.services.questions.offer
        wording, key = open_one.wording, open_one.sealing_key
        lies = await offer(job, 1, "root", wording, key, 60.0)
        former = await offer(job, 0, "root", wording, key, 60.0)
        late = await offer(job, 1, "root", wording, key, 0.0)
        assert not (await hosts.admin.ssh.answer(question_view(lies), ["x"])).taken
        for question, why in ((lies, "already"), (former, "has ended"), (late, "is over")):
            with pytest.raises(ApiError, match=why):
                await hosts.admin.ssh.answer(question_view(question), ["y"])
        assert [each.id for each in (await hosts.admin.ssh.questions(job)).items] == [open_one.id]
        assert len([each for each in await hosts.recorded("answer") if each.refused]) == 3
        assert await hosts.services.questions.sweep() == 1
        await hosts.admin.ssh.decline(open_one)
        assert await hosts.ended(job) == "failed"


async def test_nobody_answers_and_one_declines(tmp_path: Path) -> None:
    """The host's outcome says which; what came too late counts no more."""
    settings = ServerFile(ssh=RemoteSettings(prompt_seconds=0.5))
    async with fleet(tmp_path / "data", settings) as hosts, asking_server() as liar:
        await add_asking(hosts, liar, "bank")
        job = await hosts.start(["bank"], ["true"], ask=True)
        assert await hosts.ended(job) == "failed"
        error = (await hosts.runs(job))["bank"].error
        assert error is not None
        assert "nobody answered the prompt 'Password:' in time" in error.message
        assert not (await hosts.admin.ssh.questions(job)).items
        assert [each.operator for each in await hosts.recorded("lapse")] == ["root"]
    async with fleet(tmp_path / "data") as hosts, asking_server() as liar:
        await hosts.admin.vhosts.update(
            "bank", port=liar.port, known_host_key=public_line(liar.host_key)
        )
        job = await hosts.start(["bank"], ["true"], ask=True)
        [question] = await asked(hosts, job)
        await hosts.admin.ssh.decline(question)
        assert await hosts.ended(job) == "failed"
        error = (await hosts.runs(job))["bank"].error
        assert error is not None
        assert "was not answered" in error.message
        assert liar.answered == []


async def test_one_answer_for_all_hosts_that_ask_the_same(hosts: Fleet) -> None:
    """By choice: each host has its question, one answer reaches them all, and nobody else's job."""
    async with asking_server() as liar:
        liar.rounds, liar.right = [[("Password: ", False)]], [[PASSWORD]]
        names = [f"bank-{number}" for number in range(1, 6)]
        await add_asking(hosts, liar, *names)
        job = await hosts.start(names, ["true"], ask=True, at_once=3)
        found = await asked(hosts, job, 3)
        await hosts.admin.ssh.answer(found[0], [PASSWORD], for_all=True)
        assert await hosts.ended(job) == "done"
        assert liar.answered == [[PASSWORD]] * 5
        other = await hosts.start(names[:1], ["true"], ask=True)
        [question] = await asked(hosts, other)
        await hosts.admin.ssh.decline(question)
        assert await hosts.ended(other) == "failed"


async def test_a_key_whose_passphrase_is_not_stored(hosts: Fleet, tmp_path: Path) -> None:
    """A real OpenSSH: without --ask nothing can be shown; with it the passphrase is asked for, the wrong one told."""
    import asyncssh

    with ssh_server() as sshd:
        key = asyncssh.import_private_key(sshd.user_key)
        locked = key.export_private_key("openssh", passphrase=PHRASE).decode()
        await hosts.add(sshd, "web-1", ssh_pem_cert=locked, auth="ask")
        plain = await hosts.start(["web-1"], ["true"])
        assert await hosts.ended(plain) == "failed"
        for phrase, state in ((PHRASE, "ok"), ("not it", "unreachable")):
            job = await hosts.start(["web-1"], ["true"], ask=True)
            [question] = await asked(hosts, job)
            assert texts(question)[0].startswith("Passphrase of key SHA256:")
            await hosts.admin.ssh.answer(question, [phrase])
            await hosts.ended(job)
            assert await hosts.states(job) == {"web-1": state}
    assert_absent(tmp_path, PHRASE)


async def test_a_host_that_offers_questions_and_has_none(hosts: Fleet) -> None:
    """As OpenSSH without PAM: it is asked for them once, then for the plain password, once; no account is locked."""
    options = ["PasswordAuthentication yes", "KbdInteractiveAuthentication yes"]
    with ssh_server(options=options) as sshd:
        await hosts.add(sshd, "web-1", ssh_pem_cert=None, auth="ask")
        job = await hosts.start(["web-1"], ["true"], ask=True)
        [question] = await asked(hosts, job)
        assert texts(question) == [f"Password of {sshd.user}"]
        await hosts.admin.ssh.answer(question, ["wrong"])
        assert await hosts.ended(job) == "failed"
        assert sshd.log().count("Failed password") == 1
        await hosts.admin.vhosts.update("web-1", auth="password", password="wrong too")
        job = await hosts.start(["web-1"], ["true"])
        assert await hosts.ended(job) == "failed"
        assert sshd.log().count("Failed password") == 2
        assert "Too many" not in sshd.log()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """A real ssh-agent with nothing in it; its socket."""
    program = shutil.which("ssh-agent")
    assert program is not None
    socket = tmp_path / "agent"
    process = subprocess.Popen([program, "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            assert process.poll() is None
        yield socket
    finally:
        process.terminate()
        process.wait(60)


def add_key(agent: Path, folder: Path, key: str) -> None:
    file = folder / "own_key"
    file.write_text(key)
    file.chmod(0o600)
    subprocess.run(
        ["ssh-add", "-q", file], env={**os.environ, "SSH_AUTH_SOCK": str(agent)}, check=True
    )
    file.unlink()


async def test_an_agent_signs_for_the_person(hosts: Fleet, agent: Path, tmp_path: Path) -> None:
    """The key stays in the agent here; the host lets in by a signature, as the user that was asked for."""
    with ssh_server() as sshd:
        add_key(agent, tmp_path, sshd.user_key)
        await hosts.add(sshd, "web-1", ssh_pem_cert=None, auth="ask", user="nobody-known")
        [key] = OwnAgent(str(agent)).keys()
        job = await hosts.start(["web-1"], ["id", "-un"], own_keys=[key.line], user=sshd.user)
        [question] = await asked(hosts, job)
        assert question.wording.is_signature
        assert (question.wording.user, question.wording.public_key) == (sshd.user, key.line)
        with pytest.raises(Forbidden, match="another login"):
            OwnAgent(str(agent)).sign(key, question.wording.data, user="somebody")
        await _signed(hosts, agent, question)
        assert await hosts.ended(job) == "done"
        assert (await hosts.admin.ssh.output(job, "web-1")).stdout == f"{sshd.user}\n"
        [start] = await hosts.recorded("call")
        assert start.ops["own_keys"] == [None, [key.line]]
        with pytest.raises(ApiError):  # it is no login without the person
            await hosts.admin.ssh.again(job, "failed")


async def test_a_jump_host_asks_once(hosts: Fleet) -> None:
    """However many are behind it; each question names the host that asks."""
    with ssh_server(addresses=("127.0.0.1", "127.0.8.2")) as sshd:
        async with asking_server() as liar:
            liar.forwards = True
            await add_asking(hosts, liar, "door")
            names = await hosts.add_all(sshd, jump="door")
            job = await hosts.start(names, ["true"], ask=True)
            for answer in (PASSWORD, CODE):
                [question] = await asked(hosts, job)
                assert question.wording.host == "door"
                await hosts.admin.ssh.answer(question, [answer])
            assert await hosts.ended(job) == "done"
            assert liar.answered == [[PASSWORD], [CODE]]


async def test_who_only_signs_is_asked_nothing(hosts: Fleet) -> None:
    """The host wants a password, nobody is at a terminal: told at once, and nothing is offered."""
    async with asking_server() as liar:
        await add_asking(hosts, liar, "bank")
        job = await hosts.start(["bank"], ["true"], own_keys=[public_line(liar.user_key)])
        assert await hosts.ended(job) == "failed"
        error = (await hosts.runs(job))["bank"].error
        assert error is not None
        assert "nobody is there to answer" in error.message
        assert "--ask" in error.message
        assert await hosts.recorded("ask") == []


async def test_the_stream_tells_whoever_started_it(hosts: Fleet) -> None:
    """What is open, once; another administrator hears nothing of it."""
    query = StreamQuery(topics=frozenset({"questions"}))
    stream = hosts.services.stream
    mine = await stream.subscribe(Caller(user="root", role=Role.ADMIN), query)
    others = await stream.subscribe(Caller(user="eve", role=Role.ADMIN), query)
    async with asking_server() as liar:
        await add_asking(hosts, liar, "bank")
        job = await hosts.start(["bank"], ["true"], ask=True)
        [item] = await mine.take(60.0)
        told = msgspec.json.decode(item.data, type=QuestionView)
        assert (item.topic, told.job, texts(told)) == ("questions", job, ["Password:"])
        await hosts.admin.ssh.decline(told)
        assert await hosts.ended(job) == "failed"
    assert await others.take(0.0) == []


async def _signed(hosts: Fleet, agent: Path, question: QuestionView) -> None:
    import base64

    own = OwnAgent(str(agent))
    [key] = own.keys()
    signature = own.sign(key, question.wording.data, user=question.wording.user)
    await hosts.admin.ssh.answer(question, [base64.b64encode(signature).decode()])


async def test_what_a_person_logged_in_to_serves_nobody_else(
    hosts: Fleet, agent: Path, tmp_path: Path
) -> None:
    """A job without the person finds nothing to log in with, right after; none of their sessions is left."""
    with ssh_server() as sshd:
        add_key(agent, tmp_path, sshd.user_key)
        await hosts.add(sshd, "web-1", ssh_pem_cert=None, auth="ask")
        [key] = OwnAgent(str(agent)).keys()
        job = await hosts.start(["web-1"], ["true"], own_keys=[key.line])
        [question] = await asked(hosts, job)
        await _signed(hosts, agent, question)
        assert await hosts.ended(job) == "done"
        other = await hosts.start(["web-1"], ["true"])
        assert await hosts.ended(other) == "failed"
        error = (await hosts.runs(other))["web-1"].error
        assert error is not None
        assert "nothing is stored" in error.message
        assert "--ask" in error.message

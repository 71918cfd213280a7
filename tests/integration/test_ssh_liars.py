"""Sessions with servers that lie, stall or flood; each is inside the test and does as it is told."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncssh
import psutil
import pytest

from dts_core.errors import (
    CommandTimedOut,
    HostKeyChanged,
    HostUnreachable,
    LoginDenied,
    RemoteError,
    SessionLost,
)
from dts_core.ssh.asking import Question
from dts_core.ssh.pool import Sessions
from dts_core.ssh.settings import SshSettings
from dts_core.ssh.target import Credentials
from dts_core.testing import wait_until
from dts_core.text import SafeText, is_safe
from dts_core.vault import Secret
from tests.support.sshkeys import private_key
from tests.support.sshliar import lying

MINUTE = 60.0
SOON = SshSettings(connect_seconds=1.0, login_seconds=1.0, prompt_seconds=1.0, tries=2)
Process = asyncssh.SSHServerProcess[bytes]


@pytest.fixture(name="sessions")
async def sessions_fixture() -> AsyncIterator[Sessions]:
    async with Sessions() as sessions:
        yield sessions


async def refused(sessions: Sessions, target: Any) -> RemoteError:
    with pytest.raises(RemoteError) as told:
        async with sessions.session(target):
            raise AssertionError("a session came of it")
    return told.value


async def test_a_changed_key_sees_no_login(sessions: Sessions) -> None:
    """Whoever stands in between learns neither user nor key: not one attempt, however often it is tried."""
    async with lying(host_key=private_key()) as liar:
        for _ in range(3):
            assert type(await refused(sessions, liar.target())) is HostKeyChanged
        assert (liar.connections, liar.logins) == (3, 0)
        assert sessions.count == 0


@pytest.mark.parametrize(
    ("algorithms", "is_safe_anyway"),
    [
        ({"encryption_algs": ["chacha20-poly1305@openssh.com"]}, False),
        ({"encryption_algs": ["aes256-ctr"], "mac_algs": ["hmac-sha2-256-etm@openssh.com"]}, False),
        ({"encryption_algs": ["aes256-gcm@openssh.com"]}, True),
    ],
)
async def test_without_the_strict_exchange_only_gcm_will_do(
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
    algorithms: dict[str, Any],
    is_safe_anyway: bool,
) -> None:
    """CVE-2023-48795: such a server is refused before a login, with its reason; with the exchange it is taken."""

    async def serve(process: Process) -> None:
        process.exit(0)

    async with lying(serve, **algorithms) as liar:
        async with sessions.session(liar.target(id="strict")) as session:
            assert (await session.run(["true"], timeout=MINUTE)).exit_status == 0
        before = liar.logins
        own = asyncssh.SSHServerConnection._get_extra_kex_algs

        def without(connection: Any) -> list[bytes]:
            return [name for name in own(connection) if b"strict" not in name]

        monkeypatch.setattr(asyncssh.SSHServerConnection, "_get_extra_kex_algs", without)
        if is_safe_anyway:
            async with sessions.session(liar.target(id="loose")) as session:
                assert session.is_alive
            return
        error = await refused(sessions, liar.target(id="loose"))
        assert type(error) is HostUnreachable
        assert "CVE-2023-48795" in str(error)
        assert liar.logins == before


@pytest.mark.parametrize(
    "algorithms",
    [
        {"encryption_algs": ["aes256-cbc"]},
        {"encryption_algs": ["3des-cbc"]},
        {"encryption_algs": ["aes256-ctr"], "mac_algs": ["hmac-sha2-256"]},
        {"encryption_algs": ["aes256-ctr"], "mac_algs": ["hmac-sha1-etm@openssh.com"]},
        {"kex_algs": ["diffie-hellman-group14-sha1"]},
        {"kex_algs": ["diffie-hellman-group1-sha1"]},
    ],
)
async def test_weak_algorithms_are_refused(sessions: Sessions, algorithms: dict[str, Any]) -> None:
    """A server that offers nothing better is told as unsafe; it sees no login."""
    async with lying(**algorithms) as liar:
        error = await refused(sessions, liar.target())
        assert type(error) is HostUnreachable
        assert (error.stage, liar.logins) == ("exchange", 0)
        assert "safe" in str(error)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def noisy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while not writer.is_closing():
            writer.write(os.urandom(65536))
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@pytest.mark.parametrize("behave", [silent, noisy, rude])
async def test_a_port_that_speaks_no_ssh(behave: Any) -> None:
    """Silence, noise and a slammed door: each is told, and soon, by its own deadline; none hangs."""
    connections = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await behave(reader, writer)

    server = await asyncio.start_server(count, "127.0.0.1", 0)
    async with server, lying() as liar, Sessions(SOON) as sessions:
        port = server.sockets[0].getsockname()[1]
        error = await asyncio.wait_for(refused(sessions, liar.target(port=port)), MINUTE)
        assert type(error) is HostUnreachable
        assert error.stage in ("connect", "exchange", "login")
        assert connections == (2 if behave is rude else 1)  # only a broken one is tried again
        assert is_safe(str(error))


async def test_a_flood_of_output_stays_within_bounds(sessions: Sessions) -> None:
    """Escapes and all: what is kept is bounded, the rest is counted, and the time limit ends it."""
    sent = 0

    async def serve(process: Process) -> None:
        nonlocal sent
        piece = b"\x1b]0;owned\x07" * 3000
        while True:
            process.stdout.write(piece)
            process.stderr.write(piece)
            sent += len(piece)
            await process.stdout.drain()

    async with lying(serve) as liar:
        own = psutil.Process()
        heard = 0

        def hear(stream: int, data: bytes) -> None:
            nonlocal heard
            heard += len(data)

        async with sessions.session(liar.target()) as session:
            run = asyncio.create_task(
                session.run(["yes"], timeout=10 * MINUTE, kept_max=1000, receive=hear)
            )
            before = own.memory_info().rss
            await wait_until(lambda: heard > 100_000_000)
            assert own.memory_info().rss - before < 96 << 20
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run


@pytest.mark.parametrize("status", [0, 1, 127, 255])
async def test_odd_exit_codes(sessions: Sessions, status: int) -> None:
    """Whatever number a server says is told as it is."""

    async def serve(process: Process) -> None:
        process.exit(status)

    async with lying(serve) as liar, sessions.session(liar.target()) as session:
        assert (await session.run(["x"], timeout=MINUTE)).exit_status == status


async def test_no_exit_code_at_all(sessions: Sessions) -> None:
    """A server that closes without a word has lost the command: that is no success."""

    async def serve(process: Process) -> None:
        process.stdout.write(b"some")
        process.channel.close()

    async with lying(serve) as liar, sessions.session(liar.target()) as session:
        with pytest.raises(SessionLost):
            await session.run(["x"], timeout=MINUTE)


async def test_a_half_closed_command_ends_by_its_time(sessions: Sessions) -> None:
    """It closes its output and stays: the deadline stands."""

    async def serve(process: Process) -> None:
        process.stdout.write_eof()
        await asyncio.Event().wait()

    async with lying(serve) as liar, sessions.session(liar.target()) as session:
        with pytest.raises(CommandTimedOut):
            await session.run(["x"], timeout=0.2)


async def test_a_server_that_stops_answering_is_lost(sessions: Sessions) -> None:
    """Nothing comes, the connection stands: keep-alive finds it, and what ran is told."""

    async def serve(process: Process) -> None:
        connection = process.channel.get_connection()
        connection._transport.pause_reading()  # type: ignore[union-attr]
        await asyncio.Event().wait()

    settings = SshSettings(keepalive_seconds=0.1, keepalive_misses=2)
    async with (
        lying(serve) as liar,
        Sessions(settings) as kept,
        kept.session(liar.target()) as session,
    ):
        with pytest.raises(SessionLost):
            await session.run(["x"], timeout=MINUTE)
        assert not session.is_alive


async def test_a_banner_is_harmless(sessions: Sessions) -> None:
    """Its escapes are visible, its length is bounded."""
    async with lying() as liar:
        liar.banner = "\x1b[2J\x1b]0;owned\x07 welcome\r\n" * 1000
        async with sessions.session(liar.target()) as session:
            assert is_safe(session.banner)
            assert "welcome" in session.banner
            assert len(session.banner) <= 4096


# --- questions


class Person:
    """Answers as it is told, and remembers what it was asked."""

    def __init__(self, *answers: Sequence[str] | None) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, list[Question]]] = []

    async def answer(
        self, host: str, title: SafeText, questions: Sequence[Question]
    ) -> Sequence[Secret] | None:
        self.asked.append((title, list(questions)))
        if not self.answers:
            await asyncio.Event().wait()
        answers = self.answers.pop(0)
        return None if answers is None else [Secret(each) for each in answers]

    async def sign(self, host: str, user: str, key: str, data: bytes) -> bytes | None:
        return None


async def test_a_person_answers() -> None:
    """A password that is stored goes by itself; the one-time code is asked for, its text made harmless."""
    person = Person(["123456"])
    async with lying() as liar, Sessions(asking=person) as sessions:
        liar.rounds = [
            [("Password: ", False)],
            [
                ("\x1b[31mCode:\u202e ", False),
            ],
        ]
        liar.right = [["hunter2"], ["123456"]]
        ours = Credentials(password=Secret("hunter2"))
        async with sessions.session(liar.target(credentials=ours)) as session:
            assert session.is_alive
        assert liar.answered == [["hunter2"], ["123456"]]
        ((title, (question,)),) = person.asked
        assert is_safe(title)
        assert is_safe(question.text)
        assert "Code" in question.text
        assert question.is_secret


@pytest.mark.parametrize(
    ("answers", "why"),
    [((["000000"],), "does not let"), ((None,), "not answered"), ((["1", "2"],), "not answered"),
     ((), "in time")],
)  # fmt: skip
async def test_a_wrong_answer_is_not_tried_again(answers: Any, why: str) -> None:
    """Wrong, declined, too many, or none in time: denied once, and nobody is asked a second time."""
    person = Person(*answers)
    settings = SshSettings(prompt_seconds=MINUTE if answers else 0.3)
    async with lying() as liar, Sessions(settings, asking=person) as sessions:
        liar.rounds, liar.right = [[("Code: ", False)]], [["123456"]]
        error = await refused(sessions, liar.target(credentials=Credentials()))
        assert type(error) is LoginDenied
        assert why in str(error)
        assert len(person.asked) == 1
        assert len(liar.answered) == (1 if why == "does not let" else 0)


async def test_without_a_person_questions_are_declined(sessions: Sessions) -> None:
    """A daemon never hangs at a prompt."""
    async with lying() as liar:
        liar.rounds, liar.right = [[("Code: ", False)]], [["123456"]]
        error = await refused(sessions, liar.target())
        assert type(error) is LoginDenied
        assert liar.answered == []

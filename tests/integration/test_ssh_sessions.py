"""Sessions with a real OpenSSH: who is let in, what is run, what is kept."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import asyncssh
import psutil
import pytest

from dts_core.errors import (
    CommandTimedOut,
    HostKeyChanged,
    HostKeyRejected,
    HostKeyUnknown,
    HostUnreachable,
    LoginDenied,
    SessionLost,
)
from dts_core.ssh.base import fingerprint
from dts_core.ssh.hostkeys import Pins
from dts_core.ssh.pool import Sessions
from dts_core.ssh.settings import SshSettings
from dts_core.ssh.target import Credentials, Target
from dts_core.testing import wait_until
from dts_core.vault import Secret
from tests.support.sshd import SshServer, host_certificate, ssh_server
from tests.support.sshkeys import PASSPHRASE, private_key, public_line

pytestmark = pytest.mark.external("sshd")
MINUTE = 60.0
LONG = 10 * MINUTE


@pytest.fixture(scope="module", name="server")
def server_fixture() -> Iterator[SshServer]:
    with ssh_server(options=["LogLevel DEBUG1"]) as server:
        yield server


@pytest.fixture(name="sessions")
async def sessions_fixture() -> AsyncIterator[Sessions]:
    async with Sessions() as sessions:
        yield sessions


async def whoami(sessions: Sessions, target: Target) -> str:
    async with sessions.session(target) as session:
        end = await session.run(["id", "-un"], timeout=LONG)
    assert end.exit_status == 0
    return end.stdout.decode().strip()


async def test_a_command_comes_back_with_all_of_it(server: SshServer, sessions: Sessions) -> None:
    """Both streams, apart; its exit status; words with anything in them arrive as they are."""
    words = ["it's", 'a "test"', "$HOME `id` \\ \n ; | &", "", "*", "\x1b[31m"]
    script = 'printf "%s\\0" "$@"; echo oops >&2; cat; exit 7'
    async with sessions.session(server.target()) as session:
        end = await session.run(["sh", "-c", script, "-", *words], timeout=MINUTE, stdin=b"in")
        cipher = session.cipher
    assert end.stdout == "".join(f"{word}\0" for word in words).encode() + b"in"
    assert (end.stderr, end.exit_status, end.exit_signal) == (b"oops\n", 7, "")
    assert cipher == "aes128-gcm@openssh.com"


async def test_a_signal_is_told(server: SshServer, sessions: Sessions) -> None:
    """A command that dies of a signal has no exit status."""
    async with sessions.session(server.target()) as session:
        end = await session.run(["sh", "-c", "kill -TERM $$"], timeout=MINUTE)
    assert (end.exit_status, end.exit_signal) == (None, "TERM")


async def test_one_connection_is_shared_and_kept(server: SshServer, sessions: Sessions) -> None:
    """However many ask at once, there is one login; and none for those who come later."""
    before = server.log().count("Connection from")
    target = server.target(id="shared")
    assert set(await asyncio.gather(*(whoami(sessions, target) for _ in range(30)))) == {
        server.user
    }
    assert await whoami(sessions, target) == server.user
    assert server.log().count("Connection from") - before == 1
    assert sessions.count == 1


async def test_a_lost_connection_is_made_anew(server: SshServer, sessions: Sessions) -> None:
    """What ran on it is told that it is lost; the next who asks gets a new one."""
    pids: list[int] = []
    async with sessions.session(server.target()) as session:
        task = asyncio.create_task(
            session.run(
                ["sh", "-c", "echo $PPID; exec sleep 1000"],
                timeout=MINUTE,
                receive=lambda _, data: pids.append(int(data)),
            )
        )
        await wait_until(lambda: bool(pids))
        psutil.Process(pids[0]).kill()
        with pytest.raises(SessionLost):
            await task
    assert await whoami(sessions, server.target()) == server.user


async def gone(pid: int) -> None:
    def is_gone() -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    await wait_until(is_gone, what=f"process {pid} has ended")


@pytest.mark.parametrize("way", ["timeout", "cancel"])
async def test_what_is_given_up_is_killed(server: SshServer, sessions: Sessions, way: str) -> None:
    """The far process group ends when the time is over, and when whoever waits is cancelled."""
    pids: list[int] = []
    async with sessions.session(server.target()) as session:
        argv = ["sh", "-c", "trap '' TERM HUP; echo $$; while :; do sleep 1; done"]
        timeout = 3.0 if way == "timeout" else MINUTE
        task = asyncio.create_task(
            session.run(argv, timeout=timeout, receive=lambda _, data: pids.append(int(data)))
        )
        await wait_until(lambda: bool(pids))
        if way == "cancel":
            task.cancel()
        with pytest.raises(CommandTimedOut if way == "timeout" else asyncio.CancelledError):
            await task
        await gone(pids[0])


async def test_a_gigabyte_is_kept_within_bounds(server: SshServer, sessions: Sessions) -> None:
    """Begin and end are kept, the rest is counted; memory does not grow with it."""
    size = 1_000_000_000
    own = psutil.Process()
    async with sessions.session(server.target()) as session:
        await session.run(["true"], timeout=MINUTE)
        before = own.memory_info().rss
        argv = ["sh", "-c", f"echo first; head -c {size} /dev/zero; echo last"]
        end = await session.run(argv, timeout=LONG, kept_max=10_000)
    assert end.stdout_total == size + 11
    assert end.stdout.startswith(b"first\n")
    assert end.stdout.endswith(b"last\n")
    assert b"bytes left out" in end.stdout
    assert len(end.stdout) < 11_000
    assert own.memory_info().rss - before < 64 << 20


async def test_channels_stay_below_what_sshd_allows(server: SshServer, sessions: Sessions) -> None:
    """Fifty commands at once on one connection: none is refused (MaxSessions is 10)."""
    async with sessions.session(server.target()) as session:
        ends = await asyncio.gather(
            *(session.run(["echo", str(n)], timeout=LONG) for n in range(50))
        )
    assert [int(end.stdout) for end in ends] == list(range(50))


# --- host keys


async def rejected(sessions: Sessions, target: Target) -> HostKeyRejected:
    with pytest.raises(HostKeyRejected) as told:
        async with sessions.session(target):
            raise AssertionError("a session came of it")
    return told.value


async def test_first_contact_tells_the_fingerprint_and_nothing_of_us(
    server: SshServer, sessions: Sessions
) -> None:
    """Nothing pinned: the error carries key and fingerprint for a person; no login is begun."""
    before = server.log().count("userauth-request")
    error = await rejected(sessions, server.target(pins=Pins()))
    assert type(error) is HostKeyUnknown
    assert error.shown == public_line(server.host_keys[0])
    assert error.fingerprint == fingerprint(error.shown)
    assert error.fingerprint in str(error)
    assert server.log().count("userauth-request") == before
    pinned = server.target(pins=Pins(keys=(error.shown,)), version="2")
    assert await whoami(sessions, pinned) == server.user


async def test_a_changed_key_stops_before_any_login(server: SshServer, sessions: Sessions) -> None:
    """By sshd's own log: not one request to authenticate."""
    before = server.log().count("userauth-request")
    pins = Pins(keys=(public_line(private_key()),))
    for _ in range(3):
        error = await rejected(sessions, server.target(pins=pins))
        assert type(error) is HostKeyChanged
        assert error.shown == public_line(server.host_keys[0])
    assert server.log().count("userauth-request") == before


async def test_a_fingerprint_told_beforehand_is_enough(sessions: Sessions) -> None:
    """Also when it is of another of the host's keys than the one that is preferred."""
    keys = [private_key(), private_key(kind="ecdsa-sha2-nistp256"), private_key(kind="ssh-rsa")]
    with ssh_server(host_keys=keys) as server:
        for number, key in enumerate(keys):
            pins = Pins(fingerprints=(fingerprint(public_line(key)),))
            target = server.target(pins=pins, version=str(number))
            async with sessions.session(target) as session:
                assert session.host_key == public_line(key)
                assert await whoami(sessions, target) == server.user
        wrong = Pins(fingerprints=(fingerprint(public_line(private_key())),))
        assert type(await rejected(sessions, server.target(pins=wrong))) is HostKeyChanged


async def test_a_host_shows_the_key_that_is_pinned(sessions: Sessions) -> None:
    """Of several keys the pinned one is asked for, so that a new kind of key is no alarm."""
    keys = [private_key(), private_key(kind="ssh-rsa")]
    with ssh_server(host_keys=keys) as server:
        target = server.target(pins=Pins(keys=(public_line(keys[1]),)))
        assert await whoami(sessions, target) == server.user


async def test_host_certificates(sessions: Sessions) -> None:
    """An authority that is pinned vouches for the name that is called, and for no other."""
    authority, stranger = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    line = " ".join(authority.export_public_key().decode().split()[:2])
    key = private_key()

    def certified(signer: asyncssh.SSHKey, name: str) -> Iterator[SshServer]:
        with ssh_server(host_keys=[key]) as plain:
            file = plain.folder / "host.pub"
            file.write_text(host_certificate(key, signer, name))
            with ssh_server(host_keys=[key], options=[f"HostCertificate {file}"]) as server:
                yield server

    pins = Pins(authorities=(line,))
    for server in certified(authority, "127.0.0.1"):
        assert await whoami(sessions, server.target(pins=pins, id="right")) == server.user
        both = server.target(pins=Pins(pins.keys, pins.authorities, revoked=(line,)), id="revoked")
        assert "revoked" in str(await rejected(sessions, both))
    for server in certified(authority, "elsewhere.example"):
        error = await rejected(sessions, server.target(pins=pins, id="name"))
        assert "certificate does not count" in str(error)
    for server in certified(stranger, "127.0.0.1"):
        error = await rejected(sessions, server.target(pins=pins, id="signer"))
        assert type(error) is HostKeyChanged


# --- logins


async def denied(sessions: Sessions, target: Target) -> str:
    with pytest.raises(LoginDenied) as told:
        async with sessions.session(target):
            raise AssertionError("a session came of it")
    return str(told.value)


async def test_an_encrypted_key_and_a_wrong_one(server: SshServer, sessions: Sessions) -> None:
    """A passphrase opens the key; a wrong passphrase, and a stranger's key, are denied without a byte of either."""
    key = asyncssh.import_private_key(server.user_key)
    pem = key.export_private_key("openssh", PASSPHRASE, rounds=64).decode()
    right = Credentials(private_key=Secret(pem), passphrase=Secret(PASSPHRASE))
    assert await whoami(sessions, server.target(id="e", credentials=right)) == server.user
    wrong = Credentials(private_key=Secret(pem), passphrase=Secret("another-Canary9"))
    told = await denied(sessions, server.target(id="w", credentials=wrong))
    stranger = Credentials(private_key=Secret(private_key()))
    told += await denied(sessions, server.target(id="s", credentials=stranger))
    assert "Canary" not in told
    assert "authorized_keys" in told


async def test_a_certificate_of_the_user(server: SshServer, sessions: Sessions) -> None:
    """A key that no authorized_keys names gets in by a certificate."""
    authority = asyncssh.generate_private_key("ssh-ed25519")
    pem = private_key()
    made = authority.generate_user_certificate(
        asyncssh.import_private_key(pem), "test", principals=[server.user]
    )
    trusted = server.folder / "authorities"
    trusted.write_bytes(authority.export_public_key())
    with ssh_server(options=[f"TrustedUserCAKeys {trusted}"]) as other:
        certificate = made.export_certificate().decode()
        ours = Credentials(private_key=Secret(pem), certificate=certificate)
        assert await whoami(sessions, other.target(credentials=ours)) == other.user


async def test_the_agent_signs(
    server: SshServer, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that only the agent holds; it is asked only where it was chosen, whatever the environment says."""
    path = str(server.folder / "agent")
    key = asyncssh.import_private_key(server.user_key)
    agent = await asyncio.create_subprocess_exec(
        "ssh-agent", "-D", "-a", path, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await wait_until((server.folder / "agent").exists)
        async with asyncssh.connect_agent(path) as client:
            await client.add_keys([asyncssh.generate_private_key("ssh-ed25519"), key])
        chosen = Credentials(agent=path, agent_keys=(public_line(server.user_key),))
        target = server.target(id="agent", credentials=chosen)
        assert await whoami(sessions, target) == server.user
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        bare = server.target(id="bare", credentials=Credentials())
        assert "nothing was shown" in await denied(sessions, bare)
    finally:
        agent.terminate()
        await agent.wait()


async def test_nobody_there(sessions: Sessions) -> None:
    """A closed port and a name that is none are told as such."""
    with ssh_server() as server:
        target = server.target()
    with pytest.raises(HostUnreachable, match="is refused"):
        async with sessions.session(target):
            pass
    nameless = server.target(id="n", address="no-such-host.invalid")
    with pytest.raises(HostUnreachable, match="cannot be resolved"):
        async with sessions.session(nameless):
            pass


# --- many, and jump hosts


@pytest.mark.slow
async def test_two_hundred_hosts_behind_one_default_bastion() -> None:
    """One connection to the bastion, few logins at once behind it: every host is reached, no login fails."""
    with ssh_server() as bastion, ssh_server(addresses=["0.0.0.0"]) as inner:
        jump = bastion.target(id="bastion")
        targets = [
            inner.target(id=f"h{n}", address=f"127.0.1.{n + 1}", jump=jump) for n in range(200)
        ]
        before = bastion.log().count("Connection from")
        # A slow machine is no reason to fail: what is proved is that nobody is turned away.
        async with Sessions(SshSettings(connect_seconds=LONG, login_seconds=LONG)) as sessions:

            async def login(target: Target) -> str:
                async with sessions.session(target) as session:
                    return session.host_key

            found = await asyncio.gather(*(login(target) for target in targets))
            assert found == [public_line(inner.host_keys[0])] * 200
            assert sessions.count == 201
            assert await whoami(sessions, targets[0]) == inner.user
        # One that a crowded machine drops before its login (sshd counts late) comes again by itself, and is let in.
        assert bastion.log().count("Connection from") - before == 1
        for log in (bastion.log(), inner.log()):
            assert "Failed" not in log
            assert "Invalid user" not in log


async def test_a_bastion_lives_as_long_as_what_leads_through_it(server: SshServer) -> None:
    """It does not give way, nor grow old, while a host behind it is connected; then it does."""
    settings = SshSettings(kept_max=2, idle_seconds=0.0)
    jump = server.target(id="bastion")
    async with Sessions(settings) as sessions:
        async with sessions.session(server.target(id="behind", jump=jump)) as session:
            sessions.sweep()
            assert sessions.count == 2
            assert (await session.run(["true"], timeout=MINUTE)).exit_status == 0

        def is_empty() -> bool:
            sessions.sweep()
            return sessions.count == 0

        await wait_until(is_empty)


async def test_the_idle_longest_gives_way(server: SshServer) -> None:
    """Within the bound the one used last is kept; when all are in use, whoever comes waits and is told."""
    settings = SshSettings(kept_max=2, wait_seconds=0.2)
    a, b, c = (server.target(id=name) for name in "abc")
    async with Sessions(settings) as sessions:
        for target in (a, b, a, c):
            assert await whoami(sessions, target) == server.user
        assert sessions.count == 2
        before = server.log().count("Connection from")
        async with sessions.session(a), sessions.session(c):
            assert server.log().count("Connection from") == before
            with pytest.raises(HostUnreachable, match="all 2 connections"):
                async with sessions.session(b):
                    pass

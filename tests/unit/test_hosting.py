"""The data folder, private files, bounded logs, the server's address, stop requests."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from dts_core.errors import ConfigError
from dts_core.hosting.folder import prepare_folder
from dts_core.hosting.listening import bind, check_exposure, url_of
from dts_core.hosting.logfile import LogFile
from dts_core.hosting.stopping import stop_requests
from dts_core.private import read_private, write_private
from dts_core.settings import ServerSettings


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_folder_is_private(tmp_path: Path) -> None:
    """A folder that is made here can be entered by its owner alone, with those for logs and plugins."""
    folder = prepare_folder(tmp_path / "a" / "b")
    assert mode(folder) == 0o700
    assert {path.name: mode(path) for path in folder.iterdir()} == {
        "logs": 0o700,
        "plugins": 0o700,
    }
    assert prepare_folder(folder) == folder


def test_folder_of_ours_that_was_opened_is_closed_again(tmp_path: Path) -> None:
    """A data folder whose mode was widened becomes private at the next start."""
    folder = prepare_folder(tmp_path / "data")
    (folder / "dts.db").touch()
    folder.chmod(0o777)
    assert mode(prepare_folder(folder)) == 0o700


def test_folder_where_others_write_is_refused(tmp_path: Path) -> None:
    """/tmp and its like are neither used nor changed."""
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "letter.txt").touch()
    shared.chmod(0o1777)
    with pytest.raises(ConfigError, match="others may write into this folder"):
        prepare_folder(shared)
    assert mode(shared) == 0o1777
    assert [path.name for path in shared.iterdir()] == ["letter.txt"]


def test_folder_with_other_things_keeps_its_mode(tmp_path: Path) -> None:
    """Somebody's home is not shut because dts was pointed at it."""
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    home.chmod(0o755)
    (home / "letter.txt").touch()
    prepare_folder(home)
    assert mode(home) == 0o755


@pytest.mark.skipif(os.getuid() != 0, reason="needs to give a folder away")
def test_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    """Nobody's stack starts in a folder where its owner may read and change everything."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    foreign.chmod(0o777)
    os.chown(foreign, 65534, 65534)
    with pytest.raises(ConfigError, match="belongs to user 65534"):
        prepare_folder(foreign)


@pytest.mark.parametrize("name", ["file/below", "file", "x" * 300, "a\0b"])
def test_folder_that_cannot_be_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    """A file in the way, an impossible name: one line with the path and advice."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as caught:
        prepare_folder(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert "\0" not in str(caught.value)


def test_private_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Mode 0600 from its first byte, and no draft stays."""
    path = tmp_path / "admin.json"
    write_private(path, b"one")
    write_private(path, b"two")
    assert (path.read_bytes(), mode(path)) == (b"two", 0o600)
    assert [each.name for each in tmp_path.iterdir()] == ["admin.json"]


def test_private_file_that_is_a_link_or_pipe_is_not_read(tmp_path: Path) -> None:
    """What is no plain file of ours counts as missing, and reading it waits for nobody."""
    assert read_private(tmp_path / "no") is None
    os.mkfifo(tmp_path / "pipe")
    assert read_private(tmp_path / "pipe") is None
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic link"):
        read_private(tmp_path / "link")


def test_log_file_is_bounded(tmp_path: Path) -> None:
    """Whatever is appended, two files of the limit's size are the most; the newest words are kept."""
    log = LogFile(tmp_path / "a.log", size_max=1000)
    for number in range(300):
        log.append(b"%06d----\n" % number)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"a.log", "a.log.1"}
    assert max(sizes.values()) <= 1011
    newest = (tmp_path / "a.log.1").read_bytes() + (tmp_path / "a.log").read_bytes()
    assert newest.endswith(b"000299----\n")


def test_taken_port_is_one_line(tmp_path: Path) -> None:
    """A port that was asked for is refused when taken; the default one gives way to a free one."""
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} is taken"):
            bind("127.0.0.1", port)
        with bind("127.0.0.1", port, or_any=True) as second:
            assert second.getsockname()[1] not in (0, port)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("no.such.host.invalid", "there is no address"), ("192.0.2.1", "is no address of this")],
)
def test_address_that_is_not_ours(host: str, expected: str) -> None:
    """A name that does not resolve, an address of another machine."""
    with pytest.raises(ConfigError, match=expected):
        bind(host, 0)


def test_url_of_a_wildcard_is_reachable() -> None:
    """Clients of this machine cannot connect to 0.0.0.0: they are told the loopback address."""
    with bind("0.0.0.0", 0) as listener:
        assert url_of(listener, tls=False).startswith("http://127.0.0.1:")
    with bind("127.0.0.1", 0) as listener:
        assert url_of(listener, tls=True) == f"https://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_url_of_ipv6_has_brackets() -> None:
    """An IPv6 address is written as URLs want it."""
    with bind("::1", 0) as listener:
        assert url_of(listener, tls=False) == f"http://[::1]:{listener.getsockname()[1]}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_loopback_needs_nothing(host: str) -> None:
    """Only this machine reaches it."""
    check_exposure(ServerSettings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", ""])
def test_open_address_needs_tls_or_the_word(host: str) -> None:
    """Any other address is refused without TLS, unless --insecure is said."""
    with pytest.raises(ConfigError, match=r"server\.host: .*--insecure"):
        check_exposure(ServerSettings(host=host))
    check_exposure(ServerSettings(host=host, insecure=True))


def test_tls_files_are_checked_before_the_start(tmp_path: Path) -> None:
    """Half a pair, a missing file and one that is no PEM are told with their key."""
    broken = tmp_path / "broken.pem"
    broken.write_text("no pem")
    settings = ServerSettings(host="0.0.0.0", tls_cert=str(broken))
    with pytest.raises(ConfigError, match=r"server\.tls_key: is missing"):
        check_exposure(settings)
    missing = msgspec.structs.replace(settings, tls_key=str(tmp_path / "no.pem"))
    with pytest.raises(ConfigError, match=r"server\.tls_key: cannot be read"):
        check_exposure(missing)
    with pytest.raises(ConfigError, match="certificate and key do not fit"):
        check_exposure(msgspec.structs.replace(settings, tls_key=str(broken)))


async def test_signal_asks_to_stop() -> None:
    """SIGTERM sets the event instead of ending the process."""
    with stop_requests() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(60):
            await stop.wait()


async def test_ignored_signal_stays_ignored() -> None:
    """Under nohup the end of the terminal stops nothing."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_requests() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0.01)
            assert not stop.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_end_of_the_parent_asks_to_stop() -> None:
    """When the only writing end of the pipe is closed, however that came, the event is set."""
    reading, writing = os.pipe()
    with stop_requests(parent_pipe=reading) as stop:
        await asyncio.sleep(0)
        assert not stop.is_set()
        os.close(writing)
        async with asyncio.timeout(60):
            await stop.wait()
    os.close(reading)


async def test_signal_after_the_end_of_the_parent_is_the_first() -> None:
    """Who closes the pipe and then sends SIGTERM still gets a clean end."""
    reading, writing = os.pipe()
    with stop_requests(parent_pipe=reading) as stop:
        os.close(writing)
        await stop.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    os.close(reading)


def test_second_signal_ends_at_once() -> None:
    """A person who presses Ctrl-C twice is not made to wait for a clean end."""
    code = """
import asyncio, os, signal
from dts_core.hosting.stopping import stop_requests
signal.signal(signal.SIGINT, signal.default_int_handler)  # one that was ignored at the start stays so
async def main():
    with stop_requests() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        await stop.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(300)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == 130

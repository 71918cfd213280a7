"""Functions that declare packages, on hosts that have Python and nothing else: a real OpenSSH, wheels made here."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dts_core.children.calls import Call
from dts_core.errors import SetupFailed
from dts_core.pep723 import Script
from dts_core.remote import Remotes
from dts_core.remote.live import LiveOutputs
from dts_core.remote.packages import Packages
from dts_core.remote.work import CallWork, HostWork, Work
from dts_core.services.users import LOCAL
from dts_core.settings import RemoteSettings, ServerFile, SetupSettings
from dts_core.ssh.outcome import HostState, Outcome
from tests.support.fanout import Fleet, fleet
from tests.support.server import serve
from tests.support.sshd import SshServer, ssh_server
from tests.support.wheels import wheel

pytestmark = [pytest.mark.external("sshd"), pytest.mark.slow]
BLOCK = '# /// script\n# dependencies = ["{0}"]\n# {1}\n# ///\n'
MAIN = "import greeting\n\ndef main():\n    print(greeting.__file__)\n    return greeting.hello('you')\n"


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[SshServer]:
    """Its user keeps caches within the test."""
    with ssh_server(options=[f"SetEnv XDG_CACHE_HOME={tmp_path}/far"]) as made:
        yield made


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A package and one that it needs, as wheels."""
    folder = tmp_path / "wheels"
    hello = "from marks import END\n\ndef hello(who):\n    return f'hello {who}{END}'\n"
    wheel(folder, "greeting", "1.2", hello, "marks>=1", 'winonly; sys_platform == "win32"')
    wheel(folder, "marks", "1.0", "END = '!'\n")
    return folder


def settings(tmp_path: Path, given: Path) -> ServerFile:
    return ServerFile(setup=SetupSettings(wheels=str(given), cache=str(tmp_path / "cache")))


async def save(hosts: Fleet, source: str) -> None:
    await hosts.services.namespaces.create(LOCAL, {"_id": "ops"})
    await hosts.services.functions.create(LOCAL, {"_id": "ops/hi", "source": source})


async def call(hosts: Fleet) -> str:
    started = await hosts.admin.ssh.start(["web-1"], function="ops/hi")
    assert started.job is not None
    await hosts.ended(started.job.id)
    return started.job.id


async def test_packages_come_once_and_stay(tmp_path: Path, sshd: SshServer, given: Path) -> None:
    """With all that they need there; the next call, and the next server, find them, without wheels and without pip."""
    sets = tmp_path / "far" / "dts" / "packages"
    async with fleet(tmp_path / "data", settings(tmp_path, given)) as hosts:
        await hosts.add(sshd, "web-1")
        await save(hosts, BLOCK.format("greeting>=1", 'requires-python = ">=3.9"') + MAIN)
        for _ in range(2):
            job = await call(hosts)
            shown = await hosts.admin.ssh.output(job, "web-1")
            assert (shown.state, shown.result) == ("ok", '"hello you!"'), shown
            assert shown.stdout.startswith(str(sets))
        [folder] = sets.iterdir()
        before = (folder.stat().st_ino, folder.stat().st_mtime_ns)
    shutil.rmtree(given)
    given.mkdir()
    async with fleet(tmp_path / "data", settings(tmp_path, given)) as hosts:
        job = await call(hosts)
        assert (await hosts.runs(job))["web-1"].state == "ok"
        [folder] = sets.iterdir()
        assert (folder.stat().st_ino, folder.stat().st_mtime_ns) == before
        assert {path.name for path in folder.glob("*.py")} == {"greeting.py", "marks.py"}


@pytest.mark.parametrize(
    ("wanted", "python", "words"),
    [
        ("greeting>=7", "", ["packages of the function are not there", "greeting>=7"]),
        ("greeting", 'requires-python = ">=3.99"', ["requires Python >=3.99", "it has 3."]),
    ],
)
async def test_what_is_missing_is_said_before_anything_runs(
    tmp_path: Path, sshd: SshServer, given: Path, wanted: str, python: str, words: list[str]
) -> None:
    """A wheel that cannot be had, a Python that is too old: the host was not begun, and nothing lies there."""
    async with fleet(tmp_path / "data", settings(tmp_path, given)) as hosts:
        await hosts.add(sshd, "web-1")
        await save(hosts, BLOCK.format(wanted, python) + MAIN)
        job = await call(hosts)
        run = (await hosts.runs(job))["web-1"]
        assert run.state == "unreachable"
        assert run.error is not None
        assert all(word in run.error.message for word in words), run.error
    assert not list((tmp_path / "far").rglob("*.py"))


class Kept:
    """A ledger that lets everything begin."""

    def __init__(self) -> None:
        self.begun = 0

    async def begin(self, host: str) -> bool:
        self.begun += 1
        return True

    async def end(self, outcome: Outcome) -> bool:
        return True


async def test_what_was_taken_away_is_sent_again(
    tmp_path: Path, sshd: SshServer, given: Path
) -> None:
    """Within one run, as nothing was run there; a folder that others may write is not used."""
    sets = tmp_path / "far" / "dts" / "packages"
    async with (
        serve(tmp_path) as server,
        Remotes(server.services, RemoteSettings()) as remotes,
    ):
        await server.services.vhosts.create(LOCAL, {"_id": "web-1", **sshd.vhost()})
        target = await remotes.target(LOCAL, "web-1", why="a test")
        packages = Packages(tmp_path / "cache", given)
        script = Script(dependencies=["greeting"])
        folder = await packages.ready(remotes.sessions, target, script)
        shutil.rmtree(folder)
        ledger: Any = Kept()
        run = Call(id="1", function="ops/hi", hash="0" * 64, source=MAIN.encode())
        work = Work(call=run, script=script, seconds=60.0, output_max=1 << 16)
        live = LiveOutputs(server.store, "1", 1, 1)
        one = CallWork(remotes, work, live, packages)
        host_work = HostWork(
            remotes, ledger, LOCAL, one, why="a test",
            on_changed=server.services.host_trust.changed, prepare=one.prepare,
        )  # fmt: skip
        outcome = await host_work(target)
        assert (outcome.state, outcome.result) == (HostState.OK, b'"hello you!"'), outcome.error
        assert ledger.begun == 1
        packages.forget(target, script)
        sets.chmod(0o777)
        with pytest.raises(SetupFailed, match="not the user's alone"):
            await packages.ready(remotes.sessions, target, script)

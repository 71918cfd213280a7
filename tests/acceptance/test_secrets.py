"""Where secrets are after a walk: in the file of the administrator and nowhere else; who reaches the socket."""

import json
import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from dts_core.clients import SyncAdminClient, SyncClient
from dts_core.errors import ApiError
from tests.support.processes import Up, environment, eventually, up

PROBE = '''
import os, sys


def main():
    """What user code sees of the process that it runs in."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            pass
    with open("/proc/self/environ", "rb") as file:
        born = file.read().decode("utf-8", "replace")
    return {"environment": dict(os.environ), "born": born, "fds": links, "argv": sys.argv,
            "names": [name for name in os.environ if name.startswith("DTS")]}
'''


def files_with(folder: Path, secrets: dict[str, str]) -> dict[str, list[str]]:
    """Which files under a folder hold which secrets."""
    found: dict[str, list[str]] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            if held := [name for name, secret in secrets.items() if secret.encode() in data]:
                found[str(path.relative_to(folder))] = held
    return found


def walk(stack: Up, admin: SyncAdminClient, secrets: dict[str, str]) -> dict[str, object]:
    """Do everything that takes a secret or a token, rightly and wrongly; what a job sees of it."""
    admin.users.add("eve", role="submitter", secret=secrets["eve"])
    admin.namespaces.add("test", members={"eve": "submitter"})
    admin.functions.add("test/probe", PROBE)
    revision = admin.users.get("eve")["revision"]
    admin.users.update("eve", secret=secrets["eve, second"], revision=revision)
    with SyncClient(admin.url) as eve:
        with pytest.raises(ApiError):
            eve.login("eve", secrets["mistyped"])
        with pytest.raises(ApiError):
            eve.login(secrets["typed as a name"], "x" * 12)
        answer = eve.login("eve", secrets["eve, second"])
        secrets["eve's token"] = answer.token
        eve.token = answer.token
        seen = eve.submit("test/probe", wait=60)
        assert seen.state == "done", seen
        with pytest.raises(ApiError):
            eve.submit("dts/status")
    with SyncClient(admin.url, secrets["a wrong token"]) as nobody, pytest.raises(ApiError):
        nobody.session()
    admin.operations.list()
    result: dict[str, object] = seen.result
    return result


def test_secrets_are_in_the_administrators_file_and_nowhere_else(tmp_path: Path) -> None:
    """No file, output, argument or environment of any process holds a secret or a token."""
    with up(tmp_path) as stack, stack.client() as admin:
        kept = json.loads((stack.data / "admin.json").read_text())
        secrets = {
            "admin": kept["secret"],
            "admin's token": kept["token"],
            "eve": "first-canary-of-eve",
            "eve, second": "second-canary-of-eve",
            "mistyped": "mistyped-canary",
            "typed as a name": "canary-as-a-name",
            "a wrong token": "canary-as-a-token",
        }
        seen = json.dumps(walk(stack, admin, secrets))
        family = [psutil.Process(stack.process.pid), *stack.descendants()]
        assert len(family) >= 3
        shown = [seen, stack.said()]
        for each in family:
            shown.append(" ".join(each.cmdline()))
            shown.append(Path(f"/proc/{each.pid}/environ").read_bytes().decode("utf-8", "replace"))
        leaks = {
            name: secret for name, secret in secrets.items() if any(secret in s for s in shown)
        }
        assert leaks == {}
        while_running = files_with(tmp_path, secrets)
        stack.stop()
    for found in (while_running, files_with(tmp_path, secrets)):
        assert found == {"data/admin.json": ["admin", "admin's token"]}
    assert stat.S_IMODE((tmp_path / "data" / "admin.json").stat().st_mode) == 0o600


def test_a_job_is_born_without_what_the_worker_knows(tmp_path: Path) -> None:
    """Its environment has nothing of DTS_* and none of the secrets of the shell; its open files are its own pipes."""
    env = {"AWS_SECRET_ACCESS_KEY": "canary-of-the-shell", "DTS_WORKER_SLOTS": "1"}
    with up(tmp_path, env=env) as stack, stack.client() as admin:
        admin.namespaces.add("test")
        admin.functions.add("test/probe", PROBE)
        seen = admin.submit("test/probe", wait=60).result
    assert "canary-of-the-shell" not in json.dumps(seen)
    assert seen["names"] == ["DTS_CHILD"]  # by which children of children are found
    others = [
        link
        for link in seen["fds"]
        if not re.match(r"pipe:|/dev/null|/dev/pts|/proc/|anon_inode:\[event", link)
    ]
    assert others == []


def test_what_is_written_is_for_its_owner_alone(tmp_path: Path) -> None:
    """With the widest umask too, no file or folder below the data folder is open to anybody else."""
    before = os.umask(0)
    try:
        with up(tmp_path) as stack, stack.client() as admin:
            admin.namespaces.add("test")
            admin.functions.add("test/probe", PROBE)
            admin.submit("test/probe", wait=60)
            open_to_others = {
                str(path): oct(path.lstat().st_mode)
                for path in [stack.data, *stack.data.rglob("*")]
                if not path.is_symlink() and path.lstat().st_mode & 0o077
            }
    finally:
        os.umask(before)
    private = {
        each for each in open_to_others if not Path(each).is_relative_to(stack.data / "worker")
    }
    assert private == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_socket_refuses_another_user(tmp_path: Path) -> None:
    """By its mode; and where somebody opened that up, by who is at the other end."""
    knock = (
        "import os, socket, sys\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "sock = socket.socket(socket.AF_UNIX); sock.settimeout(10)\n"
        "try:\n"
        "    sock.connect('link.sock')\n"
        "    print('answer', sock.recv(100))\n"
        "except OSError as error:\n"
        "    print(type(error).__name__)\n"
    )

    def told(folder: Path) -> str:
        return subprocess.run(
            [sys.executable, "-c", f"import os; os.chdir({str(folder)!r})\n{knock}"],
            capture_output=True, text=True, timeout=60, check=False, env=environment(tmp_path),
        ).stdout.strip()  # fmt: skip

    with up(tmp_path) as stack, stack.client() as admin:
        assert told(stack.data) == "PermissionError"
        for path in (stack.data / "link.sock", stack.data):
            path.chmod(0o777)
        assert told(stack.data) == "answer b''"
        eventually(
            lambda: "a link was refused" in (stack.data / "logs" / "server.log").read_text(),
            what="the refusal is in the log",
        )
        assert admin.status().hosts[0].state == "up"
        with socket.socket(socket.AF_UNIX) as ours:
            ours.connect(str(stack.data / "link.sock"))

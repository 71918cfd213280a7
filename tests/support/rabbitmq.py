"""A RabbitMQ node of the tests' own: its own folders, ports and name daemon, on loopback, stopped by its pid.

    def test_something(rabbit: RabbitNode) -> None:
        url = rabbit.vhost()          # amqp://... to an empty virtual host

`DTS_TEST_AMQP_URL` names a running server instead (with its management API on port 15672, or DTS_TEST_AMQP_API); then
nothing is started, and what stops or kills the node is not to be had.
"""

import base64
import contextlib
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import psutil

from tests.support.ports import free_ports
from tests.support.processes import eventually

URL_VARIABLE: Final = "DTS_TEST_AMQP_URL"
API_VARIABLE: Final = "DTS_TEST_AMQP_API"
SCRIPTS: Final = Path("/usr/lib/rabbitmq/bin")
"""Debian's wrappers in /usr/sbin change the user; these run as whoever calls them."""
ADVICE: Final = "apt-get install --no-install-recommends rabbitmq-server"
START_SECONDS: Final = 120.0
STOP_SECONDS: Final = 60.0


class RabbitNode:
    """One node, or a server that is there already.

    Args:
        folder: For its data and logs.
        extra: Further lines of rabbitmq.conf.
        plugins: That are enabled beside the management API.
    """

    def __init__(self, folder: Path, *, extra: str = "", plugins: Sequence[str] = ()) -> None:
        self.folder = folder
        self.extra = extra
        self.plugins = ("rabbitmq_management", *plugins)
        self.host, self.user, self.password = "127.0.0.1", "guest", "guest"
        self.port, self.api_port, self.dist_port, self.epmd_port = free_ports(4)
        self.api = f"http://127.0.0.1:{self.api_port}"
        self.name = f"dts{self.port}@localhost"
        self.is_ours = True
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._vhosts: list[str] = []

    @classmethod
    def existing(cls, url: str) -> "RabbitNode":
        """A server that runs already, by the URL of an administrator."""
        node = cls(Path(os.devnull))
        found = urlsplit(url)
        node.host, node.port = found.hostname or "127.0.0.1", found.port or 5672
        node.user, node.password = found.username or "guest", found.password or "guest"
        node.api = os.environ.get(API_VARIABLE, f"http://{node.host}:15672")
        node.is_ours = False
        return node

    # --- its life

    @property
    def pid(self) -> int:
        """The broker's process."""
        return int((self.folder / "rabbit.pid").read_text().strip())

    def start(self) -> None:
        """Start it and wait until it serves AMQP and its management API."""
        self._configure()
        with (self.folder / "node.out").open("ab") as out:
            self._process = subprocess.Popen(
                [SCRIPTS / "rabbitmq-server"],
                env=self._environment() | {"RABBITMQ_ALLOW_INPUT": "1"},
                stdin=subprocess.PIPE,  # it ends when this closes, so it never outlives us
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        eventually(self.is_ready, seconds=START_SECONDS, what="RabbitMQ is ready")

    def is_ready(self) -> bool:
        """Whether it serves."""
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError(
                f"RabbitMQ ended: {(self.folder / 'node.out').read_text()[-3000:]}"
            )
        try:
            return bool(self.http("GET", "/api/overview").get("listeners")) and self._speaks_amqp()
        except OSError:
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, and the name daemon that it started."""
        self.kill(number)
        self._end_name_daemon()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """kill -9 of the broker, and nothing else."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)  # the script became the broker: exec
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)
        finally:
            assert process.stdin is not None
            process.stdin.close()

    def restart(self) -> None:
        """Start it again on the same data and ports, after `kill`, or after a stop that this does first."""
        self.kill(signal.SIGTERM)
        self.start()

    def stop_app(self) -> None:
        """Stop RabbitMQ within its process: connections are refused."""
        self.ctl("stop_app")

    def start_app(self) -> None:
        """And start it again."""
        self.ctl("start_app")
        eventually(self.is_ready, seconds=START_SECONDS, what="RabbitMQ is ready")

    def ctl(self, *arguments: str) -> str:
        """rabbitmqctl; what it printed."""
        done = subprocess.run(
            [SCRIPTS / "rabbitmqctl", *arguments], env=self._environment(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=START_SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}: {done.stdout} {done.stderr}"
        return done.stdout

    def _configure(self) -> None:
        for each in ("mnesia", "log", "home"):
            (self.folder / each).mkdir(parents=True, exist_ok=True)
        (self.folder / "enabled_plugins").write_text(f"[{','.join(self.plugins)}].\n")
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{self.port}\n"
            "management.tcp.ip = 127.0.0.1\n"
            f"management.tcp.port = {self.api_port}\n"
            "num_acceptors.tcp = 2\n"
            "log.file.level = warning\n"
            "disk_free_limit.absolute = 50MB\n"
            "raft.wal_max_size_bytes = 33554432\n"
            f"{self.extra}\n"
        )

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RABBITMQ_", "ERL_"))
        }
        return kept | {
            "HOME": str(self.folder / "home"),
            "PATH": f"{SCRIPTS}:{os.environ.get('PATH', os.defpath)}",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_PID_FILE": str(self.folder / "rabbit.pid"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "LANG": "C.UTF-8",
        }

    def _speaks_amqp(self) -> bool:
        with socket.create_connection((self.host, self.port), 2) as stream:
            stream.settimeout(2)
            stream.sendall(b"AMQP\x00\x00\x09\x01")
            return stream.recv(1) == b"\x01"

    def _end_name_daemon(self) -> None:
        """The daemon that Erlang started for our port alone."""
        for each in psutil.process_iter(["name"]):
            with contextlib.suppress(psutil.Error):
                if each.info["name"] == "epmd" and (
                    each.environ().get("ERL_EPMD_PORT") == str(self.epmd_port)
                ):
                    each.terminate()

    # --- what is in it

    def http(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the management API."""
        secret = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request = urllib.request.Request(
            self.api + path, method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {secret}", "Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = answer.read()
        return json.loads(content) if content else {}

    def vhost(self, name: str = "") -> str:
        """A fresh virtual host; the administrator's URL of it."""
        name = name or f"t{next(self._numbers)}-{secrets.token_hex(4)}"
        self.http("PUT", f"/api/vhosts/{quote(name, safe='')}", {})
        self._vhosts.append(name)
        self.allow(self.user, name)
        return self.url(name)

    def url(self, vhost: str, user: str = "", password: str = "") -> str:
        """amqp://... of a virtual host, for a user (the administrator by default)."""
        user, password = (user, password) if user else (self.user, self.password)
        login = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return f"amqp://{login}@{self.host}:{self.port}/{quote(vhost, safe='')}"

    def add_user(
        self, user: str, vhost: str, *, configure: str = "", write: str = "", read: str = "",
        password: str = "secret",
    ) -> str:  # fmt: skip
        """A user with these permissions (regular expressions) in a virtual host; the user's URL of it."""
        body = {"password": password, "tags": ""}
        self.http("PUT", f"/api/users/{quote(user, safe='')}", body)
        self.allow(user, vhost, configure, write, read)
        return self.url(vhost, user, password)

    def allow(
        self, user: str, vhost: str, configure: str = ".*", write: str = ".*", read: str = ".*"
    ) -> None:
        """Set a user's permissions in a virtual host."""
        where = f"/api/permissions/{quote(vhost, safe='')}/{quote(user, safe='')}"
        self.http("PUT", where, {"configure": configure, "write": write, "read": read})

    def connections(self, vhost: str) -> list[str]:
        """Names of the connections to a virtual host."""
        found = self.http("GET", f"/api/vhosts/{quote(vhost, safe='')}/connections")
        return [each["name"] for each in found if "name" in each]

    def end_connection(self, name: str) -> None:
        """Have the server close a connection."""
        with contextlib.suppress(urllib.error.HTTPError):  # gone meanwhile
            self.http("DELETE", f"/api/connections/{quote(name, safe='')}")

    def delete_queue(self, vhost: str, queue: str) -> None:
        """Delete a queue with whatever is in it."""
        self.http("DELETE", f"/api/queues/{quote(vhost, safe='')}/{quote(queue, safe='')}")

    def drop(self, url: str) -> None:
        """Delete the virtual host of a URL, with everything in it."""
        name = vhost_of(url)
        self._vhosts.remove(name)
        self.http("DELETE", f"/api/vhosts/{quote(name, safe='')}")

    def drop_all(self) -> None:
        """Delete every virtual host that was made here."""
        for name in list(self._vhosts):
            self.drop(self.url(name))


def vhost_of(url: str) -> str:
    """The name of a URL's virtual host."""
    return unquote(urlsplit(url).path[1:])


def is_installed() -> bool:
    """Whether a node of our own can be started."""
    return (SCRIPTS / "rabbitmq-server").exists()


def is_to_be_had() -> bool:
    """Whether there is a server, or the program to start one."""
    return URL_VARIABLE in os.environ or is_installed()


@contextlib.contextmanager
def private_node(extra: str = "", *, plugins: Sequence[str] = ()) -> Iterator[RabbitNode]:
    """A node for the length of a block, to be stopped and killed as a test likes."""
    folder = Path(tempfile.mkdtemp(prefix="dts-rabbit-"))
    node = RabbitNode(folder, extra=extra, plugins=plugins)
    try:
        node.start()
        yield node
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def shared_node() -> Iterator[RabbitNode]:
    """The server of DTS_TEST_AMQP_URL, or a private node."""
    url = os.environ.get(URL_VARIABLE, "")
    if not url:
        with private_node() as node:
            yield node
        return
    node = RabbitNode.existing(url)
    try:
        yield node
    finally:
        node.drop_all()


def _measure() -> None:
    """How long a node takes to start, to kill and to start again: `python -m tests.support.rabbitmq`."""
    began = time.monotonic()
    with private_node() as node:
        print(f"started in {time.monotonic() - began:.1f} s on {node.port}, pid {node.pid}")
        began = time.monotonic()
        print(node.vhost(), f"{time.monotonic() - began:.2f} s")
        began = time.monotonic()
        node.kill()
        node.restart()
        print(f"killed and back in {time.monotonic() - began:.1f} s")
        began = time.monotonic()
        node.stop_app()
        node.start_app()
        print(f"stop_app, start_app {time.monotonic() - began:.1f} s")
        memory = psutil.Process(node.pid).memory_info().rss >> 20
        print(f"{memory} MiB")
        began = time.monotonic()
    print(f"stopped in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    _measure()

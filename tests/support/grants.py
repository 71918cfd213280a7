"""Users of RabbitMQ with no more than they need, made by `dts broker grant` as an administrator does."""

import json
import os
from pathlib import Path
from unittest import mock

from click.testing import CliRunner

from dts_core.brokers.rabbitmq.permissions import CONTROL_USER, user_of
from dts_core.cli.broker import broker
from tests.support.rabbitmq import RabbitNode


class Grants:
    """Makes users for one virtual host; each method returns the URL of one.

    Args:
        node: Where.
        url: Of the virtual host, for an administrator.
        folder: For the files with the passwords.
    """

    def __init__(self, node: RabbitNode, url: str, folder: Path) -> None:
        self._node = node
        self._url = url
        self._folder = folder

    def control(self) -> str:
        """For servers and daemons."""
        return self._grant("--control")

    def worker(self, host: str, *queues: str) -> str:
        """For the workers of one host, on these queues, `default` when none is named."""
        return self._grant("--host", host, *[f"--queue={queue}" for queue in queues])

    def _grant(self, *who: str) -> str:
        options = ["--url", self._url, "--out", str(self._folder), "--json"]
        options += ["--management", self._node.api, "--management-user", self._node.user]
        user = user_of(who[1]) if who[0] == "--host" else CONTROL_USER
        if not (self._folder / f"{user}.password").exists():
            options.append("--rotate")  # of a test before, on the same node
        with mock.patch.dict(os.environ, {"DTS_MANAGEMENT_PASSWORD": self._node.password}):
            done = CliRunner().invoke(broker, ["grant", *who, *options], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        line = Path(json.loads(done.output)["env"]).read_text("utf-8").strip()
        return line.partition("=")[2]

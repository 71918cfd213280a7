"""Workers launched on virtual hosts: their command line, and the session that it runs in."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from dts_core.brokers.link_policy import Pass
from dts_core.model import VirtualHost
from dts_core.remote.remotes import Remotes
from dts_core.services.access import Caller
from dts_core.settings import GatewaySettings
from dts_core.ssh.target import Target

if TYPE_CHECKING:  # slow to load
    from dts_core.ssh.launch import Launched

__all__ = ["Launching", "command_of"]

STDIO_URL: Final = "link+stdio:"
KEYS: Final = "DTS_SIGNING_PUBLIC_KEYS"
_FIND: Final = """
key=$1 python=$2
shift 2
for base in "$HOME/.local/share/dts-host" /; do
  program=$base/program config=$base/config
  [ "$base" != / ] || program=/opt/dts-worker config=/etc/dts-worker
  if [ -x "$program/current/bin/dts-worker" ] && [ -r "$config/worker.toml" ]; then
    exec "$program/current/bin/dts-worker" -c "$config/worker.toml" "$@"
  fi
done
[ -z "$key" ] || export DTS_SIGNING_PUBLIC_KEYS="${DTS_SIGNING_PUBLIC_KEYS:-$key}"
exec "$python" -m dts_worker.cli "$@"
"""
"""Finds what a set-up has left there, see `dts_core.ssh.setup.wish`; else a worker that the host's python knows."""


class Launching:
    """Starts workers, for a gateway.

    Args:
        remotes: The sessions, its own: each worker has a connection to itself.
        caller: In whose name secrets are opened.
        settings: `[gateway]`.
        variables: What a worker finds in its environment, nothing secret among it.
        key: The public key of whoever signs functions here; empty: the hosts' own settings name it.
    """

    def __init__(
        self,
        remotes: Remotes,
        caller: Caller,
        settings: GatewaySettings,
        variables: Mapping[str, str],
        key: str = "",
    ) -> None:
        self._remotes = remotes
        self._caller = caller
        self._settings = settings
        self._variables = variables
        self._key = key
        self._targets: dict[str, tuple[tuple[tuple[str, int], ...], Target]] = {}

    @asynccontextmanager
    async def __call__(self, vhost: VirtualHost, own: Pass) -> "AsyncIterator[Launched]":
        """A worker for the length of a block.

        Raises:
            DtsError: Why there is none: the host, its key, its login, its secrets.
        """
        target = await self._target(vhost)
        from dts_core.ssh.launch import launch

        argv = command_of(target.python, own, self._settings, self._variables, self._key)
        async with (
            self._remotes.sessions.session(target) as session,
            launch(session, argv) as launched,
        ):
            yield launched

    async def _target(self, vhost: VirtualHost) -> Target:
        """Its target; the one of before, where nothing changed, so that not each try opens the secrets again."""
        revisions = await self._remotes.revisions(self._caller, vhost.id)
        known = self._targets.get(vhost.id)
        if known is not None and known[0] == revisions:
            return known[1]
        target = await self._remotes.target(self._caller, vhost.id, why="its worker is launched")
        self._targets[vhost.id] = revisions, target
        return target


def command_of(
    python: str, own: Pass, settings: GatewaySettings, variables: Mapping[str, str], key: str = ""
) -> list[str]:
    """The words that start a worker there.

    Args:
        python: The virtual host's.
        own: Who it is.
        settings: `[gateway]`.
        variables: For its environment.
        key: The public key that it trusts where no settings of the host's own are used.
    """
    queues = [word for queue in own.queues for word in ("--queue", queue)]
    options = ["--url", STDIO_URL, "--host", own.host, "--name", own.worker, *queues]
    given = dict(variables)
    if settings.worker:
        command = settings.worker
        if key:
            given.setdefault(KEYS, key)
    else:
        command = ["sh", "-c", _FIND, "dts-worker", key, python]
    setting = ["env", *(f"{name}={value}" for name, value in given.items())] if given else []
    return [*setting, *command, *options]

"""One pool of SSH sessions for a process of the control side, and the way from a virtual host to its target."""

import asyncio
import importlib
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, Protocol, Self

import msgspec

from dts_core.errors import InvalidInput
from dts_core.model import VirtualHost
from dts_core.remote.making import cache_of, given_of, pool_settings
from dts_core.remote.targets import (
    check_usable,
    credentials_of,
    has_stored,
    looked_at,
    target_of,
)
from dts_core.services.access import Caller
from dts_core.services.vhosts import Vhosts
from dts_core.services.vhostways import WAY_MAX
from dts_core.settings import RemoteSettings, SetupSettings
from dts_core.ssh.target import Credentials, Target

if TYPE_CHECKING:  # asyncssh is slow to load, and most processes never reach a host
    from dts_core.remote.packages import Packages
    from dts_core.ssh.asking import Asking
    from dts_core.ssh.calls import Calls
    from dts_core.ssh.pool import Sessions

__all__ = ["Person", "Remotes"]

_MODULES: Final = ("dts_core.ssh.calls", "dts_core.ssh.pool")


class Person(msgspec.Struct, frozen=True):
    """How whoever is asked wants to log in; with neither, with what is stored and their answers."""

    own_keys: tuple[str, ...] = ()
    """`TYPE BASE64` of their SSH agent's keys, in place of what is stored."""
    user: str = ""
    """Log in as this user of the hosts; empty: as the virtual host says."""


class HasVhosts(Protocol):
    """The part of the services that is needed here."""

    @property
    def vhosts(self) -> Vhosts:
        """The virtual hosts."""
        ...


class Remotes:
    """An async context manager; closes all sessions at its end. The SSH library is loaded with the first target.

    Args:
        services: Where virtual hosts and their secrets are.
        settings: `[ssh]`.
        asking: Who answers what hosts ask; None: nobody.
    """

    def __init__(
        self, services: HasVhosts, settings: RemoteSettings, asking: "Asking | None" = None
    ) -> None:
        self._services = services
        self._vhosts = services.vhosts
        self._settings = settings
        self._asking = asking
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._sessions: Sessions | None = None
        self._calls: Calls | None = None
        self._is_open = False
        self._person: Person | None = None
        self._packages: Packages | None = None

    @property
    def prompt_seconds(self) -> float:
        """In which a person answers."""
        return self._settings.prompt_seconds

    @property
    def asking(self) -> "Asking | None":
        """Who answers what hosts ask; None: nobody."""
        return self._asking

    def of_person(self, asking: "Asking", person: "Person") -> "Remotes":
        """A pool apart, for one run in which a person is asked: nobody else comes to use what they logged in to."""
        made = Remotes(self._services, self._settings, asking)
        made._person = person
        return made

    async def __aenter__(self) -> Self:
        self._is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        async with self._opening:
            self._is_open = False
            self._sessions = self._calls = None
            await self._stack.aclose()

    @property
    def sessions(self) -> "Sessions":
        """The pool. Only after `target` or `open`."""
        assert self._sessions is not None, "no target was asked for yet"
        return self._sessions

    @property
    def calls(self) -> "Calls":
        """Functions and guarded commands over the pool. Only after `target` or `open`."""
        assert self._calls is not None, "no target was asked for yet"
        return self._calls

    async def open(self) -> None:
        """Load the SSH library and make the pool, unless that was done. `target` does it too."""
        async with self._opening:
            if self._calls is not None:
                return
            assert self._is_open, "Remotes is entered before it is used"
            for name in _MODULES:  # a tenth of a second that the loop need not wait
                await asyncio.to_thread(importlib.import_module, name)
            from dts_core.ssh.calls import Calls
            from dts_core.ssh.pool import Sessions

            pool, calls = pool_settings(self._settings)
            sessions = await self._stack.enter_async_context(Sessions(pool, self._asking))
            self._calls = await self._stack.enter_async_context(Calls(sessions, calls))
            self._sessions = sessions

    async def target(self, caller: Caller, vhost_id: str, *, why: str) -> Target:
        """How to log in to a virtual host, its whole way with it; opening its secrets is recorded.

        A virtual host that was changed comes to another `Target.key`: no connection of before is used for it.

        Args:
            caller: On whose behalf.
            vhost_id: Of the virtual host.
            why: What for, as the records say it.

        Raises:
            NotFound: There is none, or one of its way is gone.
            InvalidInput: It, or one of its way, is disabled, or there is nothing to log in with.
            VaultError: There is no vault, or a secret does not open.
            ConfigError: A file that it names is not there, or not private.
        """
        target = await self._led_to(caller, vhost_id, why=why, end=vhost_id)
        return target if self._person is None else _as_person(target, self._person)

    async def _led_to(self, caller: Caller, vhost_id: str, *, why: str, end: str) -> Target:
        """The target of a virtual host; to the `end` a person's own keys are shown in place of what is stored."""
        await self.open()
        way = await self._way(caller, vhost_id)
        target: Target | None = None
        for vhost in reversed(way):
            shown = await self._shown(caller, vhost, is_end=vhost.id == end, why=why)
            target = target_of(vhost, shown, target)
        assert target is not None
        return target

    async def _shown(
        self, caller: Caller, vhost: VirtualHost, *, is_end: bool, why: str
    ) -> Credentials:
        """What is shown to one host of a way: a person's own keys only where the way ends, or nothing is stored."""
        person = self._person
        stored = has_stored(vhost, has_agent=bool(self._settings.agent_socket))
        if person is not None and person.own_keys and (is_end or not stored):
            return Credentials(own_keys=person.own_keys)
        opened = await self._vhosts.credentials(caller, vhost.id, why=why)
        return credentials_of(
            vhost, opened, self._settings.agent_socket, may_ask=person is not None
        )

    async def showing(self, caller: Caller, vhost_id: str, *, why: str) -> Target:
        """A target that a session never comes of: every key is refused with its fingerprint, nothing is shown there.

        Of a host with a pin the key raises HostKeyChanged when it is another one, and HostKeyRejected when it is that.

        Args:
            caller: On whose behalf.
            vhost_id: Of the virtual host; it may be disabled, or without credentials.
            why: What for, as the records of the opened secrets of its way say it.

        Raises:
            NotFound: There is none.
            InvalidInput: Its way cannot be used.
            VaultError: See `target`.
        """
        await self.open()
        vhost = await self._vhosts.load(caller, vhost_id)
        jump = None
        if vhost.jump:
            jump = await self._led_to(caller, vhost.jump, why=why, end=vhost_id)
        return looked_at(vhost, jump)

    def packages(self, settings: SetupSettings) -> "Packages":
        """Packages of functions on its hosts; one for all who ask."""
        if self._packages is None:
            from dts_core.remote.packages import Packages

            self._packages = Packages(cache_of(settings) / "functions", given_of(settings))
        return self._packages

    async def revisions(self, caller: Caller, vhost_id: str) -> tuple[tuple[str, int], ...]:
        """A virtual host and those that its way leads through, each with its revision as it is now.

        Raises as `target`, save for what the vault has to say.
        """
        way = await self._way(caller, vhost_id)
        return tuple((vhost.id, vhost.revision) for vhost in way)

    async def _way(self, caller: Caller, vhost_id: str) -> list[VirtualHost]:
        """The virtual host, and those that the way leads through, the nearest to it first."""
        way: list[VirtualHost] = []
        following = vhost_id
        while following:
            if len(way) > WAY_MAX or any(each.id == following for each in way):
                raise InvalidInput(
                    f"the way to virtual host {vhost_id} is a circle, or too long.",
                    fields={"jump": "leads in a circle"},
                    advice="Give it, or one of its way, another jump.",
                )
            vhost = await self._vhosts.load(caller, following)
            check_usable(
                vhost,
                for_id=vhost_id,
                has_agent=bool(self._settings.agent_socket),
                may_ask=self._person is not None,
            )
            way.append(vhost)
            following = vhost.jump
        return way


def _as_person(target: Target, person: Person) -> Target:
    """The end of a way, logged in to as they say: another connection than one that leads through the same host."""
    if not (person.own_keys or person.user):
        return target
    user = person.user or target.user
    return msgspec.structs.replace(target, user=user, version=f"{target.version} as a person")

"""A worker on a host that has sh and Python: looked at, planned, made, and seen to live."""

from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from dts_core.builtin import Calling, current
from dts_core.builtin.person import remotes_of
from dts_core.builtin.vhost.heartbeat import Heard, first_heartbeat
from dts_core.builtin.vhost.hosts import Board, caller_of, on_hosts
from dts_core.builtin.vhost.logins import authorities, login_of
from dts_core.builtin.vhost.sudo import sudo_of
from dts_core.errors import DtsError, SetupFailed
from dts_core.model import VirtualHost
from dts_core.remote.making import cache_of, given_of

if TYPE_CHECKING:
    from dts_core.remote import Remotes
    from dts_core.ssh.setup.setup import Plan, Setup
    from dts_core.ssh.setup.steps import PlanStep
    from dts_core.ssh.setup.wish import Wish
    from dts_core.ssh.target import Target

__all__ = ["main", "setup_of"]

WARNING: Final = 30


async def main(
    vhosts: list[str],
    dry_run: bool = False,
    scope: Literal["user", "system"] = "user",
    queues: list[str] | None = None,
    public_keys: list[str] | None = None,
    at_once: int = 20,
    batch: int = 0,
    failures_max: int | None = None,
    wait_seconds: float = 60.0,
    ask: bool = False,
    own_keys: list[str] | None = None,
    user: str = "",
) -> dict[str, Any]:
    """Make workers of virtual hosts: what is so already is left alone, what was cut off goes on.

    Args:
        vhosts: Ids.
        dry_run: Only tell each step, how it is and how it would be.
        scope: user: in the home of who logs in; system: for the machine, which needs root or sudo.
        queues: That they take from; `default` when missing.
        public_keys: Whose functions they run; this control side's when missing.
        at_once: Most hosts at the same time.
        batch: Hosts of a batch; 0: all are one.
        failures_max: Hosts that may fail; with one more nothing new is begun.
        wait_seconds: How long to wait for each first heartbeat.
        ask: Whether whoever called is asked for what is not stored, the password of sudo too.
        own_keys: Public keys of their SSH agent, in place of what is stored; each signature is asked of them.
        user: Log in as this user of the hosts.

    Returns:
        hosts: id -> state, facts, steps (name, is, will, changes), changed, warnings, or why; and ids by state.
    """
    calling = current()
    await calling.remotes.open()
    from dts_core.ssh.fanout import FanOutPlan

    board = Board(calling, len(vhosts))
    wanted = _Wanted(scope, tuple(queues or ["default"]), public_keys, wait_seconds)
    plan = FanOutPlan(at_once=at_once, batches=(batch,) if batch else (), failures_max=failures_max)
    async with remotes_of(calling, ask=ask, own_keys=own_keys, user=user) as remotes:
        await remotes.open()
        setup = setup_of(calling, remotes)

        async def one(target: "Target") -> dict[str, Any]:
            return await _one(calling, remotes, board, setup, target, wanted, dry_run=dry_run)

        return await on_hosts(calling, vhosts, one, plan, board=board, remotes=remotes)


class _Wanted(msgspec.Struct, frozen=True):
    scope: Literal["user", "system"]
    queues: tuple[str, ...]
    public_keys: list[str] | None
    wait_seconds: float


def setup_of(calling: Calling, remotes: "Remotes") -> "Setup":
    """Sets hosts up, over the job's sessions. Only after `remotes.open`."""
    from dts_core.ssh.setup.setup import Setup
    from dts_core.ssh.setup.wheels.release import Shelf

    settings = calling.services.setups.settings
    return Setup(remotes.sessions, Shelf(cache_of(settings), given_of(settings)))


async def _one(
    calling: Calling,
    remotes: "Remotes",
    board: Board,
    setup: "Setup",
    target: "Target",
    wanted: _Wanted,
    *,
    dry_run: bool,
) -> dict[str, Any]:
    vhost = await calling.services.vhosts.load(caller_of(calling), target.id)
    wish = await _wish(calling, vhost, wanted)
    sudo = sudo_of(calling, remotes, target, vhost, wanted.scope)
    if dry_run:
        plan = await setup.plan(target, wish, sudo=sudo)
        return _shown(plan, [])
    if vhost.mode == "agent":
        await _check_launched(calling, vhost)
    heard = Heard(calling, vhost)
    told = 0

    def on_step(step: "PlanStep", is_done: bool) -> None:
        nonlocal told
        told += is_done
        text = f"{step.name}: {'done' if is_done else f'{step.is_}; will be {step.will}'}"
        board.say(target.id, text, 0.1 + 0.1 * told)

    board.say(target.id, "looking at it", 0.05)
    plan = await setup.apply(target, wish, sudo=sudo, progress=on_step)
    for warning in plan.warnings:
        board.say(target.id, warning, 0.8, level=WARNING)
    await heard.apply(is_changed=bool(plan.changes))
    board.say(target.id, "waiting for its heartbeat", 0.9)
    await first_heartbeat(setup, target, wish, heard, sudo, wanted.wait_seconds)
    board.say(target.id, "is a worker" if plan.changes else "is a worker, as it was", 1.0)
    return _shown(plan, plan.changes)


async def _check_launched(calling: Calling, vhost: VirtualHost) -> None:
    """Let pass a host whose agent the gateway can launch: it logs in by itself, and again and again."""
    try:
        await calling.remotes.revisions(caller_of(calling), vhost.id)
    except DtsError as error:
        raise SetupFailed(
            f"its agent could not be launched, for nobody is there then to answer: {error}",
            host=vhost.id,
            advice="Store what it logs in with, or set its mode to service.",
        ) from error


async def _wish(calling: Calling, vhost: VirtualHost, wanted: _Wanted) -> "Wish":
    from dts_core.ssh.setup.wish import Wish

    setups = calling.services.setups
    keys = setups.public_keys if wanted.public_keys is None else wanted.public_keys
    is_service = vhost.mode == "service"
    login = None
    if is_service:
        login = await login_of(vhost.id, wanted.queues, setups.settings, setups.link)
    return Wish(
        host=vhost.id,
        mode="service" if is_service else "agent",
        scope=wanted.scope,
        broker_url=login,
        broker_ca=await authorities(setups.settings, setups.link) if is_service else "",
        queues=wanted.queues,
        public_keys=tuple(keys),
        settings=_settings(setups.link.mq, is_signed=bool(keys)),
    )


def _settings(queues: Any, *, is_signed: bool) -> dict[str, dict[str, Any]]:
    """What a worker has to agree on with the control side, where that is not the default."""
    names = {name: value for name, value in msgspec.structs.asdict(queues).items() if value != name}
    found: dict[str, dict[str, Any]] = {"broker.mq": names} if names else {}
    return found if is_signed else {**found, "signing": {"required": False}}


def _shown(plan: "Plan", changed: list[str]) -> dict[str, Any]:
    return {
        "facts": msgspec.to_builtins(plan.facts),
        "manager": plan.manager,
        "steps": msgspec.to_builtins(plan.steps),
        "changed": changed,
        "cut_at": plan.cut_at,
        "warnings": plan.warnings,
    }

"""First contact: which key a virtual host shows, and whether a person says that it is the right one."""

import logging
from datetime import datetime
from typing import Any, Final

import msgspec

from dts_core.clock import Clock
from dts_core.errors import Conflict, DtsError, HostKeyChanged, InvalidInput, NotFound
from dts_core.model import Alarm, Change, Job
from dts_core.names import new_id
from dts_core.services.access import Caller
from dts_core.services.admin import AdminWriter
from dts_core.services.events import EventBus
from dts_core.services.hostchoice import choose_hosts
from dts_core.services.hostruns import SCAN
from dts_core.services.jobs import Jobs
from dts_core.services.mail import MAILER, Mail, post
from dts_core.services.mailaddress import ADMINISTRATORS
from dts_core.services.mailtext import OPENED, alarm_letter
from dts_core.services.person import person_arguments
from dts_core.services.vhosts import VHOSTS, Vhosts
from dts_core.ssh.base import fingerprint
from dts_core.states import FINAL
from dts_core.stores.base import Store
from dts_core.text import clean, one_line
from dts_core.views import SubmitRequest, Written
from dts_core.views.vhosts import ScanRequest

__all__ = ["HostTrust"]

RULE: Final = "host_key"
"""Name of the alarm of a host that shows another key than the pinned one."""
TRUST: Final = "trust"
FORGET: Final = "forget-key"
_OPEN_MAX: Final = 500
_log = logging.getLogger(__name__)


class _Shown(msgspec.Struct, frozen=True):
    """What a scan saw of one host."""

    state: str
    key: str = ""


class _Scan(msgspec.Struct, frozen=True):
    hosts: dict[str, _Shown] = {}


class HostTrust:
    """Only administrators come here.

    Args:
        store: For alarms.
        clock: For their times.
        vhosts: Where keys are pinned.
        jobs: Runs scans.
        writer: Records what is confirmed.
        bus: Tells of alarms.
        mail: Mails them.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        vhosts: Vhosts,
        jobs: Jobs,
        writer: AdminWriter,
        bus: EventBus,
        mail: Mail,
    ) -> None:
        self._store = store
        self._clock = clock
        self._vhosts = vhosts
        self._jobs = jobs
        self._writer = writer
        self._bus = bus
        self._mail = mail

    async def scan(
        self, caller: Caller, request: ScanRequest, *, key: str = "", digest: bytes = b""
    ) -> Job:
        """Start the job that looks at the keys of some hosts; its result has a fingerprint for each.

        Raises:
            InvalidInput: There is no such host.
        """
        hosts = await choose_hosts(self._store, request.hosts, request.labels)
        arguments = {"hosts": hosts, **person_arguments(request)}
        submission = SubmitRequest(
            function=SCAN, kwargs=msgspec.Raw(msgspec.json.encode(arguments))
        )
        return await self._jobs.submit(caller, submission, key=key, digest=digest)

    async def trust(self, caller: Caller, vhost_id: str, told: str, scan: str) -> Written:
        """Pin the very key that a scan has seen and a person has compared.

        Args:
            caller: Who confirms it.
            vhost_id: Of the virtual host.
            told: The fingerprint that was compared, `SHA256:...`.
            scan: Id of the job of the scan.

        Raises:
            NotFound: No such host, or no such scan of it.
            InvalidInput: The scan saw another key, or none.
            Conflict: A key is pinned already.
        """
        vhost = await self._vhosts.load(caller, vhost_id)
        shown = await self._seen(caller, vhost_id, scan)
        if fingerprint(shown) != told.strip():
            raise InvalidInput(
                f"the scan saw the key {fingerprint(shown)} of {vhost_id}, not the one that is confirmed.",
                fields={"fingerprint": "not the one that the scan saw"},
                advice="Compare again; nothing was pinned.",
            )
        if vhost.known_host_key:
            error = Conflict(
                f"a key of {vhost_id} is pinned already.",
                advice="If it was set up anew, remove that first: `dts admin vhosts forget-key`.",
            )
            await self._writer.refused(caller, VHOSTS.name, vhost_id, TRUST, error)
            raise error
        ops: dict[str, Any] = {"fingerprint": [None, told.strip()], "scan": [None, scan]}
        await self._writer.record(caller, VHOSTS.name, vhost_id, TRUST, ops)
        return await self._pin(caller, vhost_id, shown, vhost.revision)

    async def forget(self, caller: Caller, vhost_id: str, reason: str) -> Written:
        """Remove what is pinned of a host, so that a new key can be confirmed; its alarm is over.

        Raises:
            NotFound: There is no such host.
            Conflict: Nothing is pinned.
        """
        vhost = await self._vhosts.load(caller, vhost_id)
        if not vhost.known_host_key:
            raise Conflict(f"no key of {vhost_id} is pinned.", advice="Scan it, and trust its key.")
        told = [fingerprint(line) for line in vhost.known_host_key.splitlines()]
        ops: dict[str, Any] = {"reason": [None, clean(reason, 400)], "fingerprints": [told, None]}
        await self._writer.record(caller, VHOSTS.name, vhost_id, FORGET, ops)
        written = await self._pin(caller, vhost_id, "", vhost.revision)
        await self._close(vhost_id)
        return written

    async def changed(self, error: HostKeyChanged) -> None:
        """Raise the alarm of a host that shows another key than the pinned one, once while it is open. Never raises."""
        alarm = Alarm(
            id=new_id(),
            host=error.host,
            rule=RULE,
            level="critical",
            opened_at=self._clock.now(),
            text=one_line(str(error), 400),
        )
        try:
            if not await self._store.save_alarm(alarm):
                return
            await self._bus.publish([Change("alarms", alarm.id, "open")])
            if self._mail.is_on:
                letter = alarm_letter(alarm, OPENED)
                await post(
                    self._jobs, MAILER, [ADMINISTRATORS], letter, key=f"alarm.{alarm.id}.{OPENED}"
                )
        except DtsError as failure:
            _log.warning("the alarm of %s is not kept: %s", clean(error.host, 120), failure)

    async def _pin(self, caller: Caller, vhost_id: str, key: str, revision: int) -> Written:
        fields = {"known_host_key": key, "revision": revision}
        return await self._vhosts.update(caller, vhost_id, fields)

    async def _seen(self, caller: Caller, vhost_id: str, scan: str) -> str:
        """The key that a scan has seen of a host."""
        job = await self._jobs.get(caller, scan)
        if job.function != SCAN:
            raise NotFound(f"job {job.id} is no scan of host keys.")
        if job.state not in FINAL:
            raise Conflict(f"scan {job.id} is not over.", advice="Wait for its end.")
        try:
            found = msgspec.json.decode(job.result or b"{}", type=_Scan)
        except msgspec.DecodeError:
            found = _Scan()
        shown = found.hosts.get(vhost_id)
        if shown is None or not shown.key:
            raise NotFound(f"scan {job.id} saw no key of {clean(vhost_id, 120)}.")
        return shown.key

    async def _close(self, vhost_id: str) -> None:
        now: datetime = self._clock.now()
        for alarm in await self._store.alarms(open_only=True, limit=_OPEN_MAX):
            if (alarm.host, alarm.rule) == (vhost_id, RULE):
                await self._store.save_alarm(msgspec.structs.replace(alarm, closed_at=now))
                await self._bus.publish([Change("alarms", alarm.id, "closed")])

"""What the far end of a set-up answers, played on the real application: each job ends as a test says."""

import json
from datetime import timedelta
from typing import Any

import msgspec

from dts_core.model import Host, HostRun, JobError, LogRecord, Prompt, Wording
from dts_core.sealed import OpeningKey
from dts_core.sealed.answers import open_answers
from dts_core.ssh.base import fingerprint
from dts_core.states import FINAL
from dts_core.testing import wait_until
from tests.support.beats import make_beat
from tests.support.server import Server
from tests.support.sshkeys import private_key, public_line

HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m evil \u202eback"
FACTS: dict[str, Any] = {
    "system": "Linux", "os": "Debian GNU/Linux 12", "arch": "x86_64", "libc": "glibc 2.36",
    "python": "/usr/bin/python3", "python_version": "3.11.2", "user": "deploy", "home": "/home/deploy",
    "cores": 4, "memory_bytes": 8 << 30, "disk_free_bytes": 40 << 30, "systemd": False, "sudo": "none",
    "skew_seconds": 0.2,
}  # fmt: skip
STEPS = (
    ("folders", "program is missing", "~/.local/share/dts-host/program"),
    ("program", "nothing", "release 0.1.0 (12 wheels, 4.2 MiB), is sent"),
    ("config", "worker.toml is missing", "worker.toml in ~/.local/share/dts-host/config"),
)


class FarSide:
    """One host, and the jobs on it.

    Args:
        server: The application.
        host: Id of the virtual host.
    """

    def __init__(self, server: Server, host: str = "web-1") -> None:
        self.server, self.host = server, host
        self.key = public_line(private_key())
        self.fingerprint = fingerprint(self.key)

    # --- jobs -----------------------------------------------------------------------------------

    async def job(self, function: str, *, count: int = 1) -> dict[str, Any]:
        """The newest job of a function, once there are so many and it has not ended."""
        found: list[dict[str, Any]] = []

        async def is_there() -> bool:
            answer = await self.server.call("GET", "/jobs", params={"function": function})
            found[:] = answer.json()["items"]
            return len(found) >= count and found[0]["state"] not in FINAL

        await wait_until(is_there, 60, what=f"{count} jobs of {function}")
        return found[0]

    async def shows(self, *, count: int = 1, state: str = "unknown", **told: str) -> None:
        """The scan sees its key, or what else is told."""
        seen = {"state": state, "type": "ssh-ed25519", "fingerprint": self.fingerprint} | told
        if state in ("unknown", "changed"):
            seen |= {"key": self.key}
        await self._done(
            await self.job("dts/vhost.scan", count=count), {"hosts": {self.host: seen}}
        )

    async def lets_in(self, *, count: int = 1, state: str = "ok", why: str = "") -> None:
        """The try of the login ends so."""
        job = await self.job("dts/sshrpc", count=count)
        now = self.server.clock.now()
        error = JobError(type=state, message=why) if why else None
        run = HostRun(
            job=job["id"], host=self.host, epoch=1, seq=1, state=state, error=error, started_at=now,
            finished_at=now, exit_status=0 if state == "ok" else None,
        )  # fmt: skip
        assert await self.server.store.save_runs([run]) == [True]
        await self._done(job, {})

    async def asks(self, job: dict[str, Any], *prompts: Prompt, person: str = "root") -> list[str]:
        """The login asks who started it; returns what they answered."""
        key, wording = OpeningKey.new(), Wording(host=self.host, prompts=list(prompts))
        questions = self.server.services.questions
        epoch = await self.server.begin(job["id"])
        asked = await questions.offer(job["id"], epoch, person, wording, str(key.public), 600)
        boxes: list[bytes] = []

        async def is_answered() -> bool:
            found = await questions.find(asked.id)
            boxes[:] = [found.box] if found is not None and found.state == "answered" else []
            return bool(boxes)

        await wait_until(is_answered, 60, what="an answer")
        return open_answers(key, asked.id, wording, boxes[0])

    async def planned(self, *, count: int = 1, changes: bool = True, **facts: Any) -> None:
        """The look ends with facts and steps."""
        job = await self.job("dts/vhost.init", count=count)
        assert job["kwargs"]["dry_run"] is True, job
        await self._done(job, {"hosts": {self.host: self._told(changes, [], facts)}})

    async def made(self, *, count: int = 1, changes: bool = True) -> None:
        """The set-up ends well."""
        job = await self.job("dts/vhost.init", count=count)
        assert job["kwargs"]["dry_run"] is False, job
        changed = [name for name, _, _ in STEPS] if changes else []
        await self._done(job, {"hosts": {self.host: self._told(changes, changed, {})}})

    async def fails(self, function: str, why: str, *, count: int = 1) -> None:
        """The newest job of a function ends otherwise."""
        job = await self.job(function, count=count)
        await self.server.fail(job["id"], JobError(type="setup_refused", message=why))

    async def removed(self, *, count: int = 1) -> None:
        """The removal ends well."""
        job = await self.job("dts/vhost.remove", count=count)
        await self._done(job, {"hosts": {self.host: {"state": "ok", "removed": True}}})

    async def says(self, job: dict[str, Any], *texts: str) -> None:
        """Lines of a job's log."""
        now = self.server.clock.now()
        records = [
            LogRecord(at=now, host="control", source="job", level=20, text=text, job=job["id"])
            for text in texts
        ]
        await self.server.store.add_logs(records)

    def _told(self, changes: bool, changed: list[str], facts: dict[str, Any]) -> dict[str, Any]:
        steps = [
            {"name": name, "is": is_ if changes else will, "will": will, "changes": changes}
            for name, is_, will in STEPS
        ]
        return {
            "state": "ok", "facts": FACTS | facts, "manager": "supervised", "steps": steps, "changed": changed,
            "cut_at": "", "warnings": ["systemd does not run there: after a reboot the worker has to be set up again"],
        }  # fmt: skip

    async def _done(self, job: dict[str, Any], result: dict[str, Any]) -> None:
        await self.server.run(job["id"], json.dumps(result).encode())

    # --- the host -------------------------------------------------------------------------------

    async def beats(self) -> None:
        """It is heard."""
        now = self.server.clock.now() + timedelta(seconds=1)
        beat = msgspec.structs.replace(make_beat(self.host), at=now, interval_seconds=60.0)
        host = Host(name=self.host, state="up", first_seen=now, last_beat=now, beat=beat)
        await self.server.store.save_hosts([host])

    async def document(self) -> dict[str, Any]:
        """Its virtual host."""
        answer = await self.server.call("GET", f"/admin/vhosts/{self.host}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

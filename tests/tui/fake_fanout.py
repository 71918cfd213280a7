"""A server of which one job goes to many hosts; what is left of it when the console asks anew is here."""

import hashlib
from datetime import timedelta
from typing import Any

import msgspec

from dts_core.model import JobError, Prompt, Wording
from dts_core.sealed import OpeningKey
from dts_core.views import JobView
from dts_core.views.questions import AnswerTaken, QuestionList, QuestionView
from dts_core.views.ssh import HostOutputView, HostRunList, HostRunView, SshStarted
from tests.tui.fake_server import START, FakeServer, make_job

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m evil \u202eback"


class FanOutServer(FakeServer):
    """`finish` and `begin` move its hosts; everything it was asked is in `requests`."""

    def __init__(self, hosts: list[str], argv: list[str] | None = None) -> None:
        super().__init__()
        self.runs: dict[str, dict[str, HostRunView]] = {}
        self.outputs: dict[tuple[str, str], HostOutputView] = {}
        self.questions: list[QuestionView] = []
        self.answers: list[dict[str, Any]] = []
        self.fan = self.start(hosts, argv or ["uname", "-r"])
        self._moves = 0

    def start(self, hosts: list[str], argv: list[str], **fields: Any) -> JobView:
        kwargs = {"hosts": hosts, "argv": argv, "at_once": 64, "batches": []}
        job = make_job(
            700 + len(self.runs), "running", function="dts/sshrpc", kwargs=kwargs, at=START, host="",
            **fields,
        )  # fmt: skip
        self.runs[job.id] = {host: HostRunView(host=host, state="waiting") for host in hosts}
        self.put_job(job)
        return job

    def begin(self, *hosts: str) -> None:
        for host in hosts:
            self._move(host, state="running", started_at=START)

    def finish(
        self, *hosts: str, state: str = "ok", stdout: str = "", status: int | None = 0,
        why: str = "", **more: Any,
    ) -> None:  # fmt: skip
        error = JobError(type=state, message=why) if why else None
        said = f"{state}/{status}/{why}/{stdout}/{more}".encode()
        for host in hosts:
            view = self._move(
                host, state=state, exit_status=status, error=error,
                group=hashlib.sha256(said).hexdigest(), output_total=len(stdout),
                started_at=START, finished_at=START + timedelta(seconds=1.5),
            )  # fmt: skip
            fields = {name: getattr(view, name) for name in HostRunView.__struct_fields__}
            output = HostOutputView(**fields, stdout=stdout, **more)
            self.outputs[self.fan.id, host] = output

    def says(self, host: str, stdout: str) -> None:
        """It runs, and has printed this so far."""
        view = self._move(host, state="running", started_at=START)
        fields = {name: getattr(view, name) for name in HostRunView.__struct_fields__}
        self.outputs[self.fan.id, host] = HostOutputView(**fields, stdout=stdout)

    def end(self, state: str = "failed") -> None:
        """The job is over: what has not begun never started, the end of what ran is not known."""
        runs = self.runs[self.fan.id]
        hanging = [host for host, view in runs.items() if view.state == "running"]
        self.finish(*hanging, state="failed", status=None, why="the control side ended")
        for host, view in runs.items():
            if view.state == "waiting":
                runs[host] = msgspec.structs.replace(view, state="never_started")
        self.fan = msgspec.structs.replace(
            self.fan, state=state, finished_at=START + timedelta(seconds=9),
            changed=self.fan.changed + 1000,
        )  # fmt: skip
        self.put_job(self.fan)

    def _move(self, host: str, **fields: Any) -> HostRunView:
        self._moves += 1
        runs = self.runs[self.fan.id]
        runs[host] = msgspec.structs.replace(runs[host], seq=self._moves, **fields)
        return runs[host]

    # --- answers --------------------------------------------------------------------------------

    def _answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        parts = path.strip("/").split("/")
        if parts[0] != "ssh":
            return super()._answer(method, path, query, body)
        if len(parts) == 1:
            return self._started(body["hosts"], body["argv"], query)
        if parts[-1] == "again":
            return self._again(parts[1], body, query)
        if parts[2] == "questions":
            return self._asked(parts, body)
        if parts[-1] == "hosts":
            return self._hosts(parts[1], query)
        return self.outputs.get((parts[1], parts[3])) or self.runs[parts[1]].get(parts[3])

    def ask(self, host: str, *prompts: Prompt, title: str = "") -> OpeningKey:
        """A login asks admin; the key that opens the answer."""
        key = OpeningKey.new()
        wording = Wording(host=host, title=title, prompts=list(prompts))
        if not prompts:
            wording = Wording(host=host, user="ann", public_key=KEY, data=b"login")
        self.questions.append(
            QuestionView(
                id=f"{self.fan.id}-{len(self.questions) + len(self.answers)}",
                job=self.fan.id,
                person="admin",
                wording=wording,
                sealing_key=str(key.public),
                deadline=START + timedelta(days=10_000),
            )
        )
        return key

    def _asked(self, parts: list[str], body: Any) -> QuestionList | AnswerTaken:
        if len(parts) == 3:
            return QuestionList(items=self.questions)
        self.questions = [each for each in self.questions if each.id != parts[3]]
        self.answers.append(body)
        return AnswerTaken(taken=True)

    def _again(self, job: str, body: dict[str, str], query: dict[str, str]) -> SshStarted:
        runs = self.runs[job].values()
        wanted = body["digest"] if body["which"] == "group" else body["which"]
        hosts = [each.host for each in runs if wanted in (each.state, each.group)]
        return self._started(hosts, self.fan.kwargs["argv"], query)

    def _started(self, hosts: list[str], argv: list[str], query: dict[str, str]) -> SshStarted:
        if query.get("dry_run"):
            return SshStarted(hosts=hosts, batches=[len(hosts)])
        self.fan = self.start(hosts, argv)
        return SshStarted(hosts=hosts, batches=[len(hosts)], job=self.fan)

    def _hosts(self, job: str, query: dict[str, str]) -> HostRunList:
        runs = list(self.runs[job].values())
        over = next(each for each in self.jobs if each.id == job).state != "running"
        counts: dict[str, int] = {}
        for each in runs:
            counts[each.state] = counts.get(each.state, 0) + 1
        if "after" in query:
            after = int(query["after"])
            items = sorted((e for e in runs if e.seq > after), key=lambda each: each.seq)
            following = 0
        else:
            start = int(query.get("start", 0))
            items = runs[start : start + int(query["limit"])]
            following = start + len(items) if start + len(items) < len(runs) else 0
        position = max((each.seq for each in items), default=int(query.get("after", 0)))
        return HostRunList(
            items=items, total=len(runs), counts=counts, position=position, next=following,
            job_state="running", is_over=over,
            questions=len(self.questions),
        )  # fmt: skip

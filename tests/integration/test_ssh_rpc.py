"""`dts/sshrpc` the whole road: one job, many hosts of a real OpenSSH, an end kept for each."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from dts_core.errors import ApiError
from dts_core.model import Cancel, HostRun
from dts_core.services.messages import send_order
from dts_core.services.users import LOCAL
from dts_core.testing import wait_until
from tests.support.fanout import MANY_SECONDS, Fleet, fleet
from tests.support.ports import free_port
from tests.support.sshd import SshServer, ssh_server
from tests.support.sshkeys import private_key, public_line

pytestmark = [pytest.mark.external("sshd"), pytest.mark.slow]
ADDRESSES = [f"127.0.7.{number}" for number in range(1, 13)]
WHERE = "import os; print(os.environ['SSH_CONNECTION'].split()[2])"


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshServer]:
    with ssh_server(addresses=ADDRESSES) as made:
        yield made


@pytest.fixture
async def hosts(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet(tmp_path / "data") as made:
        yield made


async def test_a_command_on_many_hosts_is_one_job(hosts: Fleet, sshd: SshServer) -> None:
    """Each host's end and output is kept; equal answers are one group; the start is recorded with its hosts."""
    names = await hosts.add_all(sshd)
    job = await hosts.start(["web-[1-12]"], ["echo", "a b", "$HOME"])
    assert await hosts.ended(job) == "done"
    assert (await hosts.admin.job(job)).result == {"hosts": 12, "ok": 12}
    assert await hosts.states(job) == dict.fromkeys(names, "ok")
    groups = (await hosts.admin.ssh.groups(job)).items
    assert [(group.folded, group.stdout) for group in groups] == [("web-[1-12]", "a b $HOME\n")]
    shown = await hosts.admin.ssh.output(job, "web-7")
    assert (shown.stdout, shown.exit_status, shown.group) == ("a b $HOME\n", 0, groups[0].digest)
    [started] = [each for each in await hosts.recorded("call") if each.collection == "ssh"]
    assert started.operator == "root"
    assert started.ops["hosts"] == [None, "web-[1-12]"]
    assert started.ops["argv"] == [None, "echo a b $HOME"]


async def test_ends_are_told_apart(hosts: Fleet, sshd: SshServer) -> None:
    """Ok, failed with its status, unreachable, timed out; the job fails and says how many of each."""
    for number in (1, 2, 3):
        await hosts.add(sshd, f"web-{number}", ADDRESSES[number])
    await hosts.add(sshd, "gone", port=free_port())
    script = (
        f"case $SSH_CONNECTION in *{ADDRESSES[1]}*) exit 0;; "
        f"*{ADDRESSES[2]}*) echo no >&2; exit 3;; *) sleep 600;; esac"
    )
    job = await hosts.start(["*"], ["sh", "-c", script], host_seconds=5.0)
    assert await hosts.ended(job) == "failed"
    runs = await hosts.runs(job)
    assert {name: run.state for name, run in runs.items()} == {
        "gone": "unreachable", "web-1": "ok", "web-2": "failed", "web-3": "timed_out",
    }  # fmt: skip
    assert runs["web-2"].exit_status == 3
    assert (await hosts.admin.ssh.output(job, "web-2")).stderr == "no\n"
    error = (await hosts.admin.job(job)).error
    assert error is not None
    assert error.type == "HostsFailed"
    assert "3 of 4 hosts" in error.message


async def test_a_function_gets_arguments_and_answers_with_json(
    hosts: Fleet, sshd: SshServer
) -> None:
    """Its source goes from the control side; what it returns and prints is kept; an exception has its traceback."""
    names = await hosts.add_all(sshd)
    await hosts.services.namespaces.create(LOCAL, {"_id": "ops"})
    source = (
        "import os\n\ndef main(word: str, *, loud: bool = False) -> dict[str, str]:\n"
        "    print('said', word)\n"
        f"    if os.environ['SSH_CONNECTION'].split()[2] == {ADDRESSES[4]!r}:\n"
        "        raise LookupError('not here')\n"
        "    return {'word': word.upper() if loud else word}\n"
    )
    await hosts.services.functions.create(LOCAL, {"_id": "ops/say", "source": source})
    started = await hosts.admin.ssh.start(
        names, function="ops/say", args=["hi"], kwargs={"loud": True}
    )
    assert started.job is not None
    job = started.job.id
    assert await hosts.ended(job) == "failed"
    assert await hosts.states(job) == dict.fromkeys(names, "ok") | {"web-5": "failed"}
    good, bad = (await hosts.admin.ssh.groups(job)).items
    assert (good.result, good.stdout, len(good.hosts)) == ('{"word":"HI"}', "said hi\n", 11)
    assert bad.error is not None
    assert (bad.error.type, bad.error.message) == ("LookupError", "not here")
    assert "raise LookupError" in bad.error.traceback
    for call in (
        {"function": "ops/say"},  # an argument is missing
        {"function": "ops/nothing"},
        {"function": "dts/status"},
        {"function": "ops/say", "args": ["x"], "argv": ["true"]},
        {},
    ):
        with pytest.raises(ApiError):
            await hosts.admin.ssh.start(names, **call)


async def test_again_goes_to_exactly_those(hosts: Fleet, sshd: SshServer) -> None:
    """By the way they ended, or by one answer; a dry run names them and starts nothing."""
    names = await hosts.add_all(sshd)
    odd = f"*{ADDRESSES[1]}\\ *|*{ADDRESSES[3]}\\ *"
    script = f"case $SSH_CONNECTION in {odd}) exit 4;; esac"
    job = await hosts.start(names, ["sh", "-c", script])
    assert await hosts.ended(job) == "failed"
    planned = await hosts.admin.ssh.again(job, "failed", dry_run=True)
    assert (planned.hosts, planned.job) == (["web-2", "web-4"], None)
    again = await hosts.admin.ssh.again(job, "failed")
    assert again.job is not None
    assert await hosts.ended(again.job.id) == "failed"
    assert await hosts.states(again.job.id) == {"web-2": "failed", "web-4": "failed"}
    good = (await hosts.admin.ssh.groups(job)).items[0]
    same = await hosts.admin.ssh.again(job, "group", digest=good.digest[:12], dry_run=True)
    assert same.hosts == [name for name in names if name not in ("web-2", "web-4")]
    with pytest.raises(ApiError, match="no host"):
        await hosts.admin.ssh.again(job, "unreachable")


async def test_a_budget_of_failures_stops_after_the_first_batch(
    hosts: Fleet, sshd: SshServer
) -> None:
    """Hosts of later batches never start, and can be run again as such; while it runs they cannot."""
    names = await hosts.add_all(sshd)
    job = await hosts.start(names, ["false"], batches=["1", "50%"], failures_max=0)
    assert await hosts.ended(job) == "failed"
    assert await hosts.states(job) == {
        name: "failed" if name == "web-1" else "never_started" for name in names
    }
    rest = await hosts.admin.ssh.again(job, "never_started", dry_run=True)
    assert rest.hosts == names[1:]
    assert rest.batches[0] == 1


async def test_cancel_ends_what_runs_and_keeps_each_end(hosts: Fleet, sshd: SshServer) -> None:
    """What ran is cancelled there, what was not begun never is."""
    names = await hosts.add_all(sshd)
    job = await hosts.start(names, ["sleep", "600"], at_once=4)

    async def four_run() -> bool:
        return (await hosts.services.store.count_runs(job)).get("running") == 4

    await wait_until(four_run, MANY_SECONDS, what="four hosts run")
    with pytest.raises(ApiError, match="not over"):
        await hosts.admin.ssh.again(job, "never_started")
    await hosts.admin.cancel([job])
    for _ in range(3):  # told again, it does not leave off
        await send_order(hosts.services.broker, Cancel(job=job, by="root"))
    assert await hosts.ended(job) == "cancelled"
    states = await hosts.states(job)
    assert sorted(states.values()) == ["cancelled"] * 4 + ["never_started"] * 8


async def test_what_an_earlier_claim_has_begun_is_not_begun_again(
    hosts: Fleet, sshd: SshServer, tmp_path: Path
) -> None:
    """Ends stay; a host without an end is lost, told apart, and left alone until a person asks."""
    names = await hosts.add_all(sshd)
    marks = tmp_path / "marks"
    marks.mkdir()
    script = (
        f"{WHERE}; open(os.path.join({str(marks)!r}, os.environ['SSH_CONNECTION'].split()[2]), 'x')"
    )
    await hosts.admin.pause_queue("dts")
    job = await hosts.start(names, [sys.executable, "-c", script])
    ok = HostRun(job=job, host="web-1", epoch=0, seq=1, state="ok", digest="d")
    begun = HostRun(job=job, host="web-2", epoch=0, seq=2, state="running")
    assert await hosts.services.store.save_runs([ok, begun]) == [True, True]
    await hosts.admin.resume_queue("dts")
    assert await hosts.ended(job) == "failed"
    runs = await hosts.runs(job)
    assert {run.state for name, run in runs.items() if name != "web-2"} == {"ok"}
    assert runs["web-2"].error is not None
    assert (runs["web-2"].state, runs["web-2"].error.type) == ("failed", "lost")
    assert {path.name for path in marks.iterdir()} == set(ADDRESSES[2:])


async def test_a_changed_key_is_unreachable_and_names_the_fingerprint(
    hosts: Fleet, sshd: SshServer
) -> None:
    """Nothing is run there."""
    await hosts.add(sshd, "web-1", known_host_key=public_line(private_key()))
    await hosts.add(sshd, "web-2", known_host_key="")
    job = await hosts.start(["*"], ["true"])
    assert await hosts.ended(job) == "failed"
    runs = await hosts.runs(job)
    assert {run.state for run in runs.values()} == {"unreachable"}
    assert {run.error.type for run in runs.values() if run.error} == {
        "host_key_changed", "host_key_unknown",
    }  # fmt: skip
    assert all(run.fingerprint.startswith("SHA256:") for run in runs.values())


async def test_a_command_needs_no_python_there(hosts: Fleet, sshd: SshServer) -> None:
    """Where there is none the command runs all the same; a function says what is missing."""
    await hosts.add(sshd, "bare", python="/nowhere/python3")
    job = await hosts.start(["bare"], ["echo", "here"])
    assert await hosts.ended(job) == "done"
    assert (await hosts.admin.ssh.output(job, "bare")).stdout == "here\n"
    await hosts.services.namespaces.create(LOCAL, {"_id": "ops"})
    source = "def main() -> int:\n    return 1\n"
    await hosts.services.functions.create(LOCAL, {"_id": "ops/one", "source": source})
    started = await hosts.admin.ssh.start(["bare"], function="ops/one")
    assert started.job is not None
    assert await hosts.ended(started.job.id) == "failed"
    run = (await hosts.runs(started.job.id))["bare"]
    assert run.error is not None
    assert (run.state, run.error.type) == ("unreachable", "interpreter_unfit")

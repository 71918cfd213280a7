"""`dts ssh` against a real `dts up` and real OpenSSH servers: by command, and through a kill -9 in the middle."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.processes import Up, environment, eventually
from tests.support.sshfleet import MANY_SECONDS, add_all, ended, ssh_hosts

pytestmark = [pytest.mark.external("sshd"), pytest.mark.slow]


def run(up: Up, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`dts ssh` as a process, with nobody to ask."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    given = ["ssh", *arguments[:at], "--data", str(up.data), *arguments[at:]]
    return subprocess.run(
        [sys.executable, "-m", "dts_core.cli", *given],
        env=environment(up.data.parent),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_hosts_are_named_and_answers_grouped(tmp_path: Path) -> None:
    """The confirm names the resolved hosts; equal answers stand together; the status tells whether all is well."""
    up = Up(tmp_path, "--no-worker")
    try:
        with ssh_hosts(4) as found, up.client(with_worker=False) as client:
            add_all(client, found)
            asked = run(up, "web-*", "--", "uptime")
            assert asked.returncode == 2, asked.stderr
            assert "--yes" in asked.stderr
            good = run(up, "web-[1-4]", "--yes", "--batches", "1,50%", "--", "echo", "all", "well")
            assert good.returncode == 0, good
            assert "4 hosts: web-[1-4]" in good.stderr
            assert "in 3 batches: 1, 2, 1" in good.stderr
            head = "-" * 15
            assert good.stdout == f"{head}\nweb-[1-4] (4 hosts)\n{head}\nall well\n"
            script = "case $SSH_CONNECTION in *127.0.9.2\\ *) exit 7;; esac"
            bad = run(up, "--label", "role=web", "--yes", "--", "sh", "-c", script)
            assert bad.returncode == 1, bad
            assert "web-2 (1 host): failed: exit 7" in bad.stdout
            job = client.jobs(function="dts/sshrpc", limit=1).items[0].id
            shown = json.loads(run(up, "--show", job, "--json").stdout)
            assert shown["counts"] == {"ok": 3, "failed": 1}
            again = run(up, "--again", job, "--which", "failed", "--yes")
            assert again.returncode == 1
            assert "1 host: web-2" in again.stderr
            one = run(up, "--show", job, "--hosts", "web-2")
            assert (one.returncode, one.stdout) == (1, "web-2: failed: exit 7\n")
            for wrong in ([], ["web-1"], ["--which", "failed"], ["--call", "a/b", "--yes"]):
                assert run(up, *wrong).returncode == 2, wrong
    finally:
        up.end()


def test_one_hosts_output_comes_while_it_runs(tmp_path: Path) -> None:
    """Each stream on its own, a line as soon as it is there; what came is neither repeated nor left out at the end."""
    gate = tmp_path / "gate"
    script = (
        f"echo first; echo aside >&2; while [ ! -e {gate} ]; do sleep 0.05; done; echo last; exit 3"
    )
    up = Up(tmp_path, "--no-worker")
    try:
        with ssh_hosts(1) as found, up.client(with_worker=False) as client:
            add_all(client, found)
            command = ["ssh", "web-1", "--yes", "--data", str(up.data), "--", "sh", "-c", script]
            with subprocess.Popen(
                [sys.executable, "-m", "dts_core.cli", *command],
                env=environment(up.data.parent),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == "first\n"
                job = client.jobs(function="dts/sshrpc", limit=1).items[0].id
                shown = client.ssh.output(job, "web-1")
                assert (shown.state, shown.stdout, shown.stderr) == (
                    "running",
                    "first\n",
                    "aside\n",
                )
                gate.touch()
                out, err = process.communicate(timeout=300)
            assert (process.returncode, out) == (1, "last\n")
            assert err.count("aside\n") == 1
            assert "web-1: failed: exit 3" in err
            grouped = run(up, "web-1", "--yes", "--no-stream", "--", "echo", "x")
            assert "web-1 (1 host)" in grouped.stdout
    finally:
        up.end()


def test_the_output_of_several_hosts_comes_while_they_run(tmp_path: Path) -> None:
    """Each line under its host's name as soon as it is there; how many ended how is said at the end."""
    gate = tmp_path / "gate"
    script = f"echo first; while [ ! -e {gate} ]; do sleep 0.05; done; echo last"
    up = Up(tmp_path, "--no-worker")
    try:
        with ssh_hosts(3) as found, up.client(with_worker=False) as client:
            names = add_all(client, found)
            words = ["web-*", "--stream", "--yes", "--data", str(up.data), "--", "sh", "-c", script]
            with subprocess.Popen(
                [sys.executable, "-m", "dts_core.cli", "ssh", *words],
                env=environment(up.data.parent),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as process:
                assert process.stdout is not None
                first = {process.stdout.readline() for _ in names}
                assert first == {f"{name}: first\n" for name in names}
                gate.touch()
                out, err = process.communicate(timeout=300)
            assert process.returncode == 0, err
            assert sorted(out.splitlines()) == [f"{name}: last" for name in sorted(names)]
            assert "3 hosts: 3 ok" in err
            asked = run(up, "web-*", "--stream", "--json", "--yes", "--", "true")
            assert (asked.returncode, "not with --json" in asked.stderr) == (2, True)
    finally:
        up.end()


def test_a_run_goes_on_after_kill_9_on_exactly_the_rest(tmp_path: Path) -> None:
    """100 hosts, the control side killed at about 40: each host runs it at most once, and no end is forgotten."""
    marks = tmp_path / "marks"
    marks.mkdir()
    script = f'echo >> "{marks}/$(echo $SSH_CONNECTION | cut -d" " -f3)"; sleep 0.2'
    up = Up(tmp_path, "--no-worker")
    try:
        with ssh_hosts(100) as found:
            with up.client(with_worker=False) as client:
                names = add_all(client, found)
                started = client.ssh.start(names, argv=["sh", "-c", script], at_once=8)
                assert started.job is not None
                job = started.job.id
                eventually(
                    lambda: ended(client, job) >= 40,
                    seconds=MANY_SECONDS,
                    what="40 hosts have ended",
                )
            up.kill()
            before = {path.name: path.read_text().count("\n") for path in marks.iterdir()}
            up = Up(tmp_path, "--no-worker")
            with up.client(with_worker=False) as client:
                eventually(
                    lambda: client.ssh.changes(job, 0, limit=1).is_over,
                    seconds=MANY_SECONDS,
                    what="it is over",
                )
                runs = {run.host: run for run in client.ssh.hosts(job, limit=1000).items}
                lost = [name for name in names if runs[name].state != "ok"]
                assert len(runs) == 100
                assert len(lost) <= 8
                assert {run.error.type for run in runs.values() if run.error} <= {"lost"}
                times = Counter(path.read_text().count("\n") for path in marks.iterdir())
                assert set(times) == {1}, times
                addresses = dict(zip(names, (address for _, address in found), strict=True))
                done = {path.name for path in marks.iterdir()}
                assert {addresses[name] for name in names if name not in lost} <= done
                assert set(before) <= done
                assert client.job(job).epoch == 2
                if lost:
                    again = run(up, "--again", job, "--which", "failed", "--yes")
                    assert again.returncode == 0, again
                    newest = client.jobs(function="dts/sshrpc", limit=1).items[0].id
                    assert {run.host for run in client.ssh.hosts(newest).items} == set(lost)
    finally:
        up.end()

"""`dts/vhost.init`, `.remove`, `.rotate` the whole road: jobs on hosts of a real OpenSSH, each with its own home."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from dts_core.model import HostOutput, HostRun
from dts_core.services.users import LOCAL
from dts_core.settings import ServerFile, SetupSettings
from dts_core.testing import wait_until
from tests.support.fanout import Fleet, fleet
from tests.support.ports import free_port
from tests.support.setups import shelf_folder, tree
from tests.support.sshd import SshServer, ssh_server
from tests.support.sshkeys import private_key, public_line

pytestmark = [pytest.mark.external("sshd"), pytest.mark.slow]
HOME = ".local/share/dts-host"
MANY = 8


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[dict[str, SshServer]]:
    """web-1 and web-2: each with a home that is empty."""
    with made_machines(tmp_path, "web-1", "web-2") as made:
        yield made


@contextmanager
def made_machines(tmp_path: Path, *names: str) -> Iterator[dict[str, SshServer]]:
    with ExitStack() as stack:
        made = {}
        for name in names:
            home = tmp_path / name
            home.mkdir()
            options = [f"SetEnv HOME={home}", f"AuthorizedKeysFile {home}.keys"]
            made[name] = stack.enter_context(ssh_server(options=options))
            (tmp_path / f"{name}.keys").write_text(
                (made[name].folder / "authorized_keys").read_text()
            )
        yield made


@pytest.fixture
async def hosts(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    setup = SetupSettings(cache=str(shelf_folder(tmp_path_factory)))
    async with fleet(tmp_path / "data", ServerFile(setup=setup)) as made:
        yield made


async def add(hosts: Fleet, machines: dict[str, SshServer], mode: str = "agent") -> None:
    for name, each in machines.items():
        await hosts.add(each, name, mode=mode, python="/usr/bin/python3")


async def result(hosts: Fleet, job: str, state: str = "done") -> Any:
    assert await hosts.ended(job) == state, (await hosts.admin.job(job)).error
    return (await hosts.admin.job(job)).result


async def test_two_hosts_planned_made_and_cleared(
    hosts: Fleet, machines: dict[str, SshServer], tmp_path: Path
) -> None:
    """A plan changes nothing; each host gets the program; again: nothing to do; removed: the homes are empty again."""
    await add(hosts, machines)
    job = await hosts.admin.vhosts.init("web-1", others=["web-2"], dry_run=True)
    planned = await result(hosts, job.id)
    assert planned["ok"] == ["web-1", "web-2"]
    steps = planned["hosts"]["web-1"]["steps"]
    assert [step["name"] for step in steps if step["changes"]] == ["folders", "program", "config"]
    assert not any(tree(tmp_path / name) for name in machines)
    made = await result(hosts, (await hosts.admin.vhosts.init("web-1", others=["web-2"])).id)
    assert made["hosts"]["web-2"]["changed"] == ["folders", "program", "config"]
    for name in machines:
        settings = (tmp_path / name / HOME / "config/worker.toml").read_text()
        assert f'host = "{name}"' in settings
        public = hosts.services.signing.show().public
        assert (tmp_path / name / HOME / "config/signing.pub").read_text() == f"{public}\n"
    again = await result(hosts, (await hosts.admin.vhosts.init("web-1", others=["web-2"])).id)
    assert [again["hosts"][name]["changed"] for name in machines] == [[], []]
    gone = await result(hosts, (await hosts.admin.vhosts.remove("web-1", others=["web-2"])).id)
    assert [gone["hosts"][name]["removed"] for name in machines] == [True, True]
    assert not any(tree(tmp_path / name) for name in machines)
    assert {each.doc_id for each in await hosts.recorded("init")} == {"web-1", "web-2"}
    assert {each.doc_id for each in await hosts.recorded("teardown")} == {"web-1", "web-2"}


async def test_a_removed_host_is_left_alone(
    hosts: Fleet, machines: dict[str, SshServer], tmp_path: Path
) -> None:
    """The gateway, which launches what was set up, tries no more once that is taken away; set up again, it does."""
    await add(hosts, {"web-1": machines["web-1"]})

    async def words() -> str:
        return await hosts.services.status.words_of("agent web-1")

    await result(hosts, (await hosts.admin.vhosts.init("web-1")).id)
    assert await words() == "up"
    gone = await result(hosts, (await hosts.admin.vhosts.remove("web-1")).id)
    assert gone["hosts"]["web-1"]["removed"]
    assert await words() == ""
    before = machines["web-1"].log().count("Starting session")
    await hosts.admin.vhosts.update("web-1", labels={"a": "b"})  # it looks again
    await hosts.add(machines["web-2"], "web-2", mode="agent", python="/usr/bin/python3")
    await wait_until(
        lambda: "Starting session" in machines["web-2"].log(), what="it has looked at all"
    )
    assert await words() == ""
    assert machines["web-1"].log().count("Starting session") == before
    assert not tree(tmp_path / "web-1")
    await result(hosts, (await hosts.admin.vhosts.init("web-1")).id)
    assert await words() == "up"


async def test_a_budget_of_failures_stops_the_rest(
    hosts: Fleet, machines: dict[str, SshServer], tmp_path: Path
) -> None:
    """The first batch fails: nothing is begun on the others, and the result says so of each."""
    await add(hosts, machines)
    await hosts.add(machines["web-1"], "gone", port=free_port(), mode="agent")
    job = await hosts.admin.vhosts.init("gone", others=["web-1", "web-2"], batch=1, failures_max=0)
    told = await result(hosts, job.id)
    assert (told["unreachable"], told["never_started"]) == (["gone"], ["web-1", "web-2"])
    assert "gone" in told["hosts"]["gone"]["why"]
    assert not any(tree(tmp_path / name) for name in machines)


async def test_without_rabbitmq_a_service_is_refused(
    hosts: Fleet, machines: dict[str, SshServer], tmp_path: Path
) -> None:
    """Before anything is done there, with what to do instead."""
    await add(hosts, machines, mode="service")
    job = (await hosts.admin.vhosts.init("web-1")).id
    assert await hosts.ended(job) == "failed"
    error = (await hosts.admin.job(job)).error
    assert error is not None
    assert "no RabbitMQ" in error.message
    assert "mode to agent" in error.message
    assert not tree(tmp_path / "web-1")


async def test_a_new_key_takes_the_place_of_the_old(
    hosts: Fleet, machines: dict[str, SshServer], tmp_path: Path
) -> None:
    """The host lets the new one in, under the old one's options; the old one no more; the store has the new one."""
    await add(hosts, machines)
    keys = tmp_path / "web-1.keys"
    old = keys.read_text().strip()
    stray = public_line(private_key())  # of a rotation that was cut
    await hosts.services.vhosts.note(LOCAL, "web-1", "rotate", stray_keys=[old, stray])
    keys.write_text(f"no-pty {old} by hand\n# theirs\n{stray}\n")
    before = await hosts.services.vhosts.load(LOCAL, "web-1")
    job = await hosts.admin.vhosts.rotate("web-1", dry_run=True, authorized_keys=str(keys))
    looked = (await result(hosts, job.id))["hosts"]["web-1"]
    assert (looked["rotated"], looked["public_key"]) == (False, before.public_key)
    assert keys.read_text() == f"no-pty {old} by hand\n# theirs\n{stray}\n"
    job = await hosts.admin.vhosts.rotate("web-1", authorized_keys=str(keys))
    told = (await result(hosts, job.id))["hosts"]["web-1"]
    after = await hosts.services.vhosts.load(LOCAL, "web-1")
    assert told["rotated"]
    assert after.public_key == told["public_key"] != before.public_key
    assert after.stray_keys == []
    assert {each.doc_id for each in await hosts.recorded("rotate")} == {"web-1"}
    assert keys.read_text().splitlines() == ["# theirs", f"no-pty {after.public_key} by hand"]
    planned = await result(hosts, (await hosts.admin.vhosts.init("web-1", dry_run=True)).id)
    assert planned["ok"] == ["web-1"]


async def test_a_key_that_cannot_be_shut_out_stays(
    hosts: Fleet, machines: dict[str, SshServer], tmp_path: Path
) -> None:
    """Where another file lets it in, nothing is changed, and it is said what to do."""
    await add(hosts, machines)
    before = await hosts.services.vhosts.load(LOCAL, "web-1")
    job = await hosts.admin.vhosts.rotate("web-1", authorized_keys=str(tmp_path / "other"))
    assert await hosts.ended(job.id) == "failed"
    error = (await hosts.admin.job(job.id)).error
    assert error is not None
    assert "--authorized-keys" in error.message
    assert not (tmp_path / "other").exists()
    assert await hosts.services.vhosts.load(LOCAL, "web-1") == before


async def test_the_same_again_on_those_that_failed(
    hosts: Fleet, machines: dict[str, SshServer], tmp_path: Path
) -> None:
    """The end of each host is kept with the job, as of a call on many hosts; again goes to exactly those."""
    await add(hosts, machines)
    port = free_port()
    await hosts.add(machines["web-1"], "gone", port=port, mode="agent")
    first = await hosts.admin.vhosts.init("gone", others=["web-1", "gone"])
    told = await result(hosts, first.id)
    assert (told["unreachable"], told["ok"]) == (["gone"], ["web-1"])
    assert await hosts.states(first.id) == {"gone": "unreachable", "web-1": "ok"}
    page = await hosts.admin.ssh.changes(first.id, 0)
    assert (page.total, page.counts) == (2, {"unreachable": 1, "ok": 1})
    planned = await hosts.admin.ssh.again(first.id, "not_ok", dry_run=True)
    assert (planned.hosts, planned.job) == (["gone"], None)
    await hosts.admin.vhosts.update("gone", port=machines["web-2"].port,
                                    known_host_key=machines["web-2"].vhost()["known_host_key"],
                                    ssh_pem_cert=machines["web-2"].user_key)  # fmt: skip
    again = await hosts.admin.ssh.again(first.id, "unreachable")
    assert again.job is not None
    assert again.job.function == "dts/vhost.init"
    assert (await result(hosts, again.job.id))["ok"] == ["gone"]
    assert (tmp_path / "web-2" / HOME / "config/worker.toml").is_file()
    newest = (await hosts.recorded("init"))[0]
    assert (newest.doc_id, newest.ops["again_of"]) == ("gone", [None, first.id])


async def test_eight_hosts_set_up_batch_by_batch(hosts: Fleet, tmp_path: Path) -> None:
    """One of the first batch fails: nothing is made on the rest. Mended, again makes workers of those; all beat.

    A run over all of them then changes nothing, and removed, every home is as empty as it was.
    """
    names = [f"web-{number}" for number in range(1, MANY + 1)]
    with made_machines(tmp_path, *names) as machines:
        await add(hosts, machines)
        await hosts.admin.vhosts.update("web-2", port=free_port())
        first = await hosts.admin.vhosts.init(
            "web-1", others=names[1:], batch=2, failures_max=0, at_once=4
        )
        told = await result(hosts, first.id)
        assert (told["ok"], told["unreachable"]) == (["web-1"], ["web-2"])
        assert told["never_started"] == names[2:]
        assert [name for name in names if tree(tmp_path / name)] == ["web-1"]
        await hosts.admin.vhosts.update("web-2", port=machines["web-2"].port)
        again = await hosts.admin.ssh.again(first.id, "not_ok")
        assert again.job is not None
        told = await result(hosts, again.job.id)
        assert told["ok"] == names[1:]
        changed = [told["hosts"][name]["changed"] for name in names[1:]]
        assert changed == [["folders", "program", "config"]] * (MANY - 1)
        beating = {each.name: each.state for each in (await hosts.admin.hosts()).items}
        assert beating == dict.fromkeys(names, "up")
        whole = await result(
            hosts, (await hosts.admin.vhosts.init("web-1", others=names[1:], at_once=MANY)).id
        )
        assert [whole["hosts"][name]["changed"] for name in names] == [[]] * MANY
        gone = await result(hosts, (await hosts.admin.vhosts.remove("web-1", others=names[1:])).id)
        assert gone["ok"] == names
        assert not any(tree(tmp_path / name) for name in names)


async def test_a_set_up_that_was_cut_goes_on(
    hosts: Fleet, machines: dict[str, SshServer], tmp_path: Path
) -> None:
    """A host that an earlier claim has begun is taken up again; one that has ended is left alone."""
    await add(hosts, machines)
    await hosts.admin.pause_queue("dts")
    job = (await hosts.admin.vhosts.init("web-1", others=["web-2"])).id
    before = HostOutput(result=b'{"changed":["program"]}')
    ok = HostRun(job=job, host="web-1", epoch=0, seq=1, state="ok", digest="d", output=before)
    begun = HostRun(job=job, host="web-2", epoch=0, seq=2, state="running")
    assert await hosts.services.store.save_runs([ok, begun]) == [True, True]
    await hosts.admin.resume_queue("dts")
    told = await result(hosts, job)
    assert told["ok"] == ["web-1", "web-2"]
    assert told["hosts"]["web-1"]["changed"] == ["program"]
    assert told["hosts"]["web-2"]["changed"] == ["folders", "program", "config"]
    assert not tree(tmp_path / "web-1")


async def test_a_server_that_stops_hands_its_hosts_on(
    machines: dict[str, SshServer], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Stopped in the midst of a host, it stores no end for it; the next start goes on there, to a good one."""
    settings = ServerFile(setup=SetupSettings(cache=str(shelf_folder(tmp_path_factory))))
    gate, mark, slow = (tmp_path / name for name in ("gate", "mark", "python"))
    wait = f"touch {mark}; while [ ! -e {gate} ]; do sleep 0.05; done"
    slow.write_text(f'#!/bin/sh\n{wait}\nexec /usr/bin/python3 "$@"\n')
    slow.chmod(0o755)
    async with fleet(tmp_path / "data", settings) as hosts:
        await hosts.add(machines["web-1"], "web-1", python=str(slow))
        job = (
            await hosts.admin.vhosts.rotate("web-1", authorized_keys=str(tmp_path / "web-1.keys"))
        ).id
        await wait_until(mark.exists, what="it is begun there")
    mark.unlink()
    async with fleet(tmp_path / "data", settings) as hosts:
        await wait_until(mark.exists, what="it is begun there again")
        assert await hosts.states(job) == {"web-1": "running"}
        gate.touch()
        assert (await result(hosts, job))["hosts"]["web-1"]["rotated"]
        assert await hosts.states(job) == {"web-1": "ok"}

"""Calls on many hosts on RabbitMQ and MongoDB: the internal daemon killed in the middle, and started anew."""

from collections import Counter
from pathlib import Path

import pytest

from dts_core.vault import KeyFile
from tests.support.askinghost import CODE, PASSWORD, add_asking, asking_server, open_question
from tests.support.distributed import DAEMONS, distributed
from tests.support.mongodb import MongoAddress
from tests.support.processes import eventually
from tests.support.rabbitmq import RabbitNode
from tests.support.sshfleet import MANY_SECONDS, add_all, ended, ssh_hosts

pytestmark = [
    pytest.mark.external("rabbitmq"),
    pytest.mark.external("sshd"),
    pytest.mark.slow,
]
HOSTS = 30


def test_another_internal_daemon_goes_on(
    rabbit: RabbitNode, mongodb: MongoAddress, tmp_path: Path
) -> None:
    """It opens secrets with the servers' vault; each host runs at most once, over both of them."""
    marks, key = tmp_path / "marks", tmp_path / "vault.key"
    marks.mkdir()
    KeyFile.made(key)
    env = {"DTS_VAULT_KEY_FILE": str(key)}
    script = f'echo >> "{marks}/$(echo $SSH_CONNECTION | cut -d" " -f3)"; sleep 0.2'
    with (
        ssh_hosts(HOSTS) as found,
        distributed(tmp_path, rabbit.vhost(), mongodb.fresh()) as engine,
    ):
        engine.server(**env)
        engine.daemon([name for name in DAEMONS if name != "internal"])
        first = engine.daemon(["internal"], **env)
        with engine.client(workers=0) as client:
            names = add_all(client, found)
            started = client.ssh.start(names, argv=["sh", "-c", script], at_once=4)
            assert started.job is not None
            job = started.job.id
            eventually(
                lambda: ended(client, job) >= HOSTS * 2 // 5,
                seconds=MANY_SECONDS,
                what="some hosts have ended",
            )
            engine.running.remove(first)
            first.kill()
            engine.daemon(["internal"], **env)
            eventually(
                lambda: client.ssh.changes(job, 0, limit=1).is_over,
                seconds=MANY_SECONDS,
                what="it is over",
            )
            runs = {run.host: run for run in client.ssh.hosts(job).items}
            lost = [name for name in names if runs[name].state != "ok"]
            assert len(lost) <= 4
            assert {run.error.type for run in runs.values() if run.error} <= {"lost"}
            assert set(Counter(path.read_text().count("\n") for path in marks.iterdir())) == {1}
            assert len(list(marks.iterdir())) >= HOSTS - len(lost)
            first.end()


def test_an_answer_finds_the_daemon_that_asked(
    rabbit: RabbitNode, mongodb: MongoAddress, tmp_path: Path
) -> None:
    """It is given to a server, and opened by another process alone; when that was killed, the server says so."""
    with asking_server() as liar, distributed(tmp_path, rabbit.vhost(), mongodb.fresh()) as engine:
        engine.server()
        engine.daemon([name for name in DAEMONS if name != "internal"])
        first = engine.daemon(["internal"])
        with engine.client(workers=0) as client:
            add_asking(client, liar)
            started = client.ssh.start(["bank"], argv=["true"], ask=True)
            assert started.job is not None
            job = started.job.id
            assert client.ssh.answer(open_question(client, job), [PASSWORD, CODE]).taken
            eventually(
                lambda: client.job(job).state == "done", seconds=MANY_SECONDS, what="it is done"
            )
            again = client.ssh.start(["bank"], argv=["true"], ask=True)
            assert again.job is not None
            question = open_question(client, again.job.id)
            engine.running.remove(first)
            first.kill()
            assert not client.ssh.answer(question, [PASSWORD, CODE]).taken
            assert liar.answered == [[PASSWORD, CODE]]
            first.end()

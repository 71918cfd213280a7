"""The functions of namespace `dts/`: what ships, and an administrator's own plugins."""

import getpass
from collections.abc import Iterator

import pytest

from dts_core.clients import SyncAdminClient, SyncClient
from dts_core.clients.endpoint import local_endpoint
from dts_core.errors import ApiError
from tests.support.processes import Up, eventually, up

DISK = '''
"""Says what it was asked, from the control side."""

import os
from dts_core import job

def main(text: str, times: int = 1):
    job.progress(0.5, "half way")
    job.logger.warning("asked for %s", text)
    return {"text": text * times, "pid": os.getpid()}
'''
SLEEPER = "import time\n\ndef main():\n    time.sleep(60)\n"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("up"), "--no-worker") as running:
        running.client(with_worker=False).close()
        yield running


@pytest.fixture
def client(stack: Up) -> Iterator[SyncAdminClient]:
    with stack.client(with_worker=False) as client:
        yield client


def drop(stack: Up, name: str, source: str) -> None:
    (stack.data / "plugins" / f"{name}.py").write_text(source)


def test_status_is_the_answer_of_its_request(client: SyncAdminClient) -> None:
    """`dts/status` with `wait` answers with the dashboard; no worker is needed for it."""
    job = client.submit("dts/status", wait=20)
    assert job.state == "done"
    assert job.result["engine"] == "embedded"
    assert "queues" in job.result


def test_plugin_is_called_without_a_restart(stack: Up, client: SyncAdminClient) -> None:
    """A module dropped into the folder is there at once, its value is in the answer; an edit counts too."""
    drop(stack, "asked", DISK)
    job = client.submit("dts/plugin.asked", args=["hi"], kwargs={"times": 2}, wait=60)
    assert (job.state, job.result["text"], job.host) == ("done", "hihi", "control")
    assert job.result["pid"] != stack.process.pid
    drop(stack, "asked", DISK.replace("text * times", "text.upper()"))
    job = eventually(
        lambda: client.submit("dts/plugin.asked", args=["hi"], wait=60), what="the new version"
    )
    assert job.result["text"] == "HI"


def test_plugin_logs_and_reports(stack: Up, client: SyncAdminClient) -> None:
    """Log records and progress of a plugin are seen like any job's."""
    drop(stack, "told", DISK)
    job = client.submit("dts/plugin.told", args=["you"], wait=60)
    lines = eventually(lambda: client.logs(job=job.id).items, what="its log")
    assert "asked for you" in " ".join(line.text for line in lines)


def test_plugin_that_raises_fails(stack: Up, client: SyncAdminClient) -> None:
    """Its error is the job's; the stack goes on."""
    drop(stack, "broken", "def main():\n    raise ValueError('odd')\n")
    job = client.submit("dts/plugin.broken", wait=60)
    assert job.state == "failed"
    assert job.error is not None
    assert (job.error.type, job.error.message) == ("ValueError", "odd")
    assert client.submit("dts/status", wait=20).state == "done"


def test_arguments_are_checked_before(stack: Up, client: SyncAdminClient) -> None:
    """What does not fit the signature, read by parsing, is refused at submission."""
    drop(stack, "asked", DISK)
    with pytest.raises(ApiError) as refused:
        client.submit("dts/plugin.asked")
    assert refused.value.answer_status == 422


@pytest.mark.parametrize("name", ["dts/plugin.no_such", "dts/no_such", "dts/plugin.x.y"])
def test_function_that_is_not_there(client: SyncAdminClient, name: str) -> None:
    """Unknown names are a 404, whatever path they might hint at."""
    with pytest.raises(ApiError) as refused:
        client.submit(name)
    assert refused.value.answer_status == 404


def test_cancelled_plugin_ends(stack: Up, client: SyncAdminClient) -> None:
    """A cancel reaches a plugin in mid-run and ends it for good."""
    drop(stack, "sleeper", SLEEPER)
    job = client.submit("dts/plugin.sleeper", grace_seconds=0.2)
    eventually(lambda: client.job(job.id).state == "running", what="it runs")
    client.cancel([job.id])
    assert client.job(job.id, wait=60).state == "cancelled"


def test_plugin_has_a_time_limit(stack: Up, client: SyncAdminClient) -> None:
    """timeout_seconds ends it with the type Timeout."""
    drop(stack, "sleeper", SLEEPER)
    job = client.submit("dts/plugin.sleeper", timeout_seconds=0.5, grace_seconds=0.2, wait=60)
    assert job.state == "failed"
    assert job.error is not None
    assert job.error.type == "Timeout"


def test_only_an_administrator_may_call(stack: Up, client: SyncAdminClient) -> None:
    """Anybody else gets a 403 that names them and what is missing, and the attempt is on record."""
    drop(stack, "asked", DISK)
    user = f"u{abs(hash(getpass.getuser())) % 1000}"
    client.users.add(user, secret="correct horse battery", role="operator")
    found = local_endpoint(stack.data)
    with SyncClient(found.url, "") as guest:
        token = guest.login(user, "correct horse battery").token
    with SyncClient(found.url, token) as guest, pytest.raises(ApiError) as refused:
        guest.submit("dts/plugin.asked", args=["hi"])
    assert refused.value.answer_status == 403
    assert user in str(refused.value)
    assert "admin" in str(refused.value)
    recorded = [each for each in client.operations.list().items if each.operator == user]
    assert [(each.op_type, each.doc_id) for each in recorded if each.refused] == [
        ("call", "dts/plugin.asked")
    ]


def test_functions_of_dts_are_listed_for_administrators(stack: Up, client: SyncAdminClient) -> None:
    """What ships and what was dropped in stand in the index with signature and source, and cannot be written."""
    drop(stack, "asked", DISK)
    (stack.data / "plugins" / "no_main.py").write_text("x = 1\n")
    names = [function.id for function in client.functions.list().items]
    assert names == sorted(names)
    assert {"dts/status", "dts/plugin.asked", "sample/echo"} <= set(names)
    assert "dts/plugin.no_main" not in names
    found = client.functions.get("dts/plugin.asked")
    assert found.owner == "dts"
    assert [each.name for each in found.current.parameters] == ["text", "times"]
    assert client.functions.source("dts/plugin.asked").source == DISK
    with pytest.raises(ApiError) as refused:
        client.functions.update("dts/status", source="def main(): ...", revision=1)
    assert refused.value.answer_status == 403
    paged = [client.functions.list(limit=1)]
    while paged[-1].next:
        paged.append(client.functions.list(limit=1, cursor=paged[-1].next))
    assert [item.id for page in paged for item in page.items] == names

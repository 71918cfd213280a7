"""First contact with a host, the whole road: looked at without a login, confirmed once, never changed silently."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from dts_core.errors import ApiError
from dts_core.model import Alarm
from dts_core.settings import NotifySettings, ServerFile, SmtpSettings
from tests.support.fanout import Fleet, fleet
from tests.support.ports import free_port
from tests.support.sshd import SshServer, ssh_server
from tests.support.sshkeys import fingerprint_of, private_key, public_line

pytestmark = [pytest.mark.external("sshd"), pytest.mark.slow]


@pytest.fixture
def sshd() -> Iterator[SshServer]:
    with ssh_server() as made:
        yield made


NOWHERE = SmtpSettings(host="127.0.0.1", port=1, security="none", sender="dts@example.org")


@pytest.fixture
async def hosts(tmp_path: Path) -> AsyncIterator[Fleet]:
    settings = ServerFile(notify=NotifySettings(smtp=NOWHERE))
    async with fleet(tmp_path / "data", settings) as made:
        yield made


async def scanned(hosts: Fleet, *names: str) -> tuple[str, dict[str, dict[str, str]]]:
    job = (await hosts.admin.vhosts.scan(names)).id
    assert await hosts.ended(job) == "done"
    result: dict[str, Any] = (await hosts.admin.job(job)).result
    return job, result["hosts"]


async def open_alarms(hosts: Fleet) -> list[Alarm]:
    found = (await hosts.admin.alarms(open_only=True)).items
    return [alarm for alarm in found if alarm.rule == "host_key"]


def logins(sshd: SshServer) -> int:
    """Attempts to log in, whatever came of them."""
    return sum(
        word in line
        for line in sshd.log().splitlines()
        for word in ("Accepted", "Failed", "userauth")
    )


async def test_only_the_confirmed_fingerprint_is_pinned(hosts: Fleet, sshd: SshServer) -> None:
    """A scan shows nothing of ours and pins nothing; another fingerprint is refused; the right one is on record."""
    told = fingerprint_of(sshd.host_keys[0])
    await hosts.add(sshd, "web-1", known_host_key="")
    job, found = await scanned(hosts, "web-1")
    assert found["web-1"] == {
        "state": "unknown", "type": "ssh-ed25519", "fingerprint": told,
        "key": public_line(sshd.host_keys[0]),
    }  # fmt: skip
    assert logins(sshd) == 0
    other = fingerprint_of(private_key())
    with pytest.raises(ApiError, match="not the one that is confirmed"):
        await hosts.admin.vhosts.trust("web-1", other, scan=job)
    assert (await hosts.admin.vhosts.get("web-1"))["known_host_key"] == ""
    await hosts.admin.vhosts.trust("web-1", told, scan=job)
    pinned = await hosts.admin.vhosts.get("web-1")
    assert pinned["known_host_key"] == public_line(sshd.host_keys[0])
    [record] = await hosts.recorded("trust")
    assert (record.operator, record.doc_id) == ("root", "web-1")
    assert record.ops == {"fingerprint": [None, told], "scan": [None, job]}
    _, again = await scanned(hosts, "web-1")
    assert again["web-1"]["state"] == "pinned"
    assert logins(sshd) == 0
    run = await hosts.start(["web-1"], ["true"])
    assert await hosts.ended(run) == "done"


async def test_a_changed_key_raises_one_alarm_and_takes_two_steps(
    hosts: Fleet, sshd: SshServer
) -> None:
    """No login is tried; trust alone does not replace it; forgetting it needs a reason and ends the alarm."""
    await hosts.add(sshd, "web-1", known_host_key=public_line(private_key()))
    run = await hosts.start(["web-1"], ["true"])
    assert await hosts.ended(run) == "failed"
    job, found = await scanned(hosts, "web-1")
    assert found["web-1"]["state"] == "changed"
    assert logins(sshd) == 0
    [alarm] = await open_alarms(hosts)
    assert (alarm.host, alarm.level) == ("web-1", "critical")
    assert found["web-1"]["fingerprint"] in alarm.text
    [mail] = (await hosts.admin.jobs(function="dts/notify.smtp")).items
    assert mail.kwargs["groups"] == ["administrators"]
    assert "host_key on web-1" in mail.kwargs["subject"]
    told = found["web-1"]["fingerprint"]
    with pytest.raises(ApiError, match="pinned already"):
        await hosts.admin.vhosts.trust("web-1", told, scan=job)
    with pytest.raises(ApiError):
        await hosts.admin.vhosts.forget_key("web-1", reason="")
    await hosts.admin.vhosts.forget_key("web-1", reason="set up anew on Monday")
    assert await open_alarms(hosts) == []
    record = next(each for each in await hosts.recorded("forget-key") if not each.refused)
    assert record.ops["reason"] == [None, "set up anew on Monday"]
    await hosts.admin.vhosts.trust("web-1", told, scan=job)
    run = await hosts.start(["web-1"], ["true"])
    assert await hosts.ended(run) == "done"


async def test_a_scan_goes_through_the_jump_host_and_tells_who_is_away(
    hosts: Fleet, sshd: SshServer
) -> None:
    """The way is logged in to, what lies behind it is not; whoever does not answer is told apart."""
    await hosts.add(sshd, "door")
    await hosts.add(sshd, "web-1", known_host_key="", jump="door")
    await hosts.add(sshd, "away", port=free_port())
    job, found = await scanned(hosts, "web-1", "away")
    assert (found["web-1"]["state"], found["away"]["state"]) == ("unknown", "unreachable")
    assert found["away"]["why"]
    for name, scan in (("away", job), ("door", job), ("web-1", "nothing")):
        with pytest.raises(ApiError):
            await hosts.admin.vhosts.trust(name, found["web-1"]["fingerprint"], scan=scan)
    with pytest.raises(ApiError, match="no virtual host"):
        await hosts.admin.vhosts.scan(["nobody"])

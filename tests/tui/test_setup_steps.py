"""Where the steps of a set-up stand, told from its document, its jobs and the host as it is heard."""

from datetime import timedelta
from typing import Any

import pytest

from dts_core.model import Host, JobError
from dts_core.views import JobView
from dts_tui.host_setup import (
    INIT,
    LOOK,
    REMOVAL,
    REMOVE,
    SCAN,
    WORK,
    Options,
    SetUp,
    newest_of,
    setup_of,
)
from dts_tui.host_setup_steps import APPLY, BEAT, JOB, KEY, LOGIN, Around, current, steps_of
from dts_tui.remembering import KEPT_MAX
from tests.tui.fake_server import START, make_host, make_job

DOCUMENT: dict[str, Any] = {
    "_id": "web-1", "address": "10.0.0.7", "port": 22, "user": "deploy", "auth": "key", "has_key": True,
    "mode": "agent", "known_host_fingerprints": ["ssh-ed25519 SHA256:x"], "updated_at": START.isoformat(),
}  # fmt: skip
NAMES = ("folders", "program")


def at(seconds: float) -> Any:
    return START + timedelta(seconds=seconds)


def job(number: int, function: str, state: str = "done", **fields: Any) -> JobView:
    """The job that was begun after so many seconds."""
    kwargs = {"vhosts": ["web-1"], "scope": "user", "queues": []} | fields.pop("given", {})
    moment = at(number)
    return make_job(number, state, function=function, kwargs=kwargs, at=moment, **fields)


def told(*changed: str, state: str = "ok", **more: Any) -> dict[str, Any]:
    steps = [{"name": name, "is": "", "will": "", "changes": True} for name in NAMES]
    return {
        "hosts": {
            "web-1": {"state": state, "steps": steps, "facts": {}, "changed": list(changed)} | more
        }
    }


def look(number: int, **fields: Any) -> JobView:
    return job(number, INIT, given={"dry_run": True}, result=told(), **fields)


def stand(it: SetUp, host: Host | None = None, seconds: float = 100) -> dict[str, str]:
    steps = steps_of(it, Around(host, None, at(seconds)))
    return {each.name: each.state for each in steps}


def made(**jobs: JobView) -> SetUp:
    it = SetUp("web-1", document=dict(DOCUMENT))
    it.found(jobs)
    return it


def heard(seconds: float) -> Host:
    host = make_host("web-1")
    return Host(
        **{name: getattr(host, name) for name in host.__struct_fields__}
        | {"last_beat": at(seconds)}
    )


def test_a_change_of_the_document_asks_for_another_look() -> None:
    """What was seen before is not what is there now; what was made stays made."""
    it = made(look=look(1))
    assert stand(it)[APPLY] == "yours"
    it.document = DOCUMENT | {"updated_at": at(2).isoformat()}
    assert stand(it)[LOGIN] == "yours"
    it.found({WORK: job(3, INIT, result=told(*NAMES))})
    it.document = DOCUMENT | {"updated_at": at(4).isoformat()}
    assert stand(it, heard(5))[JOB] == "yours"


def test_another_scope_asks_for_another_look() -> None:
    """The plan is of the options that it was made with; those of the last job come back."""
    it = made(look=look(1))
    it.options = Options(scope="system")
    assert stand(it)[LOGIN] == "yours"
    later = made(work=job(3, INIT, given={"scope": "system", "queues": ["big"]}))
    assert later.options == Options(scope="system", queues=("big",), wait_seconds=60.0)


@pytest.mark.parametrize(("beat", "state"), [(None, "doing"), (2.0, "doing"), (9.0, "so")])
def test_only_a_beat_of_what_was_made_counts(beat: float | None, state: str) -> None:
    """One that came before is of an older worker."""
    it = made(work=job(4, INIT, result=told(*NAMES)))
    assert stand(it, None if beat is None else heard(beat), seconds=20)[BEAT] == state


def test_an_agent_that_is_not_heard_of_is_in_trouble() -> None:
    """After a minute it is no waiting any more."""
    it = made(work=job(4, INIT, result=told(*NAMES)))
    assert (stand(it, seconds=20)[BEAT], stand(it, seconds=90)[BEAT]) == ("doing", "failed")


def test_after_a_removal_nothing_is_made() -> None:
    """Neither the job before it nor a beat of before counts."""
    it = made(
        look=look(1), work=job(2, INIT, result=told(*NAMES)), removal=job(5, REMOVE, result=told())
    )
    states = stand(it, heard(4))
    assert (states[LOGIN], states[BEAT]) == ("yours", "waiting")


def test_of_a_job_on_many_hosts_its_own_end_counts() -> None:
    """The job is done, and this host failed in it."""
    failed = told(state="unreachable", why="no way there")
    it = made(work=job(4, INIT, given={"vhosts": ["web-2", "web-1"]}, result=failed))
    steps = steps_of(it, Around(None, None, at(9)))
    assert (current(steps).name, current(steps).told) == (APPLY, "no way there")


def test_all_made_and_no_beat_is_told_at_the_heartbeat() -> None:
    """What failed then is not what was made."""
    it = made(
        look=look(1), work=job(4, INIT, "failed", error=JobError(type="x", message="no beat"))
    )
    it.lines = [f"web-1: {name}: done" for name in NAMES]
    states = stand(it)
    assert (states[APPLY], states[BEAT]) == ("done", "failed")
    it.lines.pop()
    assert stand(it)[APPLY] == "failed"


def test_another_key_stops_everything() -> None:
    """Also where a key is pinned and a login is known."""
    it = made(look=look(1))
    seen = {"hosts": {"web-1": {"state": "changed", "fingerprint": "SHA256:y"}}}
    it.take(SCAN, job(2, "dts/vhost.scan", result=seen))
    assert current(steps_of(it, Around(None, None, at(9)))).name == KEY
    assert stand(it)[LOGIN] == "waiting"


def test_the_newest_of_each_kind_on_this_host_is_found() -> None:
    """A look is no set-up, and another host's job is none of this one's."""
    jobs = [job(9, INIT, given={"vhosts": ["web-2"]}), look(7), job(5, INIT), job(3, INIT)]
    found = newest_of("web-1", jobs, [job(1, REMOVE)])
    assert [found[kind].created_at for kind in (LOOK, WORK, REMOVAL)] == [at(7), at(5), at(1)]


def test_what_is_remembered_is_bounded() -> None:
    """Of many set-ups those that were left first are forgotten, and the one at hand is not."""
    known: dict[str, SetUp] = {}
    for number in range(KEPT_MAX + 5):
        setup_of(known, f"web-{number}")
        setup_of(known, "web-0")
    assert len(known) == KEPT_MAX
    assert "web-0" in known

"""What each write to MongoDB asks for, without a server: its guard, and a majority that has it in its journal."""

import pytest

from dts_core.errors import ConfigError
from dts_core.settings import StoreSettings
from dts_core.states import JobEvent, JobState
from dts_core.stores.mongodb.driver import connect, disconnect
from dts_core.stores.mongodb.jobdocs import document_of
from dts_core.stores.mongodb.moves import Standing
from tests.support.jobs import job_in, move


@pytest.mark.parametrize(
    ("state", "event"),
    [(JobState.QUEUED, JobEvent.CLAIM), (JobState.RUNNING, JobEvent.FINISH)],
)
def test_a_write_names_what_it_was_made_from(state: JobState, event: JobEvent) -> None:
    """State, claim and position as they were read: if any has changed meanwhile, nothing is written."""
    job = job_in(state)
    standing = Standing(document_of(job, 7, 0))
    assert standing.apply(move(job, event, epoch=job.epoch), 8, owing=False).applied
    guard = standing.write()._filter
    assert {name: guard[name] for name in ("_id", "state", "epoch", "changed")} == {
        "_id": job.id,
        "state": state.value,
        "epoch": job.epoch,
        "changed": 7,
    }


async def test_a_promise_is_confirmed_by_a_majority_and_journaled() -> None:
    """And read as such."""
    client, database = connect(StoreSettings(url="mongodb://127.0.0.1:1/dts"))
    try:
        assert database.write_concern.document == {"w": "majority", "j": True}
        assert database.read_concern.level == "majority"
    finally:
        await disconnect(client)


@pytest.mark.parametrize("password", ["hush/word", "hush@word", "hu%sh", "hush?word", "pa/hu@sh"])
def test_no_error_quotes_a_password(password: str) -> None:
    """One that is not encoded is taken for a port, a host or a database, which the driver quotes."""
    url = f"mongodb://ann:{password}@h/dts"
    with pytest.raises(ConfigError) as refused:
        connect(StoreSettings(url=url))
    said = f"{refused.value!r} {refused.value} {refused.value.__cause__}"
    assert "mongodb://ann:***@h/dts" in said
    assert not [part for part in ("hush", "hu%", "hu@", "word@", "?word", "pa/") if part in said]

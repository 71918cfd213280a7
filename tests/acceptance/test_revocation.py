"""What was taken away counts a second later in no server process, while requests go on and rights change at random."""

from pathlib import Path

import pytest

from tests.support import mongodb, rabbitmq
from tests.support.distributed import distributed
from tests.support.revoking import KINDS, Revoking, missing
from tests.support.several import servers

EACH = 3
"""Later requests that must have met each kind of end."""


@pytest.mark.external("rabbitmq", "mongodb")
@pytest.mark.slow
async def test_nothing_that_was_taken_away_succeeds_a_second_later(
    tmp_path: Path, rabbit: rabbitmq.RabbitNode, mongodb: mongodb.MongoAddress
) -> None:
    """Tokens, logins, users, passwords, roles, memberships, namespaces; and what stands is refused by no server."""
    with distributed(tmp_path, rabbit.vhost(), mongodb.fresh()) as engine:
        urls, token = servers(engine, 2)
        fuzz = Revoking(urls, token, seed=4)
        try:
            await fuzz.set_up()
            record = await fuzz.run(each=EACH, deadline=120)
        finally:
            await fuzz.close()
    assert record.later_successes == []
    assert record.wrongly_refused == []
    assert missing(record, EACH) == {}
    assert all(record.revocations[kind] for kind in KINDS)
    assert record.passed

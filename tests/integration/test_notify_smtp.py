"""The function `dts/notify.smtp`: who is in a group, what becomes of each, what is tried again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dts_core.builtin import NotAgain
from dts_core.builtin.notify.smtp import MailOff, MailRefused, MailWaits
from dts_core.errors import ConfigError, InvalidInput
from dts_core.services.mail import check_smtp
from dts_core.services.users import LOCAL
from dts_core.settings import NotifySettings, SmtpSettings
from tests.support.mail import PASSWORD, Sink
from tests.support.mailing import Post
from tests.support.server import SECRET, Server, serve

USERS: dict[str, dict[str, Any]] = {
    "ada": {"role": "admin", "address": "ada@example.org", "groups": ["night"]},
    "bob": {"role": "viewer", "address": "bob@example.org", "groups": ["night", "day"]},
    "cat": {"role": "admin", "groups": ["night"]},
    "dan": {"role": "admin", "address": "dan@example.org", "disabled": True, "groups": ["night"]},
    "eve": {"role": "viewer", "address": "Eve@Example.org"},
    "fay": {"role": "viewer", "address": "EVE@example.org", "groups": ["late"]},
    "gus": {"role": "viewer", "address": "eve@example.org", "groups": ["late"]},
}


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[Sink]:
    async with Sink(tmp_path, security="starttls", login=True) as opened:
        yield opened


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serve(tmp_path) as opened:
        for name, fields in USERS.items():
            await opened.services.users.create(LOCAL, {"_id": name, "secret": SECRET, **fields})
        yield opened


@pytest.fixture
def post(server: Server, sink: Sink) -> Post:
    return made(server, sink.settings)


def made(server: Server, settings: NotifySettings) -> Post:
    intake = server.services.jobs._intake
    return Post(server.store, intake, server.clock, settings)


@pytest.mark.parametrize(
    ("groups", "users"),
    [
        (["administrators"], ["ada"]),
        (["night"], ["ada", "bob"]),
        (["night", "day", "administrators"], ["ada", "bob"]),
        (["late"], ["fay"]),
    ],
)
async def test_group_is_looked_up_when_it_is_mailed(
    post: Post, sink: Sink, groups: list[str], users: list[str]
) -> None:
    """Enabled users with an address, each once however many groups they are in, no address twice."""
    told = await post.call(groups)
    assert told == {"sent": users, "refused": {}, "later": [], "rest": "", "note": ""}
    assert [each.to for each in sink.taken] == [[USERS[user]["address"]] for user in users]


async def test_group_of_nobody(post: Post, sink: Sink) -> None:
    """No failure that comes again and again, but it is said."""
    told = await post.call(["nobody"])
    assert told["sent"] == []
    assert told["note"] == "nobody in nobody has an address"
    assert post.logged == [told["note"]]
    assert sink.sessions == 0


@pytest.mark.parametrize("groups", [[], ["Night"], ["a\r\nb"]])
async def test_what_is_no_group_is_refused(post: Post, groups: list[str]) -> None:
    """A name that no group can have is a mistake of the caller."""
    with pytest.raises(InvalidInput):
        await post.call(groups)


async def test_without_a_server_it_says_so(server: Server) -> None:
    """Mail is off unless a server is named; the call ends at once and says what to do."""
    with pytest.raises(MailOff, match=r"mail is off.*notify\.smtp") as caught:
        await made(server, NotifySettings()).call(["administrators"])
    assert isinstance(caught.value, NotAgain)


async def test_server_away_then_back(post: Post, sink: Sink) -> None:
    """The job fails and is tried again; then the mail comes once."""
    await sink.stop()
    with pytest.raises(MailWaits) as caught:
        await post.call(["night"])
    assert PASSWORD not in str(caught.value)
    assert not isinstance(caught.value, NotAgain)
    await sink.start()
    assert (await post.call(["night"]))["sent"] == ["ada", "bob"]
    assert len(sink.taken) == 2


async def test_one_asked_to_wait_is_tried_again_alone(post: Post, sink: Sink) -> None:
    """Who has the mail does not get it twice; the job for the rest makes the same message."""
    sink.refusals["bob@example.org"] = ["451 later", "451 later still"]
    told = await post.call(["night"])
    assert (told["sent"], told["later"]) == (["ada"], ["bob"])
    (rest,) = await post.accepted()
    assert (rest.id, rest.submitter) == (told["rest"], "dts")
    assert rest.retries > 5
    with pytest.raises(MailWaits, match="bob: 451 later still"):
        await post.run(rest)
    assert await post.run(rest) == {
        "sent": ["bob"], "refused": {}, "later": [], "rest": "", "note": "",
    }  # fmt: skip
    assert [each.to for each in sink.taken] == [["ada@example.org"], ["bob@example.org"]]
    assert [each.message["Message-ID"].split(".")[1] for each in sink.taken] == [
        "01JZZZZZZZZZZZZZZZZZZZZZZZ"
    ] * 2


async def test_the_rest_is_one_job_however_often_the_first_is_run(post: Post, sink: Sink) -> None:
    """A worker that dies after asking for it and before its result asks for the same again."""
    sink.refusals["bob@example.org"] = ["451 later"] * 2
    first, second = await post.call(["night"]), await post.call(["night"])
    assert first["rest"] == second["rest"]
    assert len(await post.accepted()) == 1


async def test_one_refused_for_good(post: Post, sink: Sink) -> None:
    """The others get it, the result names who did not, nothing is tried again."""
    sink.refusals["ada@example.org"] = ["550 no such user"]
    told = await post.call(["night"])
    assert told == {
        "sent": ["bob"], "refused": {"ada": "550 no such user"}, "later": [], "rest": "", "note": "",
    }  # fmt: skip
    assert await post.accepted() == []


async def test_all_refused_for_good(post: Post, sink: Sink) -> None:
    """Nobody has it: the job fails, and not again and again."""
    sink.refusals["ada@example.org"] = ["550 no such user"]
    with pytest.raises(MailRefused, match="ada: 550 no such user") as caught:
        await post.call(["administrators"])
    assert isinstance(caught.value, NotAgain)


async def test_a_call_that_is_cancelled_leaves_no_connection(post: Post, sink: Sink) -> None:
    """Stopping the job ends its session with the server."""
    sink.refusals["ada@example.org"] = ["451 later"]
    call = asyncio.create_task(post.call(["night"]))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert sink.taken == []


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"sender": ""}, "sender"),
        ({"sender": "a@b\r\nBcc: c@d"}, "sender"),
        ({"user": "dts"}, "password_file"),
        ({"password_file": "/x"}, "user"),
        ({"user": "dts", "password_file": "/x", "security": "none"}, "security"),
    ],
)
def test_settings_that_do_not_fit(fields: dict[str, Any], key: str) -> None:
    """Said at the start, with the key; a password never goes over a network in clear."""
    given: dict[str, Any] = {"host": "smtp.example.org", "sender": "dts@example.org"}
    with pytest.raises(ConfigError) as caught:
        check_smtp(SmtpSettings(**(given | fields)))
    assert caught.value.key == f"notify.smtp.{key}"

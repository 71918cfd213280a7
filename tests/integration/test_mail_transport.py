"""Mail to a real server: what it takes, in which form, and what becomes of refusals."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dts_core.builtin.notify.transport import Outcome, ServerAway, deliver
from dts_core.services.mail import Recipient
from dts_core.services.mailtext import SUBJECT_MAX, Letter
from dts_core.settings import SmtpSettings
from dts_core.testing import START
from dts_core.text import is_safe
from tests.support.mail import SENDER, USER, Sink

ADA = Recipient("ada", "ada@example.org")
BOB = Recipient("bob", "bob@example.org")
EVE = Recipient("eve", "eve@example.org")
LETTER = Letter("[dts] critical: lost on web-1", "no heartbeat for 15 s\nsince then")
HEADERS = {
    "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Type",
    "Content-Transfer-Encoding", "MIME-Version",
}  # fmt: skip


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[Sink]:
    async with Sink(tmp_path) as opened:
        yield opened


async def send(
    smtp: SmtpSettings, *to: Recipient, letter: Letter = LETTER, origin: str = "01J"
) -> Outcome:
    return await deliver(smtp, letter, to or (ADA,), origin=origin, at=START)


@pytest.mark.parametrize(
    ("security", "login"),
    [
        ("starttls", True),
        ("starttls", False),
        ("tls", True),
        ("tls", False),
        ("none", True),
        ("none", False),
    ],
)
async def test_each_way_to_a_server(tmp_path: Path, security: str, login: bool) -> None:
    """With TLS from the start, by STARTTLS or without, with and without a login."""
    async with Sink(tmp_path, security=security, login=login) as sink:
        assert await send(sink.smtp) == Outcome(sent=["ada"])
        assert [(each.sender, each.to) for each in sink.taken] == [(SENDER, [ADA.address])]
        assert sink.taken[0].was_encrypted is (security != "none")
        assert sink.taken[0].was_logged_in is login


async def test_message_has_our_headers_and_no_others(sink: Sink) -> None:
    """Each header once, with the values that are ours."""
    await send(sink.smtp)
    message = sink.taken[0].message
    assert sorted(message.keys()) == sorted(HEADERS)
    assert message["From"] == SENDER
    assert message["To"] == ADA.address
    assert message["Subject"] == LETTER.subject
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime == START
    assert message["Message-ID"].startswith("<dts.01J.")
    assert message["Message-ID"].endswith("@control.example.org>")
    assert sink.taken[0].text == LETTER.text


async def test_everybody_has_a_message_of_their_own(sink: Sink) -> None:
    """Nobody learns another one's address, neither from headers nor from the envelope."""
    assert await send(sink.smtp, ADA, BOB, EVE) == Outcome(sent=["ada", "bob", "eve"])
    assert [each.to for each in sink.taken] == [[ADA.address], [BOB.address], [EVE.address]]
    for taken, other in zip(sink.taken, (BOB, EVE, ADA), strict=True):
        assert other.address.encode() not in taken.raw
    assert len({each.message["Message-ID"] for each in sink.taken}) == 3
    assert sink.sessions == 1


async def test_the_same_job_makes_the_same_message_id(sink: Sink) -> None:
    """A retry is recognised by whoever gets it; another job is another message."""
    for origin in ("01J", "01J", "01K"):
        await send(sink.smtp, origin=origin)
    first, second, third = (each.message["Message-ID"] for each in sink.taken)
    assert first == second != third


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(
    subject=st.text(max_size=300)
    | st.from_regex(r"[a-z]{0,5}(\r\n|\n|\r|\x0b|\x85|\u2028)(Bcc|To|X-A): .*", fullmatch=True),
    text=st.text(max_size=600)
    | st.from_regex(r"(\r\n|\n|\r)*\.(\r\n|\n|\r)(MAIL|QUIT|Bcc).*", fullmatch=True),
)
async def test_nothing_can_be_injected(sink: Sink, subject: str, text: str) -> None:
    """Whatever subject and text hold: one message to one address, our headers alone, nothing that is not printable."""
    sink.taken.clear()
    assert await send(sink.smtp, letter=Letter(subject, text)) == Outcome(sent=["ada"])
    (taken,) = sink.taken
    assert taken.to == [ADA.address]
    message = taken.message
    assert sorted(message.keys()) == sorted(HEADERS)
    assert is_safe(message["Subject"])
    assert len(message["Subject"]) <= SUBJECT_MAX
    assert is_safe(taken.text.replace("\n", ""))
    assert message["To"] == ADA.address


async def test_one_refused_for_good_does_not_stop_the_others(sink: Sink) -> None:
    """Who is refused is named with the server's reason; the others get theirs."""
    sink.refusals[BOB.address] = ["550 no such \x1b[31muser"]
    outcome = await send(sink.smtp, ADA, BOB, EVE)
    assert outcome.sent == ["ada", "eve"]
    assert outcome.refused == {"bob": "550 no such \\x1b[31muser"}
    assert outcome.later == {}


@pytest.mark.parametrize("where", ["rcpt", "data"])
async def test_one_to_be_tried_again_does_not_stop_the_others(sink: Sink, where: str) -> None:
    """A reply of 4xx is no end: the next try succeeds."""
    if where == "rcpt":
        sink.refusals[ADA.address] = ["451 try again"]
    else:
        sink.data_replies = ["451 try again"]
    outcome = await send(sink.smtp, ADA, BOB)
    assert (outcome.sent, outcome.refused) == (["bob"], {})
    assert outcome.later == {"ada": "451 try again"}
    assert await send(sink.smtp, ADA) == Outcome(sent=["ada"])
    assert [each.to for each in sink.taken] == [[BOB.address], [ADA.address]]


async def test_a_cut_connection_leaves_the_rest_for_later(sink: Sink) -> None:
    """Nobody counts as sent whose message was not confirmed."""
    sink.data_replies = ["cut"]
    outcome = await send(sink.smtp, ADA, BOB)
    assert (outcome.sent, outcome.refused, sorted(outcome.later)) == ([], {}, ["ada", "bob"])
    assert sink.taken == []


async def test_server_away(sink: Sink) -> None:
    """Nobody listens: nothing was sent; once it is back, it is."""
    await sink.stop()
    with pytest.raises(ServerAway, match=f"127.0.0.1:{sink.port}"):
        await send(sink.smtp)
    await sink.start()
    assert await send(sink.smtp) == Outcome(sent=["ada"])


async def test_no_tls_no_mail(sink: Sink) -> None:
    """A server without STARTTLS gets nothing when TLS is asked for: neither login nor message."""
    asked = replace(
        sink.smtp, security="starttls", user=USER, password_file=str(sink.password_file)
    )
    with pytest.raises(ServerAway):
        await send(asked)
    assert sink.taken == []


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_strange_certificate_no_mail(tmp_path: Path, security: str) -> None:
    """Who cannot prove to be the server gets neither login nor message."""
    async with Sink(tmp_path, security=security, login=True) as sink:
        with pytest.raises(ServerAway):
            await send(replace(sink.smtp, ca_file=""))
        assert sink.taken == []


async def test_refused_login_never_tells_the_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even when the server says it back, as it is or encoded; and the error has no cause that does."""
    caplog.set_level(logging.DEBUG)
    async with Sink(tmp_path, security="tls", login=True) as sink:
        sink.password_file.write_text("another canary")
        sink.login_reply = "535 5.7.8 wrong: another canary AGR0cwBhbm90aGVyIGNhbmFyeQ=="
        with pytest.raises(ServerAway) as caught:
            await send(sink.smtp)
    ours = [each.getMessage() for each in caplog.records if each.name != "mail.log"]
    told = f"{caught.value!s} {caught.value!r} {caught.value.__cause__!r} {ours}"
    assert "535" in told
    for secret in ("another canary", "AGR0cwBhbm90aGVyIGNhbmFyeQ", "YW5vdGhlciBjYW5hcnk"):
        assert secret not in told
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
async def test_password_that_others_may_read_is_not_used(tmp_path: Path, mode: int) -> None:
    """It is no secret any more; what to do is said."""
    async with Sink(tmp_path, security="tls", login=True) as sink:
        sink.password_file.chmod(mode)
        with pytest.raises(ServerAway, match="chmod 600"):
            await send(sink.smtp)
        assert sink.sessions == 0


async def test_password_file_that_is_none(tmp_path: Path) -> None:
    """Missing, empty, binary: said, and nothing of it told."""
    async with Sink(tmp_path, security="tls", login=True) as sink:
        for content in (None, b"", b"\xff\xfe canary", b"two\nlines"):
            sink.password_file.unlink(missing_ok=True)
            if content is not None:
                sink.password_file.touch(0o600)
                sink.password_file.write_bytes(content)
            with pytest.raises(ServerAway, match="password_file") as caught:
                await send(sink.smtp)
            assert "canary" not in str(caught.value)

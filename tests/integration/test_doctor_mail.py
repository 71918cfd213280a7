"""What `dts doctor` says of mail."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from dts_core.doctor.findings import Level
from dts_core.doctor.mail import check_mail
from dts_core.settings import SmtpSettings
from tests.support.mail import PASSWORD, Sink


async def test_mail_that_is_off_is_no_problem() -> None:
    """It is the default."""
    (found,) = await check_mail(SmtpSettings())
    assert (found.level, found.area) == (Level.OK, "mail")
    assert found.what.startswith("mail is off")


async def test_server_that_answers(tmp_path: Path) -> None:
    """Where it is and how it is spoken to; nothing is sent, and the password is not shown."""
    async with Sink(tmp_path, security="starttls", login=True) as sink:
        (found,) = await check_mail(sink.smtp)
        assert found.level is Level.OK
        assert f"127.0.0.1:{sink.port} answers, starttls" in found.what
        assert PASSWORD not in f"{found!r} {sink.settings!r}"
        assert sink.taken == []


@pytest.mark.parametrize("trouble", ["away", "readable", "sender"])
async def test_what_is_wrong_is_said_with_advice(tmp_path: Path, trouble: str) -> None:
    """A server that is away, a password that others may read, a sender that is none."""
    async with Sink(tmp_path, security="starttls", login=True) as sink:
        smtp = sink.smtp
        if trouble == "away":
            await sink.stop()
        elif trouble == "readable":
            sink.password_file.chmod(0o644)
        else:
            smtp = replace(smtp, sender="nobody")
        (found,) = await check_mail(smtp)
        assert found.level is Level.PROBLEM
        assert found.advice
        assert PASSWORD not in repr(found)

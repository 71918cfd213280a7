"""`dts admin mail test` against a whole stack and a mail server with TLS and login."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.support.mail import PASSWORD, Sink
from tests.support.processes import environment, up

CONFIG = """[notify.smtp]
host = "{smtp.host}"
port = {smtp.port}
ca_file = "{smtp.ca_file}"
user = "{smtp.user}"
password_file = "{smtp.password_file}"
sender = "{smtp.sender}"
"""


async def dts(folder: Path, *argv: str) -> tuple[int | None, str]:
    """Status, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "dts_core.cli", *argv],
        env=environment(folder) | {"DTS_DATA": str(folder / "data")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.slow
async def test_mail_by_command(tmp_path: Path) -> None:
    """It tells who got the test and who did not, in words and status; the password is nowhere but in its own file."""
    async with Sink(tmp_path, security="starttls", login=True) as sink:
        config = tmp_path / "config"
        config.mkdir()
        (config / "server.toml").write_text(CONFIG.format(smtp=sink.smtp))
        stack = up(tmp_path, "--config-dir", str(config))
        running = await asyncio.to_thread(stack.__enter__)
        try:
            (await asyncio.to_thread(running.client)).close()
            status, said = await dts(tmp_path, "admin", "mail", "test")
            assert (status, said.count("nobody in administrators has an address")) == (1, 1)
            address = "address=root@example.org"
            status, said = await dts(tmp_path, "admin", "users", "set", "admin", address)
            assert status == 0, said
            assert await dts(tmp_path, "admin", "mail", "test") == (0, "sent     admin\n")
            assert [taken.to for taken in sink.taken] == [["root@example.org"]]
            assert sink.taken[0].was_encrypted
            sink.refusals["root@example.org"] = ["550 no such user"]
            status, said = await dts(tmp_path, "admin", "mail", "test", "--json")
            assert status == 1
            assert json.loads(said)["error"]["type"] == "MailRefused"
            await sink.stop()
            status, said = await dts(tmp_path, "admin", "mail", "test")
            assert status == 1
            assert "the mail server did not take it" in said
            status, said = await dts(tmp_path, "admin", "mail", "test", "--group", "Night shift")
            assert status == 1
            assert "'Night shift' is no group" in said
            status, said = await dts(tmp_path, "status")
            assert "mail is off" not in said
        finally:
            await asyncio.to_thread(stack.__exit__, None, None, None)
        files = [each for each in tmp_path.rglob("*") if each.is_file()]
        holders = [each for each in files if PASSWORD.encode() in each.read_bytes()]
        assert holders == [sink.password_file]

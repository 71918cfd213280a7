"""The log of a part: printable, without secrets, never in the way."""

import json
import logging
from pathlib import Path

import pytest
import structlog

from dts_core.errors import ConfigError
from dts_core.logs import hide_secrets, log_to
from dts_core.settings import LoggingSettings


def written(tmp_path: Path, form: str = "text", level: str = "info") -> Path:
    return tmp_path / f"{form}-{level}.log"


def settings(path: Path, form: str = "text", level: str = "info") -> LoggingSettings:
    return LoggingSettings(
        file=str(path),
        format="json" if form == "json" else "text",
        level="debug" if level == "debug" else "info",
    )


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_control_reaches_the_file(tmp_path: Path, form: str) -> None:
    """Escape sequences, bidi controls and line feeds of foreign text become visible; a record is a line."""
    path = tmp_path / "a.log"
    with log_to(settings(path, form)):
        logging.getLogger("dts.x").info("got %s", "a\x1b[31m\u202e\nFAKE error dts.y: forged")
        structlog.get_logger("dts.y").warning("seen", host="h\x07\r\n2026 forged")
    text = path.read_text()
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert len(text.splitlines()) == 2
    assert "\\x1b[31m" in (json.loads(text.splitlines()[0])["event"] if form == "json" else text)


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_are_hidden(tmp_path: Path, form: str) -> None:
    """Fields that are called secrets, passwords in URLs and bearer tokens never stand in the log."""
    path = tmp_path / "a.log"
    with log_to(settings(path, form)):
        log = structlog.get_logger("dts")
        log.info("a", token="hunter2-a", nested={"secret_hash": "hunter2-b"})
        log.info("connect amqp://me:hunter2-c@host/ failed")
        logging.getLogger("dts").info("Authorization: Bearer hunter2-d, password=hunter2-e")
        try:
            raise ValueError("secret='hunter2-f'")
        except ValueError:
            log.exception("failed")
    text = path.read_text()
    assert "hunter2" not in text
    assert text.count("***") >= 6


def test_levels_and_libraries(tmp_path: Path) -> None:
    """The level counts for us; chatty libraries speak from warning on."""
    path = tmp_path / "a.log"
    with log_to(settings(path)):
        logging.getLogger("dts").debug("unheard")
        logging.getLogger("uvicorn.error").info("chatter")
        logging.getLogger("uvicorn.error").warning("trouble")
        structlog.get_logger("dts").debug("unheard")
    text = path.read_text()
    assert "unheard" not in text
    assert "chatter" not in text
    assert "warning uvicorn.error: trouble" in text


def test_trace_is_kept(tmp_path: Path) -> None:
    """An exception is written with its trace, indented below its line."""
    path = tmp_path / "a.log"
    with log_to(settings(path)):
        try:
            raise ValueError("odd")
        except ValueError:
            logging.getLogger("dts").exception("failed")
    lines = path.read_text().splitlines()
    assert lines[0].endswith("error   dts: failed")
    assert lines[-1] == "    ValueError: odd"


def test_second_file_gets_the_same(tmp_path: Path) -> None:
    """The stack's own log goes to its folder whatever the settings say."""
    with log_to(settings(tmp_path / "a.log"), file=tmp_path / "b.log"):
        logging.getLogger("dts").info("both")
    assert (tmp_path / "a.log").read_text() == (tmp_path / "b.log").read_text() != ""


def test_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """One line that names the file and the key."""
    path = tmp_path / "no" / "a.log"
    with pytest.raises(ConfigError, match=r"a\.log: logging\.file: "), log_to(settings(path)):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_costs_lines_and_nothing_else(capfd: pytest.CaptureFixture[str]) -> None:
    """No traceback for each line, and no error at the end."""
    with log_to(settings(Path("/dev/full"))):
        for number in range(3):
            logging.getLogger("dts").info("line %d", number)
    assert "Traceback" not in capfd.readouterr().err


def test_logging_is_as_before_afterwards(tmp_path: Path) -> None:
    """The set-up ends with its block."""
    before = list(logging.getLogger().handlers)
    with log_to(settings(tmp_path / "a.log")):
        assert logging.getLogger().handlers != before
    assert logging.getLogger().handlers == before


@pytest.mark.parametrize(
    "text",
    ["a plain line", "the token was refused", "secret: no", "http://host/path", "bearer of news"],
)
def test_plain_words_stay(text: str) -> None:
    """Talking about secrets is no secret."""
    assert hide_secrets(text) in (text, text.replace("news", "***"))

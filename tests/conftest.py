"""Rules for all tests: which run alone, and what becomes of a test whose service is missing."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SERIAL_FOLDERS = {"acceptance", "integration"}

# What `@pytest.mark.external(NAME)` asks for: how it is found, and how to get it.
SERVICES: dict[str, tuple[Callable[[], bool], str]] = {
    "git": (lambda: shutil.which("git") is not None, "apt-get install git"),
    "mongodb": (lambda: "DTS_TEST_MONGODB_URL" in os.environ, "set DTS_TEST_MONGODB_URL"),
    "rabbitmq": (lambda: "DTS_TEST_RABBITMQ_URL" in os.environ, "set DTS_TEST_RABBITMQ_URL"),
    "sshd": (
        lambda: shutil.which("sshd", path=f"{os.defpath}:/usr/sbin:/usr/local/sbin") is not None,
        "apt-get install openssh-server",
    ),
    "strace": (lambda: shutil.which("strace") is not None, "apt-get install strace"),
    "tmux": (lambda: shutil.which("tmux") is not None, "apt-get install tmux"),
    "wc": (lambda: shutil.which("wc") is not None, "apt-get install coreutils"),
}


def services_required() -> bool:
    return os.environ.get("DTS_REQUIRE_SERVICES", "") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        parts = item.path.relative_to(HERE).parts if item.path.is_relative_to(HERE) else ()
        if parts and parts[0] in SERIAL_FOLDERS:
            item.add_marker(pytest.mark.serial)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("external"):
        for name in mark.args:
            if name not in SERVICES:
                pytest.fail(f"tests/conftest.py knows no service {name!r}", pytrace=False)
            found, advice = SERVICES[name]
            if found():
                continue
            reason = f"{name} is missing ({advice})"
            if services_required():
                pytest.fail(f"{reason}, and DTS_REQUIRE_SERVICES=1", pytrace=False)
            pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was skipped for want of a service, so that a green run hides nothing."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        if isinstance(report.longrepr, tuple):
            reason = str(report.longrepr[2]).removeprefix("Skipped: ")
            reasons[reason] = reasons.get(reason, 0) + 1
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"skipped {count}: {reason}")

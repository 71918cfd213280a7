"""Rules for all tests: which run in which phase and order, and what becomes of one whose service is missing."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import hypothesis
import pytest

from tests.support import fuzz, mongodb, pamsshd, privateroot, rabbitmq
from tools import campaign_network

# A run in the background of a shell begins with SIGINT ignored, and would hand that on to every process of a test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes tells of the machine, not of what is tested. Where the run decides on a change, it tries the
# same examples each time; at a desk it looks for new ones.
hypothesis.settings.register_profile(
    "dts",
    deadline=None,
    derandomize=os.environ.get("DTS_REQUIRE_SERVICES", "") == "1",
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("dts")

HERE = Path(__file__).parent
SERIAL_FOLDERS = {"acceptance"}
NAMED_BYTES_MAX = 32
SERIAL_FIXTURES = {"private_rabbit"}
"""Who stops servers and waits for their return does it with those that wait too."""

# What `@pytest.mark.external(NAME)` asks for: how it is found, and how to get it.
SERVICES: dict[str, tuple[Callable[[], bool], str]] = {
    "curl": (lambda: shutil.which("curl") is not None, "apt-get install curl"),
    "git": (lambda: shutil.which("git") is not None, "apt-get install git"),
    "mongodb": (mongodb.available, mongodb.ADVICE),
    "pam": (pamsshd.available, pamsshd.ADVICE),
    "privateroot": (privateroot.available, privateroot.ADVICE),
    "network namespaces": (campaign_network.is_possible, "root, and iproute2"),
    "rabbitmq": (rabbitmq.is_to_be_had, rabbitmq.ADVICE),
    "schemathesis": (fuzz.available, fuzz.ADVICE),
    "sshd": (
        lambda: shutil.which("sshd", path=f"{os.defpath}:/usr/sbin:/usr/local/sbin") is not None,
        "apt-get install openssh-server",
    ),
    "strace": (lambda: shutil.which("strace") is not None, "apt-get install strace"),
    "systemd": (lambda: shutil.which("systemd-analyze") is not None, "apt-get install systemd"),
    "tmux": (lambda: shutil.which("tmux") is not None, "apt-get install tmux"),
    "wc": (lambda: shutil.which("wc") is not None, "apt-get install coreutils"),
}


def services_required() -> bool:
    return os.environ.get("DTS_REQUIRE_SERVICES", "") == "1"


@pytest.fixture(scope="session", name="mongodb")
def mongodb_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mongodb.MongoAddress]:
    """A MongoDB for the whole run, started by the first test that asks; `fresh()` names a database of one's own."""
    if not mongodb.available():
        missing("mongodb")
    with mongodb.mongodb_address(tmp_path_factory.mktemp("mongodb")) as address:
        yield address


@pytest.fixture(scope="session", name="rabbit")
def rabbit_fixture() -> Iterator[rabbitmq.RabbitNode]:
    """A RabbitMQ for the whole run, started by the first test that asks; `vhost()` makes a place of one's own."""
    if not rabbitmq.is_to_be_had():
        missing("rabbitmq")
    with rabbitmq.shared_node() as node:
        yield node


@pytest.fixture(scope="module")
def private_rabbit() -> Iterator[rabbitmq.RabbitNode]:
    """A node for the tests of one module, which stop and kill it; each leaves it running."""
    if not rabbitmq.is_installed():
        missing("rabbitmq")
    with rabbitmq.private_node() as node:
        yield node


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        parts = item.path.relative_to(HERE).parts if item.path.is_relative_to(HERE) else ()
        fixtures = SERIAL_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        if item.get_closest_marker("alone") is None and (
            fixtures or (parts and parts[0] in SERIAL_FOLDERS)
        ):
            item.add_marker(pytest.mark.serial)
    # Files with slow tests first: what takes longest does not begin last. Within a file the order stays.
    slow = {item.path for item in items if item.get_closest_marker("slow") is not None}
    items.sort(key=lambda item: item.path not in slow)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes that may be made of keys are no name: each process of a run has to find the same tests."""
    return argname if isinstance(val, bytes) and len(val) > NAMED_BYTES_MAX else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("external"):
        for name in mark.args:
            if name not in SERVICES:
                pytest.fail(f"tests/conftest.py knows no service {name!r}", pytrace=False)
            if not SERVICES[name][0]():
                missing(name)


def missing(name: str) -> NoReturn:
    """Skip the test that asks for a service that is not here, and name it; with DTS_REQUIRE_SERVICES=1 fail it."""
    reason = f"{name} is missing ({SERVICES[name][1]})"
    if services_required():
        pytest.fail(f"{reason}, and DTS_REQUIRE_SERVICES=1", pytrace=False)
    pytest.skip(reason)


class _Failures:
    """Writes the ids of tests that failed, in any phase, to the file that tools/test.sh names; one process does."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            with self._file.open("a") as out:
                out.write(f"{report.nodeid}\n")


def pytest_configure(config: pytest.Config) -> None:
    path = os.environ.get("DTS_TEST_FAILED_FILE")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Failures(Path(path)), "dts-failures")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was skipped for want of a service, so that a green run hides nothing."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        if isinstance(report.longrepr, tuple):
            reason = str(report.longrepr[2]).removeprefix("Skipped: ")
            reasons[reason] = reasons.get(reason, 0) + 1
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"skipped {count}: {reason}")

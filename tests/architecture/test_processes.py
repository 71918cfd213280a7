"""What a process really loads, seen from inside a fresh interpreter."""

import json
import subprocess
import sys

import pytest

from tests.architecture.source import ROOT, files, module_name

DRIVERS = {"aio_pika", "aiormq", "apsw", "asyncssh", "litestar", "motor", "pymongo", "uvicorn"}

REPORT = """
import json, sys
{code}
print("\\n@" + json.dumps(sorted({{name.split(".")[0] for name in sys.modules}})))
"""

HELP = """
from {module} import main
sys.argv = ["{module}", *{arguments}]
try:
    main()
except SystemExit as end:
    if end.code:
        raise
"""


def loaded_by(code: str) -> set[str]:
    """Run code in a new interpreter; return the top-level modules it then has loaded."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT.format(code=code)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded: list[str] = json.loads(done.stdout.rsplit("@", 1)[1])
    return set(loaded)


def import_all(package: str) -> str:
    names = [module_name(file) for file in files(package)]
    return "\n".join(f"import {name}" for name in names if not name.endswith("__main__"))


def test_worker_is_light() -> None:
    """A worker on the embedded engine loads no screen, server, other engine or SSH."""
    code = f"{import_all('dts_worker')}\nimport dts_core.brokers.link"
    assert loaded_by(code) & ((DRIVERS | {"textual", "dts_tui"}) - {"apsw"}) == set()


def test_worker_checks_signatures_lightly() -> None:
    """Without what signs, and without what reads requirements: both would be megabytes in every worker."""
    code = f"""
{import_all("dts_worker")}
from dts_core.sealed import Opener, OpeningKey
from dts_core.sealed.files import read_opening_keys
from dts_core.hosting.opening import opener_of
from dts_core.signing import PublicKey
assert Opener([OpeningKey.new()]).ids
assert not PublicKey(bytes(32)).is_by(bytes(64), b"said")
"""
    loaded = loaded_by(code)
    assert "nacl" in loaded
    assert loaded & {"cryptography", "packaging"} == set()


def test_worker_command_is_light() -> None:
    """Nor does its command, before it knows which broker it will use."""
    assert loaded_by("import dts_worker.cli") & (DRIVERS | {"textual", "dts_tui"}) == set()


def test_wiring_of_a_worker_is_light() -> None:
    """On RabbitMQ too: neither server nor store."""
    code = """
from dts_core.settings import LinkSettings
from dts_core.wiring.worker import worker_line
import asyncio

async def make():
    worker_line(LinkSettings(url="amqp://h/v"), host="h", worker="h-1")

asyncio.run(make())
"""
    loaded = loaded_by(code)
    assert "aiormq" in loaded
    assert loaded & {"apsw", "litestar", "motor", "pymongo", "uvicorn", "asyncssh"} == set()


def test_sessions_load_their_library_late() -> None:
    """A control side that reaches no host does not carry the SSH library, though it could reach one."""
    code = "import dts_core.remote, dts_core.builtin, dts_core.daemons.internal"
    assert "asyncssh" not in loaded_by(code)


def test_console_has_no_engine() -> None:
    """The console loads neither the worker nor any part that only the control side needs."""
    assert loaded_by("import dts_tui.app") & (DRIVERS | {"dts_worker"}) == set()


def test_clients_need_only_http() -> None:
    """A program that uses the client library carries no server, engine or screen."""
    code = "import dts_core.clients"
    assert loaded_by(code) & (DRIVERS | {"textual", "dts_worker", "dts_tui"}) == set()


def test_runner_loads_only_the_standard_library() -> None:
    """The child that runs user code starts fast and holds nothing that it does not need."""
    loaded = loaded_by(f"before = set(sys.modules)\n{import_all('dts_core/runner')}")
    clean = loaded_by("")
    assert loaded - clean - set(sys.stdlib_module_names) <= {"dts_core"}


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("dts_core.cli", ["--help"]),
        ("dts_core.cli", ["submit", "--help"]),
        ("dts_core.cli", ["up", "--help"]),
        ("dts_core.cli", ["server", "--help"]),
        ("dts_worker.cli", ["--help"]),
        ("dts_tui.cli", ["--help"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_help_loads_no_driver(module: str, arguments: list[str]) -> None:
    """Help answers in a blink because nothing heavy is imported for it."""
    loaded = loaded_by(HELP.format(module=module, arguments=arguments))
    assert loaded & (DRIVERS | {"httpx", "textual", "asyncssh", "psutil"}) == set()


@pytest.mark.parametrize("module", ["dts_core.cli", "dts_worker.cli", "dts_tui.cli"])
def test_commands_also_start_as_modules(module: str) -> None:
    """`python -m` works where the scripts are not on the path."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage" in done.stdout

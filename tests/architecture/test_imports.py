"""Which module may import what; `make imports` holds the same arrows through whole chains."""

import ast
import sys

import pytest

from tests.architecture.source import PACKAGES, ROOT, files, imports, module_name, tree, within

# Each driver has its place; everything else works through a port of ours.
DRIVERS: dict[str, tuple[str, ...]] = {
    "aio_pika": ("dts_core.brokers.rabbitmq",),
    "aiormq": ("dts_core.brokers.rabbitmq",),
    "aiosmtplib": ("dts_core.builtin",),
    "apsw": ("dts_core.sqlite", "dts_core.stores.embedded", "dts_core.brokers.embedded"),
    "asyncssh": ("dts_core.ssh",),
    "cryptography": ("dts_core.signing", "dts_core.vault"),
    "bson": ("dts_core.stores.mongodb.driver",),
    "httpx": ("dts_core.clients",),
    "litestar": ("dts_core.api",),
    "motor": ("dts_core.stores.mongodb.driver",),
    "psutil": ("dts_worker", "dts_core.daemons", "dts_core.cli"),
    "pymongo": ("dts_core.stores.mongodb.driver",),
    "sqlite3": (),
    "textual": ("dts_tui",),
    "tree_sitter": ("dts_tui",),
    "websockets": ("dts_core.clients.shell",),
    "uvicorn": ("dts_core.api", "dts_core.cli", "dts_core.wiring"),
    "yaml": ("dts_core.hostfiles",),
}

CONSOLE_MAY_USE = tuple(
    f"dts_core.{name}"
    for name in (
        "clients",
        "clock",
        "config",
        "errors",
        "hostsets",
        "model",
        "names",
        "plain",
        "settings",
        "states",
        "text",
        "views",
    )
)

WIRING_USERS = ("dts_core.cli", "dts_core.wiring", "dts_worker.cli")


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_driver_stays_in_its_place(driver: str) -> None:
    """One driver, one place: changing a driver changes one module."""
    strays = [
        str(found)
        for found in imports()
        if within(found.target, driver) and not within(found.module, *DRIVERS[driver])
    ]
    assert strays == []


def test_console_uses_only_clients_and_plain_records() -> None:
    """The console could live on another machine: of the core it knows no engine part."""
    strays = [
        str(found)
        for found in imports("dts_tui")
        if within(found.target, "dts_core", "dts_worker")
        and found.target != "dts_core"
        and not within(found.target, *CONSOLE_MAY_USE)
    ]
    assert strays == []


def test_worker_uses_only_the_core() -> None:
    """A worker knows neither the console nor the control side's rules and documents."""
    forbidden = ("dts_tui", "dts_core.api", "dts_core.services", "dts_core.stores")
    strays = [str(found) for found in imports("dts_worker") if within(found.target, *forbidden)]
    assert strays == []


def test_core_uses_neither_worker_nor_console() -> None:
    """Arrows point towards the core."""
    strays = [
        str(found) for found in imports("dts_core") if within(found.target, "dts_worker", "dts_tui")
    ]
    assert strays == []


def test_only_commands_choose_adapters() -> None:
    """`wiring` is the one place that picks concrete adapters, and only commands ask it."""
    strays = [
        str(found)
        for found in imports()
        if within(found.target, "dts_core.wiring") and not within(found.module, *WIRING_USERS)
    ]
    assert strays == []


def test_runner_needs_nothing_but_python() -> None:
    """The runner is sent to interpreters that have no package of ours."""
    strays = [
        str(found)
        for found in imports("dts_core/runner")
        if found.target.split(".")[0] not in sys.stdlib_module_names | {"dts_core"}
        or (within(found.target, "dts_core") and not within(found.target, "dts_core.runner"))
    ]
    assert strays == []


def test_set_up_needs_nothing_but_python() -> None:
    """So is what sets a host up; the supervisor lies there as a file alone, and knows no module of ours."""
    far = "dts_core.ssh.setup.far"
    found = list(imports("dts_core/ssh/setup/far"))
    strays = [
        str(each)
        for each in found
        if each.target.split(".")[0] not in sys.stdlib_module_names | {"dts_core"}
        or (within(each.target, "dts_core") and not within(each.target, far))
        or (each.module == f"{far}.supervisor" and within(each.target, "dts_core"))
    ]
    assert strays == []


def test_runner_is_readable_by_python_39() -> None:
    """A far host may have an older Python than the control side."""
    sources = list(files("dts_core/runner", "dts_core/ssh/setup/far"))
    assert {"child.py", "serve.py"} <= {file.name for file in sources}
    for file in sources:
        ast.parse(file.read_text("utf-8"), str(file), feature_version=(3, 9))
    with pytest.raises(SyntaxError):  # the check does refuse what is newer
        ast.parse("match 1:\n    case _: pass\n", feature_version=(3, 9))


def test_host_keys_are_never_switched_off() -> None:
    """`known_hosts=None` accepts any host: the word stands at one place, with a value that has us asked each time."""
    found = {
        f"{module_name(file)}: {ast.unparse(value)}"
        for file in files(*PACKAGES, "tests", "benchmarks", "tools", "etc")
        if "known_hosts" in file.read_text("utf-8")
        for node in ast.walk(tree(file))
        for value in _known_hosts(node)
    }
    assert found == {"dts_core.ssh.connect: _NO_KEYS"}


def _known_hosts(node: ast.AST) -> list[ast.expr]:
    """What a piece of code gives to `known_hosts`, whichever way it is written."""
    if isinstance(node, ast.keyword) and node.arg == "known_hosts":
        return [node.value]
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = {getattr(each, "attr", getattr(each, "id", "")) for each in targets}
        return [node.value] if "known_hosts" in names else []
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return [value for key, value in pairs if getattr(key, "value", "") == "known_hosts"]
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "setattr":
        return [node for each in node.args if getattr(each, "value", "") == "known_hosts"]
    return []


@pytest.mark.parametrize(
    "code",
    [
        "connect(host, known_hosts=None)",
        "options.known_hosts = None",
        "known_hosts: object = None",
        "options = {'known_hosts': None}",
        "setattr(options, 'known_hosts', None)",
    ],
)
def test_switching_host_keys_off_is_noticed(code: str) -> None:
    """The check above sees it in whatever form."""
    assert [value for node in ast.walk(ast.parse(code)) for value in _known_hosts(node)]


def test_unpacking_is_always_bounded() -> None:
    """`zlib.decompress` has no limit: 1 MiB may become 1 GiB. Only the codec unpacks.

    What is sent to far hosts is packed too; whoever does that unpacks nothing here.
    """
    strays = [
        str(found)
        for found in imports()
        if within(found.target, "zlib", "gzip", "bz2", "lzma")
        and not within(found.module, "dts_core.codec", "dts_core.ssh.bootstrap")
    ]
    calls = [
        f"{module_name(file)}:{node.lineno}"
        for file in files()
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "zlib.decompress"
    ]
    assert strays + calls == []


def test_foreign_bytes_never_become_code() -> None:
    """No format that runs code while decoding is read anywhere; code of ours is written in one, for far hosts."""
    forbidden = ("pickle", "marshal", "shelve", "dill", "cloudpickle")
    writer = ROOT / "dts_core" / "ssh" / "bootstrap.py"
    found = [(each.module, each.target) for each in imports() if within(each.target, *forbidden)]
    assert found == [(module_name(writer), "marshal")]
    used = {
        node.attr
        for node in ast.walk(tree(writer))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "marshal"
    }
    assert used == {"dumps"}


def test_every_package_says_so() -> None:
    """A folder without `__init__.py` would be missing from the wheel."""
    bare = {
        str(file.parent.relative_to(ROOT))
        for file in files()
        if not (file.parent / "__init__.py").is_file()
    }
    assert bare == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_ship_their_types(package: str) -> None:
    """A user's type checker sees our annotations."""
    assert (ROOT / package / "py.typed").is_file()

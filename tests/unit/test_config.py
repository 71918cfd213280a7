"""Configuration files, `-dev` tables, variables and flags, and what each mistake is answered with."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from dts_core.config import FILE_MAX, config_folder, load_config_file, load_settings, variables
from dts_core.errors import ConfigError
from dts_core.settings import ServerFile, TuiFile, WorkerFile

# The first draw builds tables of Unicode; each example writes a file.
UNHURRIED = examples(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
PARTS = {"server": ServerFile, "worker": WorkerFile, "tui": TuiFile}


def write(folder: Path, text: str | bytes, name: str = "server.toml") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def load(path: Path, **options: Any) -> ServerFile:
    return load_settings(
        ServerFile, part="server", config_file=path, **{"environ": {}, **options}
    ).settings


def settings_or_line(path: Path, **options: Any) -> ServerFile | str:
    try:
        return load(path, **options)
    except ConfigError as error:
        return str(error)


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_file_wins_over_defaults(tmp_path: Path) -> None:
    """What the file names is taken, the rest keeps its default."""
    settings = load(write(tmp_path, "[server]\nport = 8000\n"))
    assert (settings.server.port, settings.server.host) == (8000, "127.0.0.1")


def test_json_and_toml_say_the_same(tmp_path: Path) -> None:
    """The parser follows the file's ending; both give the same settings."""
    toml = write(tmp_path, "[server]\nport = 8000\n[consumer.porter]\nbatch = 7\n")
    tables = {"server": {"port": 8000}, "consumer": {"porter": {"batch": 7}}}
    assert load(toml) == load(write(tmp_path, json.dumps(tables), "server.json"))


def test_type_given_wins_over_the_ending(tmp_path: Path) -> None:
    """A caller may say what a file is, whatever its name."""
    path = write(tmp_path, '{"server": {"port": 1}}', "settings.conf")
    assert load_config_file(path, "json") == {"server": {"port": 1}}


@pytest.mark.parametrize(("name", "filetype"), [("a.yaml", None), ("a", None), ("a.toml", "os")])
def test_only_listed_parsers(tmp_path: Path, name: str, filetype: str | None) -> None:
    """A type is looked up in a list, never imported by its name."""
    with pytest.raises(ConfigError, match=r"Use one of: toml, json\."):
        load_config_file(write(tmp_path, "", name), filetype)


def test_variables_win_over_the_file_and_flags_over_both(tmp_path: Path) -> None:
    """flag > environment > file."""
    path = write(tmp_path, '[server]\nport = 1\nhost = "h1"\ntls_cert = "c1"\n')
    settings = load(
        path,
        environ={"DTS_SERVER_PORT": "2", "DTS_SERVER_HOST": "h2"},
        overrides={"server.port": 3, "server.insecure": None},
    )
    assert (settings.server.port, settings.server.host) == (3, "h2")
    assert settings.server.tls_cert == "c1"


def test_variables_reach_every_depth_and_type() -> None:
    """Nested tables, numbers, switches, lists and tables are all set from the environment."""
    environ = {
        "DTS_CONSUMER_PORTER_PREFETCH": "9",
        "DTS_CONSUMER_SCHEDULER_TICK_SECONDS": "0.25",
        "DTS_SERVER_INSECURE": "true",
        "DTS_LOOP": "asyncio",
    }
    server = load_settings(ServerFile, part="server", environ=environ).settings
    assert server.consumer.porter.prefetch == 9
    assert server.consumer.scheduler.tick_seconds == 0.25
    assert (server.server.insecure, server.loop) == (True, "asyncio")
    worker = load_settings(
        WorkerFile,
        part="worker",
        environ={"DTS_AGENT_PATHS": "/a/*.log, /b", "DTS_WORKER_QUEUES": '["a,b"]'},
    ).settings
    assert worker.agent.paths == ["/a/*.log", "/b"]
    assert worker.worker.queues == ["a,b"]
    keys = {"DTS_KEYS": '{"quit": "ctrl+q"}'}
    assert load_settings(TuiFile, part="tui", environ=keys).settings.keys == {"quit": "ctrl+q"}


@pytest.mark.parametrize("kind", PARTS.values())
def test_no_two_keys_share_a_variable(kind: type) -> None:
    """A variable sets exactly one key."""
    names = variables(kind)
    assert len(set(names.values())) == len(names)
    assert len(names) > 5


def test_empty_variable_counts_as_none() -> None:
    """`DTS_SERVER_HOST= dts server` means: not set."""
    settings = load_settings(ServerFile, part="server", environ={"DTS_SERVER_HOST": ""}).settings
    assert settings.server.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DTS_SERVER_PROT", "1", "Did you mean DTS_SERVER_PORT?"),
        ("DTS_SERVER_PORT", "x", "expected int, got str; given 'x'."),
        ("DTS_SERVER_PORT", "70000", "expected int <= 65535; given '70000'."),
        ("DTS_LOOP", "uv", "expected one of auto, uvloop, asyncio; given 'uv'."),
    ],
)
def test_wrong_variables_are_named(name: str, value: str, expected: str) -> None:
    """A variable of our tables that is misspelt or does not fit stops the start."""
    with pytest.raises(ConfigError) as caught:
        load_settings(ServerFile, part="server", environ={name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert expected in str(caught.value)


def test_foreign_variables_are_left_alone() -> None:
    """DTS_URL is a client's, DTS_WORKER_SLOTS another part's: neither is a mistake here."""
    environ = {"DTS_URL": "http://x", "DTS_WORKER_SLOTS": "4", "DTS_DEBUG": "1", "PATH": "/bin"}
    assert load_settings(ServerFile, part="server", environ=environ).environment == ()


DEV = """
[store]
url = "sqlite:///plain"
[store-dev]
url = "sqlite:///dev"
[broker.mq]
jobs = "jobs"
logs = "logs"
[broker.mq-dev]
jobs = "jobs-inner"
[broker-dev.mq]
logs = "logs-outer"
[consumer.porter]
batch = 5
prefetch = 6
[consumer-dev.porter]
batch = 50
"""


def test_dev_tables_lie_over_key_by_key(tmp_path: Path) -> None:
    """`-d` changes the keys that [X-dev] names, at any depth, and leaves the others."""
    loaded = load_settings(
        ServerFile, part="server", config_file=write(tmp_path, DEV), dev=True, environ={}
    )
    settings = loaded.settings
    assert settings.store.url == "sqlite:///dev"
    assert (settings.broker.mq.jobs, settings.broker.mq.logs) == ("jobs-inner", "logs-outer")
    assert (settings.consumer.porter.batch, settings.consumer.porter.prefetch) == (50, 6)
    assert set(loaded.taken) == {"store-dev", "broker.mq-dev", "broker-dev", "consumer-dev"}
    assert "[store-dev]" in loaded.story()


def test_dev_tables_are_ignored_without_the_flag(tmp_path: Path) -> None:
    """Without `-d` nothing of a -dev table counts."""
    loaded = load_settings(ServerFile, part="server", config_file=write(tmp_path, DEV), environ={})
    assert loaded.settings.store.url == "sqlite:///plain"
    assert loaded.settings.consumer.porter.batch == 5
    assert loaded.taken == ()


@pytest.mark.parametrize("dev", [False, True])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[server]\nprot = 1", "server.prot: is not known. Did you mean port?"),
        ("[servr]\nport = 1", "servr: is not known. Did you mean server?"),
        ("[server-dev]\nprot = 1", "server-dev.prot: is not known. Did you mean port?"),
        ("[consumer-dev.portr]\n", "consumer-dev.portr: is not known. Did you mean porter?"),
        ("[server]\nport-dev = 1", "server.port-dev: is not known."),
        ("[server]\nport = -1", "server.port: expected int >= 0; given -1."),
        ("[server-dev]\nport = 'x'", "server-dev.port: expected int, got str; given 'x'."),
        ("server = 3", "server: expected a table; given 3."),
        ("loop = 'fast'", "loop: expected one of auto, uvloop, asyncio; given 'fast'."),
        ("[retention]\njobs_days = nan", "retention.jobs_days: expected float > 0.0; given nan."),
        ("[retention]\njobs_days = 1e300", "retention.jobs_days: expected float <= 36500.0;"),
        ("[server]\nport = = 1", "no valid TOML: Invalid value (at line 2, column 8)."),
        ("a = [" + "[" * 5000, "no valid TOML: "),
        (f"a = {'9' * 5000}", "no valid TOML: "),
        ('"\x7f\u202e" = 1', "no valid TOML: "),
        ('"a\u202eb" = 1', "a\\u202eb: is not known."),
    ],
)
def test_each_mistake_names_file_and_key(
    tmp_path: Path, text: str, expected: str, dev: bool
) -> None:
    """One line: the file, the dotted key, what was expected and given, or the nearest known key."""
    path = write(tmp_path, text)
    answer = refusal(path, dev=dev)
    assert answer.startswith(f"{path}: ")
    assert expected in answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"server": {"port": 1,}}', "no valid JSON: "),
        ('{"server": {}, "server": {}}', "server: stands there twice."),
        ('{"retention": {"jobs_days": NaN}}', "NaN is no number of JSON."),
        ("[]", "holds no tables."),
        ("[" * 100_000, "no valid JSON: "),
    ],
)
def test_json_mistakes(tmp_path: Path, text: str, expected: str) -> None:
    """JSON is read strictly: no doubled keys, no NaN, an object at the top."""
    assert expected in refusal(write(tmp_path, text, "server.json"))


def test_file_that_is_not_utf8_names_the_byte(tmp_path: Path) -> None:
    """Strict UTF-8: the first wrong byte is named with its place."""
    path = write(tmp_path, b'# fine\nloop = "\xff"\n')
    assert "byte 15 (line 2) is not UTF-8: 0xff." in refusal(path)


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a folder, too large, an impossible name: each has its own line."""
    assert "is not there." in refusal(tmp_path / "no.toml")
    (tmp_path / "folder.toml").mkdir()
    assert "is a folder." in refusal(tmp_path / "folder.toml")
    assert "is a folder." in refusal(tmp_path)
    assert "is larger than" in refusal(write(tmp_path, "#" * (FILE_MAX + 1)))
    assert "cannot be read: " in refusal(tmp_path / ("x" * 300 + ".toml"))
    assert "cannot be read: " in refusal(tmp_path / "a\0b.toml")


def test_own_file_in_the_folder(tmp_path: Path) -> None:
    """Without -c a part reads PART.toml, or PART.json, in the folder; without one its defaults stand."""
    environ = {"DTS_CONFIG_DIR": str(tmp_path)}
    nothing = load_settings(ServerFile, part="server", environ=environ)
    assert (nothing.file, nothing.settings) == (None, ServerFile())
    write(tmp_path, '{"server": {"port": 5}}', "server.json")
    assert load_settings(ServerFile, part="server", environ=environ).settings.server.port == 5
    write(tmp_path, "[server]\nport = 6")
    assert load_settings(ServerFile, part="server", environ=environ).settings.server.port == 6
    other = tmp_path / "other"
    other.mkdir()
    given = load_settings(ServerFile, part="server", environ=environ, config_dir=other)
    assert given.file is None


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    """A configuration folder that was named must exist; the default one ships with dts."""
    with pytest.raises(ConfigError, match="is no folder"):
        config_folder(tmp_path / "no", {})
    assert (config_folder(None, {}) / "functions").is_dir()


def test_passwords_are_not_shown(tmp_path: Path) -> None:
    """Neither the printed settings nor an error show a password."""
    url = "amqps://dts:hunter2@mq:5671/"
    settings = load(write(tmp_path, f'[broker]\nurl = "{url}"'))
    assert settings.broker.url == url
    assert "hunter2" not in repr(settings)
    assert "dts:***@mq" in repr(settings)


def test_what_the_caller_set_is_told_apart(tmp_path: Path) -> None:
    """`given` is true for flags and variables, not for the file."""
    loaded = load_settings(
        ServerFile,
        part="server",
        config_file=write(tmp_path, "[server]\nport = 9"),
        environ={"DTS_SERVER_HOST": "::1"},
        overrides={"server.insecure": True},
    )
    assert [loaded.given(f"server.{key}") for key in ("port", "host", "insecure")] == [
        False,
        True,
        True,
    ]


tables = st.recursive(
    st.one_of(st.integers(), st.text(max_size=8), st.booleans(), st.none(), st.floats()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["server", "server-dev", "port", "consumer", "porter", "x", "mq-dev"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@UNHURRIED
@given(tables=st.dictionaries(st.sampled_from(["server", "consumer", "broker-dev", "x"]), tables))
def test_any_tables_load_or_are_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, tables: dict[str, Any]
) -> None:
    """Whatever a file holds, it gives settings or one ConfigError, never anything else."""
    path = tmp_path_factory.mktemp("config") / "server.json"
    path.write_bytes(msgspec.json.encode(tables))
    for dev in (False, True):
        answer = settings_or_line(path, dev=dev)
        assert isinstance(answer, ServerFile) or "\n" not in answer


@UNHURRIED
@given(data=st.binary(max_size=200))
def test_any_bytes_load_or_are_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """The same for any bytes, as TOML and as JSON."""
    folder = tmp_path_factory.mktemp("config")
    for name in ("server.toml", "server.json"):
        answer = settings_or_line(write(folder, data, name))
        assert isinstance(answer, ServerFile) or "\n" not in answer


@UNHURRIED
@given(
    plain=st.dictionaries(st.sampled_from(["port", "job_cache"]), st.integers(1, 60_000)),
    dev=st.dictionaries(st.sampled_from(["port", "job_cache"]), st.integers(1, 60_000)),
)
def test_dev_is_a_union_of_keys(
    tmp_path_factory: pytest.TempPathFactory, plain: dict[str, int], dev: dict[str, int]
) -> None:
    """With -d each key has its -dev value when there is one, else its plain one, else the default."""
    path = tmp_path_factory.mktemp("config") / "server.json"
    path.write_bytes(msgspec.json.encode({"server": plain, "server-dev": dev}))
    expected = {**msgspec.structs.asdict(ServerFile().server), **plain, **dev}
    assert msgspec.structs.asdict(load(path, dev=True).server) == expected

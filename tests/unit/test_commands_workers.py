"""How `dts up` starts its workers."""

import json
from pathlib import Path

from dts_core.cli.workers import worker_command
from dts_core.config import load_settings
from dts_core.settings import WorkerFile


def environment(
    tmp_path: Path, text: str = "", environ: dict[str, str] | None = None, number: int = 1
) -> dict[str, str]:
    file = tmp_path / "worker.toml"
    file.write_text(text)
    loaded = load_settings(WorkerFile, part="worker", config_file=file, environ=environ or {})
    command = worker_command(tmp_path, loaded, umask=0o022, environ=environ or {})
    return dict(command(number, 7)[1])


def test_worker_is_led_to_the_folder(tmp_path: Path) -> None:
    """Socket, own folder, configuration, pipe and the person's umask; nothing secret in its arguments."""
    file = tmp_path / "worker.toml"
    file.write_text("[worker-dev]\nslots = 2\n")
    loaded = load_settings(WorkerFile, part="worker", config_file=file, dev=True, environ={})
    argv, env = worker_command(tmp_path, loaded, umask=0o027, environ={"A": "b"})(3, 7)
    assert argv[:3] == ["/bin/sh", "-c", 'umask 0027 && exec "$@"']
    assert argv[-5:] == ["-c", str(file), "-d", "--parent-pipe", "7"]
    assert env["DTS_BROKER_URL"] == f"link+unix://{tmp_path}/link.sock"
    assert env["DTS_WORKER_DATA"] == f"{tmp_path}/worker-3"
    assert env["A"] == "b"


def test_only_the_first_worker_follows_logs(tmp_path: Path) -> None:
    """Each record comes once, however many workers there are."""
    first = json.loads(environment(tmp_path)["DTS_AGENT_PATHS"])
    assert first[0] == f"{tmp_path}/logs/*.log"
    assert json.loads(environment(tmp_path, number=2)["DTS_AGENT_PATHS"]) == []
    given = {"DTS_AGENT_PATHS": "/mine.log"}
    assert json.loads(environment(tmp_path, environ=given)["DTS_AGENT_PATHS"]) == ["/mine.log"]
    assert json.loads(environment(tmp_path, environ=given, number=2)["DTS_AGENT_PATHS"]) == []


def test_files_of_the_configuration_are_followed_too(tmp_path: Path) -> None:
    """worker.toml adds to what `dts up` follows by itself."""
    env = environment(tmp_path, '[agent]\npaths = ["/mine.log"]\nlevel = "error"\n')
    paths = json.loads(env["DTS_AGENT_PATHS"])
    assert f"{tmp_path}/logs/*.log" in paths
    assert paths[-1] == "/mine.log"
    assert env["DTS_AGENT_LEVEL"] == "error"


def test_defaults_of_one_machine_give_way(tmp_path: Path) -> None:
    """A short drain and more of the logs, unless file or environment say otherwise."""
    plain = environment(tmp_path)
    assert (plain["DTS_WORKER_DRAIN_SECONDS"], plain["DTS_AGENT_LEVEL"]) == ("3.0", "info")
    file = environment(tmp_path, "[worker]\ndrain_seconds = 20\n")
    assert file["DTS_WORKER_DRAIN_SECONDS"] == "20.0"
    given = {"DTS_WORKER_DRAIN_SECONDS": "30", "DTS_AGENT_LEVEL": "warning"}
    env = environment(tmp_path, environ=given)
    assert (env["DTS_WORKER_DRAIN_SECONDS"], env["DTS_AGENT_LEVEL"]) == ("30.0", "warning")
